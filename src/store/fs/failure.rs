//! What the operating system's errors mean for a store.

use std::{io, path::PathBuf};

use rustix::io::Errno;

use crate::store::StoreError;

/// Why a directory could not be opened as a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is open already, in another process or in this one.
    #[error(
        "the directory `{}` is in use by another process\n\
         hint: is the service running already? two of them need two data paths",
        root.display()
    )]
    InUse {
        /// The directory.
        root: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {operation} `{}` ({code})", path.display())]
    Failed {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's name for the reason (`EACCES`).
        code: String,
    },
}

impl OpenError {
    pub(super) fn failed(operation: &'static str, path: PathBuf, error: &io::Error) -> Self {
        Self::Failed { operation, path, code: code(error) }
    }

    /// Whether the same call may well succeed later, without anybody changing anything.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }
}

/// Says during what an error of the operating system came.
pub(super) trait During<T> {
    /// The error by meaning; `operation` is the system call's word for what was tried.
    fn during(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| by_meaning(operation, &error))
    }
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|errno| by_meaning(operation, &errno.into()))
    }
}

/// What an error of the operating system means. Whatever is not known to last is worth another
/// try: a disk that is away, a limit of the process, a network file system in trouble.
fn by_meaning(operation: &'static str, error: &io::Error) -> StoreError {
    let code = code(error);
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => StoreError::Full { operation },
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NAMETOOLONG | Errno::FBIG) => {
            StoreError::Denied { operation, code }
        }
        Some(
            Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::EXIST
            | Errno::NOTEMPTY
            | Errno::BADMSG
            | Errno::UCLEAN,
        ) => StoreError::Broken { operation, what: code },
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            StoreError::Broken { operation, what: "the file ends before its length".into() }
        }
        _ => StoreError::Unavailable { operation, code },
    }
}

/// The name of an error of the operating system, or its number.
pub(super) fn code(error: &io::Error) -> String {
    let Some(errno) = Errno::from_io_error(error) else {
        return format!("{:?}", error.kind());
    };
    let name = match errno {
        Errno::ACCESS => "EACCES",
        Errno::AGAIN => "EAGAIN",
        Errno::BADMSG => "EBADMSG",
        Errno::BUSY => "EBUSY",
        Errno::DQUOT => "EDQUOT",
        Errno::EXIST => "EEXIST",
        Errno::FBIG => "EFBIG",
        Errno::INTR => "EINTR",
        Errno::INVAL => "EINVAL",
        Errno::IO => "EIO",
        Errno::ISDIR => "EISDIR",
        Errno::LOOP => "ELOOP",
        Errno::MFILE => "EMFILE",
        Errno::MLINK => "EMLINK",
        Errno::NAMETOOLONG => "ENAMETOOLONG",
        Errno::NFILE => "ENFILE",
        Errno::NODEV => "ENODEV",
        Errno::NOENT => "ENOENT",
        Errno::NOLCK => "ENOLCK",
        Errno::NOMEM => "ENOMEM",
        Errno::NOSPC => "ENOSPC",
        Errno::NOTDIR => "ENOTDIR",
        Errno::NOTEMPTY => "ENOTEMPTY",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::PERM => "EPERM",
        Errno::ROFS => "EROFS",
        Errno::STALE => "ESTALE",
        Errno::TIMEDOUT => "ETIMEDOUT",
        Errno::UCLEAN => "EUCLEAN",
        Errno::XDEV => "EXDEV",
        _ => return format!("errno {}", errno.raw_os_error()),
    };
    name.to_owned()
}
