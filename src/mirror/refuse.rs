//! From the upstream's errors to refusals, in one place.

use super::answer::Refusal;
use crate::{telemetry::Why, upstream::UpstreamError};

/// What a client is told when the upstream fails and nothing is kept; `missing` where the upstream
/// says that there is no such thing. A failure is never turned into "there is no such thing".
pub(super) fn refusal(error: UpstreamError, missing: Refusal) -> Refusal {
    match error {
        UpstreamError::Unknown => missing,
        UpstreamError::Denied => Refusal::NoRepository,
        UpstreamError::CredentialRefused => {
            Refusal::Upstream { why: "the upstream refuses this mirror's credential".into() }
        }
        UpstreamError::CoolingOff { until, .. } => Refusal::Limited { until },
        UpstreamError::Unavailable { why, .. } => Refusal::Upstream { why },
    }
}

/// Why a stale answer is given instead of a fresh one.
pub(super) const fn why(error: &UpstreamError) -> Why {
    match error {
        UpstreamError::Unknown => Why::Unknown,
        UpstreamError::Denied => Why::NotPublic,
        UpstreamError::CredentialRefused => Why::Credential,
        UpstreamError::CoolingOff { .. } => Why::Limit,
        UpstreamError::Unavailable { .. } => Why::Unavailable,
    }
}
