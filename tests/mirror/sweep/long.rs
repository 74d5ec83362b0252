//! What happens while a clean-up goes on that takes long.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// The second until which the lease is held, as it is written down.
fn lease_ends(bench: &Bench) -> u64 {
    let text = bench.far.record("sweep/lease").unwrap();
    let held: serde_json::Value = serde_json::from_str(&text).unwrap();
    held["until"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_grace_begins_when_the_marks_can_be_read() {
    let bench = Bench::new();
    bench.sweep().await;
    let digest = bench.there("old", 100);
    bench.pass(7 * DAY - HOUR).await;
    bench.later(HOUR).await;
    let clock = bench.clock.clone();
    let dawdle = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            clock.advance(20 * MINUTE);
        }
    };
    let swept = bench.mirror.sweep(&dawdle).await.unwrap();
    assert_eq!(swept.marked, 100);
    assert_eq!(swept.due.unwrap().duration_since(bench.now()).unwrap(), 10 * MINUTE);
    bench.later(9 * MINUTE).await;
    assert_eq!(bench.sweep().await.removed.objects, 0, "nobody had the time to object");
    bench.later(MINUTE).await;
    bench.sweep().await;
    assert!(!bench.far.holds(&digest));
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_held_however_long_each_step_takes() {
    let bench = Arc::new(Bench::new());
    let slow = bench.watched("slow");
    bench.change(|settings| settings.cleanup_interval = Period(31 * DAY));
    bench.sweep().await;
    for number in 0..40 {
        bench.there(&number.to_string(), 10);
        bench.far.note(&format!("use/reports/other.{number}"), "registry-mirror use 1\n");
        bench.far.note(&format!("repositories/acme/app/_tags/{number}"), "{}");
        let begun = bench.now();
        bench.far.uploads.lock().unwrap().push(StrayUpload { id: number.to_string(), begun });
        let area = Area::Private(name(&format!("acme/{number}")));
        let key = Key { area, digest: Digest::sha256(b"private") };
        bench.far.insert(&key, Bytes::from_static(b"private"), Meta::default());
    }
    bench.later(31 * DAY).await;
    let (calls, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (watched, counted, seen) = (bench.clone(), calls.clone(), held.clone());
    let watch = move || {
        watched.clock.advance(Duration::from_secs(10));
        counted.fetch_add(1, Ordering::SeqCst);
        let now = registry_mirror::clock::to_unix(watched.now());
        let until = lease_ends(&watched);
        // 0 before it is taken and after it was given up.
        if until > 0 {
            seen.fetch_add(1, Ordering::SeqCst);
            assert!(until > now, "nobody held it for {} s", now - until);
        }
    };
    let swept = WATCH.scope(Arc::new(watch), slow.sweep(&quiet)).await.unwrap();
    assert_eq!((swept.left.objects, swept.uploads, swept.records), (80, 40, 40));
    let (calls, held) = (calls.load(Ordering::SeqCst), held.load(Ordering::SeqCst));
    // Before it is taken, the layout of the store is looked at.
    assert!(held > 500 && held + 7 > calls, "held for {held} of {calls} calls");
}

/// A bench in which so many objects are marked and may go, and what was used as well.
async fn ripe(count: usize) -> (Bench, Vec<Digest>) {
    let bench = Bench::new();
    bench.sweep().await;
    let digests: Vec<_> = (0..count).map(|n| bench.there(&n.to_string(), 10)).collect();
    bench.pass(7 * DAY).await;
    bench.later(HOUR).await;
    (bench, digests)
}

/// Of `digests`, those that are walked over in the parts up to this one.
fn up_to(part: u8, digests: &[Digest]) -> HashSet<Digest> {
    digests.iter().filter(|digest| digest.bytes()[0] < part).copied().collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_more_goes_once_it_could_not_come_back() {
    let (bench, digests) = ripe(30).await;
    let break_down = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            let (until, scope) = (bench.now() + HOUR, Scope::Everything);
            let limit = UpstreamError::CoolingOff { until, scope };
            *bench.script.pulls_failing.lock().unwrap() = Some(limit);
        }
    };
    let swept = bench.mirror.sweep(&break_down).await.unwrap();
    assert!(matches!(swept.held_back, Some(HeldBack::Upstream(_))), "{swept:?}");
    let gone: HashSet<_> = digests.iter().filter(|d| !bench.far.holds(d)).copied().collect();
    assert_eq!(gone, up_to(100, &digests));
    assert_eq!((swept.removed.objects + swept.left.objects), 30);
    assert_eq!(swept.removed.objects, gone.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn nothing_more_goes_once_an_old_registry_writes() {
    let (bench, digests) = ripe(30).await;
    let begin = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            bench.clock.advance(MINUTE);
            *bench.far.other_writer.lock().unwrap() = Some(bench.now());
        }
    };
    let swept = bench.mirror.sweep(&begin).await.unwrap();
    assert_eq!(swept.held_back, Some(HeldBack::OtherWriter(0)));
    let gone: HashSet<_> = digests.iter().filter(|d| !bench.far.holds(d)).copied().collect();
    assert_eq!(gone, up_to(100, &digests));
}

/// Reports of the use of ever so much, and behind all others one of the use of `digest`.
pub(super) fn report_much(bench: &Bench, digest: &Digest) {
    let now = registry_mirror::clock::to_unix(bench.now());
    let report = |path: &str, digests: &mut dyn Iterator<Item = Digest>| {
        let lines: String = digests.map(|digest| format!("{now} {digest}\n")).collect();
        bench.far.note(&format!("use/reports/{path}"), &format!("registry-mirror use 1\n{lines}"));
    };
    for number in 0..10_u64 {
        let lines = number * 10_000..(number + 1) * 10_000;
        let mut digests = lines.map(|line| Digest::sha256(&line.to_le_bytes()));
        report(&format!("much.{number}"), &mut digests);
    }
    report("other.0", &mut std::iter::once(*digest));
}

#[tokio::test(start_paused = true)]
async fn what_is_used_late_is_spared_however_much_is() {
    let (bench, digests) = ripe(10).await;
    let used = *digests.iter().max().unwrap();
    let report = |step: Step| {
        if matches!(step, Step::Walked { parts: 1, .. }) {
            report_much(&bench, &used);
        }
    };
    let swept = bench.mirror.sweep(&report).await.unwrap();
    assert_eq!((swept.removed.objects, swept.left.objects), (9, 1));
    assert!(bench.far.holds(&used));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_knows_of_all_use() {
    let (bench, digests) = ripe(10).await;
    let before = bench.mirror.would_sweep(&quiet).await.unwrap();
    assert_eq!(before.removed.objects, 10);
    report_much(&bench, &digests[0]);
    bench.mirror.usage().touch([Key { area: Area::Public, digest: digests[1] }]);
    let records = bench.far.records.lock().unwrap().clone();
    let swept = bench.mirror.would_sweep(&quiet).await.unwrap();
    assert_eq!((swept.removed.objects, swept.left.objects), (8, 2));
    assert_eq!(*bench.far.records.lock().unwrap(), records, "it changed something");
    bench.mirror.report_use().await.unwrap();
    assert_eq!(bench.far.records.lock().unwrap().len(), records.len() + 1, "it took the use away");
}

#[tokio::test(start_paused = true)]
async fn what_another_wrote_meanwhile_stays() {
    let bench = Bench::new();
    bench.sweep().await;
    bench.later(2 * DAY).await;
    let digest = (0..u32::MAX).map(|n| Digest::sha256(&n.to_le_bytes()));
    let digest = { digest }.find(|digest| digest.bytes()[0] == 100).unwrap();
    let known = format!("registry-mirror use 1\n1800000000 {digest}\n");
    bench.far.note("use/public/64", &known);
    let stolen = r#"{"holder":"node-9.1","until":0}"#;
    let steal = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            bench.far.note("sweep/lease", stolen);
        }
    };
    assert_eq!(bench.mirror.sweep(&steal).await, Err(SweepError::Lost));
    assert_eq!(bench.far.record("use/public/64").as_ref(), Some(&known), "a part went");
    bench.sweep().await;
    assert_eq!(bench.far.record("use/public/64"), None, "it is of no use");

    let others = r#"{"since":1800000000,"swept":1800172800}"#;
    let write = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            bench.far.note("sweep/state", others);
        }
    };
    assert_eq!(bench.mirror.sweep(&write).await, Err(SweepError::Lost));
    assert_eq!(bench.far.record("sweep/state").unwrap(), others, "the state was overwritten");
}

