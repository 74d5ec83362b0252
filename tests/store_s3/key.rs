//! What KMS and STS say beside the bucket: it explains, decides nothing, and may all be forbidden.

use registry_mirror::{
    settings::KmsKey,
    store::{Finding, Ground},
};

use super::*;
use crate::support::bucket::cloud::{ACCOUNT, ALIAS, KEY};

fn keyed(key: &str) -> s3::Bucket {
    s3::Bucket { key: Some(KmsKey::new(key)), endpoint: None, ..settings() }
}

/// A bucket with all that there is to be wished for.
fn bucket() -> Bucket {
    let block =
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
            .map(|name| format!("<{name}>true</{name}>"))
            .concat();
    Bucket::new()
        .configured(
            "publicAccessBlock",
            &format!("<PublicAccessBlockConfiguration>{block}</PublicAccessBlockConfiguration>"),
        )
        .configured(
            "lifecycle",
            "<LifecycleConfiguration><Rule><Status>Enabled</Status>\
             <AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
             </AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>",
        )
        .configured(
            "policy",
            r#"{"Statement":[{"Effect":"Deny","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#,
        )
        .configured("encryption", &default_encryption(None, true))
}

fn default_encryption(key: Option<&str>, bucket_key: bool) -> String {
    let (algorithm, id) = match key {
        Some(key) => ("aws:kms", format!("<KMSMasterKeyID>{key}</KMSMasterKeyID>")),
        None => ("AES256", String::new()),
    };
    format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>{algorithm}</SSEAlgorithm>{id}</ApplyServerSideEncryptionByDefault>\
         <BucketKeyEnabled>{bucket_key}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
    )
}

async fn looked_at(bucket: &Bucket, settings: s3::Bucket) -> Ground {
    open_as(bucket, settings, tuning()).prepare().await.unwrap()
}

