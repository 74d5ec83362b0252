//! Metrics: what is counted, in one typed registry without globals. And where log lines go.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::SystemTime,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

mod cleanup;
mod labels;
mod logs;

use labels::{CallLabels, OutcomeLabel, RequestLabels, ScopeLabel, TierLabel, WhyLabel};

pub use cleanup::Cleanup;
pub use labels::{Kind, Tier, Why};
pub use logs::Logs;

/// Every metric of the program. Cheap to clone; counting takes no lock once a label was seen.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    hits: Family<TierLabel, Counter>,
    misses: Counter,
    served_bytes: Counter,
    upstream_requests: Family<RequestLabels, Counter>,
    upstream_bytes: Counter,
    fills: Counter,
    joins: Counter,
    resumes: Counter,
    mismatches: Counter,
    alone: Family<WhyLabel, Counter>,
    stale: Family<WhyLabel, Counter>,
    refusals: Family<WhyLabel, Counter>,
    cool_offs: Family<ScopeLabel, Counter>,
    limit: Gauge<i64, AtomicI64>,
    remaining: Gauge<i64, AtomicI64>,
    credential_refused: Gauge<i64, AtomicI64>,
    store_calls: Family<CallLabels, Counter>,
    store_refuses: Gauge<i64, AtomicI64>,
    spool_bytes: Gauge<u64, AtomicU64>,
    disk_size: Gauge<u64, AtomicU64>,
    disk_free: Gauge<u64, AtomicU64>,
    pending_uploads: Gauge<u64, AtomicU64>,
    copies: Gauge<u64, AtomicU64>,
    copies_evicted: Counter,
    copies_refused: Counter,
    reloads: Family<OutcomeLabel, Counter>,
    reload_refused: Gauge<i64, AtomicI64>,
    reloaded: Gauge<u64, AtomicU64>,
    cleanup: Cleanup,
}

