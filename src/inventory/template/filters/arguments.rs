//! What a filter is called with.

use std::cell::Cell;

use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Kwargs, Rest, ValueOrKwargs},
};

use super::super::python;

/// The namespaces under which Ansible's own filters, tests and lookups are known.
pub(in super::super) const NAMESPACES: [&str; 2] = ["", "ansible.builtin."];

/// How many bytes of text a filter works on for one step of fuel.
const LETTERS: usize = 16;

/// Positional arguments, and those by name.
pub(in super::super) struct Arguments {
    positional: Vec<Value>,
    named: Kwargs,
    /// How many of the positional ones were looked at.
    seen: Cell<usize>,
}

impl Arguments {
    pub(in super::super) fn new(given: Rest<ValueOrKwargs>) -> Result<Self, Error> {
        Self::of(given.into_values())
    }

    pub(in super::super) fn of(mut positional: Vec<Value>) -> Result<Self, Error> {
        let named = match positional.pop_if(|last| last.is_kwargs()) {
            Some(named) => Kwargs::try_from(named)?,
            None => std::iter::empty::<(String, Value)>().collect(),
        };
        Ok(Self { positional, named, seen: Cell::new(0) })
    }

    pub(in super::super) fn positional(&self) -> &[Value] {
        self.seen.set(usize::MAX);
        &self.positional
    }

    /// An error if there are arguments that nobody looked at: they were meant to change something.
    pub(in super::super) fn nothing_left(&self) -> Result<(), Error> {
        if self.positional.len() > self.seen.get() {
            return Err(ErrorKind::TooManyArguments.into());
        }
        self.named.assert_all_used()
    }

    /// The argument at this position, or of this name.
    pub(in super::super) fn get(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        self.seen.set(self.seen.get().max(at.saturating_add(1)));
        match self.positional.get(at) {
            Some(value) => Ok(Some(value.clone())),
            None => self.named(name),
        }
    }

    pub(in super::super) fn named(&self, name: &str) -> Result<Option<Value>, Error> {
        self.named.get::<Option<Value>>(name)
    }

    pub(in super::super) fn text(&self, at: usize, name: &str) -> Result<Option<String>, Error> {
        self.get(at, name)?.map(|value| python::text(&value)).transpose()
    }

    pub(in super::super) fn needed(&self, at: usize, name: &str) -> Result<String, Error> {
        self.text(at, name)?.ok_or_else(|| Error::from(ErrorKind::MissingArgument))
    }

    pub(in super::super) fn flag(&self, at: usize, name: &str) -> Result<bool, Error> {
        Ok(self.get(at, name)?.is_some_and(|value| value.is_true()))
    }
}

/// A filter: what it is applied to, and its arguments.
pub(in super::super) type Filter = fn(&Value, &Arguments) -> Result<Value, Error>;

/// Adds a filter under all its names. What is undefined goes through it, so that the place that
/// needs it can say what is missing.
pub(in super::super) fn add(environment: &mut Environment<'static>, name: &str, filter: Filter) {
    for namespace in NAMESPACES {
        environment.add_filter(
            format!("{namespace}{name}"),
            move |state: &mut State, value: Value, given: Rest<ValueOrKwargs>| {
                if value.is_undefined() {
                    return Ok(value);
                }
                let given = Arguments::new(given)?;
                let result = filter(&value, &given)?;
                given.nothing_left()?;
                // Long texts cost what they take to make and to hold.
                let length = |value: &Value| value.as_str().map_or(0, str::len);
                let paid = u64::try_from((length(&value) + length(&result)) / LETTERS);
                state.consume_fuel(paid.unwrap_or(u64::MAX))?;
                Ok(result)
            },
        );
    }
}
