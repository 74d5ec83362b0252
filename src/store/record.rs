//! Small mutable things, by path.

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Page, StoreError};

/// Which writing of a record this is; opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// On what condition a record is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Whatever is there.
    Always,
    /// Only if there is nothing.
    Absent,
    /// Only if what is there is this writing.
    Is(Version),
}

/// How the writing of a record ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written; this is its version.
    Done(Version),
    /// The condition did not hold: somebody else wrote.
    Conflict,
}

/// The largest value of a record in bytes.
pub const MAX_RECORD: usize = 16 << 20;

/// One record of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: String,
    /// When it was last written, by the store's clock.
    pub written: SystemTime,
}

/// Keeps small mutable things by path.
///
/// A reader sees one whole writing, never a mixture; of concurrent conditional writers at most one
/// wins. Paths are `/`-separated components of letters, digits and any of `._-:[]`, none of them `.` or `..`; a path
/// is never also the parent of another. Values are at most [`MAX_RECORD`] bytes.
#[async_trait]
pub trait Records: fmt::Debug + Send + Sync + 'static {
    /// The value at `path` and which writing it is; none if there is none.
    async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError>;

    /// Writes `value` at `path` if `when` holds.
    async fn put(&self, path: &str, value: Bytes, when: When) -> Result<Written, StoreError>;

    /// The records below `prefix` (a path, or empty for all), in the byte order of their paths, a
    /// page at a time.
    async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page<Entry>, StoreError>;

    /// Removes the record at `path`; none there is no error.
    async fn remove(&self, path: &str) -> Result<(), StoreError>;
}
