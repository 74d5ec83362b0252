//! What a plain scalar means: PyYAML's resolver for YAML 1.1 (`resolver.py` and `constructor.py`
//! of PyYAML 6.0), which is Ansible's.

use super::{super::Value, number};

/// What a plain scalar turns out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Resolved {
    /// A value.
    Value(Value),
    /// An integer beyond 64 bits. Python has them; nothing here needs them, so it stays text.
    Huge,
    /// `<<`, which only a key may be.
    Merge,
    /// `=`, which PyYAML has no use for.
    Default,
    /// Written like a number or a date, but none: PyYAML fails on it. Says what it looks like.
    Broken(&'static str),
}

pub(super) fn resolve(text: &str) -> Resolved {
    if let Some(value) = simple(text) {
        return Resolved::Value(value);
    }
    match text {
        "<<" => return Resolved::Merge,
        "=" => return Resolved::Default,
        _ => {}
    }
    // Every other form that is not a string starts so; most scalars stop here.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Resolved::Value(Value::String(text.into()));
    }
    if number::is_float(text) {
        return float(text);
    }
    if number::is_int(text) {
        return match number::int(text) {
            Ok(Some(value)) => Resolved::Value(Value::Int(value)),
            Ok(None) => Resolved::Huge,
            Err(number::NoDigits) => Resolved::Broken("a number without digits"),
        };
    }
    match number::timestamp(text) {
        Some(true) => Resolved::Value(Value::Timestamp(text.into())),
        Some(false) => Resolved::Broken("a date or time that does not exist"),
        None => Resolved::Value(Value::String(text.into())),
    }
}

/// Null and the booleans. `y` and `n` are text to PyYAML.
pub(super) fn simple(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => return None,
    })
}

/// NaN and the infinities are refused: no setting means one, and JSON has none.
pub(super) fn float(text: &str) -> Resolved {
    match number::float(text) {
        Some(value) if value.is_finite() => Resolved::Value(Value::Float(value)),
        _ => Resolved::Broken("a number that is not finite"),
    }
}
