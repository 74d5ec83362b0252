//! What is written down of each answer. Hits are counted and told of together; everything else
//! has a line of its own.

use std::{net::IpAddr, sync::Arc, time::Instant};

use super::{
    problem::Problem,
    tally::{Key, Tally},
};
use crate::{
    mirror::{Manifest, Refusal, Verdict},
    oci::{Digest, Name},
    telemetry::{Metrics, Why},
};

/// Who asked, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    client: Option<IpAddr>,
    at: Instant,
}

impl Asked {
    /// A request that came now.
    pub(super) fn now(client: Option<IpAddr>) -> Self {
        Self { client, at: Instant::now() }
    }

    fn milliseconds(self) -> u64 {
        u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A client's address as the log shows it.
    fn client(self) -> String {
        self.client.map(|ip| ip.to_string()).unwrap_or_default()
    }

    /// A refusal by the mirror: at `warn` if the upstream is to blame.
    pub(super) fn refused(
        self,
        name: &Name,
        reference: &str,
        refusal: &Refusal,
        problem: &Problem,
    ) {
        let (status, code, ms) = (problem.status.as_u16(), problem.code(), self.milliseconds());
        let client = self.client();
        match refusal {
            Refusal::Upstream { .. } | Refusal::Late => tracing::warn!(
                %name, reference, status, code, ms, client, "not answered: {refusal}"
            ),
            _ => tracing::info!(%name, reference, status, code, ms, client, "refused: {refusal}"),
        }
    }

    /// A request that asks for nothing. `path` as it came: an URI holds visible ASCII only.
    pub(super) fn malformed(self, path: &str, problem: &Problem, why: &dyn std::fmt::Display) {
        let (status, code, client) = (problem.status.as_u16(), problem.code(), self.client());
        tracing::info!(path, status, code, client, "bad request: {why}");
    }

    /// A manifest or a listing that was answered.
    pub(super) fn answered(
        self,
        name: &Name,
        reference: &str,
        verdict: Verdict,
        stale: Option<Why>,
        bytes: u64,
    ) {
        let (ms, client) = (self.milliseconds(), self.client());
        let verdict = verdict.as_str();
        match stale {
            Some(why) => tracing::warn!(
                %name, reference, verdict, status = 200, bytes, ms, client,
                "answered with what was known, which may be old: {}", reason(why)
            ),
            None => tracing::info!(
                %name, reference, verdict, status = 200, bytes, ms, client, "answered"
            ),
        }
    }
}

/// Why an answer is stale, in words that fit a log line and a `Warning` header.
pub(super) const fn reason(why: Why) -> &'static str {
    match why {
        Why::Limit => "the upstream's limit is reached",
        Why::Credential => "the upstream refuses the mirror's credential",
        _ => "the upstream is not available",
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it went out.
    Whole,
    /// It could not be had, and the connection was cut.
    Cut,
    /// The client left; nothing is wrong with that.
    Left,
}

/// What will be written of a body that is on its way.
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) digest: Digest,
    pub(super) verdict: Verdict,
    pub(super) status: u16,
    pub(super) asked: Asked,
    pub(super) tally: Arc<Tally>,
    pub(super) metrics: Metrics,
}

impl Record {
    /// A HEAD was answered: there is no body to wait for.
    pub(super) fn headed(&self) {
        self.close(0, End::Whole);
    }

    /// The body ended after `bytes`.
    pub(super) fn close(&self, bytes: u64, end: End) {
        let Self { name, digest, verdict, status, asked, .. } = self;
        let (ms, client) = (asked.milliseconds(), asked.client());
        self.metrics.served(bytes);
        let verdict = verdict.as_str();
        match end {
            End::Cut => tracing::warn!(
                %name, %digest, verdict, status, bytes, ms, client,
                "cut off: the content cannot be had or is not what its digest says"
            ),
            End::Left => tracing::debug!(
                %name, %digest, verdict, status, bytes, ms, client, "the client left"
            ),
            End::Whole if is_hit(self.verdict) => {
                self.tally.add(Key::of_hit(name, self.verdict, asked.client), bytes);
                tracing::debug!(%name, %digest, verdict, status, bytes, ms, client, "sent");
            }
            End::Whole => {
                tracing::info!(%name, %digest, verdict, status, bytes, ms, client, "sent");
            }
        }
    }
}

/// Whether an answer came from this node without work, so that it needs no line of its own.
pub(super) const fn is_hit(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Memory | Verdict::Disk)
}

/// Writes down a manifest that the mirror answered.
pub(super) fn manifest(
    asked: Asked,
    name: &Name,
    reference: &str,
    manifest: &Manifest,
    bytes: u64,
    tally: &Tally,
) {
    if manifest.stale.is_none() && is_hit(manifest.verdict) {
        tally.add(Key::of_hit(name, manifest.verdict, asked.client), bytes);
        let (verdict, client) = (manifest.verdict.as_str(), asked.client());
        tracing::debug!(%name, reference, verdict, status = 200, bytes, client, "answered");
    } else {
        asked.answered(name, reference, manifest.verdict, manifest.stale, bytes);
    }
}
