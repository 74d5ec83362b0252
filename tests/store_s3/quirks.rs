//! Stores that refuse what AWS takes: each is found out and written to in its own way, and an idle
//! node leaves no more in it than a few small objects.

use registry_mirror::{
    oci::{Algorithm, Digest},
    settings::{KmsKey, Period},
};

use super::*;
use crate::support::bucket::Quirk;

const AES256: &str = "<ServerSideEncryptionConfiguration><Rule>\
    <ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>\
    </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";

/// Objects that trials of one node may leave in the bucket.
const MAX_PROBES: usize = 3;

fn kms() -> String {
    AES256.replace("AES256", "aws:kms")
}

/// Quirks of stores that take what is written all the same.
fn harmless() -> Vec<Vec<Quirk>> {
    let one = |quirk| vec![quirk];
    vec![
        one(Quirk::RefusesSums(400, "InvalidArgument")),
        one(Quirk::RefusesSums(501, "NotImplemented")),
        one(Quirk::RefusesSums(403, "AccessDenied")),
        one(Quirk::DemandsSums),
        one(Quirk::DemandsMd5),
        one(Quirk::PolicyDemandsSums),
        vec![Quirk::RefusesSums(501, "NotImplemented"), Quirk::DemandsMd5],
        one(Quirk::RemovesByMd5),
        one(Quirk::RemovesOneByOne(501, "NotImplemented")),
        one(Quirk::RemovesOneByOne(400, "MissingContentMD5")),
        one(Quirk::RemovesOneByOne(405, "MethodNotAllowed")),
        vec![Quirk::RefusesSums(400, "InvalidArgument"), Quirk::RemovesByMd5],
    ]
}

async fn put(s3: &S3, bytes: &Bytes) -> Result<Put, StoreError> {
    Store::put(s3, &key(bytes), file_payload(bytes), &blob()).await
}

fn probes(bucket: &Bucket) -> Vec<String> {
    bucket.keys().into_iter().filter(|key| key.contains("/probe/")).collect()
}

#[tokio::test]
async fn every_kind_of_write_and_removal_goes_through_whatever_is_refused() {
    for quirks in harmless() {
        for (conditional, is_tried) in [(true, true), (true, false), (false, true)] {
            let bucket = if conditional { Bucket::new() } else { Bucket::new().unconditional() };
            quirks.iter().for_each(|quirk| bucket.turn(*quirk));
            let s3 = open(&bucket);
            let what = format!("{quirks:?}, {conditional}, {is_tried}");
            if is_tried {
                let found = s3.probe().await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!((found.conditional, found.cannot_remove), (conditional, None), "{what}");
                assert_eq!(probes(&bucket), [""; 0], "{what}");
            }
            let (small, large, other) = (content(1000), content(600_000), content(3000));
            let digest = Digest::of(Algorithm::Sha512, &other);
            let by_sha512 = Key { digest, area: Area::Public };
            for bytes in [&small, &large] {
                assert_eq!(put(&s3, bytes).await, Ok(Put::Stored), "{what}");
                assert!(bucket.bytes(&place(&key(bytes))).unwrap() == *bytes, "{what}");
            }
            let stored = Store::put(&s3, &by_sha512, file_payload(&other), &blob()).await;
            assert_eq!(stored, Ok(Put::Stored), "{what}");
            for when in [When::Absent, When::Always] {
                let record = Records::put(&s3, "a/record", "v".into(), when).await;
                assert!(matches!(record, Ok(Written::Done(_))), "{what}: {record:?}");
            }
            assert_eq!(bucket.uploads(), [""; 0], "{what}");
            let keys = [key(&small), key(&large), key(b"none"), by_sha512];
            assert_eq!(Store::remove(&s3, &keys).await, Ok(()), "{what}");
            assert_eq!(bucket.keys(), ["registry-mirror/v1/a/record"], "{what}");
        }
    }
}

