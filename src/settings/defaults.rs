//! The shipped defaults, as role defaults are: the lowest layer, written with `<< … >>`.

use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::{
    diagnostic::Report,
    inventory::{self, Entry, Node, Source, Value},
};

use super::table::Variable;

/// What `defaults.yml` says. A test holds that it says something of every variable.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let source = Source::built_in("defaults.yml", include_str!("defaults.yml"));
    let mut report = Report::new();
    inventory::parse(&source, &mut report)
        .map(|node| inventory::variables(node, &mut report))
        .unwrap_or_default()
});

/// The entries of the layer.
pub(super) fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The entry that an inventory would call `name`.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| *entry.name == *name)
}

/// The default of `variable` as it is written, in JSON.
pub(super) fn of(variable: &Variable) -> Option<Json> {
    if let Some(default) = variable.default {
        return serde_json::from_str(default).ok();
    }
    find(&variable.full_name()).map(|entry| as_written(&entry.node))
}

fn as_written(node: &Node) -> Json {
    match &node.value {
        Value::Bool(flag) => Json::from(*flag),
        Value::Int(number) => Json::from(*number),
        Value::List(items) => items.iter().map(as_written).collect(),
        _ => Json::from(node.as_str().unwrap_or_default()),
    }
}
