//! Numbers and times as YAML 1.1 writes them: PyYAML's regular expressions, matched by hand.

/// A base without a digit, such as `0x_`.
#[derive(Debug, PartialEq)]
pub(super) struct NoDigits;

/// `[-+]?0b[0-1_]+ | [-+]?0[0-7_]+ | [-+]?(?:0|[1-9][0-9_]*) | [-+]?0x[0-9a-fA-F_]+ |
/// [-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+`
pub(super) fn is_int(text: &str) -> bool {
    let digits = unsigned(text);
    let all = |rest: &str, allowed: fn(u8) -> bool| {
        !rest.is_empty() && rest.bytes().all(|b| b == b'_' || allowed(b))
    };
    if let Some(rest) = digits.strip_prefix("0b") {
        return all(rest, |b| matches!(b, b'0' | b'1'));
    }
    if let Some(rest) = digits.strip_prefix("0x") {
        return all(rest, |b| b.is_ascii_hexdigit());
    }
    if let Some(rest) = digits.strip_prefix('0') {
        return rest.is_empty() || all(rest, |b| matches!(b, b'0'..=b'7'));
    }
    let (head, tail) = split_sexagesimal(digits);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && all(head, |b| b.is_ascii_digit())
        && tail.is_none_or(|tail| tail.split(':').all(is_sixtieth))
}

/// `[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)? | \.[0-9][0-9_]*(?:[eE][-+][0-9]+)? |
/// [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]* | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)`
pub(super) fn is_float(text: &str) -> bool {
    let digits = unsigned(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = digits.split_once('.') else { return false };
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (rest.get(..at).unwrap_or(""), rest.get(at + 1..)),
        None => (rest, None),
    };
    let exponent_fits = exponent.is_none_or(|e| {
        e.strip_prefix(['-', '+'])
            .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    });
    if !is_digits(fraction) || !exponent_fits {
        return false;
    }
    if whole.is_empty() {
        return digits.len() == text.len() && fraction.starts_with(|c: char| c.is_ascii_digit());
    }
    let (head, tail) = split_sexagesimal(whole);
    head.starts_with(|c: char| c.is_ascii_digit())
        && is_digits(head)
        && tail.is_none_or(|t| exponent.is_none() && t.split(':').all(is_sixtieth))
}

/// The value of what [`is_int`] accepts; none if it needs more than 64 bits.
pub(super) fn int(text: &str) -> Result<Option<i64>, NoDigits> {
    let text: String = text.chars().filter(|c| *c != '_').collect();
    let digits = unsigned(&text);
    let magnitude = if let Some(rest) = digits.strip_prefix("0b") {
        in_base(rest, 2)?
    } else if let Some(rest) = digits.strip_prefix("0x") {
        in_base(rest, 16)?
    } else if let Some(rest) = digits.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        in_base(rest, 8)?
    } else {
        digits.split(':').try_fold(0i128, |sum, part| {
            sum.checked_mul(60)?.checked_add(part.parse::<i128>().ok()?)
        })
    };
    let signed = magnitude.map(|m| if text.starts_with('-') { -m } else { m });
    Ok(signed.and_then(|value| i64::try_from(value).ok()))
}

fn in_base(digits: &str, base: u32) -> Result<Option<i128>, NoDigits> {
    if digits.is_empty() {
        return Err(NoDigits);
    }
    Ok(i128::from_str_radix(digits, base).ok())
}

/// The value of what [`is_float`] accepts.
pub(super) fn float(text: &str) -> Option<f64> {
    let text: String = text.chars().filter(|c| *c != '_').collect();
    let digits = unsigned(&text).to_ascii_lowercase();
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    let magnitude = match digits.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ => {
            let mut sum = 0.0;
            for part in digits.split(':') {
                sum = sum * 60.0 + part.parse::<f64>().ok()?;
            }
            sum
        }
    };
    Some(sign * magnitude)
}

/// Whether the text is written like a date or a time, and if so, whether there is such a date.
/// `[0-9]{4}-[0-9]{2}-[0-9]{2} | [0-9]{4}-[0-9][0-9]?-[0-9][0-9]? (?:[Tt]|[ \t]+) [0-9][0-9]?
/// :[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?`
pub(super) fn timestamp(text: &str) -> Option<bool> {
    let (year, rest) = digits(text, 4, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let exists = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days(year, month)).contains(&day);
    if rest.is_empty() {
        return (text.len() == 10).then_some(exists);
    }
    let rest = match rest.strip_prefix(['T', 't']) {
        Some(rest) => rest,
        None => Some(rest.trim_start_matches([' ', '\t'])).filter(|r| r.len() < rest.len())?,
    };
    let (hour, rest) = digits(rest, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    let (second, mut rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let exists = exists && hour < 24 && minute < 60 && second < 60;
    let zone = rest.trim_start_matches([' ', '\t']);
    if rest.is_empty() || zone == "Z" {
        return Some(exists);
    }
    let (hours, rest) = digits(zone.strip_prefix(['-', '+'])?, 1, 2)?;
    if rest.is_empty() {
        return Some(exists && hours < 24);
    }
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
    rest.is_empty().then_some(exists && hours < 24 && minutes < 60)
}

fn days(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// As many digits as there are, between `least` and `most`, and what follows.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    Some((text.get(..count)?.parse().ok()?, text.get(count..)?))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn split_sexagesimal(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(head, tail)| (head, Some(tail)))
}

/// `[0-5]?[0-9]`
fn is_sixtieth(text: &str) -> bool {
    match text.as_bytes() {
        [unit] => unit.is_ascii_digit(),
        [ten, unit] => matches!(ten, b'0'..=b'5') && unit.is_ascii_digit(),
        _ => false,
    }
}
