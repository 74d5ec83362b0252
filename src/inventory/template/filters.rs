//! The engine that evaluates expressions, and the filters whose results are Ansible's, not
//! minijinja's.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Rest, ValueKind, ValueOrKwargs},
};

mod arguments;
mod data;
mod json;
mod methods;
mod text;
mod version;

pub(super) use arguments::{Arguments, NAMESPACES};
pub(super) use text::said;

use arguments::add;
use text::Anchor;

use super::{python, shared::Emitted};

/// How much one expression may do: instructions, and characters that filters work on.
const FUEL: u64 = 1_000_000;

/// The filters that a slip of the pen may mean.
pub(super) const KNOWN: [&str; 66] = [
    "abs",
    "b64decode",
    "b64encode",
    "basename",
    "batch",
    "bool",
    "capitalize",
    "checksum",
    "combine",
    "count",
    "default",
    "dict2items",
    "dictsort",
    "difference",
    "dirname",
    "extract",
    "first",
    "flatten",
    "float",
    "format",
    "from_json",
    "from_yaml",
    "groupby",
    "hash",
    "indent",
    "int",
    "intersect",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "mandatory",
    "map",
    "max",
    "min",
    "quote",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "round",
    "select",
    "selectattr",
    "sha1",
    "slice",
    "sort",
    "split",
    "splitext",
    "string",
    "sum",
    "ternary",
    "title",
    "to_json",
    "to_nice_json",
    "trim",
    "type_debug",
    "union",
    "unique",
    "upper",
    "zip",
];

/// How often an undefined value was caught by something that is meant to, such as `default`.
pub(super) type Caught = Arc<Mutex<usize>>;

/// An engine without any output of its own.
pub(super) fn environment(
    undefined: UndefinedBehavior,
    caught: &Caught,
    emitted: &Emitted,
) -> Environment<'static> {
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
    let emitted = emitted.clone();
    environment.set_formatter(move |out, _, value| {
        if !python::is_nothing(value) {
            emitted.lock().unwrap_or_else(PoisonError::into_inner).push(value.clone());
        }
        out.write_str(&python::among_text(value)?).map_err(|_| ErrorKind::OutOfFuel.into())
    });
    environment
        .set_unknown_method_callback(|_, value, name, given| methods::call(value, name, given));
    add(&mut environment, "bool", |value, _| to_bool(value));
    add(&mut environment, "int", to_int);
    add(&mut environment, "ternary", ternary);
    // Every undefined value is an error here, so that it has nothing to add.
    add(&mut environment, "mandatory", |value, _| Ok(value.clone()));
    text::install(&mut environment);
    data::install(&mut environment);
    json::install(&mut environment);
    for namespace in NAMESPACES {
        for name in ["default", "d"] {
            let caught = caught.clone();
            environment.add_filter(
                format!("{namespace}{name}"),
                move |value: Value, args: Rest<ValueOrKwargs>| default(&caught, value, args),
            );
        }
    }
    tests(&mut environment);
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

pub(super) fn count(caught: &Caught) {
    *caught.lock().unwrap_or_else(PoisonError::into_inner) += 1;
}

/// Jinja's `default`: for an undefined value, with `true` for any that counts as false.
fn default(caught: &Caught, value: Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = Arguments::new(args)?;
    if value.is_undefined() {
        count(caught);
    }
    let any_false = given.flag(1, "boolean")?;
    let other = given.get(0, "default_value")?.unwrap_or_else(|| Value::from(""));
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
fn to_int(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let other = given.get(0, "default")?.unwrap_or_else(|| Value::from(0));
    let base = match given.get(1, "base")? {
        Some(base) => u32::try_from(base)?,
        None => 10,
    };
    if !(2..=36).contains(&base) {
        return Err(Error::new(ErrorKind::InvalidOperation, "base out of range"));
    }
    if let Some(text) = value.as_str() {
        return Ok(int_of_text(text, base).map_or(other, Value::from));
    }
    let number = match value.kind() {
        ValueKind::Bool => Some(i64::from(value.is_true())),
        ValueKind::Number => i64::try_from(value.clone())
            .ok()
            .or_else(|| truncate(f64::try_from(value.clone()).ok()?)),
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
fn ternary(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let missing = || Error::from(ErrorKind::MissingArgument);
    match given.get(2, "none_val")? {
        Some(null) if value.is_none() => Ok(null),
        _ if value.is_true() => given.get(0, "true_val")?.ok_or_else(missing),
        _ => given.get(1, "false_val")?.ok_or_else(missing),
    }
}

/// The tests that Ansible adds to Jinja's.
fn tests(environment: &mut Environment<'static>) {
    for namespace in NAMESPACES {
        let name = |name: &str| format!("{namespace}{name}");
        for (test, how) in
            [("match", Anchor::Start), ("search", Anchor::None), ("regex", Anchor::None)]
        {
            environment.add_test(name(test), move |value: Value, given: Rest<ValueOrKwargs>| {
                text::matches(&value, &Arguments::new(given)?, how)
            });
        }
        environment
            .add_test(name("truthy"), |value: Value, _: Rest<ValueOrKwargs>| value.is_true());
        environment
            .add_test(name("falsy"), |value: Value, _: Rest<ValueOrKwargs>| !value.is_true());
        environment
            .add_test(name("contains"), |value: Value, part: Value| data::contains(&value, &part));
        for all in ["subset", "issubset"] {
            environment
                .add_test(name(all), |value: Value, other: Value| data::is_within(&value, &other));
        }
        for all in ["superset", "issuperset"] {
            environment
                .add_test(name(all), |value: Value, other: Value| data::is_within(&other, &value));
        }
        for all in ["version", "version_compare"] {
            environment.add_test(name(all), |value: Value, given: Rest<ValueOrKwargs>| {
                version::compare(&value, &Arguments::new(given)?)
            });
        }
    }
}
