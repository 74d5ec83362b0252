//! The classic traps of YAML 1.1, where a number is not the one that a reader sees. Of our own
//! variables the schema refuses such a value; here are those that reach them through templates.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    diagnostic::{Diagnostic, Report},
    inventory::{Layer, LayerKind, Node, SourceKind, Value},
};

use super::{coerce::is_odd, layers::Winners, secrets, table};

/// Digits of the id of an AWS account.
const ACCOUNT: usize = 12;

/// Warns of values that YAML reads as another number than was written, where they reach a setting,
/// and of account ids wherever they are.
pub(super) fn check(layers: &[Layer], winners: &Winners, report: &mut Report) {
    let reaching = reaching(winners);
    let ours = |name: &str| table::find(name).is_some();
    let written = layers.iter().filter(|layer| layer.kind != LayerKind::Defaults);
    for entry in written.flat_map(|layer| &layer.entries).filter(|entry| !ours(&entry.name)) {
        let counts = winners.get(&entry.name).is_some_and(|node| Arc::ptr_eq(node, &entry.node));
        if counts && entry.node.origin.source().kind() != SourceKind::BuiltIn {
            each_scalar(&entry.node, &mut |node| {
                if let Some(read_as) = read_as(node, reaching.contains(&entry.name)) {
                    report.push(warning(&entry.name, node, read_as));
                }
            });
        }
    }
}

/// What our settings are made of.
fn reaching(winners: &Winners) -> BTreeSet<Arc<str>> {
    let settings = table::settings().map(|variable| Arc::from(variable.full_name()));
    let mut left: Vec<Arc<str>> = settings.collect();
    let mut found = BTreeSet::new();
    while let Some(name) = left.pop() {
        let words = winners.get(&name).map(|node| secrets::words(node)).unwrap_or_default();
        if found.insert(name) {
            left.extend(words.into_iter().filter(|word| winners.contains_key(word)));
        }
    }
    found
}

fn each_scalar(node: &Node, then: &mut impl FnMut(&Node)) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| each_scalar(item, then)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| each_scalar(value, then)),
        _ => then(node),
    }
}

/// What YAML makes of it, if that is a trap.
fn read_as(node: &Node, reaches: bool) -> Option<&'static str> {
    let written = node.origin.written().filter(|_| !node.rendered)?;
    match node.value {
        Value::Int(_) if is_odd(node) && written.contains(':') => {
            reaches.then_some("as a number of base 60")
        }
        Value::Int(_) if is_odd(node) => {
            let is_account = written.len() == ACCOUNT && written.starts_with('0');
            (reaches || is_account).then_some("as a number of base 8")
        }
        Value::Float(number) if format!("{number:?}") != written => {
            reaches.then_some("as a number that prints otherwise")
        }
        _ => None,
    }
}

fn warning(name: &str, node: &Node, read_as: &str) -> Diagnostic {
    Diagnostic::warning("yaml-trap", format!("a value in `{name}` is read {read_as}"))
        .at(node.origin.place(table::shown(name)))
        .label("YAML 1.1, as Ansible reads it, takes this for a number")
        .hint("write it in quotes if it is meant as text")
        .variable(name)
}
