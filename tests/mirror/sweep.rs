//! The clean-up: what goes, what stays, and who does it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use registry_mirror::{
    mirror::{HeldBack, Mirror, Node, Parts, Reason, Step, SweepError, Swept, Verdict, Want},
    oci::Digest,
    settings::{Period, Settings, Size},
    store::{Area, Key, Meta, Payload, Records, Store, StrayUpload, When, fs::Fs},
    upstream::{Scope, UpstreamError},
};

use tokio::runtime::Handle;

use super::{
    APP, Bench, TYPE, body, count,
    gated::{GATE, Gate, Gated, WATCH},
    name, noise,
};

mod addresses;
mod due;
mod full;
mod leftovers;
mod long;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn quiet(_: Step) {}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what this thread logs for as long as the second is held.
    fn begin() -> (Self, impl Sized) {
        let log = Self::default();
        let writer = log.clone();
        // Where there is only one, a line that another thread came to first may count as unwanted.
        let other = tracing::Dispatch::new(tracing_subscriber::fmt().finish());
        let own = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false);
        (log, (tracing::subscriber::set_default(own.finish()), other))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Bench {
    /// Another node on the same store, whose every call can be watched.
    fn watched(&self, name: &str) -> Mirror {
        let store = Arc::new(Gated(self.far.clone()));
        let other = self.other(name).parts().clone();
        Mirror::new(Parts { far: store.clone(), records: store, ..other }).unwrap()
    }

    /// Another node on the same store.
    fn other(&self, name: &str) -> Mirror {
        let node = Arc::new(Node::new(vec![name.into()]));
        let spool = self.directory.path().join(name);
        Mirror::new(Parts { node, spool, near: None, ..self.mirror.parts().clone() }).unwrap()
    }

    async fn sweep(&self) -> Swept {
        self.mirror.sweep(&quiet).await.unwrap()
    }

    /// Lets so much time pass.
    async fn later(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
    }

    /// Lets so much time pass with a clean-up every hour, as there would be.
    async fn pass(&self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            self.later(HOUR.min(end.duration_since(self.now()).unwrap())).await;
            self.sweep().await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = (*self.settings.load_full()).clone();
        change(&mut settings);
        self.settings.store(Arc::new(settings));
    }

    /// Content that was put there so long ago.
    fn there_since(&self, text: &str, ago: Duration) -> Digest {
        let digest = self.there(text, 100);
        let mut content = self.far.content.lock().unwrap();
        content.get_mut(&(String::new(), digest)).unwrap().2 -= ago;
        digest
    }

    /// What an earlier clean-up left: `marked` ago it marked what had expired by then, if it did,
    /// and use has been written down for long.
    fn left(&self, swept: Duration, marked: Option<Duration>) {
        let ago = |by: Duration| registry_mirror::clock::to_unix(self.now() - by);
        let state = serde_json::json!({
            "since": ago(90 * DAY), "swept": ago(swept), "marked": marked.map_or(0, ago),
            "expired": marked.map_or(0, |marked| ago(marked + 7 * DAY)),
            "latest_mark": marked.map_or(0, |marked| ago(marked + 7 * DAY)), "doomed": 100,
        });
        self.far.note("sweep/state", &state.to_string());
    }

    /// Content that was put there without this mirror's doing.
    fn there(&self, text: &str, size: usize) -> Digest {
        let bytes = Bytes::from(format!("{text:-<size$}"));
        let digest = Digest::sha256(&bytes);
        self.far.insert(&Key { area: Area::Public, digest }, bytes, Meta::default());
        digest
    }

    /// An image of one layer, pulled.
    async fn pulled(&self, tag: &str) -> (Digest, Digest) {
        let layer = self.script.blob(APP, noise(1000 + tag.len()));
        let text = format!(r#"{{"layers":[{{"digest":"{layer}","size":1}}],"tag":"{tag}"}}"#);
        let manifest = self.script.manifest(APP, tag, TYPE, &text);
        self.tag(tag).await.unwrap();
        self.bytes(layer).await;
        self.mirror.idle().await;
        (manifest, layer)
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_used_for_long_enough_goes_and_no_sooner() {
    let bench = Bench::new();
    bench.sweep().await;
    let (manifest, layer) = bench.pulled("1").await;
    bench.pass(7 * DAY).await;
    assert!(bench.far.holds(&manifest) && bench.far.holds(&layer), "it went too early");
    bench.pass(2 * HOUR).await;
    assert!(!bench.far.holds(&layer) && !bench.far.holds(&manifest), "it is still there");
    assert!(bench.metrics().contains("cleanup_removed_total{reason=\"expired\"} 2"));
    // Another node fetches it anew.
    let other = bench.other("node-2");
    let blob = other.blob(&name(APP), &layer, None, Want::Body).await.unwrap();
    assert_eq!(blob.verdict, Verdict::Fetched);
    body(blob).await.unwrap();
    other.idle().await;
    assert!(bench.far.holds(&layer));
}

#[tokio::test(start_paused = true)]
async fn what_is_used_stays_and_a_manifest_uses_what_it_names() {
    let bench = Bench::new();
    bench.sweep().await;
    let (manifest, layer) = bench.pulled("1").await;
    let (_, unused) = bench.pulled("two").await;
    for _ in 0..5 {
        bench.pass(3 * DAY).await;
        // As when a worker answers from its own memory.
        bench.mirror.served_from_memory(&manifest, 10);
    }
    assert!(bench.far.holds(&manifest) && bench.far.holds(&layer), "it was in use");
    assert!(!bench.far.holds(&unused));
}

#[tokio::test(start_paused = true)]
async fn use_on_any_node_counts() {
    let bench = Bench::new();
    let other = bench.other("node-2");
    bench.sweep().await;
    let (_, layer) = bench.pulled("1").await;
    for _ in 0..4 {
        bench.pass(4 * DAY).await;
        let blob = other.blob(&name(APP), &layer, None, Want::Body).await;
        let blob = blob.unwrap();
        assert_eq!(blob.verdict, Verdict::Bucket, "it is still there");
        body(blob).await.unwrap();
        other.report_use().await.unwrap();
    }
    assert!(bench.far.holds(&layer));
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_has_its_full_time() {
    let bench = Bench::new();
    let digest = bench.there("adopted", 100);
    bench.later(30 * DAY).await;
    let swept = bench.sweep().await;
    assert_eq!((swept.left.objects, swept.removed.objects, swept.marked), (1, 0, 0));
    bench.pass(6 * DAY).await;
    // The pool is switched off for long: what was in use then is not to blame.
    bench.later(20 * DAY).await;
    bench.pass(6 * DAY).await;
    assert!(bench.far.holds(&digest), "bookkeeping began anew");
    bench.pass(DAY + 3 * HOUR).await;
    assert!(!bench.far.holds(&digest));
}

#[tokio::test(start_paused = true)]
async fn what_is_used_between_mark_and_removal_is_spared() {
    let bench = Bench::new();
    let other = bench.other("node-2");
    bench.sweep().await;
    let (manifest, layer) = bench.pulled("1").await;
    let (_, unused) = bench.pulled("two").await;
    bench.pass(7 * DAY - HOUR).await;
    bench.later(HOUR).await;
    let swept = bench.sweep().await;
    assert!(swept.marked > 2000 && swept.removed.objects == 0, "{swept:?}");
    let due = swept.due.unwrap();
    assert_eq!(
        due.duration_since(bench.now()).unwrap(),
        10 * MINUTE,
        "as soon as the grace is over"
    );
    bench.later(9 * MINUTE).await;
    assert_eq!(bench.sweep().await.removed.objects, 0, "the grace is not over");
    other.served_from_memory(&manifest, 1);
    other.usage().touch([Key { area: Area::Public, digest: layer }]);
    other.report_use().await.unwrap();
    bench.later(MINUTE).await;
    let swept = bench.sweep().await;
    assert_eq!(swept.removed.objects, 2, "{swept:?}");
    assert!(bench.far.holds(&layer) && bench.far.holds(&manifest) && !bench.far.holds(&unused));
}

#[tokio::test(start_paused = true)]
async fn settings_that_were_changed_meanwhile_spare_what_they_would() {
    let bench = Bench::new();
    bench.sweep().await;
    let digest = bench.there("old", 100);
    bench.pass(7 * DAY - HOUR).await;
    bench.later(HOUR).await;
    assert_eq!(bench.sweep().await.marked, 100);
    bench.change(|settings| settings.expire_after = Period(30 * DAY));
    bench.later(HOUR).await;
    assert_eq!(bench.sweep().await.removed.objects, 0);
    bench.pass(20 * DAY).await;
    assert!(bench.far.holds(&digest), "it went though the settings said 30 days");

    bench.change(|settings| settings.max_size = Some(Size(10)));
    bench.later(HOUR).await;
    assert_eq!(bench.sweep().await.marked, 100);
    bench.change(|settings| settings.max_size = None);
    bench.later(HOUR).await;
    assert_eq!(bench.sweep().await.removed.objects, 0);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_cap_the_least_recently_used_go() {
    let bench = Bench::new();
    bench.change(|settings| settings.max_size = Some(Size(10_000)));
    bench.sweep().await;
    let mut all = Vec::new();
    for number in 0..20 {
        all.push(bench.there(&number.to_string(), 1000));
        // The first is in use all the time.
        bench.mirror.usage().touch([Key { area: Area::Public, digest: all[0] }]);
        bench.pass(HOUR).await;
    }
    bench.pass(2 * HOUR).await;
    let kept: Vec<usize> = (0..20).filter(|at| bench.far.holds(&all[*at])).collect();
    assert_eq!(kept, [0, 13, 14, 15, 16, 17, 18, 19], "85 % of the cap");
    assert!(bench.metrics().contains("cleanup_removed_total{reason=\"surplus\"} 12"));
    bench.pass(3 * HOUR).await;
    assert_eq!(bench.far.keys().len(), 8, "it goes on though there is room");
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_it_could_not_come_back() {
    let bench = Bench::new();
    bench.sweep().await;
    let digest = bench.there("old", 100);
    bench.pass(7 * DAY).await;
    bench.script.fail(Some(UpstreamError::passing("away")));
    bench.pass(DAY).await;
    let swept = bench.sweep().await;
    assert!(matches!(swept.held_back, Some(HeldBack::Upstream(_))), "{swept:?}");
    bench.script.fail(None);
    *bench.far.other_writer.lock().unwrap() = Some(bench.now());
    bench.later(59 * MINUTE).await;
    let swept = bench.sweep().await;
    assert_eq!(swept.held_back, Some(HeldBack::OtherWriter(59 * 60)));
    assert!(bench.far.holds(&digest));
    bench.pass(HOUR).await;
    assert!(!bench.far.holds(&digest), "nothing holds it back any more");
}

#[tokio::test(start_paused = true)]
async fn one_node_at_a_time() {
    let bench = Bench::new();
    let other = bench.other("node-2");
    bench.sweep().await;
    let until = registry_mirror::clock::to_unix(bench.now() + MINUTE);
    bench.far.note("sweep/lease", &format!(r#"{{"holder":"node-9.1","until":{until}}}"#));
    for mirror in [&bench.mirror, &other] {
        assert!(matches!(mirror.sweep(&quiet).await, Err(SweepError::Busy { .. })));
    }
    bench.far.note("sweep/lease", r#"{"holder":"node-9.1","until":5}"#);
    bench.sweep().await;
    other.sweep(&quiet).await.expect("the first gave its lease up");
}

/// Wherever it stood still on its way to the lease.
#[tokio::test(start_paused = true)]
async fn one_that_wakes_before_it_has_the_lease_takes_it_from_nobody() {
    for calls in 0..8 {
        let bench = Bench::new();
        let node = bench.watched("node-2");
        node.sweep(&quiet).await.unwrap();
        let gate = Gate { left: calls.into(), open: tokio::sync::Notify::new(), fails: false };
        let gate = Arc::new(gate);
        let sweeping = async move { node.sweep(&quiet).await };
        let task = tokio::spawn(GATE.scope(gate.clone(), sweeping));
        while gate.left.load(Ordering::SeqCst) >= 0 {
            assert!(!task.is_finished(), "it makes fewer than {calls} calls");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.later(3 * MINUTE).await;
        let until = registry_mirror::clock::to_unix(bench.now() + MINUTE);
        let held = format!(r#"{{"holder":"node-9.1","until":{until}}}"#);
        bench.far.note("sweep/lease", &held);
        gate.left.store(i64::MAX, Ordering::SeqCst);
        gate.open.notify_one();
        let ended = task.await.unwrap();
        let gave_way = matches!(ended, Err(SweepError::Busy { .. } | SweepError::Lost));
        assert!(gave_way, "asleep before call {calls}: {ended:?}");
        assert_eq!(bench.far.record("sweep/lease"), Some(held));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_wakes_after_its_lease_was_taken_stops() {
    let bench = Bench::new();
    let other = bench.other("node-2");
    bench.sweep().await;
    let digests: Vec<_> = (0..20).map(|n| bench.there(&n.to_string(), 10)).collect();
    bench.pass(7 * DAY).await;
    bench.later(HOUR).await;
    // In the midst of its walk its lease ends, and another node does all that is to be done.
    let far = bench.far.clone();
    let take = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            far.note("sweep/lease", r#"{"holder":"node-9.1","until":0}"#);
        }
    };
    let ended = other.sweep(&take).await;
    assert_eq!(ended, Err(SweepError::Lost));
    let left = digests.iter().filter(|digest| bench.far.holds(digest));
    assert!(left.count() > 0, "it went on without the lease");
    bench.sweep().await;
    assert_eq!(digests.iter().filter(|digest| bench.far.holds(digest)).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_tell_writers_apart_needs_a_named_sweeper() {
    let bench = Bench::new();
    *bench.far.honest.lock().unwrap() = false;
    assert_eq!(bench.mirror.sweep(&quiet).await, Err(SweepError::NotSweeper));
    bench.change(|settings| settings.sweeper = "node-2".into());
    assert_eq!(bench.mirror.sweep(&quiet).await, Err(SweepError::NotSweeper));
    bench.other("node-2").sweep(&quiet).await.unwrap();
    assert!(!bench.far.records.lock().unwrap().contains_key("sweep/lease"));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_tells_what_would_go_and_changes_nothing() {
    let bench = Bench::new();
    bench.sweep().await;
    let (manifest, layer) = bench.pulled("1").await;
    bench.mirror.report_use().await.unwrap();
    bench.later(7 * DAY - HOUR).await;
    let fresh = bench.there("fresh", 5000);
    bench.later(HOUR).await;
    bench.change(|settings| {
        settings.cleanup_interval = Period(3 * DAY);
        settings.max_size = Some(Size(10));
    });
    let before = bench.far.records.lock().unwrap().clone();
    let told = Mutex::new(Vec::new());
    let swept = bench.mirror.would_sweep(&|step| told.lock().unwrap().push(step)).await.unwrap();
    assert_eq!(*bench.far.records.lock().unwrap(), before);
    let told = told.into_inner().unwrap();
    let gone: HashSet<_> = told
        .iter()
        .filter_map(|step| match step {
            Step::WouldRemove { key, reason, .. } => Some((key.digest, *reason as u8)),
            Step::Walked { .. } | Step::Removed(_) => None,
        })
        .collect();
    let (expired, surplus) = (Reason::Expired as u8, Reason::Surplus as u8);
    assert_eq!(gone, [(manifest, expired), (layer, expired), (fresh, surplus)].into());
    assert_eq!((swept.removed.objects, swept.left.objects), (3, 0));
    assert!(bench.far.holds(&layer) && bench.far.holds(&fresh));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_finished_and_what_nobody_needs_is_tidied_up() {
    let bench = Bench::new();
    bench.sweep().await;
    bench.pulled("1").await;
    bench.mirror.idle().await;
    let old = StrayUpload { id: "old".into(), begun: bench.now() };
    bench.far.uploads.lock().unwrap().push(old);
    let tags = |bench: &Bench| {
        let records = bench.far.records.lock().unwrap();
        records.keys().filter(|path| path.contains("repositories/")).count()
    };
    assert_eq!(tags(&bench), 2, "the tag and whether it is public");
    bench.pass(DAY).await;
    let new = StrayUpload { id: "new".into(), begun: bench.now() };
    bench.far.uploads.lock().unwrap().push(new.clone());
    bench.later(Duration::from_secs(1)).await;
    assert_eq!(bench.sweep().await.uploads, 1);
    assert_eq!(*bench.far.uploads.lock().unwrap(), [new]);
    bench.pass(29 * DAY - Duration::from_secs(1)).await;
    assert_eq!(tags(&bench), 2, "they may be served stale");
    // They may be believed for five minutes before that.
    bench.pass(HOUR).await;
    assert_eq!(tags(&bench), 0);
}

#[tokio::test(start_paused = true)]
async fn private_content_is_cleaned_up_by_its_own_use() {
    let bench = Bench::new();
    bench.sweep().await;
    let bytes = noise(100);
    let digest = Digest::sha256(&bytes);
    let key = |text: &str| Key { area: Area::Private(name(text)), digest };
    for owner in ["acme/a", "acme/a/b", "acme/c"] {
        bench.far.insert(&key(owner), bytes.clone(), Meta::default());
    }
    for _ in 0..8 {
        bench.pass(DAY).await;
        bench.mirror.usage().touch([key("acme/a/b")]);
    }
    bench.pass(3 * HOUR).await;
    assert_eq!(bench.far.keys(), [key("acme/a/b")]);
    bench.pass(9 * DAY).await;
    assert_eq!(bench.far.keys(), []);
    let records = bench.far.records.lock().unwrap();
    let uses: Vec<_> = records.keys().filter(|path| path.starts_with("use/")).collect();
    assert_eq!(uses, [""; 0], "records of what is gone");
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_an_address_of_what_may_go_soon() {
    let bench = Bench::new();
    bench.change(|settings| settings.blob_redirect = true);
    bench.sweep().await;
    let (_, layer) = bench.pulled("1").await;
    assert!(bench.blob(layer).await.unwrap().link.is_none(), "a batch may go by what was before");
    bench.later(2 * MINUTE).await;
    assert!(bench.blob(layer).await.unwrap().link.is_some(), "it is new");
    bench.mirror.report_use().await.unwrap();
    bench.pass(7 * DAY - HOUR).await;
    bench.later(HOUR).await;
    assert!(bench.sweep().await.marked > 0);
    assert!(bench.blob(layer).await.unwrap().link.is_none(), "it is marked");
    bench.mirror.report_use().await.unwrap();
    bench.later(2 * MINUTE).await;
    assert!(bench.blob(layer).await.unwrap().link.is_some(), "the store knows of its use");
    bench.pass(2 * HOUR).await;
    assert!(bench.far.holds(&layer), "it was used");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_costs_no_use() {
    let bench = Bench::new();
    bench.sweep().await;
    let (manifest, _) = bench.pulled("1").await;
    bench.pass(6 * DAY).await;
    bench.mirror.served_from_memory(&manifest, 1);
    *bench.far.refuse_writes.lock().unwrap() = true;
    assert!(bench.mirror.report_use().await.is_err());
    assert!(bench.mirror.sweep(&quiet).await.is_err());
    *bench.far.refuse_writes.lock().unwrap() = false;
    bench.pass(6 * DAY).await;
    assert!(bench.far.holds(&manifest), "the use was forgotten");
    assert_eq!(count(&bench.script.asked.manifests), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_wrong_or_set_reports_by_the_stores() {
    let bench = Bench::new();
    bench.sweep().await;
    let digests = ["early", "ahead", "behind"].map(|text| bench.there(text, 100));
    let wrong = super::Hand::new();
    let parts = Parts { clock: wrong.clone(), ..bench.mirror.parts().clone() };
    let node = Arc::new(Node::new(vec!["wrong".into()]));
    let spool = bench.directory.path().join("wrong");
    let wrong_node = Mirror::new(Parts { node, spool, near: None, ..parts }).unwrap();
    bench.pass(6 * DAY).await;
    let long_ago: SystemTime = registry_mirror::clock::Clock::now(&*wrong);
    assert!(bench.now().duration_since(long_ago).unwrap() >= 6 * DAY);
    for (digest, hours) in digests.iter().zip([0, 1000, -2000]) {
        wrong_node.usage().touch([Key { area: Area::Public, digest: *digest }]);
        // The clock is set while the use waits to be reported.
        wrong.shift(hours * 3600);
        wrong_node.report_use().await.unwrap();
    }
    bench.pass(6 * DAY).await;
    for digest in &digests {
        assert!(bench.far.holds(digest), "its use was taken for old");
    }
    bench.pass(2 * DAY).await;
    assert_eq!(bench.far.keys(), [], "its use was taken for new");
}

#[tokio::test(start_paused = true)]
async fn what_is_used_while_the_walk_goes_on_is_spared() {
    let bench = Bench::new();
    bench.sweep().await;
    let digests: Vec<_> = (0..10).map(|n| bench.there(&n.to_string(), 10)).collect();
    bench.pass(7 * DAY).await;
    bench.later(HOUR).await;
    let used = *digests.iter().max().unwrap();
    let line = format!("{} {used}\n", registry_mirror::clock::to_unix(bench.now()));
    let far = bench.far.clone();
    let report = |step: Step| {
        if matches!(step, Step::Walked { parts: 1, .. }) {
            far.note("use/reports/other.0", &format!("registry-mirror use 1\n{line}"));
        }
    };
    let swept = bench.mirror.sweep(&report).await.unwrap();
    assert_eq!((swept.removed.objects, swept.left.objects), (9, 1));
    assert!(bench.far.holds(&used), "it was reported before its turn came");
    bench.pass(6 * DAY).await;
    assert!(bench.far.holds(&used), "the report was lost");
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_version_wrote_is_left_alone() {
    let bench = Bench::new();
    bench.far.note("use/reports/newer.0", "registry-mirror use 2\n");
    let path = "use/reports/newer.0".to_owned();
    assert_eq!(bench.mirror.sweep(&quiet).await, Err(SweepError::Unreadable { path }));
    assert!(bench.far.record("use/reports/newer.0").is_some());
}

/// The same on a directory, whose clock is the machine's: what is there is made older instead.
#[tokio::test]
async fn a_directory_is_cleaned_up_by_the_same_rules() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let store = Arc::new(Fs::open(root.clone(), Handle::current()).unwrap());
    let settings = Settings {
        expire_after: Period(3 * HOUR),
        max_size: Some(Size(1000)),
        ..Settings::default()
    };
    let mirror = Mirror::new(Parts {
        far: store.clone(),
        near: None,
        records: store.clone(),
        layout: Default::default(),
        upstream: Arc::<super::Script>::default(),
        settings: Arc::new(super::ArcSwap::from_pointee(settings)),
        node: Arc::new(Node::new(vec!["node-1".into()])),
        clock: registry_mirror::clock::system(),
        metrics: super::Metrics::new(),
        engine: Handle::current(),
        spool: directory.path().join("spool"),
    })
    .unwrap();
    let keep = async |text: &str, ago: Duration| {
        let bytes = Bytes::from(format!("{text:-<400}"));
        let digest = Digest::sha256(&bytes);
        let key = Key { area: Area::Public, digest };
        let meta = Meta { media_type: None, verified: true };
        Store::put(&*store, &key, Payload::Bytes(bytes), &meta).await.unwrap();
        let hex = digest.hex();
        let path = format!("content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]);
        let file = std::fs::File::options().write(true).open(root.join(path)).unwrap();
        file.set_modified(SystemTime::now() - ago).unwrap();
        key
    };
    let expired = keep("expired", 4 * HOUR).await;
    let used = keep("used", 4 * HOUR).await;
    let oldest = keep("oldest", 2 * HOUR).await;
    let newest = keep("newest", HOUR).await;
    // Use has been written down for long, and marks were made an hour ago.
    let ago = |by: Duration| registry_mirror::clock::to_unix(SystemTime::now() - by);
    let state = serde_json::json!({
        "since": ago(9 * HOUR), "swept": ago(HOUR), "marked": ago(HOUR),
        "expired": ago(3 * HOUR + MINUTE), "surplus": ago(2 * HOUR - MINUTE),
        "surplus_bytes": 800, "max_size": 1000,
    });
    let state = Bytes::from(state.to_string());
    Records::put(&*store, "sweep/state", state, When::Always).await.unwrap();
    mirror.usage().touch([used.clone()]);
    let swept = mirror.sweep(&quiet).await.unwrap();
    assert_eq!((swept.removed.objects, swept.left.objects), (2, 2), "{swept:?}");
    for (key, stays) in [(expired, false), (used, true), (oldest, false), (newest, true)] {
        assert_eq!(store.head(&key).await.unwrap().is_some(), stays, "{key:?}");
    }
}
