//! From files to what they say of each host.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::diagnostic::{Diagnostic, Report};

use super::{
    Entry, Host, Layer, LayerKind, Request, Shown, Source, Value, Vault,
    disk::Disk,
    document, extra, files,
    groups::{ALL, Tree},
    ini, parse, variables,
    which::{self, ROLE, Which},
};

/// What the files of an inventory say about every host. The variable files beside it are read when
/// a host needs them, each once.
#[derive(Debug, Default)]
pub struct Inventory {
    request: Request,
    disk: Disk,
    tree: Tree,
    /// Where `group_vars` and `host_vars` are looked for, weakest first.
    bases: Vec<PathBuf>,
    /// `-e`, in order.
    extra: Vec<Layer>,
    /// Whether a dynamic inventory was skipped, whose hosts nobody can know here.
    hosts_unknown: bool,
    /// Whether something could not be read: what seems to be missing may stand there.
    incomplete: bool,
    variable_files: Mutex<BTreeMap<PathBuf, VariableFile>>,
}

/// The variables of a file, and what there was to say about it.
#[derive(Clone, Debug, Default)]
struct VariableFile {
    entries: Vec<Entry>,
    found: Report,
}

impl Inventory {
    /// Reads the inventory files and `-e`. Problems go to the report, all of them; with errors in
    /// it the answer is what could be read, so that it can be checked too, and must not be relied
    /// on. The check `unreadable-file` marks what is no verdict on the configuration but a file
    /// that could not be read.
    pub fn read(request: &Request, report: &mut Report) -> Self {
        let mut found = Report::new();
        let Request { inventories, overlays, vault, .. } = request;
        let disk = Disk::new(inventories, overlays, vault.clone(), &mut found);
        let mut inventory = Self { request: request.clone(), disk, ..Self::default() };
        for path in inventories {
            for file in files::inventory(&inventory.disk, path, &mut found) {
                let tree = &mut inventory.tree;
                inventory.hosts_unknown |= read_file(&inventory.disk, &file, tree, &mut found);
            }
            // What stands beside an inventory that is not there belongs to something else.
            let base = match inventory.disk.is_directory(path) {
                Ok(true) => Some(path.as_path()),
                Ok(false) => path.parent(),
                Err(_) => None,
            };
            inventory.bases.extend(base.map(Path::to_owned));
        }
        inventory.tree.check(&mut found);
        inventory.incomplete = found.has_errors();
        for argument in &request.extra {
            push(
                &mut inventory.extra,
                LayerKind::Extra,
                extra::read(&inventory.disk, argument, &mut found),
            );
        }
        report.append(found);
        inventory
    }

    /// Whose values messages may quote.
    pub fn shown(&self) -> Shown {
        self.request.shown
    }

    /// Whether everything was read: what seems to be missing is not there.
    pub fn is_complete(&self) -> bool {
        !self.incomplete && !self.disk.passed_over()
    }

    /// What opens its vault values.
    pub(super) fn vault(&self) -> &Vault {
        &self.request.vault
    }

    /// The inventories as they were named, absolute.
    pub(super) fn sources(&self) -> Vec<String> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        self.request.inventories.iter().map(|path| absolute(path).display().to_string()).collect()
    }

    /// The directories that the inventories are, or are in.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        self.bases.clone()
    }

    /// Whether there is a file of this name.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.disk.is_directory(path).is_ok_and(|is_directory| !is_directory)
    }

    /// A variable of the environment.
    pub(super) fn environment(&self, name: &str) -> Option<&str> {
        self.request.environment.get(name).map(String::as_str)
    }

    /// The text of a file that a template asks for.
    pub(super) fn text(&self, path: &Path, report: &mut Report) -> Option<Arc<Source>> {
        self.disk.read(path, report)
    }

    /// The hosts that it names, sorted.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tree.hosts()
    }

    /// What it says of this machine; none if nobody can say which host that is. Of an inventory
    /// that could not be read as a whole, the variable files of every host are checked as well.
    pub fn this_host(&self, report: &mut Report) -> Option<Host> {
        // A host that is missing may be in the file that could not be read: nothing is said of it.
        let which = if self.incomplete {
            which::choose(&self.request, &self.tree, true, &mut Report::new())
        } else {
            let unknown = self.hosts_unknown || self.disk.passed_over();
            which::choose(&self.request, &self.tree, unknown, report)
        };
        if self.incomplete || which.is_none() {
            self.every_variable_file(report);
        }
        which.map(|which| self.describe(&which, report))
    }

    /// What it says of one of its hosts; none if it names no such host.
    pub fn host(&self, name: &str, report: &mut Report) -> Option<Host> {
        let which = Which { host: name.to_owned(), unlisted: false };
        self.tree.has_host(name).then(|| self.describe(&which, report))
    }

    /// What it says of a host that it does not name and that is in no group but `all`.
    pub(super) fn outside(&self, name: &str, report: &mut Report) -> Host {
        self.describe_in(name, false, &[], report)
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    fn describe(&self, which: &Which, report: &mut Report) -> Host {
        let groups = self.tree.groups_of(&which.host, which.unlisted.then_some(ROLE));
        self.describe_in(&which.host, which.unlisted, &groups, report)
    }

    fn describe_in(
        &self,
        name: &str,
        unlisted: bool,
        groups: &[Arc<str>],
        report: &mut Report,
    ) -> Host {
        let mut layers = Vec::new();
        from_files(&self.tree, name, groups, &mut layers);
        self.beside(name, groups, &mut layers, report);
        layers.sort_by_key(|layer| rank(&layer.kind));
        layers.extend(self.extra.iter().cloned());
        let mut groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        groups.sort();
        Host { name: name.into(), groups, unlisted, layers }
    }

    /// What group_vars and host_vars beside each inventory say: one inventory after the other, and
    /// only within one by the order of the groups.
    fn beside(
        &self,
        host: &str,
        groups: &[Arc<str>],
        layers: &mut Vec<Layer>,
        report: &mut Report,
    ) {
        let mut seen: Vec<&PathBuf> = Vec::new();
        for base in self.bases.iter().rev() {
            if !seen.contains(&base) {
                seen.push(base);
            }
        }
        for base in seen.into_iter().rev() {
            let group_vars = base.join("group_vars");
            self.variable_files(&group_vars, ALL, &LayerKind::GroupVarsAll, layers, report);
            for group in groups {
                let kind = LayerKind::GroupVars(group.clone());
                self.variable_files(&group_vars, group, &kind, layers, report);
            }
            self.variable_files(
                &base.join("host_vars"),
                host,
                &LayerKind::HostVars,
                layers,
                report,
            );
        }
    }

    fn variable_files(
        &self,
        directory: &Path,
        name: &str,
        kind: &LayerKind,
        layers: &mut Vec<Layer>,
        report: &mut Report,
    ) {
        for path in files::variables(&self.disk, directory, name, report) {
            let mut known = self.variable_files.lock().unwrap_or_else(PoisonError::into_inner);
            let file =
                known.entry(path).or_insert_with_key(|path| VariableFile::read(&self.disk, path));
            report.append(file.found.clone());
            push(layers, kind.clone(), file.entries.clone());
        }
    }

    /// Reads the variable files of every group and host for their mistakes alone, so that one run
    /// reports them beside those of the inventory files.
    fn every_variable_file(&self, report: &mut Report) {
        for base in &self.bases {
            for directory in ["group_vars", "host_vars"] {
                let directory = base.join(directory);
                for name in files::owners_of_variables(&self.disk, &directory) {
                    let kind = LayerKind::Extra;
                    self.variable_files(&directory, &name, &kind, &mut Vec::new(), report);
                }
            }
        }
    }
}

