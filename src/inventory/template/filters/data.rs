//! Filters on lists and mappings, and on numbers.

use minijinja::{Environment, Error, ErrorKind, Value, value::ValueKind};

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
    add(environment, "union", |value, given| Ok(unique(chain(value, given)?).into()));
    add(environment, "intersect", |value, given| sieve(value, given, true));
    add(environment, "difference", |value, given| sieve(value, given, false));
    add(environment, "symmetric_difference", symmetric_difference);
    add(environment, "round", round);
    add(environment, "float", float);
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
    let mut all = Vec::new();
    for part in std::iter::once(value).chain(given.positional()) {
        if is_map(part) { all.push(part.clone()) } else { all.extend(items(part)?) }
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
    let key_name = given.text(0, "key_name")?.unwrap_or_else(|| "key".into());
    let value_name = given.text(1, "value_name")?.unwrap_or_else(|| "value".into());
    let mut made: Vec<(Value, Value)> = Vec::new();
    for item in items(value)? {
        let (key, value) = (item.get_attr(&key_name)?, item.get_attr(&value_name)?);
        if key.is_undefined() || value.is_undefined() {
            return Err(said("an item lacks its key or its value"));
        }
        made.retain(|(known, _)| *known != key);
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
    let mut open: Vec<(Value, usize)> =
        items(value)?.into_iter().rev().map(|i| (i, levels)).collect();
    while let Some((item, left)) = open.pop() {
        match item.kind() {
            ValueKind::Seq if left > 0 => {
                open.extend(items(&item)?.into_iter().rev().map(|inner| (inner, left - 1)));
            }
            ValueKind::None if skip => {}
            _ => flat.push(item),
        }
    }
    Ok(flat.into())
}

fn chain(value: &Value, given: &Arguments) -> Result<Vec<Value>, Error> {
    let other = given.get(0, "b")?.ok_or(ErrorKind::MissingArgument)?;
    Ok([items(value)?, items(&other)?].concat())
}

fn unique(values: Vec<Value>) -> Vec<Value> {
    let mut unique: Vec<Value> = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

fn sieve(value: &Value, given: &Arguments, common: bool) -> Result<Value, Error> {
    let other = items(&given.get(0, "b")?.ok_or(ErrorKind::MissingArgument)?)?;
    let kept = items(value)?.into_iter().filter(|item| other.contains(item) == common);
    Ok(unique(kept.collect()).into())
}

fn symmetric_difference(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let other = items(&given.get(0, "b")?.ok_or(ErrorKind::MissingArgument)?)?;
    let own = items(value)?;
    let odd = chain(value, given)?;
    let odd = odd.into_iter().filter(|item| own.contains(item) != other.contains(item));
    Ok(unique(odd.collect()).into())
}

/// Jinja's `round`: Python rounds halves to the even neighbour, and leaves integers integers.
fn round(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let precision = given.get(0, "precision")?.and_then(|p| p.as_usize()).unwrap_or(0).min(30);
    let method = given.text(1, "method")?.unwrap_or_else(|| "common".into());
    let number = f64::try_from(value.clone()).map_err(|_| said("this is no number"))?;
    let factor = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    let rounded = match method.as_str() {
        "common" if value.is_integer() => return Ok(value.clone()),
        "common" => format!("{number:.precision$}").parse().unwrap_or(number),
        "ceil" => (number * factor).ceil() / factor,
        "floor" => (number * factor).floor() / factor,
        _ => return Err(said("the method of rounding is `common`, `ceil` or `floor`")),
    };
    Ok(rounded.into())
}

fn float(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let other = given.get(0, "default")?.unwrap_or_else(|| Value::from(0.0));
    let number = match value.as_str() {
        Some(text) => text.trim().replace('_', "").parse().ok(),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    Ok(number.map_or(other, Value::from))
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

/// The test `contains`: a part of a text, an element of a list, a key of a mapping.
pub(super) fn contains(value: &Value, part: &Value) -> Result<bool, Error> {
    if let (Some(text), Some(part)) = (value.as_str(), part.as_str()) {
        return Ok(text.contains(part));
    }
    Ok(value.try_iter()?.any(|item| item == *part))
}

pub(super) fn is_within(value: &Value, other: &Value) -> Result<bool, Error> {
    let other = items(other)?;
    Ok(items(value)?.iter().all(|item| other.contains(item)))
}
