//! Settings written out: under the names of the inventory, secrets masked.

use serde_json::{Map, Value as Json};

use crate::{
    diagnostic::Report,
    inventory::{self, Node, Source, Value},
};

use super::{Origins, Settings, table::PREFIX};

/// The settings as JSON.
pub fn to_json(settings: &Settings) -> Json {
    let Ok(Json::Object(fields)) = serde_json::to_value(settings) else { return Json::Null };
    fields
        .into_iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), value))
        .collect::<Map<_, _>>()
        .into()
}

/// The settings as a file of variables that Ansible reads back the same. `write` turns one variable
/// into YAML 1.2; where YAML 1.1 would read that as something else (`off`, `12:30`), its value is
/// written as JSON, which quotes all text. Above each variable that `origins` knows stands where its
/// value comes from.
pub fn to_yaml(
    settings: &Settings,
    origins: &Origins,
    write: impl Fn(&Json) -> Option<String>,
) -> String {
    let Json::Object(variables) = to_json(settings) else { return String::new() };
    let mut text = String::from("---\n");
    for (name, value) in variables {
        if let Some(origin) = origins.get(&name) {
            // The name of a file may hold anything, a line feed included.
            text.push_str(&format!("# {}\n", origin.escape_debug()));
        }
        if holds_marks(&value) {
            text.push_str(&format!("{name}: {}\n", unsafe_flow(&value)));
            continue;
        }
        let written = write(&Json::Object(Map::from_iter([(name.clone(), value.clone())])))
            .filter(|written| reads_back(written, &name, &value));
        match written {
            Some(written) => text.push_str(&written),
            None => text.push_str(&format!("{name}: {value}\n")),
        }
    }
    text
}

/// Whether a text in it would be read back as a template.
fn holds_marks(value: &Json) -> bool {
    match value {
        Json::String(text) => ["{{", "{%", "{#", "<<"].iter().any(|mark| text.contains(mark)),
        Json::Array(items) => items.iter().any(holds_marks),
        Json::Object(entries) => entries.values().any(holds_marks),
        _ => false,
    }
}

/// The value on one line, with the tag that keeps such text from being a template.
fn unsafe_flow(value: &Json) -> String {
    match value {
        Json::String(_) if holds_marks(value) => format!("!unsafe {value}"),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(unsafe_flow).collect::<Vec<_>>().join(", "))
        }
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                format!("{}: {}", Json::from(key.as_str()), unsafe_flow(value))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

fn reads_back(written: &str, name: &str, value: &Json) -> bool {
    let source = Source::extra(written);
    inventory::parse(&source, &mut Report::new())
        .is_some_and(|node| node.get(name).is_some_and(|node| is_same(node, value)))
}

fn is_same(node: &Node, value: &Json) -> bool {
    match (&node.value, value) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::Int(a), Json::Number(b)) => b.as_i64() == Some(*a),
        (Value::String(a), Json::String(b)) => **a == **b,
        (Value::List(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Map(a), Json::Object(b)) => {
            a.len() == b.len()
                && b.iter().all(|(key, b)| node.get(key).is_some_and(|a| is_same(a, b)))
        }
        _ => false,
    }
}
