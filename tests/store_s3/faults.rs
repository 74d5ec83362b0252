//! A bucket that fails: every call ends as the store promises, after a bounded number of tries,
//! with no upload left behind and nothing of the server's text in an error.

use futures_util::StreamExt as _;
use registry_mirror::store::Body;

use super::*;

const ALWAYS: usize = usize::MAX;
/// Attempts of one call.
const ATTEMPTS: usize = 3;
/// Long enough for anything that ends at all.
const LONG: Duration = Duration::from_secs(60);

pub(super) fn hasty() -> Tuning {
    Tuning {
        answer: Duration::from_millis(300),
        connect: Duration::from_millis(200),
        complete: Duration::from_millis(300),
        stall: Duration::from_millis(300),
        ..tuning()
    }
}

fn refusing() -> [Fault; 6] {
    [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, "SlowDown"),
        Fault::Status(403, "AccessDenied"),
        Fault::Status(400, SECRET),
        Fault::Refused,
        Fault::Silent,
    ]
}

fn is_quiet(error: &StoreError) {
    let text = format!("{error} {error:?}");
    let secret = text.contains("Signature=") || text.contains("connection reset");
    assert!(!secret && !text.contains("http"), "foreign text in `{text}`");
}

#[tokio::test]
async fn a_read_that_fails_for_a_moment_is_tried_again() {
    for fault in
        [Fault::Status(500, "InternalError"), Fault::Status(503, "SlowDown"), Fault::Refused]
    {
        let (bucket, store) = store().await;
        let bytes = content(1000);
        bucket.put_marked(&place(&key(&bytes)), bytes.clone());
        bucket.fail("GetObject", fault.clone(), ATTEMPTS - 1);
        assert_eq!(read_found(store.get(&key(&bytes), None).await).await, bytes, "{fault:?}");
        assert_eq!(bucket.calls("GetObject"), ATTEMPTS);
    }
}

#[tokio::test]
async fn a_read_that_fails_for_good_says_why() {
    for fault in refusing() {
        let bucket = Bucket::new();
        let s3 = open_as(&bucket, settings(), hasty());
        bucket.put_marked(&place(&key(b"x")), "x");
        bucket.fail("*", fault.clone(), ALWAYS);
        let get = tokio::time::timeout(LONG, Store::get(&s3, &key(b"x"), None)).await.unwrap();
        let head = tokio::time::timeout(LONG, s3.head(&key(b"x"))).await.unwrap();
        let record = tokio::time::timeout(LONG, Records::get(&s3, "a")).await.unwrap();
        for error in [get.unwrap_err(), head.unwrap_err(), record.unwrap_err()] {
            is_quiet(&error);
            let denied = matches!(error, StoreError::Denied { .. });
            assert_eq!(denied, fault == Fault::Status(403, "AccessDenied"), "{fault:?}: {error}");
        }
        assert!(bucket.calls("GetObject") <= 2 * ATTEMPTS, "{:?}", bucket.all_calls());
    }
}

