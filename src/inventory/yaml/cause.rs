//! Why a text is not YAML, in plain words.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;

use super::super::{Source, mask};

/// What to say of a problem: the cause at the caret, what to do, and whether the place is where
/// libyaml began to read (its context) rather than where it gave up.
struct Words {
    label: &'static str,
    hint: &'static str,
    at_context: bool,
}

const fn words(label: &'static str, hint: &'static str) -> Words {
    Words { label, hint, at_context: false }
}

const TEMPLATE: Words =
    words("a template needs quotes here", "quote the whole value: \"{{ name }}-suffix\"");

/// Puts libyaml's problem into words. `problem` is its constant text with its positions.
pub(super) fn explain(
    source: &Arc<Source>,
    problem: &str,
    place: Option<(u32, u32)>,
) -> Diagnostic {
    let (line, column) = place.unwrap_or_else(|| second_document(source.text()));
    let context = context(problem);
    let begun = context.map_or(line, |(line, _)| line);
    if ["mapping values are not allowed", "could not find expected ':'"]
        .iter()
        .any(|words| problem.contains(words))
        && let Some((line, column)) = glued(source, line).or_else(|| glued_on(source, begun))
    {
        return Diagnostic::error("yaml-syntax", "the file is not valid YAML")
            .at(mask::broken(source, line, column, 1))
            .label("no blank after the colon")
            .hint("write `key: value`");
    }
    let text = source.line(line).unwrap_or("");
    let at_context = context.and_then(|(line, _)| source.line(line)).unwrap_or("");
    let words = if is_bare_template(text) || is_bare_template(at_context) {
        Words { at_context: !is_bare_template(text), ..TEMPLATE }
    } else {
        classify(problem, rest_of(text, column), text)
    };
    let (line, column) = context.filter(|_| words.at_context).unwrap_or((line, column));
    let (column, width) = match template_start(source.line(line).unwrap_or("")) {
        Some(start) if words.label == TEMPLATE.label => (start, 2),
        _ => (column, 1),
    };
    Diagnostic::error("yaml-syntax", "the file is not valid YAML")
        .at(mask::broken(source, line, column, width))
        .label(words.label)
        .hint(words.hint)
}

/// Where `key:value` stands above `line`, as the last thing at its indentation: what YAML took for
/// the beginning of a text that `line` goes on with.
fn glued(source: &Arc<Source>, line: u32) -> Option<(u32, u32)> {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let own = indent(source.line(line)?);
    let is_blank = |text: &str| text.trim().is_empty() || text.trim_start().starts_with('#');
    let above =
        (1..line).rev().find(|above| source.line(*above).is_some_and(|text| !is_blank(text)))?;
    glued_on(source, above).filter(|_| source.line(above).is_some_and(|text| indent(text) == own))
}

/// The colon of a line `key:value`.
fn glued_on(source: &Arc<Source>, line: u32) -> Option<(u32, u32)> {
    let text = source.line(line)?;
    let (key, value) = text.trim_start().split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_glued = value.starts_with(|c: char| !c.is_whitespace() && c != '/');
    let column = text.len() - text.trim_start().len() + key.chars().count() + 1;
    (is_key && is_glued).then(|| Some((line, u32::try_from(column).ok()?)))?
}

fn classify(problem: &str, rest: &str, line: &str) -> Words {
    let next = rest.chars().next();
    let has = |part: &str| problem.contains(part);
    if has("more than one document") {
        return words("a second document starts here", "keep one document in a file");
    }
    if has("unknown anchor") || has("undefined alias") {
        return words(
            "an alias to an anchor that is not there",
            "if text that starts with `*` is meant, quote it",
        );
    }
    if has("tab character") || (has("cannot start any token") && next == Some('\t')) {
        return words("a tab", "indent with spaces; YAML allows no tabs there");
    }
    if has("cannot start any token") {
        return words(
            "a value cannot start with this character",
            "if it is part of a text, quote the text",
        );
    }
    if has("quoted scalar") && has("unknown escape") {
        return words(
            "an escape that YAML does not know",
            "write `\\\\` for a backslash, or use single quotes",
        );
    }
    if has("quoted scalar") {
        let hint = "close the quote, and check that no later line has a quote too many";
        return Words { at_context: true, ..words("this quote is never closed", hint) };
    }
    if has("mapping values are not allowed") {
        return words(
            "a mapping cannot start here",
            "if the value holds `: `, quote it; if this is a key, check the indentation",
        );
    }
    if has("could not find expected ':'") {
        return Words {
            at_context: true,
            ..words("a key without its colon", "write `key: value`, with a space after the colon")
        };
    }
    stray(has, next, line)
}

