//! Encryption: asked for as configured, never downgraded, and a bucket without it not written to.

use registry_mirror::{settings::KmsKey, store::Sealed};

use super::*;
use crate::support::bucket::cloud;

fn keyed() -> s3::Bucket {
    s3::Bucket { key: Some(KmsKey::new("alias/mirror")), ..settings() }
}

/// Writes something whole, something in parts, and a record; the places of all three.
async fn write(s3: &S3) -> [String; 3] {
    let (small, large) = (content(1000), content(600_000));
    s3.put_content(&small).await.unwrap();
    s3.put_content(&large).await.unwrap();
    Records::put(s3, "a/record", "v".into(), When::Always).await.unwrap();
    [place(&key(&small)), place(&key(&large)), "registry-mirror/v1/a/record".into()]
}

trait PutContent {
    async fn put_content(&self, bytes: &Bytes) -> Result<Put, StoreError>;
}

impl PutContent for S3 {
    async fn put_content(&self, bytes: &Bytes) -> Result<Put, StoreError> {
        Store::put(self, &key(bytes), Payload::Bytes(bytes.clone()), &blob()).await
    }
}

#[tokio::test]
async fn a_named_key_goes_with_every_write() {
    let bucket = Bucket::new();
    for place in write(&open_as(&bucket, keyed(), tuning())).await {
        let expected = ("aws:kms".to_owned(), Some(("alias/mirror".to_owned(), true)));
        assert_eq!(bucket.sealed(&place), Some(expected), "{place}");
    }
}

#[tokio::test]
async fn the_buckets_own_key_is_not_downgraded() {
    let bucket = Bucket::new().sealing(Sealing::Kms("the bucket's".into()));
    let s3 = open(&bucket);
    assert_eq!(
        s3.probe().await.unwrap().encryption.unwrap().to_string(),
        "aws:kms by the bucket's"
    );
    for place in write(&s3).await {
        let (name, key) = bucket.sealed(&place).unwrap();
        assert_eq!(name, "aws:kms", "{place}");
        assert_eq!(key.unwrap().0, "the bucket's", "{place}");
    }
}

