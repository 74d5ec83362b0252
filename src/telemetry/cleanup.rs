//! What is counted of the clean-up.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::labels::OutcomeLabel;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The metrics of the clean-up. What is in the store is as the last clean-up of this node found it.
#[derive(Clone, Debug, Default)]
pub struct Cleanup {
    runs: Family<OutcomeLabel, Counter>,
    removed: Family<ReasonLabel, Counter>,
    removed_bytes: Family<ReasonLabel, Counter>,
    objects: Gauge<u64, AtomicU64>,
    bytes: Gauge<u64, AtomicU64>,
    marked: Gauge<u64, AtomicU64>,
    last: Gauge<u64, AtomicU64>,
    progress: Gauge<f64, AtomicU64>,
}

impl Cleanup {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let this = Self::default();
        let r = registry;
        r.register(
            "cleanups",
            "clean-ups of this node: done, busy (another is at it), lost (another took over), failed",
            this.runs.clone(),
        );
        r.register(
            "cleanup_removed",
            "objects removed from the store, by why",
            this.removed.clone(),
        );
        r.register(
            "cleanup_removed_bytes",
            "bytes removed from the store, by why",
            this.removed_bytes.clone(),
        );
        r.register(
            "store_objects",
            "objects in the store, as this node's last clean-up found them",
            this.objects.clone(),
        );
        r.register(
            "store_bytes",
            "bytes in the store, as this node's last clean-up found them",
            this.bytes.clone(),
        );
        r.register(
            "cleanup_marked_bytes",
            "bytes that go with the next clean-up unless somebody uses them",
            this.marked.clone(),
        );
        r.register(
            "cleanup_timestamp_seconds",
            "when this node last came to the end of a clean-up; 0 since the start if never",
            this.last.clone(),
        );
        r.register(
            "cleanup_progress",
            "share of the store that the clean-up under way on this node has walked over; 0 if none is",
            this.progress.clone(),
        );
        this
    }

    /// So much of a clean-up is done, from 0 to 1.
    pub fn progress(&self, share: f64) {
        self.progress.set(share);
    }

    /// An object of `bytes` was removed.
    pub fn removed(&self, reason: &'static str, bytes: u64) {
        self.removed.get_or_create(&ReasonLabel { reason }).inc();
        self.removed_bytes.get_or_create(&ReasonLabel { reason }).inc_by(bytes);
    }

    /// What a clean-up left.
    pub fn left(&self, objects: u64, bytes: u64, marked: u64) {
        self.objects.set(objects);
        self.bytes.set(bytes);
        self.marked.set(marked);
    }

    /// A clean-up ended so, `now` (seconds since 1970).
    pub fn ended(&self, outcome: &'static str, now: u64) {
        self.progress.set(0.0);
        self.runs.get_or_create(&OutcomeLabel { outcome }).inc();
        if outcome == "done" {
            self.last.set(now);
        }
    }
}
