//! Pulls through a mirror whose store is a bucket: what they ask of it, and that none of its faults
//! costs one (promise 5).

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use registry_mirror::{
    mirror::{Blob, Job, Line, Want},
    oci::{Name, Reference},
    store::fs::Fs,
    upstream::UpstreamError,
};

use super::{faults::hasty, *};

const ALWAYS: usize = usize::MAX;
/// Long enough for anything that ends at all.
const LONG: Duration = Duration::from_secs(60);
const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn app() -> Name {
    "acme/app".parse().unwrap()
}

/// A node of its own before the bucket.
struct Puller {
    mirror: Mirror,
    _directory: tempfile::TempDir,
}

impl Puller {
    /// With copies on its disk, or without.
    fn new(bucket: &Bucket, script: &Arc<Script>, near: bool, settings: Settings) -> Self {
        Self::with(hasty(), bucket, script, near, settings)
    }

    fn with(
        tuning: Tuning,
        bucket: &Bucket,
        script: &Arc<Script>,
        near: bool,
        settings: Settings,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = || Fs::open(directory.path().join("near"), Handle::current()).unwrap();
        let near = near.then(|| Arc::new(open()) as Arc<dyn Store>);
        let mirror = mirror_on(bucket, tuning, directory.path(), |parts| {
            parts.near = near;
            parts.upstream = script.clone();
            parts.settings = Arc::new(ArcSwap::from_pointee(settings));
        });
        Self { mirror, _directory: directory }
    }

    async fn blob(&self, bytes: &Bytes) -> Blob {
        self.mirror.blob(&app(), &key(bytes).digest, None, Want::Body).await.unwrap()
    }

    /// Pulls a blob, which must be whole and right.
    async fn pull(&self, bytes: &Bytes) {
        let mut body = self.blob(bytes).await.body.expect("a body");
        let mut got = Vec::new();
        while let Some(chunk) = body.next().await {
            got.extend_from_slice(&chunk.expect("it is cut off"));
        }
        assert!(got == *bytes, "{} bytes of {}, or others", got.len(), bytes.len());
    }

    async fn manifest(&self, tag: &str) {
        let tag = Reference::Tag(tag.parse().unwrap());
        self.mirror.manifest(&app(), &tag, Want::Body).await.unwrap();
    }
}

