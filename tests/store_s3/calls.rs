//! What the bucket is asked, counted at the bucket (DESIGN 8: S3 calls).

use std::collections::BTreeMap;

use super::*;

fn counted<const N: usize>(calls: [(&'static str, usize); N]) -> BTreeMap<&'static str, usize> {
    calls.into_iter().collect()
}

#[tokio::test]
async fn content_in_the_bucket_is_one_call() {
    let (bucket, store) = store().await;
    let bytes = content(100_000);
    store.put(&key(&bytes), Payload::Bytes(bytes.clone()), &blob()).await.unwrap();
    bucket.reset_calls();
    assert_eq!(read_found(store.get(&key(&bytes), None).await).await, bytes);
    assert_eq!(bucket.all_calls(), counted([("GetObject", 1)]));
    bucket.reset_calls();
    let part = read_found(store.get(&key(&bytes), Some(9..99_999)).await).await;
    assert_eq!(part, bytes[9..99_999]);
    assert_eq!(bucket.all_calls(), counted([("GetObject", 1)]));
}

#[tokio::test]
async fn a_miss_is_one_call() {
    let (bucket, store) = store().await;
    assert!(store.get(&key(b"nothing"), None).await.unwrap().is_none());
    assert_eq!(bucket.all_calls(), counted([("GetObject", 1)]));
}

#[tokio::test]
async fn a_small_put_is_one_call() {
    let (bucket, store) = store().await;
    let bytes = content(256 << 10);
    for payload in [Payload::Bytes(bytes.clone()), file_payload(&content(100))] {
        bucket.reset_calls();
        let key = match &payload {
            Payload::Bytes(bytes) => key(bytes),
            Payload::File { .. } => Key {
                digest: registry_mirror::oci::Digest::of(
                    registry_mirror::oci::Algorithm::Sha512,
                    b"sent without a sum",
                ),
                area: Area::Public,
            },
        };
        assert_eq!(store.put(&key, payload, &blob()).await, Ok(Put::Stored));
        assert_eq!(bucket.all_calls(), counted([("PutObject", 1)]));
    }
}

#[tokio::test]
async fn a_put_in_parts_is_one_call_a_part_and_two() {
    let (bucket, store) = store().await;
    let bytes = content((1 << 20) + 1);
    store.put(&key(&bytes), file_payload(&bytes), &blob()).await.unwrap();
    let calls = [("CreateMultipartUpload", 1), ("UploadPart", 9), ("CompleteMultipartUpload", 1)];
    assert_eq!(bucket.all_calls(), counted(calls), "9 parts of 128 KiB");
    assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes, "in the right order");
}

#[tokio::test]
async fn what_is_there_already_is_looked_at_once() {
    let (bucket, store) = store().await;
    let bytes = content(100);
    store.put(&key(&bytes), Payload::Bytes(bytes.clone()), &blob()).await.unwrap();
    bucket.reset_calls();
    let again = store.put(&key(&bytes), Payload::Bytes(bytes.clone()), &blob()).await;
    assert_eq!(again, Ok(Put::AlreadyThere));
    assert_eq!(bucket.all_calls(), counted([("HeadObject", 1), ("PutObject", 1)]));
}

#[tokio::test]
async fn a_record_is_one_call_each_way() {
    let (bucket, records) = records().await;
    records.put("a/b", "v".into(), When::Absent).await.unwrap();
    records.get("a/b").await.unwrap().unwrap();
    records.get("a/c").await.unwrap();
    records.remove("a/b").await.unwrap();
    let calls = [("DeleteObject", 1), ("GetObject", 2), ("PutObject", 1)];
    assert_eq!(bucket.all_calls(), counted(calls));
}

#[tokio::test]
async fn keys_are_removed_in_batches() {
    let (bucket, store) = store().await;
    let keys: Vec<Key> = (0..2001_u32).map(|n| key(&n.to_le_bytes())).collect();
    store.remove(&keys).await.unwrap();
    // Whose the content is, and whether each of it bears the mirror's mark.
    let calls = [("DeleteObjects", 3), ("ListObjectsV2", 2), ("HeadObject", 2 + 2001)];
    assert_eq!(bucket.all_calls(), counted(calls));
    bucket.put("scheduler-state.json", "{}");
    bucket.reset_calls();
    store.remove(&keys).await.unwrap();
    assert_eq!(bucket.all_calls(), counted([("DeleteObjects", 3), ("HeadObject", 1)]));
}

#[tokio::test]
async fn every_attempt_is_counted_by_how_it_ended() {
    let bucket = Bucket::new();
    let metrics = Metrics::new();
    let s3 = S3::with_http_client(
        settings(),
        Handle::current(),
        metrics.clone(),
        tuning(),
        bucket.client(),
    );
    bucket.fail("GetObject", Fault::Status(503, "SlowDown"), 1);
    assert!(Store::get(&s3, &key(b"x"), None).await.unwrap().is_none());
    let text = metrics.text();
    for outcome in ["error", "absent"] {
        let line = format!("{{operation=\"GetObject\",outcome=\"{outcome}\"}} 1");
        assert!(text.contains(&line), "no `{line}` in\n{text}");
    }
}
