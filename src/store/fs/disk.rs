//! The few things that are asked of a file system, each in one place.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};

use super::failure::OpenError;

/// Content of private repositories lies here too: nobody else's business.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A new empty file for reading and writing that has no name and is gone when the last descriptor
/// is closed. Where the file system allows it (`O_TMPFILE`) it can be given a name later, so that
/// a store on the same file system takes it over without a copy.
///
/// # Errors
/// The directory is missing or cannot be written.
pub fn temporary(directory: &Path) -> io::Result<File> {
    match nameless(directory) {
        Err(error) if is_unsupported(&error) => {
            let (file, path) = named(directory)?;
            std::fs::remove_file(path)?;
            Ok(file)
        }
        opened => opened,
    }
}

/// Bytes that this process may still write on the file system of `path`.
///
/// # Errors
/// The path is missing or cannot be reached.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(path)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// A file without a name (open(2), `O_TMPFILE`), which [`link`] can give one.
pub(super) fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(directory, flags, Mode::from_raw_mode(FILE_MODE))?))
}

/// Whether a file system said that it has no nameless files. Which of the codes comes depends on
/// the kernel and the file system (open(2), "BUGS").
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS)
    )
}

/// A new file under a name that nothing had before.
pub(super) fn named(directory: &Path) -> io::Result<(File, PathBuf)> {
    let path = directory.join(random_name()?);
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&path)?;
    Ok((file, path))
}

/// 128 random bits in hexadecimal.
pub(super) fn random_name() -> io::Result<String> {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}

/// Gives an open file a name that must be free. The way through `/proc` is the one that needs no
/// privilege (open(2), `O_TMPFILE`).
pub(super) fn link(file: &File, name: &Path) -> Result<(), Errno> {
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, descriptor, CWD, name, AtFlags::SYMLINK_FOLLOW)
}

/// Creates a directory and what is missing above it, each durable in its parent.
pub(super) fn create_directories(path: &Path) -> io::Result<()> {
    let create = || match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    match (create(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(parent)?;
            create()
        }
        (result, _) => result,
    }
}

/// Makes the names in a directory survive a power cut.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        // What some network file systems answer for a directory; they have nothing to flush.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

/// Removes a file; none there is no error. Whether there was one.
pub(super) fn remove_if_there(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The names in a directory, in byte order; none if the directory is not there. Names that are not
/// UTF-8 are nobody's.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    match std::fs::read_dir(directory) {
        Ok(entries) => {
            for entry in entries {
                names.extend(entry?.file_name().into_string());
            }
        }
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether there is nothing under a path, or nothing can be.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Takes the directory for this process, for as long as the file is open (flock(2)): the kernel
/// gives it up however the process ends.
pub(super) fn lock(root: &Path) -> Result<File, OpenError> {
    let path = root.join("lock");
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path);
    let file = opened.map_err(|error| OpenError::failed("open", path.clone(), &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { root: root.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::failed("lock", path, &error)),
    }
}
