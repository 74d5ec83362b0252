//! The clean-up of a bucket: what it asks the server, what it survives, what it leaves.

use std::collections::{BTreeMap, HashSet};

use registry_mirror::{
    mirror::{Job, Line, Step, SweepError, Swept},
    oci::Digest,
    settings::Period,
};

use super::{faults::hasty, *};

const HOUR: Duration = Duration::from_secs(3600);
const ALWAYS: usize = usize::MAX;

pub(super) struct Cleaner {
    bucket: Bucket,
    pub(super) mirror: Mirror,
    _directory: tempfile::TempDir,
}

impl Cleaner {
    pub(super) fn of(bucket: &Bucket) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mirror = mirror_on(bucket, hasty(), directory.path(), |parts| {
            let settings = Settings { expire_after: Period(2 * HOUR), ..Settings::default() };
            parts.settings = Arc::new(ArcSwap::from_pointee(settings));
        });
        Self { bucket: bucket.clone(), mirror, _directory: directory }
    }

    pub(super) async fn sweep(&self) -> Result<Swept, SweepError> {
        self.mirror.sweep(&|_: Step| {}).await
    }

    /// A bucket in which all that is unused is marked and may go, beside what is in use: so many of
    /// each.
    pub(super) async fn ready(bucket: &Bucket, each: usize) -> (Self, Vec<Digest>, Vec<Digest>) {
        let cleaner = Self::of(bucket);
        cleaner.sweep().await.unwrap();
        let put = |number: usize| {
            let bytes = content(100 + number);
            bucket.put_marked(&place(&key(&bytes)), bytes.clone());
            Digest::sha256(&bytes)
        };
        let unused: Vec<Digest> = (0..each).map(put).collect();
        let used: Vec<Digest> = (each..2 * each).map(put).collect();
        cleaner.pass(2 * HOUR + Duration::from_secs(1)).await;
        cleaner.touch(&used);
        let swept = cleaner.sweep().await.unwrap();
        assert!(swept.marked > 0 && swept.removed.objects == 0, "{swept:?}");
        cleaner.pass(HOUR).await;
        (cleaner, unused, used)
    }

    /// Lets the server's clock go on, and hears of it.
    pub(super) async fn pass(&self, by: Duration) {
        self.bucket.advance(by);
        self.mirror.parts().far.head(&key(b"nothing")).await.unwrap();
    }

    fn touch(&self, used: &[Digest]) {
        let keys = used.iter().map(|digest| Key { area: Area::Public, digest: *digest });
        self.mirror.usage().touch(keys);
    }

    fn held(&self, digests: &[Digest]) -> usize {
        let keys = digests.iter().map(|digest| Key { area: Area::Public, digest: *digest });
        keys.filter(|key| self.bucket.bytes(&place(key)).is_some()).count()
    }
}

/// Calls that a clean-up makes at least and at most, whatever it finds, with so many batches that
/// remove so much. In a bucket that is known to be a mirror's nothing is looked at for its mark.
fn fixed(is_mirrors: bool, batches: usize, removed: usize) -> BTreeMap<&'static str, usize> {
    // The layout, the lease, the state, the parts; the listings of the parts, of another algorithm, of
    // private content and its use, of reports, of trials, of the layout before; the other registry.
    // Tags are listed only once there may be some that are of no use.
    let calls = [("GetObject", 259), ("ListMultipartUploads", 2)];
    // Whose the content is: at the start with a sample, twice before each batch, for the uploads.
    let (heads, listings) = match is_mirrors {
        true => (3 + 2 * batches, 0),
        false => (2 + 8 + 4 * batches + removed + 2 + 1, 3 + 4 * batches + 2),
    };
    // Before each batch it looks for new reports.
    let listings = 263 + batches + listings;
    calls.into_iter().chain([("HeadObject", heads), ("ListObjectsV2", listings)]).collect()
}

#[tokio::test]
async fn a_clean_up_asks_no_more_than_it_must() {
    for is_mirrors in [true, false] {
        let bucket = Bucket::new();
        if is_mirrors {
            bucket.put("scheduler-state.json", "{}");
            bucket.advance(2 * HOUR);
        }
        let (cleaner, unused, used) = Cleaner::ready(&bucket, 300).await;
        let parts: HashSet<u8> = used.iter().map(|digest| digest.bytes()[0]).collect();
        for number in 0..5 {
            cleaner.touch(&used[number..=number]);
            cleaner.mirror.report_use().await.unwrap();
        }
        bucket.reset_calls();
        let swept = cleaner.sweep().await.unwrap();
        assert_eq!((swept.removed.objects, swept.left.objects), (300, 300));
        assert_eq!((cleaner.held(&unused), cleaner.held(&used)), (0, 300));
        let mut calls = bucket.all_calls();
        let batches = calls.remove("DeleteObjects").unwrap();
        assert!(batches <= 256, "{batches} batches: one for each part that something goes from");
        assert_eq!(calls.remove("DeleteObject"), Some(5), "the reports");
        // The parts of which something is known, the state, and a lease: taken, before each batch,
        // at the end, given up.
        let changed = 5;
        let writes = calls.remove("PutObject").unwrap();
        assert!(writes <= changed + batches + 5, "{writes} writes with {batches} batches");
        *calls.get_mut("GetObject").unwrap() -= 5;
        assert_eq!(calls, fixed(is_mirrors, batches, 300));

        cleaner.pass(HOUR).await;
        bucket.reset_calls();
        cleaner.sweep().await.unwrap();
        let mut calls = bucket.all_calls();
        assert!(calls.remove("PutObject").unwrap() <= 6, "nothing has changed");
        assert_eq!(calls, fixed(is_mirrors, 0, 0));
        assert!(!parts.is_empty());
    }
}

