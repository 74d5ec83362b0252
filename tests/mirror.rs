//! The mirror against scripted stores and a scripted upstream, on a paused clock.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::StreamExt;
use registry_mirror::{
    clock::Clock,
    mirror::{Blob, ByteRange, CutOff, Manifest, Mirror, Node, Parts, Refusal, Want},
    oci::{Digest, Name, Reference},
    settings::{Private, Settings, Size},
    store::{Layout, Store, fs::Fs},
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::support::scripted::{Hand, Memory, Script};

mod adoption;
mod blobs;
mod damage;
mod denials;
mod gated;
mod jobs;
mod limits;
mod model;
mod redirect;
mod runtimes;
mod stores;
mod sweep;
mod tags;
mod visibility;

const APP: &str = "acme/app";
const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A mirror of a scripted upstream: the shared store in memory, copies on a real disk.
struct Bench {
    script: Arc<Script>,
    far: Arc<Memory>,
    near: Option<Arc<Fs>>,
    clock: Arc<Hand>,
    settings: Arc<ArcSwap<Settings>>,
    mirror: Mirror,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(&Handle::current(), true, change)
    }

    fn on(engine: &Handle, near: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let near = near
            .then(|| Arc::new(Fs::open(directory.path().join("near"), engine.clone()).unwrap()));
        let mut settings = Settings::default();
        change(&mut settings);
        let (script, clock) = (Arc::<Script>::default(), Hand::new());
        let far = Memory::new(clock.clone());
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let mirror = Mirror::new(Parts {
            far: far.clone(),
            near: near.clone().map(|near| near as Arc<dyn Store>),
            records: far.clone(),
            layout: Layout::default(),
            upstream: script.clone(),
            settings: settings.clone(),
            node: Arc::new(Node::new(vec!["node-1".into()])),
            clock: clock.clone(),
            metrics: Metrics::new(),
            engine: engine.clone(),
            spool: directory.path().join("spool"),
        })
        .unwrap();
        Self { script, far, near, clock, settings, mirror, directory }
    }

    /// The same stores and upstream behind a mirror that remembers nothing.
    fn restarted(&self) -> Mirror {
        Mirror::new(self.mirror.parts().clone()).unwrap()
    }

    async fn tag(&self, tag: &str) -> Result<Manifest, Refusal> {
        self.mirror.manifest(&name(APP), &Reference::Tag(tag.parse().unwrap()), Want::Body).await
    }

    async fn digest(&self, digest: Digest) -> Result<Manifest, Refusal> {
        self.mirror.manifest(&name(APP), &Reference::Digest(digest), Want::Body).await
    }

    async fn blob(&self, digest: Digest) -> Result<Blob, Refusal> {
        self.range(digest, None).await
    }

    async fn range(&self, digest: Digest, range: Option<ByteRange>) -> Result<Blob, Refusal> {
        self.mirror.blob(&name(APP), &digest, range, Want::Body).await
    }

    /// The whole blob's bytes; panics with the cause if it cannot be had.
    async fn bytes(&self, digest: Digest) -> Bytes {
        body(self.blob(digest).await.unwrap()).await.unwrap()
    }

    /// Where the copy on the node's disk lies.
    fn copy_of(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let place = format!("near/content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]);
        self.directory.path().join(place)
    }

    /// A blob of so many bytes that was pulled, and is kept.
    async fn kept(&self, length: usize) -> (Digest, Bytes) {
        let bytes = noise(length);
        let digest = self.script.blob(APP, bytes.clone());
        self.bytes(digest).await;
        self.mirror.idle().await;
        (digest, bytes)
    }

    /// Pulls what is damaged somewhere. Who has begun with it is cut off; who has not may have it
    /// from elsewhere; nobody completes it wrong.
    async fn outlives(&self, digest: Digest, bytes: &Bytes) {
        let (got, end) = read(self.blob(digest).await.unwrap()).await;
        match end {
            Ok(()) => assert!(got == *bytes, "it was completed wrong"),
            Err(CutOff) => assert!(got.len() < bytes.len(), "it was completed and cut off"),
        }
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn metrics(&self) -> String {
        self.mirror.parts().metrics.text()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Bytes that differ from place to place.
fn noise(length: usize) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ length as u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What a client gets of a body, and whether it was whole.
async fn read(blob: Blob) -> (Vec<u8>, Result<(), CutOff>) {
    let mut got = Vec::new();
    let mut body = blob.body.expect("a GET has a body");
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(cause) => return (got, Err(cause)),
        }
    }
    (got, Ok(()))
}

async fn body(blob: Blob) -> Result<Bytes, CutOff> {
    let (got, end) = read(blob).await;
    end.map(|()| got.into())
}

fn count(counter: &std::sync::atomic::AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}
