//! Filters on lists and mappings, and on numbers.

use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Rest, ValueKind, ValueOrKwargs},
};

use super::{
    super::{objects::mapping, python},
    arguments::{Arguments, add},
    text::said,
};

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "combine", combine);
    add(environment, "dict2items", dict2items);
    add(environment, "items2dict", items2dict);
    add(environment, "extract", extract);
    add(environment, "flatten", flatten);
    add(environment, "union", |value, given| unique(chain(value, given)?));
    add(environment, "intersect", |value, given| sieve(value, given, true));
    add(environment, "difference", |value, given| sieve(value, given, false));
    add(environment, "symmetric_difference", symmetric_difference);
    add(environment, "zip_longest", zip_longest);
    add(environment, "type_debug", |value, _| Ok(type_name(value).into()));
}

fn items(value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => Ok(value.try_iter()?.collect()),
        _ => Err(said("this is no list")),
    }
}

fn is_map(value: &Value) -> bool {
    value.kind() == ValueKind::Map
}

fn entries(value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    if !is_map(value) {
        return Err(said("this is no mapping"));
    }
    value.try_iter()?.map(|key| value.get_item(&key).map(|item| (key, item))).collect()
}

fn combine(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let recursive = given.named("recursive")?.is_some_and(|flag| flag.is_true());
    let lists = match given.named("list_merge")? {
        Some(how) => python::text(&how)?,
        None => "replace".into(),
    };
    let known = ["replace", "keep", "append", "prepend", "append_rp", "prepend_rp"];
    if !known.contains(&&*lists) {
        return Err(said("`list_merge` is none of those that Ansible knows"));
    }
    let mut all = Vec::new();
    for part in std::iter::once(value).chain(given.positional()) {
        match part.kind() {
            ValueKind::Map => all.push(part.clone()),
            ValueKind::None => {}
            _ => all.extend(items(part)?),
        }
    }
    let mut merged = Vec::new();
    for part in all {
        merged = merge(merged, entries(&part)?, recursive, &lists)?;
    }
    Ok(mapping(merged))
}

/// Ansible's `merge_hash`.
fn merge(
    mut low: Vec<(Value, Value)>,
    high: Vec<(Value, Value)>,
    recursive: bool,
    lists: &str,
) -> Result<Vec<(Value, Value)>, Error> {
    affordable(low.len(), high.len())?;
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    for (key, strong) in high {
        let Some((_, weak)) = low.iter_mut().find(|(known, _)| *known == key) else {
            low.push((key, strong));
            continue;
        };
        if recursive && is_map(weak) && is_map(&strong) {
            *weak = mapping(merge(entries(weak)?, entries(&strong)?, recursive, lists)?);
        } else if is_list(weak) && is_list(&strong) {
            let (w, s) = (items(weak)?, items(&strong)?);
            affordable(w.len(), s.len())?;
            let without = || w.iter().filter(|item| !s.contains(item)).cloned();
            *weak = match lists {
                "replace" => strong,
                "keep" => continue,
                "append" => [w, s].concat().into(),
                "prepend" => [s, w].concat().into(),
                "append_rp" => without().chain(s.iter().cloned()).collect::<Vec<_>>().into(),
                "prepend_rp" => s.iter().cloned().chain(without()).collect::<Vec<_>>().into(),
                _ => return Err(said("`list_merge` is none of those that Ansible knows")),
            };
        } else {
            *weak = strong;
        }
    }
    Ok(low)
}

fn dict2items(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let key_name = given.text(0, "key_name")?.unwrap_or_else(|| "key".into());
    let value_name = given.text(1, "value_name")?.unwrap_or_else(|| "value".into());
    let pair = |(key, item): (Value, Value)| {
        mapping(vec![(Value::from(&*key_name), key), (Value::from(&*value_name), item)])
    };
    Ok(entries(value)?.into_iter().map(pair).collect::<Vec<_>>().into())
}

fn items2dict(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let key_name = given.get(0, "key_name")?.unwrap_or_else(|| "key".into());
    let value_name = given.get(1, "value_name")?.unwrap_or_else(|| "value".into());
    let mut made: Vec<(Value, Value)> = Vec::new();
    for item in items(value)? {
        let (key, value) = (item.get_item(&key_name)?, item.get_item(&value_name)?);
        if key.is_undefined() || value.is_undefined() {
            return Err(said("an item lacks its key or its value"));
        }
        made.push((key, value));
    }
    Ok(mapping(made))
}

/// `key | extract(container, further keys)`.
fn extract(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let container = given.get(0, "container")?.ok_or(ErrorKind::MissingArgument)?;
    let mut found = container.get_item(value)?;
    if let Some(more) = given.get(1, "morekeys")? {
        let keys =
            if is_map(&more) || more.as_str().is_some() { vec![more] } else { items(&more)? };
        for key in keys {
            found = found.get_item(&key)?;
        }
    }
    Ok(found)
}

