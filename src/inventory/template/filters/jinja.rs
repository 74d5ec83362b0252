//! Jinja's own filters and tests under the names that Ansible gives them as well.

use minijinja::{
    Environment, State, Value,
    value::{Rest, ValueOrKwargs},
};

/// Filters that are minijinja's.
const FILTERS: [&str; 20] = [
    "abs", "batch", "count", "dictsort", "first", "format", "groupby", "items", "last", "length",
    "list", "lower", "replace", "reverse", "slice", "sum", "title", "trim", "unique", "upper",
];

/// Tests that are minijinja's.
const TESTS: [&str; 31] = [
    "boolean",
    "divisibleby",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "string",
    "true",
    "upper",
    "==",
    "!=",
    "<",
    ">",
    ">=",
];

/// To be called before tests of our own are added.
pub(super) fn install(environment: &mut Environment<'static>) {
    for name in FILTERS {
        environment.add_filter(
            format!("ansible.builtin.{name}"),
            move |state: &mut State, value: Value, given: Rest<ValueOrKwargs>| {
                state.apply_filter(name, &[vec![value], given.into_values()].concat())
            },
        );
    }
    for name in TESTS {
        environment.add_test(
            format!("ansible.builtin.{name}"),
            move |state: &mut State, value: Value, given: Rest<ValueOrKwargs>| {
                state.perform_test(name, &[vec![value], given.into_values()].concat())
            },
        );
    }
    environment.add_filter(
        "ansible.builtin.zip",
        |state: &mut State, value: Value, given: Rest<ValueOrKwargs>| {
            state.apply_filter("zip", &[vec![value], given.into_values()].concat())
        },
    );
}
