//! The stores and the upstream that the settings ask for.

use std::{fs, sync::Arc};

use tokio::runtime::Handle;

use super::{Failure, unopened};
use crate::{
    clock::Clock,
    settings::{Settings, StoreKind},
    store::{
        Records, Store,
        fs::Fs,
        s3::{Bucket, S3},
    },
    telemetry::Metrics,
    upstream::Upstream,
};

/// Where things are kept.
pub(super) struct Stores {
    pub(super) far: Arc<dyn Store>,
    pub(super) near: Option<Arc<dyn Store>>,
    pub(super) records: Arc<dyn Records>,
}

/// Opens what is on disk; a bucket is asked nothing yet.
pub(super) fn stores(
    settings: &Settings,
    engine: &Handle,
    metrics: &Metrics,
) -> Result<Stores, Failure> {
    let open = |directory: &str| {
        Fs::open(settings.data_path.join(directory), engine.clone())
            .map_err(|error| unopened(&error))
    };
    match settings.store {
        StoreKind::Filesystem => {
            let store = Arc::new(open("store")?);
            Ok(Stores { far: store.clone(), near: None, records: store })
        }
        StoreKind::S3 => {
            let bucket = Arc::new(S3::connect(bucket(settings)?, engine.clone(), metrics.clone()));
            let near: Option<Arc<dyn Store>> = match settings.local_cache_size.0 {
                0 => None,
                _ => Some(Arc::new(open("near")?)),
            };
            Ok(Stores { far: bucket.clone(), near, records: bucket })
        }
    }
}

fn bucket(settings: &Settings) -> Result<Bucket, Failure> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let name = settings.bucket_name.clone().ok_or_else(|| {
        Failure::new("there is no bucket to keep things in", "set registry_mirror_bucket_name")
    })?;
    Ok(Bucket {
        name,
        region: settings.bucket_location.clone(),
        endpoint: some(&settings.bucket_endpoint),
        encrypt: settings.bucket_encrypt,
        key: some(&settings.bucket_encryption_key),
        owner: some(&settings.bucket_owner),
    })
}

/// The upstream that the settings name; it is asked nothing yet.
pub(super) fn upstream(
    settings: &Settings,
    engine: &Handle,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<Arc<dyn Upstream>, Failure> {
    let _ = (fs::read_to_string::<&str>, settings, engine, clock, metrics);
    Err(Failure::new("no upstream", "wait for the hub"))
}
