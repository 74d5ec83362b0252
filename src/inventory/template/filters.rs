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
mod jinja;
mod json;
mod layout;
mod methods;
mod numbers;
mod paths;
mod regex;
mod select;
mod tests;
mod text;
mod version;

pub(super) use arguments::{Arguments, NAMESPACES};
pub(super) use text::said;

use arguments::add;

use super::{python, shared::Emitted};

/// How much one expression may do: instructions, and characters that filters work on.
const FUEL: u64 = 1_000_000;

/// The filters that a slip of the pen may mean.
pub(super) const KNOWN: [&str; 79] = [
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
    "escape",
    "extract",
    "first",
    "flatten",
    "float",
    "format",
    "from_json",
    "from_yaml",
    "groupby",
    "hash",
    "human_readable",
    "human_to_bytes",
    "indent",
    "int",
    "intersect",
    "items",
    "items2dict",
    "join",
    "last",
    "length",
    "list",
    "log",
    "lower",
    "mandatory",
    "map",
    "max",
    "min",
    "normpath",
    "path_join",
    "pow",
    "quote",
    "regex_escape",
    "regex_findall",
    "regex_replace",
    "regex_search",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "root",
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
    "symmetric_difference",
    "ternary",
    "title",
    "to_json",
    "to_nice_json",
    "trim",
    "type_debug",
    "union",
    "unique",
    "upper",
    "urlencode",
    "urlsplit",
    "zip",
    "zip_longest",
];

/// The tests that a slip of the pen may mean.
pub(super) const TESTS: [&str; 42] = [
    "abs",
    "all",
    "any",
    "boolean",
    "contains",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "even",
    "false",
    "falsy",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "issubset",
    "issuperset",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "match",
    "nan",
    "ne",
    "none",
    "number",
    "odd",
    "regex",
    "sameas",
    "search",
    "sequence",
    "string",
    "subset",
    "superset",
    "true",
    "truthy",
    "undefined",
    "upper",
    "version",
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
    add(&mut environment, "ternary", ternary);
    // Every undefined value is an error here, so that it has nothing to add.
    add(&mut environment, "mandatory", |value, given| {
        given.get(0, "msg")?;
        Ok(value.clone())
    });
    text::install(&mut environment);
    regex::install(&mut environment);
    paths::install(&mut environment);
    numbers::install(&mut environment);
    data::install(&mut environment);
    select::install(&mut environment);
    json::install(&mut environment);
    // minijinja's is not Python's.
    environment.remove_filter("pprint");
    environment.add_function("dict", data::dict);
    // The words of its hint are told from the template itself.
    environment.add_function("undef", |_: Rest<ValueOrKwargs>| Value::UNDEFINED);
    for namespace in NAMESPACES {
        for name in ["default", "d"] {
            let caught = caught.clone();
            environment.add_filter(
                format!("{namespace}{name}"),
                move |value: Value, args: Rest<ValueOrKwargs>| default(&caught, value, args),
            );
        }
    }
    jinja::install(&mut environment);
    tests::install(&mut environment);
    for namespace in NAMESPACES {
        for (name, wanted) in [("defined", true), ("undefined", false)] {
            let caught = caught.clone();
            environment.add_test(format!("{namespace}{name}"), move |value: Value| {
                if value.is_undefined() {
                    count(&caught);
                }
                value.is_undefined() != wanted
            });
        }
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

/// Ansible's `ternary`: the third value, if there is one, is for null.
fn ternary(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let [yes, no] = [given.get(0, "true_val")?, given.get(1, "false_val")?];
    let chosen = match given.get(2, "none_val")? {
        Some(null) if value.is_none() => Some(null),
        _ if value.is_true() => yes,
        _ => no,
    };
    chosen.ok_or_else(|| ErrorKind::MissingArgument.into())
}