#[tokio::test(start_paused = true)]
async fn settings_are_those_of_the_time_when_it_begins() {
    let bench = Bench::new();
    *bench.far.honest.lock().unwrap() = false;
    bench.change(|settings| settings.sweeper = "node-2".into());
    let node = bench.watched("node-2");
    let gate = Arc::new(Gate { left: 100.into(), open: tokio::sync::Notify::new(), fails: false });
    let run = |node: Mirror| async move { node.sweep(&quiet).await };
    let first = tokio::spawn(GATE.scope(gate.clone(), run(node.clone())));
    let pause = || tokio::time::sleep(Duration::from_millis(50));
    pause().await;
    let second = tokio::spawn(run(node.clone()));
    pause().await;
    bench.change(|settings| settings.sweeper = "node-3".into());
    assert!(!first.is_finished() && !second.is_finished());
    gate.left.store(i64::MAX, Ordering::SeqCst);
    gate.open.notify_one();
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap(), Err(SweepError::NotSweeper));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_by_a_clock_that_was_ahead_is_no_obstacle() {
    let bench = Bench::new();
    // Clean-ups, content, and its use, a year ahead; then the clock is put right.
    bench.clock.advance(365 * DAY);
    bench.sweep().await;
    let [written, used] = ["written", "used"].map(|text| bench.there(text, 100));
    let ahead = registry_mirror::clock::to_unix(bench.now());
    let report = format!("registry-mirror use 1\n{ahead} {used}\n");
    bench.clock.shift(-365 * 86_400);
    bench.far.note("use/reports/ahead.0", &report);
    bench.far.note("sweep/lease", &format!(r#"{{"holder":"node-9.1","until":{ahead}}}"#));
    let swept = bench.mirror.sweep(&quiet).await.expect("nobody holds the lease");
    assert!(swept.due.unwrap() <= bench.now() + HOUR, "{swept:?}");
    bench.pass(7 * DAY - HOUR).await;
    assert!(bench.far.holds(&written) && bench.far.holds(&used), "it had its full time");
    bench.pass(4 * HOUR).await;
    assert_eq!(bench.far.keys(), [], "it stays until the clock has come so far");
}

#[tokio::test(start_paused = true)]
async fn how_far_it_is_and_what_it_did_is_told() {
    let (log, _logging) = Log::begin();
    let (bench, digests) = ripe(30).await;
    let node = bench.watched("node-2");
    let gate = Arc::new(Gate { left: 400.into(), open: tokio::sync::Notify::new(), fails: false });
    let watching = node.clone();
    let watch = tokio::spawn(GATE.scope(gate.clone(), async move { watching.watch().await }));
    // It begins a minute after the start, and stands still for more than another.
    tokio::time::sleep(3 * MINUTE).await;
    let progress = |bench: &Bench| {
        let text = bench.metrics();
        let line =
            text.lines().find_map(|line| line.strip_prefix("registry_mirror_cleanup_progress "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let share = progress(&bench);
    assert!(share > 0.0 && share < 1.0, "{share}");
    let gone = digests.iter().filter(|digest| !bench.far.holds(digest)).count();
    assert!(gone > 0 && gone < 30, "{gone}");
    let go_on = async |calls: i64| {
        gate.left.store(calls, Ordering::SeqCst);
        gate.open.notify_one();
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    go_on(100).await;
    assert!(progress(&bench) > share);
    bench.far.note("sweep/lease", r#"{"holder":"node-9.1","until":0}"#);
    go_on(i64::MAX).await;
    watch.abort();
    assert_eq!(progress(&bench), 0.0, "none goes on");
    assert!(bench.metrics().contains("cleanups_total{outcome=\"lost\"} 1"));
    let text = log.text();
    let lines = |what: &str| text.lines().filter(|line| line.contains(what)).collect::<Vec<_>>();
    assert_eq!(lines("the clean-up goes on").len(), 1, "{text}");
    let stopped = lines("the clean-up stopped before its end");
    assert!(stopped.len() == 1 && stopped[0].contains("removed="), "{text}");
}
