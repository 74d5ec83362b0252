//! Records: one file each, a version in front of the value.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

use super::{PAGE, disk, failure::During as _, staging::Staging};
use crate::store::{Entry, MAX_RECORD, Page, StoreError, Version, When, Written};

/// A version and the line feed behind it, in bytes.
const HEADER: usize = 33;

/// The directory `records/`.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    /// Held from the look at what is there to the rename over it. This process owns the directory,
    /// so nobody else can come between.
    writing: Mutex<()>,
}

impl Files {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, writing: Mutex::new(()) }
    }

    pub(super) fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        let file = self.file("get", path)?;
        let Some(mut bytes) = read(&file).during("read")? else { return Ok(None) };
        let broken = || StoreError::Broken {
            operation: "read",
            what: format!("`{}` is not a record", file.display()),
        };
        if bytes.len() > HEADER + MAX_RECORD || bytes.get(HEADER - 1) != Some(&b'\n') {
            return Err(broken());
        }
        let value = bytes.split_off(HEADER);
        bytes.pop();
        let version = String::from_utf8(bytes).map_err(|_| broken())?;
        Ok(Some((value.into(), Version(version))))
    }

    pub(super) fn put(
        &self,
        staging: &Staging,
        path: &str,
        value: &[u8],
        when: &When,
    ) -> Result<Written, StoreError> {
        let file = self.file("put", path)?;
        if value.len() > MAX_RECORD {
            return Err(StoreError::Denied { operation: "put", code: "EMSGSIZE".into() });
        }
        // Cheap, and spares a loser the writing; what counts is the look under the lock.
        if !self.holds(path, when)? {
            return Ok(Written::Conflict);
        }
        let directory = file.parent().unwrap_or(&self.directory);
        disk::create_directories(directory).during("mkdir")?;
        // Random, not derived from the value: an equal value written anew is another writing.
        let version = disk::random_name().during("open")?;
        let staged = staging.small(&[version.as_bytes(), b"\n", value])?;
        {
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            if !self.holds(path, when)? {
                return Ok(Written::Conflict);
            }
            staged.publish(&file)?;
        }
        disk::sync_directory(directory).during("fsync")?;
        Ok(Written::Done(Version(version)))
    }

    fn holds(&self, path: &str, when: &When) -> Result<bool, StoreError> {
        Ok(match when {
            When::Always => true,
            When::Absent => self.get(path)?.is_none(),
            When::Is(expected) => self.get(path)?.is_some_and(|(_, version)| version == *expected),
        })
    }

    pub(super) fn remove(&self, path: &str) -> Result<(), StoreError> {
        let file = self.file("remove", path)?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match disk::remove_if_there(&file) {
            Ok(true) => {
                let directory = file.parent().unwrap_or(&self.directory);
                disk::sync_directory(directory).during("fsync")
            }
            Ok(false) => Ok(()),
            Err(error) if is_no_record(&error) => Ok(()),
            Err(error) => Err(error).during("unlink"),
        }
    }

    /// One page of the paths below `prefix` in byte order. A cursor is the last path, so that what
    /// comes and goes between two pages moves nothing else.
    pub(super) fn list(&self, prefix: &str, from: Option<&str>) -> Result<Page<Entry>, StoreError> {
        let (directory, prefix) = match prefix {
            "" => (self.directory.clone(), String::new()),
            prefix => (self.file("list", prefix)?, format!("{prefix}/")),
        };
        let mut entries = Vec::new();
        walk(&directory, &prefix, from.unwrap_or_default(), &mut entries).during("list")?;
        let more = entries.len() > PAGE;
        entries.truncate(PAGE);
        let next = entries.last().filter(|_| more).map(|entry| entry.path.clone());
        Ok(Page { entries, next })
    }

    /// Where a record lies. The grammar keeps it below the directory.
    fn file(&self, operation: &'static str, path: &str) -> Result<PathBuf, StoreError> {
        if path.split('/').all(is_component) {
            Ok(self.directory.join(path))
        } else {
            Err(StoreError::Denied { operation, code: "EINVAL".into() })
        }
    }
}

fn is_component(text: &str) -> bool {
    let good = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'[' | b']')
    };
    !matches!(text, "" | "." | "..") && text.bytes().all(good)
}

/// A record's file, as far as it can be one: a byte more than the largest shows that it is not.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let limit = (HEADER + MAX_RECORD + 1) as u64;
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if is_no_record(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there is no record under a path: nothing, or the parent of others.
fn is_no_record(error: &io::Error) -> bool {
    disk::is_missing(error) || error.kind() == io::ErrorKind::IsADirectory
}

/// Adds the paths below a directory that come after `from`, until there is one more than a page
/// holds. A directory sorts as its paths do, with the `/` behind its name.
fn walk(directory: &Path, prefix: &str, from: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    let mut names = Vec::new();
    match std::fs::read_dir(directory) {
        Ok(found) => {
            for entry in found {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| is_component(name)) else { continue };
                let end = if entry.file_type()?.is_dir() { "/" } else { "" };
                names.push(format!("{prefix}{name}{end}"));
            }
        }
        Err(error) if disk::is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    names.sort_unstable();
    for path in names {
        if entries.len() > PAGE {
            break;
        }
        let reached = path.as_str() <= from && !from.starts_with(&path);
        match path.strip_suffix('/') {
            Some(_) if reached => {}
            Some(below) => {
                let name = below.rsplit('/').next().unwrap_or(below);
                walk(&directory.join(name), &path, from, entries)?;
            }
            None if path.as_str() > from => {
                let file = directory.join(path.rsplit('/').next().unwrap_or(&path));
                match std::fs::metadata(file).and_then(|known| known.modified()) {
                    Ok(written) => entries.push(Entry { path, written }),
                    Err(error) if disk::is_missing(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            None => {}
        }
    }
    Ok(())
}
