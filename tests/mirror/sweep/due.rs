//! When clean-ups are due, and since when use counts.

use super::*;

/// Cleans up whenever that is due, for so long; how often that was.
async fn whenever_due(bench: &Bench, time: Duration) -> usize {
    let end = bench.now() + time;
    let mut times = 0;
    while bench.now() < end {
        let due = bench.sweep().await.due.unwrap();
        times += 1;
        bench.later(due.duration_since(bench.now()).unwrap()).await;
    }
    times
}

#[tokio::test(start_paused = true)]
async fn a_busy_cache_is_cleaned_up_as_often_as_the_settings_say() {
    let bench = Bench::new();
    bench.left(2 * HOUR, None);
    // Something expires every five minutes for two days.
    for number in 0..48 * 12 {
        bench.there_since(&number.to_string(), 7 * DAY - number * 5 * MINUTE);
    }
    let times = whenever_due(&bench, DAY).await;
    assert!((24..=50).contains(&times), "{times} times a day");
    // What had expired when the last clean-up began to be due is gone: an interval and a grace.
    assert!((24 * 12..=24 * 12 + 15).contains(&bench.far.keys().len()), "{:?}", bench.far.keys());
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_go_it_is_not_tried_more_often() {
    let bench = Bench::new();
    bench.left(2 * HOUR, None);
    bench.there_since("old", 8 * DAY);
    *bench.far.undeletable.lock().unwrap() = true;
    bench.script.fail(Some(UpstreamError::passing("away")));
    let times = whenever_due(&bench, DAY).await;
    assert!((24..=50).contains(&times), "{times} times a day");
}

#[tokio::test(start_paused = true)]
async fn one_by_hand_leaves_marks_that_go_when_they_are_ripe() {
    let bench = Bench::new();
    bench.left(30 * MINUTE, None);
    let digest = bench.there_since("old", 8 * DAY);
    let due = bench.sweep().await.due.unwrap();
    assert_eq!(due.duration_since(bench.now()).unwrap(), 10 * MINUTE);
    bench.later(10 * MINUTE).await;
    let due = bench.sweep().await.due.unwrap();
    assert!(!bench.far.holds(&digest));
    assert_eq!(due.duration_since(bench.now()).unwrap(), 50 * MINUTE, "an hour after that by hand");
}

#[tokio::test(start_paused = true)]
async fn what_was_unused_for_long_goes_however_long_a_clean_up_takes() {
    let bench = Bench::new();
    let digest = bench.there("old", 100);
    let clock = bench.clock.clone();
    let dawdle = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            clock.advance(5 * HOUR);
        }
    };
    let begun = bench.now();
    while bench.far.holds(&digest) {
        let due = bench.mirror.sweep(&dawdle).await.unwrap().due.unwrap();
        bench.later(due.duration_since(bench.now()).unwrap_or_default()).await;
        let passed = bench.now().duration_since(begun).unwrap();
        assert!(passed < 9 * DAY, "it stays for ever");
        assert!(bench.far.holds(&digest) || passed > 7 * DAY, "it went too early");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_was_shortened_is_no_break() {
    let bench = Bench::new();
    bench.change(|settings| settings.cleanup_interval = Period(DAY));
    let digest = bench.there("old", 100);
    bench.sweep().await;
    for _ in 0..6 {
        bench.later(DAY).await;
        bench.sweep().await;
    }
    bench.later(20 * HOUR).await;
    bench.change(|settings| settings.cleanup_interval = Period(5 * MINUTE));
    bench.sweep().await;
    bench.later(5 * HOUR).await;
    bench.change(|settings| settings.cleanup_interval = Period(DAY));
    bench.sweep().await;
    bench.later(HOUR).await;
    bench.sweep().await;
    assert!(!bench.far.holds(&digest), "it has its full time again");
}

#[tokio::test(start_paused = true)]
async fn clean_ups_that_fail_are_no_break() {
    let bench = Bench::new();
    let digest = bench.there("old", 100);
    bench.pass(6 * DAY).await;
    let break_down = |step: Step| {
        if matches!(step, Step::Walked { parts: 100, .. }) {
            *bench.far.refuse_reads.lock().unwrap() = true;
            bench.clock.advance(2 * HOUR);
        }
    };
    for _ in 0..8 {
        bench.mirror.sweep(&break_down).await.unwrap_err();
        *bench.far.refuse_reads.lock().unwrap() = false;
        bench.later(2 * HOUR).await;
    }
    bench.pass(4 * HOUR).await;
    assert!(!bench.far.holds(&digest), "it has its full time again");
}

/// Watches a node for so long, in steps of a second; what was logged.
async fn watched(bench: &Bench, time: Duration) -> String {
    let (log, _logging) = Log::begin();
    let node = bench.mirror.clone();
    let watch = tokio::spawn(async move { node.watch().await });
    for _ in 0..time.as_secs() {
        bench.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    watch.abort();
    log.text()
}

#[tokio::test(start_paused = true)]
async fn a_break_is_told_and_a_beginning_is_no_break() {
    let bench = Bench::new();
    let first = watched(&bench, 2 * MINUTE).await;
    assert!(first.contains("INFO") && first.contains("use counts from now on"), "{first}");
    assert!(!first.contains("no clean-up was at work"), "{first}");
    bench.later(DAY).await;
    let second = watched(&bench, 2 * MINUTE).await;
    let told: Vec<&str> = second.lines().filter(|l| l.contains("use counts from now on")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN"), "{second}");
    assert!(
        told[0].contains("no clean-up was at work for") && told[0].contains("hint="),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_is_told() {
    let bench = Bench::new();
    bench.far.note("sweep/state", "{");
    let log = watched(&bench, 5 * MINUTE).await;
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains("nothing is removed from the store")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN"), "{log}");
    assert!(told[0].contains("`sweep/state`") && told[0].contains("upgrade this node"), "{told:?}");
    let failed = "cleanups_total{outcome=\"failed\"} ";
    let metrics = bench.metrics();
    let count = metrics.lines().find_map(|line| line.split_once(failed)).unwrap().1;
    assert!(count.parse::<u32>().unwrap() >= 3, "{count}");
}
