//! Numbers and quoted texts of Python.

use super::{super::Value, No, Parsed, Unfit};

/// A number without its sign.
pub(super) fn number(text: &str) -> Parsed<Value> {
    let lower = text.to_ascii_lowercase();
    // A `_` may stand between two digits, or behind the prefix of a base.
    let bytes = lower.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let misplaced = |(at, _)| at == 0 || !digit(at - 1) || !digit(at + 1);
    if lower.match_indices('_').any(misplaced) {
        return Err(No::Literal);
    }
    let bare = lower.replace('_', "");
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = bare.strip_prefix(prefix) {
            return whole(digits, base);
        }
    }
    if bare.bytes().all(|byte| byte.is_ascii_digit()) {
        let padded = bare.len() > 1 && bare.starts_with('0') && bare.bytes().any(|b| b != b'0');
        return if padded { Err(No::Literal) } else { whole(&bare, 10) };
    }
    if let Some(imaginary) = bare.strip_suffix('j') {
        // A complex number is text again, as Python prints it.
        let number: f64 = float(imaginary)?;
        return Ok(Value::String(format!("{number}j").into()));
    }
    let number = float(&bare)?;
    if number.is_finite() { Ok(Value::Float(number)) } else { Err(No::Unfit(Unfit::NotFinite)) }
}

fn whole(digits: &str, base: u32) -> Parsed<Value> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(No::Literal);
    }
    i64::from_str_radix(digits, base).map(Value::Int).map_err(|_| No::Unfit(Unfit::HugeInteger))
}

fn float(text: &str) -> Parsed<f64> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-');
    if !text.chars().all(is_part) || !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(No::Literal);
    }
    text.parse().map_err(|_| No::Literal)
}

/// The text in quotes that `rest` begins with, and what follows; none if it begins otherwise.
pub(super) fn quoted(rest: &str) -> Parsed<Option<(String, &str)>> {
    let Some(at) = rest.find(['"', '\'']) else { return Ok(None) };
    let (prefix, body) = rest.split_at(at);
    let raw = match prefix.to_ascii_lowercase().as_str() {
        "" | "u" | "b" => false,
        "r" | "br" | "rb" => true,
        _ => return Ok(None),
    };
    let quote = body.chars().next().ok_or(No::Literal)?;
    let triple: String = [quote; 3].iter().collect();
    let (end, mut body) = match body.strip_prefix(triple.as_str()) {
        Some(body) => (triple, body),
        None => (quote.to_string(), body.get(1..).unwrap_or_default()),
    };
    let mut text = String::new();
    loop {
        if let Some(rest) = body.strip_prefix(end.as_str()) {
            return Ok(Some((text, rest)));
        }
        let c = body.chars().next().ok_or(No::Literal)?;
        body = body.get(c.len_utf8()..).unwrap_or_default();
        if c != '\\' {
            text.push(c);
            continue;
        }
        let escaped = body.chars().next().ok_or(No::Literal)?;
        if raw {
            text.push('\\');
            text.push(escaped);
            body = body.get(escaped.len_utf8()..).unwrap_or_default();
        } else {
            body = unescape(escaped, body, &mut text)?;
        }
    }
}

/// What stands behind a backslash; the rest behind it. An escape that does not exist stays.
fn unescape<'a>(escaped: char, body: &'a str, text: &mut String) -> Parsed<&'a str> {
    let rest = body.get(escaped.len_utf8()..).unwrap_or_default();
    let mut code = |digits: usize, from: &'a str, base: u32| {
        let written = from.get(..digits).ok_or(No::Literal)?;
        let number = u32::from_str_radix(written, base).map_err(|_| No::Literal)?;
        text.push(char::from_u32(number).ok_or(No::Literal)?);
        Ok(from.get(digits..).unwrap_or_default())
    };
    match escaped {
        'x' => return code(2, rest, 16),
        'u' => return code(4, rest, 16),
        'U' => return code(8, rest, 16),
        '0'..='7' => {
            let digits = body.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            return code(digits, body, 8);
        }
        _ => {}
    }
    match escaped {
        '\\' | '\'' | '"' => text.push(escaped),
        'a' => text.push('\u{7}'),
        'b' => text.push('\u{8}'),
        'f' => text.push('\u{c}'),
        'n' => text.push('\n'),
        'r' => text.push('\r'),
        't' => text.push('\t'),
        'v' => text.push('\u{b}'),
        other => {
            text.push('\\');
            text.push(other);
        }
    }
    Ok(rest)
}
