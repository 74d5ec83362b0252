//! Python's `str.format`, as far as inventories use it.

use minijinja::{Error, ErrorKind, Value, value::ValueKind};

use super::{
    super::{evaluate::LONGEST, python},
    arguments::Arguments,
    text::said,
};

/// Fills text up to `width` letters; `side` is where the text stands: `<`, `>` or `^`.
pub(super) fn pad(text: &str, width: usize, filling: char, side: char) -> Result<String, Error> {
    if width > LONGEST / 4 {
        return Err(ErrorKind::OutOfFuel.into());
    }
    let missing = width.saturating_sub(text.chars().count());
    let left = match side {
        '<' => 0,
        '>' => missing,
        _ => missing / 2,
    };
    let fill = |times: usize| std::iter::repeat_n(filling, times);
    Ok(fill(left).chain(text.chars()).chain(fill(missing - left)).collect())
}

/// `{}`, `{0}`, `{name}`, each with `:` and how it is written.
pub(super) fn format(text: &str, given: &Arguments) -> Result<String, Error> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, braces) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = braces.strip_prefix("{{").or_else(|| braces.strip_prefix("}}")) {
            out.push_str(braces.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let field = braces.strip_prefix('{').and_then(|field| field.split_once('}'));
        let (field, after) = field.ok_or_else(|| said("a brace in the format stands alone"))?;
        let (field, layout) = field.split_once(':').unwrap_or((field, ""));
        let (name, quoted) = match field.split_once('!') {
            Some((name, "r")) => (name, true),
            Some((name, "s")) => (name, false),
            Some(_) => return Err(said("of the conversions `!r` and `!s` are known here")),
            None => (field, false),
        };
        let value = match name.parse::<usize>() {
            Ok(at) => given.positional().get(at).cloned(),
            Err(_) if name.is_empty() => {
                next += 1;
                given.positional().get(next - 1).cloned()
            }
            Err(_) => given.named(name)?,
        };
        let value = value.ok_or_else(|| said("the format asks for more than it is given"))?;
        let value = if quoted { python::repr(&value)?.into() } else { value };
        out.push_str(&written(&value, layout)?);
        if out.len() > LONGEST {
            return Err(ErrorKind::OutOfFuel.into());
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// One value by `[[fill]align][sign][0][width][,][.precision][type]`.
fn written(value: &Value, layout: &str) -> Result<String, Error> {
    let wrong = || said("this is no way to write such a value");
    let mut rest = layout;
    let mut letters = rest.chars();
    let is_side = |c: Option<char>| c.filter(|c| matches!(c, '<' | '>' | '^'));
    let (mut filling, mut side) = (' ', None);
    match (letters.next(), is_side(letters.next())) {
        (Some(first), Some(second)) => {
            (filling, side) = (first, Some(second));
            rest = letters.as_str();
        }
        (first, None) if is_side(first).is_some() => {
            side = is_side(first);
            rest = rest.get(1..).unwrap_or_default();
        }
        _ => {}
    }
    let plus = rest.starts_with('+');
    rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let zeros = rest.starts_with('0');
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (width, mut rest) = rest.split_at(end);
    let width: usize = if width.is_empty() { 0 } else { width.parse().map_err(|_| wrong())? };
    let commas = rest.starts_with(',');
    rest = rest.strip_prefix(',').unwrap_or(rest);
    let mut precision = None;
    if let Some(digits) = rest.strip_prefix('.') {
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (digits, after) = digits.split_at(end);
        precision = Some(digits.parse::<usize>().ok().filter(|p| *p <= 100).ok_or_else(wrong)?);
        rest = after;
    }
    let whole = || i64::try_from(value.clone()).ok().filter(|_| value.is_integer());
    let float = || match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    let is_number = value.kind() == ValueKind::Number;
    let (negative, body) = match (rest, precision) {
        ("" | "s", _) if !is_number => {
            let text = python::text(value)?;
            (false, text.chars().take(precision.unwrap_or(usize::MAX)).collect())
        }
        ("" | "d", None) if whole().is_some() => {
            let number = whole().ok_or_else(wrong)?;
            (number < 0, number.unsigned_abs().to_string())
        }
        ("x" | "X" | "o" | "b", None) => {
            let number = whole().ok_or_else(wrong)?;
            let size = number.unsigned_abs();
            let digits = match rest {
                "x" => format!("{size:x}"),
                "X" => format!("{size:X}"),
                "o" => format!("{size:o}"),
                _ => format!("{size:b}"),
            };
            (number < 0, digits)
        }
        ("f" | "F", _) => {
            let number = float().ok_or_else(wrong)?;
            (number.is_sign_negative(), format!("{:.*}", precision.unwrap_or(6), number.abs()))
        }
        ("%", _) => {
            let number = float().ok_or_else(wrong)? * 100.0;
            (number.is_sign_negative(), format!("{:.*}%", precision.unwrap_or(6), number.abs()))
        }
        ("", None) => {
            let number = float().ok_or_else(wrong)?;
            (number.is_sign_negative(), python::float(number.abs()))
        }
        _ => return Err(wrong()),
    };
    let body = if commas { grouped(&body) } else { body };
    let sign = if negative {
        "-"
    } else if plus {
        "+"
    } else {
        ""
    };
    if zeros && side.is_none() && is_number {
        return Ok(format!("{sign}{}", pad(&body, width.saturating_sub(sign.len()), '0', '>')?));
    }
    pad(&format!("{sign}{body}"), width, filling, side.unwrap_or(if is_number { '>' } else { '<' }))
}

/// A comma before every three digits of the whole part.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut out = String::new();
    for (at, c) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out + rest
}
