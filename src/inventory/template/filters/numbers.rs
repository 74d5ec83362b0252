//! Filters on numbers.

use minijinja::{Environment, Error, Value, value::ValueKind};

use super::{
    super::python,
    arguments::{Arguments, add},
    text::said,
};

/// From 1 on each a factor of 1024.
const UNITS: &str = "BKMGTPEZY";

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "int", int);
    add(environment, "float", float);
    add(environment, "round", round);
    add(environment, "log", |value, given| {
        let base = given.get(0, "base")?.map(|base| number(&base)).transpose()?;
        let value = number(value)?;
        Ok(match base {
            // More exact than a quotient of logarithms, as Python has it.
            Some(10.0) => value.log10(),
            Some(base) => value.ln() / base.ln(),
            None => value.ln(),
        }
        .into())
    });
    add(environment, "pow", |value, given| {
        let power = given.get(0, "y")?.ok_or(minijinja::ErrorKind::MissingArgument)?;
        Ok(number(value)?.powf(number(&power)?).into())
    });
    add(environment, "root", |value, given| {
        let base = given.get(0, "base")?.map_or(Ok(2.0), |base| number(&base))?;
        let value = number(value)?;
        Ok(if base == 2.0 { value.sqrt() } else { value.powf(base.recip()) }.into())
    });
    add(environment, "human_to_bytes", human_to_bytes);
    add(environment, "human_readable", human_readable);
}

fn number(value: &Value) -> Result<f64, Error> {
    match value.kind() {
        ValueKind::Bool => Ok(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => {
            f64::try_from(value.clone()).map_err(|_| said("this is no usable number"))
        }
        _ => Err(said("this is no number")),
    }
}

/// What a text or a float is as an integer.
enum Whole {
    Fits(i64),
    TooLarge,
    None,
}

/// Jinja's `int`: 0, or the default, for what is no number.
fn int(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let other = given.get(0, "default")?.unwrap_or_else(|| Value::from(0));
    let base = match given.get(1, "base")? {
        Some(base) => u32::try_from(base)?,
        None => 10,
    };
    if !(2..=36).contains(&base) {
        return Err(said("the base is a number from 2 to 36"));
    }
    let whole = match (value.as_str(), value.kind()) {
        (Some(text), _) => int_of_text(text, base),
        (None, ValueKind::Bool) => Whole::Fits(i64::from(value.is_true())),
        (None, ValueKind::Number) => match i64::try_from(value.clone()) {
            Ok(whole) => Whole::Fits(whole),
            Err(_) => f64::try_from(value.clone()).map_or(Whole::None, truncated),
        },
        _ => Whole::None,
    };
    match whole {
        Whole::Fits(whole) => Ok(whole.into()),
        Whole::TooLarge => Err(said("the integer needs more than 64 bits")),
        Whole::None => Ok(other),
    }
}

/// Python's `int(text, base)`, else `int(float(text))`.
fn int_of_text(text: &str, base: u32) -> Whole {
    let bare = text.trim();
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", bare.strip_prefix('+').unwrap_or(bare)),
    };
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let lower = digits.to_ascii_lowercase();
    let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
    if let Some(digits) =
        ungrouped(digits).filter(|digits| digits.chars().all(|c| c.is_digit(base)))
    {
        return match i64::from_str_radix(&format!("{sign}{digits}"), base) {
            Ok(whole) => Whole::Fits(whole),
            Err(_) => Whole::TooLarge,
        };
    }
    match float_of_text(bare) {
        Some(float) => truncated(float),
        None => Whole::None,
    }
}

/// Digits without the `_` between them, which Python allows one at a time.
fn ungrouped(digits: &str) -> Option<String> {
    let wrong = digits.is_empty()
        || digits.starts_with('_')
        || digits.ends_with('_')
        || digits.contains("__");
    (!wrong).then(|| digits.replace('_', ""))
}

/// Python's `float`, except that it is finite.
fn float_of_text(text: &str) -> Option<f64> {
    ungrouped(text.trim())?.parse().ok()
}

