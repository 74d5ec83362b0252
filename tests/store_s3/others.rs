//! The server's clock, and who else is at work in the bucket.

use std::time::SystemTime;

use registry_mirror::{
    oci::{Algorithm, Digest, Name, Tag},
    store::BackLink,
};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

#[tokio::test]
async fn the_time_is_the_servers_and_costs_a_call_only_if_none_was_made() {
    let bucket = Bucket::new();
    bucket.advance(30 * DAY);
    let s3 = open(&bucket);
    let expected = SystemTime::now() + 30 * DAY;
    let now = s3.now().await.unwrap();
    assert!(distance(now, expected) < Duration::from_secs(60), "{now:?}");
    assert_eq!(bucket.calls("HeadObject"), 1, "nothing had been heard yet");
    bucket.advance(DAY);
    assert!(!s3.may_hold(Algorithm::Sha512).await.unwrap());
    let now = s3.now().await.unwrap();
    assert!(distance(now, expected + DAY) < Duration::from_secs(60), "{now:?}");
    assert_eq!(bucket.calls("HeadObject"), 1, "any answer tells it");

    let away = open(&bucket);
    bucket.fail("HeadObject", Fault::Refused, 100);
    assert!(matches!(away.now().await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn an_algorithm_that_nobody_uses_costs_one_call() {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    let bytes = content(10);
    Store::put(&s3, &key(&bytes), Payload::Bytes(bytes), &blob()).await.unwrap();
    bucket.reset_calls();
    assert!(s3.may_hold(Algorithm::Sha256).await.unwrap());
    assert!(!s3.may_hold(Algorithm::Sha512).await.unwrap());
    assert_eq!(bucket.calls("ListObjectsV2"), 2);
}

#[tokio::test]
async fn an_old_registry_at_work_is_seen() {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    assert_eq!(s3.other_writer().await.unwrap(), None);
    bucket.put("scheduler-state.json", "{}");
    let scheduled = s3.other_writer().await.unwrap().expect("its list is there");
    assert!(distance(scheduled, SystemTime::now()) < Duration::from_secs(60), "{scheduled:?}");
    bucket.advance(DAY);
    bucket.begin("docker/registry/v2/repositories/library/app/_layers/x");
    assert_eq!(s3.other_writer().await.unwrap(), Some(scheduled), "no upload of content");
    bucket.begin("docker/registry/v2/repositories/library/app/_uploads/1234/data");
    let uploading = s3.other_writer().await.unwrap().unwrap();
    assert!(uploading > scheduled + DAY / 2, "the upload is newer: {uploading:?}");
    bucket.fail("ListMultipartUploads", Fault::Status(403, "AccessDenied"), 1);
    assert_eq!(s3.other_writer().await.unwrap(), Some(scheduled), "what may be seen is enough");
    bucket.fail("ListMultipartUploads", Fault::Status(501, "NotImplemented"), 1);
    assert_eq!(s3.other_writer().await.unwrap(), Some(scheduled), "nor need it know the call");
}

#[tokio::test]
async fn all_uploads_of_an_old_registry_are_looked_at() {
    let bucket = Bucket::new().paged(2);
    let s3 = open(&bucket);
    for number in 0..5 {
        bucket.begin(&format!("docker/registry/v2/repositories/app{number}/_uploads/1/data"));
        bucket.advance(DAY);
    }
    let last = s3.other_writer().await.unwrap().unwrap();
    let expected = SystemTime::now() + 4 * DAY;
    assert!(distance(last, expected) < Duration::from_secs(60), "{last:?}");
    assert_eq!(bucket.calls("ListMultipartUploads"), 3);
}

#[tokio::test]
async fn links_are_those_of_the_old_registry() {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    let name: Name = "library/app".parse().unwrap();
    let tag: Tag = "1".parse().unwrap();
    assert_eq!(s3.tag_link(&name, &tag).await.unwrap(), None);
    let [manifest, blob] = [b"manifest", b"blob1234"].map(|text| Digest::sha256(text));
    bucket.put("scheduler-state.json", "{}");
    let checked = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    let links = [
        BackLink::Blob(name.clone(), blob),
        BackLink::Manifest(name.clone(), manifest),
        BackLink::Tag(name.clone(), tag.clone(), manifest, checked),
    ];
    for _ in 0..2 {
        s3.hand_back(&links).await.unwrap();
        s3.forget_schedule().await.unwrap();
    }
    let base = "docker/registry/v2/repositories/library/app";
    let (m, b) = (manifest.hex(), blob.hex());
    assert_eq!(
        bucket.keys(),
        [
            format!("{base}/_layers/sha256/{b}/link"),
            format!("{base}/_manifests/revisions/sha256/{m}/link"),
            format!("{base}/_manifests/tags/1/current/link"),
            format!("{base}/_manifests/tags/1/index/sha256/{m}/link"),
            "registry-mirror/v1/adopted".into(),
        ]
    );
    for key in bucket.keys().into_iter().filter(|key| key.starts_with(base)) {
        let named = if key.contains("_layers") { blob } else { manifest };
        assert_eq!(bucket.bytes(&key).unwrap(), named.to_string());
    }
    let linked = s3.tag_link(&name, &tag).await.unwrap().unwrap();
    assert_eq!(linked, (manifest, checked), "as old as the check, not as the link");
    let current = format!("{base}/_manifests/tags/1/current/link");
    bucket.put(&current, blob.to_string());
    let (linked, at) = s3.tag_link(&name, &tag).await.unwrap().unwrap();
    assert_eq!(linked, blob);
    assert!(distance(at, SystemTime::now()) < Duration::from_secs(60), "what it wrote: {at:?}");
    assert!(s3.belongs(&name, &blob).await.unwrap() && s3.belongs(&name, &manifest).await.unwrap());
    for garbage in ["", "sha256:1", "md5:abc", &"x".repeat(1000)] {
        bucket.put(&format!("{base}/_manifests/tags/1/current/link"), garbage.to_owned());
        assert_eq!(s3.tag_link(&name, &tag).await.unwrap(), None, "{garbage}");
    }
}