fn script(blobs: &[&Bytes]) -> Arc<Script> {
    let script = Arc::<Script>::default();
    for bytes in blobs {
        script.blob("acme/app", (*bytes).clone());
    }
    script.manifest("acme/app", "1", TYPE, r#"{"layers":[]}"#);
    script
}

/// Puts it there as a mirror did.
async fn keep(bucket: &Bucket, bytes: &Bytes) {
    Store::put(&open(bucket), &key(bytes), file_payload(bytes), &blob()).await.unwrap();
}

fn counted<const N: usize>(calls: [(&'static str, usize); N]) -> BTreeMap<&'static str, usize> {
    calls.into_iter().collect()
}

#[tokio::test]
async fn each_way_of_a_blob_asks_the_bucket_no_more_than_it_must() {
    let bucket = Bucket::new();
    let (first, small, large) = (content(10), content(1000), content(600_000));
    let script = script(&[&first, &small, &large]);
    let node = Puller::new(&bucket, &script, true, Settings::default());
    let pulled = async |node: &Puller, bytes: &Bytes| {
        bucket.reset_calls();
        node.pull(bytes).await;
        node.mirror.idle().await;
        bucket.all_calls()
    };
    // Whether the repository is public is a matter of its own.
    pulled(&node, &first).await;
    let calls = [("GetObject", 1), ("PutObject", 1)];
    assert_eq!(pulled(&node, &small).await, counted(calls), "a fill");
    let calls = [
        ("GetObject", 1),
        ("CreateMultipartUpload", 1),
        ("UploadPart", 5),
        ("CompleteMultipartUpload", 1),
    ];
    assert_eq!(pulled(&node, &large).await, counted(calls), "a fill in parts");
    for bytes in [&small, &large] {
        assert_eq!(pulled(&node, bytes).await, counted([]), "on the disk");
    }
    for near in [true, false] {
        let other = Puller::new(&bucket, &script, near, Settings::default());
        pulled(&other, &first).await;
        for bytes in [&small, &large] {
            let calls = pulled(&other, bytes).await;
            assert_eq!(calls, counted([("GetObject", 1)]), "in the bucket, copies: {near}");
        }
    }
    let crowd = Puller::new(&bucket, &script, true, Settings::default());
    pulled(&crowd, &first).await;
    bucket.reset_calls();
    futures_util::future::join_all((0..64).map(|_| crowd.pull(&large))).await;
    assert_eq!(bucket.all_calls(), counted([("GetObject", 1)]), "64 clients at once");
}

/// Each fault of the bucket that a pull may meet, and where.
fn faults() -> Vec<(&'static str, Fault)> {
    let refusals = || {
        [
            Fault::Status(500, "InternalError"),
            Fault::Status(503, "SlowDown"),
            Fault::Status(403, "AccessDenied"),
            Fault::Status(403, "RequestTimeTooSkewed"),
            Fault::Status(400, "KMS.DisabledException"),
            Fault::Status(409, "ConditionalRequestConflict"),
            Fault::Status(412, "PreconditionFailed"),
            Fault::ErrorIn200,
            Fault::Refused,
            Fault::Silent,
        ]
    };
    let bodies = [Fault::Cut(70_000), Fault::Short(70_000), Fault::Stall(70_000)];
    let mut faults: Vec<_> = bodies.map(|fault| ("GetObject", fault)).into();
    for operation in
        ["GetObject", "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]
    {
        faults.extend(refusals().map(|fault| (operation, fault)));
        if operation != "GetObject" {
            faults.push((operation, Fault::LostAnswer));
        }
    }
    faults.extend(refusals().map(|fault| ("*", fault)));
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_the_bucket_costs_a_pull() {
    let mut trials = tokio::task::JoinSet::new();
    for (operation, fault) in faults() {
        for near in [true, false] {
            let fault = fault.clone();
            trials.spawn(async move {
                let bucket = Bucket::new();
                let (kept, fresh, large) = (content(300_000), content(1000), content(600_000));
                let script = script(&[&kept, &fresh, &large]);
                keep(&bucket, &kept).await;
                let node = Puller::new(&bucket, &script, near, Settings::default());
                bucket.fail(operation, fault.clone(), ALWAYS);
                let what = format!("{operation} {fault:?}, copies: {near}");
                let pulls = async {
                    node.manifest("1").await;
                    for bytes in [&kept, &fresh, &large, &kept] {
                        node.pull(bytes).await;
                    }
                };
                tokio::time::timeout(LONG, pulls).await.expect(&what);
                bucket.heal();
                what
            });
        }
    }
    let mut failed = Vec::new();
    while let Some(ended) = trials.join_next().await {
        failed.extend(ended.err().map(|error| error.to_string()));
    }
    assert_eq!(failed, [""; 0]);
}

/// The same while the Hub is away, for what passes: what is in the bucket is served from there.
#[tokio::test]
async fn a_fault_that_passes_costs_nothing_while_the_hub_is_away() {
    for fault in [
        Fault::Status(500, "InternalError"),
        Fault::Status(503, "SlowDown"),
        Fault::Status(403, "RequestTimeTooSkewed"),
        Fault::Refused,
        Fault::Cut(70_000),
        Fault::Short(70_000),
        Fault::Stall(70_000),
    ] {
        for near in [true, false] {
            let bucket = Bucket::new();
            let (kept, other) = (content(300_000), content(10));
            let script = script(&[&kept, &other]);
            keep(&bucket, &kept).await;
            // Nobody else can step in, so a slow machine must not look like a bucket that is away.
            let stall = Duration::from_secs(if fault == Fault::Stall(70_000) { 1 } else { 20 });
            let tuning = Tuning { stall, ..tuning() };
            let node = Puller::with(tuning, &bucket, &script, near, Settings::default());
            node.pull(&other).await;
            if fault == Fault::Status(403, "RequestTimeTooSkewed") {
                bucket.advance(Duration::from_secs(1200));
            }
            script.fail(Some(UpstreamError::passing("away")));
            bucket.fail("GetObject", fault.clone(), 1);
            tokio::time::timeout(LONG, node.pull(&kept))
                .await
                .unwrap_or_else(|_| panic!("{fault:?}, copies: {near}"));
        }
    }
}

/// It has a second chance, from where it broke off, and no third.
#[tokio::test]
async fn a_body_that_breaks_twice_costs_two_calls() {
    for near in [true, false] {
        let bucket = Bucket::new();
        let (kept, other) = (content(300_000), content(10));
        let script = script(&[&kept, &other]);
        keep(&bucket, &kept).await;
        let node = Puller::new(&bucket, &script, near, Settings::default());
        node.pull(&other).await;
        node.mirror.idle().await;
        bucket.fail("GetObject", Fault::Cut(70_000), ALWAYS);
        bucket.reset_calls();
        node.pull(&kept).await;
        assert_eq!(bucket.calls("GetObject"), 2, "copies: {near}");
    }
}

/// Its key is disabled for good, or not ours to use any more: it is fetched anew, put under the key
/// of today, and nothing else suffers.
#[tokio::test]
async fn what_cannot_be_decrypted_is_replaced_and_stops_nothing_else() {
    for fault in [Fault::Status(400, "KMS.DisabledException"), Fault::Status(403, "AccessDenied")] {
        let bucket = Bucket::new().sealing(Sealing::Kms("former".into()));
        let (old, other, first) = (content(1000), content(2000), content(10));
        let script = script(&[&old, &other, &first]);
        for bytes in [&old, &other] {
            keep(&bucket, bytes).await;
        }
        bucket.set_sealing(Sealing::Kms("current".into()));
        let node = Puller::new(&bucket, &script, true, Settings::default());
        node.pull(&first).await;
        node.mirror.idle().await;
        let asked = || script.asked.blobs.load(std::sync::atomic::Ordering::SeqCst);
        let before = asked();
        bucket.fail("GetObject", fault.clone(), 1);
        node.pull(&old).await;
        assert_eq!(asked() - before, 1, "{fault:?}");
        node.pull(&other).await;
        assert_eq!(asked() - before, 1, "{fault:?}: the whole bucket was passed over");
        node.mirror.idle().await;
        let (_, by) = bucket.sealed(&place(&key(&old))).unwrap();
        assert_eq!(by.unwrap().0, "current", "{fault:?}: it was left as it is");
    }
}

/// Nothing new is cached, so that no upload shows it.
#[tokio::test]
async fn a_key_disabled_while_nothing_is_uploaded_is_noticed() {
    let bucket = Bucket::new();
    let (kept, other) = (content(1000), content(2000));
    let script = script(&[&kept, &other]);
    let settings = Settings { blob_redirect: true, ..Settings::default() };
    let node = Puller::new(&bucket, &script, true, settings);
    for bytes in [&kept, &other] {
        node.pull(bytes).await;
        node.mirror.idle().await;
    }
    bucket.advance(Duration::from_secs(120));
    node.mirror.run(Job::Verify { image: None }, &|_: Line| {}).await;
    assert!(node.blob(&kept).await.link.is_some());
    let disabled = Fault::Status(400, "KMS.DisabledException");
    bucket.fail("GetObject", disabled.clone(), ALWAYS);
    bucket.fail("PutObject", disabled, ALWAYS);
    assert!(node.blob(&kept).await.link.is_none(), "a client is sent to what it cannot read");
    assert_eq!(node.mirror.health().store, None);
    node.mirror.report_use().await.unwrap_err();
    let why = node.mirror.health().store.expect("nobody is told");
    assert!(why.contains("KMS.DisabledException"), "{why}");
}

/// Content is not what shows whether the bucket encrypts.
#[tokio::test]
async fn nothing_is_entrusted_to_a_bucket_that_was_not_tried() {
    let bucket = Bucket::new();
    let (first, bytes) = (content(10), content(600_000));
    let script = script(&[&first, &bytes]);
    let node = Puller::new(&bucket, &script, true, Settings::default());
    node.pull(&first).await;
    node.mirror.idle().await;
    bucket.set_sealing(Sealing::Never);
    // It finds written down that the repository is public, so that it has nothing else to write.
    let node = Puller::new(&bucket, &script, true, Settings::default());
    bucket.reset_calls();
    node.pull(&bytes).await;
    node.mirror.idle().await;
    let begun = bucket.calls("CreateMultipartUpload");
    assert_eq!(begun, 0, "it was written before anything was known");
    assert!(node.mirror.health().store.is_some());
}

/// Its answers to writes are right, so that the other nodes have something of it.
#[tokio::test]
async fn a_bucket_that_gives_strange_answers_to_reads_is_filled() {
    let bucket = Bucket::new();
    let bytes = content(1000);
    let script = script(&[&bytes]);
    bucket.fail("GetObject", Fault::ErrorIn200, ALWAYS);
    let node = Puller::new(&bucket, &script, true, Settings::default());
    node.pull(&bytes).await;
    node.mirror.idle().await;
    assert!(bucket.bytes(&place(&key(&bytes))).is_some(), "{:?}", node.mirror.health().store);
}

/// What lies there was never hashed; what comes from the Hub is.
#[tokio::test]
async fn what_another_program_left_becomes_ours_when_it_is_fetched() {
    let (bucket, store) = store().await;
    let bytes = content(1000);
    let mut damaged = bytes.to_vec();
    damaged[999] ^= 1;
    bucket.put("scheduler-state.json", "{}");
    bucket.put(&place(&key(&bytes)), damaged);
    let put = store.put(&key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(put, Ok(Put::Stored));
    assert!(bucket.bytes(&place(&key(&bytes))).unwrap() == bytes);
    assert!(store.head(&key(&bytes)).await.unwrap().unwrap().meta.verified);
    let again = store.put(&key(&bytes), file_payload(&bytes), &blob()).await;
    assert_eq!(again, Ok(Put::AlreadyThere));
}

#[tokio::test]
async fn nobody_is_sent_to_what_may_not_be_readable() {
    let bucket = Bucket::new().sealing(Sealing::Kms("former".into()));
    let (old, new) = (content(1000), content(2000));
    let script = script(&[&old, &new]);
    keep(&bucket, &old).await;
    bucket.set_sealing(Sealing::Kms("current".into()));
    keep(&bucket, &new).await;
    bucket.advance(Duration::from_secs(120));
    let settings = Settings { blob_redirect: true, ..Settings::default() };
    let node = Puller::new(&bucket, &script, false, settings);
    // It tries what the bucket does now.
    node.mirror.run(Job::Verify { image: None }, &|_: Line| {}).await;
    assert!(node.blob(&new).await.link.is_some());
    assert!(node.blob(&old).await.link.is_none(), "it is under a key that may be gone");
    node.pull(&old).await;

    bucket.fail("PutObject", Fault::Status(400, "KMS.DisabledException"), ALWAYS);
    let fresh = content(3000);
    script.blob("acme/app", fresh.clone());
    node.pull(&fresh).await;
    node.mirror.idle().await;
    assert!(node.blob(&new).await.link.is_none(), "the key is disabled, as far as is known");
}

/// An address that is signed by a clock that is behind would be worth nothing.
#[tokio::test]
async fn an_address_is_good_from_now_on_by_the_clock_of_the_server() {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    bucket.advance(Duration::from_secs(7 * 86_400));
    s3.head(&key(b"x")).await.unwrap();
    let link = Store::link(&s3, &key(b"x")).await.unwrap().unwrap();
    let (_, date) = link.expose().split_once("X-Amz-Date=").unwrap();
    let soonest = std::time::SystemTime::now() + Duration::from_secs(7 * 86_400 - 60);
    let soonest = aws_smithy_types::DateTime::from(soonest);
    let soonest = soonest.fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
    let digits =
        |text: &str| text.chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    assert!(digits(date) >= digits(&soonest), "{date} is before {soonest}");
}
