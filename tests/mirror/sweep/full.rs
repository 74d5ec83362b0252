//! A store that is full, or refuses writes.

use registry_mirror::{
    mirror::{Job, Line},
    settings::StoreKind,
    store::StoreError,
};

use super::*;

/// What a job tells, without its progress.
async fn told(bench: &Bench, job: Job) -> Vec<Line> {
    let told = Mutex::new(Vec::new());
    bench.mirror.run(job, &|line| told.lock().unwrap().push(line)).await;
    let mut told = told.into_inner().unwrap();
    told.retain(|line| !matches!(line, Line::Progress { .. }));
    told
}

#[tokio::test(start_paused = true)]
async fn what_is_there_can_be_listed_and_purged_where_nothing_can_be_written() {
    for refuse in [
        (|bench: &Bench| *bench.far.room.lock().unwrap() = Some(0)) as fn(&Bench),
        |bench: &Bench| *bench.far.refuse_writes.lock().unwrap() = true,
    ] {
        let bench = Bench::new();
        let (manifest, layer) = bench.pulled("1").await;
        refuse(&bench);
        let listed = told(&bench, Job::List { image: None }).await;
        let now = registry_mirror::clock::to_unix(bench.now());
        let is_used =
            |line: &Line| matches!(line, Line::Image { used: Some(used), .. } if now - *used < 5);
        assert!(listed.iter().any(is_used), "{listed:?}");
        let usage = told(&bench, Job::Usage).await;
        assert!(matches!(usage.last(), Some(Line::Done { fine: true, .. })), "{usage:?}");
        let images = vec![format!("{APP}:1").parse().unwrap()];
        *bench.far.refuse_writes.lock().unwrap() = false;
        let purged = told(&bench, Job::Purge { images, dry_run: false }).await;
        assert!(matches!(purged.last(), Some(Line::Done { fine: true, .. })), "{purged:?}");
        assert!(!bench.far.holds(&manifest) && !bench.far.holds(&layer));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_directory_is_cleaned_up_and_no_use_is_lost() {
    let bench = Bench::new();
    bench.change(|settings| settings.store = StoreKind::Filesystem);
    let digests: Vec<_> = (0..30).map(|n| bench.there_since(&n.to_string(), 8 * DAY)).collect();
    let now = registry_mirror::clock::to_unix(bench.now());
    // The first of them is in a part before all room there will be, so that it cannot be written
    // down; the last was used by this node a moment ago.
    let (first, last) = (digests.iter().min().unwrap(), digests.iter().max().unwrap());
    let report = format!("registry-mirror use 1\n{now} {first}\n");
    bench.far.note("use/reports/other.0", &report);
    bench.left(HOUR, Some(HOUR));
    *bench.far.room.lock().unwrap() = Some(30);
    bench.mirror.usage().touch([Key { area: Area::Public, digest: *last }]);
    let swept = bench.sweep().await;
    assert_eq!((swept.removed.objects, swept.left.objects), (28, 2), "{swept:?}");
    assert!(bench.far.holds(first) && bench.far.holds(last));
    assert_eq!(bench.far.record("use/reports/other.0"), Some(report), "it is nowhere else");
    *bench.far.room.lock().unwrap() = None;
    bench.pass(6 * DAY).await;
    assert!(bench.far.holds(first) && bench.far.holds(last), "their use was lost");
    assert_eq!(bench.far.record("use/reports/other.0"), None);
    assert_eq!(bench.far.record("sweep/lease"), None, "a directory belongs to one process");
}

#[tokio::test(start_paused = true)]
async fn more_use_than_can_be_merged_into_a_full_directory_counts() {
    let bench = Bench::new();
    bench.change(|settings| settings.store = StoreKind::Filesystem);
    let digests: Vec<_> = (0..10).map(|n| bench.there_since(&n.to_string(), 8 * DAY)).collect();
    long::report_much(&bench, &digests[3]);
    bench.left(HOUR, Some(HOUR));
    *bench.far.room.lock().unwrap() = Some(10);
    let swept = bench.sweep().await;
    assert_eq!((swept.removed.objects, swept.left.objects), (9, 1), "{swept:?}");
    assert!(bench.far.holds(&digests[3]));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_says_what_to_do() {
    for store in [StoreKind::S3, StoreKind::Filesystem] {
        let bench = Bench::new();
        bench.change(|settings| settings.store = store);
        bench.there("new", 100);
        *bench.far.room.lock().unwrap() = Some(1);
        let full = SweepError::Store(StoreError::Full { operation: "test" });
        assert_eq!(bench.mirror.sweep(&quiet).await, Err(full));
        let told = told(&bench, Job::Clean { dry_run: false }).await;
        let Some(Line::Failed { hint: Some(hint), .. }) = told.last() else { panic!("{told:?}") };
        assert!(hint.contains("registry-mirror cache purge"), "{hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn why_there_was_no_clean_up_is_told_with_what_to_do() {
    let bench = Bench::new();
    let hint = async || {
        let told = told(&bench, Job::Clean { dry_run: false }).await;
        let Some(Line::Failed { hint, .. }) = told.last() else { panic!("{told:?}") };
        hint.clone().unwrap_or_default()
    };
    let until = bench.now() + MINUTE;
    let lease = registry_mirror::clock::to_unix(until);
    bench.far.note("sweep/lease", &format!(r#"{{"holder":"node-9.1","until":{lease}}}"#));
    let busy = hint().await;
    assert!(busy.contains(&registry_mirror::clock::rfc3339(until)), "{busy}");
    bench.far.records.lock().unwrap().clear();
    bench.far.note("sweep/state", "{");
    assert!(hint().await.contains("upgrade this node"));
    *bench.far.honest.lock().unwrap() = false;
    let bench = Bench::new();
    *bench.far.honest.lock().unwrap() = false;
    let told = self::told(&bench, Job::Clean { dry_run: false }).await;
    let Some(Line::Failed { hint: Some(hint), .. }) = told.last() else { panic!("{told:?}") };
    assert!(hint.contains("registry_mirror_sweeper"), "{hint}");
}