#[tokio::test]
async fn listings_go_on_over_all_pages() {
    let bucket = Bucket::new().paged(2);
    let (cleaner, unused, used) = Cleaner::ready(&bucket, 400).await;
    let swept = cleaner.sweep().await.unwrap();
    assert_eq!((swept.removed.objects, swept.left.objects), (400, 400));
    assert_eq!((cleaner.held(&unused), cleaner.held(&used)), (0, 400));
}

#[tokio::test]
async fn whatever_fails_nothing_in_use_goes_and_the_next_clean_up_does_the_rest() {
    let slow = || Fault::Status(503, "SlowDown");
    for (operation, fault, times) in [
        ("GetObject", Fault::Cut(30), ALWAYS),
        ("GetObject", Fault::Stall(10), 1),
        ("PutObject", slow(), ALWAYS),
        ("PutObject", Fault::Status(412, "PreconditionFailed"), 1),
        ("PutObject", Fault::LostAnswer, 1),
        ("ListObjectsV2", slow(), ALWAYS),
        ("DeleteObjects", Fault::ErrorIn200, ALWAYS),
        ("DeleteObject", Fault::Status(500, "InternalError"), ALWAYS),
        ("DeleteObjects", Fault::LostAnswer, 1),
        ("ListMultipartUploads", Fault::Status(403, "AccessDenied"), ALWAYS),
        ("HeadObject", Fault::Silent, 1),
    ] {
        let bucket = Bucket::new();
        let (cleaner, unused, used) = Cleaner::ready(&bucket, 8).await;
        let what = format!("{operation} {fault:?}");
        cleaner.touch(&used[..1]);
        bucket.fail(operation, fault.clone(), times);
        if let Err(error) = cleaner.sweep().await {
            assert!(!error.to_string().contains(SECRET), "{what}: {error}");
        }
        assert_eq!(cleaner.held(&used), 8, "{what}");
        bucket.heal();
        // A lease whose end nobody heard of ends by itself.
        cleaner.pass(Duration::from_secs(61)).await;
        cleaner.sweep().await.unwrap_or_else(|error| panic!("{what}: then: {error}"));
        assert_eq!((cleaner.held(&unused), cleaner.held(&used[..1])), (0, 1), "{what}");
        let reports = bucket.keys().into_iter().filter(|key| key.contains("/use/reports/"));
        assert_eq!(reports.count(), 0, "{what}: reports are left");
    }
}

#[tokio::test]
async fn an_upload_that_was_killed_is_ended_when_it_is_a_day_old() {
    let bucket = Bucket::new();
    let cleaner = Cleaner::of(&bucket);
    let bytes = content(600_000);
    let uploading = bucket.clone();
    let (whole, size) = (place(&key(&bytes)), bytes.len());
    // It ends in the midst, as far as anybody can tell.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            uploading.fail("UploadPart", Fault::Silent, ALWAYS);
            let s3 = open(&uploading);
            let (key, meta) = (key(&bytes), blob());
            let put = Store::put(&s3, &key, file_payload(&bytes), &meta);
            let begun = async {
                while uploading.calls("UploadPart") < 4 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { _ = put => panic!("{size} bytes went through"), () = begun => {} }
        });
        // Shut down, it might find the time to end its upload.
        std::mem::forget(runtime);
    })
    .join()
    .unwrap();
    bucket.heal();
    assert_eq!(bucket.uploads().len(), 1, "it was not killed");
    assert!(bucket.bytes(&whole).is_none(), "a part of it can be read");
    cleaner.pass(23 * HOUR).await;
    assert_eq!(cleaner.sweep().await.unwrap().uploads, 0, "it may still go on");
    cleaner.pass(HOUR + Duration::from_secs(1)).await;
    assert_eq!(cleaner.sweep().await.unwrap().uploads, 1);
    assert_eq!(bucket.uploads(), [""; 0]);
}

