//! Content that is damaged costs a pull at most, wherever it lies and whatever cannot be done about
//! it.

use std::time::Duration;

use registry_mirror::{
    mirror::Refusal,
    oci::Digest,
    store::{Area, Key, Meta},
    upstream::UpstreamError,
};
use tokio::{runtime::Handle, time::Instant};

use super::{APP, Bench, ByteRange, body, count, noise};

fn key(digest: Digest) -> Key {
    Key { area: Area::Public, digest }
}

fn damaged(bytes: &[u8], at: usize) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

fn ours() -> Meta {
    Meta { media_type: None, verified: true }
}

/// What lies in its place can be opened, and neither be read nor be removed.
#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_removed_costs_the_copy() {
    let bench = Bench::new();
    let (digest, bytes) = bench.kept(500_000).await;
    let place = bench.copy_of(&digest);
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir_all(place.join("stuck")).unwrap();
    let bench = Bench { mirror: bench.restarted(), ..bench };
    for _ in 0..3 {
        assert!(bench.bytes(digest).await == bytes);
        bench.mirror.idle().await;
    }
    assert_eq!(count(&bench.script.asked.blobs), 1, "the bucket has it");
}

/// Nobody waits for its removal, neither who had it nor who comes next.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_to_remove_keeps_nobody_waiting() {
    for near in [true, false] {
        let bench = Bench::on(&Handle::current(), near, |_| {});
        let bytes = noise(500_000);
        let digest = bench.script.blob(APP, bytes.clone());
        bench.far.insert(&key(digest), damaged(&bytes, 0), ours());
        *bench.far.removal.lock().unwrap() = Duration::from_secs(75);
        let begun = Instant::now();
        bench.outlives(digest, &bytes).await;
        assert!(bench.bytes(digest).await == bytes, "near: {near}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        bench.mirror.idle().await;
        assert!(bench.far.bytes(&key(digest)) == Some(bytes), "what replaced it went with it");
    }
}

/// The same of a manifest.
#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_slow_to_be_removed_keeps_nobody_waiting() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", super::TYPE, "{}");
    bench.far.insert(&key(digest), "{ }".into(), ours());
    *bench.far.removal.lock().unwrap() = Duration::from_secs(75);
    let begun = Instant::now();
    assert_eq!(bench.digest(digest).await.unwrap().bytes.unwrap(), "{}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    bench.mirror.idle().await;
    assert!(bench.far.bytes(&key(digest)).unwrap() == "{}", "it is not replaced");
}

/// The first bytes were wrong and the bucket's, the last were right and the Hub's.
#[tokio::test(start_paused = true)]
async fn a_body_of_two_sources_that_is_wrong_is_had_from_one() {
    for near in [true, false] {
        let bench = Bench::on(&Handle::current(), near, |_| {});
        let bytes = noise(500_000);
        let digest = bench.script.blob(APP, bytes.clone());
        bench.far.insert(&key(digest), damaged(&bytes, 0), ours());
        *bench.far.cut_at.lock().unwrap() = Some(200_000);
        *bench.far.cuts.lock().unwrap() = 2;
        bench.outlives(digest, &bytes).await;
        // Longer than the bucket is left alone for breaking off.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(bench.bytes(digest).await == bytes, "near: {near}");
        bench.mirror.idle().await;
        assert!(bench.far.bytes(&key(digest)) == Some(bytes), "it is not replaced");
    }
}

/// Whose bytes are wrong is not known, so that nothing is removed.
#[tokio::test(start_paused = true)]
async fn what_the_hub_spoilt_is_not_taken_from_the_bucket() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    let bytes = noise(500_000);
    let digest = Digest::sha256(&bytes);
    bench.script.blob_under(APP, digest, damaged(&bytes, 499_999));
    bench.far.insert(&key(digest), bytes.clone(), ours());
    *bench.far.cut_at.lock().unwrap() = Some(200_000);
    *bench.far.cuts.lock().unwrap() = 2;
    if let Ok(blob) = bench.blob(digest).await {
        assert!(body(blob).await.is_err(), "it was completed wrong");
    }
    bench.mirror.idle().await;
    assert!(bench.far.bytes(&key(digest)) == Some(bytes), "the good one was removed");
}

/// Neither that it is there nor how long it is.
#[tokio::test(start_paused = true)]
async fn a_range_tells_nothing_of_what_nobody_may_have() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    bench.script.blob(APP, noise(10));
    let secret = noise(1000);
    let digest = Digest::sha256(&secret);
    bench.far.insert(&key(digest), secret, Meta::default());
    for range in [ByteRange::From(1 << 40), ByteRange::Between(1 << 40, 1 << 41)] {
        let refused = bench.range(digest, Some(range)).await.map(|blob| blob.size);
        assert_eq!(refused.unwrap_err(), Refusal::NoBlob);
    }
}

/// What is too short in the bucket is found out by who asks for what lies beyond it.
#[tokio::test(start_paused = true)]
async fn a_range_beyond_what_was_cut_short_is_served() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.far.insert(&key(digest), bytes.slice(..100_000), Meta::default());
    let part = bench.range(digest, Some(ByteRange::From(400_000))).await.unwrap();
    assert!(body(part).await.unwrap() == bytes[400_000..]);
}

/// It is hashed on its way, with its end withheld.
#[tokio::test(start_paused = true)]
async fn what_an_adopted_bucket_has_is_served_without_a_spool() {
    let bench = Bench::with(|settings| settings.spool_size = super::Size(1000));
    let (good, bad) = (noise(500_000), noise(400_000));
    let digests = [&good, &bad].map(|bytes| {
        let digest = bench.script.blob(APP, bytes.clone());
        bench.far.links.lock().unwrap().insert((super::name(APP), digest));
        digest
    });
    bench.far.insert(&key(digests[0]), good.clone(), Meta::default());
    bench.far.insert(&key(digests[1]), damaged(&bad, 7), Meta::default());
    bench.script.manifest(APP, "1", super::TYPE, "{}");
    bench.tag("1").await.unwrap();
    bench.script.fail(Some(UpstreamError::passing("away")));
    assert!(bench.bytes(digests[0]).await == good);
    let (got, end) = super::read(bench.blob(digests[1]).await.unwrap()).await;
    assert!(end.is_err() && got.len() < bad.len(), "a damaged blob was completed");
}
