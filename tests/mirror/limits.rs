//! Promises 8 and 12, as far as the mirror decides: what is refused, and what is served anyway.

use std::time::Duration;

use futures_util::future::join_all;
use registry_mirror::{
    mirror::{Refusal, Verdict},
    upstream::{Scope, UpstreamError},
};

use super::{APP, Bench, TYPE, count, noise};

#[tokio::test(start_paused = true)]
async fn under_a_limit_the_kept_is_served_and_the_rest_gets_the_limit() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, "{}");
    let kept = bench.script.blob(APP, noise(1000));
    let other = bench.script.blob(APP, noise(2000));
    bench.tag("1").await.unwrap();
    bench.bytes(kept).await;
    bench.mirror.idle().await;
    let until = bench.now() + Duration::from_secs(60);
    bench.script.fail(Some(UpstreamError::CoolingOff { until, scope: Scope::Everything }));
    bench.bytes(kept).await;
    bench.tag("1").await.unwrap();
    assert_eq!(bench.blob(other).await.unwrap_err(), Refusal::Limited { until });
    assert_eq!(bench.tag("2").await.unwrap_err(), Refusal::Limited { until });
}

#[tokio::test(start_paused = true)]
async fn a_hundred_askers_cost_one_pull() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, "{}");
    let until = bench.now() + Duration::from_secs(60);
    let limit = UpstreamError::CoolingOff { until, scope: Scope::Pulls };
    *bench.script.pulls_failing.lock().unwrap() = Some(limit);
    for answer in join_all((0..100).map(|_| bench.digest(digest))).await {
        assert_eq!(answer.unwrap_err(), Refusal::Limited { until });
    }
    assert_eq!(count(&bench.script.asked.manifests), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_is_made_while_everything_is_down() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, "{}");
    bench.script.fail(Some(UpstreamError::passing("down")));
    *bench.far.refuse_reads.lock().unwrap() = true;
    *bench.far.refuse_writes.lock().unwrap() = true;
    let bench = Bench { mirror: bench.restarted(), ..bench };
    assert!(bench.tag("1").await.is_err());
    assert!(bench.mirror.health().store.is_some() || bench.mirror.health().upstream.is_some());
    bench.script.fail(None);
    assert_eq!(bench.tag("1").await.unwrap().verdict, Verdict::Fetched);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_work_at_the_start_is_said_until_it_does() {
    let bench = Bench::new();
    bench.script.fail(Some(UpstreamError::passing("down")));
    *bench.far.refuse_writes.lock().unwrap() = true;
    let watching = tokio::spawn({
        let mirror = bench.mirror.clone();
        async move { mirror.watch().await }
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let health = bench.mirror.health();
    assert!(health.store.is_some() && health.upstream.is_some(), "{health:?}");
    *bench.far.refuse_writes.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.mirror.health().store, None, "its return is not noticed");
    watching.abort();
}
