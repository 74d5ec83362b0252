//! Whose the bucket is: asked of STS, which may be away for a while, and never guessed.

use registry_mirror::store::Ground;

use super::*;
use crate::support::bucket::cloud::ACCOUNT;

const OTHER: &str = "999999999999";
const SECOND: Duration = Duration::from_secs(1);

fn aws() -> s3::Bucket {
    s3::Bucket { create: true, endpoint: None, ..settings() }
}

fn theirs() -> s3::Bucket {
    s3::Bucket { owner: Some(OTHER.into()), ..aws() }
}

#[tokio::test]
async fn a_bucket_that_another_account_must_own_is_not_made_in_ours() {
    let bucket = Bucket::new().missing();
    let refused = || async {
        let error = open_as(&bucket, theirs(), tuning()).prepare().await.unwrap_err();
        assert!(matches!(error, StoreError::Misconfigured { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("registry_mirror_bucket_owner"), "{error:?}");
        error.to_string()
    };
    let error = refused().await;
    let what = "there is no bucket `mirror` in the account 999999999999";
    assert!(error.starts_with(what) && error.contains(ACCOUNT), "{error}");
    bucket.fail("GetCallerIdentity", Fault::Status(403, "AccessDenied"), 9);
    let error = refused().await;
    assert!(error.starts_with(what) && error.contains("our own account is not known"), "{error}");
    assert_eq!(bucket.calls("CreateBucket"), 0);
}

#[tokio::test]
async fn our_own_account_may_be_set_as_the_owner() {
    let bucket = Bucket::new().missing();
    let settings = s3::Bucket { owner: Some(ACCOUNT.into()), ..aws() };
    assert!(open_as(&bucket, settings, tuning()).prepare().await.unwrap().created);
    assert_eq!(bucket.calls("GetCallerIdentity"), 1);
}

/// It has no STS to be asked, and may call its accounts what it likes.
#[tokio::test]
async fn another_store_makes_the_bucket_whatever_its_accounts_are_called() {
    let bucket = Bucket::new().missing();
    let settings = s3::Bucket { endpoint: settings().endpoint, ..theirs() };
    assert!(open_as(&bucket, settings, tuning()).prepare().await.unwrap().created);
    assert_eq!(bucket.calls("GetCallerIdentity"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_could_not_be_asked_for_is_asked_for_again() {
    for first_is_given_up in [false, true] {
        let bucket = Bucket::new().owned_by(ACCOUNT);
        bucket.fail("GetCallerIdentity", Fault::Silent, 1);
        let s3 = open_as(&bucket, aws(), tuning());
        let seen = || async { s3.head(&key(b"x")).await };
        if first_is_given_up {
            let first = tokio::time::timeout(SECOND, seen()).await;
            assert!(first.is_err(), "it did not wait");
        }
        let refused = seen().await;
        assert!(matches!(refused, Err(StoreError::Denied { .. })), "{refused:?}");
        tokio::time::sleep(30 * SECOND).await;
        assert_eq!(seen().await, refused);
        assert_eq!(bucket.calls("GetCallerIdentity"), 1, "each call asks");

        tokio::time::sleep(31 * SECOND).await;
        bucket.fail("GetCallerIdentity", Fault::Silent, 1);
        let at = tokio::time::Instant::now();
        assert_eq!(seen().await, refused);
        assert!(at.elapsed() < SECOND, "it waited a second time");
        assert_eq!(bucket.calls("GetCallerIdentity"), 2);

        tokio::time::sleep(61 * SECOND).await;
        assert_eq!(seen().await, refused);
        tokio::time::sleep(SECOND).await;
        assert_eq!(seen().await, Ok(None), "the owner is named from now on");
        assert_eq!(bucket.calls("GetCallerIdentity"), 3);
    }
}

/// A HEAD says nothing of why it is refused, and it may be the clock, which the answer puts right.
#[tokio::test]
async fn a_look_that_is_refused_for_a_moment_says_nothing_of_the_owner() {
    let once = || {
        let bucket = Bucket::new().shared_by(ACCOUNT);
        bucket.fail("HeadBucket", Fault::Status(403, ""), 1);
        bucket
    };
    let bucket = once();
    let findings = open_as(&bucket, aws(), tuning()).prepare().await.unwrap().findings;
    assert!(findings.iter().any(|it| it.what.contains("does not block public access")));

    let bucket = once();
    bucket.fail("GetCallerIdentity", Fault::Status(403, "AccessDenied"), 9);
    let findings = open_as(&bucket, aws(), tuning()).prepare().await.unwrap().findings;
    assert!(findings.iter().any(|it| it.what.contains("does not block public access")));

    let bucket = once().missing();
    let made = open_as(&bucket, aws(), tuning()).prepare().await.unwrap();
    assert_eq!(made, Ground { created: true, ..Ground::default() });
}
