//! A YAML inventory file: groups with `vars`, `children` and `hosts` (ansible-core's
//! `plugins/inventory/yaml.py`).

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Report};

use super::{
    Entry, Node, Origin, Value,
    groups::{ALL, Room, Tree},
    range::{self, BadRange},
};

/// Adds what a file says to the tree. Whether it is the configuration of an inventory plugin,
/// which is skipped.
pub(super) fn read(file: Node, tree: &mut Tree, report: &mut Report) -> bool {
    let entries = match file.value {
        Value::Map(entries) => entries,
        Value::Null => return false,
        _ => {
            report.push(
                Diagnostic::error(
                    "inventory-shape",
                    "an inventory file must be a mapping of groups",
                )
                .at(file.origin.place(false))
                .label("not a mapping")
                .hint("start with `all:`"),
            );
            return false;
        }
    };
    if let Some((key, _)) = entries.iter().find(|(key, _)| key.as_str() == Some("plugin")) {
        report.push(
            Diagnostic::info("inventory-plugin", "a dynamic inventory is skipped")
                .at(key.origin.place(false))
                .label("the hosts and groups that this plugin finds stay unknown"),
        );
        return true;
    }
    let mut strays = 0;
    for (key, value) in entries {
        let Some(name) = key.as_str().map(Arc::<str>::from) else {
            report.push(not_text(&key, "a group's name"));
            continue;
        };
        if !matches!(value.value, Value::Map(_) | Value::Null) {
            if *name == *ALL {
                report.push(
                    wrong_kind(&value, "`all` must be a mapping")
                        .hint("write `vars:`, `hosts:` or `children:` below it"),
                );
                continue;
            }
            strays += 1;
            if strays == 1 {
                report.push(stray(&name, &key.origin));
            }
            continue;
        }
        group(&name, value, tree, report);
    }
    false
}

fn stray(name: &str, origin: &Origin) -> Diagnostic {
    Diagnostic::error("inventory-shape", format!("`{name}` is not a group"))
        .at(origin.place(false))
        .label("a variable at the top level of an inventory file; Ansible ignores it")
        .hint("did you mean to put it below `all: vars:`, or this file into group_vars/?")
}

fn group(name: &str, body: Node, tree: &mut Tree, report: &mut Report) {
    tree.group(name);
    let Value::Map(sections) = body.value else {
        if !matches!(body.value, Value::Null) {
            report.push(wrong_kind(&body, "a group must be a mapping"));
        }
        return;
    };
    for (key, value) in sections {
        match key.as_str() {
            Some("vars") => {
                let entries = super::variables(value, report);
                set_group(name, entries, tree, report);
            }
            Some("children") => children(name, value, tree, report),
            Some("hosts") => hosts(name, value, tree, report),
            _ => report.push(
                Diagnostic::warning("inventory-key", "a key that Ansible skips")
                    .at(key.origin.place(false))
                    .label("a group has `vars`, `children` and `hosts`")
                    .hint("did you mean to put it below `vars:`?"),
            ),
        }
    }
}

fn children(parent: &str, node: Node, tree: &mut Tree, report: &mut Report) {
    match node.value {
        Value::Null => {}
        Value::String(ref child) => tree.add_child(parent, child, node.origin.clone()),
        Value::Map(entries) => {
            for (key, body) in entries {
                let Some(child) = key.as_str().map(Arc::<str>::from) else {
                    report.push(not_text(&key, "a group's name"));
                    continue;
                };
                tree.add_child(parent, &child, key.origin);
                group(&child, body, tree, report);
            }
        }
        _ => report.push(
            wrong_kind(&node, "`children:` must be a mapping")
                .hint("write each group as a key: `name:`"),
        ),
    }
}

fn hosts(group: &str, node: Node, tree: &mut Tree, report: &mut Report) {
    let entries = match node.value {
        Value::Null => return,
        Value::String(ref name) => {
            add_hosts(group, name, &node.origin, Vec::new(), tree, report);
            return;
        }
        Value::Map(entries) => entries,
        _ => {
            report.push(
                wrong_kind(&node, "`hosts:` must be a mapping")
                    .hint("write each host as a key: `name:`"),
            );
            return;
        }
    };
    for (key, value) in entries {
        match key.as_str() {
            Some(pattern) => {
                let entries = super::variables(value, report);
                add_hosts(group, pattern, &key.origin, entries, tree, report);
            }
            None => report.push(not_text(&key, "a host's name")),
        }
    }
}

fn add_hosts(
    group: &str,
    pattern: &str,
    origin: &Origin,
    entries: Vec<Entry>,
    tree: &mut Tree,
    report: &mut Report,
) {
    // Not even the names of more are made.
    if tree.room(0) == Room::None {
        return;
    }
    let (names, port) = match range::expand(pattern) {
        Ok(expanded) => expanded,
        Err(problem) => {
            report.push(bad_range(problem, origin));
            return;
        }
    };
    named(group, &names, (port, origin), &entries, tree, report);
}

/// Adds the hosts that a pattern names, as far as there is room for them.
pub(super) fn named(
    group: &str,
    names: &[String],
    (port, origin): (Option<u16>, &Origin),
    entries: &[Entry],
    tree: &mut Tree,
    report: &mut Report,
) {
    match tree.room(names.len()) {
        Room::Enough => {
            for name in names {
                tree.add_host(group, name, (port, origin), entries.to_vec());
            }
        }
        Room::JustFull => report.push(
            Diagnostic::error("host-range", "the inventory names too many hosts")
                .at(origin.place(false))
                .label("this one and all behind it are left out")
                .hint("is a range longer than it should be?"),
        ),
        Room::None => {}
    }
}

pub(super) fn bad_range(problem: BadRange, origin: &Origin) -> Diagnostic {
    Diagnostic::error("host-range", "the range of hosts cannot be read")
        .at(origin.place(false))
        .label(problem.to_string())
        .hint("write it as `node[1:3]`, `node[01:10]` or `node[a:c]`")
}

/// Gives a group its variables.
pub(super) fn set_group(name: &str, mut entries: Vec<Entry>, tree: &mut Tree, report: &mut Report) {
    if let Some(priority) = take_priority(&mut entries, report) {
        tree.set_priority(name, priority);
    }
    tree.set_group(name, entries);
}

/// `ansible_group_priority` orders groups and is no variable of theirs.
fn take_priority(entries: &mut Vec<Entry>, report: &mut Report) -> Option<i64> {
    let at = entries.iter().position(|entry| &*entry.name == "ansible_group_priority")?;
    let node = entries.remove(at).node;
    let priority = match &node.value {
        Value::Int(priority) => Some(*priority),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    if priority.is_none() {
        report.push(
            wrong_kind(&node, "`ansible_group_priority` must be an integer")
                .variable("ansible_group_priority"),
        );
    }
    priority
}

fn wrong_kind(node: &Node, message: &str) -> Diagnostic {
    Diagnostic::error("inventory-shape", message).at(node.origin.place(false)).label(node.a_kind())
}

fn not_text(key: &Node, what: &str) -> Diagnostic {
    wrong_kind(key, &format!("{what} must be text")).hint("quote it")
}
