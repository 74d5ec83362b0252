//! The file that holds what the admin API asks for. Who can read it may ask.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
};

use crate::{command::control, server::Token};

/// The file, which is removed when this is dropped, unless another service has put its own there.
#[derive(Debug)]
pub(super) struct Key {
    path: PathBuf,
    inode: u64,
}

impl Key {
    /// Leaves the token where commands look for it; none if there is no place for it, which is
    /// said.
    pub(super) fn leave(token: &Token) -> Option<Self> {
        let path = control::token()?;
        match write(&path, token) {
            Ok(inode) => Some(Self { path, inode }),
            Err(error) => {
                let (place, why) = (path.display().to_string(), error.kind().to_string());
                tracing::warn!(place, why, "the token cannot be left there; `cache` does not work");
                None
            }
        }
    }
}

fn write(path: &PathBuf, token: &Token) -> io::Result<u64> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    // Whole under its name, and never for a moment readable by more than it should be.
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&new)?;
    file.set_permissions(Permissions::from_mode(0o640))?;
    writeln!(file, "{}", token.expose())?;
    fs::rename(&new, path)?;
    Ok(file.metadata()?.ino())
}

impl Drop for Key {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|known| known.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
