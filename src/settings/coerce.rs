//! From what was written to what was meant, as Ansible's argument_specs convert (ansible-core
//! 2.19, `module_utils/common/validation.py`). What cannot be converted stays as it is, and the
//! schema says what is wrong with it.

use std::path::Path;

use serde_json::{Map, Value as Json};

use crate::inventory::{Node, Value};

use super::kind::Kind;

mod path;

/// The value of `node` as this kind, in JSON. `directory` is where relative paths start that no
/// file sets.
pub(super) fn coerce(kind: Kind, node: &Node, directory: &Path) -> Json {
    match kind {
        Kind::Quoted => match &node.value {
            Value::Null => Json::from(""),
            Value::String(text) => Json::from(&**text),
            _ => WRONG,
        },
        Kind::Flag => flag(node).map_or(WRONG, Json::from),
        Kind::Choice(words) => choice(node, words),
        Kind::Port
        | Kind::Count
        | Kind::Size
        | Kind::OptionalSize
        | Kind::Period
        | Kind::Interval
        | Kind::Wait
            if is_odd(node) =>
        {
            WRONG
        }
        Kind::Port | Kind::Count => whole(node).map_or(WRONG, Json::from),
        Kind::Size | Kind::OptionalSize | Kind::Period | Kind::Interval | Kind::Wait => {
            match whole(node) {
                Some(number) => Json::from(number.to_string()),
                None => text(node),
            }
        }
        Kind::Path | Kind::PathOrPem => match node.as_str() {
            Some(written) => path::absolute(written, &node.origin, directory),
            None if matches!(node.value, Value::Null) => Json::from(""),
            None => WRONG,
        },
        Kind::Text | Kind::Name => match node.value {
            Value::Bool(true) => Json::from("True"),
            Value::Bool(false) => Json::from("False"),
            // `2.10` would become `2.1`, and `010` would become `8`.
            Value::Int(_) | Value::Float(_) | Value::Timestamp(_) => WRONG,
            _ => text(node),
        },
        Kind::Hosts | Kind::Peers | Kind::Texts => list(node, as_written),
        Kind::TagRules => match node.as_str() {
            Some(written) => json(written),
            None => list(node, tag_rule),
        },
        Kind::Address
        | Kind::Socket
        | Kind::Upstream
        | Kind::Service
        | Kind::Proxy
        | Kind::Domain
        | Kind::Bucket
        | Kind::KeyPrefix
        | Kind::Account => as_written(node),
    }
}

/// Whether a number is not the one that a reader sees: `12:30` is 750 to YAML 1.1, and `010` is 8.
pub(super) fn is_odd(node: &Node) -> bool {
    let is_number = matches!(node.value, Value::Int(_) | Value::Float(_));
    let Some(written) = node.origin.written().filter(|_| is_number && !node.rendered) else {
        return false;
    };
    let digits = written.strip_prefix(['-', '+']).unwrap_or(written);
    let after_zero = digits.strip_prefix('0').unwrap_or_default();
    digits.contains(':') || after_zero.starts_with(|c: char| c.is_ascii_digit() || c == '_')
}

/// The text of a scalar, unless a number does not print as it was written.
fn as_written(node: &Node) -> Json {
    let json = text(node);
    let is_number = matches!(node.value, Value::Int(_) | Value::Float(_));
    let written = node.origin.written().filter(|_| is_number && !node.rendered);
    if written.is_some_and(|written| json.as_str() != Some(written)) { WRONG } else { json }
}

/// The text of a scalar. A number prints as Python prints it.
fn text(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::from(""),
        Value::String(text) | Value::Timestamp(text) => Json::from(&**text),
        Value::Int(number) => Json::from(number.to_string()),
        Value::Float(number) => Json::from(format!("{number:?}")),
        _ => WRONG,
    }
}

/// The set of argument_specs, which is larger than YAML's.
fn flag(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(flag) => Some(*flag),
        Value::Int(0) => Some(false),
        Value::Int(1) => Some(true),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "1" | "true" | "t" | "y" => Some(true),
            "no" | "off" | "0" | "false" | "f" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// YAML reads `off` as false; it was the word that was meant if only one of the words is spelled
/// so.
fn choice(node: &Node, words: &[&str]) -> Json {
    let Value::Bool(read) = node.value else { return text(node) };
    let spells: &[&str] = if read { &["yes", "on", "true"] } else { &["no", "off", "false"] };
    let mut meant = words.iter().filter(|word| spells.contains(word));
    match (meant.next(), meant.next()) {
        (Some(word), None) => Json::from(*word),
        _ => WRONG,
    }
}

/// `5000`, `5000.0` and `"5000"`.
fn whole(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Int(number) => Some(*number),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            format!("{number:.0}").parse().ok()
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A list, or text with commas; from where nothing but text can be had (the environment, `-e k=v`)
/// a list in JSON too.
fn list(node: &Node, item: fn(&Node) -> Json) -> Json {
    match &node.value {
        Value::Null => Json::Array(Vec::new()),
        Value::List(items) => Json::Array(items.iter().map(item).collect()),
        Value::String(written) if written.trim_start().starts_with('[') => json(written),
        Value::String(written) => {
            let items = written.split(',').map(str::trim).filter(|item| !item.is_empty());
            Json::Array(items.map(Json::from).collect())
        }
        _ => WRONG,
    }
}

fn json(written: &str) -> Json {
    serde_json::from_str(written).unwrap_or(WRONG)
}

fn tag_rule(node: &Node) -> Json {
    let Value::Map(entries) = &node.value else { return WRONG };
    let mut rule = Map::new();
    for (key, value) in entries {
        let value = match key.as_str() {
            Some("ttl") if is_odd(value) => WRONG,
            Some("ttl") => whole(value).map_or_else(|| text(value), |n| n.to_string().into()),
            _ => text(value),
        };
        rule.insert(key.as_str().unwrap_or("?").to_owned(), value);
    }
    Json::Object(rule)
}

/// Stands for a value of the wrong type: no kind accepts null.
const WRONG: Json = Json::Null;