#[tokio::test]
async fn a_key_that_is_as_it_should_be_needs_no_word() {
    for name in [KEY, ALIAS, "1234abcd-12ab-34cd-56ef-1234567890ab"] {
        let bucket = bucket();
        assert_eq!(looked_at(&bucket, keyed(name)).await, Ground::default(), "{name}");
        assert_eq!(bucket.key_contexts(), ["arn:aws:s3:::mirror"], "{name}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_said_with_what_to_do() {
    let unknown = "alias/unknown";
    let elsewhere = KEY.replace("eu-central-1", "eu-west-1");
    for (bucket, name, what) in [
        (bucket().key_state("Disabled"), KEY, "is disabled"),
        (bucket().key_state("PendingDeletion"), ALIAS, "is to be deleted"),
        (bucket().key_state("PendingImport"), ALIAS, "in the state PendingImport"),
        (bucket().key_spec("RSA_2048"), ALIAS, "of the kind RSA_2048"),
        (bucket(), unknown, "KMS knows no key `alias/unknown` in eu-central-1"),
        (bucket(), &elsewhere, "lies in eu-west-1, and the bucket in eu-central-1"),
    ] {
        let ground = looked_at(&bucket, keyed(name)).await;
        let key = ground.key.unwrap_or_else(|| panic!("nothing is said of `{what}`"));
        assert!(key.what.contains(what) && key.hint.is_some(), "{key:?}");
        assert_eq!(bucket.key_contexts(), [""; 0], "{what}: a dry run tells nothing new");
        assert_eq!(ground.findings, Vec::new());
    }
}

#[tokio::test]
async fn kms_may_be_forbidden_and_out_of_reach() {
    let told = |operation: &'static str, fault: Fault| async move {
        let bucket = bucket();
        bucket.fail(operation, fault, 9);
        let s3 =
            open_as(&bucket, keyed(ALIAS), Tuning { aside: Duration::from_millis(50), ..tuning() });
        let ground = s3.prepare().await.unwrap();
        let told: Vec<Finding> = ground.findings.into_iter().chain(ground.key).collect();
        assert!(told.iter().all(|finding| finding.hint.is_none()), "no alarm: {told:#?}");
        assert!(s3.probe().await.is_ok(), "S3 decides, not {operation}");
        told.into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("; ")
    };
    let denied = || Fault::Status(400, "AccessDeniedException");
    let what = told("DescribeKey", denied()).await;
    assert!(what.contains("`kms:DescribeKey` is not granted"), "{what}");
    let what = told("GenerateDataKey", denied()).await;
    assert!(what.contains("`kms:GenerateDataKey` for the key `alias/mirror`"), "{what}");
    for fault in [Fault::Silent, Fault::Refused] {
        let what = told("DescribeKey", fault).await;
        assert!(what.contains("KMS cannot be asked about the key"), "{what}");
    }
    assert_eq!(told("GenerateDataKey", Fault::Silent).await, "");
}

/// The probe holds an alias to the key that KMS says that it is.
#[tokio::test]
async fn a_store_that_encrypts_by_another_key_is_found_out() {
    let other = KEY.replace("1234abcd", "ffffffff");
    for name in [KEY, ALIAS] {
        let bucket = bucket().sealing(Sealing::Always(other.clone()));
        let s3 = open_as(&bucket, keyed(name), tuning());
        s3.prepare().await.unwrap();
        assert_eq!(s3.probe().await, Err(StoreError::OtherKey), "{name}");
        let refused =
            Store::put(&s3, &key(&content(10)), file_payload(&content(10)), &blob()).await;
        assert_eq!(refused, Err(StoreError::OtherKey), "{name}");
        assert_eq!(bucket.keys(), [""; 0], "{name}");

        bucket.set_sealing(Sealing::Always(KEY.into()));
        s3.prepare().await.unwrap();
        let sealed = s3.probe().await.unwrap().encryption.unwrap();
        assert_eq!(sealed.key.as_deref(), Some(KEY), "{name}: put right, it is written to");
    }
}

#[tokio::test]
async fn the_buckets_own_default_is_looked_at() {
    let named_nowhere = || s3::Bucket { endpoint: None, ..settings() };
    let default = |bucket_key| default_encryption(Some(KEY), bucket_key);
    let with_key = || bucket().configured("encryption", &default(true));
    assert_eq!(looked_at(&with_key(), named_nowhere()).await, Ground::default());
    let disabled = with_key().key_state("Disabled");
    let ground = looked_at(&disabled, named_nowhere()).await;
    assert!(ground.key.unwrap().what.contains("is disabled"), "the default's key");

    let dear = bucket().configured("encryption", &default(false));
    let ground = looked_at(&dear, named_nowhere()).await;
    assert!(ground.findings[0].what.contains("without a bucket key"), "{ground:?}");
    assert_eq!(looked_at(&dear, keyed(KEY)).await, Ground::default(), "each write asks for one");

    let plain = bucket().configured("policy", "{}");
    let ground = looked_at(&plain, named_nowhere()).await;
    assert!(ground.findings[0].what.contains("demands TLS"), "{ground:?}");
}

#[tokio::test]
async fn another_store_is_asked_for_no_key_and_no_account() {
    let bucket = Bucket::new();
    let settings = s3::Bucket { endpoint: settings().endpoint, ..keyed("their-own-name") };
    let s3 = open_as(&bucket, settings, tuning());
    s3.prepare().await.unwrap();
    s3.probe().await.unwrap();
    for call in ["GetCallerIdentity", "DescribeKey", "GenerateDataKey"] {
        assert_eq!(bucket.calls(call), 0, "{call}");
    }
}

#[tokio::test]
async fn the_bucket_must_be_our_own_unless_another_owner_is_set() {
    let aws = || s3::Bucket { endpoint: None, ..settings() };
    let ours = Bucket::new().owned_by(ACCOUNT);
    let s3 = open_as(&ours, aws(), tuning());
    // Each call names the owner, the very first one, too, however many come at once.
    let keys: Vec<Key> = (1..9).map(|length| key(&content(length))).collect();
    let answers = futures_util::future::join_all(keys.iter().map(|key| s3.head(key))).await;
    assert!(answers.iter().all(|answer| *answer == Ok(None)), "{answers:?}");
    assert_eq!(ours.calls("GetCallerIdentity"), 1);

    let theirs = Bucket::new().shared_by("999999999999");
    let s3 = open_as(&theirs, aws(), tuning());
    let error = s3.prepare().await.unwrap_err();
    assert!(matches!(error, StoreError::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains("not the account's 111122223333"), "{error}");
    assert!(error.hint().unwrap().contains("registry_mirror_bucket_owner"), "{error}");
    let put = Store::put(&s3, &key(&content(9)), file_payload(&content(9)), &blob()).await;
    assert!(matches!(put, Err(StoreError::Denied { .. })), "{put:?}");
    assert_eq!(theirs.keys(), [""; 0]);

    let owner = Some("999999999999".to_owned());
    let s3 = open_as(&theirs, s3::Bucket { owner, ..aws() }, tuning());
    assert!(s3.prepare().await.is_ok() && s3.probe().await.is_ok());
}

#[tokio::test]
async fn an_sts_out_of_reach_is_waited_for_once() {
    let bucket = bucket();
    bucket.fail("GetCallerIdentity", Fault::Silent, 9);
    let settings = s3::Bucket { endpoint: None, ..settings() };
    let s3 = open_as(&bucket, settings, Tuning { aside: Duration::from_millis(50), ..tuning() });
    for _ in 0..3 {
        assert_eq!(s3.head(&key(&content(9))).await, Ok(None));
    }
    assert_eq!(bucket.calls("GetCallerIdentity"), 1, "each call waits for it");
    let ground = s3.prepare().await.unwrap();
    assert!(
        ground.findings[0].what.contains("the owner of the bucket is not checked"),
        "{ground:?}"
    );
    bucket.heal();
    assert_eq!(s3.prepare().await.unwrap(), Ground::default(), "it is asked again");
}