#[tokio::test]
async fn what_is_encrypted_otherwise_is_told() {
    let bucket = Bucket::new();
    let (old, new) = (content(100), content(200));
    for (bytes, sealing) in [(&old, Sealing::Aes256), (&new, Sealing::Kms("ours".into()))] {
        bucket.set_sealing(sealing);
        let payload = Payload::Bytes(bytes.clone());
        Store::put(&open(&bucket), &key(bytes), payload, &blob()).await.unwrap();
    }
    let cleaner = Cleaner::of(&bucket);
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |line: Line| {
        if !matches!(line, Line::Progress { .. }) {
            told.lock().unwrap().push(line);
        }
    };
    cleaner.mirror.run(Job::Verify { image: None }, &tell).await;
    let told = told.into_inner().unwrap();
    let digest = Digest::sha256(&old);
    let what = format!("`{digest}` is kept under encryption `AES256`, not `aws:kms by ours`");
    assert!(told.contains(&Line::Fault { what }), "{told:?}");
    let Some(Line::Done { summary, fine: false }) = told.last() else { panic!("{told:?}") };
    assert!(summary.starts_with("2 objects (300 bytes) read, 0 were wrong, 1 are"), "{summary}");
    assert_eq!(cleaner.held(&[digest]), 1, "it is not damaged");
}

#[tokio::test]
async fn what_cannot_be_cleared_away_stops_nothing() {
    for code in [(503, "SlowDown"), (403, "AccessDenied"), (501, "NotImplemented")] {
        let bucket = Bucket::new();
        let (cleaner, unused, _) = Cleaner::ready(&bucket, 3).await;
        // The first looks for the uploads of another registry.
        bucket.fail_after("ListMultipartUploads", 1, Fault::Status(code.0, code.1), ALWAYS);
        let swept = cleaner.sweep().await.unwrap();
        assert_eq!((swept.removed.objects, swept.uploads), (3, 0), "{code:?}");
        assert_eq!(cleaner.held(&unused), 0);
        let due = swept.due.unwrap();
        let state = bucket.bytes("registry-mirror/v1/sweep/state").unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        let next = state["swept"].as_u64().unwrap() + HOUR.as_secs();
        assert!(clock::to_unix(due) <= next, "the state was not written");
    }
}

#[tokio::test]
async fn an_upload_whose_age_is_not_told_may_go_on() {
    let bucket = Bucket::new().paged(1).terse();
    let cleaner = Cleaner::of(&bucket);
    for key in ["a", "b"] {
        bucket.begin(&format!("registry-mirror/v1/{key}"));
    }
    cleaner.pass(48 * HOUR).await;
    assert_eq!(cleaner.sweep().await.unwrap().uploads, 0);
    assert_eq!(bucket.uploads().len(), 2);
}

/// It never ends what a restart of it cut off.
#[tokio::test]
async fn what_an_old_registry_left_half_received_goes_when_it_is_a_day_old() {
    let bucket = Bucket::new();
    bucket.put("scheduler-state.json", "{}");
    let cleaner = Cleaner::of(&bucket);
    let base = "docker/registry/v2/repositories/library/app";
    bucket.begin(&format!("{base}/_uploads/1234/data"));
    bucket.begin(&format!("{base}/_layers/x"));
    bucket.begin("another/_uploads/1234/data");
    cleaner.pass(23 * HOUR).await;
    assert_eq!(cleaner.sweep().await.unwrap().uploads, 0, "it may still go on");
    cleaner.pass(2 * HOUR).await;
    assert_eq!(cleaner.sweep().await.unwrap().uploads, 1);
    let left = [String::from("another/_uploads/1234/data"), format!("{base}/_layers/x")];
    assert_eq!(bucket.uploads(), left);
}

#[tokio::test]
async fn what_a_trial_left_behind_goes_when_it_is_a_day_old() {
    let bucket = Bucket::new();
    let cleaner = Cleaner::of(&bucket);
    let left = |name: &str| format!("registry-mirror/v1/probe/{name}");
    bucket.put(&left("old-race"), "x");
    cleaner.pass(24 * HOUR).await;
    bucket.put(&left("new-race"), "x");
    cleaner.pass(Duration::from_secs(5)).await;
    cleaner.sweep().await.unwrap();
    let probes: Vec<_> = bucket.keys().into_iter().filter(|key| key.contains("/probe/")).collect();
    assert_eq!(probes, [left("new-race")]);
}

#[tokio::test]
async fn what_the_bucket_refuses_to_remove_stays_alone() {
    for code in ["AccessDenied", "InternalError"] {
        let bucket = Bucket::new();
        let (cleaner, unused, used) = Cleaner::ready(&bucket, 40).await;
        let key = Key { area: Area::Public, digest: unused[7] };
        bucket.keep(&place(&key), code);
        let swept = cleaner.sweep().await.unwrap();
        assert_eq!((swept.removed.objects, swept.refused, swept.left.objects), (39, 1, 41));
        assert_eq!((cleaner.held(&unused), cleaner.held(&used)), (1, 40), "{code}");
        bucket.heal();
        cleaner.pass(HOUR).await;
        assert_eq!(cleaner.sweep().await.unwrap().removed.objects, 1, "it is tried again");
    }
}
