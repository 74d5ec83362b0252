//! The way back: what `registry:2` is told so that it serves the same bucket.

use std::net::SocketAddr;

use serde_json::{Map, Value as Json, json};

use super::{LogLevel, Settings, StoreKind, Tls};

/// The store is a directory, which `registry:2` cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only a bucket can be handed back to `registry:2`; this store is a directory")]
pub struct NotABucket;

/// The configuration of `registry:2.8` run as a mirror (distribution, `docs/configuration.md`),
/// without the password of an account.
///
/// # Errors
/// See [`NotABucket`].
pub fn to_distribution(settings: &Settings) -> Result<Json, NotABucket> {
    if settings.store == StoreKind::Filesystem {
        return Err(NotABucket);
    }
    let mut http = json!({
        "addr": SocketAddr::new(settings.listen_address, settings.listen_port).to_string(),
    });
    if let Some(files) = files(settings) {
        http["tls"] = files;
    }
    let mut proxy = json!({ "remoteurl": settings.upstream_url });
    if !settings.docker_hub_username.is_empty() {
        proxy["username"] = settings.docker_hub_username.as_str().into();
    }
    Ok(json!({
        "version": 0.1,
        "log": { "level": level(settings.log_level) },
        "storage": {
            "s3": s3(settings),
            "delete": { "enabled": true },
            "redirect": { "disable": !settings.blob_redirect },
        },
        "proxy": proxy,
        "http": http,
    }))
}

/// It knows no `trace`, and does not start with one.
fn level(level: LogLevel) -> Json {
    let known = if level == LogLevel::Trace { LogLevel::Debug } else { level };
    serde_json::to_value(known).unwrap_or_default()
}

fn s3(settings: &Settings) -> Json {
    let mut s3 = Map::new();
    s3.insert("bucket".into(), settings.bucket_name.clone().into());
    s3.insert("region".into(), settings.bucket_location.clone().into());
    // Without a key the bucket's own default decides; `encrypt` alone would ask for AES256.
    s3.insert("encrypt".into(), (!settings.bucket_encryption_key.is_empty()).into());
    if !settings.bucket_encryption_key.is_empty() {
        s3.insert("keyid".into(), settings.bucket_encryption_key.as_str().into());
    }
    if !settings.bucket_endpoint.is_empty() {
        s3.insert("regionendpoint".into(), settings.bucket_endpoint.as_str().into());
        s3.insert("secure".into(), settings.bucket_endpoint.starts_with("https:").into());
    }
    let prefix = settings.bucket_prefix.trim_matches('/');
    if !prefix.is_empty() {
        s3.insert("rootdirectory".into(), format!("/{prefix}").into());
    }
    s3.insert("v4auth".into(), true.into());
    s3.into()
}

/// Certificate and key as files, where they are some.
fn files(settings: &Settings) -> Option<Json> {
    let key = settings.tls_private_key.expose();
    let inline = key.contains("-----BEGIN") || settings.tls_certificate.contains("-----BEGIN");
    (settings.tls == Tls::Files && !inline)
        .then(|| json!({ "certificate": settings.tls_certificate, "key": key }))
}
