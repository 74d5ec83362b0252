//! A bucket, shared by all nodes: content where `registry:2` keeps it, our records beside it.
//!
//! Every call is spawned on the engine, because a connection lives on the runtime that opened it.
//! A read whose asker goes away is given up; a write goes on to its end, so that no upload is left
//! half done. Nothing here waits for the bucket before it is first asked for something.

mod arn;
mod attempt;
mod back;
mod body;
mod client;
mod config;
mod content;
mod elsewhere;
mod encryption;
mod failure;
mod keys;
mod kms;
mod learned;
mod list;
mod multipart;
mod others;
mod owner;
mod probe;
mod provision;
mod read;
mod records;
mod remove;
mod spawned;
mod sums;
mod tenancy;
mod write;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::SystemTime,
};

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::OnceCell};

use aws_sdk_s3::config::{Credentials, HttpClient, SharedHttpClient};

pub use self::config::{Bucket, Tuning};
use self::{
    client::Aws, encryption::Encryption, keys::Keys, learned::Learned, others::ServerClock,
    owner::Account, provision::Step, remove::Refused, spawned::Spawned, tenancy::Readable,
};
use super::{
    Abilities, Area, BackLink, Found, Ground, Info, Key, Link, Listed, Meta, NotRemoved, Page,
    Payload, Put, Shard, Store, StoreError, StrayUpload, Tenancy,
};
use crate::{
    oci::{Algorithm, Digest, Name, Tag},
    telemetry::Metrics,
};

/// The store in a bucket, and the records in it. Cheap to clone.
#[derive(Clone)]
pub struct S3 {
    inner: Arc<Inner>,
}

struct Inner {
    bucket: Bucket,
    tuning: Tuning,
    engine: Handle,
    metrics: Metrics,
    http: SharedHttpClient,
    credentials: Option<Credentials>,
    /// Built by the first call: looking for a region may ask the network.
    aws: OnceCell<Aws>,
    account: Arc<Account>,
    encryption: Encryption,
    learned: Learned,
    keys: Keys,
    tenancy: tenancy::Known,
    /// Name of this run of the program, in what trials of the store write.
    run: String,
    /// Outcome of the last trial, if nothing of it could be removed.
    stuck: Mutex<Option<Abilities>>,
    /// Key and id of an upload that a trial began and could not end.
    stuck_upload: Mutex<Option<(String, String)>>,
    /// Set once a layout elsewhere in the bucket was looked for.
    looked_elsewhere: AtomicBool,
    /// Which key it is that is named, as KMS last said.
    key_is: Mutex<Option<String>>,
    /// What a bucket that was made here still lacks.
    left: Mutex<Vec<Step>>,
    server_clock: Arc<ServerClock>,
}

impl S3 {
    /// The store in `bucket`. Asks nobody anything yet, so it cannot fail and does not wait;
    /// credentials come from the SDK's default chain when the first call needs them.
    pub fn connect(bucket: Bucket, engine: Handle, metrics: Metrics) -> Self {
        Self::new(bucket, engine, metrics, Tuning::default(), client::https(), None)
    }

    /// The store in `bucket` as `http` answers for it, with credentials that are fixed. For tests.
    pub fn with_http_client(
        bucket: Bucket,
        engine: Handle,
        metrics: Metrics,
        tuning: Tuning,
        http: impl HttpClient + 'static,
    ) -> Self {
        let credentials = Credentials::new("test", "test", None, None, "fixed");
        let http = SharedHttpClient::new(http);
        Self::new(bucket, engine, metrics, tuning, http, Some(credentials))
    }

    fn new(
        bucket: Bucket,
        engine: Handle,
        metrics: Metrics,
        tuning: Tuning,
        http: SharedHttpClient,
        credentials: Option<Credentials>,
    ) -> Self {
        let keys = Keys::new(&bucket.prefix, bucket.layout.clone());
        let encryption = Encryption::new(bucket.encrypt, bucket.key.clone());
        Self {
            inner: Arc::new(Inner {
                bucket,
                tuning,
                engine,
                metrics,
                http,
                credentials,
                aws: OnceCell::new(),
                account: Arc::default(),
                encryption,
                learned: Learned::default(),
                keys,
                tenancy: tenancy::Known::default(),
                run: write::nonce(),
                stuck: Mutex::default(),
                stuck_upload: Mutex::default(),
                looked_elsewhere: AtomicBool::new(false),
                key_is: Mutex::default(),
                left: Mutex::default(),
                server_clock: Arc::default(),
            }),
        }
    }

    /// Places of content, in both layouts.
    fn places(&self, keys: &[Key]) -> Vec<String> {
        let layout = &self.inner.keys;
        let places = |key| [Some(layout.content(key)), layout.old_content(key)];
        keys.iter().flat_map(places).flatten().collect()
    }

