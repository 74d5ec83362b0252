//! The mirror itself: given a name and a reference or digest, answer from memory, disk, bucket or
//! upstream. Names no network crate.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clock::Clock,
    oci::{Digest, Name, Reference},
    settings::Settings,
    store::{Area, Key, Layout, Records, Store},
    telemetry::{Metrics, Tier},
    upstream::{Trust, Upstream, UpstreamError},
};

mod alone;
mod answer;
mod background;
mod blobs;
mod buffer;
mod copies;
mod fill;
mod flight;
mod jobs;
mod keep;
mod layout;
mod listings;
mod manifests;
mod node;
mod once;
mod places;
mod reader;
mod refuse;
mod relay;
mod rest;
mod sink;
mod spool;
mod sweep;
mod tags;
mod usage;
mod visibility;

pub use answer::{
    Blob, BlobBytes, ByteRange, CutOff, Health, Listing, Manifest, Refusal, Verdict, Want,
};
pub use jobs::{BadImage, Image, Job, Line, Listen};
pub use node::Node;
pub use sweep::{HeldBack, Reason, Step, SweepError, Swept, Tally, Tell};
pub use usage::{Use, Used};

/// How long the upstream may take over something small before what is known is served instead.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the store may take over a record before the upstream is asked instead.
const RECORD_DEADLINE: Duration = Duration::from_secs(2);

/// What a mirror is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Where everything is kept in the end: the bucket, or the only directory.
    pub far: Arc<dyn Store>,
    /// Copies on this node's disk, in front of a bucket.
    pub near: Option<Arc<dyn Store>>,
    /// Tags, verdicts and whatever else is small and changes.
    pub records: Arc<dyn Records>,
    /// Paths of what belongs to the upstream's repositories; the stores' own.
    pub layout: Layout,
    /// Where things come from.
    pub upstream: Arc<dyn Upstream>,
    /// What the program is told to be; looked at anew for each request.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Who this node is.
    pub node: Arc<Node>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Metrics,
    /// The runtime that owns clients, flights and timers.
    pub engine: Handle,
    /// A directory for bodies in flight; on the file system of the nearest store, so that they can
    /// be linked into place.
    pub spool: PathBuf,
}

/// The mirror. Cheap to clone; its methods may be awaited on any runtime.
#[derive(Clone, Debug)]
pub struct Mirror {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    keeper: keep::Keeper,
    spool: spool::Spool,
    spool_trouble: Mutex<Option<String>>,
    upstream_trouble: Mutex<Option<String>>,
    flights: flight::Flights,
    verdicts: visibility::Verdicts,
    tags: tags::Tags,
    manifests: manifests::Manifests,
    listings: listings::Listings,
    sizes: blobs::Sizes,
    usage: Use,
    marks: sweep::Marks,
    /// One clean-up at a time.
    sweeping: tokio::sync::Mutex<()>,
    /// What the last clean-up left, as far as is known.
    swept: Mutex<Option<sweep::State>>,
    /// Fills, uploads and records under way.
    busy: watch::Sender<usize>,
}

impl Mirror {
    /// A mirror made of `parts`. Asks nobody anything.
    ///
    /// # Errors
    /// The spool's directory cannot be used.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        let spool = spool::Spool::open(parts.spool.clone(), parts.metrics.clone())?;
        let (directory, settings) = (parts.spool.clone(), parts.settings.clone());
        let near = parts.near.clone().map(|near| {
            let measure = Box::new(move || spool::space(&directory));
            let (metrics, engine) = (parts.metrics.clone(), parts.engine.clone());
            copies::Copies::new(near, settings, measure, metrics, engine)
        });
        let keeper =
            keep::Keeper::new(near, parts.far.clone(), parts.metrics.clone(), &parts.engine);
        let records = Arc::new(keep::Noted::new(parts.records.clone(), keeper.clone()));
        let parts = Parts { records, ..parts };
        let inner = Inner {
            keeper,
            spool,
            spool_trouble: Mutex::default(),
            upstream_trouble: Mutex::default(),
            flights: flight::Flights::default(),
            verdicts: visibility::Verdicts::new(),
            tags: tags::Tags::new(),
            manifests: manifests::Manifests::new(),
            listings: listings::Listings::new(),
            sizes: blobs::Sizes::new(),
            usage: Use::default(),
            marks: sweep::Marks::new(),
            sweeping: tokio::sync::Mutex::default(),
            swept: Mutex::default(),
            busy: watch::Sender::new(0),
            parts,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A manifest by tag or digest.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn manifest(
        &self,
        name: &Name,
        reference: &Reference,
        want: Want,
    ) -> Result<Manifest, Refusal> {
        let (name, reference) = (name.clone(), reference.clone());
        self.on_engine(async move |mirror| mirror.manifest(&name, &reference, want).await).await
    }

    /// A blob, or a range of it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        range: Option<ByteRange>,
        want: Want,
    ) -> Result<Blob, Refusal> {
        let (name, digest) = (name.clone(), *digest);
        self.on_engine(async move |mirror| mirror.blob(&name, digest, range, want).await).await
    }

