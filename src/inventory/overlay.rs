//! Files that stand for others: an inventory as it would be.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use crate::diagnostic::{Diagnostic, Report};

use super::{Overlay, Source, files};

/// The overlays under the names by which the walk through an inventory reaches them. What would
/// never be read is an error: it would pass every check without being looked at.
pub(super) fn placed(
    inventories: &[PathBuf],
    overlays: &[Overlay],
    report: &mut Report,
) -> Vec<Overlay> {
    let mut placed = Vec::new();
    for overlay in overlays {
        let refuse = |why: &str, hint: &str| {
            Diagnostic::error("overlay", format!("the overlay would never be read: {why}"))
                .at(Source::whole_place(&overlay.destination))
                .hint(hint)
        };
        let Some((inventory, rest)) = below(inventories, &overlay.destination) else {
            let hint = "the part before `=` is the file that `--overlay` stands for";
            report.push(refuse("it lies in no inventory that `-i` names", hint));
            continue;
        };
        if let Err(why) = would_be_read(&rest) {
            report.push(refuse(why, "Ansible would pass over a file of this name, too"));
            continue;
        }
        let destination =
            if rest.as_os_str().is_empty() { inventory } else { inventory.join(&rest) };
        placed.push(Overlay { destination, contents: overlay.contents.clone() });
    }
    placed
}

/// The inventory that a file belongs to, as it was named, and the path from there. Variables beside
/// an inventory that is a file belong to it, too.
fn below(inventories: &[PathBuf], destination: &Path) -> Option<(PathBuf, PathBuf)> {
    let wanted = resolved(destination);
    inventories.iter().rev().find_map(|inventory| {
        let root = resolved(inventory);
        if let Ok(rest) = wanted.strip_prefix(&root) {
            return Some((inventory.clone(), rest.to_owned()));
        }
        if !inventory.is_file() {
            return None;
        }
        let rest = wanted.strip_prefix(root.parent()?).ok()?.to_owned();
        let beside = rest.starts_with("group_vars") || rest.starts_with("host_vars");
        beside.then(|| (inventory.parent().unwrap_or(Path::new("")).to_owned(), rest))
    })
}

/// The path without links, `.` and `..`, as far as it exists; the rest as it is written.
fn resolved(path: &Path) -> PathBuf {
    let mut missing: Vec<Component<'_>> = Vec::new();
    let mut existing = path;
    loop {
        let here = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        if let Ok(found) = fs::canonicalize(here) {
            return missing.iter().rev().fold(found, |mut path, part| {
                match part {
                    Component::ParentDir => {
                        path.pop();
                    }
                    Component::CurDir => {}
                    part => path.push(part),
                }
                path
            });
        }
        let (Some(last), Some(parent)) = (existing.components().next_back(), existing.parent())
        else {
            return path.to_owned();
        };
        missing.push(last);
        existing = parent;
    }
}

fn would_be_read(rest: &Path) -> Result<(), &'static str> {
    let names: Vec<String> =
        rest.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let Some((last, directories)) = names.split_last() else { return Ok(()) };
    if let Some(first @ ("group_vars" | "host_vars")) = directories.first().map(String::as_str) {
        if directories.iter().skip(1).any(|name| files::is_no_variables(name, true)) {
            return Err("it is below a directory that is passed over");
        }
        return match (first, files::is_no_variables(last, false)) {
            (_, false) => Ok(()),
            ("group_vars", true) => Err("no file of variables is called so in `group_vars`"),
            (_, true) => Err("no file of variables is called so in `host_vars`"),
        };
    }
    if names.iter().any(|name| files::is_ignored(name)) {
        return Err("a name like this is passed over in an inventory");
    }
    Ok(())
}
