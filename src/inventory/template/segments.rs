//! Cutting a scalar into text and expressions, once: what an expression yields is never looked at
//! again, so that no value can smuggle in a template.

use std::ops::Range;

/// A scalar, cut. The ranges are bytes of it.
#[derive(Debug, PartialEq)]
pub(super) enum Cut {
    /// No template at all.
    Text,
    /// One expression and nothing else, whose value keeps its type.
    Lone(Range<usize>),
    /// Text and expressions, which make a string.
    Mixed(Vec<Segment>),
    /// Something with statements or comments, as one Jinja template of the same length: each
    /// `<< … >>` in it has become `{{ … }}`.
    Statements(String),
}

#[derive(Debug, PartialEq)]
pub(super) enum Segment {
    Text(Range<usize>),
    Expression(Range<usize>),
}

/// Why a scalar cannot be cut.
#[derive(Debug, PartialEq)]
pub(super) enum Uncut {
    /// A template that begins here has no end.
    Unclosed(usize),
    /// A template that begins here, or all together, are more than is worked on.
    TooLong(usize),
}

/// How many operators an expression may have: each takes stack while it is taken apart.
const MOST_OPERATORS: usize = 300;

/// How many expressions and statements a scalar may have.
const MOST_SEGMENTS: usize = 500;

/// Start delimiters. `<<` needs its blank: without it, it is a shell's here-document or a shift.
const STARTS: [(&str, &str); 4] = [("{{", "}}"), ("<< ", ">>"), ("{%", "%}"), ("{#", "#}")];

pub(super) fn cut(text: &str) -> Result<Cut, Uncut> {
    let mut segments = Vec::new();
    let mut statements = false;
    let mut at = 0;
    while let Some((start, (open, close))) = next_start(text, at) {
        let inside = start + open.len();
        let end = find_end(text, inside, close).ok_or(Uncut::Unclosed(start))?;
        let expression = text.get(inside..end).unwrap_or("");
        let too_long = open != "{#" && operators(expression) > MOST_OPERATORS;
        if too_long || segments.len() > MOST_SEGMENTS {
            return Err(Uncut::TooLong(start));
        }
        statements |= matches!(open, "{%" | "{#")
            || (open == "{{" && (expression.starts_with(['-', '+']) || expression.ends_with('-')));
        if start > at {
            segments.push(Segment::Text(at..start));
        }
        segments.push(Segment::Expression(inside..end));
        at = end + close.len();
    }
    if segments.is_empty() {
        return Ok(Cut::Text);
    }
    if at < text.len() {
        segments.push(Segment::Text(at..text.len()));
    }
    if statements {
        return Ok(Cut::Statements(as_jinja(text, &segments)));
    }
    match segments.as_slice() {
        [Segment::Expression(range)] => Ok(Cut::Lone(range.clone())),
        _ => Ok(Cut::Mixed(segments)),
    }
}

fn next_start(text: &str, from: usize) -> Option<(usize, (&'static str, &'static str))> {
    let rest = text.get(from..)?;
    // In one pass: a search for each delimiter would walk to the end of the text every time.
    rest.match_indices(['{', '<']).find_map(|(at, _)| {
        let opens = |(open, _): &&(&str, &str)| rest.get(at..).is_some_and(|r| r.starts_with(open));
        STARTS.iter().find(opens).map(|pair| (from + at, *pair))
    })
}

/// Where the delimiter stands that ends what begins at `from`: outside of quotes, and of brackets
/// where `}` is one.
fn find_end(text: &str, from: usize, close: &str) -> Option<usize> {
    if close == "#}" {
        return Some(from + text.get(from..)?.find(close)?);
    }
    let mut quote = None;
    let mut escaped = false;
    let mut depth = 0usize;
    for (offset, c) in text.get(from..)?.char_indices() {
        let at = from + offset;
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            (_, None) if depth == 0 && text.get(at..)?.starts_with(close) => return Some(at),
            ('(' | '[' | '{', None) => depth += 1,
            (')' | ']' | '}', None) => depth = depth.saturating_sub(1),
            // A `>>` ends its template wherever it stands; there is no shift in Jinja.
            ('>', None) if close == ">>" && text.get(at..)?.starts_with(close) => return Some(at),
            _ => {}
        }
    }
    None
}

