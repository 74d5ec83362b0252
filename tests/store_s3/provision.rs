//! The bucket itself: made and configured where it is missing, else looked at and left alone.

use registry_mirror::{
    settings::KmsKey,
    store::{Finding, Ground},
};

use super::*;

fn creating() -> s3::Bucket {
    // An address of its own is no AWS; these are the rules of AWS.
    s3::Bucket { create: true, endpoint: None, ..settings() }
}

fn says<'a>(findings: &'a [Finding], text: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.what.contains(text));
    found.unwrap_or_else(|| panic!("`{text}` is not said: {findings:#?}"))
}

#[tokio::test]
async fn a_missing_bucket_is_made_and_configured() {
    let bucket = Bucket::new().missing();
    let ground = open_as(&bucket, creating(), tuning()).prepare().await.unwrap();
    assert_eq!(ground, Ground { created: true, ..Ground::default() });
    let is = bucket.configuration();
    let holds = |what: &str, texts: &[&str]| {
        let body = is.get(what).unwrap_or_else(|| panic!("no {what} in {is:#?}"));
        for text in texts {
            assert!(body.contains(text), "`{text}` is not in {body}");
        }
    };
    holds("location", &["<LocationConstraint>eu-central-1<"]);
    holds("encryption", &["<SSEAlgorithm>AES256<"]);
    holds(
        "publicAccessBlock",
        &[
            "<BlockPublicAcls>true<",
            "<IgnorePublicAcls>true<",
            "<BlockPublicPolicy>true<",
            "<RestrictPublicBuckets>true<",
        ],
    );
    holds(
        "lifecycle",
        &["<DaysAfterInitiation>1<", "<Status>Enabled<", "<Filter><Prefix></Prefix>"],
    );
    holds("policy", &["arn:aws:s3:::mirror/*", "\"aws:SecureTransport\":\"false\"", "Deny"]);
    holds("tagging", &["<Key>managed-by<", "<Value>registry-mirror<"]);
    // It is there now, and whoever comes later finds nothing to say.
    bucket.reset_calls();
    let again = open_as(&bucket, creating(), tuning()).prepare().await.unwrap();
    assert_eq!(again, Ground::default());
    assert!(bucket.all_calls().keys().all(|call| !call.starts_with("Put")), "it was written to");
}

#[tokio::test]
async fn a_named_key_becomes_the_default_and_one_region_is_never_named() {
    let bucket = Bucket::new().missing();
    let settings = s3::Bucket {
        key: Some(KmsKey::new("alias/mirror")),
        region: Some("us-east-1".into()),
        ..creating()
    };
    open_as(&bucket, settings, tuning()).prepare().await.unwrap();
    let is = bucket.configuration();
    assert!(!is["location"].contains("LocationConstraint"), "{}", is["location"]);
    let encryption = &is["encryption"];
    for text in ["aws:kms", "<KMSMasterKeyID>alias/mirror<", "<BucketKeyEnabled>true<"] {
        assert!(encryption.contains(text), "`{text}` is not in {encryption}");
    }
    let china = Bucket::new().missing();
    let settings = s3::Bucket { region: Some("cn-north-1".into()), ..creating() };
    open_as(&china, settings, tuning()).prepare().await.unwrap();
    assert!(china.configuration()["policy"].contains("arn:aws-cn:s3:::mirror"));
}

#[tokio::test]
async fn plain_http_to_a_store_of_ones_own_is_not_locked_out() {
    let bucket = Bucket::new().missing();
    let settings = s3::Bucket { create: true, ..settings() };
    open_as(&bucket, settings.clone(), tuning()).prepare().await.unwrap();
    let is = bucket.configuration();
    assert!(!is.contains_key("policy"));
    assert!(is["location"].contains("eu-central-1"), "the region that is set goes unsaid");

    let bucket = Bucket::new().missing();
    let settings = s3::Bucket { create: true, region: None, ..settings };
    open_as(&bucket, settings, tuning()).prepare().await.unwrap();
    assert!(!bucket.configuration()["location"].contains("Location"), "a region is made up");
}

#[tokio::test]
async fn what_was_there_is_looked_at_and_never_written_to() {
    let bucket = Bucket::new().configured(
        "versioning",
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    );
    let ground = open_as(&bucket, creating(), tuning()).prepare().await.unwrap();
    assert!(!ground.created);
    assert_eq!(ground.findings.len(), 4, "{:#?}", ground.findings);
    for (what, hint) in [
        ("does not block public access", "all four"),
        ("never ends unfinished uploads", "AbortIncompleteMultipartUpload"),
        ("keeps versions", "NoncurrentVersionExpiration"),
    ] {
        let finding = says(&ground.findings, what);
        assert!(finding.hint.as_ref().is_some_and(|text| text.contains(hint)), "{finding:?}");
    }
    says(&ground.findings, "has no policy that demands TLS");
    assert_eq!(bucket.configuration().len(), 1, "it was written to");
}