fn flatten(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let levels = given.get(0, "levels")?.and_then(|levels| levels.as_usize()).unwrap_or(usize::MAX);
    let skip = given.get(1, "skip_nulls")?.is_none_or(|skip| skip.is_true());
    let mut flat = Vec::new();
    let all = if value.as_str().is_some() { vec![value.clone()] } else { items(value)? };
    let mut open: Vec<(Value, usize)> = all.into_iter().rev().map(|i| (i, levels)).collect();
    while let Some((item, left)) = open.pop() {
        match item.kind() {
            ValueKind::Seq if left > 0 => {
                open.extend(items(&item)?.into_iter().rev().map(|inner| (inner, left - 1)));
            }
            ValueKind::None if skip => {}
            // Ansible takes the words for null, too.
            _ if skip && matches!(item.as_str(), Some("None" | "null")) => {}
            _ => flat.push(item),
        }
    }
    Ok(flat.into())
}

/// Rows of the elements at the same place, the shorter lists filled up.
fn zip_longest(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let filling = given.named("fillvalue")?.unwrap_or_else(|| Value::from(()));
    let lists = std::iter::once(value).chain(given.positional());
    let lists = lists.map(items).collect::<Result<Vec<_>, _>>()?;
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    affordable(longest, lists.len())?;
    let row = |at: usize| -> Vec<Value> {
        lists.iter().map(|list| list.get(at).unwrap_or(&filling).clone()).collect()
    };
    Ok((0..longest).map(row).collect::<Vec<_>>().into())
}

/// The function `dict`: of pairs, a mapping, and arguments by name.
pub(super) fn dict(given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut given = given.into_values();
    let named = given.pop_if(|last| last.is_kwargs());
    let mut all = Vec::new();
    for part in given.iter().chain(&named) {
        if is_map(part) {
            all.extend(entries(part)?);
            continue;
        }
        for pair in part.try_iter()? {
            let pair: Vec<Value> = pair.try_iter()?.take(3).collect();
            match <[Value; 2]>::try_from(pair) {
                Ok([key, value]) => all.push((key, value)),
                Err(_) => return Err(said("`dict` takes pairs of a key and a value")),
            }
        }
    }
    Ok(mapping(all))
}

fn chain(value: &Value, given: &Arguments) -> Result<Vec<Value>, Error> {
    let other = given.get(0, "b")?.ok_or(ErrorKind::MissingArgument)?;
    Ok([items(value)?, items(&other)?].concat())
}

/// Comparing all of one list with all of another takes its time.
fn affordable(one: usize, other: usize) -> Result<(), Error> {
    const MOST: usize = 1 << 24;
    if one.saturating_mul(other) > MOST { Err(ErrorKind::OutOfFuel.into()) } else { Ok(()) }
}

fn unique(values: Vec<Value>) -> Result<Value, Error> {
    affordable(values.len(), values.len())?;
    let mut unique: Vec<Value> = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    Ok(unique.into())
}

fn sieve(value: &Value, given: &Arguments, common: bool) -> Result<Value, Error> {
    let other = items(&given.get(0, "b")?.ok_or(ErrorKind::MissingArgument)?)?;
    let own = items(value)?;
    affordable(own.len(), other.len())?;
    unique(own.into_iter().filter(|item| other.contains(item) == common).collect())
}

fn symmetric_difference(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let other = items(&given.get(0, "b")?.ok_or(ErrorKind::MissingArgument)?)?;
    let own = items(value)?;
    affordable(own.len() + other.len(), own.len() + other.len())?;
    let odd = chain(value, given)?;
    let odd = odd.into_iter().filter(|item| own.contains(item) != other.contains(item));
    unique(odd.collect())
}

fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Map => "dict",
        _ => "list",
    }
}

/// Whether there is an element that counts as true, or one that does not.
pub(super) fn any_is(value: &Value, wanted: bool) -> Result<bool, Error> {
    Ok(items(value)?.iter().any(|item| item.is_true() == wanted))
}

/// The test `contains`: a part of a text, an element of a list, a key of a mapping.
pub(super) fn contains(value: &Value, part: &Value) -> Result<bool, Error> {
    if let (Some(text), Some(part)) = (value.as_str(), part.as_str()) {
        return Ok(text.contains(part));
    }
    Ok(value.try_iter()?.any(|item| item == *part))
}

pub(super) fn is_within(value: &Value, other: &Value) -> Result<bool, Error> {
    let (other, own) = (items(other)?, items(value)?);
    affordable(own.len(), other.len())?;
    Ok(own.iter().all(|item| other.contains(item)))
}
