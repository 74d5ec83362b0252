//! How Python writes values: what an expression among text becomes (`str`), and what stands in a
//! list there (`repr`).

use std::fmt::Write as _;

use minijinja::{Error, ErrorKind, Value, value::ValueKind};

use super::objects::is_omitted;

/// Deeper values are not written.
const DEEPEST: usize = 64;

/// Python's `str`, except that nothing is written for null, as ansible-core 2.19 has it.
pub(super) fn among_text(value: &Value) -> Result<String, Error> {
    if is_nothing(value) { Ok(String::new()) } else { text(value) }
}

/// What the values of a template yield together: text, but one value among nothing keeps its type,
/// and nothing at all is null.
pub(super) fn joined(values: Vec<Value>) -> Result<Value, Error> {
    let mut values: Vec<Value> = values.into_iter().filter(|value| !is_nothing(value)).collect();
    match values.len() {
        0 => Ok(Value::from(())),
        1 => Ok(values.remove(0)),
        _ => Ok(values.iter().map(text).collect::<Result<Vec<_>, _>>()?.concat().into()),
    }
}

/// Whether nothing is written for it among text.
pub(super) fn is_nothing(value: &Value) -> bool {
    value.is_none() || is_omitted(value)
}

/// Python's `str`.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => repr(value),
    }
}

/// Python's `repr`.
pub(super) fn repr(value: &Value) -> Result<String, Error> {
    let mut written = String::new();
    represent(value, &mut written, 0)?;
    Ok(written)
}

fn represent(value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST || out.len() > super::evaluate::LONGEST {
        return Err(Error::new(ErrorKind::OutOfFuel, "too much to write"));
    }
    match value.kind() {
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if value.is_integer() => {
            // Writing to a string fails for nothing.
            let _ = write!(out, "{value}");
        }
        ValueKind::Number => out.push_str(&float(f64::try_from(value.clone())?)),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), out),
        ValueKind::Map => {
            out.push('{');
            for (at, key) in value.try_iter()?.enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                represent(&key, out, depth + 1)?;
                out.push_str(": ");
                represent(&value.get_item(&key)?, out, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (at, item) in value.try_iter()?.enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                represent(&item, out, depth + 1)?;
            }
            out.push(']');
        }
        // A variable that failed: something has to be done with it to hear why.
        _ => {
            value.try_iter()?;
        }
    }
    Ok(())
}

/// Python's `repr` of a float: `1.0`, `1e+20`, `1e-07`.
pub(super) fn float(number: f64) -> String {
    let written = format!("{number:?}");
    let Some((digits, exponent)) = written.split_once('e') else { return written };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

fn quoted(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// Python's `str.split`: by a text, or by blanks. None for an empty separator.
pub(super) fn split(
    text: &str,
    separator: Option<&str>,
    most: Option<usize>,
) -> Option<Vec<String>> {
    let most = most.unwrap_or(usize::MAX);
    if let Some(separator) = separator {
        let parts = text.splitn(most.saturating_add(1), separator).map(str::to_owned);
        return (!separator.is_empty()).then(|| parts.collect());
    }
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).filter(|_| parts.len() < most);
        let (part, next) = rest.split_at(end.unwrap_or(rest.len()));
        parts.push(part.to_owned());
        rest = next.trim_start();
    }
    Some(parts)
}

/// Python's `str.splitlines`, for the line breaks that text files have.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        let (line, next) = rest.split_at(end);
        lines.push(line);
        rest = next.strip_prefix("\r\n").or_else(|| next.get(1..)).unwrap_or_default();
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}
