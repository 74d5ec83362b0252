//! What was written: the files of an Ansible inventory, as ansible-core 2.19 reads them, each
//! value with its place.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::diagnostic::{Diagnostic, Report};

mod disk;
mod document;
mod extra;
mod files;
mod groups;
mod ini;
mod list;
mod literal;
mod load;
mod mask;
mod node;
mod origin;
mod overlay;
mod range;
mod template;
#[cfg(test)]
mod tests;
mod vault;
mod which;
mod yaml;

pub use list::{MASK, to_json};
pub use load::Inventory;
pub use node::{Node, Value};
pub use origin::{Origin, Source, SourceKind};
pub use template::{Cause, Failure, Join, Scope, Surroundings};
pub use vault::Vault;
pub use which::ROLE;
pub use yaml::parse;

/// Whether a message may quote the value of the variable of this name.
pub type Shown = fn(&str) -> bool;

/// A variable in a layer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: Arc<str>,
    /// Its value, templates not rendered.
    pub node: Arc<Node>,
}

/// Where in the order of precedence something stands, lowest first (Ansible's documentation,
/// "Variable precedence", as far as it exists without a playbook; `settings` adds the first and
/// the one before the last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// What the program ships.
    Defaults,
    /// `all: vars:` of an inventory file.
    InventoryAll,
    /// `vars:` of another group of an inventory file.
    InventoryGroup(Arc<str>),
    /// `group_vars/all`.
    GroupVarsAll,
    /// `group_vars/` of another group.
    GroupVars(Arc<str>),
    /// The host's own variables in an inventory file.
    InventoryHost,
    /// `host_vars/`.
    HostVars,
    /// `REGISTRY_MIRROR_*`.
    Environment,
    /// `-e`.
    Extra,
}

/// What one file (or argument) says at one level of precedence.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The level.
    pub kind: LayerKind,
    /// Its variables, each once, in the order they were written.
    pub entries: Vec<Entry>,
}

/// A file that is read in the place of another, which may not be there yet: what
/// `validate: … --overlay DEST=%s` of a template task hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The file it stands for; messages name this one.
    pub destination: PathBuf,
    /// Where its text is.
    pub contents: PathBuf,
}

/// What to load.
#[derive(Clone, Debug)]
pub struct Request {
    /// Files or directories, the last one strongest.
    pub inventories: Vec<PathBuf>,
    /// Files that stand for others below the inventories.
    pub overlays: Vec<Overlay>,
    /// The host that was named; it must be in the inventory.
    pub host: Option<String>,
    /// This machine's names, tried in this order: FQDN, hostname, short name. `localhost` is
    /// tried after them.
    pub own_names: Vec<String>,
    /// `-e` arguments in order: `k=v`, `@file`, or a YAML or JSON mapping.
    pub extra: Vec<String>,
    /// What opens vault values and vaulted files.
    pub vault: Arc<Vault>,
    /// What `lookup('env', …)` sees.
    pub environment: Arc<BTreeMap<String, String>>,
    /// Whose values messages may quote.
    pub shown: Shown,
}

impl Default for Request {
    /// Nothing at all, of which nothing may be quoted.
    fn default() -> Self {
        Self {
            inventories: Vec::new(),
            overlays: Vec::new(),
            host: None,
            own_names: Vec::new(),
            extra: Vec::new(),
            vault: Arc::default(),
            environment: Arc::default(),
            shown: |_| false,
        }
    }
}

/// What an inventory says about one host.
#[derive(Clone, Debug)]
pub struct Host {
    /// As the inventory calls it.
    pub name: Arc<str>,
    /// The groups it is in, without `all`, sorted.
    pub groups: Vec<String>,
    /// Whether the inventory does not name this host, so that it counts as a member of
    /// `registry_mirror` (an info in the report says so).
    pub unlisted: bool,
    /// Lowest first. A level that several files speak at has a layer for each.
    pub layers: Vec<Layer>,
}

/// The entries of a file of variables: a mapping with names as keys, or nothing at all.
/// Anything else goes to the report.
pub fn variables(node: Node, report: &mut Report) -> Vec<Entry> {
    let entries = match node.value {
        Value::Map(entries) => entries,
        Value::Null => return Vec::new(),
        _ => {
            report.push(
                Diagnostic::error("variables-shape", "variables must be a mapping")
                    .at(node.origin.place(false))
                    .label(node.a_kind())
                    .hint("write `name: value`, one on a line"),
            );
            return Vec::new();
        }
    };
    let mut variables = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        match key.as_str() {
            Some(name) => variables.push(Entry { name: name.into(), node: node.into() }),
            None => report.push(
                Diagnostic::error("variables-shape", "a variable's name must be text")
                    .at(key.origin.place(false))
                    .label(key.a_kind())
                    .hint("quote it"),
            ),
        }
    }
    variables
}
