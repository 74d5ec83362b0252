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
    assert!(held > 500 && held + 5 > calls, "held for {held} of {calls} calls");
}