#[tokio::test]
async fn every_permission_that_is_denied_is_one_line_with_its_name() {
    let bucket = Bucket::new().missing();
    for (operation, action) in [
        ("PutBucketEncryption", "s3:PutEncryptionConfiguration"),
        ("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
        ("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        ("PutBucketPolicy", "s3:PutBucketPolicy"),
        ("PutBucketTagging", "s3:PutBucketTagging"),
    ] {
        let bucket = bucket.clone().missing();
        bucket.heal();
        bucket.fail(operation, Fault::Status(403, "AccessDenied"), 9);
        let ground = open_as(&bucket, creating(), tuning()).prepare().await.unwrap();
        assert!(ground.created && ground.findings.len() == 1, "{ground:#?}");
        says(&ground.findings, &format!("`{action}` is not granted"));
    }
    let denied = |operation: &'static str| {
        let bucket = bucket.clone();
        bucket.heal();
        bucket.fail(operation, Fault::Status(403, "AccessDenied"), 9);
        async move { open_as(&bucket, creating(), tuning()).prepare().await }
    };
    for (operation, action) in [
        ("HeadBucket", "s3:ListBucket"),
        ("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
        ("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
        ("GetBucketVersioning", "s3:GetBucketVersioning"),
        ("GetBucketEncryption", "s3:GetEncryptionConfiguration"),
        ("GetBucketPolicy", "s3:GetBucketPolicy"),
    ] {
        says(&denied(operation).await.unwrap().findings, &format!("`{action}` is not granted"));
    }
    let missing = bucket.clone().missing();
    let error = denied("CreateBucket").await.unwrap_err();
    assert!(error.to_string().contains("`s3:CreateBucket` is not granted"), "{error}");
    assert!(error.hint().is_some() && !missing.configuration().is_empty());
}

#[tokio::test]
async fn of_several_nodes_one_makes_it_and_all_go_on() {
    let bucket = Bucket::new().missing();
    let nodes = (0..8).map(|_| open_as(&bucket, creating(), tuning()));
    let nodes: Vec<S3> = nodes.collect();
    let grounds = futures_util::future::join_all(nodes.iter().map(|node| node.prepare())).await;
    let made = grounds.iter().filter(|ground| ground.as_ref().unwrap().created).count();
    assert_eq!(made, 1);
    assert_eq!(bucket.calls("PutBucketEncryption"), 1);
}

/// There S3 answers 200 to whoever makes a bucket that is theirs already.
#[tokio::test]
async fn in_us_east_1_the_second_to_make_it_leaves_it_alone() {
    let settings = || s3::Bucket { region: Some("us-east-1".into()), ..creating() };
    let late = || {
        let bucket = Bucket::new();
        bucket.fail("HeadBucket", Fault::Status(404, ""), 1);
        bucket
    };
    for (what, body) in [
        ("tagging", "<Tagging><TagSet/></Tagging>"),
        ("policy", "{}"),
        ("lifecycle", "<LifecycleConfiguration/>"),
    ] {
        let bucket = late().configured(what, body);
        let ground = open_as(&bucket, settings(), tuning()).prepare().await.unwrap();
        assert_eq!(ground, Ground::default(), "{what}");
        assert_eq!(bucket.calls("CreateBucket"), 1);
        assert_eq!(bucket.configuration().len(), 1, "{what}: it was written to");
    }
    // Who may not look at it takes it for new.
    let bucket = late().configured("policy", "{}");
    for look in ["GetBucketTagging", "GetBucketLifecycleConfiguration", "GetBucketPolicy"] {
        bucket.fail(look, Fault::Status(403, "AccessDenied"), 1);
    }
    assert!(open_as(&bucket, settings(), tuning()).prepare().await.unwrap().created);
    assert_eq!(bucket.calls("PutBucketPolicy"), 1);
}

#[tokio::test]
async fn a_bucket_of_another_account_or_place_is_a_fault_of_the_configuration() {
    let is_fault = |error: StoreError, text: &str| {
        assert!(matches!(error, StoreError::Misconfigured { .. }), "{error:?}");
        assert!(error.to_string().contains(text) && error.hint().is_some(), "{error}");
        assert!(!error.retryable());
    };
    let taken = Bucket::new().of_another_account();
    // It cannot be seen, and S3 does not say why; to make it would tell.
    let ground = open_as(&taken, creating(), tuning()).prepare().await.unwrap();
    says(&ground.findings, "`s3:ListBucket` is not granted");
    let owned = s3::Bucket { owner: Some("111122223333".into()), ..creating() };
    let ground = open_as(&taken, owned, tuning()).prepare().await.unwrap();
    says(&ground.findings, "not the account's 111122223333");

    let taken = Bucket::new().of_another_account();
    taken.fail("HeadBucket", Fault::Status(404, ""), 1);
    let error = open_as(&taken, creating(), tuning()).prepare().await.unwrap_err();
    is_fault(error, "belongs to another account");

    let elsewhere = Bucket::new();
    elsewhere.fail("HeadBucket", Fault::Status(301, ""), 9);
    let error = open_as(&elsewhere, creating(), tuning()).prepare().await.unwrap_err();
    is_fault(error, "lies in another region");

    let missing = Bucket::new().missing();
    let error = open_as(&missing, settings(), tuning()).prepare().await.unwrap_err();
    is_fault(error, "there is no bucket `mirror`");
}

#[tokio::test]
async fn a_new_bucket_that_is_not_known_everywhere_yet_is_tried_again() {
    let bucket = Bucket::new().missing();
    bucket.fail("PutPublicAccessBlock", Fault::Status(404, "NoSuchBucket"), 2);
    bucket.fail("PutBucketPolicy", Fault::Status(409, "OperationAborted"), 1);
    let ground = open_as(&bucket, creating(), tuning()).prepare().await.unwrap();
    assert_eq!(ground.findings, Vec::new());
    let is = bucket.configuration();
    assert!(is.contains_key("publicAccessBlock") && is.contains_key("policy"), "{is:#?}");
}

#[tokio::test]
async fn what_failed_for_a_moment_is_made_good_at_the_next_look() {
    let steps = [
        "PutBucketTagging",
        "PutBucketEncryption",
        "PutPublicAccessBlock",
        "PutBucketLifecycleConfiguration",
        "PutBucketPolicy",
    ];
    let bucket = Bucket::new().missing();
    steps.iter().for_each(|step| bucket.fail(step, Fault::Status(503, "SlowDown"), 3));
    let s3 = open_as(&bucket, creating(), tuning());
    let ground = s3.prepare().await.unwrap();
    assert!(ground.created && ground.unfinished && ground.findings.len() == 5, "{ground:#?}");
    says(&ground.findings, "the new bucket has no policy that demands TLS (SlowDown)");

    // Whoever puts it right by hand keeps what they wrote.
    let by_hand = "<LifecycleConfiguration></LifecycleConfiguration>";
    let bucket = bucket.configured("lifecycle", by_hand);
    bucket.fail("PutBucketPolicy", Fault::Status(503, "SlowDown"), 3);
    assert!(s3.prepare().await.unwrap().unfinished, "one of them failed again");
    assert!(!s3.prepare().await.unwrap().unfinished);
    let is = bucket.configuration();
    for what in ["tagging", "encryption", "publicAccessBlock", "policy"] {
        assert!(is.contains_key(what), "no {what} in {is:#?}");
    }
    assert_eq!(is["lifecycle"], by_hand);
    bucket.reset_calls();
    s3.prepare().await.unwrap();
    assert!(bucket.all_calls().keys().all(|call| !call.starts_with("Put")), "it was written to");
}

#[tokio::test]
async fn what_was_denied_is_not_tried_again() {
    let bucket = Bucket::new().missing();
    bucket.fail("PutBucketPolicy", Fault::Status(403, "AccessDenied"), 1);
    bucket.fail("PutBucketTagging", Fault::Status(501, "NotImplemented"), 1);
    let s3 = open_as(&bucket, creating(), tuning());
    assert!(!s3.prepare().await.unwrap().unfinished);
    s3.prepare().await.unwrap();
    assert_eq!((bucket.calls("PutBucketPolicy"), bucket.calls("PutBucketTagging")), (1, 1));
}

/// A second attempt would be told that the bucket is there, and nobody would look at it.
#[tokio::test]
async fn a_bucket_whose_making_went_unanswered_is_looked_at() {
    let bucket = Bucket::new().missing();
    bucket.fail("CreateBucket", Fault::LostAnswer, 1);
    let s3 = open_as(&bucket, creating(), tuning());
    assert!(s3.prepare().await.is_err_and(|error| error.retryable()));
    assert_eq!(bucket.calls("CreateBucket"), 1);
    says(&s3.prepare().await.unwrap().findings, "does not block public access");
}

#[tokio::test]
async fn every_call_names_the_owner() {
    let bucket = Bucket::new().missing().owned_by("111122223333");
    let settings = s3::Bucket { owner: Some("111122223333".into()), ..creating() };
    let s3 = open_as(&bucket, settings, tuning());
    assert_eq!(s3.prepare().await.unwrap(), Ground { created: true, ..Ground::default() });
    assert_eq!(s3.prepare().await.unwrap(), Ground::default());
}