fn truncated(number: f64) -> Whole {
    // 2^63: from here on it does not fit.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if !number.is_finite() {
        return Whole::None;
    }
    if !(-LIMIT..LIMIT).contains(&number) {
        return Whole::TooLarge;
    }
    #[allow(clippy::cast_possible_truncation)]
    Whole::Fits(number.trunc() as i64)
}

fn float(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let other = given.get(0, "default")?.unwrap_or_else(|| Value::from(0.0));
    let float = match value.as_str() {
        Some(text) => float_of_text(text),
        None => number(value).ok(),
    };
    Ok(float.map_or(other, Value::from))
}

/// Jinja's `round`: Python rounds halves to the even neighbour, and leaves integers integers.
fn round(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let precision = match given.get(0, "precision")? {
        Some(precision) => i32::try_from(precision)?.clamp(-30, 30),
        None => 0,
    };
    let method = given.text(1, "method")?.unwrap_or_else(|| "common".into());
    let float = number(value)?;
    let factor = 10f64.powi(precision);
    let rounded = match method.as_str() {
        "common" if value.is_integer() && precision >= 0 => return Ok(value.clone()),
        "common" => match usize::try_from(precision) {
            Ok(digits) => format!("{float:.digits$}").parse().unwrap_or(float),
            Err(_) => (float * factor).round_ties_even() / factor,
        },
        "ceil" => (float * factor).ceil() / factor,
        "floor" => (float * factor).floor() / factor,
        _ => return Err(said("the method of rounding is `common`, `ceil` or `floor`")),
    };
    if value.is_integer() && method == "common" {
        return match truncated(rounded) {
            Whole::Fits(whole) => Ok(whole.into()),
            _ => Err(said("the integer needs more than 64 bits")),
        };
    }
    Ok(rounded.into())
}

/// `1M`, `1.5 GB`, `10`: each unit is 1024 of the next smaller one.
fn human_to_bytes(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let wrong = || said("this is no size such as `10`, `1.5 GB` or `1M`");
    let text = python::text(value)?;
    let unit_of_bare = given.text(0, "default_unit")?;
    let bits = given.flag(1, "isbits")?;
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let mut unit = unit.trim().to_owned();
    if unit.is_empty() {
        unit = unit_of_bare.unwrap_or_default();
    }
    let first = unit.chars().next().unwrap_or('B').to_ascii_uppercase();
    let power = UNITS.find(first).ok_or_else(wrong)?;
    let kind = if bits { "b" } else { "B" };
    let word = if bits { "bit" } else { "byte" };
    let names = ["", "kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta"];
    let long = format!("{}{word}", names.get(power).copied().unwrap_or_default());
    let rest = unit.get(1..).unwrap_or_default();
    let known = match power {
        0 => unit.is_empty() || unit == kind || unit.to_lowercase().trim_end_matches('s') == word,
        _ => rest.is_empty() || rest == kind || unit.to_lowercase().trim_end_matches('s') == long,
    };
    if !known {
        return Err(wrong());
    }
    let bytes = number * 1024f64.powi(i32::try_from(power).unwrap_or(0));
    match truncated(bytes.round_ties_even()) {
        Whole::Fits(whole) => Ok(whole.into()),
        _ => Err(said("the integer needs more than 64 bits")),
    }
}

/// `1.46 KB`: the largest unit that leaves a number of at least 1.
fn human_readable(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let bits = given.flag(0, "isbits")?;
    let unit = given.text(1, "unit")?.and_then(|unit| unit.chars().next());
    let size = number(value)?;
    let names = UNITS.chars().zip(0..).collect::<Vec<_>>();
    let fits = |(name, power): &&(char, i32)| match unit {
        Some(unit) => name.eq_ignore_ascii_case(&unit),
        None => size >= 1024f64.powi(*power) || *power == 0,
    };
    let (name, power) = names.iter().rev().find(fits).ok_or_else(|| said("no unit of sizes"))?;
    let suffix = match (power, bits) {
        (0, false) => "Bytes".to_owned(),
        (0, true) => "bits".to_owned(),
        (_, false) => format!("{name}B"),
        (_, true) => format!("{name}b"),
    };
    Ok(format!("{:.2} {suffix}", size / 1024f64.powi(*power)).into())
}