    /// Runs `work` on the engine; it is given up when the asker goes away.
    async fn read<T, W, F>(&self, operation: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Inner>) -> F,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = self.inner.engine.spawn(work(self.inner.clone()));
        Spawned::abandoned_on_drop(task).join(operation).await
    }

    /// Runs `work` on the engine to its end, whether or not the asker waits for it.
    async fn write<T, W, F>(&self, operation: &'static str, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Inner>) -> F,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let task = self.inner.engine.spawn(work(self.inner.clone()));
        Spawned::detached_on_drop(task).join(operation).await
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("bucket", &self.inner.bucket).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for S3 {
    async fn head(&self, key: &Key) -> Result<Option<Info>, StoreError> {
        let key = key.clone();
        self.read("HeadObject", |inner| async move { inner.head_content(&key).await }).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<Found>, StoreError> {
        let key = key.clone();
        self.read("GetObject", |inner| async move { inner.open_content(&key, range).await }).await
    }

    async fn tenancy(&self) -> Result<Tenancy, StoreError> {
        self.read("ListObjectsV2", |inner| async move { inner.examine().await }).await
    }

    async fn may_remove(&self, keys: &[Key]) -> Result<(), StoreError> {
        let paths = self.places(keys);
        self.read("HeadObject", |inner| async move { inner.may_remove_soon(&paths).await }).await
    }

    async fn adopt(&self, who: &str) -> Result<(), StoreError> {
        let who = who.to_owned();
        self.write("PutObject", |inner| async move { inner.adopt(&who).await }).await
    }

    async fn holds_old(&self) -> Result<bool, StoreError> {
        let holds = |inner: Arc<Inner>| async move {
            Ok(!inner.first_of(inner.keys.old_private(), 1).await?.is_empty())
        };
        self.read("ListObjectsV2", holds).await
    }

    async fn belongs(&self, name: &Name, digest: &Digest) -> Result<bool, StoreError> {
        let links = self.inner.keys.links(name, digest);
        self.read("HeadObject", |inner| async move {
            if inner.known_tenancy().await != Some(Tenancy::Mirror) {
                return Ok(false);
            }
            for link in links {
                if inner.look(&link).await?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    async fn tag_link(
        &self,
        name: &Name,
        tag: &Tag,
    ) -> Result<Option<(Digest, SystemTime)>, StoreError> {
        let (name, tag) = (name.clone(), tag.clone());
        self.read("GetObject", |inner| async move { inner.tag_link(&name, &tag).await }).await
    }

    async fn hand_back(&self, links: &[BackLink]) -> Result<(), StoreError> {
        let links = links.to_vec();
        self.write("PutObject", |inner| async move { inner.hand_back(&links).await }).await
    }

    async fn forget_schedule(&self) -> Result<(), StoreError> {
        let forget = |inner: Arc<Inner>| async move {
            inner.adopt_for_rollback().await?;
            inner.delete_one(&inner.keys.scheduler()).await
        };
        self.write("DeleteObject", forget).await
    }

    async fn link(&self, key: &Key) -> Result<Option<Link>, StoreError> {
        let key = key.clone();
        self.read("GetObject", |inner| async move { inner.link_content(&key).await }).await
    }

    async fn put(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        let (key, meta) = (key.clone(), meta.clone());
        let keep =
            |inner: Arc<Inner>| async move { inner.keep(&key, &payload, &meta, false).await };
        self.write("PutObject", keep).await
    }

    async fn replace(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        let (key, meta) = (key.clone(), meta.clone());
        let keep = |inner: Arc<Inner>| async move { inner.keep(&key, &payload, &meta, true).await };
        self.write("PutObject", keep).await
    }

    async fn remove(&self, keys: &[Key]) -> Result<(), NotRemoved> {
        let paths = self.places(keys);
        let deleting = |inner: Arc<Inner>| async move {
            inner.may_remove(&paths).await?;
            inner.delete(&paths).await
        };
        let Some(Refused { keys: refused, why }) = self.write("DeleteObjects", deleting).await?
        else {
            return Ok(());
        };
        let is_refused = |key: &&Key| {
            self.places(std::slice::from_ref(*key)).iter().any(|path| refused.contains(path))
        };
        let stayed = keys.iter().filter(is_refused);
        Err(NotRemoved::Stayed { keys: stayed.cloned().collect(), why })
    }

    async fn list(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<String>,
    ) -> Result<Page<Listed>, StoreError> {
        let area = area.clone();
        self.read("ListObjectsV2", |inner| async move {
            // What a registry keeps there is none of ours.
            if area == Area::Public && inner.readable().await == Readable::Nothing {
                return Ok(Page { entries: Vec::new(), next: None });
            }
            inner.shard(&area, shard, from).await
        })
        .await
    }

    async fn list_private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError> {
        self.read("ListObjectsV2", |inner| async move { inner.private(from).await }).await
    }

    async fn may_hold(&self, algorithm: Algorithm) -> Result<bool, StoreError> {
        self.read("ListObjectsV2", |inner| async move { inner.holds_any(algorithm).await }).await
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        self.read("HeadObject", |inner| async move { inner.now().await }).await
    }

    async fn other_writer(&self) -> Result<Option<SystemTime>, StoreError> {
        self.read("HeadObject", |inner| async move { inner.other_writer().await }).await
    }

    async fn stray_uploads(&self, from: Option<String>) -> Result<Page<StrayUpload>, StoreError> {
        self.read("ListMultipartUploads", |inner| async move { inner.uploads(from).await }).await
    }

    async fn abort(&self, upload: &StrayUpload) -> Result<(), StoreError> {
        let id = upload.id.clone();
        self.write("AbortMultipartUpload", |inner| async move { inner.end_upload(&id).await }).await
    }

    async fn prepare(&self) -> Result<Ground, StoreError> {
        self.write("CreateBucket", |inner| async move { inner.provision().await }).await
    }

    async fn remove_probes(&self, old: SystemTime) -> Result<u64, StoreError> {
        self.write("DeleteObjects", |inner| async move { inner.remove_probes(old).await }).await
    }

    async fn probe(&self) -> Result<Abilities, StoreError> {
        self.write("PutObject", |inner| async move { inner.probe().await }).await
    }
}

/// Locks; a panic elsewhere while it was locked left nothing half-done that matters here.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
