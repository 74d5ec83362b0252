//! The stores and the upstream that the settings ask for.

use std::{fs, sync::Arc};

use tokio::runtime::Handle;

use super::{super::load::own_names, Failure, unopened};
use crate::{
    mirror::Node,
    settings::{Settings, StoreKind},
    store::{
        Layout, Records, Store,
        fs::Fs,
        s3::{Bucket, S3},
    },
    telemetry::Metrics,
    upstream::{BadUpstream, HubConfig, Timing},
};

/// Where things are kept.
pub(super) struct Stores {
    pub(super) layout: Layout,
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
    let layout = Layout::of(&settings.upstream_url);
    let open = |directory: &str| {
        let directory = settings.data_path.join(directory);
        Fs::open_for(directory, engine.clone(), layout.clone()).map_err(|error| unopened(&error))
    };
    match settings.store {
        StoreKind::Filesystem => {
            let store = Arc::new(open("store")?);
            Ok(Stores { layout, far: store.clone(), near: None, records: store })
        }
        StoreKind::S3 => {
            let bucket = bucket(settings, layout.clone())?;
            let bucket = Arc::new(S3::connect(bucket, engine.clone(), metrics.clone()));
            // Also where there are to be no copies: a reload may ask for some.
            let near: Arc<dyn Store> = Arc::new(open("near")?);
            Ok(Stores { layout, far: bucket.clone(), near: Some(near), records: bucket })
        }
    }
}

fn bucket(settings: &Settings, layout: Layout) -> Result<Bucket, Failure> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let name = settings.bucket_name.clone().ok_or_else(|| {
        let hint = "set registry_mirror_bucket_name, or registry_mirror_store to `filesystem`";
        Failure::of_settings("there is no bucket to keep things in", hint)
    })?;
    Ok(Bucket {
        name,
        region: settings.bucket_location.clone(),
        endpoint: some(&settings.bucket_endpoint),
        create: settings.bucket_create,
        encrypt: settings.bucket_encrypt,
        key: Some(settings.bucket_encryption_key.clone()).filter(|key| !key.is_empty()),
        owner: some(&settings.bucket_owner),
        prefix: settings.bucket_prefix.clone(),
        layout,
    })
}

/// Who this node is: by the name that `--host` gives it, and by each that an inventory may have it
/// under.
pub(in crate::command) fn node(host: Option<&String>) -> Node {
    Node::new(host.cloned().into_iter().chain(own_names()).collect())
}

/// The upstream that the settings name.
pub(in crate::command) fn hub(settings: &Settings) -> Result<HubConfig, Failure> {
    let user = settings.docker_hub_username.clone();
    Ok(HubConfig {
        url: settings.upstream_url.clone(),
        ca_pem: authorities(&settings.upstream_ca)?,
        proxy: (!settings.upstream_proxy.is_empty()).then(|| settings.upstream_proxy.clone()),
        redirect_hosts: settings.upstream_redirect_hosts.clone(),
        credential: (!user.is_empty()).then(|| (user, settings.docker_hub_password.clone())),
        timing: Timing::default(),
    })
}

/// Why that upstream cannot be asked.
pub(in crate::command) fn unusable(error: BadUpstream) -> Failure {
    let variable = match error {
        BadUpstream::Url | BadUpstream::Client => "upstream_url",
        BadUpstream::Ca => "upstream_ca",
        BadUpstream::Proxy => "upstream_proxy",
        BadUpstream::Credential => "docker_hub_username",
    };
    Failure::of_settings(error.to_string(), format!("look at registry_mirror_{variable}"))
}

/// Certification authorities in PEM: the text itself, or what the file of that name holds.
fn authorities(text: &str) -> Result<Option<String>, Failure> {
    if text.is_empty() || text.contains("-----BEGIN") {
        return Ok((!text.is_empty()).then(|| text.to_owned()));
    }
    fs::read_to_string(text).map(Some).map_err(|error| {
        Failure::new(
            format!("cannot read the upstream's certification authorities `{text}`: {error}"),
            "the service's user must be able to read it; look at registry_mirror_upstream_ca",
        )
    })
}
