//! Records that nobody needs go, and no others.

use std::sync::atomic::AtomicBool;

use registry_mirror::settings::TagRule;

use super::*;

fn tags(bench: &Bench) -> usize {
    let records = bench.far.records.lock().unwrap();
    records.keys().filter(|path| path.contains("repositories/")).count()
}

#[tokio::test(start_paused = true)]
async fn what_was_written_of_repositories_stays_while_the_hub_is_away() {
    let bench = Bench::new();
    bench.sweep().await;
    bench.pulled("1").await;
    assert_eq!(tags(&bench), 2, "the tag and whether it is public");
    bench.script.fail(Some(UpstreamError::passing("away")));
    bench.pass(40 * DAY).await;
    assert_eq!(tags(&bench), 2, "the repository is refused after a restart");
    let again = bench.restarted();
    let reference = registry_mirror::oci::Reference::Tag("1".parse().unwrap());
    // Too old to be believed, so the Hub is to blame, and not the repository.
    let refusal = again.manifest(&name(APP), &reference, Want::Head).await.unwrap_err();
    assert!(!matches!(refusal, registry_mirror::mirror::Refusal::NoRepository), "{refusal:?}");
    bench.script.fail(None);
    bench.pass(HOUR).await;
    assert_eq!(tags(&bench), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_believed_for_long_stays_for_as_long() {
    let bench = Bench::new();
    bench.change(|settings| {
        let rule = |text: &str, ttl| TagRule { pattern: text.to_owned(), ttl: Period(ttl) };
        settings.tag_rules = vec![rule("*:x*", HOUR), rule("*:v*", 365 * DAY)];
        settings.cleanup_interval = Period(DAY);
    });
    bench.sweep().await;
    bench.pulled("v1").await;
    for day in 0..395 {
        assert!(tags(&bench) > 0, "it went on day {day}");
        bench.later(DAY).await;
        bench.sweep().await;
    }
    bench.later(2 * DAY).await;
    bench.sweep().await;
    assert_eq!(tags(&bench), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_at_the_start_costs_no_records() {
    let bench = Bench::new();
    bench.sweep().await;
    bench.pulled("1").await;
    bench.pass(3 * HOUR).await;
    bench.clock.advance(60 * DAY);
    bench.pass(5 * HOUR).await;
    bench.clock.shift(-60 * 86_400);
    bench.pass(HOUR).await;
    assert_eq!(tags(&bench), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_anew_before_its_turn_stays() {
    let bench = Arc::new(Bench::new());
    let node = bench.watched("node-2");
    bench.sweep().await;
    for number in 0..6 {
        bench.far.note(&format!("repositories/{APP}/_tags/{number}"), r#"{"checked_at":1}"#);
    }
    bench.pass(30 * DAY).await;
    assert_eq!(tags(&bench), 6);
    bench.later(HOUR).await;
    let (watched, done) = (bench.clone(), AtomicBool::new(false));
    let watch = move || {
        if tags(&watched) == 5 && !done.swap(true, Ordering::SeqCst) {
            let now = registry_mirror::clock::to_unix(watched.now());
            for number in 1..6 {
                let text = format!(r#"{{"checked_at":{now}}}"#);
                watched.far.note(&format!("repositories/{APP}/_tags/{number}"), &text);
            }
        }
    };
    let swept = WATCH.scope(Arc::new(watch), node.sweep(&quiet)).await.unwrap();
    assert_eq!((swept.records, tags(&bench)), (1, 5));
}
