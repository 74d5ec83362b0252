//! The engine that evaluates expressions, and the filters whose results are Ansible's, not
//! minijinja's.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, Rest, ValueKind, ValueOrKwargs},
};

/// How much one expression may do: instructions, and characters that filters work on.
const FUEL: u64 = 1_000_000;

/// How often an undefined value was caught by something that is meant to, such as `default`.
pub(super) type Caught = Arc<Mutex<usize>>;

/// An engine without any output of its own.
pub(super) fn environment(undefined: UndefinedBehavior, caught: &Caught) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    // Errors then name what is undefined. Their debug information holds values and is never
    // printed.
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.remove_global("debug");
    for prefix in ["", "ansible.builtin."] {
        let name = |name: &str| format!("{prefix}{name}");
        environment.add_filter(name("bool"), to_bool);
        environment.add_filter(name("int"), to_int);
        environment.add_filter(name("ternary"), ternary);
        environment.add_filter(name("mandatory"), mandatory);
        for default_name in ["default", "d"] {
            let caught = caught.clone();
            environment
                .add_filter(name(default_name), move |value: Value, args: Rest<ValueOrKwargs>| {
                    default(&caught, value, args)
                });
        }
    }
    for (name, wanted) in [("defined", true), ("undefined", false)] {
        let caught = caught.clone();
        environment.add_test(name, move |value: Value| {
            if value.is_undefined() {
                count(&caught);
            }
            value.is_undefined() != wanted
        });
    }
    environment
}

fn count(caught: &Caught) {
    *caught.lock().unwrap_or_else(PoisonError::into_inner) += 1;
}

/// Positional arguments, and those by name.
fn arguments(args: &[Value]) -> Result<(&[Value], Kwargs), Error> {
    match args.split_last() {
        Some((last, positional)) if last.is_kwargs() => {
            Ok((positional, Kwargs::try_from(last.clone())?))
        }
        _ => Ok((args, std::iter::empty::<(String, Value)>().collect())),
    }
}

/// Jinja's `default`: for an undefined value, with `true` for any that counts as false.
fn default(caught: &Caught, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (positional, named) = arguments(&args)?;
    if value.is_undefined() {
        count(caught);
    }
    let any_false = match positional.get(1) {
        Some(flag) => flag.is_true(),
        None => named.get::<Option<bool>>("boolean")?.unwrap_or(false),
    };
    let other = match positional.first() {
        Some(other) => other.clone(),
        None => named.get::<Option<Value>>("default_value")?.unwrap_or_else(|| Value::from("")),
    };
    if value.is_undefined() || (any_false && !value.is_true()) { Ok(other) } else { Ok(value) }
}

/// Ansible's `bool`: what a person would call true, and nothing else.
fn to_bool(value: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(value.clone());
    }
    if value.kind() == ValueKind::Bool {
        return Ok(value.clone());
    }
    let text = match value.as_str() {
        Some(text) => text.to_lowercase(),
        None if value == &Value::from(1) => "1".to_owned(),
        None => String::new(),
    };
    Ok(matches!(text.as_str(), "yes" | "on" | "1" | "true").into())
}

/// Jinja's `int`: 0, or the default, for what is no number.
fn to_int(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (positional, named) = arguments(&args)?;
    if value.is_undefined() {
        return Ok(value);
    }
    let other = match positional.first() {
        Some(other) => other.clone(),
        None => named.get::<Option<Value>>("default")?.unwrap_or_else(|| Value::from(0)),
    };
    let base = match positional.get(1) {
        Some(base) => u32::try_from(base.clone())?,
        None => named.get::<Option<u32>>("base")?.unwrap_or(10),
    };
    if !(2..=36).contains(&base) {
        return Err(Error::new(ErrorKind::InvalidOperation, "base out of range"));
    }
    if let Some(text) = value.as_str() {
        return Ok(int_of_text(text, base).map_or(other, Value::from));
    }
    let number = match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        ValueKind::Number => {
            i64::try_from(value.clone()).ok().or_else(|| truncate(f64::try_from(value).ok()?))
        }
        _ => None,
    };
    Ok(number.map_or(other, Value::from))
}

/// Python's `int(text, base)`, else `int(float(text))`.
fn int_of_text(text: &str, base: u32) -> Option<i64> {
    let bare = text.trim().replace('_', "");
    let (sign, digits) = match bare.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let lower = digits.to_ascii_lowercase();
    let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
    let whole = i64::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with(['+', '-']));
    whole.map(|n| sign * n).or_else(|| truncate(bare.parse().ok()?))
}

fn truncate(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    // Beyond 2^53 a float is no exact integer any more.
    #[allow(clippy::cast_possible_truncation)]
    (number.is_finite() && number.abs() <= LIMIT).then(|| number.trunc() as i64)
}

/// Ansible's `ternary`: the third value, if there is one, is for null.
fn ternary(value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let (positional, named) = arguments(&args)?;
    let pick = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        match positional.get(at) {
            Some(value) => Ok(Some(value.clone())),
            None => named.get::<Option<Value>>(name),
        }
    };
    let missing = || Error::from(ErrorKind::MissingArgument);
    let null = pick(2, "none_val")?;
    if value.is_undefined() {
        return Ok(value);
    }
    match null {
        Some(null) if value.is_none() => Ok(null),
        _ if value.is_true() => pick(0, "true_val")?.ok_or_else(missing),
        _ => pick(1, "false_val")?.ok_or_else(missing),
    }
}

/// Ansible's `mandatory`. Every undefined value is an error here, so that it has nothing to add.
fn mandatory(value: Value, _message: Rest<ValueOrKwargs>) -> Value {
    value
}