/// At least as many as the expression has, outside of quotes.
fn operators(expression: &str) -> usize {
    let mut count = 0;
    let mut quote = None;
    let mut escaped = false;
    let mut word = 0;
    for c in expression.chars() {
        match (c, quote) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            (c, Some(open)) if c == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(c),
            (
                '|' | '+' | '-' | '*' | '/' | '%' | '~' | '.' | '<' | '>' | '=' | '!' | '(' | '[',
                None,
            ) => {
                count += 1;
            }
            // Two words beside each other have an operator between them, or one is it.
            (c, None) if c.is_alphanumeric() => {
                count += usize::from(word == 1);
                word = 2;
                continue;
            }
            (' ' | '\n' | '\t' | '\r', None) if word > 0 => {
                word = 1;
                continue;
            }
            _ => {}
        }
        word = 0;
    }
    count
}

/// An expression in which a backslash is a backslash, as Ansible has it: `'\\1'` needs no second one.
/// It still keeps a quote behind it from ending the text.
pub(super) fn literal(expression: &str) -> String {
    let mut escaped = String::with_capacity(expression.len());
    let mut letters = expression.chars();
    while let Some(c) = letters.next() {
        escaped.push(c);
        if c == '\\' {
            escaped.push('\\');
            match letters.next() {
                Some(next @ ('"' | '\'' | '\\')) => escaped.extend(['\\', next]),
                Some(next) => escaped.push(next),
                None => {}
            }
        }
    }
    escaped
}

fn as_jinja(text: &str, segments: &[Segment]) -> String {
    let mut jinja = String::with_capacity(text.len());
    for segment in segments {
        let (Segment::Text(range) | Segment::Expression(range)) = segment;
        let is_ours = range.start >= 3 && text.get(range.start - 3..range.start) == Some("<< ");
        let inside = text.get(range.clone()).unwrap_or("");
        match segment {
            Segment::Text(_) => jinja.push_str(inside),
            Segment::Expression(_) if is_ours => {
                jinja.push_str("{{ ");
                jinja.push_str(&literal(inside));
                jinja.push_str("}}");
            }
            Segment::Expression(_) => {
                let open = range.start.saturating_sub(2)..range.start;
                let close = range.end..(range.end + 2).min(text.len());
                let open = text.get(open).unwrap_or("");
                jinja.push_str(open);
                jinja.push_str(&if open == "{{" { literal(inside) } else { inside.to_owned() });
                jinja.push_str(text.get(close).unwrap_or(""));
            }
        }
    }
    jinja
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expressions in brackets, text as it is.
    fn show(text: &str) -> String {
        let piece = |range: &Range<usize>| text[range.clone()].to_owned();
        match cut(text) {
            Ok(Cut::Text) => "text".into(),
            Ok(Cut::Lone(range)) => format!("lone[{}]", piece(&range)),
            Ok(Cut::Mixed(segments)) => segments
                .iter()
                .map(|segment| match segment {
                    Segment::Text(range) => piece(range),
                    Segment::Expression(range) => format!("[{}]", piece(range)),
                })
                .collect(),
            Ok(Cut::Statements(jinja)) => format!("jinja {jinja}"),
            Err(Uncut::Unclosed(at)) => format!("unclosed at {at}"),
            Err(Uncut::TooLong(at)) => format!("too long at {at}"),
        }
    }

    #[test]
    fn scalars_are_cut_at_both_kinds_of_delimiters() {
        for (text, expected) in [
            ("registry:2.8.3", "text"),
            ("{{ a }}", "lone[ a ]"),
            ("<< a >>", "lone[a ]"),
            (" {{ a }}", " [ a ]"),
            ("{{ a }}-<< b >>", "[ a ]-[b ]"),
            ("<< a >>-mirror", "[a ]-mirror"),
            ("cat <<EOF <<p>>", "text"),
            ("<< n >> 1 >>", "[n ] 1 >>"),
            ("{{ '}}' ~ \"<< x >>\" }}", "lone[ '}}' ~ \"<< x >>\" ]"),
            ("{{ {'a': {'b': 1}} }}", "lone[ {'a': {'b': 1}} ]"),
            ("<< (n > 3) >>", "lone[(n > 3) ]"),
            ("<< '>>' >>", "lone['>>' ]"),
            ("{% if a %}<< b >>{% endif %}", "jinja {% if a %}{{ b }}{% endif %}"),
            ("{# << a >> #}x", "jinja {# << a >> #}x"),
            ("x {{- a -}} y", "jinja x {{- a -}} y"),
            ("{{ a", "unclosed at 0"),
            ("x << a > y", "unclosed at 2"),
            ("{{ 'a }}", "unclosed at 0"),
            ("", "text"),
        ] {
            assert_eq!(show(text), expected, "of `{text}`");
        }
    }
}
