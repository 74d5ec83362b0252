//! The store in a bucket: what every store must do, and what only a bucket can.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use registry_mirror::{
    clock,
    mirror::{Mirror, Node, Parts},
    settings::Settings,
    store::{
        Abilities, Area, Key, Layout, Meta, NotRemoved, Payload, Put, Records, Store, StoreError,
        When, Written,
        s3::{self, S3, Tuning},
    },
    telemetry::Metrics,
};
use tokio::runtime::Handle;

use crate::support::{
    bucket::{Bucket, Fault, Ignored, NAME, SECRET, Sealing},
    conformance::{self, content, file_payload, key, read, read_found},
    scripted::Script,
};

/// Small enough that a body of a MiB is written in parts, and quick to give up.
fn tuning() -> Tuning {
    Tuning {
        single: 256 << 10,
        part: 128 << 10,
        probe_part: 1000,
        backoff: Duration::from_millis(1),
        ..Tuning::default()
    }
}

fn settings() -> s3::Bucket {
    s3::Bucket {
        name: NAME.into(),
        region: Some("eu-central-1".into()),
        endpoint: Some("http://s3.test".into()),
        encrypt: true,
        ..s3::Bucket::default()
    }
}

fn open_as(bucket: &Bucket, settings: s3::Bucket, tuning: Tuning) -> S3 {
    S3::with_http_client(settings, Handle::current(), Metrics::new(), tuning, bucket.client())
}

fn open(bucket: &Bucket) -> S3 {
    open_as(bucket, settings(), tuning())
}

/// A store as it is once the bucket was looked at, which happens at the start.
async fn store() -> (Bucket, Arc<dyn Store>) {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    s3.tenancy().await.unwrap();
    bucket.reset_calls();
    (bucket, Arc::new(s3))
}

async fn records() -> (Bucket, Arc<dyn Records>) {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    (bucket, Arc::new(s3))
}

/// A mirror whose store is the bucket, as `serve` makes it but for what is changed.
fn mirror_on(
    bucket: &Bucket,
    tuning: Tuning,
    directory: &std::path::Path,
    change: impl FnOnce(&mut Parts),
) -> Mirror {
    let of_bucket = settings();
    let layout = of_bucket.layout.clone();
    let s3 = Arc::new(open_as(bucket, of_bucket, tuning));
    let mut parts = Parts {
        far: s3.clone(),
        near: None,
        records: s3,
        layout,
        upstream: Arc::<Script>::default(),
        settings: Arc::new(ArcSwap::from_pointee(Settings::default())),
        node: Arc::new(Node::new(vec!["node-1".into()])),
        clock: clock::system(),
        metrics: Metrics::new(),
        engine: Handle::current(),
        spool: directory.join("spool"),
    };
    change(&mut parts);
    Mirror::new(parts).unwrap()
}

mod content_conforms {
    crate::support::conformance::store_suite!(super::store);
}

mod records_conform {
    crate::support::conformance::records_suite!(super::records);
}

/// The same over ETags that are hashes, where equal values have equal ETags.
mod records_conform_by_hash {
    async fn records() -> (super::Bucket, super::Arc<dyn super::Records>) {
        let bucket = super::Bucket::new().hashing();
        let s3 = super::open(&bucket);
        (bucket, super::Arc::new(s3))
    }

    crate::support::conformance::records_suite!(records);
}

mod calls;
mod encryption;
mod faults;
mod key;
mod layouts;
mod others;
mod owner;
mod places;
mod provision;
mod pulls;
mod quirks;
mod real;
mod served;
mod sweep;
mod tenancy;

fn blob() -> Meta {
    Meta { media_type: None, verified: true }
}

/// Where the content of `key` lies.
fn place(key: &Key) -> String {
    let hex = key.digest.hex();
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}
