//! What of a line may be shown (promise 14): keys and structure, never a value, unless the caller
//! vouches for the one that a message is about.

use std::{ops::Range, sync::Arc};

use crate::diagnostic::Place;

use super::{MASK, Origin, Source};

#[cfg(test)]
mod tests;

/// The place of a value in a file that parses, with the caret under `part` of it: column and
/// width as in an origin.
pub(super) fn place(origin: &Origin, shown: bool, part: (u32, u32)) -> Place {
    let line = origin.short_line();
    // What tells a password, the `@` behind it, may stand in a line below.
    let own = line
        .filter(|_| shown && !origin.goes_on())
        .and_then(|text| span(text, origin.column(), origin.width()).filter(|s| is_open(text, s)));
    let kept = line.map(structure).unwrap_or_default();
    quote(origin, part, line, kept, own)
}

/// Whether a value that is no secret may be shown as it stands: it may hold one all the same, the
/// password of an address (`user:password@host`) or a key.
fn is_open(line: &str, range: &Range<usize>) -> bool {
    let Some(own) = line.get(range.clone()) else { return false };
    let unclosed = own.starts_with(['"', '\'']) && quoted(own).is_none();
    !unclosed && !own.contains('@') && !own.contains("-----BEGIN")
}

/// A place in a file that does not parse. There it is unknown what is a value, so that a line
/// that may be the inside of one is masked whole.
pub(super) fn broken(source: &Arc<Source>, line: u32, column: u32, width: u32) -> Place {
    let origin = Origin::at(source, line, column, width);
    let text = origin.short_line();
    let kept = match text {
        Some(text) if !inside_value(source.text(), line) => structure(text),
        Some(text) => only(0..text.len() - text.trim_start().len()),
        None => Vec::new(),
    };
    quote(&origin, (column, width), text, kept, None)
}

/// Byte range of `width` characters from `column` (from 1), cut at the end of the line.
fn span(line: &str, column: u32, width: u32) -> Option<Range<usize>> {
    let first = usize::try_from(column).ok()?.checked_sub(1)?;
    let mut offsets = line.char_indices().map(|(at, _)| at).chain([line.len()]).skip(first);
    let start = offsets.next()?;
    let width = usize::try_from(width).ok()?.max(1);
    let end = offsets.take(width).last().unwrap_or(line.len());
    Some(start..end)
}

/// Builds the line from what is kept of it, with a mask for each stretch that is not.
fn quote(
    origin: &Origin,
    (column, width): (u32, u32),
    line: Option<&str>,
    mut kept: Vec<Range<usize>>,
    own: Option<Range<usize>>,
) -> Place {
    let mut place = Place {
        file: origin.source().name().clone(),
        line: origin.line(),
        column,
        text: None,
        caret: 0,
        width: 1,
    };
    let Some(line) = line else { return place };
    kept.extend(own);
    kept.sort_by_key(|range| range.start);
    let target = span(line, column, width).unwrap_or(line.len()..line.len());
    let mut text = String::new();
    let mut caret = None;
    let mut end = 0;
    let mut at = 0;
    let mut put = |from: usize, piece: &str, masked: bool, text: &mut String| {
        let to = from + piece.len();
        let start = text.chars().count();
        let hit = target.start < to || (target.start == to && to == line.len());
        if caret.is_none() && target.start >= from && hit {
            let before = if masked {
                0
            } else {
                line.get(from..target.start).map_or(0, |s| s.chars().count())
            };
            caret = Some(start + before);
        }
        text.push_str(if masked { MASK } else { piece });
        if target.end > from && target.end <= to {
            let inside = line.get(from..target.end).map_or(0, |s| s.chars().count());
            end = start + if masked { MASK.len() } else { inside };
        }
    };
    for range in kept {
        if range.start > at {
            mask(line, at..range.start, &mut put, &mut text);
        }
        let from = range.start.max(at);
        if let Some(piece) = line.get(from..range.end) {
            put(from, piece, false, &mut text);
            at = range.end;
        }
    }
    if at < line.len() {
        mask(line, at..line.len(), &mut put, &mut text);
    }
    let length = text.chars().count();
    let caret = caret.unwrap_or(length);
    place.caret = u32::try_from(caret).unwrap_or(0);
    place.width = u32::try_from(end.saturating_sub(caret)).unwrap_or(1).max(1);
    place.text = Some(text.into());
    place
}

