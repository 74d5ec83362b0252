//! Where PEM comes from: a file that may change, or the settings themselves.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use zeroize::Zeroizing;

use super::TlsError;

/// What a file looked like, so that another can be told from it: device, inode, length in bytes,
/// and the time of the last change in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, u64, i64, i64);

/// What a private key is called in messages.
pub(super) const KEY: &str = "the private key";

/// A path, or PEM itself.
pub(super) struct Source {
    what: &'static str,
    from: From,
}

enum From {
    File(PathBuf),
    Inline(Zeroizing<Vec<u8>>),
}

impl Source {
    /// PEM is known by its first line; a path never looks like it. The path of a key is shown only
    /// if there is such a file: it may be a key that lacks that line.
    pub(super) fn of(text: &str, what: &'static str) -> Self {
        let from = if text.contains("-----BEGIN") {
            From::Inline(Zeroizing::new(text.as_bytes().to_vec()))
        } else {
            From::File(text.into())
        };
        Self { what, from }
    }

    /// The PEM text.
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        match &self.from {
            From::Inline(text) => Ok(text.clone()),
            From::File(path) => fs::read(path)
                .map(Zeroizing::new)
                .map_err(|source| TlsError::Read { what: self.what, place: self.place(), source }),
        }
    }

    /// What the file looks like; none if it is not there, or is no file.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let From::File(path) = &self.from else { return None };
        let meta = fs::metadata(path).ok()?;
        Some(Stamp(meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    }

    /// Words for a message.
    pub(super) fn place(&self) -> String {
        match &self.from {
            From::Inline(_) => "the settings".to_owned(),
            From::File(path) if self.what == KEY && path.symlink_metadata().is_err() => {
                "in the file that `registry_mirror_tls_private_key` names".to_owned()
            }
            From::File(path) => format!("`{}`", path.display()),
        }
    }
}
