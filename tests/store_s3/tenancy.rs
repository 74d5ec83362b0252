//! Buckets that host a registry's images: nothing of theirs is read, written or removed, whoever
//! came first and however the registry keeps them (goharbor/harbor#5006).

use std::collections::BTreeMap;

use registry_mirror::{
    mirror::{HeldBack, Image, Job, Line},
    oci::{Algorithm, Digest, Name, Tag},
    store::{BackLink, Shard, StrayUpload, Tenancy},
};

use super::{sweep::Cleaner, *};

const HOUR: Duration = Duration::from_secs(3600);
const ROOT: &str = "docker/registry/v2";

/// Ways in which a registry shows that it hosts images.
#[derive(Clone, Copy, Debug)]
enum Shows {
    /// Links of repositories, as distribution and Harbor keep them.
    Links,
    /// Locks alone, as GitLab's registry keeps them while it migrates.
    Locks,
    /// Nothing but content, as GitLab's registry with a metadata database.
    Content,
}

const ALL: [Shows; 3] = [Shows::Links, Shows::Locks, Shows::Content];

/// Something that a registry hosts.
struct Hosted {
    layer: Bytes,
    /// Everything that must stay as it is.
    before: BTreeMap<String, Bytes>,
}

impl Hosted {
    /// An image in the bucket, and a stranger's objects beside it.
    fn push(bucket: &Bucket, shows: Shows) -> Self {
        let (layer, manifest) = (content(5000), content(700));
        let mut keys = Vec::new();
        let mut put = |key: String, bytes: Bytes| {
            bucket.put(&key, bytes);
            keys.push(key);
        };
        for bytes in [&layer, &manifest] {
            put(place(&key(bytes)), bytes.clone());
        }
        let digest = key(&manifest).digest;
        // The first of all, so that a sample of few shows it.
        put(format!("{ROOT}/blobs/sha256/00/{}/data", "0".repeat(64)), "theirs".into());
        match shows {
            Shows::Links => {
                let tag = format!("{ROOT}/repositories/acme/app/_manifests/tags/1/current/link");
                put(tag, digest.to_string().into());
                let hex = key(&layer).digest.hex();
                let link = format!("{ROOT}/repositories/acme/app/_layers/sha256/{hex}/link");
                put(link, key(&layer).digest.to_string().into());
            }
            Shows::Locks => put("docker/registry/lockfiles/database-in-use".into(), "x".into()),
            Shows::Content => {}
        }
        for other in
            ["backups/db.dump", "docker/other", "registry-mirror/v2/x", "docker/registry/v3/x"]
        {
            put(other.into(), "a stranger's".into());
        }
        bucket.begin(&format!("{ROOT}/repositories/acme/app/_uploads/1/data"));
        bucket.begin(&place(&key(b"being copied")));
        let bytes = |key: String| (key.clone(), bucket.bytes(&key).unwrap());
        Self { layer, before: keys.into_iter().map(bytes).collect() }
    }

    /// All of it is there, and nothing was added to it.
    fn is_untouched(&self, bucket: &Bucket, what: &str) {
        for (key, bytes) in &self.before {
            assert_eq!(bucket.bytes(key).as_ref(), Some(bytes), "{what}: {key}");
        }
        let ours =
            |key: &String| key.starts_with("registry-mirror/v1/") || self.before.contains_key(key);
        let added: Vec<_> = bucket.keys().into_iter().filter(|key| !ours(key)).collect();
        assert_eq!(added, [""; 0], "{what}");
        assert_eq!(bucket.uploads().len(), 2, "{what}: its uploads");
    }
}