#[tokio::test]
async fn a_body_that_is_not_whole_is_an_error() {
    for fault in [Fault::Cut(70_000), Fault::Short(70_000), Fault::Stall(70_000)] {
        let bucket = Bucket::new();
        let s3 = open_as(&bucket, settings(), hasty());
        let bytes = content(100_000);
        bucket.put_marked(&place(&key(&bytes)), bytes.clone());
        for range in [None, Some(10..90_000)] {
            bucket.fail("GetObject", fault.clone(), 1);
            let found = Store::get(&s3, &key(&bytes), range.clone()).await.unwrap().unwrap();
            let Body::Stream(mut chunks) = found.body else { panic!("a bucket has no files") };
            let start = range.map_or(0, |range| range.start as usize);
            let mut got = Vec::new();
            let end = loop {
                match tokio::time::timeout(LONG, chunks.next()).await.expect("it ends") {
                    Some(Ok(chunk)) => got.extend_from_slice(&chunk),
                    end => break end,
                }
            };
            assert!(got == bytes[start..start + got.len()], "{fault:?}: the bytes before it");
            let error = end.expect("short bodies are errors").unwrap_err();
            assert!(error.retryable(), "{fault:?}: {error}");
            is_quiet(&error);
        }
    }
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_behind() {
    for fault in refusing() {
        for operation in
            ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]
        {
            let bucket = Bucket::new();
            let s3 = open_as(&bucket, settings(), hasty());
            let bytes = content(if operation == "PutObject" { 1000 } else { 600_000 });
            bucket.fail(operation, fault.clone(), ALWAYS);
            let put = async { Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await };
            let put = tokio::time::timeout(LONG, put).await.expect("it ends");
            let error = put.unwrap_err();
            is_quiet(&error);
            assert_eq!(bucket.keys(), [""; 0], "{operation} {fault:?}");
            assert_eq!(bucket.uploads(), [""; 0], "{operation} {fault:?}");
            let at_once = if operation == "UploadPart" { 4 } else { 1 };
            let calls = bucket.calls(operation);
            assert!(calls <= ATTEMPTS * at_once, "{calls} calls of {operation} under {fault:?}");

            bucket.heal();
            let again = Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await;
            assert_eq!(again, Ok(Put::Stored), "{operation} {fault:?}: and then it goes");
            assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes);
        }
    }
}

