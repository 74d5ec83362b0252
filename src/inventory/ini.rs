//! INI inventories (ansible-core's `plugins/inventory/ini.py`): sections of hosts, of variables
//! (`[group:vars]`) and of groups (`[group:children]`).

use std::{collections::BTreeMap, sync::Arc};

use crate::diagnostic::{Diagnostic, Report};

use super::{
    Entry, Origin, Source, document,
    groups::{Room, Tree, UNGROUPED},
    literal, range,
};

mod words;

/// How many problems of one file are worth reading.
const MOST_FOUND: usize = 100;

/// What the lines of a section are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Hosts,
    Variables,
    Children,
}

/// Adds what a file says to the tree.
pub(super) fn read(source: &Arc<Source>, tree: &mut Tree, report: &mut Report) {
    let mut file =
        File { source, tree, found: Vec::new(), variables: Vec::new(), declared: BTreeMap::new() };
    let (mut group, mut section): (Arc<str>, _) = (UNGROUPED.into(), Section::Hosts);
    for (number, line) in (1..).zip(source.text().lines()) {
        let line = Line { number, text: line.trim(), whole: line };
        if line.text.is_empty() || line.text.starts_with([';', '#']) {
            continue;
        }
        if file.found.len() >= MOST_FOUND {
            break;
        }
        if let Some(header) = words::header(line.text) {
            (group, section) = match file.enter(header, &line) {
                Some(entered) => entered,
                None => break,
            };
        } else if line.text.starts_with('[') && line.text.ends_with(']') {
            file.refuse(
                &line,
                "the header of a section cannot be read",
                "write `[group]`, `[group:vars]` or `[group:children]`",
            );
            break;
        } else {
            match section {
                Section::Hosts => file.host(&group, &line),
                Section::Variables => file.variable(&group, &line),
                Section::Children => file.child(&group, &line),
            }
        }
    }
    file.finish(report);
}

/// A line, with and without the blanks around it.
struct Line<'a> {
    number: u32,
    text: &'a str,
    whole: &'a str,
}

/// Whether a group was declared by a section, or is only mentioned so far.
enum Declared {
    Yes,
    /// By `[group:vars]`, which needs the group to be declared elsewhere.
    Variables(Origin),
    /// As a child of these groups.
    Child(Vec<(Arc<str>, Origin)>),
}

struct File<'a> {
    source: &'a Arc<Source>,
    tree: &'a mut Tree,
    found: Vec<Diagnostic>,
    /// Of each group in the order of its first variable.
    variables: Vec<(Arc<str>, Vec<Entry>)>,
    declared: BTreeMap<Arc<str>, Declared>,
}

