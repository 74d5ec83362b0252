//! The entries of a mapping: each key once, merge keys resolved (PyYAML's `flatten_mapping`).

use std::collections::HashMap;

use crate::diagnostic::Diagnostic;

use super::super::{Node, Value};

/// A mapping in the making.
pub(super) struct Entries {
    /// Where each key stands in `written`.
    places: HashMap<String, usize>,
    written: Vec<(Node, Node)>,
    merged: Vec<(Node, Node)>,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), written: Vec::new(), merged: Vec::new() }
    }

    /// Adds an entry. Of two with the same key the last wins, with a warning.
    pub(super) fn insert(&mut self, key: Node, value: Node) -> Option<Diagnostic> {
        let Some(identity) = identity(&key) else { return Some(unhashable(&key)) };
        let Some(first) = self.places.get(&identity).copied() else {
            self.places.insert(identity, self.written.len());
            self.written.push((key, value));
            return None;
        };
        let entry = self.written.get_mut(first)?;
        let name = name(&key);
        let warning = Diagnostic::warning("yaml-duplicate-key", format!("{name} is set twice"))
            .at(key.origin.place(false))
            .label("this one wins")
            .hint(format!("the other one is at {}; remove one of them", entry.0.origin));
        *entry = (key, value);
        Some(warning)
    }

    /// Takes in what stands under `<<`: a mapping, or a list of mappings of which the first wins.
    pub(super) fn merge(&mut self, value: Node) -> Option<Diagnostic> {
        let origin = value.origin.clone();
        match value.value {
            Value::Map(entries) => {
                self.merged.extend(entries);
                None
            }
            Value::List(items) => {
                for item in items.into_iter().rev() {
                    let Value::Map(entries) = item.value else { return Some(unmergeable(&origin)) };
                    self.merged.extend(entries);
                }
                None
            }
            _ => Some(unmergeable(&origin)),
        }
    }

    /// What was merged, overridden by what was written.
    pub(super) fn finish(self) -> Vec<(Node, Node)> {
        if self.merged.is_empty() {
            return self.written;
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut entries: Vec<(Node, Node)> = Vec::new();
        for (key, value) in self.merged.into_iter().chain(self.written) {
            let Some(identity) = identity(&key) else { continue };
            match places.get(&identity).and_then(|at| entries.get_mut(*at)) {
                Some(entry) => *entry = (key, value),
                None => {
                    places.insert(identity, entries.len());
                    entries.push((key, value));
                }
            }
        }
        entries
    }
}

/// Two keys are the same if this is; none for what cannot be a key.
fn identity(key: &Node) -> Option<String> {
    Some(match &key.value {
        Value::Null => "~".into(),
        Value::Bool(b) => format!("b{b}"),
        Value::Int(i) => format!("i{i}"),
        Value::Float(f) => format!("f{f}"),
        Value::String(s) => format!("s{s}"),
        Value::Timestamp(s) => format!("t{s}"),
        Value::Sealed(_) | Value::List(_) | Value::Map(_) => return None,
    })
}

/// A key for a message: keys may be shown, as far as they look like one.
fn name(key: &Node) -> String {
    let is_name =
        |s: &&str| s.len() <= 100 && s.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c));
    match key.as_str().filter(is_name) {
        Some(name) => format!("`{name}`"),
        None => "a key".into(),
    }
}

fn unhashable(key: &Node) -> Diagnostic {
    let place = key.origin.place(false);
    let Value::Map(_) = key.value else {
        return Diagnostic::error("yaml-key", "a key must be text")
            .at(place)
            .label("a list cannot be a key");
    };
    if !key.origin.short_line().is_some_and(|line| line.contains("{{")) {
        return Diagnostic::error("yaml-key", "a key must be text")
            .at(place)
            .label("a mapping cannot be a key");
    }
    Diagnostic::error("yaml-template", "a template without quotes")
        .at(place)
        .label("YAML takes `{{` for the start of two mappings")
        .hint("quote the whole value: \"{{ name }}-suffix\"")
}

fn unmergeable(origin: &super::super::Origin) -> Diagnostic {
    Diagnostic::error("yaml-merge", "only a mapping can be merged")
        .at(origin.place(false))
        .label("neither a mapping nor a list of mappings")
}
