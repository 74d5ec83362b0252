//! What a node knows of the marks, so that it gives nobody the address of what may be removed
//! before the address has lost its force.

use std::{fmt, sync::Mutex};

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::state::{State, report_every};
use crate::{
    clock::to_unix,
    mirror::{Inner, lock, usage::Used},
    store::{Info, Key},
};

/// Of how much content the last report is remembered.
const REMEMBERED: usize = 50_000;

/// What is known of the marks.
pub(in crate::mirror) struct Marks {
    /// The latest mark that was ever made, and when this node learnt of it.
    latest: Mutex<Option<(Instant, u64)>>,
    /// What this node reported, and as last used when.
    reported: Cache<Key, u64>,
}

impl Marks {
    pub(in crate::mirror) fn new() -> Self {
        Self { latest: Mutex::default(), reported: Cache::new(REMEMBERED) }
    }

    /// Takes in the latest mark, as it stands in the store now.
    pub(super) fn learn(&self, latest: u64) {
        *lock(&self.latest) = Some((Instant::now(), latest));
    }

    /// Takes in what was reported.
    pub(super) fn reported(&self, told: &[(Key, Used)]) {
        told.iter().for_each(|(key, used)| self.reported.insert(key.clone(), used.last));
    }
}

impl Inner {
    /// Whether content that the store has is sure to stay there for as long as an address is good:
    /// it was last used, as the store has been told, after all marks that are known here, and
    /// later marks stand for longer than that before they are acted on ([`super::state::grace`]).
    pub(in crate::mirror) async fn is_safe(&self, key: &Key, info: &Info) -> bool {
        let Some(latest) = self.latest_mark().await else { return false };
        let reported = self.marks.reported.get(key).unwrap_or_default();
        to_unix(info.stored).max(reported) > latest
    }

    /// The latest mark, as it stood no longer ago than nodes report; none if nobody can tell.
    async fn latest_mark(&self) -> Option<u64> {
        let limit = report_every(&self.parts.settings.load());
        let known = *lock(&self.marks.latest);
        if let Some((at, latest)) = known
            && at.elapsed() < limit
        {
            return Some(latest);
        }
        // Asked by several at once now and then, which does no harm.
        let state = State::read(&*self.parts.records).await;
        let state = state.inspect_err(|error| tracing::debug!(%error, "no mark can be read"));
        let latest = state.ok()?.latest_mark;
        self.marks.learn(latest);
        Some(latest)
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marks")
    }
}
