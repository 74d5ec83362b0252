//! Promise 5: a pull outlives the store.

use std::time::Duration;

use registry_mirror::{
    mirror::{Verdict, Want},
    oci::Reference,
    store::{Area, Key},
};

use super::{APP, Bench, TYPE, body, count, name, noise};

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_writes_costs_no_pull_and_is_filled_later() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    let manifest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    *bench.far.refuse_writes.lock().unwrap() = true;
    assert_eq!(bench.bytes(digest).await, bytes);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    assert_eq!(bench.bytes(digest).await, bytes);
    assert!(bench.mirror.health().store.is_some(), "nobody is told");
    assert!(bench.metrics().contains("pending_uploads 2"), "{}", bench.metrics());
    assert!(bench.metrics().contains("store_refuses 1"), "{}", bench.metrics());
    *bench.far.refuse_writes.lock().unwrap() = false;
    for _ in 0..1000 {
        if bench.far.holds(&digest) && bench.far.holds(&manifest) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(bench.far.holds(&digest) && bench.far.holds(&manifest), "the bucket was not filled");
    assert!(bench.metrics().contains("store_refuses 0"), "{}", bench.metrics());
    assert_eq!(count(&bench.script.asked.blobs), 1, "the upstream was asked again");
    assert_eq!(count(&bench.script.asked.manifests), 1);
}