#[tokio::test]
async fn aes256_is_asked_for_where_the_default_names_nothing() {
    for first in [content(1000), content(600_000)] {
        let bucket = Bucket::new().sealing(Sealing::WhenAsked);
        let s3 = open(&bucket);
        assert_eq!(s3.put_content(&first).await, Ok(Put::Stored));
        assert_eq!(bucket.sealed(&place(&key(&first))).unwrap().0, "AES256", "written anew");
        bucket.reset_calls();
        for place in write(&s3).await {
            assert_eq!(bucket.sealed(&place).unwrap().0, "AES256", "{place}");
        }
        assert_eq!(bucket.calls("PutObject"), 2, "it was remembered");
        assert_eq!(bucket.uploads(), [""; 0]);
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_encrypt_is_not_written_to() {
    for first in [content(1000), content(600_000)] {
        let bucket = Bucket::new().sealing(Sealing::Never);
        let kept = content(2000);
        bucket.put_marked(&place(&key(&kept)), kept.clone());
        let s3 = open(&bucket);
        assert_eq!(s3.put_content(&first).await, Err(StoreError::NotEncrypted));
        assert_eq!(bucket.keys(), [place(&key(&kept))], "what was written is gone again");
        assert_eq!(bucket.uploads(), [""; 0]);

        bucket.reset_calls();
        assert_eq!(s3.put_content(&content(10)).await, Err(StoreError::NotEncrypted));
        let record = Records::put(&s3, "a/b", "v".into(), When::Always).await;
        assert_eq!(record, Err(StoreError::NotEncrypted));
        assert!(bucket.all_calls().is_empty(), "not even asked: {:?}", bucket.all_calls());
        assert_eq!(read_found(Store::get(&s3, &key(&kept), None).await).await, kept);
    }
}

/// As MinIO does where it has no KMS: by the one now, by the other formerly.
#[tokio::test]
async fn a_store_that_refuses_to_encrypt_is_not_written_to() {
    for (status, code) in [(501, "NotImplemented"), (400, "InvalidArgument")] {
        let refusing = || Bucket::new().sealing(Sealing::Refused(status, code));
        for (bucket, first) in [
            (refusing(), content(1000)),
            (refusing(), content(600_000)),
            (refusing().unconditional(), content(1000)),
            (refusing().unconditional(), content(600_000)),
        ] {
            assert_eq!(open(&bucket).probe().await, Err(StoreError::NotEncrypted), "{code}");
            let s3 = open(&bucket);
            assert_eq!(s3.put_content(&first).await, Err(StoreError::NotEncrypted), "{code}");
            assert_eq!(bucket.keys(), [""; 0], "what was written is gone again");
            assert_eq!(bucket.uploads(), [""; 0]);
            bucket.reset_calls();
            let record = Records::put(&s3, "a/b", "v".into(), When::Absent).await;
            assert_eq!(record, Err(StoreError::NotEncrypted));
            assert!(bucket.all_calls().is_empty(), "not even asked: {:?}", bucket.all_calls());

            bucket.set_sealing(Sealing::Aes256);
            assert!(s3.probe().await.is_ok(), "put right, it is written to");
            assert_eq!(s3.put_content(&first).await, Ok(Put::Stored));
        }
    }
}

#[tokio::test]
async fn a_store_that_encrypts_when_asked_and_knows_no_conditions_is_written_to() {
    let bucket = Bucket::new().sealing(Sealing::WhenAsked).unconditional();
    let s3 = open(&bucket);
    for bytes in [content(1000), content(600_000)] {
        assert_eq!(s3.put_content(&bytes).await, Ok(Put::Stored));
    }
    // What was found of conditions is forgotten by a trial, what was found of encryption is not.
    bucket.fail("PutObject", Fault::Status(503, "SlowDown"), 3);
    assert!(s3.probe().await.is_err_and(|error| error.retryable()));
    assert_eq!(s3.put_content(&content(2000)).await, Ok(Put::Stored));
    assert!(!s3.probe().await.unwrap().conditional);
    for key in bucket.keys() {
        assert_eq!(bucket.sealed(&key).unwrap().0, "AES256", "{key}");
    }
    // A refusal that is of something else says nothing of an encryption that was seen.
    bucket.fail("PutObject", Fault::Status(400, "InvalidArgument"), 3);
    assert!(matches!(s3.put_content(&content(3000)).await, Err(StoreError::Refused { .. })));
    assert_eq!(s3.put_content(&content(3000)).await, Ok(Put::Stored));
}

#[tokio::test]
async fn what_could_not_be_written_anew_is_taken_back() {
    for fault in [
        Fault::Status(403, "AccessDenied"),
        Fault::Status(409, "ConditionalRequestConflict"),
        Fault::Status(500, "InternalError"),
    ] {
        let bucket = Bucket::new().sealing(Sealing::WhenAsked);
        let s3 = open(&bucket);
        // The first write goes through; its answer has no body to be short of.
        bucket.fail("PutObject", Fault::Short(0), 1);
        bucket.fail("PutObject", fault.clone(), usize::MAX);
        assert!(s3.put_content(&content(1000)).await.is_err(), "{fault:?}");
        assert!(bucket.calls("PutObject") > 1, "{fault:?}: nothing was written anew");
        assert_eq!(bucket.keys(), [""; 0], "{fault:?}: it stays there unencrypted");
        bucket.heal();
        assert_eq!(s3.put_content(&content(1000)).await, Ok(Put::Stored), "{fault:?}");
    }
}

#[tokio::test]
async fn a_plain_write_whose_answer_is_lost_is_written_anew() {
    let bucket = Bucket::new().sealing(Sealing::WhenAsked);
    let bytes = content(1000);
    bucket.fail("PutObject", Fault::LostAnswer, 1);
    open(&bucket).put_content(&bytes).await.unwrap();
    assert_eq!(bucket.sealed(&place(&key(&bytes))).unwrap().0, "AES256");

    bucket.fail("PutObject", Fault::LostAnswer, 1);
    let written = Records::put(&open(&bucket), "a", "v".into(), When::Absent).await.unwrap();
    assert!(matches!(written, Written::Done(_)), "{written:?}");
    assert_eq!(bucket.sealed("registry-mirror/v1/a").unwrap().0, "AES256");
}

#[tokio::test]
async fn a_probe_that_breaks_off_reopens_nothing() {
    let bucket = Bucket::new().sealing(Sealing::Never);
    let s3 = open(&bucket);
    s3.tenancy().await.unwrap();
    assert_eq!(s3.probe().await, Err(StoreError::NotEncrypted));
    bucket.fail("PutObject", Fault::Status(403, "AccessDenied"), usize::MAX);
    assert!(matches!(s3.probe().await, Err(StoreError::Denied { .. })));
    bucket.heal();
    bucket.reset_calls();
    assert_eq!(s3.put_content(&content(10)).await, Err(StoreError::NotEncrypted));
    assert!(bucket.all_calls().is_empty(), "written to: {:?}", bucket.all_calls());
}

#[tokio::test]
async fn the_probe_finds_out_and_finds_it_mended() {
    let bucket = Bucket::new().sealing(Sealing::Never);
    let s3 = open(&bucket);
    assert_eq!(s3.probe().await, Err(StoreError::NotEncrypted));
    assert_eq!(s3.put_content(&content(10)).await, Err(StoreError::NotEncrypted));
    bucket.set_sealing(Sealing::Aes256);
    let found = Abilities {
        conditional: true,
        encryption: Some(Sealed { algorithm: "AES256".into(), key: None }),
        cannot_remove: None,
    };
    assert_eq!(s3.probe().await, Ok(found));
    assert_eq!(s3.put_content(&content(10)).await, Ok(Put::Stored));
}

#[tokio::test]
async fn a_named_key_that_is_not_used_counts_as_none() {
    let other = "arn:aws:kms:eu-central-1:111122223333:key/ffffffff-12ab-34cd-56ef-1234567890ab";
    for (sealing, error) in [
        (Sealing::Never, StoreError::NotEncrypted),
        (Sealing::Always(other.into()), StoreError::OtherKey),
    ] {
        for bytes in [content(10), content(600_000)] {
            let bucket = Bucket::new().sealing(sealing.clone());
            let key = Some(KmsKey::new(cloud::KEY));
            let s3 = open_as(&bucket, s3::Bucket { key, ..settings() }, tuning());
            assert_eq!(s3.put_content(&bytes).await, Err(error.clone()));
            let puts = bucket.calls("PutObject") + bucket.calls("CompleteMultipartUpload");
            assert_eq!(puts, 1, "nothing else is tried in its place");
            assert_eq!(bucket.keys(), [""; 0]);
            bucket.reset_calls();
            assert_eq!(s3.put_content(&content(11)).await, Err(error.clone()));
            assert!(bucket.all_calls().is_empty(), "it is not remembered");
        }
    }
}

#[tokio::test]
async fn nothing_is_checked_where_encryption_is_not_wanted() {
    let bucket = Bucket::new().sealing(Sealing::Never);
    let s3 = open_as(&bucket, s3::Bucket { encrypt: false, ..settings() }, tuning());
    let found = Abilities { conditional: true, encryption: None, cannot_remove: None };
    assert_eq!(s3.probe().await, Ok(found));
    for place in write(&s3).await {
        assert_eq!(bucket.sealed(&place), None, "{place}");
    }
}

#[tokio::test]
async fn a_key_disabled_at_run_time_stops_writes_and_not_reads() {
    let bucket = Bucket::new();
    let s3 = open_as(&bucket, keyed(), tuning());
    let kept = content(1000);
    s3.put_content(&kept).await.unwrap();
    bucket.fail("PutObject", Fault::Status(400, "KMS.DisabledException"), usize::MAX);
    let refused = s3.put_content(&content(10)).await;
    let code = "KMS.DisabledException".to_owned();
    assert_eq!(refused, Err(StoreError::Denied { operation: "PutObject", code }));
    assert_eq!(read_found(Store::get(&s3, &key(&kept), None).await).await, kept);
    bucket.heal();
    assert_eq!(s3.put_content(&content(10)).await, Ok(Put::Stored), "and goes on afterwards");
}
