//! What the inventory means: [`Settings`], what the program is told to be.
//!
//! [`read`] goes from layers of written values to settings: which layer wins ([`mod@layers`]),
//! templates over the winners, types ([`mod@coerce`]), the schema ([`mod@check`]), what one value
//! demands of another ([`mod@rules`]), serde. Every problem goes to the report, and none stops the
//! search for the next.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub mod arguments;
mod change;
mod check;
mod coerce;
mod defaults;
mod distribution;
pub mod document;
mod environment;
mod explain;
mod formats;
mod kind;
mod layers;
mod missing;
mod names;
mod optional;
mod read;
mod reserved;
mod rules;
pub mod schema;
mod secrets;
mod surprises;
pub mod table;
#[cfg(test)]
mod tests;
mod traps;
mod units;
mod url;
mod write;

pub use change::Changed;
pub use distribution::{NotABucket, to_distribution};
pub use explain::{Explanation, Said, explain};
pub use kind::Kind;
pub use layers::{Winners, join};
pub use read::{Given, Origins, Summary, layers, read, scope};
pub use secrets::Concealed;
pub use units::{KmsKey, MASK, Period, Secret, Size};
pub use url::url;
pub use write::{to_json, to_yaml};

/// Everything the program is told to be, as section 4 of the documentation's table has it.
///
/// Serde knows the fields without the prefix `registry_mirror_`. Written out, secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Settings {
    pub docker_image: String,
    pub shared_secret: Secret,
    pub shared_secret_previous: Secret,
    pub docker_hub_username: String,
    pub docker_hub_password: Secret,
    /// None with a filesystem store whose inventory gives no prefix.
    #[serde(with = "optional")]
    pub bucket_name: Option<String>,
    #[serde(with = "optional")]
    pub bucket_location: Option<String>,
    pub bucket_encrypt: bool,
    pub bucket_encryption_key: KmsKey,
    pub bucket_create: bool,
    pub bucket_owner: String,
    pub bucket_endpoint: String,
    /// Slashes around it do not matter.
    pub bucket_prefix: String,
    pub store: StoreKind,
    pub data_path: PathBuf,
    pub spool_size: Size,
    pub local_cache_size: Size,
    pub blob_redirect: bool,
    pub tag_ttl: Period,
    pub tag_max_stale: Period,
    pub not_found_ttl: Period,
    pub tag_rules: Vec<TagRule>,
    pub expire_after: Period,
    #[serde(with = "optional")]
    pub max_size: Option<Size>,
    pub cleanup_interval: Period,
    /// Needed only where a bucket's conditional writes cannot be trusted.
    pub sweeper: String,
    pub listen_address: IpAddr,
    pub listen_port: u16,
    pub admin_address: SocketAddr,
    pub drain_delay: Period,
    pub drain_timeout: Period,
    pub tls: Tls,
    /// A path (absolute) or inline PEM.
    pub tls_certificate: String,
    /// A path (absolute) or inline PEM.
    pub tls_private_key: Secret,
    #[serde(with = "optional")]
    pub domain: Option<String>,
    #[serde(with = "optional")]
    pub url: Option<String>,
    pub upstream_url: String,
    /// A path (absolute) or inline PEM; empty: the system's roots.
    pub upstream_ca: String,
    /// May hold a password.
    pub upstream_proxy: Secret,
    pub upstream_redirect_hosts: Vec<String>,
    pub private_repositories: Private,
    pub group: String,
    pub peers: Vec<String>,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
}

/// Where content is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum StoreKind {
    S3,
    Filesystem,
}

/// How clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Tls {
    Generated,
    Files,
    Off,
}

/// Whether repositories that are not public are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Private {
    Deny,
    Allow,
}

/// The least severe message that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogFormat {
    Text,
    Json,
}

/// How long tags that match are believed. The first rule that matches wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagRule {
    /// `repository:tag`, each with `*` for any text (`/` included); `library/` may be left out.
    #[serde(rename = "match")]
    pub pattern: String,
    /// For how long.
    pub ttl: Period,
}

impl Default for Settings {
    /// The shipped defaults, as far as they need nothing from an inventory.
    fn default() -> Self {
        const fn seconds(n: u64) -> Period {
            Period(Duration::from_secs(n))
        }
        const GIB: u64 = 1 << 30;
        Self {
            docker_image: "registry:2.8.3".into(),
            shared_secret: Secret::default(),
            shared_secret_previous: Secret::default(),
            docker_hub_username: String::new(),
            docker_hub_password: Secret::default(),
            bucket_name: None,
            bucket_location: None,
            bucket_encrypt: true,
            bucket_encryption_key: KmsKey::default(),
            bucket_create: true,
            bucket_owner: String::new(),
            bucket_endpoint: String::new(),
            bucket_prefix: String::new(),
            store: StoreKind::S3,
            data_path: "/var/lib/registry-mirror".into(),
            spool_size: Size(10 * GIB),
            local_cache_size: Size(20 * GIB),
            blob_redirect: false,
            tag_ttl: seconds(300),
            tag_max_stale: seconds(30 * 86_400),
            not_found_ttl: seconds(30),
            tag_rules: Vec::new(),
            expire_after: seconds(7 * 86_400),
            max_size: None,
            cleanup_interval: seconds(3600),
            sweeper: String::new(),
            listen_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listen_port: 5000,
            admin_address: SocketAddr::from(([127, 0, 0, 1], 5002)),
            drain_delay: seconds(30),
            drain_timeout: seconds(15 * 60),
            tls: Tls::Generated,
            tls_certificate: String::new(),
            tls_private_key: Secret::default(),
            domain: None,
            url: None,
            upstream_url: "https://registry-1.docker.io".into(),
            upstream_ca: String::new(),
            upstream_proxy: Secret::default(),
            upstream_redirect_hosts: Vec::new(),
            private_repositories: Private::Deny,
            group: "registry_mirror".into(),
            peers: Vec::new(),
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
        }
    }
}