/// What could not be done to a bucket when it was made is not left at that.
#[tokio::test(start_paused = true)]
async fn a_store_whose_place_is_unfinished_is_looked_at_again() {
    let bench = Bench::new();
    *bench.far.unfinished.lock().unwrap() = true;
    let watching = bench.mirror.clone();
    let watch = tokio::spawn(async move { watching.watch().await });
    let looks = async || {
        tokio::time::sleep(Duration::from_secs(300)).await;
        count(&bench.far.looks)
    };
    let first = looks().await;
    assert!(first > 2, "{first} looks");
    *bench.far.unfinished.lock().unwrap() = false;
    let last = looks().await;
    assert_eq!(looks().await, last, "it is looked at for ever");
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_kept_readers_share_the_flight() {
    let bench = Bench::on(&tokio::runtime::Handle::current(), false, |_| {});
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    *bench.far.refuse_writes.lock().unwrap() = true;
    let first = bench.blob(digest).await.unwrap();
    // The transfer is long over when the second comes.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let second = bench.blob(digest).await.unwrap();
    assert_eq!(second.verdict, Verdict::Joined);
    assert_eq!(body(first).await.unwrap(), bytes);
    assert_eq!(body(second).await.unwrap(), bytes);
    assert_eq!(count(&bench.script.asked.blobs), 1);
    bench.mirror.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_reads_is_passed_over() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    *bench.far.refuse_reads.lock().unwrap() = true;
    assert_eq!(bench.bytes(digest).await, bytes);
    bench.tag("1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_passed_over_within_seconds() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    *bench.far.hang.lock().unwrap() = true;
    let deadline = Duration::from_secs(10);
    let pull = async {
        bench.tag("1").await.unwrap();
        bench.bytes(digest).await
    };
    let got = tokio::time::timeout(deadline, pull).await.expect("the pull waits for the store");
    assert_eq!(got, bytes);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_breaks_off_is_made_good_by_the_upstream() {
    let bench = Bench::new();
    let (digest, bytes) = bench.kept(500_000).await;
    std::fs::remove_dir_all(bench.directory.path().join("near")).unwrap();
    *bench.far.cut_at.lock().unwrap() = Some(200_000);
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(*bench.script.offsets.lock().unwrap(), [0, 200_000]);
}

#[tokio::test(start_paused = true)]
async fn damaged_content_of_the_store_is_never_completed_and_is_replaced() {
    let bench = Bench::on(&tokio::runtime::Handle::current(), false, |_| {});
    let (digest, bytes) = bench.kept(500_000).await;
    for (content, ..) in bench.far.content.lock().unwrap().values_mut() {
        let mut damaged = content.to_vec();
        damaged[499_999] ^= 1;
        *content = damaged.into();
    }
    let (got, end) = super::read(bench.blob(digest).await.unwrap()).await;
    assert!(end.is_err() && got.len() < bytes.len(), "a damaged blob was completed");
    bench.mirror.idle().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.bytes(digest).await, bytes);
}

#[tokio::test(start_paused = true)]
async fn sixty_four_clients_make_one_get_of_the_bucket() {
    let bench = Bench::new();
    let (digest, bytes) = bench.kept(500_000).await;
    let near = bench.near.clone().unwrap();
    let keys = [registry_mirror::store::Key { area: registry_mirror::store::Area::Public, digest }];
    registry_mirror::store::Store::remove(&*near, &keys).await.unwrap();
    let before = count(&bench.far.gets);
    let readers = (0..64).map(|_| bench.bytes(digest));
    for got in futures_util::future::join_all(readers).await {
        assert_eq!(got, bytes);
    }
    assert_eq!(count(&bench.far.gets) - before, 1);
    assert_eq!(count(&bench.script.asked.blobs), 1);
    bench.mirror.idle().await;
    bench.bytes(digest).await;
    assert_eq!(count(&bench.far.gets) - before, 1, "no copy was kept of what the bucket gave");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_disk_comes_from_the_bucket_in_ranges() {
    let bench = Bench::with(|settings| settings.local_cache_size = super::Size(1000));
    let (digest, bytes) = bench.kept(500_000).await;
    let range = Some(registry_mirror::mirror::ByteRange::Between(5, 104));
    let part = bench.range(digest, range).await.unwrap();
    assert_eq!(part.verdict, Verdict::Bucket);
    assert_eq!(body(part).await.unwrap(), bytes[5..105]);
    assert_eq!(bench.bytes(digest).await, bytes);
    let outside =
        bench.range(digest, Some(registry_mirror::mirror::ByteRange::From(500_000))).await;
    let expected = registry_mirror::mirror::Refusal::Range { size: 500_000 };
    assert_eq!(outside.unwrap_err(), expected);
    assert_eq!(count(&bench.script.asked.blobs), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_denies_is_uploaded_later_and_stops_nothing_else() {
    let bench = Bench::new();
    let first = bench.script.blob(APP, noise(1000));
    *bench.far.denied.lock().unwrap() = Some(first);
    let second = bench.script.blob(APP, noise(2000));
    *bench.far.refuse_writes.lock().unwrap() = true;
    bench.bytes(first).await;
    bench.bytes(second).await;
    bench.mirror.idle().await;
    *bench.far.refuse_writes.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(bench.far.holds(&second), "what is denied holds up the rest");
    *bench.far.denied.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(bench.far.holds(&first), "what was denied is given up");
}

#[tokio::test(start_paused = true)]
async fn a_new_node_finds_tags_manifests_and_blobs_in_the_bucket() {
    let bench = Bench::new();
    let text = r#"{"layers":[]}"#;
    bench.script.manifest(APP, "1", TYPE, text);
    let digest = bench.script.blob(APP, noise(100_000));
    bench.tag("1").await.unwrap();
    bench.bytes(digest).await;
    bench.mirror.idle().await;
    let other = Bench { mirror: bench.restarted(), ..bench };
    let manifest = other.tag("1").await.unwrap();
    assert_eq!(manifest.bytes.unwrap(), text);
    assert_eq!(manifest.media_type.as_str(), TYPE);
    other.bytes(digest).await;
    let asked = &other.script.asked;
    let counts = [&asked.visibility, &asked.heads, &asked.manifests, &asked.blobs].map(count);
    assert_eq!(counts, [1, 1, 1, 1], "the second node asked the upstream");
}

/// With nothing in front of the bucket its bytes go straight to the client.
#[tokio::test(start_paused = true)]
async fn a_body_of_the_bucket_that_breaks_off_is_made_good() {
    let bench = Bench::on(&tokio::runtime::Handle::current(), false, |_| {});
    let (digest, bytes) = bench.kept(500_000).await;
    // Once: the bucket itself has another chance.
    *bench.far.cuts.lock().unwrap() = 1;
    *bench.far.cut_at.lock().unwrap() = Some(200_000);
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(count(&bench.script.asked.blobs), 1, "the upstream was asked again");
    // Again and again: the upstream has the rest.
    *bench.far.cuts.lock().unwrap() = usize::MAX;
    *bench.far.cut_at.lock().unwrap() = Some(200_000);
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(*bench.script.offsets.lock().unwrap(), [0, 200_000]);
    let range = Some(super::ByteRange::From(100_000));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let part = body(bench.range(digest, range).await.unwrap()).await.unwrap();
    assert_eq!(part, bytes[100_000..]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_breaks_off_once_is_enough_while_the_hub_is_away() {
    let bench = Bench::new();
    let (digest, bytes) = bench.kept(500_000).await;
    std::fs::remove_dir_all(bench.directory.path().join("near")).unwrap();
    bench.script.fail(Some(registry_mirror::upstream::UpstreamError::passing("away")));
    *bench.far.cuts.lock().unwrap() = 1;
    *bench.far.cut_at.lock().unwrap() = Some(200_000);
    assert_eq!(bench.bytes(digest).await, bytes);
}

#[tokio::test(start_paused = true)]
async fn damaged_content_that_cannot_be_removed_is_passed_over_and_replaced() {
    for near in [true, false] {
        let bench = Bench::on(&tokio::runtime::Handle::current(), near, |_| {});
        let bytes = noise(500_000);
        let digest = bench.script.blob(APP, bytes.clone());
        let key =
            registry_mirror::store::Key { area: registry_mirror::store::Area::Public, digest };
        let mut damaged = bytes.to_vec();
        damaged[499_999] ^= 1;
        let meta = registry_mirror::store::Meta { media_type: None, verified: true };
        bench.far.insert(&key, damaged.into(), meta);
        *bench.far.undeletable.lock().unwrap() = true;
        bench.outlives(digest, &bytes).await;
        assert_eq!(bench.bytes(digest).await, bytes, "near: {near}");
        bench.mirror.idle().await;
        assert_eq!(bench.far.bytes(&key), Some(bytes), "it is not replaced");
    }
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_one_look_into_the_bucket() {
    for near in [true, false] {
        let bench = Bench::on(&tokio::runtime::Handle::current(), near, |_| {});
        let bytes = noise(1000);
        let digest = bench.script.blob(APP, bytes.clone());
        assert_eq!(bench.bytes(digest).await, bytes);
        assert_eq!(count(&bench.far.gets), 1, "near: {near}");
    }
}

/// After a start, a copy that takes long to hash is served while it is hashed.
#[tokio::test(start_paused = true)]
async fn a_large_copy_is_read_along_with_its_check() {
    let bench = Bench::new();
    let (digest, bytes) = bench.kept(17 << 20).await;
    let file = bench.copy_of(&digest);
    let bench = Bench { mirror: bench.restarted(), ..bench };
    let blob = bench.blob(digest).await.unwrap();
    assert_eq!(blob.verdict, Verdict::Disk);
    assert!(body(blob).await.unwrap() == bytes);

    let mut damaged = bytes.to_vec();
    damaged[(17 << 20) - 1] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let bench = Bench { mirror: bench.restarted(), ..bench };
    bench.outlives(digest, &bytes).await;
    assert!(bench.bytes(digest).await == bytes, "it is not had from the bucket at once");
    assert_eq!(count(&bench.script.asked.blobs), 1);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_shrinks_while_it_is_read_is_cut_once() {
    let bench = Bench::new();
    let (digest, bytes) = bench.kept(500_000).await;
    let file = bench.copy_of(&digest);
    let opened = bench.blob(digest).await.unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(1000).unwrap();
    assert!(body(opened).await.is_err());
    // Of the right length again, it is not believed.
    std::fs::write(&file, vec![0; 500_000]).unwrap();
    assert_eq!(bench.bytes(digest).await, bytes);
    assert_eq!(count(&bench.script.asked.blobs), 1, "the bucket has it");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_copy_of_a_manifest_costs_neither_the_buckets_nor_a_pull() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    let manifest = bench.tag("1").await.unwrap().bytes.unwrap();
    bench.mirror.idle().await;
    let mirror = bench.restarted();
    // From here on the copy counts as one that was seen to be right.
    body(mirror.blob(&name(APP), &digest, None, Want::Body).await.unwrap()).await.unwrap();
    std::fs::write(bench.copy_of(&digest), r#"{"layers":[!}"#).unwrap();
    let pulls = count(&bench.script.asked.manifests);
    let asked = Reference::Digest(digest);
    let found = mirror.manifest(&name(APP), &asked, Want::Body).await.unwrap();
    assert_eq!(found.bytes.unwrap(), manifest);
    let key = Key { area: Area::Public, digest };
    assert_eq!(bench.far.bytes(&key), Some(manifest), "the bucket's was good");
    assert_eq!(count(&bench.script.asked.manifests), pulls, "it cost a pull");
}
