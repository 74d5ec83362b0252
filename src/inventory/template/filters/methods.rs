//! Methods of Python's texts, lists and dictionaries that inventories use.

use minijinja::{
    Error, ErrorKind, Value,
    value::{Rest, ValueKind, ValueOrKwargs, from_args},
};

use super::{
    super::{evaluate::LONGEST, python},
    arguments::Arguments,
    layout,
    text::{capitalized, said},
};

/// Calls a method; an error if there is none of this name.
pub(super) fn call(value: &Value, name: &str, given: &[Value]) -> Result<Value, Error> {
    let given = Arguments::new(from_args::<(Rest<ValueOrKwargs>,)>(given)?.0)?;
    let result = match (value.kind(), value.as_str()) {
        (_, Some(text)) => of_text(text, name, &given),
        (ValueKind::Map, _) => of_mapping(value, name, &given),
        (ValueKind::Seq, _) => of_list(value, name, &given),
        _ => Err(ErrorKind::UnknownMethod.into()),
    }?;
    given.nothing_left()?;
    Ok(result)
}

fn of_mapping(value: &Value, name: &str, given: &Arguments) -> Result<Value, Error> {
    match name {
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
            let key = given.get(0, "key")?.ok_or(ErrorKind::MissingArgument)?;
            let other = given.get(1, "default")?;
            let found = value.get_item(&key)?;
            let other = || other.unwrap_or_else(|| Value::from(()));
            Ok(if found.is_undefined() { other() } else { found })
        }
        "copy" => Ok(value.clone()),
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn of_list(value: &Value, name: &str, given: &Arguments) -> Result<Value, Error> {
    let item = || given.get(0, "value")?.ok_or_else(|| Error::from(ErrorKind::MissingArgument));
    match name {
        "count" => {
            let item = item()?;
            Ok(value.try_iter()?.filter(|known| *known == item).count().into())
        }
        "index" => {
            let item = item()?;
            let at = value.try_iter()?.position(|known| known == item);
            Ok(at.ok_or_else(|| said("the list does not have this element"))?.into())
        }
        "copy" => Ok(value.clone()),
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn of_text(text: &str, name: &str, given: &Arguments) -> Result<Value, Error> {
    let whole = |at: &str| given.needed(0, at);
    Ok(match name {
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "capitalize" => capitalized(text).into(),
        "title" => titled(text).into(),
        "swapcase" => text.chars().map(swapped).collect::<String>().into(),
        "strip" | "lstrip" | "rstrip" => stripped(text, name, given)?.into(),
        "removeprefix" => text.strip_prefix(&*whole("prefix")?).unwrap_or(text).into(),
        "removesuffix" => text.strip_suffix(&*whole("suffix")?).unwrap_or(text).into(),
        "startswith" => any_of(given, |part| text.starts_with(part))?.into(),
        "endswith" => any_of(given, |part| text.ends_with(part))?.into(),
        "replace" => replaced(text, given)?.into(),
        "split" | "rsplit" => split(text, name == "rsplit", given)?.into(),
        "partition" => parted(text, text.split_once(&*separator(given)?), given, false)?,
        "rpartition" => parted(text, text.rsplit_once(&*separator(given)?), given, true)?,
        "splitlines" => {
            python::lines(text).into_iter().map(str::to_owned).collect::<Vec<_>>().into()
        }
        "join" => {
            let items = given.get(0, "iterable")?.ok_or(ErrorKind::MissingArgument)?;
            let texts = items.try_iter()?.map(|item| {
                item.as_str().map(str::to_owned).ok_or_else(|| said("`join` joins texts alone"))
            });
            texts.collect::<Result<Vec<_>, _>>()?.join(text).into()
        }
        "format" => layout::format(text, given)?.into(),
        "find" | "rfind" | "index" | "rindex" => {
            let part = whole("sub")?;
            let at = if name.starts_with('r') { text.rfind(&part) } else { text.find(&part) };
            let letters = at.and_then(|at| text.get(..at)).map(|before| before.chars().count());
            match letters {
                Some(letters) => letters.into(),
                None if name.ends_with("find") => (-1).into(),
                None => return Err(said("the text does not have this part")),
            }
        }
        "count" => match whole("sub")? {
            part if part.is_empty() => (text.chars().count() + 1).into(),
            part => text.matches(&part).count().into(),
        },
        "zfill" | "ljust" | "rjust" | "center" => filled(text, name, given)?.into(),
        "isdigit" => all(text, |c| c.is_ascii_digit()),
        "isalpha" => all(text, char::is_alphabetic),
        "isalnum" => all(text, char::is_alphanumeric),
        "isspace" => all(text, char::is_whitespace),
        "isupper" => has_case(text, char::is_lowercase, char::is_uppercase),
        "islower" => has_case(text, char::is_uppercase, char::is_lowercase),
        _ => return Err(ErrorKind::UnknownMethod.into()),
    })
}

fn all(text: &str, holds: impl Fn(char) -> bool) -> Value {
    (!text.is_empty() && text.chars().all(holds)).into()
}

fn has_case(text: &str, never: impl Fn(char) -> bool, once: impl Fn(char) -> bool) -> Value {
    (!text.chars().any(never) && text.chars().any(once)).into()
}

fn swapped(c: char) -> char {
    let mut other: Vec<char> =
        if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() };
    other.pop().filter(|_| other.is_empty()).unwrap_or(c)
}

/// Python's `str.title`: a capital after everything that is no letter.
fn titled(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn stripped<'t>(text: &'t str, name: &str, given: &Arguments) -> Result<&'t str, Error> {
    let set = given.get(0, "chars")?.filter(|set| !set.is_none());
    let set = set.map(|set| python::text(&set)).transpose()?;
    let goes = |c: char| match &set {
        Some(set) => set.contains(c),
        None => c.is_whitespace(),
    };
    Ok(match name {
        "lstrip" => text.trim_start_matches(goes),
        "rstrip" => text.trim_end_matches(goes),
        _ => text.trim_matches(goes),
    })
}

/// Whether it holds of the argument, or of one of the list that it is.
fn any_of(given: &Arguments, holds: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let part = given.get(0, "prefix")?.ok_or(ErrorKind::MissingArgument)?;
    match part.as_str() {
        Some(part) => Ok(holds(part)),
        None => Ok(part.try_iter()?.any(|part| part.as_str().is_some_and(&holds))),
    }
}

fn replaced(text: &str, given: &Arguments) -> Result<String, Error> {
    let (old, new) = (given.needed(0, "old")?, given.needed(1, "new")?);
    let most = given.get(2, "count")?.and_then(|count| count.as_usize()).unwrap_or(usize::MAX);
    let hits = text.matches(&*old).count().min(most);
    if hits.saturating_mul(new.len()) > LONGEST {
        return Err(ErrorKind::OutOfFuel.into());
    }
    Ok(text.replacen(&old, &new, most))
}

fn split(text: &str, from_the_right: bool, given: &Arguments) -> Result<Vec<String>, Error> {
    let separator = given.get(0, "sep")?.filter(|separator| !separator.is_none());
    let separator = separator.map(|separator| python::text(&separator)).transpose()?;
    let most = given.get(1, "maxsplit")?.and_then(|most| most.as_usize());
    let backwards = |text: &str| text.chars().rev().collect::<String>();
    let parts = if from_the_right {
        let separator = separator.map(|separator| backwards(&separator));
        python::split(&backwards(text), separator.as_deref(), most)
            .map(|parts| parts.iter().rev().map(|part| backwards(part)).collect())
    } else {
        python::split(text, separator.as_deref(), most)
    };
    parts.ok_or_else(|| said("an empty separator"))
}

fn separator(given: &Arguments) -> Result<String, Error> {
    let separator = given.needed(0, "sep")?;
    if separator.is_empty() { Err(said("an empty separator")) } else { Ok(separator) }
}

/// What stands before the separator, the separator, and what stands behind it.
fn parted(
    text: &str,
    halves: Option<(&str, &str)>,
    given: &Arguments,
    last: bool,
) -> Result<Value, Error> {
    let separator = separator(given)?;
    let parts = match halves {
        Some((before, behind)) => [before, &separator, behind],
        None if last => ["", "", text],
        None => [text, "", ""],
    };
    Ok(parts.map(str::to_owned).to_vec().into())
}

fn filled(text: &str, name: &str, given: &Arguments) -> Result<String, Error> {
    let width = given.get(0, "width")?.and_then(|width| width.as_usize());
    let width = width.ok_or_else(|| said("the width is a number"))?;
    if name == "zfill" {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text),
        };
        return Ok(format!(
            "{sign}{}",
            layout::pad(digits, width.saturating_sub(sign.len()), '0', '>')?
        ));
    }
    let mut filling = given.text(1, "fillchar")?.unwrap_or_else(|| " ".into());
    let filling = filling.pop().filter(|_| filling.is_empty());
    let filling = filling.ok_or_else(|| said("the filling is one character"))?;
    let missing = width.saturating_sub(text.chars().count());
    match name {
        "ljust" => layout::pad(text, width, filling, '<'),
        "rjust" => layout::pad(text, width, filling, '>'),
        // Of an odd number Python puts one more to the left if the width is odd, too.
        _ => {
            let left = missing / 2 + (missing & width & 1);
            let begun = layout::pad(text, width - missing + left, filling, '>')?;
            layout::pad(&begun, width, filling, '<')
        }
    }
}
