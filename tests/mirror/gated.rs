//! A store at which a task can be made to stand still before one of its calls, or be watched.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use registry_mirror::{
    oci::{Digest, Name, Tag},
    store::{
        Abilities, Area, BackLink, Entry, Found, Info, Key, Link, Listed, Meta, NotRemoved, Page,
        Payload, Put, Records, Shard, Store, StoreError, StrayUpload, Version, When, Written,
    },
};
use tokio::sync::Notify;

use crate::support::scripted::Memory;

/// Where a task stands still.
#[derive(Debug)]
pub struct Gate {
    /// So many calls are let through; below 0 it stands.
    pub left: AtomicI64,
    /// Told when it may go on.
    pub open: Notify,
    /// Whether the call fails instead, that one only.
    pub fails: bool,
}

tokio::task_local! {
    /// The gate of the task that makes a call.
    pub static GATE: Arc<Gate>;
    /// Told before each call of the task, once it has made one.
    pub static WATCH: Arc<dyn Fn() + Send + Sync>;
}

/// The store, with gates before it.
#[derive(Debug)]
pub struct Gated(pub Arc<Memory>);

async fn pass() -> Result<(), StoreError> {
    let _ = WATCH.try_with(|watch| watch());
    let Ok(gate) = GATE.try_with(Arc::clone) else { return Ok(()) };
    let left = gate.left.fetch_sub(1, Ordering::SeqCst);
    if gate.fails {
        let failed = StoreError::Unavailable { operation: "test", code: "SlowDown".into() };
        return if left == 0 { Err(failed) } else { Ok(()) };
    }
    if left <= 0 {
        gate.open.notified().await;
    }
    Ok(())
}

#[async_trait]
impl Store for Gated {
    async fn head(&self, key: &Key) -> Result<Option<Info>, StoreError> {
        pass().await?;
        self.0.head(key).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<Found>, StoreError> {
        pass().await?;
        Store::get(&*self.0, key, range).await
    }

    async fn belongs(&self, name: &Name, digest: &Digest) -> Result<bool, StoreError> {
        pass().await?;
        self.0.belongs(name, digest).await
    }

    async fn tag_link(
        &self,
        name: &Name,
        tag: &Tag,
    ) -> Result<Option<(Digest, SystemTime)>, StoreError> {
        pass().await?;
        self.0.tag_link(name, tag).await
    }

    async fn hand_back(&self, links: &[BackLink]) -> Result<(), StoreError> {
        pass().await?;
        self.0.hand_back(links).await
    }

    async fn link(&self, key: &Key) -> Result<Option<Link>, StoreError> {
        self.0.link(key).await
    }

    async fn put(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        pass().await?;
        Store::put(&*self.0, key, payload, meta).await
    }

    async fn remove(&self, keys: &[Key]) -> Result<(), NotRemoved> {
        pass().await?;
        Store::remove(&*self.0, keys).await
    }

    async fn list(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<String>,
    ) -> Result<Page<Listed>, StoreError> {
        pass().await?;
        Store::list(&*self.0, area, shard, from).await
    }

    async fn list_private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError> {
        pass().await?;
        self.0.list_private(from).await
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.0.now().await
    }

    async fn other_writer(&self) -> Result<Option<SystemTime>, StoreError> {
        pass().await?;
        self.0.other_writer().await
    }

    async fn stray_uploads(&self, from: Option<String>) -> Result<Page<StrayUpload>, StoreError> {
        pass().await?;
        self.0.stray_uploads(from).await
    }

    async fn abort(&self, upload: &StrayUpload) -> Result<(), StoreError> {
        pass().await?;
        self.0.abort(upload).await
    }

    async fn remove_probes(&self, old: SystemTime) -> Result<u64, StoreError> {
        pass().await?;
        self.0.remove_probes(old).await
    }

    async fn probe(&self) -> Result<Abilities, StoreError> {
        pass().await?;
        self.0.probe().await
    }
}

#[async_trait]
impl Records for Gated {
    async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        pass().await?;
        Records::get(&*self.0, path).await
    }

    async fn put(&self, path: &str, value: Bytes, when: When) -> Result<Written, StoreError> {
        pass().await?;
        Records::put(&*self.0, path, value, when).await
    }

    async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page<Entry>, StoreError> {
        pass().await?;
        Records::list(&*self.0, prefix, from).await
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        pass().await?;
        Records::remove(&*self.0, path).await
    }
}
