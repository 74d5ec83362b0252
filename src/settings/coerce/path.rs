//! Paths, which start in the directory of the file that sets them.

use std::path::{Component, Path};

use serde_json::Value as Json;

use crate::inventory::Origin;

/// `written` as an absolute path; PEM text and nothing at all as they are. Null if the result is
/// not text.
pub(super) fn absolute(written: &str, origin: &Origin, directory: &Path) -> Json {
    if written.is_empty() || written.contains("-----BEGIN ") || Path::new(written).is_absolute() {
        return Json::from(written);
    }
    let start = directory.join(origin.directory().unwrap_or(Path::new("")));
    // Once the links of the directory are resolved, `..` can be taken off by hand.
    let mut path = start.canonicalize().unwrap_or(start);
    for component in Path::new(written).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if can_go_up(&path) => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path.into_os_string().into_string().map_or(Json::Null, Json::from)
}

/// Whether the last component of `path` is a directory that exists and no link.
fn can_go_up(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}
