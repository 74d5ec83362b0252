//! Methods of Python's texts and dictionaries that inventories use.

use minijinja::{Error, ErrorKind, Value, value::ValueKind};

use super::{
    super::python,
    text::{capitalized, said},
};

/// Calls a method; an error if there is none of this name.
pub(super) fn call(value: &Value, name: &str, given: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    let argument = |at: usize| given.get(at).map(python::text).transpose();
    let needed = |at: usize| argument(at)?.ok_or_else(|| Error::from(ErrorKind::MissingArgument));
    if value.kind() == ValueKind::Map {
        return match name {
            "keys" => Ok(value.try_iter()?.collect::<Vec<_>>().into()),
            "values" => {
                let values = value.try_iter()?.map(|key| value.get_item(&key));
                Ok(values.collect::<Result<Vec<_>, _>>()?.into())
            }
            "items" => {
                let pair = |key: Value| Ok(Value::from(vec![key.clone(), value.get_item(&key)?]));
                Ok(value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.into())
            }
            "get" => {
                let key = given.first().ok_or(ErrorKind::MissingArgument)?;
                let found = value.get_item(key)?;
                let other = || given.get(1).cloned().unwrap_or_else(|| Value::from(()));
                Ok(if found.is_undefined() { other() } else { found })
            }
            _ => Err(unknown()),
        };
    }
    let text = value.as_str().ok_or_else(unknown)?;
    let of_set = |set: &Option<String>, c: char| match set {
        Some(set) => set.contains(c),
        None => c.is_whitespace(),
    };
    Ok(match name {
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "capitalize" => capitalized(text).into(),
        "strip" => {
            let set = argument(0)?;
            text.trim_matches(|c| of_set(&set, c)).into()
        }
        "lstrip" => {
            let set = argument(0)?;
            text.trim_start_matches(|c| of_set(&set, c)).into()
        }
        "rstrip" => {
            let set = argument(0)?;
            text.trim_end_matches(|c| of_set(&set, c)).into()
        }
        "startswith" => text.starts_with(&needed(0)?).into(),
        "endswith" => text.ends_with(&needed(0)?).into(),
        "replace" => text.replace(&needed(0)?, &needed(1)?).into(),
        "split" => {
            let most = given.get(1).and_then(Value::as_usize).map_or(usize::MAX, |most| most + 1);
            match argument(0)? {
                Some(separator) if separator.is_empty() => return Err(said("an empty separator")),
                Some(separator) => owned(text.splitn(most, &separator)),
                None => owned(text.split_whitespace()),
            }
        }
        "splitlines" => owned(text.lines()),
        "join" => {
            let items = given.first().ok_or(ErrorKind::MissingArgument)?.try_iter()?;
            items.map(|item| python::text(&item)).collect::<Result<Vec<_>, _>>()?.join(text).into()
        }
        "isdigit" => (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())).into(),
        "find" => text.find(&needed(0)?).and_then(|at| i64::try_from(at).ok()).unwrap_or(-1).into(),
        "count" => text.matches(&needed(0)?).count().into(),
        _ => return Err(unknown()),
    })
}

fn owned<'a>(parts: impl Iterator<Item = &'a str>) -> Value {
    parts.map(str::to_owned).collect::<Vec<_>>().into()
}
