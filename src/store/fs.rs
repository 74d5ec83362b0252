//! The store on a directory: content and records as plain files, for a single node, for trying it
//! out, and for the copies in front of a bucket.
//!
//! ```text
//! lock                                          held while the directory is open
//! content/public/sha256/ab/cd/<hex>             content under its digest
//! content/public/sha256/ab/cd/<hex>.type        a manifest's media type
//! content/private/<name>/_/sha256/ab/cd/<hex>   the same, of one private repository of Docker Hub
//! content/upstreams/<host>/private/<name>/_/…   and of another upstream
//! records/<path>                                a version, a line feed, the value
//! staging/<random>                              what is being written; swept when opened
//! ```
//!
//! - A name below `content/` or `records/` appears whole: its bytes are written and flushed under
//!   no name, or one in `staging/`, and then linked or renamed into place. Whatever has a final
//!   name was put there so, after its digest was checked, and counts as verified.
//! - A media type gets its name before the content does and loses it after, and both steps are
//!   one turn for readers. File systems keep the order of changes to one directory (ext4, XFS and
//!   btrfs do), so a manifest is never found without its type, after a crash neither.
//! - A put that succeeded survives a power cut. A removal of content may not, which is harmless.
//! - One process owns the directory: conditions on records are checked under a lock in memory.
//! - No repository's name has a component `_`, so one that is named like a parent of another
//!   shares nothing with it.

mod content;
mod disk;
mod failure;
mod private;
mod records;
mod staging;
#[cfg(test)]
mod tests;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Handle;

use super::{
    Abilities, Area, Entry, Found, Info, Key, Layout, Listed, Meta, NotRemoved, Page, Payload, Put,
    Records, Shard, Store, StoreError, StrayUpload, Version, When, Written,
};
use content::Content;
use records::Files;
use staging::Staging;

pub use disk::{free_space, temporary};
pub use failure::OpenError;

/// Entries of a page of any listing.
const PAGE: usize = 1000;

/// A directory that keeps content and records. Cheap to clone; the directory is given up when the
/// last clone and the last call in progress are gone.
#[derive(Clone, Debug)]
pub struct Fs {
    root: Arc<Root>,
    engine: Handle,
}

/// What an open directory consists of. Its methods block.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    staging: Staging,
    content: Content,
    records: Files,
    _lock: std::fs::File,
}

impl Fs {
    /// Opens the directory `root`, which is created if it is missing, and sweeps what an earlier
    /// process left unfinished. Blocks for as long as a few calls to the disk take. All later work
    /// is done on the blocking threads of `engine`, so that it may be awaited on any runtime.
    ///
    /// # Errors
    /// Another process, or this one, has the directory open; or it cannot be created, written or
    /// locked.
    pub fn open(root: PathBuf, engine: Handle) -> Result<Self, OpenError> {
        Self::open_for(root, engine, Layout::default())
    }

    /// The same for another upstream than Docker Hub.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_for(root: PathBuf, engine: Handle, layout: Layout) -> Result<Self, OpenError> {
        Self::open_with(root, engine, layout, Staging::open)
    }

    fn open_with(
        root: PathBuf,
        engine: Handle,
        layout: Layout,
        staging: fn(PathBuf) -> std::io::Result<Staging>,
    ) -> Result<Self, OpenError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| OpenError::failed(operation, path, &error)
        };
        disk::create_directories(&root).map_err(failed("create", &root))?;
        // A later change of the working directory must not move the store.
        let root = root.canonicalize().map_err(failed("open", &root))?;
        let lock = disk::lock(&root)?;
        for below in ["content", "records", "staging"] {
            let path = root.join(below);
            disk::create_directories(&path).map_err(failed("create", &path))?;
        }
        let path = root.join("staging");
        let staging = staging(path.clone()).map_err(failed("write to", &path))?;
        let content = Content::new(root.join("content"), layout);
        let records = Files::new(root.join("records"));
        Ok(Self {
            root: Arc::new(Root { path: root, staging, content, records, _lock: lock }),
            engine,
        })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.root.path
    }

    /// Does `work` on a blocking thread of the engine. Once begun it is done to its end, even if
    /// nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Root) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = Arc::clone(&self.root);
        match self.engine.spawn_blocking(move || work(&root)).await {
            Ok(result) => result,
            Err(ended) => {
                let code = if ended.is_panic() { "panic" } else { "shutdown" };
                Err(StoreError::Unavailable { operation, code: code.into() })
            }
        }
    }
}

#[async_trait]
impl Store for Fs {
    async fn head(&self, key: &Key) -> Result<Option<Info>, StoreError> {
        let key = key.clone();
        self.blocking("head", move |root| root.content.head(&key)).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<Found>, StoreError> {
        let key = key.clone();
        self.blocking("get", move |root| root.content.get(&key, range)).await
    }

    async fn put(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        let (key, meta) = (key.clone(), meta.clone());
        self.blocking("put", move |root| root.content.put(&root.staging, &key, &payload, &meta))
            .await
    }

    async fn remove(&self, keys: &[Key]) -> Result<(), NotRemoved> {
        let keys = keys.to_vec();
        let stayed = self.blocking("remove", move |root| {
            let tried = keys.into_iter().map(|key| (root.content.remove(&key), key));
            Ok(tried.filter_map(|(end, key)| Some((key, end.err()?))).collect::<Vec<_>>())
        });
        let (keys, mut why): (Vec<_>, Vec<_>) = stayed.await?.into_iter().unzip();
        if why.is_empty() {
            return Ok(());
        }
        Err(NotRemoved::Stayed { keys, why: why.swap_remove(0) })
    }

    async fn list(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<String>,
    ) -> Result<Page<Listed>, StoreError> {
        let area = area.clone();
        self.blocking("list", move |root| root.content.list(&area, shard, from.as_deref())).await
    }

    async fn list_private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError> {
        self.blocking("list", move |root| root.content.list_private(from.as_deref())).await
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(SystemTime::now())
    }

    async fn stray_uploads(&self, from: Option<String>) -> Result<Page<StrayUpload>, StoreError> {
        self.blocking("list", move |root| root.staging.strays(from.as_deref())).await
    }

    async fn abort(&self, upload: &StrayUpload) -> Result<(), StoreError> {
        let id = upload.id.clone();
        self.blocking("abort", move |root| root.staging.abort(&id)).await
    }

    async fn probe(&self) -> Result<Abilities, StoreError> {
        self.blocking("probe", |root| {
            let conditional = root.staging.probe()?;
            Ok(Abilities { conditional, encryption: None, cannot_remove: None })
        })
        .await
    }
}

#[async_trait]
impl Records for Fs {
    async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        let path = path.to_owned();
        self.blocking("get", move |root| root.records.get(&path)).await
    }

    async fn put(&self, path: &str, value: Bytes, when: When) -> Result<Written, StoreError> {
        let path = path.to_owned();
        self.blocking("put", move |root| root.records.put(&root.staging, &path, &value, &when))
            .await
    }

    async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page<Entry>, StoreError> {
        let prefix = prefix.to_owned();
        self.blocking("list", move |root| root.records.list(&prefix, from.as_deref())).await
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        let path = path.to_owned();
        self.blocking("remove", move |root| root.records.remove(&path)).await
    }
}