fn is_hosted<T: std::fmt::Debug>(result: Result<T, StoreError>, what: &str) {
    match result {
        Err(error @ StoreError::Hosted { .. }) => {
            assert!(error.hint().unwrap().contains("registry_mirror_bucket_prefix"));
            assert!(!error.retryable());
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn no_call_of_the_store_touches_what_a_registry_hosts() {
    for shows in ALL {
        let bucket = Bucket::new();
        let hosted = Hosted::push(&bucket, shows);
        let s3 = open(&bucket);
        let what = format!("{shows:?}");
        assert!(matches!(s3.tenancy().await, Ok(Tenancy::Registry { .. })), "{what}");
        let (layer, new) = (key(&hosted.layer), content(3000));
        assert_eq!(s3.head(&layer).await, Ok(None), "{what}");
        assert!(Store::get(&s3, &layer, None).await.unwrap().is_none(), "{what}");
        assert!(Store::get(&s3, &layer, Some(0..10)).await.unwrap().is_none(), "{what}");
        assert_eq!(Store::link(&s3, &layer).await, Ok(None), "{what}");
        is_hosted(Store::put(&s3, &key(&new), file_payload(&new), &blob()).await, &what);
        is_hosted(Store::put(&s3, &layer, file_payload(&new), &blob()).await, &what);
        is_hosted(s3.replace(&layer, file_payload(&hosted.layer), &blob()).await, &what);
        is_hosted(
            Store::remove(&s3, std::slice::from_ref(&layer)).await.map_err(StoreError::from),
            &what,
        );
        let absent = Store::remove(&s3, &[key(b"absent"), layer.clone()]).await;
        is_hosted(absent.map_err(StoreError::from), &what);
        let (name, tag): (Name, Tag) = ("acme/app".parse().unwrap(), "1".parse().unwrap());
        assert_eq!(s3.belongs(&name, &layer.digest).await, Ok(false), "{what}");
        assert_eq!(s3.tag_link(&name, &tag).await, Ok(None), "{what}");
        let link = BackLink::Blob(name, layer.digest);
        is_hosted(s3.hand_back(&[link]).await, &what);
        is_hosted(s3.forget_schedule().await, &what);
        let first = layer.digest.bytes()[0];
        let shard = Shard { algorithm: Algorithm::Sha256, first };
        assert_eq!(
            Store::list(&s3, &Area::Public, shard, None).await.unwrap().entries,
            [],
            "{what}"
        );
        bucket.advance(48 * HOUR);
        assert_eq!(s3.stray_uploads(None).await.unwrap().entries, [], "{what}");
        for upload in bucket.uploads() {
            let id = format!("1 {upload}");
            let begun = std::time::SystemTime::UNIX_EPOCH;
            assert!(s3.abort(&StrayUpload { id, begun }).await.is_err(), "{what}");
        }
        // Trials, records and private content lie where no registry looks.
        assert!(s3.probe().await.is_ok(), "{what}");
        assert!(Records::put(&s3, "a/b", "v".into(), When::Always).await.is_ok(), "{what}");
        let area = Area::Private("acme/secret".parse().unwrap());
        let private = Key { area, ..key(&new) };
        let stored = Store::put(&s3, &private, file_payload(&new), &blob()).await;
        assert_eq!(stored, Ok(Put::Stored), "{what}");
        assert_eq!(read_found(Store::get(&s3, &private, None).await).await, new, "{what}");
        assert_eq!(Store::remove(&s3, &[private]).await, Ok(()), "{what}");
        hosted.is_untouched(&bucket, &what);
    }
}

/// Nobody has looked yet, and the first call is the one that would do harm.
#[tokio::test]
async fn the_first_call_looks_first() {
    for shows in ALL {
        let bucket = Bucket::new();
        let hosted = Hosted::push(&bucket, shows);
        let (what, layer) = (format!("{shows:?}"), key(&hosted.layer));
        assert!(Store::get(&open(&bucket), &layer, None).await.unwrap().is_none(), "{what}");
        let replaced = open(&bucket).replace(&layer, file_payload(&hosted.layer), &blob()).await;
        is_hosted(replaced, &what);
        let put = Store::put(&open(&bucket), &layer, file_payload(&hosted.layer), &blob()).await;
        is_hosted(put, &what);
        let removed = Store::remove(&open(&bucket), &[layer]).await;
        is_hosted(removed.map_err(StoreError::from), &what);
        is_hosted(open(&bucket).forget_schedule().await, &what);
        hosted.is_untouched(&bucket, &what);
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_not_removed_nor_replaced() {
    for fault in [Fault::Status(403, "AccessDenied"), Fault::Status(503, "SlowDown"), Fault::Silent]
    {
        let bucket = Bucket::new();
        let (ours, theirs) = (content(1000), content(2000));
        let s3 = open_as(&bucket, settings(), faults::hasty());
        Store::put(&s3, &key(&ours), file_payload(&ours), &blob()).await.unwrap();
        bucket.put(&place(&key(&theirs)), theirs.clone());
        bucket.fail("ListObjectsV2", fault.clone(), usize::MAX);
        for s3 in [s3, open_as(&bucket, settings(), faults::hasty())] {
            // What bears our mark is served: it came from a public repository.
            assert_eq!(read_found(Store::get(&s3, &key(&ours), None).await).await, ours);
            assert!(Store::get(&s3, &key(&theirs), None).await.unwrap().is_none(), "{fault:?}");
            assert!(Store::remove(&s3, &[key(&ours)]).await.is_err(), "{fault:?}");
            assert!(Store::remove(&s3, &[key(&theirs)]).await.is_err(), "{fault:?}");
            let replaced = s3.replace(&key(&ours), file_payload(&ours), &blob()).await;
            assert!(replaced.is_err(), "{fault:?}: {replaced:?}");
            let put = Store::put(&s3, &key(&theirs), file_payload(&theirs), &blob()).await;
            assert!(put.is_err(), "{fault:?}: {put:?}");
            let new = content(300);
            assert_eq!(
                Store::put(&s3, &key(&new), file_payload(&new), &blob()).await,
                Ok(Put::Stored)
            );
        }
        assert_eq!(bucket.bytes(&place(&key(&theirs))), Some(theirs), "{fault:?}");
        assert!(bucket.metadata(&place(&key(&ours))).unwrap().contains_key("verified"));
    }
}

#[tokio::test]
async fn a_mirrors_bucket_is_known_by_its_schedule_or_by_our_word() {
    let bucket = Bucket::new();
    Hosted::push(&bucket, Shows::Links);
    bucket.put("scheduler-state.json", "{}");
    assert_eq!(open(&bucket).tenancy().await, Ok(Tenancy::Mirror));
    bucket.take("scheduler-state.json");
    assert!(matches!(open(&bucket).tenancy().await, Ok(Tenancy::Registry { .. })));
    let s3 = open(&bucket);
    s3.adopt("node-1").await.unwrap();
    assert_eq!(s3.tenancy().await, Ok(Tenancy::Mirror));
    assert_eq!(open(&bucket).tenancy().await, Ok(Tenancy::Mirror), "on every node");
    bucket.take("registry-mirror/v1/adopted");
    // That of another prefix says nothing of this one.
    bucket.put("elsewhere/registry-mirror/v1/adopted", "{}");
    bucket.put("elsewhere/scheduler-state.json", "{}");
    assert!(matches!(s3.tenancy().await, Ok(Tenancy::Registry { .. })));
    assert_eq!(open(&Bucket::new()).tenancy().await, Ok(Tenancy::Unclaimed));
    // The record of the layout, which every node writes, is no such word.
    let bucket = Bucket::new();
    Hosted::push(&bucket, Shows::Content);
    bucket.put("registry-mirror/v1/layout", "{}");
    assert!(matches!(open(&bucket).tenancy().await, Ok(Tenancy::Registry { .. })));
}

#[tokio::test]
async fn a_bucket_of_our_own_is_used_and_cleaned_without_a_word() {
    let (bucket, store) = store().await;
    let bytes = content(1000);
    store.put(&key(&bytes), file_payload(&bytes), &blob()).await.unwrap();
    assert_eq!(store.tenancy().await, Ok(Tenancy::Unclaimed));
    assert_eq!(read_found(store.get(&key(&bytes), None).await).await, bytes);
    assert_eq!(store.remove(&[key(&bytes)]).await, Ok(()));
    assert_eq!(bucket.keys(), [""; 0]);
}

#[tokio::test]
async fn the_way_back_and_again_needs_no_word() {
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    let bytes = content(1000);
    Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await.unwrap();
    let link = BackLink::Blob("library/app".parse().unwrap(), key(&bytes).digest);
    // It dies after the first of its links.
    bucket.fail_after("PutObject", 2, Fault::Refused, usize::MAX);
    let _ = s3.hand_back(std::slice::from_ref(&link)).await;
    bucket.heal();
    assert_eq!(open(&bucket).tenancy().await, Ok(Tenancy::Mirror), "killed in the midst of it");
    s3.hand_back(&[link]).await.unwrap();
    s3.forget_schedule().await.unwrap();
    for s3 in [s3, open(&bucket)] {
        assert_eq!(s3.tenancy().await, Ok(Tenancy::Mirror));
        assert_eq!(read_found(Store::get(&s3, &key(&bytes), None).await).await, bytes);
    }
    // Where a registry with a database keeps content that no sample shows, it is no way back.
    let bucket = Bucket::new();
    let s3 = open(&bucket);
    for number in 0..40_u32 {
        let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
        Store::put(&s3, &key(&bytes), Payload::Bytes(bytes), &blob()).await.unwrap();
    }
    let last = format!("{ROOT}/blobs/sha256/ff/{}/data", "f".repeat(64));
    bucket.put(&last, "x");
    assert_eq!(s3.tenancy().await, Ok(Tenancy::Unclaimed), "the sample shows it");
    let link = BackLink::Blob("library/app".parse().unwrap(), Digest::sha256(b"x"));
    is_hosted(s3.hand_back(&[link]).await, "the way back");
    assert!(bucket.bytes("registry-mirror/v1/adopted").is_none());
    assert!(bucket.bytes(&last).is_some());
}

fn lines(told: std::sync::Mutex<Vec<Line>>) -> Vec<Line> {
    let told = told.into_inner().unwrap();
    told.into_iter().filter(|line| !matches!(line, Line::Progress { .. })).collect()
}

async fn run(cleaner: &Cleaner, job: Job) -> Vec<Line> {
    let told = std::sync::Mutex::new(Vec::new());
    cleaner.mirror.run(job, &|line| told.lock().unwrap().push(line)).await;
    lines(told)
}

fn says_so(lines: &[Line]) -> bool {
    lines.iter().any(|line| matches!(line, Line::Fault { what } if what.contains("bucket_prefix")))
}

#[tokio::test]
async fn no_job_and_no_clean_up_touches_what_a_registry_hosts() {
    // The registry was first; or the mirror was, and had filled and marked what may go.
    let cases = ALL.map(|shows| (shows, true)).into_iter().chain([(Shows::Links, false)]);
    for (shows, is_first) in cases {
        let what = format!("{shows:?}, first: {is_first}");
        let bucket = Bucket::new();
        let (cleaner, hosted) = if is_first {
            let hosted = Hosted::push(&bucket, shows);
            (Cleaner::of(&bucket), hosted)
        } else {
            let (cleaner, ..) = Cleaner::ready(&bucket, 20).await;
            let mut hosted = Hosted::push(&bucket, shows);
            let all = bucket.keys().into_iter().filter(|key| key.starts_with("docker/"));
            hosted.before.extend(all.map(|key| (key.clone(), bucket.bytes(&key).unwrap())));
            (cleaner, hosted)
        };
        for _ in 0..2 {
            let swept = cleaner.sweep().await.unwrap();
            assert!(matches!(swept.held_back, Some(HeldBack::Hosted(_))), "{what}: {swept:?}");
            assert_eq!((swept.removed.objects, swept.uploads), (0, 0), "{what}");
            cleaner.pass(3 * HOUR).await;
        }
        let digest = key(&hosted.layer).digest.to_string();
        let images: Vec<Image> = vec![digest.parse().unwrap(), "acme/app".parse().unwrap()];
        for job in [
            Job::Usage,
            Job::List { image: None },
            Job::Verify { image: None },
            Job::Verify { image: Some(images[0].clone()) },
            Job::Purge { images: images.clone(), dry_run: true },
            Job::Purge { images: images.clone(), dry_run: false },
            Job::Clean { dry_run: true },
            Job::HandBack,
        ] {
            let lines = run(&cleaner, job.clone()).await;
            assert!(says_so(&lines), "{what}, {job:?}: {lines:?}");
            let gone = lines.iter().any(|line| matches!(line, Line::Gone { .. }));
            assert!(!gone, "{what}, {job:?}: {lines:?}");
        }
        let why = cleaner.mirror.health().store.expect("it says nothing");
        assert!(why.contains("hosts"), "{what}: {why}");
        hosted.is_untouched(&bucket, &what);
    }
}

/// GitLab's registry with a database: the sample shows our content alone, the candidates do not.
#[tokio::test]
async fn a_candidate_that_no_mirror_wrote_stops_the_removal() {
    let bucket = Bucket::new();
    let (cleaner, ..) = Cleaner::ready(&bucket, 40).await;
    let theirs = format!("{ROOT}/blobs/sha256/ff/{}/data", "f".repeat(64));
    bucket.put(&theirs, "theirs");
    // A restart forgets what was seen; the next clean-up meets it again.
    for cleaner in [cleaner, Cleaner::of(&bucket)] {
        let mut is_held_back = false;
        for _ in 0..6 {
            cleaner.pass(HOUR).await;
            let swept = cleaner.sweep().await.unwrap();
            is_held_back |= matches!(swept.held_back, Some(HeldBack::Hosted(_)));
            assert!(bucket.bytes(&theirs).is_some());
        }
        assert!(is_held_back, "it was never a candidate");
    }
}

#[tokio::test]
async fn what_is_adopted_has_its_full_time() {
    let bucket = Bucket::new();
    let hosted = Hosted::push(&bucket, Shows::Links);
    let cleaner = Cleaner::of(&bucket);
    for _ in 0..3 {
        cleaner.sweep().await.unwrap();
        cleaner.pass(3 * HOUR).await;
    }
    let lines = run(&cleaner, Job::Adopt).await;
    assert!(matches!(lines.last(), Some(Line::Done { fine: true, .. })), "{lines:?}");
    assert_eq!(cleaner.mirror.health().store, None);
    assert!(!says_so(&run(&cleaner, Job::Usage).await));
    for minutes in [0, 30, 60] {
        cleaner.pass(Duration::from_secs(minutes * 60)).await;
        let swept = cleaner.sweep().await.unwrap();
        assert_eq!((swept.held_back, swept.removed.objects), (None, 0));
    }
    assert!(Store::get(&open(&bucket), &key(&hosted.layer), None).await.unwrap().is_some());
    for _ in 0..3 {
        cleaner.pass(3 * HOUR).await;
        cleaner.sweep().await.unwrap();
    }
    assert!(bucket.bytes(&place(&key(&hosted.layer))).is_none(), "then it goes as anything does");
    assert!(bucket.bytes("backups/db.dump").is_some());
}

#[tokio::test]
async fn below_a_prefix_of_its_own_the_mirror_works_beside_a_registry() {
    for prefix in ["mirrors/docker-hub", "/mirrors/docker-hub/"] {
        let bucket = Bucket::new();
        let hosted = Hosted::push(&bucket, Shows::Links);
        let s3 = open_as(&bucket, s3::Bucket { prefix: prefix.into(), ..settings() }, tuning());
        let shared: Arc<dyn Store> = Arc::new(s3.clone());
        assert_eq!(shared.tenancy().await, Ok(Tenancy::Unclaimed));
        conformance::store::put_then_get(shared.clone()).await;
        conformance::store::list_covers_each_shard(shared.clone()).await;
        conformance::store::private_content_is_listed_once(shared.clone()).await;
        conformance::store::remove(shared.clone()).await;
        conformance::store::probe(shared).await;
        conformance::records::list_below_a_prefix(Arc::new(s3.clone())).await;
        let bytes = content(1000);
        Store::put(&s3, &key(&bytes), file_payload(&bytes), &blob()).await.unwrap();
        let link = Store::link(&s3, &key(&bytes)).await.unwrap().unwrap();
        assert!(link.expose().contains("/mirrors/docker-hub/docker/registry/v2/blobs/"));
        // A pull-through registry:2 with that `rootdirectory` filled it.
        let theirs = content(900);
        bucket.put(&format!("mirrors/docker-hub/{}", place(&key(&theirs))), theirs.clone());
        bucket.put("mirrors/docker-hub/scheduler-state.json", "{}");
        assert_eq!(s3.tenancy().await, Ok(Tenancy::Mirror));
        assert_eq!(read_found(Store::get(&s3, &key(&theirs), None).await).await, theirs);
        s3.forget_schedule().await.unwrap();
        assert!(bucket.bytes("mirrors/docker-hub/registry-mirror/v1/adopted").is_some());
        assert!(bucket.bytes("mirrors/docker-hub/scheduler-state.json").is_none());
        let outside: BTreeMap<_, _> = bucket
            .keys()
            .into_iter()
            .filter(|key| !key.starts_with("mirrors/docker-hub/"))
            .map(|key| (key.clone(), bucket.bytes(&key).unwrap()))
            .collect();
        assert_eq!(outside, hosted.before);
    }
}

#[tokio::test]
async fn a_mirrors_content_elsewhere_in_the_bucket_is_pointed_out() {
    let finding = async |bucket: &Bucket, prefix: &str| {
        let s3 = open_as(bucket, s3::Bucket { prefix: prefix.into(), ..settings() }, tuning());
        let findings = s3.prepare().await.unwrap().findings;
        let found = findings.into_iter().find(|finding| finding.what.contains("does not use"));
        found.map(|finding| (finding.what, finding.hint.unwrap()))
    };
    for sign in
        ["registry-mirror/v1/layout", "registry-mirror/v1/sweep/state", "scheduler-state.json"]
    {
        let bucket = Bucket::new();
        bucket.put("other/thing", "x");
        assert_eq!(finding(&bucket, "").await, None);
        bucket.put(&format!("old/{sign}"), "{}");
        let (what, hint) = finding(&bucket, "").await.expect("it is not pointed out");
        assert!(what.contains("below `old`") && hint.contains("bucket_prefix to old"), "{what}");
        assert_eq!(finding(&bucket, "old").await, None, "it is this one");
        bucket.put(sign, "{}");
        assert_eq!(finding(&bucket, "").await, None, "this one is in use");
        let (what, _) = finding(&bucket, "new").await.expect("it is not pointed out");
        assert!(what.contains("at its root"), "{what}");
        // Nobody is sent to a registry's images.
        let hosting = Bucket::new();
        Hosted::push(&hosting, Shows::Content);
        if !sign.contains("scheduler") {
            hosting.put(sign, "{}");
            assert_eq!(finding(&hosting, "new").await, None, "{sign}");
        }
        bucket.put("new/registry-mirror/v1/layout", "{}");
        assert_eq!(finding(&bucket, "new").await, None, "chosen and in use");
    }
}

/// Whatever comes between, content that comes to be a mirror's has its full time.
#[tokio::test]
async fn an_adoption_that_is_cut_off_costs_no_content_its_time() {
    let bucket = Bucket::new();
    let hosted = Hosted::push(&bucket, Shows::Links);
    let cleaner = Cleaner::of(&bucket);
    for _ in 0..4 {
        cleaner.sweep().await.unwrap();
        cleaner.pass(HOUR).await;
    }
    // The word is written, and nothing after it; or somebody else's word came.
    bucket.put("scheduler-state.json", "{}");
    cleaner.pass(2 * HOUR).await;
    for _ in 0..2 {
        let swept = cleaner.sweep().await.unwrap();
        assert_eq!((swept.held_back, swept.removed.objects), (None, 0));
        cleaner.pass(Duration::from_secs(1200)).await;
    }
    assert!(bucket.bytes(&place(&key(&hosted.layer))).is_some());
    let again = run(&cleaner, Job::Adopt).await;
    assert!(matches!(again.last(), Some(Line::Done { fine: true, .. })), "{again:?}");
}

/// One node cleans up and finds it out; the others hear of it by themselves.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_clean_up_finds_a_registry_within_minutes() {
    let bucket = Bucket::new();
    let now = clock::to_unix(std::time::SystemTime::now());
    bucket.put("registry-mirror/v1/sweep/state", format!(r#"{{"swept":{now},"active":{now}}}"#));
    let directory = tempfile::tempdir().unwrap();
    let mirror = mirror_on(&bucket, tuning(), directory.path(), |parts| {
        let cleanup_interval = registry_mirror::settings::Period(HOUR * 24 * 31);
        let settings = Settings { cleanup_interval, blob_redirect: true, ..Settings::default() };
        parts.settings = Arc::new(ArcSwap::from_pointee(settings));
    });
    let _ = tokio::time::timeout(HOUR / 6, mirror.watch()).await;
    assert_eq!(mirror.health().store, None);
    let hosted = Hosted::push(&bucket, Shows::Links);
    let _ = tokio::time::timeout(HOUR / 6, mirror.watch()).await;
    let why = mirror.health().store.expect("it does not know");
    assert!(why.contains("hosts") && why.contains("bucket_prefix"), "{why}");
    assert_eq!(Store::link(&*mirror.parts().far, &key(&hosted.layer)).await, Ok(None));
    hosted.is_untouched(&bucket, "a node that does not clean up");
}

#[tokio::test]
async fn private_content_and_records_are_cleaned_up_beside_a_registry() {
    let bucket = Bucket::new();
    let hosted = Hosted::push(&bucket, Shows::Links);
    let cleaner = Cleaner::of(&bucket);
    cleaner.sweep().await.unwrap();
    let bytes = content(500);
    let area = Area::Private("acme/secret".parse().unwrap());
    let private = Key { area, ..key(&bytes) };
    let far = &cleaner.mirror.parts().far;
    far.put(&private, file_payload(&bytes), &blob()).await.unwrap();
    for _ in 0..6 {
        cleaner.pass(HOUR).await;
        let swept = cleaner.sweep().await.unwrap();
        assert!(matches!(swept.held_back, Some(HeldBack::Hosted(_))), "{swept:?}");
    }
    assert!(far.head(&private).await.unwrap().is_none(), "nobody used it");
    hosted.is_untouched(&bucket, "private content");
}

/// A page that holds nothing yet says that there is more; one that is cut off says nothing.
#[tokio::test]
async fn a_listing_that_is_cut_off_shows_no_bucket_of_ours() {
    let bucket = Bucket::new();
    let hosted = Hosted::push(&bucket, Shows::Links);
    for after in [50, 150, 300] {
        bucket.fail("ListObjectsV2", Fault::Short(after), usize::MAX);
        let s3 = open_as(&bucket, settings(), faults::hasty());
        assert!(!matches!(s3.tenancy().await, Ok(Tenancy::Unclaimed | Tenancy::Mirror)), "{after}");
        assert!(Store::remove(&s3, &[key(&hosted.layer)]).await.is_err());
        bucket.heal();
    }
    hosted.is_untouched(&bucket, "cut off");
}

/// What was let pass for a schedule's sake was not looked at.
#[tokio::test]
async fn what_may_be_removed_soon_is_looked_at_again_where_the_schedule_is_gone() {
    let bucket = Bucket::new();
    let theirs = content(1000);
    bucket.put(&place(&key(&theirs)), theirs.clone());
    bucket.put("scheduler-state.json", "{}");
    let s3 = open(&bucket);
    assert_eq!(s3.may_remove(&[key(&theirs)]).await, Ok(()));
    bucket.take("scheduler-state.json");
    is_hosted(Store::remove(&s3, &[key(&theirs)]).await.map_err(StoreError::from), "soon");
    assert_eq!(bucket.bytes(&place(&key(&theirs))), Some(theirs));
}