#[tokio::test]
async fn what_was_found_out_costs_no_further_calls() {
    let bucket = Bucket::new().with(Quirk::RefusesSums(501, "NotImplemented"));
    bucket.turn(Quirk::RemovesOneByOne(501, "NotImplemented"));
    let s3 = open(&bucket);
    s3.probe().await.unwrap();
    s3.probe().await.unwrap();
    let removed = [key(b"one"), key(b"two")];
    Store::remove(&s3, &removed).await.unwrap();
    bucket.reset_calls();
    put(&s3, &content(1000)).await.unwrap();
    Store::remove(&s3, &removed).await.unwrap();
    assert_eq!((bucket.calls("PutObject"), bucket.calls("DeleteObject")), (1, 2));
    assert_eq!(bucket.calls("DeleteObjects"), 0);
    // What the store demands may change at any time.
    bucket.turn_back();
    bucket.turn(Quirk::DemandsSums);
    put(&s3, &content(2000)).await.unwrap();
    put(&s3, &content(3000)).await.unwrap();
    bucket.reset_calls();
    put(&s3, &content(4000)).await.unwrap();
    assert_eq!(bucket.calls("PutObject"), 1, "learned anew");
}

#[tokio::test]
async fn a_denial_is_not_asked_about_again_and_again() {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    bucket.fail("PutObject", Fault::Status(403, "AccessDenied"), usize::MAX);
    assert!(matches!(put(&s3, &content(1000)).await, Err(StoreError::Denied { .. })));
    bucket.reset_calls();
    for length in 2000..2010 {
        assert!(matches!(put(&s3, &content(length)).await, Err(StoreError::Denied { .. })));
    }
    assert_eq!(bucket.calls("PutObject"), 10, "one for each");
}

/// It is the bytes that are wrong, and not every store has a code of its own for that.
#[tokio::test]
async fn bytes_that_changed_are_not_written_without_a_checksum() {
    for code in ["BadDigest", "InvalidRequest", "InvalidArgument"] {
        let bucket = Bucket::new();
        let s3 = open(&bucket);
        bucket.fail("PutObject", Fault::Status(400, code), 1);
        let put = Store::put(&s3, &key(b"one"), Payload::Bytes("two".into()), &blob()).await;
        assert!(put.is_err(), "{code}: {put:?}");
        assert_eq!(bucket.keys(), [""; 0], "{code}");
    }
}

#[tokio::test]
async fn a_policy_that_demands_the_name_of_the_default_gets_it() {
    let bucket = Bucket::new().configured("encryption", AES256);
    bucket.turn(Quirk::PolicyDemandsEncryption);
    let s3 = open(&bucket);
    s3.probe().await.unwrap();
    for bytes in [content(1000), content(600_000)] {
        assert_eq!(put(&s3, &bytes).await, Ok(Put::Stored));
        assert_eq!(bucket.sealed(&place(&key(&bytes))), Some(("AES256".into(), None)));
    }
    bucket.reset_calls();
    assert!(Records::put(&s3, "a/record", "v".into(), When::Absent).await.is_ok());
    assert_eq!((bucket.calls("PutObject"), bucket.calls("GetBucketEncryption")), (1, 0));
    assert_eq!(bucket.uploads(), [""; 0]);
}

#[tokio::test]
async fn a_default_that_is_kms_or_unknown_is_never_downgraded() {
    let by_kms = || Sealing::Kms("the bucket's".into());
    let unknown = Bucket::new().sealing(by_kms());
    let denied = Bucket::new().sealing(by_kms()).configured("encryption", AES256);
    denied.fail("GetBucketEncryption", Fault::Status(403, "AccessDenied"), usize::MAX);
    let known = Bucket::new().sealing(by_kms()).configured("encryption", &kms());
    for bucket in [unknown, denied, known] {
        bucket.turn(Quirk::PolicyDemandsEncryption);
        let s3 = open(&bucket);
        let error = s3.probe().await.unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("s3:x-amz-server-side-encryption"), "{hint}");
        for bytes in [content(1000), content(600_000)] {
            put(&s3, &bytes).await.unwrap_err();
        }
        assert_eq!(bucket.keys(), [""; 0], "something was written");
    }
    // Whoever names the key satisfies the policy.
    let bucket = Bucket::new().sealing(by_kms()).configured("encryption", &kms());
    bucket.turn(Quirk::PolicyDemandsEncryption);
    let keyed = s3::Bucket { key: Some(KmsKey::new("alias/mirror")), ..settings() };
    assert!(open_as(&bucket, keyed, tuning()).probe().await.is_ok());
}