#[tokio::test]
async fn a_write_that_fails_for_a_moment_goes_through() {
    for fault in
        [Fault::Status(500, "InternalError"), Fault::Status(503, "SlowDown"), Fault::Refused]
    {
        for size in [1000, 600_000] {
            let (bucket, store) = store().await;
            let bytes = content(size);
            for operation in
                ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]
            {
                bucket.fail(operation, fault.clone(), 2);
            }
            let put = store.put(&key(&bytes), file_payload(&bytes), &blob()).await;
            assert_eq!(put, Ok(Put::Stored), "{size} bytes, {fault:?}");
            assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes, "from its beginning");
            assert_eq!(bucket.uploads(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_failure() {
    for (size, operation) in [(1000, "PutObject"), (600_000, "CompleteMultipartUpload")] {
        let (bucket, store) = store().await;
        let bytes = content(size);
        bucket.fail(operation, Fault::LostAnswer, 1);
        store.put(&key(&bytes), file_payload(&bytes), &blob()).await.expect(operation);
        assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes);
        assert_eq!(bucket.uploads(), [""; 0]);
    }
}

#[tokio::test]
async fn a_writer_of_a_record_whose_answer_is_lost_still_won() {
    let (bucket, records) = records().await;
    bucket.fail("PutObject", Fault::LostAnswer, 1);
    let first = records.put("lease", "mine".into(), When::Absent).await.unwrap();
    let Written::Done(version) = first else { panic!("it was written by this very call") };
    bucket.fail("PutObject", Fault::LostAnswer, 1);
    let second = records.put("lease", "renewed".into(), When::Is(version)).await.unwrap();
    let Written::Done(version) = second else { panic!("it was written by this very call") };
    assert_eq!(records.get("lease").await.unwrap(), Some(("renewed".into(), version)));
}

#[tokio::test]
async fn an_error_inside_a_200_is_an_error() {
    let (bucket, store) = store().await;
    let bytes = content(600_000);
    bucket.fail("CompleteMultipartUpload", Fault::ErrorIn200, ALWAYS);
    let error = store.put(&key(&bytes), file_payload(&bytes), &blob()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { code, .. } if code == "InternalError"));
    assert_eq!(bucket.keys(), [""; 0]);
    assert_eq!(bucket.uploads(), [""; 0]);
}

#[tokio::test]
async fn a_race_is_tried_again() {
    let conflict = Fault::Status(409, "ConditionalRequestConflict");
    let (bucket, store) = store().await;
    let (small, large) = (content(1000), content(600_000));
    bucket.fail("PutObject", conflict.clone(), 2);
    assert_eq!(store.put(&key(&small), file_payload(&small), &blob()).await, Ok(Put::Stored));
    assert_eq!(bucket.calls("PutObject"), 3);

    bucket.fail("CompleteMultipartUpload", conflict.clone(), 1);
    assert_eq!(store.put(&key(&large), file_payload(&large), &blob()).await, Ok(Put::Stored));
    assert_eq!(bucket.calls("CreateMultipartUpload"), 2, "a new upload");
    assert_eq!(bucket.uploads(), [""; 0], "and the old one was ended");
    assert!(bucket.bytes(&place(&key(&large))).unwrap() == large);
}

#[tokio::test]
async fn a_race_without_end_is_given_up() {
    let (bucket, store) = store().await;
    bucket.fail("PutObject", Fault::Status(409, "ConditionalRequestConflict"), ALWAYS);
    let bytes = content(1000);
    let error = store.put(&key(&bytes), file_payload(&bytes), &blob()).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    assert!(bucket.calls("PutObject") <= 10, "{} tries", bucket.calls("PutObject"));
}

#[tokio::test]
async fn a_condition_that_failed_on_nothing_is_tried_again() {
    let (bucket, store) = store().await;
    bucket.fail("PutObject", Fault::Status(412, "PreconditionFailed"), 1);
    let bytes = content(1000);
    let put = store.put(&key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(put, Ok(Put::Stored), "what had been there was removed meanwhile");
}

#[tokio::test]
async fn a_race_for_a_record_is_tried_again() {
    let (bucket, records) = records().await;
    bucket.fail("PutObject", Fault::Status(409, "ConditionalRequestConflict"), 2);
    let written = records.put("a", "v".into(), When::Absent).await.unwrap();
    assert!(matches!(written, Written::Done(_)), "{written:?}");
}

#[tokio::test]
async fn listings_and_removals_say_why_they_failed() {
    for operation in ["ListObjectsV2", "ListMultipartUploads", "DeleteObjects"] {
        let (bucket, store) = store().await;
        bucket.fail(operation, Fault::Status(503, "SlowDown"), ALWAYS);
        let shard = registry_mirror::store::Shard {
            algorithm: registry_mirror::oci::Algorithm::Sha256,
            first: 0,
        };
        let error = match operation {
            "ListObjectsV2" => store.list(&Area::Public, shard, None).await.unwrap_err(),
            "ListMultipartUploads" => store.stray_uploads(None).await.unwrap_err(),
            // Before anything is removed it is looked whose it is.
            _ => store.remove(&[key(b"x")]).await.unwrap_err().into(),
        };
        let code = "SlowDown".to_owned();
        assert_eq!(error, StoreError::Unavailable { operation, code });
        assert_eq!(bucket.calls(operation), ATTEMPTS);
    }
}

#[tokio::test]
async fn a_listing_that_ends_too_soon_is_no_shorter_listing() {
    let bucket = Bucket::new();
    let s3 = open_as(&bucket, settings(), hasty());
    for number in 0..20 {
        Records::put(&s3, &format!("a/{number}"), "v".into(), When::Absent).await.unwrap();
    }
    for after in [50, 200, 400, 800, 1600] {
        bucket.fail("ListObjectsV2", Fault::Short(after), ALWAYS);
        let listed = Records::list(&s3, "a", None).await;
        let error = listed.expect_err("it is not whole");
        assert!(error.retryable(), "{after}: {error}");
        is_quiet(&error);
        bucket.heal();
    }
    assert_eq!(Records::list(&s3, "a", None).await.unwrap().entries.len(), 20);
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_nothing_else() {
    for code in ["AccessDenied", "InternalError"] {
        let (bucket, store) = store().await;
        let keys: Vec<Key> = (0..1500_u32).map(|n| key(&n.to_le_bytes())).collect();
        keys.iter().for_each(|key| bucket.put_marked(&place(key), "x"));
        let bad = [keys[3].clone(), keys[700].clone(), keys[1400].clone()];
        bad.iter().for_each(|key| bucket.keep(&place(key), code));
        let error = store.remove(&keys).await.unwrap_err();
        let NotRemoved::Stayed { keys: stayed, why } = error else { panic!("{error}") };
        assert_eq!(stayed, bad);
        assert_eq!(matches!(why, StoreError::Denied { .. }), code == "AccessDenied");
        is_quiet(&why);
        assert_eq!(bucket.keys().len(), 3);
    }
}
