//! From files to layers.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::diagnostic::{Diagnostic, Report};

use super::{
    Entry, Inventory, Layer, LayerKind, Request, Source, document, extra, files,
    groups::{ALL, Tree},
    parse, variables,
    which::{self, ROLE},
};

/// Reads the inventory for one host. Problems go to the report, all of them; the answer is none
/// if what was read cannot be relied on. The check `unreadable-file` marks what is no verdict on
/// the configuration but a file that could not be read.
pub fn load(request: &Request, report: &mut Report) -> Option<Inventory> {
    let mut found = Report::new();
    let inventory = load_partial(request, &mut found);
    let refused = found.has_errors();
    report.append(found);
    inventory.filter(|_| !refused)
}

/// The same for whoever looks for mistakes: with errors in the report the answer is what could be
/// read, so that it can be checked too. It must not be relied on. None if nobody can say which
/// host this is.
pub fn load_partial(request: &Request, report: &mut Report) -> Option<Inventory> {
    let mut found = Report::new();
    let inventory = read(request, &mut found);
    report.append(found);
    inventory
}

fn read(request: &Request, report: &mut Report) -> Option<Inventory> {
    let mut tree = Tree::default();
    let mut hosts_unknown = false;
    let mut bases: Vec<PathBuf> = Vec::new();
    for inventory in &request.inventories {
        for file in files::inventory(inventory, report) {
            hosts_unknown |= read_file(&file, &mut tree, report);
        }
        // What stands beside an inventory that is not there belongs to something else.
        if !inventory.exists() {
            continue;
        }
        let base = if inventory.is_dir() { Some(inventory.as_path()) } else { inventory.parent() };
        bases.extend(base.map(Path::to_owned));
    }
    tree.check(report);
    // A host that is missing may be in the file that could not be read: nothing is said of it.
    let incomplete = report.has_errors();
    let which = if incomplete {
        which::choose(request, &tree, true, &mut Report::new())
    } else {
        which::choose(request, &tree, hosts_unknown, report)
    };
    let mut layers = Vec::new();
    if let Some(which) = &which {
        let groups = tree.groups_of(&which.host, which.unlisted.then_some(ROLE));
        from_files(&tree, &which.host, &groups, &mut layers);
        beside(&bases, &which.host, &groups, &mut layers, report);
        layers.sort_by_key(|layer| rank(&layer.kind));
    }
    if incomplete || which.is_none() {
        every_variable_file(&bases, report);
    }
    for argument in &request.extra {
        push(&mut layers, LayerKind::Extra, extra::read(argument, report));
    }
    let which = which?;
    let mut groups: Vec<String> = tree
        .groups_of(&which.host, which.unlisted.then_some(ROLE))
        .iter()
        .map(ToString::to_string)
        .collect();
    groups.sort();
    Some(Inventory {
        layers,
        host: which.host,
        groups,
        hosts: tree.hosts().len(),
        unlisted: which.unlisted,
    })
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

/// What kind of inventory a file is, going by its name and first bytes as Ansible's plugins do.
fn read_file(path: &Path, tree: &mut Tree, report: &mut Report) -> bool {
    let Some(source) = files::read(path, report) else { return false };
    let unsupported = match path.extension().and_then(|ending| ending.to_str()) {
        _ if source.text().starts_with("#!") && is_executable(path) => {
            Some(("an inventory script", "this program runs none; commit its output as YAML"))
        }
        Some("yml" | "yaml") => None,
        Some("json") => Some(("a JSON inventory", "write it as YAML: JSON is YAML, rename it")),
        None if !looks_like_ini(source.text()) => None,
        Some("ini" | "conf" | "toml") | None => {
            Some(("an INI or TOML inventory", "write it as YAML: `all: hosts:` and `all: vars:`"))
        }
        Some(_) => Some((
            "a file of an unknown kind",
            "an inventory directory holds `.yml` and `.yaml` files; move this one away",
        )),
    };
    if let Some((what, hint)) = unsupported {
        report.push(
            Diagnostic::error("inventory-kind", format!("{what} is not supported"))
                .at(Source::whole_place(path))
                .hint(hint),
        );
        return false;
    }
    match parse(&source, report) {
        Some(node) => document::read(node, tree, report),
        None => false,
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.permissions().mode() & 0o111 != 0)
}

/// A section, or a host alone on its line, where YAML would have a key.
fn looks_like_ini(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']) && *line != "---")
        .is_some_and(|line| line.starts_with('[') || !line.contains(':'))
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

/// What group_vars and host_vars beside each inventory say: one inventory after the other, and
/// only within one by the order of the groups.
fn beside(
    bases: &[PathBuf],
    host: &str,
    groups: &[Arc<str>],
    layers: &mut Vec<Layer>,
    report: &mut Report,
) {
    let mut seen: Vec<&PathBuf> = Vec::new();
    for base in bases.iter().rev() {
        if !seen.contains(&base) {
            seen.push(base);
        }
    }
    for base in seen.into_iter().rev() {
        let group_vars = base.join("group_vars");
        variable_files(&group_vars, ALL, &LayerKind::GroupVarsAll, layers, report);
        for group in groups {
            let kind = LayerKind::GroupVars(group.clone());
            variable_files(&group_vars, group, &kind, layers, report);
        }
        variable_files(&base.join("host_vars"), host, &LayerKind::HostVars, layers, report);
    }
}

fn variable_files(
    directory: &Path,
    name: &str,
    kind: &LayerKind,
    layers: &mut Vec<Layer>,
    report: &mut Report,
) {
    for file in files::variables(directory, name, report) {
        let Some(source) = files::read(&file, report) else { continue };
        let Some(node) = parse(&source, report) else { continue };
        push(layers, kind.clone(), variables(node, report));
    }
}

/// Reads the variable files of every group and host for their mistakes alone, so that one run
/// reports them beside those of the inventory files.
fn every_variable_file(bases: &[PathBuf], report: &mut Report) {
    for base in bases {
        for directory in ["group_vars", "host_vars"] {
            let directory = base.join(directory);
            let Ok(entries) = directory.read_dir() else { continue };
            let mut names: Vec<String> = entries
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .filter_map(|name| {
                    let known = [".yml", ".yaml", ".json"];
                    let bare = known.iter().find_map(|ending| name.strip_suffix(ending));
                    match bare {
                        Some(bare) => Some(bare.to_owned()),
                        None => (!name.contains('.') && !name.ends_with('~')).then_some(name),
                    }
                })
                .filter(|name| !name.starts_with('.'))
                .collect();
            names.sort();
            names.dedup();
            for name in names {
                variable_files(&directory, &name, &LayerKind::Extra, &mut Vec::new(), report);
            }
        }
    }
}

fn push(layers: &mut Vec<Layer>, kind: LayerKind, entries: Vec<Entry>) {
    if !entries.is_empty() {
        layers.push(Layer { kind, entries });
    }
}
