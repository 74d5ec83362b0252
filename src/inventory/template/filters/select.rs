//! Filters that put each element of a list to a filter or a test, or sort them: unlike minijinja's
//! own they pass on every argument and do not take what is missing for a value.

use std::cmp::Ordering;

use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Rest, ValueKind, ValueOrKwargs},
};

use super::{
    arguments::{Arguments, NAMESPACES, add},
    text::said,
};

pub(super) fn install(environment: &mut Environment<'static>) {
    for namespace in NAMESPACES {
        environment.add_filter(format!("{namespace}map"), map);
        for (name, by_attribute, wanted) in [
            ("select", false, true),
            ("reject", false, false),
            ("selectattr", true, true),
            ("rejectattr", true, false),
        ] {
            environment.add_filter(
                format!("{namespace}{name}"),
                move |state: &mut State, value: Value, given: Rest<ValueOrKwargs>| {
                    select(state, &value, given, by_attribute, wanted)
                },
            );
        }
    }
    add(environment, "sort", sort);
    add(environment, "min", |value, given| extreme(value, given, Ordering::Less));
    add(environment, "max", |value, given| extreme(value, given, Ordering::Greater));
}

/// The elements; of null none.
fn elements(value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::None => Ok(Vec::new()),
        // Text is a list of its letters.
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            Ok(text.chars().map(|c| c.to_string().into()).collect())
        }
        ValueKind::Number | ValueKind::Bool => Err(said("this is no list")),
        _ => Ok(value.try_iter()?.collect()),
    }
}

/// `a.b.0` of an element; undefined if any part of it is not there.
fn attribute(item: &Value, path: &Value) -> Value {
    let step = |found: Value, key: Value| match found.is_undefined() {
        true => found,
        false => found.get_item(&key).unwrap_or(Value::UNDEFINED),
    };
    match path.as_str() {
        Some(path) => path.split('.').fold(item.clone(), |found, part| {
            let key = part.parse::<i64>().map_or_else(|_| Value::from(part), Value::from);
            step(found, key)
        }),
        None => step(item.clone(), path.clone()),
    }
}

fn lacks() -> Error {
    said("an element has no such attribute; `selectattr('name', 'defined')` picks those that do")
}

fn map(state: &mut State, value: Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(value);
    }
    let given = given.into_values();
    if given.first().is_none_or(Value::is_kwargs) {
        let given = Arguments::of(given)?;
        let path = given.named("attribute")?;
        let path = path.ok_or_else(|| said("`map` needs a filter or `attribute=`"))?;
        let other = given.named("default")?;
        given.nothing_left()?;
        let found = elements(&value)?.into_iter().map(|item| {
            let found = attribute(&item, &path);
            match (found.is_undefined(), &other) {
                (true, Some(other)) => Ok(other.clone()),
                (true, None) => Err(lacks()),
                (false, _) => Ok(found),
            }
        });
        return Ok(found.collect::<Result<Vec<_>, _>>()?.into());
    }
    let (filter, arguments) = given.split_first().ok_or(ErrorKind::MissingArgument)?;
    let filter = filter.as_str().ok_or_else(|| said("the name of a filter is text"))?;
    let mut mapped = Vec::new();
    for item in elements(&value)? {
        state.consume_fuel(1)?;
        mapped.push(state.apply_filter(filter, &[&[item], arguments].concat())?);
    }
    Ok(mapped.into())
}

fn select(
    state: &mut State,
    value: &Value,
    given: Rest<ValueOrKwargs>,
    by_attribute: bool,
    wanted: bool,
) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(value.clone());
    }
    let mut given = given.into_values();
    let path = match by_attribute {
        true if given.first().is_none_or(Value::is_kwargs) => {
            return Err(said("the attribute to select by is missing"));
        }
        true => Some(given.remove(0)),
        false => None,
    };
    let test = match given.split_first() {
        Some((name, arguments)) => {
            let name = name.as_str().ok_or_else(|| said("the name of a test is text"))?;
            Some((name, arguments))
        }
        None => None,
    };
    let sees_undefined = test.is_some_and(|(name, _)| {
        let bare = name.strip_prefix("ansible.builtin.").unwrap_or(name);
        matches!(bare, "defined" | "undefined")
    });
    let mut selected = Vec::new();
    for item in elements(value)? {
        state.consume_fuel(1)?;
        let looked_at = path.as_ref().map_or_else(|| item.clone(), |path| attribute(&item, path));
        if looked_at.is_undefined() && !sees_undefined {
            return Err(lacks());
        }
        let holds = match test {
            Some((name, arguments)) => {
                state.perform_test(name, &[&[looked_at], arguments].concat())?
            }
            None => looked_at.is_true(),
        };
        if holds == wanted {
            selected.push(item);
        }
    }
    Ok(selected.into())
}