/// What a parser means that expected something else.
fn stray(has: impl Fn(&str) -> bool, next: Option<char>, line: &str) -> Words {
    match next {
        Some('}') if !has("flow") => {
            return words(
                "a stray `}` that nothing in this file opened",
                "remove the stray `}`; it belongs to the HCL (Terraform) block that stood \
                 above the example",
            );
        }
        Some(']') if !has("flow") => {
            return words("a stray `]` that nothing in this file opened", "remove it");
        }
        _ => {}
    }
    if has("flow sequence") {
        let hint = "put a comma between the items and a `]` after the last";
        return Words { at_context: true, ..words("this list is not closed", hint) };
    }
    if has("flow mapping") {
        let hint = "put a comma between the entries and a `}` after the last";
        return Words { at_context: true, ..words("this mapping is not closed", hint) };
    }
    if line.trim_start().starts_with(['\t']) {
        return words("a tab", "indent with spaces; YAML allows no tabs there");
    }
    if has("block mapping") || has("block collection") {
        if line.trim_start().starts_with("- ") && has("block mapping") {
            return words(
                "a list item where a key is expected",
                "indent it under the key that it belongs to",
            );
        }
        return words(
            "this does not fit what stands above it",
            "check the indentation of this line and the one above, and for text after a \
             closing quote",
        );
    }
    if has("block scalar") {
        return words("a broken block of text", "write `|` or `>` alone and indent what follows");
    }
    if has("document start") {
        return words(
            "this does not belong to the document above",
            "check the indentation of this line and the one above",
        );
    }
    if has("anchor") || has("alias") {
        return words(
            "`&` and `*` start a name here",
            "if text that starts with this character is meant, quote it",
        );
    }
    if has("tag") {
        return words("`!` starts a tag here", "if text that starts with `!` is meant, quote it");
    }
    if has("directive") {
        return words("`%` starts a directive here", "if text is meant, quote it");
    }
    if has("character") {
        return words("a character that YAML does not allow", "remove it");
    }
    words(
        "this does not fit what stands above it",
        "check the indentation of this line and the one above",
    )
}

/// The position after `while …`: where libyaml began to read what it could not finish.
fn context(problem: &str) -> Option<(u32, u32)> {
    let (_, context) = problem.split_once(", while ")?;
    let (_, position) = context.split_once(" at line ")?;
    let (line, column) = position.split_once(" column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

/// The text from `column` on.
fn rest_of(line: &str, column: u32) -> &str {
    let skip = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let at = line.char_indices().nth(skip).map_or(line.len(), |(at, _)| at);
    line.get(at..).unwrap_or("")
}

/// Whether a value on the line starts with `{{` and no quote before it.
fn is_bare_template(line: &str) -> bool {
    template_start(line).is_some()
}

/// The column of such a value.
fn template_start(line: &str) -> Option<u32> {
    let at = line.find("{{")?;
    let before = line.get(..at)?.trim_end();
    let starts_value = before.is_empty() || before.ends_with([':', '-']);
    let column = line.get(..at)?.chars().count() + 1;
    starts_value.then(|| u32::try_from(column).unwrap_or(1))
}

/// Where a second document starts, which libyaml's wrapper does not tell.
fn second_document(text: &str) -> (u32, u32) {
    let mut content = false;
    for (line, number) in text.lines().zip(1..) {
        let marker = line == "---" || line.starts_with("--- ");
        let end = line == "..." || line.starts_with("... ");
        if marker && content {
            return (number, 1);
        }
        content |= marker || end || !(line.trim().is_empty() || line.starts_with(['#', '%']));
    }
    (1, 1)
}