/// Masks a stretch; blanks around it stay, and a comment at the end of the line is left out.
fn mask(
    line: &str,
    range: Range<usize>,
    put: &mut impl FnMut(usize, &str, bool, &mut String),
    text: &mut String,
) {
    let Some(piece) = line.get(range.clone()) else { return };
    let inner = piece.trim();
    let lead = piece.len() - piece.trim_start().len();
    let comment = inner.starts_with('#') && (lead > 0 || range.start == 0);
    if inner.is_empty() || (comment && range.end == line.len()) {
        return put(range.start, piece.get(..lead).unwrap_or(""), false, text);
    }
    put(range.start, piece.get(..lead).unwrap_or(""), false, text);
    put(range.start + lead, inner, true, text);
    let tail = range.start + lead + inner.len();
    put(tail, line.get(tail..range.end).unwrap_or(""), false, text);
}

/// The ranges of a line that are indentation, list dashes, a key, or nothing but punctuation.
fn structure(line: &str) -> Vec<Range<usize>> {
    let mut at = line.len() - line.trim_start().len();
    while let Some(rest) = line.get(at..).filter(|rest| rest.starts_with("- ")) {
        at += rest.len() - rest.get(1..).unwrap_or("").trim_start().len();
    }
    let rest = line.get(at..).unwrap_or("");
    if is_punctuation(rest) {
        return only(0..line.len());
    }
    let Some(value) = after_key(rest) else { return only(0..at) };
    let start = at + value;
    let rest = line.get(start..).unwrap_or("");
    if is_punctuation(rest) || matches!(rest.trim(), "!vault |" | "!vault |-") {
        return only(0..line.len());
    }
    let mut kept = only(0..start);
    if let Some(end) = quoted(rest).filter(|end| is_punctuation(rest.get(*end..).unwrap_or(""))) {
        kept.push(start + end..line.len());
    }
    kept
}

fn only(range: Range<usize>) -> Vec<Range<usize>> {
    std::iter::once(range).collect()
}

fn is_punctuation(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '|' | '>' | '-' | ' '))
}

/// Where the value starts, if the text starts with a key that looks like a name.
fn after_key(text: &str) -> Option<usize> {
    let bare = text.trim_start_matches(['"', '\'']);
    let open = text.len() - bare.len();
    let name =
        bare.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']')))?;
    if open > 1 || name == 0 || name > 100 {
        return None;
    }
    let mut rest = bare.get(name..)?;
    if let Some(quote) = text.get(..open).filter(|quote| !quote.is_empty()) {
        rest = rest.strip_prefix(quote)?;
    }
    let rest = rest.trim_start().strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| text.len() - rest.trim_start().len())
}

/// Where a value in quotes ends.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}

/// Whether `line` (from 1) may be the inside of a value that began on a line above: a block
/// scalar, text in quotes, or a plain value that goes on at a deeper indentation.
fn inside_value(text: &str, line: u32) -> bool {
    let mut under: Option<usize> = None;
    let mut quote: Option<char> = None;
    for (number, current) in (1..=line).zip(text.lines()) {
        let indent = current.len() - current.trim_start().len();
        let inside = quote.is_some() || under.is_some_and(|least| indent > least);
        if number == line {
            return inside;
        }
        if let Some(open) = quote {
            let closed = quoted(&format!("{open}{current}")).is_some();
            quote = Some(open).filter(|_| !closed);
            continue;
        }
        if inside || current.trim().is_empty() || current.trim_start().starts_with('#') {
            continue;
        }
        let kept: usize = structure(current).first().map_or(0, |range| range.end);
        let value = current.get(kept..).unwrap_or("").trim();
        let header = current.trim_end().ends_with(['|', '>', '-', '+'])
            && current.contains([':', '-'])
            && current.contains(['|', '>']);
        under = (header || !value.is_empty()).then_some(indent);
        quote = value.chars().next().filter(|c| matches!(c, '"' | '\'') && quoted(value).is_none());
    }
    false
}