/// What elements are sorted by. Python compares numbers with numbers and text with text alone.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Null,
    Number(Number),
    Text(String),
    List(Vec<Key>),
}

#[derive(Debug)]
struct Number(f64, i128);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        // Integers that are one float are told apart by themselves.
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Key {
    fn of(value: &Value, fold: bool) -> Result<Self, Error> {
        Ok(match value.kind() {
            ValueKind::None => Self::Null,
            ValueKind::Bool => {
                let bit = u8::from(value.is_true());
                Self::Number(Number(f64::from(bit), bit.into()))
            }
            ValueKind::Number => {
                let float = f64::try_from(value.clone()).map_err(|_| incomparable())?;
                #[allow(clippy::cast_possible_truncation)]
                let whole = i128::try_from(value.clone()).unwrap_or(float as i128);
                Self::Number(Number(float, whole))
            }
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                Self::Text(if fold { text.to_lowercase() } else { text.to_owned() })
            }
            ValueKind::Seq => {
                let items = value.try_iter()?.map(|item| Self::of(&item, false));
                Self::List(items.collect::<Result<_, _>>()?)
            }
            ValueKind::Undefined => return Err(lacks()),
            _ => return Err(incomparable()),
        })
    }

    /// Whether Python compares the two.
    fn compares_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(own), Self::List(others)) => {
                own.iter().zip(others).all(|(own, other)| own.compares_with(other))
            }
            (Self::Number(_), Self::Number(_)) | (Self::Text(_), Self::Text(_)) => true,
            (Self::Null, Self::Null) => true,
            _ => false,
        }
    }
}

fn incomparable() -> Error {
    said("these values have no order among each other")
}

fn sort(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let reverse = given.flag(0, "reverse")?;
    let fold = !given.flag(1, "case_sensitive")?;
    let attributes: Vec<Value> = match given.get(2, "attribute")? {
        Some(paths) => match paths.as_str() {
            Some(paths) => paths.split(',').map(|path| path.trim().into()).collect(),
            None => vec![paths],
        },
        None => Vec::new(),
    };
    let mut keyed = keyed(value, fold, &attributes)?;
    match reverse {
        true => keyed.sort_by(|a, b| b.0.cmp(&a.0)),
        false => keyed.sort_by(|a, b| a.0.cmp(&b.0)),
    }
    Ok(keyed.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into())
}

/// The first of the least or greatest elements; undefined if there is none.
fn extreme(value: &Value, given: &Arguments, wanted: Ordering) -> Result<Value, Error> {
    let fold = !given.flag(0, "case_sensitive")?;
    let attribute: Vec<Value> = given.get(1, "attribute")?.into_iter().collect();
    let mut best: Option<(Key, Value)> = None;
    for (key, item) in keyed(value, fold, &attribute)? {
        if best.as_ref().is_none_or(|(known, _)| key.cmp(known) == wanted) {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

/// The elements with what they are compared by, if Python compares them all.
fn keyed(value: &Value, fold: bool, attributes: &[Value]) -> Result<Vec<(Key, Value)>, Error> {
    let mut keyed = Vec::new();
    for item in elements(value)? {
        let key = match attributes {
            [] => vec![Key::of(&item, fold)?],
            paths => {
                let keys = paths.iter().map(|path| Key::of(&attribute(&item, path), fold));
                keys.collect::<Result<_, _>>()?
            }
        };
        keyed.push((Key::List(key), item));
    }
    if !keyed.windows(2).all(|two| matches!(two, [a, b] if a.0.compares_with(&b.0))) {
        return Err(incomparable());
    }
    Ok(keyed)
}
