//! Where things come from: what is asked of a registry, and how it may refuse.

mod base64;
mod body;
mod challenge;
mod claims;
mod headers;
mod hub;
mod pace;
mod redirect;
mod registry;
mod roots;
mod routable;
mod single;
mod token;
mod visibility;
mod wire;

use std::{fmt, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::oci::{Digest, MediaType, Name, Reference};

pub use hub::{BadUpstream, Hub, HubConfig, Prepared, Timing};

/// For whom a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The repository is public: with our credential where there is one (for its higher limit),
    /// anonymously where the upstream refuses the credential itself.
    Public,
    /// The repository is not public: with our credential or not at all.
    Private,
}

/// Whether anyone may pull from a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// An anonymous token for it grants `pull`.
    Public,
    /// It does not, be it that the repository is private or that there is none.
    NotPublic,
}

/// What a HEAD tells of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it hashes to; none if the upstream did not say.
    pub digest: Option<Digest>,
    /// Its media type.
    pub media_type: Option<MediaType>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// When the upstream last said so.
    pub checked_at: SystemTime,
}

/// A manifest as it came, verified against its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What the bytes hash to.
    pub digest: Digest,
    /// The `Content-Type` it came with.
    pub media_type: MediaType,
    /// The bytes as they came.
    pub bytes: Bytes,
    /// When the upstream said so.
    pub checked_at: SystemTime,
}

/// Bytes of a blob on their way. An error, or an end short of the length, is a broken transfer.
pub type Chunks = BoxStream<'static, Result<Bytes, UpstreamError>>;

/// A blob on its way, from the offset that was asked for.
pub struct Blob {
    /// The whole blob's length in bytes; none if the upstream did not say.
    pub total: Option<u64>,
    /// The bytes from the offset on.
    pub chunks: Chunks,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("total", &self.total).finish_non_exhaustive()
    }
}

/// A listing passed through: its JSON body and how it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The body as it came.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: MediaType,
    /// The query of the next page (`n=…&last=…`), from the `Link` header; none on the last.
    pub next: Option<String>,
    /// Value of `OCI-Filters-Applied`, for referrers.
    pub filters: Option<String>,
}

/// What a cool-off stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Manifest GETs made with the credential in use: the pull limit.
    Pulls,
    /// Every request: the abuse limit.
    Everything,
}

/// How many pulls are left, as the upstream's own headers said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Pulls in a window.
    pub limit: Option<u64>,
    /// Pulls left in it.
    pub remaining: Option<u64>,
}

/// How an upstream refuses or fails, in terms that a peer could pass on unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It has no such thing: a confirmed 404.
    #[error("unknown to the upstream")]
    Unknown,
    /// The registry (not its token service) refuses: the repository is not ours to read.
    #[error("denied by the upstream")]
    Denied,
    /// The token service refuses our credential.
    #[error("the upstream refuses the configured credential")]
    CredentialRefused,
    /// A limit is reached; nothing of that scope is asked before `until`.
    #[error("the upstream's limit is reached")]
    CoolingOff {
        /// When asking is worth while again.
        until: SystemTime,
        /// What must wait.
        scope: Scope,
    },
    /// It did not answer, broke off, or answered wrongly.
    #[error("the upstream is not available: {why}")]
    Unavailable {
        /// Whether the same request may well succeed at once.
        retry: bool,
        /// What went wrong, in our own words: never a foreign error's text, which may hold a
        /// signed URL.
        why: Arc<str>,
    },
}

impl UpstreamError {
    /// A failure that may pass.
    pub fn passing(why: impl Into<Arc<str>>) -> Self {
        Self::Unavailable { retry: true, why: why.into() }
    }

    /// A failure that asking again at once would meet again.
    pub fn lasting(why: impl Into<Arc<str>>) -> Self {
        Self::Unavailable { retry: false, why: why.into() }
    }

    /// Whether the upstream answered, and the answer is no. Such an answer is never masked by a
    /// stale one.
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Unknown | Self::Denied)
    }
}

/// A registry to pull from. Every method makes as few requests as the protocol allows, shares
/// tokens, honours cool-offs before it asks, and verifies nothing of a blob's bytes (the flight
/// does); a manifest is verified here.
#[async_trait]
pub trait Upstream: fmt::Debug + Send + Sync + 'static {
    /// Whether anyone may pull from the repository: asks for an anonymous token and looks into its
    /// `access` claim; where the token is opaque, makes an anonymous HEAD of `hint`, or of a tag
    /// that most repositories have.
    async fn visibility(
        &self,
        name: &Name,
        hint: Option<&Reference>,
    ) -> Result<Visibility, UpstreamError>;

    /// The registry denied what was granted for the repository: what was granted before counts no
    /// more.
    fn distrust(&self, _name: &Name) {}

    /// HEAD of a manifest: free of the pull limit. An upstream that answers 405 is asked by GET.
    async fn head(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Head, UpstreamError>;

    /// GET of a manifest: costs a pull.
    async fn manifest(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Manifest, UpstreamError>;

    /// HEAD of a blob: its length in bytes.
    async fn blob_size(
        &self,
        name: &Name,
        digest: &Digest,
        trust: Trust,
    ) -> Result<Option<u64>, UpstreamError>;

    /// GET of a blob from offset `from` on, redirects followed. The first chunk is the byte at
    /// `from`, also where the upstream ignores the Range.
    async fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        from: u64,
        trust: Trust,
    ) -> Result<Blob, UpstreamError>;

    /// A page of the repository's tags; `query` is the client's (`n`, `last`), already checked.
    async fn tags(&self, name: &Name, query: &str, trust: Trust) -> Result<Listing, UpstreamError>;

    /// What refers to a digest; `query` is the client's (`artifactType`), already checked.
    async fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
        query: &str,
        trust: Trust,
    ) -> Result<Listing, UpstreamError>;

    /// What is left of the pull limit, as last told.
    fn limits(&self) -> Limits;

    /// What is cooling off now, and until when; none if nothing is.
    fn cooling(&self) -> Option<(Scope, SystemTime)>;
}