    /// A page of a repository's tags; `query` holds `n` and `last` as the client sent them,
    /// checked and re-encoded.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn tags(&self, name: &Name, query: &str) -> Result<Listing, Refusal> {
        let what = listings::What::Tags;
        let (name, query) = (name.clone(), query.to_owned());
        self.on_engine(async move |mirror| mirror.listing(&name, what, query).await).await
    }

    /// What refers to a digest; `query` holds `artifactType` as the client sent it, checked and
    /// re-encoded.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
        query: &str,
    ) -> Result<Listing, Refusal> {
        let what = listings::What::Referrers(*digest);
        let (name, query) = (name.clone(), query.to_owned());
        self.on_engine(async move |mirror| mirror.listing(&name, what, query).await).await
    }

    /// A manifest of a public repository was served from a worker's own memory, `n` times.
    pub fn served_from_memory(&self, digest: &Digest, n: u64) {
        let key = Key { area: Area::Public, digest: *digest };
        self.inner.parts.metrics.hit(Tier::Memory, n);
        self.inner.touch_manifest(&key, None);
    }

    /// The use of content, for the clean-up.
    pub fn usage(&self) -> &Use {
        &self.inner.usage
    }

    /// Writes down what this node used since it last did, for the clean-up. Done by itself every few
    /// minutes where [`Self::watch`] runs.
    ///
    /// # Errors
    /// The store does not take it; it is kept for the next time.
    pub async fn report_use(&self) -> Result<(), SweepError> {
        self.inner.report_use().await
    }

    /// Cleans up the store, as is done by itself where [`Self::watch`] runs; `tell` is told how it
    /// goes. To be run on the engine.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub async fn sweep(&self, tell: Tell<'_>) -> Result<Swept, SweepError> {
        self.inner.sweep(tell).await
    }

    /// Tells what would go if all that has expired and all that is too much went now. Changes
    /// nothing. To be run on the engine.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub async fn would_sweep(&self, tell: Tell<'_>) -> Result<Swept, SweepError> {
        self.inner.would_sweep(tell).await
    }

    /// Takes in settings that have changed. Of another upstream nothing is known that was found out
    /// of the one before.
    pub fn follow(&self, settings: &Settings) {
        let inner = &self.inner;
        if inner.parts.layout.follow(&settings.upstream_url) {
            inner.verdicts.forget();
            inner.tags.forget();
            inner.listings.forget();
            inner.sizes.forget();
            inner.manifests.forget_all();
        }
    }

    /// What works and what does not.
    pub fn health(&self) -> Health {
        let inner = &self.inner;
        Health {
            store: inner.keeper.trouble(),
            upstream: inner.upstream_trouble(),
            spool: lock(&inner.spool_trouble).clone(),
        }
    }

    /// Brings the metrics up to date that nothing that happens keeps so.
    pub fn measure(&self) {
        self.inner.spool.measure();
    }

    /// Waits until no fill, no upload and no record is under way.
    pub async fn idle(&self) {
        // The sender lives as long as this mirror, so there is no other end to the wait.
        let _ = self.inner.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }

    /// The parts.
    pub fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// Runs `answer` on the engine, where clients, stores and timers live, and stops it when the
    /// asker leaves. What must outlive the asker, it spawns itself.
    async fn on_engine<T, F>(&self, answer: impl FnOnce(Arc<Inner>) -> F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let task = self.inner.parts.engine.spawn(answer(self.inner.clone()));
        AbortOnDropHandle::new(task)
            .await
            .unwrap_or_else(|_| Err(Refusal::Upstream { why: "the request was given up".into() }))
    }
}

impl Inner {
    /// Counts something under way until it is dropped.
    fn busy(&self) -> Busy {
        self.busy.send_modify(|busy| *busy += 1);
        Busy(self.busy.clone())
    }

    /// Asks the upstream for what is free of its limit; why that failed, if it did.
    async fn try_upstream(&self) -> Option<UpstreamError> {
        let image = ("library/hello-world".parse(), "latest".parse().map(Reference::Tag));
        let (Ok(name), Ok(tag)) = image else { return None };
        let asking = timeout(DEADLINE, self.parts.upstream.head(&name, &tag, Trust::Public));
        let late = || Err(UpstreamError::passing("the upstream did not answer in time"));
        let answer = asking.await.unwrap_or_else(|_| late());
        self.note(&answer);
        answer.err().filter(|error| !error.is_answer())
    }

    /// Why the upstream does not serve us as it should, if that is so.
    fn upstream_trouble(&self) -> Option<String> {
        let cooling = self.parts.upstream.cooling();
        cooling
            .map(|(scope, _)| format!("the upstream's limit is reached ({scope:?})"))
            .or_else(|| lock(&self.upstream_trouble).clone())
    }

    /// Notes for `/readyz` whether the upstream answered.
    fn note<T>(&self, answer: &Result<T, UpstreamError>) {
        let trouble = answer.as_ref().err().filter(|error| !error.is_answer());
        *lock(&self.upstream_trouble) = trouble.map(ToString::to_string);
    }

    /// Whether content of that size may be copied to this node's disk.
    fn fits_near(&self, size: u64) -> bool {
        self.keeper.fits_near(size)
    }
}

/// Something under way.
#[derive(Debug)]
struct Busy(watch::Sender<usize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|busy| *busy -= 1);
    }
}

/// Locks; a panic elsewhere while it was locked left nothing half-done that matters here.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
