//! Which files belong to an inventory, in the order in which Ansible takes them.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use crate::diagnostic::{Diagnostic, Report};

use super::{Source, disk::Disk};

/// Names that Ansible skips in a directory (`INVENTORY_IGNORE_EXTS` of ansible-core 2.19, and the
/// directories that have a meaning of their own).
const IGNORED_ENDINGS: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];
const IGNORED_NAMES: [&str; 3] = ["host_vars", "group_vars", "vars_plugins"];

/// What a file of variables may be called besides the bare name.
const ENDINGS: [&str; 3] = [".yml", ".yaml", ".json"];

/// How deep directories may nest; a link to a parent stops here.
const DEEPEST: usize = 32;

/// How many files one directory tree may hold.
const MOST: usize = 10_000;

/// The files of an inventory in the order in which they count: of a directory all that Ansible
/// would read, by name, each byte counting.
pub(super) fn inventory(disk: &Disk, path: &Path, report: &mut Report) -> Vec<PathBuf> {
    match disk.is_directory(path) {
        Ok(true) => {}
        Ok(false) => return vec![path.to_owned()],
        Err(error) => {
            let hint = "name an inventory with `-i PATH`";
            report.push(Disk::unreadable(path, &error).hint(hint));
            return Vec::new();
        }
    }
    let found = walk(disk, path, &|name, _| is_ignored(name), report);
    if found.is_empty() {
        report.push(
            Diagnostic::warning("empty-inventory", "the directory holds no inventory file")
                .at(Source::whole_place(path)),
        );
    }
    found
}

/// Whether Ansible passes over a file or directory of this name in an inventory directory.
pub(super) fn is_ignored(name: &str) -> bool {
    name.starts_with('.')
        || IGNORED_NAMES.contains(&name)
        || IGNORED_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether Ansible passes over a file or directory of this name below `group_vars/NAME/`.
pub(super) fn is_no_variables(name: &str, is_directory: bool) -> bool {
    let ending = Path::new(name).extension().and_then(|e| e.to_str());
    name.starts_with('.')
        || name.ends_with('~')
        || (is_directory && name.contains('.'))
        || !matches!(ending, None | Some("yml" | "yaml" | "json"))
}

/// The files that hold the variables of `name` below `directory` (`group_vars` or `host_vars`):
/// the first that exists of `NAME`, `NAME.yml`, `NAME.yaml`, `NAME.json`; of a directory all it
/// holds (`find_vars_files` of ansible-core's loader).
pub(super) fn variables(
    disk: &Disk,
    directory: &Path,
    name: &str,
    report: &mut Report,
) -> Vec<PathBuf> {
    if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
        return Vec::new();
    }
    for ending in [""].iter().chain(&ENDINGS) {
        let path = directory.join(format!("{name}{ending}"));
        match disk.is_directory(&path) {
            Ok(true) => return walk(disk, &path, &is_no_variables, report),
            Ok(false) => return vec![path],
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                report.push(Disk::unreadable(&path, &error));
                return Vec::new();
            }
        }
    }
    Vec::new()
}

/// The groups or hosts that files in `directory` (`group_vars` or `host_vars`) are named after.
pub(super) fn owners_of_variables(disk: &Disk, directory: &Path) -> BTreeSet<String> {
    let Ok(names) = disk.names(directory) else { return BTreeSet::new() };
    let owner = |name: String| {
        let bare = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
        match bare {
            Some(bare) => Some(bare.to_owned()),
            None => (!name.contains('.') && !name.ends_with('~')).then_some(name),
        }
    };
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    names.filter_map(owner).filter(|name| !name.starts_with('.')).collect()
}

/// Every file below `root` that is not ignored, sorted bytewise at each level.
fn walk(
    disk: &Disk,
    root: &Path,
    ignored: &dyn Fn(&str, bool) -> bool,
    report: &mut Report,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // The next to visit is the last.
    let mut open = vec![(root.to_owned(), 0usize)];
    while let Some((path, depth)) = open.pop() {
        if !disk.is_directory(&path).unwrap_or(false) {
            found.push(path);
            if found.len() > MOST {
                report.push(too_many(root));
                return Vec::new();
            }
            continue;
        }
        if depth > DEEPEST {
            report.push(too_many(&path));
            continue;
        }
        let names = match disk.names(&path) {
            Ok(names) => names,
            Err(error) => {
                report.push(Disk::unreadable(&path, &error));
                continue;
            }
        };
        for name in names.into_iter().rev() {
            let child = path.join(&name);
            let kind = disk.is_directory(&child);
            let dangling = kind.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
            if !dangling && !ignored(&name.to_string_lossy(), kind.unwrap_or(false)) {
                open.push((child, depth + 1));
            }
        }
    }
    found
}

fn too_many(path: &Path) -> Diagnostic {
    Diagnostic::error("unreadable-file", "the directory holds too much")
        .at(Source::whole_place(path))
        .hint(format!("at most {MOST} files, {DEEPEST} directories deep; is a link in a circle?"))
}