/// A policy that demands the name of the default, of which the default is changed.
#[tokio::test(start_paused = true)]
async fn a_default_that_becomes_kms_is_not_written_below_for_long() {
    for encrypt in [true, false] {
        let bucket = Bucket::new().configured("encryption", AES256);
        bucket.turn(Quirk::PolicyDemandsEncryption);
        let of_bucket = s3::Bucket { encrypt, ..settings() };
        let s3 = open_as(&bucket, of_bucket, tuning());
        s3.probe().await.unwrap();
        put(&s3, &content(1000)).await.unwrap();
        bucket.reset_calls();
        put(&s3, &content(2000)).await.unwrap();
        assert_eq!(bucket.calls("PutObject"), 1, "encrypt: {encrypt}: it was learned");
        let bucket = bucket.configured("encryption", &kms());
        tokio::time::advance(Duration::from_secs(31)).await;
        let late = content(3000);
        put(&s3, &late).await.unwrap_err();
        assert!(bucket.bytes(&place(&key(&late))).is_none(), "encrypt: {encrypt}");
        // The policy goes as well, and what is written is as the default says.
        bucket.turn_back();
        bucket.set_sealing(Sealing::Kms("the bucket's".into()));
        put(&s3, &late).await.unwrap();
        assert_eq!(bucket.sealed(&place(&key(&late))).unwrap().0, "aws:kms");
    }
}