impl File<'_> {
    /// `part` must be a slice of the line.
    fn origin(&self, line: &Line<'_>, part: &str) -> Origin {
        let start = (part.as_ptr() as usize).saturating_sub(line.whole.as_ptr() as usize);
        let before = line.whole.get(..start).map_or(0, |before| before.chars().count());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Origin::at(
            self.source,
            line.number,
            number(before + 1),
            number(part.chars().count().max(1)),
        )
    }

    fn refuse(&mut self, line: &Line<'_>, message: &str, hint: &str) {
        let origin = self.origin(line, line.text);
        let refused =
            Diagnostic::error("inventory-ini", message).at(origin.place(false)).hint(hint);
        self.found.push(refused);
    }

    fn enter(
        &mut self,
        (group, kind): (&str, Option<&str>),
        line: &Line<'_>,
    ) -> Option<(Arc<str>, Section)> {
        let section = match kind {
            None | Some("hosts") => Section::Hosts,
            Some("vars") => Section::Variables,
            Some("children") => Section::Children,
            Some(_) => {
                self.refuse(
                    line,
                    "the section is of an unknown type",
                    "a section is `[group]`, `[group:vars]` or `[group:children]`",
                );
                return None;
            }
        };
        let (group, origin): (Arc<str>, _) = (group.into(), self.origin(line, line.text));
        if section == Section::Variables {
            if !self.tree.has_group(&group) && !self.declared.contains_key(&group) {
                self.declared.insert(group.clone(), Declared::Variables(origin));
            }
        } else if let Some(Declared::Child(parents)) =
            self.declared.insert(group.clone(), Declared::Yes)
        {
            for (parent, written) in parents {
                self.tree.add_child(&parent, &group, written);
            }
        }
        self.tree.group(&group);
        Some((group, section))
    }

    fn host(&mut self, group: &str, line: &Line<'_>) {
        let hint = "write `host`, then `name=value` as often as you like; quote what has blanks";
        let Some(words) = words::split(line.text) else {
            return self.refuse(line, "a quote on this line is never closed", hint);
        };
        let Some((pattern, assignments)) = words.split_first() else { return };
        let origin = self.origin(line, pattern.written);
        // Not even the names of more are made.
        if self.tree.room(0) == Room::None {
            return;
        }
        let expanded = range::expand(&pattern.text);
        let (hosts, port) = match expanded {
            Ok((hosts, port)) if !(pattern.text.ends_with(':') && port.is_none()) => (hosts, port),
            Ok(_) => {
                return self.refuse(
                    line,
                    "a host's name ends in `:`",
                    "this looks like YAML; call the file `.yml`, or take the `:` away",
                );
            }
            Err(problem) => {
                let refused = document::bad_range(problem, &origin);
                self.found.push(refused);
                return;
            }
        };
        if pattern.text == "---" {
            return self.refuse(
                line,
                "`---` is no host",
                "this looks like YAML; call the file `.yml`",
            );
        }
        let mut entries: Vec<Entry> = Vec::new();
        for word in assignments {
            let Some((name, value)) = word.text.split_once('=') else {
                return self.refuse(line, "a word behind the host's name is no `name=value`", hint);
            };
            let skip = word.written.find('=').map_or(0, |at| at + 1);
            let origin = self.origin(line, word.written.get(skip..).unwrap_or(word.written));
            self.assign(&mut entries, name, value, &origin);
        }
        let mut report = Report::new();
        document::named(group, &hosts, (port, &origin), &entries, self.tree, &mut report);
        self.found.extend(report.sorted().into_iter().cloned());
    }

    fn variable(&mut self, group: &Arc<str>, line: &Line<'_>) {
        let Some((name, value)) = line.text.split_once('=') else {
            return self.refuse(
                line,
                "expected `name=value`",
                "an INI inventory has `=` between a name and its value",
            );
        };
        let (name, value) = (name.trim(), value.trim());
        // An empty value has no place of its own.
        let origin = self.origin(line, if value.is_empty() { line.text } else { value });
        let at = self.variables.iter().position(|(known, _)| known == group);
        let at = at.unwrap_or_else(|| {
            self.variables.push((group.clone(), Vec::new()));
            self.variables.len() - 1
        });
        let Some((_, entries)) = self.variables.get_mut(at) else { return };
        let mut entries = std::mem::take(entries);
        self.assign(&mut entries, name, value, &origin);
        if let Some(known) = self.variables.get_mut(at) {
            known.1 = entries;
        }
    }

    fn assign(&mut self, entries: &mut Vec<Entry>, name: &str, value: &str, origin: &Origin) {
        let node = match literal::value(value, origin) {
            Ok(node) => node,
            Err(unfit) => {
                self.found.push(
                    Diagnostic::error("inventory-ini", "the value cannot be used")
                        .at(origin.place(false))
                        .label(unfit.to_string())
                        .hint("quote it to have it as text")
                        .variable(name),
                );
                return;
            }
        };
        entries.retain(|known| &*known.name != name);
        entries.push(Entry { name: name.into(), node: node.into() });
    }

    fn child(&mut self, group: &Arc<str>, line: &Line<'_>) {
        let Some(child) = words::group_name(line.text) else {
            return self.refuse(
                line,
                "expected the name of a group",
                "one on a line, without blanks",
            );
        };
        let origin = self.origin(line, child);
        if self.tree.has_group(child)
            && !matches!(self.declared.get(child), Some(Declared::Child(_)))
        {
            self.tree.add_child(group, child, origin);
            return;
        }
        let pending =
            self.declared.entry(child.into()).or_insert_with(|| Declared::Child(Vec::new()));
        if let Declared::Child(parents) = pending {
            parents.push((group.clone(), origin));
        }
    }

    fn finish(mut self, report: &mut Report) {
        for (group, declared) in std::mem::take(&mut self.declared) {
            let (origin, section) = match declared {
                Declared::Yes => continue,
                Declared::Variables(origin) => (Some(origin), "vars"),
                Declared::Child(parents) => {
                    (parents.into_iter().next().map(|(_, o)| o), "children")
                }
            };
            self.found.push(
                Diagnostic::error(
                    "inventory-ini",
                    format!("the group `{group}` is declared nowhere"),
                )
                .at(origin.map(|origin| origin.place(false)))
                .label(format!("named by a section of type `{section}`"))
                .hint(format!("add a section `[{group}]`, which may be empty")),
            );
        }
        for (group, entries) in std::mem::take(&mut self.variables) {
            document::set_group(&group, entries, self.tree, report);
        }
        report.extend(self.found);
    }
}