impl VariableFile {
    fn read(disk: &Disk, path: &Path) -> Self {
        let mut found = Report::new();
        let source = disk.read(path, &mut found);
        let node = source.and_then(|source| parse(&source, &mut found));
        let entries = node.map(|node| variables(node, &mut found)).unwrap_or_default();
        Self { entries, found }
    }
}

/// Ansible's order of precedence; within a rank the layers keep their order.
fn rank(kind: &LayerKind) -> u8 {
    match kind {
        LayerKind::Defaults => 0,
        LayerKind::InventoryAll => 1,
        LayerKind::InventoryGroup(_) => 2,
        LayerKind::GroupVarsAll => 3,
        LayerKind::GroupVars(_) => 4,
        LayerKind::InventoryHost => 5,
        LayerKind::HostVars => 6,
        LayerKind::Environment => 7,
        LayerKind::Extra => 8,
    }
}

/// Reads a file as the first of Ansible's inventory plugins that takes it does; whether it is the
/// configuration of a plugin that is not here. By its ending it is YAML, JSON (which is YAML), or
/// INI; without an ending whatever it turns out to be.
fn read_file(disk: &Disk, path: &Path, tree: &mut Tree, report: &mut Report) -> bool {
    let Some(source) = disk.read(path, report) else { return false };
    let refuse = |what: &str, hint: &str| {
        Diagnostic::error("inventory-kind", format!("{what} is not supported"))
            .at(Source::whole_place(path))
            .hint(hint)
    };
    if source.text().starts_with("#!") && is_executable(path) {
        report.push(refuse(
            "an inventory script",
            "this program runs none, as it may have rights that the script's author has not; commit \
             what it prints as YAML",
        ));
        return false;
    }
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("yml" | "yaml" | "json") => {}
        Some("toml") => {
            report.push(refuse(
                "a TOML inventory",
                "write it as YAML: `all: hosts:` and `all: vars:`",
            ));
            return false;
        }
        None if !is_ini(&source) => {}
        _ => {
            ini::read(&source, tree, report);
            return false;
        }
    }
    match parse(&source, report) {
        Some(node) => document::read(node, tree, report),
        None => false,
    }
}

/// Whether a file without an ending is no YAML inventory, and looks like the other kind.
fn is_ini(source: &Arc<Source>) -> bool {
    let mapping = parse(source, &mut Report::new())
        .is_some_and(|node| matches!(node.value, Value::Map(_) | Value::Null));
    !mapping && looks_like_ini(source.text())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.permissions().mode() & 0o111 != 0)
}

/// A section, or a host on its line, where YAML would have a key.
fn looks_like_ini(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        .is_some_and(|line| line.starts_with('[') || !(line.contains(": ") || line.ends_with(':')))
}

/// What the inventory files themselves say.
fn from_files(tree: &Tree, host: &str, groups: &[Arc<str>], layers: &mut Vec<Layer>) {
    for entries in tree.group_variables(ALL) {
        push(layers, LayerKind::InventoryAll, entries.clone());
    }
    for group in groups {
        for entries in tree.group_variables(group) {
            push(layers, LayerKind::InventoryGroup(group.clone()), entries.clone());
        }
    }
    for entries in tree.host_variables(host) {
        push(layers, LayerKind::InventoryHost, entries.clone());
    }
}

fn push(layers: &mut Vec<Layer>, kind: LayerKind, entries: Vec<Entry>) {
    if !entries.is_empty() {
        layers.push(Layer { kind, entries });
    }
}
