//! Promises 1, 7 and 9: tags, manifests, HEAD.

use std::time::Duration;

use futures_util::future::join_all;
use registry_mirror::{
    mirror::{Refusal, Verdict, Want},
    oci::Reference,
    settings::{Period, TagRule},
    telemetry::Why,
    upstream::{Scope, UpstreamError},
};

use super::{APP, Bench, TYPE, count, name};

const TEXT: &str = "{ \"schemaVersion\": 2,\n \"layers\": [] }";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn manifests_are_served_as_they_came() {
    let bench = Bench::new();
    let odd = "application/vnd.example.thing.v7+json; charset=utf-8";
    let digest = bench.script.manifest(APP, "1", odd, TEXT);
    for manifest in [bench.tag("1").await.unwrap(), bench.digest(digest).await.unwrap()] {
        assert_eq!(manifest.bytes.unwrap(), TEXT);
        assert_eq!(manifest.media_type.as_str(), odd);
        assert_eq!(manifest.digest, digest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_is_believed_for_its_ttl_then_checked_by_one_head() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    for _ in 0..3 {
        for answer in join_all((0..20).map(|_| bench.tag("1"))).await {
            answer.unwrap();
        }
        bench.clock.advance(MINUTE);
    }
    assert_eq!(count(&bench.script.asked.heads), 1, "a fresh tag was checked");
    bench.clock.advance(3 * MINUTE);
    for answer in join_all((0..20).map(|_| bench.tag("1"))).await {
        answer.unwrap();
    }
    assert_eq!(count(&bench.script.asked.heads), 2, "one HEAD for all");
    assert_eq!(count(&bench.script.asked.manifests), 1, "an unchanged tag costs no pull");
}

#[tokio::test(start_paused = true)]
async fn a_moved_tag_is_followed() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    let second = bench.script.manifest(APP, "1", TYPE, "{}");
    bench.clock.advance(6 * MINUTE);
    assert_eq!(bench.tag("1").await.unwrap().digest, second);
}

#[tokio::test(start_paused = true)]
async fn rules_set_the_ttl_of_what_they_match() {
    let rule = |pattern: &str, ttl| TagRule { pattern: pattern.into(), ttl: Period(ttl) };
    let bench = Bench::with(|settings| {
        settings.tag_rules = vec![rule("acme/*:latest", Duration::ZERO), rule("*", MINUTE * 60)];
    });
    bench.script.manifest(APP, "latest", TYPE, TEXT);
    bench.script.manifest(APP, "1", TYPE, TEXT);
    for _ in 0..3 {
        bench.tag("latest").await.unwrap();
        bench.tag("1").await.unwrap();
        bench.clock.advance(10 * MINUTE);
    }
    assert_eq!(count(&bench.script.asked.heads), 3 + 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_upstream_fails_the_last_answer_stands_and_says_so() {
    let limit = UpstreamError::CoolingOff {
        until: std::time::SystemTime::UNIX_EPOCH,
        scope: Scope::Everything,
    };
    for (error, why) in [
        (UpstreamError::passing("down"), Why::Unavailable),
        (limit, Why::Limit),
        (UpstreamError::CredentialRefused, Why::Credential),
    ] {
        let bench = Bench::new();
        bench.script.manifest(APP, "1", TYPE, TEXT);
        assert_eq!(bench.tag("1").await.unwrap().stale, None);
        bench.script.fail(Some(error));
        bench.clock.advance(6 * MINUTE);
        let answer = bench.tag("1").await.unwrap();
        assert_eq!(answer.stale, Some(why));
        assert_eq!(answer.verdict, Verdict::Stale);
        assert_eq!(answer.bytes.unwrap(), TEXT);
        assert!(bench.metrics().contains("stale_total"));
        bench.script.fail(None);
        bench.clock.advance(MINUTE);
        assert_eq!(bench.tag("1").await.unwrap().stale, None, "stale though the upstream is back");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_delays_the_last_answer_by_seconds_once() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    *bench.script.hanging.lock().unwrap() = true;
    bench.clock.advance(6 * MINUTE);
    let begun = tokio::time::Instant::now();
    assert_eq!(bench.tag("1").await.unwrap().stale, Some(Why::Unavailable));
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
    let begun = tokio::time::Instant::now();
    assert!(bench.tag("1").await.unwrap().stale.is_some());
    assert!(begun.elapsed() < Duration::from_millis(100), "every asker waits");
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_old_is_not_served() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.script.fail(Some(UpstreamError::passing("down")));
    bench.clock.advance(31 * 24 * 60 * MINUTE);
    assert!(matches!(bench.tag("1").await.unwrap_err(), Refusal::Upstream { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_404_is_never_masked_and_is_remembered_for_a_while() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.script.untag(APP, "1");
    bench.clock.advance(6 * MINUTE);
    for _ in 0..5 {
        assert_eq!(bench.tag("1").await.unwrap_err(), Refusal::NoManifest);
    }
    assert_eq!(count(&bench.script.asked.heads), 2, "a known absence was asked for again");
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.clock.advance(Duration::from_secs(31));
    bench.tag("1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_never_a_404() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.script.fail(Some(UpstreamError::passing("down")));
    assert!(matches!(bench.tag("2").await.unwrap_err(), Refusal::Upstream { .. }));
    let other = registry_mirror::oci::Digest::sha256(b"other");
    assert!(matches!(bench.digest(other).await.unwrap_err(), Refusal::Upstream { .. }));
    assert!(matches!(bench.blob(other).await.unwrap_err(), Refusal::Upstream { .. }));
    bench.digest(digest).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn head_costs_no_pull() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, TEXT);
    for reference in [Reference::Tag("1".parse().unwrap()), Reference::Digest(digest)] {
        let head = bench.mirror.manifest(&name(APP), &reference, Want::Head).await.unwrap();
        assert_eq!((head.digest, head.size), (digest, TEXT.len() as u64));
        assert_eq!(head.media_type.as_str(), TYPE);
    }
    assert_eq!(count(&bench.script.asked.manifests), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moved_to_what_cannot_be_had_means_what_it_meant() {
    let bench = Bench::new();
    let first = bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    let second = bench.script.manifest(APP, "1", TYPE, "{}");
    let until = bench.now() + 10 * MINUTE;
    let limit = UpstreamError::CoolingOff { until, scope: Scope::Pulls };
    *bench.script.pulls_failing.lock().unwrap() = Some(limit);
    bench.clock.advance(6 * MINUTE);
    for _ in 0..3 {
        let answer = bench.tag("1").await.unwrap();
        assert_eq!((answer.digest, answer.stale), (first, Some(Why::Limit)));
    }
    *bench.script.pulls_failing.lock().unwrap() = None;
    bench.clock.advance(MINUTE);
    assert_eq!(bench.tag("1").await.unwrap().digest, second);
    // The same where the limit shows itself only when the new manifest is asked for.
    let third = bench.script.manifest(APP, "1", TYPE, "{\"a\":1}");
    *bench.script.pulls_failing.lock().unwrap() = Some(UpstreamError::lasting("no"));
    bench.clock.advance(6 * MINUTE);
    let answer = bench.tag("1").await.unwrap();
    assert_eq!((answer.digest, answer.stale), (second, Some(Why::Unavailable)));
    *bench.script.pulls_failing.lock().unwrap() = None;
    assert_eq!(bench.tag("1").await.unwrap().digest, third);
}

#[tokio::test(start_paused = true)]
async fn listings_are_kept_for_a_while_and_served_stale() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    for _ in 0..3 {
        assert_eq!(bench.mirror.tags(&name(APP), "").await.unwrap().bytes, "1");
    }
    assert_eq!(count(&bench.script.asked.listings), 1);
    bench.script.fail(Some(UpstreamError::passing("down")));
    bench.clock.advance(6 * MINUTE);
    let listing = bench.mirror.tags(&name(APP), "").await.unwrap();
    assert_eq!(listing.stale, Some(Why::Unavailable));
    let other = registry_mirror::oci::Digest::sha256(b"x");
    let refused = bench.mirror.referrers(&name(APP), &other, "").await.unwrap_err();
    assert!(matches!(refused, Refusal::Upstream { .. }));
    bench.script.fail(None);
    let refused = bench.mirror.referrers(&name(APP), &other, "").await.unwrap_err();
    assert_eq!(refused, Refusal::NotOffered);
}

#[tokio::test(start_paused = true)]
async fn what_a_moved_tag_meant_stands_for_as_long_as_it_must() {
    let bench = Bench::new();
    let first = bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    let second = bench.script.manifest(APP, "1", TYPE, "{}");
    *bench.script.pulls_failing.lock().unwrap() = Some(UpstreamError::passing("no"));
    for round in 0..5 {
        bench.clock.advance(6 * MINUTE);
        let answer = bench.tag("1").await.unwrap();
        assert_eq!((answer.digest, answer.stale), (first, Some(Why::Unavailable)), "{round}");
        bench.mirror.idle().await;
    }
    // Another node, which knows only what is written down.
    let bench = Bench { mirror: bench.restarted(), ..bench };
    assert_eq!(bench.tag("1").await.unwrap().digest, first, "the record names what nobody has");
    // And HEAD says what a GET would.
    let until = bench.now() + 600 * MINUTE;
    let limit = UpstreamError::CoolingOff { until, scope: Scope::Pulls };
    *bench.script.pulls_failing.lock().unwrap() = Some(limit);
    bench.clock.advance(6 * MINUTE);
    let tag = Reference::Tag("1".parse().unwrap());
    for _ in 0..3 {
        let head = bench.mirror.manifest(&name(APP), &tag, Want::Head).await.unwrap();
        assert_eq!(head.digest, first);
    }
    *bench.script.pulls_failing.lock().unwrap() = None;
    bench.clock.advance(6 * MINUTE);
    assert_eq!(bench.tag("1").await.unwrap().digest, second);
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_404_is_remembered_beyond_the_memory() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    bench.script.untag(APP, "1");
    bench.clock.advance(6 * MINUTE);
    assert_eq!(bench.tag("1").await.unwrap_err(), Refusal::NoManifest);
    bench.mirror.idle().await;
    bench.script.fail(Some(UpstreamError::passing("down")));
    bench.clock.advance(6 * MINUTE);
    let bench = Bench { mirror: bench.restarted(), ..bench };
    assert!(bench.tag("1").await.is_err(), "a deleted tag came back while the upstream is away");
}

/// Another node learnt of it.
#[tokio::test(start_paused = true)]
async fn a_confirmed_404_is_not_masked_by_what_a_node_remembers() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    let other = bench.restarted();
    bench.script.untag(APP, "1");
    bench.clock.advance(6 * MINUTE);
    let reference = Reference::Tag("1".parse().unwrap());
    let refused = other.manifest(&name(APP), &reference, Want::Body).await;
    assert_eq!(refused.unwrap_err(), Refusal::NoManifest);
    other.idle().await;
    bench.script.fail(Some(UpstreamError::passing("down")));
    assert!(bench.tag("1").await.is_err(), "a deleted tag is served while the upstream is away");
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_never_masked() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, TEXT);
    bench.tag("1").await.unwrap();
    bench.script.manifest(APP, "1", TYPE, "{}");
    *bench.script.pulls_failing.lock().unwrap() = Some(UpstreamError::Denied);
    bench.clock.advance(6 * MINUTE);
    assert_eq!(bench.tag("1").await.unwrap_err(), Refusal::NoRepository);
    bench.mirror.idle().await;
    bench.script.fail(Some(UpstreamError::passing("down")));
    assert!(bench.tag("1").await.is_err(), "an old answer hides a denial");
}

#[tokio::test(start_paused = true)]
async fn one_repositorys_404_is_not_anothers() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, TEXT);
    let reference = Reference::Digest(digest);
    let (without, with) = (name("acme/other"), name(APP));
    let (refused, served) = tokio::join!(
        bench.mirror.manifest(&without, &reference, Want::Body),
        bench.mirror.manifest(&with, &reference, Want::Body),
    );
    assert_eq!(refused.unwrap_err(), Refusal::NoManifest);
    assert_eq!(served.unwrap().digest, digest);
}
