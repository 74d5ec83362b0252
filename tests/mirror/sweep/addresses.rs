//! Nobody is sent to what goes, wherever the clean-up stands.

use registry_mirror::mirror::Job;

use super::*;

/// Content in the first part of a walk, which was marked an hour ago.
async fn marked(bench: &Bench) -> Digest {
    let text = (0..u32::MAX)
        .map(|n| n.to_string())
        .find(|text| Digest::sha256(&Bytes::from(format!("{text:-<100}"))).bytes()[0] == 0);
    bench.left(HOUR, Some(HOUR));
    let digest = bench.there_since(&text.unwrap(), 8 * DAY);
    let verified = Meta { media_type: None, verified: true };
    bench.far.content.lock().unwrap().get_mut(&(String::new(), digest)).unwrap().1 = verified;
    bench.script.blob(APP, bench.far.bytes(&Key { area: Area::Public, digest }).unwrap());
    // Nobody is sent to a store that was not tried.
    bench.mirror.run(Job::Verify { image: None }, &|_| {}).await;
    digest
}

async fn has_address(bench: &Bench, digest: Digest) -> bool {
    bench.blob(digest).await.unwrap().link.is_some()
}

#[tokio::test(start_paused = true)]
async fn an_address_outlives_the_batch_that_is_under_way() {
    for calls in 0.. {
        let bench = Bench::on(&Handle::current(), false, |settings| settings.blob_redirect = true);
        let digest = marked(&bench).await;
        let sweeper = bench.watched("node-2");
        let gate = Gate { left: calls.into(), open: tokio::sync::Notify::new(), fails: false };
        let gate = Arc::new(gate);
        let sweeping = async move { sweeper.sweep(&quiet).await };
        let task = tokio::spawn(GATE.scope(gate.clone(), sweeping));
        while gate.left.load(Ordering::SeqCst) >= 0 && bench.far.holds(&digest) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if !bench.far.holds(&digest) {
            assert!(calls > 5, "it goes after {calls} calls");
            break;
        }
        // It is in use again, and this node tells so.
        bench.mirror.usage().touch([Key { area: Area::Public, digest }]);
        bench.mirror.report_use().await.unwrap();
        let is_sent = has_address(&bench, digest).await;
        gate.left.store(i64::MAX, Ordering::SeqCst);
        gate.open.notify_one();
        task.await.unwrap().unwrap();
        assert!(!is_sent || bench.far.holds(&digest), "gone, asleep before call {calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_reported_counts_when_no_batch_can_have_missed_it() {
    let bench = Bench::on(&Handle::current(), false, |settings| settings.blob_redirect = true);
    let digest = marked(&bench).await;
    for minute in 0..60 {
        // Used and told all the time: the last report is always a new one.
        bench.mirror.usage().touch([Key { area: Area::Public, digest }]);
        bench.mirror.report_use().await.unwrap();
        assert_eq!(has_address(&bench, digest).await, minute >= 2, "minute {minute}");
        bench.later(MINUTE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_of_a_clock_that_was_ahead_stops_no_redirects() {
    let bench = Bench::on(&Handle::current(), false, |settings| settings.blob_redirect = true);
    let (digest, used) = (marked(&bench).await, bench.there_since("used", DAY));
    bench.script.blob(APP, bench.far.bytes(&Key { area: Area::Public, digest: used }).unwrap());
    let text = bench.far.record("sweep/state").unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
    state["latest_mark"] = registry_mirror::clock::to_unix(bench.now() + 365 * DAY).into();
    bench.far.note("sweep/state", &state.to_string());
    let verified = Meta { media_type: None, verified: true };
    bench.far.content.lock().unwrap().get_mut(&(String::new(), used)).unwrap().1 = verified;
    assert!(has_address(&bench, used).await, "until that time comes");
    assert!(!has_address(&bench, digest).await, "the marks that stand count");
}
