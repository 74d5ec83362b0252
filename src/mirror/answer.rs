//! What the mirror answers with, and why it may not.

use std::{ops::Range, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{
    oci::{Digest, MediaType},
    store::Link,
    telemetry::Why,
};

/// Whether a client wants the body too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// HEAD: never moves a body, never costs a pull.
    Head,
    /// GET.
    Body,
}

/// How an answer came about, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Kept in memory.
    Memory,
    /// Kept on the node's disk.
    Disk,
    /// Kept in the shared bucket.
    Bucket,
    /// Read along with a fill that was under way.
    Joined,
    /// Fetched from the upstream.
    Fetched,
    /// Fetched from the upstream for this client alone, and not kept.
    Alone,
    /// Asked of the upstream and passed through (HEAD, listings).
    Asked,
    /// Known to be old; the upstream did not answer.
    Stale,
    /// To be fetched from the bucket by the client itself.
    Redirected,
}

impl Verdict {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Bucket => "bucket",
            Self::Joined => "joined",
            Self::Fetched => "fetched",
            Self::Alone => "alone",
            Self::Asked => "asked",
            Self::Stale => "stale",
            Self::Redirected => "redirected",
        }
    }
}

/// A manifest to answer with.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// What it hashes to.
    pub digest: Digest,
    /// The media type as the upstream sent it.
    pub media_type: MediaType,
    /// Length in bytes.
    pub size: u64,
    /// The bytes as they came; none for a HEAD that did not need them.
    pub bytes: Option<Bytes>,
    /// Until when the same answer may be given to the same question without asking the mirror
    /// again; in the past for an answer that must not be kept.
    pub fresh_until: SystemTime,
    /// Why the answer is known to be old, if it is.
    pub stale: Option<Why>,
    /// How it came about.
    pub verdict: Verdict,
}

/// One byte range as a client writes it (RFC 9110, 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From an offset to the end.
    From(u64),
    /// From an offset to another, both included.
    Between(u64, u64),
    /// That many bytes at the end.
    Last(u64),
}

impl ByteRange {
    /// The bytes of a body of `size` that are meant; none if there are none.
    pub fn of(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(start) => start..size,
            Self::Between(start, last) if last >= start => start..last.saturating_add(1).min(size),
            Self::Between(..) => return None,
            Self::Last(n) => size.saturating_sub(n)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// A blob's body was cut off: it cannot be had, or it was not what its digest says. The client's
/// connection is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body was cut off")]
pub struct CutOff;

/// The bytes of a blob, for the client.
pub type BlobBytes = BoxStream<'static, Result<Bytes, CutOff>>;

/// A blob to answer with.
pub struct Blob {
    /// The whole blob's length in bytes.
    pub size: u64,
    /// The bytes of it that are sent: the whole, or the range that was asked for.
    pub range: Range<u64>,
    /// The bytes themselves, exactly as many as the range has; none for a HEAD, or where the
    /// client is to fetch them itself.
    pub body: Option<BlobBytes>,
    /// Where the client is to fetch them, if it is.
    pub link: Option<Link>,
    /// How it came about.
    pub verdict: Verdict,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("range", &self.range)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

/// Tags or referrers, as the upstream listed them.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The JSON body.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: MediaType,
    /// The query of the next page, for a `Link` header.
    pub next: Option<String>,
    /// Value of `OCI-Filters-Applied`.
    pub filters: Option<String>,
    /// Why the answer is known to be old, if it is.
    pub stale: Option<Why>,
    /// How it came about.
    pub verdict: Verdict,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The repository is not public, or there is none: 404 NAME_UNKNOWN.
    #[error("repository is not known to this mirror")]
    NoRepository,
    /// The upstream has no such manifest: 404 MANIFEST_UNKNOWN.
    #[error("manifest is unknown to the upstream")]
    NoManifest,
    /// The upstream has no such blob: 404 BLOB_UNKNOWN.
    #[error("blob is unknown to the upstream")]
    NoBlob,
    /// The upstream has no such API (referrers): 404.
    #[error("the upstream does not offer this")]
    NotOffered,
    /// A limit of the upstream is reached: 429 TOOMANYREQUESTS with the seconds left.
    #[error("the upstream's limit is reached")]
    Limited {
        /// When to come again.
        until: SystemTime,
    },
    /// The range lies outside the blob: 416.
    #[error("range lies outside the blob's {size} bytes")]
    Range {
        /// The blob's length in bytes.
        size: u64,
    },
    /// The upstream failed and nothing is kept: 502.
    #[error("the upstream is not available: {why}")]
    Upstream {
        /// What went wrong, fit for a client's eyes.
        why: Arc<str>,
    },
    /// The upstream did not answer in time and nothing is kept: 504.
    #[error("the upstream did not answer in time")]
    Late,
}

/// What works and what does not, for `/readyz`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the shared store fails, if it does.
    pub store: Option<String>,
    /// Why the upstream fails, if it does.
    pub upstream: Option<String>,
    /// Why the disk for bodies in flight fails, if it does.
    pub spool: Option<String>,
}