/// Neither the upload of a trial can be completed nor can it be ended.
#[tokio::test(start_paused = true)]
async fn a_trial_whose_upload_stays_begins_no_other() {
    let bucket = Bucket::new();
    for operation in ["CompleteMultipartUpload", "AbortMultipartUpload"] {
        bucket.fail(operation, Fault::Status(403, "AccessDenied"), usize::MAX);
    }
    let s3 = open(&bucket);
    for _ in 0..20 {
        assert!(s3.probe().await.is_err());
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    assert_eq!(bucket.uploads().len(), 1);
    bucket.heal();
    assert!(s3.probe().await.is_ok());
    assert_eq!(bucket.uploads(), [""; 0], "put right, it is ended");
}

/// A node that nobody pulls from, as `serve` makes it.
struct Idle {
    mirror: Mirror,
    _directory: tempfile::TempDir,
}

fn idle(bucket: &Bucket) -> Idle {
    let directory = tempfile::tempdir().unwrap();
    // No clean-up is due: that is about what a trial leaves.
    let now = clock::to_unix(std::time::SystemTime::now());
    bucket.put("registry-mirror/v1/sweep/state", format!(r#"{{"swept":{now},"active":{now}}}"#));
    let mirror = mirror_on(bucket, tuning(), directory.path(), |parts| {
        let cleanup_interval = Period(Duration::from_secs(31 * 86_400));
        let settings = Settings { cleanup_interval, ..Settings::default() };
        parts.settings = Arc::new(ArcSwap::from_pointee(settings));
    });
    Idle { mirror, _directory: directory }
}

/// Lets a node idle for a while, and looks at what it left.
async fn idles(quirks: &[Quirk], fault: Option<&'static str>, time: Duration) {
    let bucket = Bucket::new();
    quirks.iter().for_each(|quirk| bucket.turn(*quirk));
    if let Some(operation) = fault {
        bucket.fail(operation, Fault::Status(403, "AccessDenied"), usize::MAX);
    }
    let node = idle(&bucket);
    let _ = tokio::time::timeout(time, node.mirror.watch()).await;
    let (left, what) = (probes(&bucket), format!("{quirks:?}, {fault:?} fails"));
    assert!(left.len() <= MAX_PROBES, "{what}: {left:?}");
    assert!(bucket.uploads().len() <= MAX_PROBES, "{what}: {:?}", bucket.uploads());
    if fault.is_none() && !quirks.contains(&Quirk::PolicyDemandsEncryption) {
        assert_eq!(node.mirror.health().store, None, "{what}");
        assert!(bucket.calls("UploadPart") <= 6, "{what}: it was tried again and again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_node_leaves_no_more_than_a_few_objects_in_an_hour() {
    let hour = Duration::from_secs(3600);
    for quirks in harmless() {
        idles(&quirks, None, hour).await;
    }
    for (status, code) in [
        (400, "MissingContentMD5"),
        (403, "AccessDenied"),
        (501, "NotImplemented"),
        (503, "SlowDown"),
        (405, "MethodNotAllowed"),
    ] {
        let nothing = Quirk::RemovesNothing(status, code);
        idles(&[nothing], None, hour).await;
        idles(&[nothing, Quirk::RefusesSums(501, "NotImplemented")], None, hour).await;
    }
    let nothing = Quirk::RemovesNothing(501, "NotImplemented");
    idles(&[nothing, Quirk::PolicyDemandsEncryption], None, hour).await;
    // What fails is tried every half minute.
    for fault in ["GetObject", "CompleteMultipartUpload", "HeadObject"] {
        idles(&[nothing], Some(fault), hour / 6).await;
        idles(&[], Some(fault), hour / 6).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_removes_nothing_and_stops_to_take_writes_is_found_out() {
    let bucket = Bucket::new().with(Quirk::RemovesNothing(501, "NotImplemented"));
    let s3 = open(&bucket);
    assert!(s3.probe().await.unwrap().cannot_remove.is_some());
    let left = probes(&bucket);
    assert!(s3.probe().await.unwrap().cannot_remove.is_some());
    bucket.fail("PutObject", Fault::Status(507, "QuotaExceeded"), usize::MAX);
    assert!(s3.probe().await.is_err(), "it was taken for well");
    bucket.heal();
    assert!(s3.probe().await.is_ok());
    assert_eq!(probes(&bucket), left, "it wrote more");
    bucket.turn_back();
    assert_eq!(s3.probe().await.unwrap().cannot_remove, None);
    assert_eq!(probes(&bucket), [""; 0], "put right, it removes what it left");
}

#[tokio::test(start_paused = true)]
async fn refused_records_are_seen() {
    let bucket = Bucket::new();
    let node = idle(&bucket);
    node.mirror.parts().far.probe().await.unwrap();
    assert_eq!(node.mirror.health().store, None);
    let records = &node.mirror.parts().records;
    for (status, code) in [(400, "InvalidRequest"), (403, "AccessDenied"), (501, "NotImplemented")]
    {
        bucket.fail("PutObject", Fault::Status(status, code), 3);
        records.put("a/b", "v".into(), When::Always).await.unwrap_err();
        let why = node.mirror.health().store.expect("it says nothing");
        assert!(why.contains("records cannot be written") && why.contains(code), "{why}");
        let metrics = node.mirror.parts().metrics.text();
        assert!(metrics.contains("registry_mirror_store_refuses 1"), "{metrics}");
        tokio::time::advance(Duration::from_secs(31)).await;
        bucket.heal();
        records.put("a/b", "v".into(), When::Always).await.unwrap();
        assert_eq!(node.mirror.health().store, None);
    }
    // A node that writes no records of its own finds out that they are taken again.
    bucket.fail("PutObject", Fault::Status(403, "AccessDenied"), 3);
    records.put("a/b", "v".into(), When::Always).await.unwrap_err();
    assert!(node.mirror.health().store.is_some());
    let _ = tokio::time::timeout(Duration::from_secs(100), node.mirror.watch()).await;
    assert_eq!(node.mirror.health().store, None);
    // What passes is no reason to look.
    bucket.fail("PutObject", Fault::Status(503, "SlowDown"), usize::MAX);
    records.put("a/b", "v".into(), When::Always).await.unwrap_err();
    assert_eq!(node.mirror.health().store, None);
}
