//! What is told apart in the metrics.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Tier {
    /// From memory.
    Memory,
    /// From the node's disk.
    Disk,
    /// From the shared bucket.
    Bucket,
    /// Read along with a fill in progress.
    Flight,
}

/// What kind of request was made upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Kind {
    /// A token of the token service.
    Token,
    /// HEAD of a manifest.
    Head,
    /// GET of a manifest: a pull.
    Manifest,
    /// HEAD of a blob.
    BlobHead,
    /// GET of a blob at the registry.
    Blob,
    /// GET at the address a blob was redirected to.
    Redirect,
    /// Tag listings.
    Tags,
    /// Referrers.
    Referrers,
}

/// Why an answer was stale, or why fetching once was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Why {
    /// The upstream failed or did not answer in time.
    Unavailable,
    /// A limit of the upstream is reached.
    Limit,
    /// The upstream refuses our credential.
    Credential,
    /// There was no room in the spool.
    NoRoom,
    /// The store refused.
    Store,
    /// The repository is not public.
    NotPublic,
    /// The upstream has no such thing.
    Unknown,
    /// The upstream sent bytes that do not match their digest.
    Mismatch,
    /// The request was malformed or not one of a mirror.
    BadRequest,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TierLabel {
    pub(super) tier: Tier,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) kind: Kind,
    /// The HTTP status, or 0 where there was no answer.
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WhyLabel {
    pub(super) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) operation: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ScopeLabel {
    pub(super) scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}