impl Metrics {
    /// A registry with every metric at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("registry_mirror");
        let r = &mut registry;
        let metrics = (
            Self::counter(r, "hits", "answers without the upstream, by where they came from"),
            Self::counter(r, "misses", "answers that needed the upstream"),
            Self::counter(r, "upstream_requests", "requests made upstream, by kind and status"),
        );
        let served_bytes = Counter::default();
        r.register_with_unit(
            "served",
            "bytes of bodies sent to clients",
            Unit::Bytes,
            served_bytes.clone(),
        );
        let upstream_bytes = Counter::default();
        r.register_with_unit(
            "upstream",
            "bytes of bodies received from upstream",
            Unit::Bytes,
            upstream_bytes.clone(),
        );
        let fills = Self::counter(r, "fills", "blobs fetched into the spool");
        let joins = Self::counter(r, "joins", "readers that joined a fill in progress");
        let resumes = Self::counter(r, "resumes", "fills continued after a broken transfer");
        let mismatches = Self::counter(r, "mismatches", "bodies that did not match their digest");
        let alone = Self::counter(r, "alone", "blobs fetched for one client alone, by why");
        let stale = Self::counter(r, "stale", "answers known to be old, by why");
        let refusals = Self::counter(r, "refusals", "requests refused, by why");
        let cool_offs =
            Self::counter(r, "cool_offs", "times the upstream told us to wait, by what must wait");
        let limit = Self::gauge(
            r,
            "ratelimit_limit",
            "pulls in a window, as the upstream said last; -1 if it did not",
        );
        let remaining = Self::gauge(
            r,
            "ratelimit_remaining",
            "pulls left, as the upstream said last; -1 if it did not",
        );
        limit.set(-1);
        remaining.set(-1);
        let credential_refused =
            Self::gauge(r, "credential_refused", "1 while the upstream refuses our credential");
        let store_calls =
            Self::counter(r, "store_calls", "calls to the shared store, by operation and outcome");
        let store_refuses = Self::gauge(
            r,
            "store_refuses",
            "1 while the shared store does not take what is written; /readyz says why",
        );
        let spool = Gauge::default();
        r.register_with_unit(
            "spool",
            "disk reserved for bodies in flight",
            Unit::Bytes,
            spool.clone(),
        );
        let disk_size = Gauge::default();
        r.register_with_unit(
            "disk_size",
            "the file system that holds copies and bodies in flight",
            Unit::Bytes,
            disk_size.clone(),
        );
        let disk_free = Gauge::default();
        r.register_with_unit("disk_free", "what is free of it", Unit::Bytes, disk_free.clone());
        let pending_uploads = Gauge::default();
        r.register(
            "pending_uploads",
            "content that the shared store has yet to take",
            pending_uploads.clone(),
        );
        let copies = Gauge::default();
        r.register_with_unit(
            "copies",
            "copies on this node's disk, in front of the shared store",
            Unit::Bytes,
            copies.clone(),
        );
        let copies_evicted =
            Self::counter(r, "copies_evicted", "copies that went to make room for others");
        let copies_refused =
            Self::counter(r, "copies_refused", "copies that a full or failing disk did not take");
        let reloads = Self::counter(r, "reloads", "reloads of the configuration, by outcome");
        let reload_refused =
            Self::gauge(r, "reload_refused", "1 while the last reload was a refused one");
        let reloaded = Self::counter(
            r,
            "reloaded_timestamp_seconds",
            "when the configuration was last reloaded and taken; 0 since the start if never",
        );
        let cleanup = Cleanup::register(r);
        Self {
            cleanup,
            copies,
            copies_evicted,
            copies_refused,
            reloads,
            reload_refused,
            reloaded,
            hits: metrics.0,
            misses: metrics.1,
            upstream_requests: metrics.2,
            served_bytes,
            upstream_bytes,
            fills,
            joins,
            resumes,
            mismatches,
            alone,
            stale,
            refusals,
            cool_offs,
            limit,
            remaining,
            credential_refused,
            store_calls,
            store_refuses,
            spool_bytes: spool,
            disk_size,
            disk_free,
            pending_uploads,
            registry: Arc::new(registry),
        }
    }

    fn counter<M>(registry: &mut Registry, name: &str, help: &str) -> M
    where
        M: Default + Clone + prometheus_client::registry::Metric,
    {
        let metric = M::default();
        registry.register(name, help, metric.clone());
        metric
    }

    fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge<i64, AtomicI64> {
        Self::counter(registry, name, help)
    }

    /// All metrics in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// `n` answers came without asking the upstream.
    pub fn hit(&self, tier: Tier, n: u64) {
        self.hits.get_or_create(&TierLabel { tier }).inc_by(n);
    }

    /// An answer needed the upstream.
    pub fn miss(&self) {
        self.misses.inc();
    }

    /// Bytes of a body went to clients.
    pub fn served(&self, bytes: u64) {
        self.served_bytes.inc_by(bytes);
    }

    /// A request upstream was answered with `status`, or not at all (0).
    pub fn upstream(&self, kind: Kind, status: u16) {
        self.upstream_requests.get_or_create(&RequestLabels { kind, status }).inc();
    }

    /// Bytes of a body came from upstream.
    pub fn received(&self, bytes: u64) {
        self.upstream_bytes.inc_by(bytes);
    }

    /// A fill began.
    pub fn fill(&self) {
        self.fills.inc();
    }

    /// A reader joined a fill.
    pub fn join(&self) {
        self.joins.inc();
    }

    /// A fill went on after a broken transfer.
    pub fn resume(&self) {
        self.resumes.inc();
    }

    /// A body did not match its digest.
    pub fn mismatch(&self) {
        self.mismatches.inc();
    }

    /// A blob is fetched for one client alone.
    pub fn alone(&self, why: Why) {
        self.alone.get_or_create(&WhyLabel { why }).inc();
    }

    /// A stale answer was given.
    pub fn stale(&self, why: Why) {
        self.stale.get_or_create(&WhyLabel { why }).inc();
    }

    /// A request was refused.
    pub fn refusal(&self, why: Why) {
        self.refusals.get_or_create(&WhyLabel { why }).inc();
    }

    /// The upstream told us to wait; `scope` is `pulls` or `everything`.
    pub fn cool_off(&self, scope: &'static str) {
        self.cool_offs.get_or_create(&ScopeLabel { scope }).inc();
    }

    /// What the upstream said of its pull limit; none sets -1.
    pub fn limits(&self, limit: Option<u64>, remaining: Option<u64>) {
        let value = |n: Option<u64>| n.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX));
        self.limit.set(value(limit));
        self.remaining.set(value(remaining));
    }

    /// Whether the upstream refuses our credential now.
    pub fn credential_refused(&self, refused: bool) {
        self.credential_refused.set(i64::from(refused));
    }

    /// A call to the shared store ended; `outcome` is `ok`, `absent`, `conflict` or `error`.
    pub fn store_call(&self, operation: &'static str, outcome: &'static str) {
        self.store_calls.get_or_create(&CallLabels { operation, outcome }).inc();
    }

    /// Bytes of disk reserved for bodies in flight.
    pub fn spool(&self, bytes: u64) {
        self.spool_bytes.set(bytes);
    }

    /// The file system that holds copies and bodies in flight: all of its bytes, and the free ones.
    pub fn disk(&self, size: u64, free: u64) {
        self.disk_size.set(size);
        self.disk_free.set(free);
    }

    /// The shared store took what was written last, or `refuses` it.
    pub fn store_refuses(&self, refuses: bool) {
        self.store_refuses.set(i64::from(refuses));
    }

    /// Copies on the disk have so many bytes in all.
    pub fn copies(&self, bytes: u64) {
        self.copies.set(bytes);
    }

    /// `n` copies went to make room.
    pub fn copies_evicted(&self, n: u64) {
        self.copies_evicted.inc_by(n);
    }

    /// A copy found no room, or the disk failed.
    pub fn copy_refused(&self) {
        self.copies_refused.inc();
    }

    /// A reload was taken, or refused.
    pub fn reload(&self, taken: bool, now: SystemTime) {
        let outcome = if taken { "taken" } else { "refused" };
        self.reloads.get_or_create(&OutcomeLabel { outcome }).inc();
        self.reload_refused.set(i64::from(!taken));
        if taken {
            let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.reloaded.set(since.as_secs());
        }
    }

    /// What is counted of the clean-up.
    pub fn cleanup(&self) -> &Cleanup {
        &self.cleanup
    }

    /// How much content the shared store has yet to take.
    pub fn pending_uploads(&self, count: u64) {
        self.pending_uploads.set(count);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
