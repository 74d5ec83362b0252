//! Where things lie, and what others put there.

use super::*;

#[tokio::test]
async fn content_lies_where_registry_2_puts_it() {
    let (bucket, store) = store().await;
    let bytes = content(100);
    let media_type = Some("application/vnd.oci.image.index.v1+json".parse().unwrap());
    let meta = Meta { media_type, verified: true };
    store.put(&key(&bytes), Payload::Bytes(bytes.clone()), &meta).await.unwrap();
    assert_eq!(bucket.keys(), [place(&key(&bytes))]);
    let metadata = bucket.metadata(&place(&key(&bytes))).unwrap();
    assert_eq!(metadata["media-type"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(metadata["verified"], "1");
}

#[tokio::test]
async fn what_registry_2_left_is_found_and_unverified() {
    let (bucket, store) = store().await;
    let bytes = content(5000);
    bucket.put("scheduler-state.json", "{}");
    store.tenancy().await.unwrap();
    bucket.put(&place(&key(&bytes)), bytes.clone());
    let found = store.get(&key(&bytes), None).await.unwrap().unwrap();
    assert_eq!(found.info.meta, Meta { media_type: None, verified: false });
    assert_eq!(read(found.body).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_wrong_size_is_replaced() {
    for size in [1000, 600_000] {
        let (bucket, store) = store().await;
        let bytes = content(size);
        bucket.put_marked(&place(&key(&bytes)), "too short");
        let put = store.put(&key(&bytes), file_payload(&bytes), &blob()).await;
        assert_eq!(put, Ok(Put::Stored));
        assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes);
        assert_eq!(bucket.uploads(), [""; 0], "the upload that came too late was ended");
    }
}

#[tokio::test]
async fn other_bytes_than_the_digest_names_are_refused_by_the_bucket() {
    let (bucket, store) = store().await;
    let put = store.put(&key(b"one"), Payload::Bytes("two".into()), &blob()).await;
    assert!(matches!(put, Err(StoreError::Broken { .. })), "{put:?}");
    assert_eq!(bucket.keys(), [""; 0]);
}

#[tokio::test]
async fn listings_are_read_to_their_end() {
    let bucket = Bucket::new().paged(3);
    let s3 = Arc::new(open(&bucket));
    conformance::store::list_covers_each_shard(s3.clone()).await;
    conformance::records::list_below_a_prefix(s3).await;
}

#[tokio::test]
async fn records_listings_leave_out_content_and_probes() {
    let (bucket, records) = records().await;
    records.put("a", "v".into(), When::Absent).await.unwrap();
    records.put("private-eye/x", "v".into(), When::Absent).await.unwrap();
    for other in ["private/acme/app/_blobs/sha256/00/00/data", "probe/x-object"] {
        bucket.put(&format!("registry-mirror/v1/{other}"), "x");
    }
    let page = records.list("", None).await.unwrap();
    let paths: Vec<_> = page.entries.into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, ["a", "private-eye/x"]);
}

#[tokio::test]
async fn an_upload_that_was_left_behind_is_listed_and_ended() {
    let bucket = Bucket::new().paged(1);
    let s3 = open(&bucket);
    let bodies = [content(600_000), content(700_000)];
    bucket.fail("UploadPart", Fault::Status(403, "AccessDenied"), usize::MAX);
    bucket.fail("AbortMultipartUpload", Fault::Status(403, "AccessDenied"), usize::MAX);
    for bytes in &bodies {
        Store::put(&s3, &key(bytes), file_payload(bytes), &blob()).await.unwrap_err();
    }
    let mut left: Vec<_> = bodies.iter().map(|bytes| place(&key(bytes))).collect();
    left.sort();
    bucket.heal();
    let mut begun = bucket.uploads();
    begun.dedup();
    assert_eq!(begun, left, "nothing could be done about them then");

    let (mut from, mut uploads) = (None, Vec::new());
    loop {
        let page = s3.stray_uploads(from).await.unwrap();
        uploads.extend(page.entries);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    for upload in &uploads {
        s3.abort(upload).await.unwrap();
        s3.abort(upload).await.unwrap();
    }
    assert_eq!(bucket.uploads(), [""; 0]);
}

#[tokio::test]
async fn a_missing_bucket_is_no_miss() {
    let bucket = Bucket::new();
    let s3 = open_as(&bucket, s3::Bucket { name: "elsewhere".into(), ..settings() }, tuning());
    let code = "NoSuchBucket".to_owned();
    let expected = StoreError::Unavailable { operation: "GetObject", code };
    assert_eq!(Store::get(&s3, &key(b"x"), None).await.unwrap_err(), expected);
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_found_out_and_used() {
    let bucket = Bucket::new().unconditional();
    let s3 = open(&bucket);
    for bytes in [content(1000), content(600_000)] {
        for expected in [Put::Stored, Put::AlreadyThere] {
            let put = Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await;
            assert_eq!(put, Ok(expected));
        }
    }
    assert_eq!(bucket.uploads(), [""; 0]);
    assert!(!s3.probe().await.unwrap().conditional);
    let first = Records::put(&s3, "a", "1".into(), When::Absent).await.unwrap();
    let Written::Done(version) = first else { panic!("it was absent") };
    let second = Records::put(&s3, "a", "2".into(), When::Absent).await.unwrap();
    assert_eq!(second, Written::Conflict);
    let third = Records::put(&s3, "a", "3".into(), When::Is(version)).await.unwrap();
    assert!(matches!(third, Written::Done(_)));
}

/// It can be written to and read, which is what pulls need.
#[tokio::test]
async fn a_role_that_may_remove_nothing_is_told_so_and_stops_nothing() {
    let denied = StoreError::Denied { operation: "DeleteObjects", code: "AccessDenied".into() };
    let bucket = Bucket::new();
    for operation in ["DeleteObjects", "DeleteObject"] {
        bucket.fail(operation, Fault::Status(403, "AccessDenied"), usize::MAX);
    }
    let found = open(&bucket).probe().await.unwrap().cannot_remove;
    assert_eq!(found, Some(denied.clone()));
    assert!(found.unwrap().hint().unwrap().contains("`s3:DeleteObject`"));
    bucket.heal();
    assert_eq!(open(&bucket).probe().await.unwrap().cannot_remove, None);
    bucket.fail("DeleteObjects", Fault::Status(503, "SlowDown"), usize::MAX);
    let found = open(&bucket).probe().await.unwrap().cannot_remove;
    assert_eq!(found, None, "what passes says nothing of what may be removed");
}

#[tokio::test]
async fn a_store_that_ignores_a_condition_is_found_out() {
    for condition in [Ignored::IfMatch, Ignored::IfNoneMatch] {
        for bucket in [Bucket::new(), Bucket::new().hashing()] {
            let bucket = bucket.ignoring(condition);
            let abilities = open(&bucket).probe().await.unwrap();
            assert!(!abilities.conditional, "{condition:?} is not looked at");
            assert_eq!(bucket.keys(), [""; 0]);
        }
    }
    for bucket in [Bucket::new(), Bucket::new().hashing()] {
        assert!(open(&bucket).probe().await.unwrap().conditional);
    }
}

#[tokio::test]
async fn a_lost_answer_makes_no_store_dishonest() {
    // Each write of the races loses its answer in turn; the first is none of them.
    for before in 1..7 {
        let bucket = Bucket::new();
        bucket.fail_after("PutObject", before, Fault::LostAnswer, 1);
        assert!(open(&bucket).probe().await.unwrap().conditional, "after {before}");
    }
}

/// Whether what is written now is written under a condition: else it is looked for first.
async fn is_conditional(bucket: &Bucket, s3: &S3, size: usize) -> bool {
    bucket.reset_calls();
    let bytes = content(size);
    let put = Store::put(s3, &key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(put, Ok(Put::Stored));
    bucket.calls("HeadObject") == 0
}

#[tokio::test]
async fn conditions_are_given_up_only_where_all_else_goes_through() {
    let unknown = || Fault::Status(501, "NotImplemented");
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    bucket.fail("PutObject", unknown(), usize::MAX);
    let bytes = content(1000);
    Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await.unwrap_err();
    Records::put(&s3, "a", "1".into(), When::Absent).await.unwrap_err();
    bucket.heal();
    assert!(is_conditional(&bucket, &s3, 1001).await, "whatever is written gets 501");

    // With each kind of checksum.
    bucket.fail("PutObject", unknown(), 3);
    assert!(!is_conditional(&bucket, &s3, 1002).await, "only the condition is not known");
    assert!(!is_conditional(&bucket, &s3, 1003).await, "it was not remembered");
    assert!(s3.probe().await.unwrap().conditional);
    assert!(is_conditional(&bucket, &s3, 1004).await, "the probe found it mended");
}

#[tokio::test]
async fn a_value_that_is_written_again_is_another_version() {
    let bucket = Bucket::new().hashing();
    let s3 = open(&bucket);
    let mut versions = Vec::new();
    for _ in 0..2 {
        let written = Records::put(&s3, "a", "same".into(), When::Always).await.unwrap();
        let Written::Done(version) = written else { panic!("there was no condition") };
        versions.push(version);
    }
    assert_ne!(versions[0], versions[1]);
    let late = Records::put(&s3, "a", "same".into(), When::Is(versions[0].clone())).await;
    assert_eq!(late, Ok(Written::Conflict));
}

#[tokio::test]
async fn a_record_that_another_program_wrote_is_read_as_it_is() {
    let (bucket, records) = records().await;
    bucket.put("registry-mirror/v1/by/hand", "{}\n");
    assert_eq!(records.get("by/hand").await.unwrap().unwrap().0, "{}\n");
}

#[tokio::test]
async fn every_call_names_the_owner() {
    let bucket = Bucket::new().owned_by("111122223333");
    let as_owner = |owner: &str| {
        let settings = s3::Bucket { owner: Some(owner.to_owned()), ..settings() };
        open_as(&bucket, settings, tuning())
    };
    let ours = Arc::new(as_owner("111122223333"));
    conformance::store::content_in_a_file(ours.clone()).await;
    conformance::store::remove(ours.clone()).await;
    conformance::store::no_upload_is_left_behind(ours.clone()).await;
    conformance::store::list_covers_each_shard(ours.clone()).await;
    conformance::store::probe(ours.clone()).await;
    conformance::records::a_removed_record_is_absent(ours).await;
    let error = as_owner("999999999999").probe().await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "another account's bucket: {error}");
}

/// As at AWS: the bucket is known by its host name, bodies go with a checksum behind them, and the
/// parts of an upload are announced and completed with theirs.
#[tokio::test]
async fn without_an_endpoint_it_speaks_as_aws_does() {
    let bucket = Bucket::new();
    let s3 = Arc::new(open_as(&bucket, s3::Bucket { endpoint: None, ..settings() }, tuning()));
    let bytes = content(600_000);
    let put = Store::put(&*s3, &key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(put, Ok(Put::Stored));
    assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes);
    conformance::store::put_then_get(s3.clone()).await;
    conformance::store::sha512(s3.clone()).await;
    conformance::store::one_key_many_writers(s3.clone()).await;
    conformance::store::remove(s3.clone()).await;
    conformance::store::probe(s3.clone()).await;
    conformance::records::sizes(s3).await;
    assert_eq!(bucket.uploads(), [""; 0]);
}
