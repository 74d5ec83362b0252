//! Which files belong to an inventory, and reading one.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::diagnostic::{Diagnostic, Report};

use super::{Source, yaml};

/// Names that Ansible skips in a directory (`INVENTORY_IGNORE_EXTS` of ansible-core 2.19, and the
/// directories that have a meaning of their own).
const IGNORED_ENDINGS: [&str; 12] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];
const IGNORED_NAMES: [&str; 3] = ["host_vars", "group_vars", "vars_plugins"];

/// How deep directories may nest; a link to a parent stops here.
const DEEPEST: usize = 32;

/// How many files one directory tree may hold.
const MOST: usize = 10_000;

/// The files of an inventory in the order in which they count: of a directory all that Ansible
/// would read, by name, each byte counting.
pub(super) fn inventory(path: &Path, report: &mut Report) -> Vec<PathBuf> {
    match fs::metadata(path) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return vec![path.to_owned()],
        Err(error) => {
            let hint = "name an inventory with `-i PATH`";
            report.push(unreadable(path, &error).hint(hint));
            return Vec::new();
        }
    }
    let ignored = |name: &str, _: bool| {
        name.starts_with('.')
            || IGNORED_NAMES.contains(&name)
            || IGNORED_ENDINGS.iter().any(|ending| name.ends_with(ending))
    };
    let found = walk(path, &ignored, report);
    if found.is_empty() {
        report.push(
            Diagnostic::warning("empty-inventory", "the directory holds no inventory file")
                .at(Source::whole_place(path)),
        );
    }
    found
}

/// The files that hold the variables of `name` below `directory` (`group_vars` or `host_vars`):
/// the first that exists of `NAME`, `NAME.yml`, `NAME.yaml`, `NAME.json`; of a directory all it
/// holds (`find_vars_files` of ansible-core's loader).
pub(super) fn variables(directory: &Path, name: &str, report: &mut Report) -> Vec<PathBuf> {
    if name.contains(['/', '\0']) || matches!(name, "" | "." | "..") {
        return Vec::new();
    }
    for ending in ["", ".yml", ".yaml", ".json"] {
        let path = directory.join(format!("{name}{ending}"));
        match fs::metadata(&path) {
            Ok(data) if data.is_dir() => {
                let ignored = |name: &str, is_directory: bool| {
                    let ending = Path::new(name).extension().and_then(|e| e.to_str());
                    name.starts_with('.')
                        || name.ends_with('~')
                        || (is_directory && name.contains('.'))
                        || !matches!(ending, None | Some("yml" | "yaml" | "json"))
                };
                return walk(&path, &ignored, report);
            }
            Ok(_) => return vec![path],
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                report.push(unreadable(&path, &error));
                return Vec::new();
            }
        }
    }
    Vec::new()
}

/// The groups or hosts that files in `directory` (`group_vars` or `host_vars`) are named after.
pub(super) fn owners_of_variables(directory: &Path) -> BTreeSet<String> {
    let Ok(entries) = directory.read_dir() else { return BTreeSet::new() };
    let owner = |name: String| {
        let bare = [".yml", ".yaml", ".json"].iter().find_map(|ending| name.strip_suffix(ending));
        match bare {
            Some(bare) => Some(bare.to_owned()),
            None => (!name.contains('.') && !name.ends_with('~')).then_some(name),
        }
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(owner)
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// Every file below `root` that is not ignored, sorted bytewise at each level.
fn walk(root: &Path, ignored: &dyn Fn(&str, bool) -> bool, report: &mut Report) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // The next to visit is the last.
    let mut open = vec![(root.to_owned(), 0usize)];
    while let Some((path, depth)) = open.pop() {
        let is_directory = path.is_dir();
        if !is_directory {
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
        let names: io::Result<Vec<_>> =
            fs::read_dir(&path).and_then(|all| all.map(|e| Ok(e?.file_name())).collect());
        let mut names = match names {
            Ok(names) => names,
            Err(error) => {
                report.push(unreadable(&path, &error));
                continue;
            }
        };
        names.sort();
        for name in names.into_iter().rev() {
            let child = path.join(&name);
            let dangling = fs::metadata(&child).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
            if !dangling && !ignored(&name.to_string_lossy(), child.is_dir()) {
                open.push((child, depth + 1));
            }
        }
    }
    found
}

/// Reads a file of the inventory. A byte order mark is dropped.
pub(super) fn read(path: &Path, report: &mut Report) -> Option<Arc<Source>> {
    let refuse = |report: &mut Report, check, message: &str, hint: &str| {
        report.push(Diagnostic::error(check, message).at(Source::whole_place(path)).hint(hint));
        None
    };
    let data = match fs::metadata(path) {
        Ok(data) => data,
        Err(error) => {
            report.push(unreadable(path, &error));
            return None;
        }
    };
    if !data.is_file() {
        let hint = "an inventory is made of plain files and directories";
        return refuse(report, "unreadable-file", "neither a file nor a directory", hint);
    }
    if usize::try_from(data.len()).map_or(true, |length| length > yaml::LARGEST) {
        let hint = "an inventory file is text of a few kilobytes; is this one of something else?";
        return refuse(report, "file-too-large", "the file is larger than 1 MiB", hint);
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.push(unreadable(path, &error));
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        let hint = "save it as UTF-8";
        return refuse(report, "not-utf-8", "the file is not UTF-8 text", hint);
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.starts_with("$ANSIBLE_VAULT;") {
        let hint = "decrypt it with `ansible-vault decrypt` for now";
        return refuse(report, "vault", "vault files are not supported yet", hint);
    }
    Some(Source::file(path, text))
}

/// A file that cannot be read is no verdict on the configuration: exit code 2 goes with this
/// check.
fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::NotADirectory => "a part of the path is no directory",
        _ => "the system refuses it",
    };
    Diagnostic::error("unreadable-file", format!("the file cannot be read: {reason}"))
        .at(Source::whole_place(path))
}

fn too_many(path: &Path) -> Diagnostic {
    Diagnostic::error("unreadable-file", "the directory holds too much")
        .at(Source::whole_place(path))
        .hint(format!("at most {MOST} files, {DEEPEST} directories deep; is a link in a circle?"))
}
