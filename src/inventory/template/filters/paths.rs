//! Filters on paths and addresses. None of them looks at the file system.

use minijinja::{Environment, Error, Value};

use super::{
    super::{objects::mapping, python},
    arguments::{Arguments, add},
    text::said,
};

pub(super) fn install(environment: &mut Environment<'static>) {
    add(environment, "basename", |value, _| {
        Ok(python::text(value)?.rsplit('/').next().unwrap_or_default().into())
    });
    add(environment, "dirname", dirname);
    add(environment, "splitext", splitext);
    add(environment, "path_join", path_join);
    add(environment, "normpath", |value, _| Ok(normal(&python::text(value)?).into()));
    add(environment, "urlencode", urlencode);
    add(environment, "urlsplit", urlsplit);
}

fn dirname(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let head = text.rfind('/').and_then(|at| text.get(..=at)).unwrap_or_default();
    let bare = head.trim_end_matches('/');
    Ok(if bare.is_empty() { head.into() } else { bare.into() })
}

fn splitext(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let name = text.rfind('/').map_or(0, |at| at + 1);
    let lead = text.get(name..).unwrap_or_default();
    let first = name + (lead.len() - lead.trim_start_matches('.').len());
    let dot = text.get(first..).and_then(|rest| rest.rfind('.')).map(|at| first + at);
    let (root, ending) = text.split_at(dot.unwrap_or(text.len()));
    Ok(vec![root.to_owned(), ending.to_owned()].into())
}

/// Python's `os.path.join`: an absolute part forgets what stands before it.
fn path_join(value: &Value, _: &Arguments) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    let mut joined = String::new();
    for (at, part) in value.try_iter()?.enumerate() {
        let part = python::text(&part)?;
        if part.starts_with('/') {
            joined.clear();
        } else if at > 0 && !joined.is_empty() && !joined.ends_with('/') {
            joined.push('/');
        }
        joined.push_str(&part);
    }
    Ok(joined.into())
}

/// Python's `os.path.normpath`.
fn normal(path: &str) -> String {
    let root = match path.strip_prefix("//").filter(|rest| !rest.starts_with('/')) {
        Some(_) => "//",
        None if path.starts_with('/') => "/",
        None => "",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match parts.last() {
            Some(&last) if part == ".." && last != ".." => drop(parts.pop()),
            None if part == ".." && !root.is_empty() => {}
            _ => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".into() } else { joined }
}

/// Percent-encoding: of text with `/` left alone, of mappings and pairs as a query.
fn urlencode(value: &Value, _: &Arguments) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(encoded(text, "/", "%20").into());
    }
    let part = |value: &Value| Ok::<_, Error>(encoded(&python::text(value)?, "", "+"));
    let pair = |key: Value| {
        let (key, item) = match value.kind() {
            minijinja::value::ValueKind::Map => (key.clone(), value.get_item(&key)?),
            _ => (key.get_item_by_index(0)?, key.get_item_by_index(1)?),
        };
        Ok(format!("{}={}", part(&key)?, part(&item)?))
    };
    Ok(value.try_iter()?.map(pair).collect::<Result<Vec<_>, Error>>()?.join("&").into())
}

fn encoded(text: &str, safe: &str, blank: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) {
            out.push(c);
        } else if c == ' ' {
            out.push_str(blank);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The parts of an address, or one of them.
fn urlsplit(value: &Value, given: &Arguments) -> Result<Value, Error> {
    let text = python::text(value)?;
    let (rest, fragment) = text.split_once('#').unwrap_or((&text, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) =
        rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", rest));
    let (netloc, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (user, host) = match netloc.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, netloc),
    };
    let (host, port) = match host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, port),
        None => (host, ""),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
    let or_null = |part: Option<&str>| part.map_or_else(|| Value::from(()), Value::from);
    let port = match port {
        "" => Value::from(()),
        port => port.parse::<u16>().map_err(|_| said("the address has no valid port"))?.into(),
    };
    let parts = vec![
        ("fragment", fragment.into()),
        ("hostname", or_null(Some(&*host).filter(|host| !host.is_empty()))),
        ("netloc", netloc.into()),
        ("password", or_null(user.and_then(|user| Some(user.split_once(':')?.1)))),
        ("path", path.into()),
        ("port", port),
        ("query", query.into()),
        ("scheme", scheme.to_lowercase().into()),
        ("username", or_null(user.map(|user| user.split(':').next().unwrap_or(user)))),
    ];
    match given.text(0, "query")? {
        Some(wanted) => parts
            .into_iter()
            .find_map(|(name, part)| (name == wanted).then_some(part))
            .ok_or_else(|| said("an address has no part of this name")),
        None => Ok(mapping(parts.into_iter().map(|(name, part)| (name.into(), part)).collect())),
    }
}
