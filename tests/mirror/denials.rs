//! Promise 10: a repository that was public and is denied is not served on the word of a record,
//! after a restart or on another node.

use std::time::Duration;

use registry_mirror::{
    clock::to_unix,
    mirror::{Mirror, Refusal, Want},
    oci::{Digest, Reference},
    upstream::UpstreamError,
};

use super::{APP, Bench, TYPE, count, name, noise};

const HOUR: Duration = Duration::from_secs(3600);
const NOW: &str = "upstreams/docker.io/repositories/acme/app/_visibility";
/// Where layout 1 had it.
const OLD: &str = "repositories/acme/app/_visibility";

/// A way to meet the denial.
#[derive(Clone, Copy, Debug)]
enum Way {
    TagHead,
    ManifestHead,
    ManifestGet,
    BlobHead,
    BlobGet,
    Tags,
    Referrers,
}

const WAYS: [Way; 7] = [
    Way::TagHead,
    Way::ManifestHead,
    Way::ManifestGet,
    Way::BlobHead,
    Way::BlobGet,
    Way::Tags,
    Way::Referrers,
];

impl Way {
    /// Asks for something that is not kept, so that the upstream is asked.
    async fn ask(self, mirror: &Mirror) -> Result<(), Refusal> {
        let (app, digest) = (name(APP), Digest::sha256(b"nobody has it"));
        let (tag, by_digest) =
            (Reference::Tag("other".parse().unwrap()), Reference::Digest(digest));
        match self {
            Self::TagHead => mirror.manifest(&app, &tag, Want::Head).await.map(drop),
            Self::ManifestHead => mirror.manifest(&app, &by_digest, Want::Head).await.map(drop),
            Self::ManifestGet => mirror.manifest(&app, &by_digest, Want::Body).await.map(drop),
            Self::BlobHead => mirror.blob(&app, &digest, None, Want::Head).await.map(drop),
            Self::BlobGet => mirror.blob(&app, &digest, None, Want::Body).await.map(drop),
            Self::Tags => mirror.tags(&app, "").await.map(drop),
            Self::Referrers => mirror.referrers(&app, &digest, "").await.map(drop),
        }
    }
}

impl Bench {
    /// A repository that is known to be public, with an image that is kept.
    async fn public() -> (Self, Digest) {
        let bench = Self::new();
        let digest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
        bench.tag("1").await.unwrap();
        bench.mirror.idle().await;
        assert!(bench.says(true));
        (bench, digest)
    }

    fn says(&self, public: bool) -> bool {
        let text = self.far.record(NOW).unwrap_or_default();
        text.contains(&format!("\"public\":{public}"))
    }

    /// Neither this node nor one that remembers nothing serves it, whether the upstream answers or not.
    async fn is_closed(&self, digest: Digest, what: &str) {
        self.script.private(APP);
        for away in [false, true] {
            self.script.fail(away.then(|| UpstreamError::passing("away")));
            for mirror in [self.restarted(), self.mirror.clone()] {
                for reference in [Reference::Digest(digest), Reference::Tag("1".parse().unwrap())] {
                    for want in [Want::Head, Want::Body] {
                        let answer = mirror.manifest(&name(APP), &reference, want).await;
                        assert!(answer.is_err(), "{what}, away: {away}: {reference} is served");
                    }
                }
            }
        }
    }

    /// Lets timers run for so long.
    async fn wait(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::sleep(time).await;
        self.mirror.idle().await;
    }
}

fn record(public: bool, at: std::time::SystemTime) -> String {
    format!(r#"{{"public":{public},"checked_at":{}}}"#, to_unix(at))
}

#[tokio::test(start_paused = true)]
async fn a_denial_takes_back_public_whichever_way_it_is_met() {
    for way in WAYS {
        let (bench, digest) = Bench::public().await;
        bench.clock.advance(HOUR);
        bench.script.fail(Some(UpstreamError::Denied));
        assert_eq!(way.ask(&bench.mirror).await.unwrap_err(), Refusal::NoRepository, "{way:?}");
        bench.mirror.idle().await;
        assert!(bench.says(false), "{way:?}: {:?}", bench.far.record(NOW));
        bench.is_closed(digest, &format!("{way:?}")).await;
    }
}

/// What the next look finds is written, whatever memory says by then.
#[tokio::test(start_paused = true)]
async fn what_was_denied_and_is_not_public_is_written_though_memory_knows() {
    let (bench, digest) = Bench::public().await;
    bench.clock.advance(HOUR);
    bench.script.private(APP);
    bench.script.fail(Some(UpstreamError::Denied));
    Way::TagHead.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    // A node of the version before believes it is public, and says so.
    bench.far.note(NOW, &record(true, bench.now()));
    bench.clock.advance(Duration::from_secs(1));
    bench.script.fail(None);
    assert_eq!(bench.tag("1").await.unwrap_err(), Refusal::NoRepository);
    bench.mirror.idle().await;
    assert!(bench.says(false));
    bench.is_closed(digest, "after the look").await;
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_cannot_be_written_is_tried_again_until_it_is() {
    for fails in ["writes", "reads", "both"] {
        let (bench, digest) = Bench::public().await;
        bench.clock.advance(HOUR);
        let refuse = |refuses: bool| {
            *bench.far.refuse_writes.lock().unwrap() = refuses && fails != "reads";
            *bench.far.refuse_reads.lock().unwrap() = refuses && fails != "writes";
        };
        refuse(true);
        bench.script.fail(Some(UpstreamError::Denied));
        Way::BlobGet.ask(&bench.mirror).await.unwrap_err();
        bench.wait(2 * HOUR).await;
        assert!(bench.says(true), "{fails}: the store refused");
        refuse(false);
        bench.wait(Duration::from_secs(301)).await;
        assert!(bench.says(false), "{fails}: it was not tried again");
        bench.is_closed(digest, fails).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_found_out_later_stands() {
    // Another node found it public after this one was denied and could not say so.
    let (bench, _) = Bench::public().await;
    *bench.far.refuse_writes.lock().unwrap() = true;
    bench.script.fail(Some(UpstreamError::Denied));
    Way::Tags.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    let later = record(true, bench.now() + Duration::from_secs(60));
    bench.far.note(NOW, &later);
    *bench.far.refuse_writes.lock().unwrap() = false;
    bench.wait(HOUR).await;
    assert_eq!(bench.far.record(NOW), Some(later));
    // And it is public for whoever looks again.
    bench.script.fail(None);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    assert!(bench.says(true));
    assert!(bench.restarted().tags(&name(APP), "").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slow_public_that_was_asked_before_the_denial_does_not_outlive_it() {
    let (bench, digest) = Bench::public().await;
    bench.clock.advance(25 * HOUR);
    // The record of the look that comes now is late.
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    let before = bench.far.record(NOW).unwrap();
    bench.clock.advance(HOUR);
    bench.script.fail(Some(UpstreamError::Denied));
    Way::TagHead.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    assert!(bench.says(false));
    // Another node writes what it found out before that, and only now.
    let other = bench.restarted();
    bench.far.note(NOW, &before);
    bench.script.private(APP);
    bench.script.fail(None);
    // It may be believed for the rest of its day.
    let _ = other.tags(&name(APP), "").await;
    bench.clock.advance(25 * HOUR);
    other.tags(&name(APP), "").await.unwrap_err();
    other.idle().await;
    bench.is_closed(digest, "a day later").await;
}

#[tokio::test(start_paused = true)]
async fn names_that_were_never_public_leave_no_trace() {
    let bench = Bench::new();
    bench.script.private(APP);
    for way in WAYS {
        way.ask(&bench.mirror).await.unwrap_err();
        bench.clock.advance(HOUR);
    }
    bench.script.fail(Some(UpstreamError::Denied));
    for way in WAYS {
        way.ask(&bench.mirror).await.unwrap_err();
        bench.clock.advance(HOUR);
    }
    bench.wait(HOUR).await;
    assert_eq!(bench.far.record(NOW), None);
    assert!(bench.far.records.lock().unwrap().is_empty(), "{:?}", bench.far.records);
}

/// Under `allow` what we may not have is denied again and again.
#[tokio::test(start_paused = true)]
async fn what_was_private_all_along_is_not_written_by_its_denials() {
    let bench = Bench::with(|settings| {
        settings.private_repositories = registry_mirror::settings::Private::Allow;
    });
    bench.script.private(APP);
    assert_eq!(Way::TagHead.ask(&bench.mirror).await, Err(Refusal::NoManifest));
    bench.script.fail(Some(UpstreamError::Denied));
    for way in WAYS.into_iter().chain(WAYS) {
        way.ask(&bench.mirror).await.unwrap_err();
        bench.clock.advance(Duration::from_secs(40));
        bench.mirror.idle().await;
    }
    assert_eq!(bench.far.record(NOW), None);
}

/// It was checked by this node within the day; by the record it has been denied since.
#[tokio::test(start_paused = true)]
async fn another_nodes_memory_says_public_for_a_day_and_no_longer() {
    let (bench, digest) = Bench::public().await;
    let other = bench.restarted();
    let asked = Reference::Digest(digest);
    other.manifest(&name(APP), &asked, Want::Body).await.unwrap();
    bench.clock.advance(HOUR);
    bench.script.private(APP);
    bench.script.fail(Some(UpstreamError::Denied));
    Way::TagHead.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    bench.script.fail(Some(UpstreamError::passing("away")));
    bench.clock.advance(22 * HOUR);
    assert!(other.manifest(&name(APP), &asked, Want::Body).await.is_ok(), "for a day");
    bench.clock.advance(2 * HOUR);
    assert!(other.manifest(&name(APP), &asked, Want::Body).await.is_err(), "and no longer");
}

#[tokio::test(start_paused = true)]
async fn what_layout_1_says_is_public_is_never_used_stale() {
    let served = async |hours: u32, away: bool, denied: Option<u32>| {
        let bench = Bench::new();
        let digest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
        bench.clock.advance(100 * HOUR);
        bench.far.note(OLD, &record(true, bench.now() - hours * HOUR));
        if let Some(hours) = denied {
            bench.far.note(NOW, &record(false, bench.now() - hours * HOUR));
        }
        let text = r#"{"layers":[]}"#.into();
        let key =
            registry_mirror::store::Key { area: registry_mirror::store::Area::Public, digest };
        let meta = registry_mirror::store::Meta { media_type: None, verified: true };
        bench.far.insert(&key, text, meta);
        bench.script.fail(away.then(|| UpstreamError::passing("away")));
        let answer = bench.digest(digest).await;
        (answer.is_ok(), count(&bench.script.asked.visibility))
    };
    assert_eq!(served(2, true, None).await, (true, 0), "within its day");
    assert_eq!(served(25, true, None).await, (false, 1), "stale");
    assert_eq!(served(25, false, None).await, (true, 1), "and asked about anew");
    assert_eq!(served(2, true, Some(1)).await, (false, 1), "denied since");
    assert_eq!(served(1, true, Some(2)).await, (true, 0), "found public since, by an older node");
}

#[tokio::test(start_paused = true)]
async fn a_denial_outlives_what_layout_1_says_before_it() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    bench.far.note(OLD, &record(true, bench.now()));
    bench.tag("1").await.unwrap();
    assert_eq!(count(&bench.script.asked.visibility), 0, "a node of the version before asked");
    bench.clock.advance(HOUR);
    bench.script.fail(Some(UpstreamError::Denied));
    Way::BlobHead.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    assert!(bench.says(false), "{:?}", bench.far.record(NOW));
    assert!(bench.far.record(OLD).unwrap().contains("true"), "what is old is not written");
    bench.is_closed(digest, "of layout 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_denials_waits_within_bounds() {
    let bench = Bench::new();
    for number in 0..30 {
        let repository = name(&format!("acme/app{number}"));
        bench.script.manifest(repository.as_str(), "1", TYPE, "{}");
        bench.mirror.tags(&repository, "").await.unwrap();
    }
    bench.mirror.idle().await;
    *bench.far.refuse_writes.lock().unwrap() = true;
    bench.clock.advance(HOUR);
    bench.script.fail(Some(UpstreamError::Denied));
    for _ in 0..10 {
        for number in 0..30 {
            let repository = name(&format!("acme/app{number}"));
            let digest = Digest::sha256(&noise(number + 100));
            let _ = bench.mirror.blob(&repository, &digest, None, Want::Body).await;
        }
        bench.wait(Duration::from_secs(60)).await;
    }
    *bench.far.refuse_writes.lock().unwrap() = false;
    bench.wait(Duration::from_secs(301)).await;
    let records = bench.far.records.lock().unwrap();
    let open = records.iter().filter(|(path, (text, ..))| {
        path.ends_with("_visibility") && String::from_utf8_lossy(text).contains("true")
    });
    assert_eq!(open.count(), 0);
}

/// What layout 1 said was read within its day, and the day is over.
#[tokio::test(start_paused = true)]
async fn what_layout_1_said_is_not_used_stale_by_memory_either() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    bench.clock.advance(100 * HOUR);
    bench.far.note(OLD, &record(true, bench.now() - 2 * HOUR));
    bench.tag("1").await.unwrap();
    assert_eq!(count(&bench.script.asked.visibility), 0, "within its day");
    bench.script.fail(Some(UpstreamError::passing("away")));
    bench.clock.advance(23 * HOUR);
    assert!(bench.digest(digest).await.is_err());
    bench.clock.advance(HOUR);
    assert!(bench.digest(digest).await.is_err());
}

/// The record of this layout may be that of a denial.
#[tokio::test(start_paused = true)]
async fn what_layout_1_says_does_not_count_where_this_layout_cannot_be_read() {
    for is_unreadable in [false, true] {
        let bench = Bench::new();
        let digest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
        bench.clock.advance(100 * HOUR);
        bench.far.note(OLD, &record(true, bench.now() - 2 * HOUR));
        *bench.far.unreadable.lock().unwrap() = is_unreadable.then(|| NOW.to_owned());
        bench.script.fail(Some(UpstreamError::passing("away")));
        let key =
            registry_mirror::store::Key { area: registry_mirror::store::Area::Public, digest };
        let meta = registry_mirror::store::Meta { media_type: None, verified: true };
        bench.far.insert(&key, r#"{"layers":[]}"#.into(), meta);
        assert_eq!(bench.digest(digest).await.is_ok(), !is_unreadable);
    }
}

/// The clock of the node that found it public is ahead.
#[tokio::test(start_paused = true)]
async fn a_denial_counts_though_another_clock_is_ahead() {
    let (bench, digest) = Bench::public().await;
    bench.far.note(NOW, &record(true, bench.now() + 10 * HOUR));
    bench.script.fail(Some(UpstreamError::Denied));
    Way::Tags.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    assert!(bench.says(false), "{:?}", bench.far.record(NOW));
    bench.is_closed(digest, "ahead").await;
}

/// Another node wrote what it had asked before.
#[tokio::test(start_paused = true)]
async fn a_second_denial_is_written_as_one() {
    let (bench, digest) = Bench::public().await;
    bench.far.note(NOW, &record(false, bench.now() - 100 * HOUR));
    bench.clock.advance(Duration::from_secs(21));
    bench.script.fail(Some(UpstreamError::Denied));
    Way::BlobGet.ask(&bench.mirror).await.unwrap_err();
    bench.mirror.idle().await;
    let text = bench.far.record(NOW).unwrap();
    assert!(text.contains(&to_unix(bench.now()).to_string()), "{text}");
    bench.is_closed(digest, "again").await;
}

/// Whoever asks for names at random makes nothing wait.
#[tokio::test(start_paused = true)]
async fn names_at_random_are_not_written_again_and_again() {
    let bench = Bench::new();
    *bench.far.refuse_reads.lock().unwrap() = true;
    for number in 0..300 {
        let repository = format!("random/name{number}");
        bench.script.private(&repository);
        bench.mirror.tags(&name(&repository), "").await.unwrap_err();
    }
    bench.mirror.idle().await;
    let before = count(&bench.far.record_gets);
    bench.wait(2 * HOUR).await;
    assert_eq!(count(&bench.far.record_gets), before, "they wait to be written");
}

/// What was asked of one upstream says nothing of the next.
#[tokio::test(start_paused = true)]
async fn what_one_upstream_said_is_not_written_of_another() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, "{}");
    let mirror = bench.mirror.clone();
    let asking = tokio::spawn(async move { mirror.tags(&name(APP), "").await });
    while count(&bench.script.asked.visibility) == 0 {
        tokio::task::yield_now().await;
    }
    let mut settings = (**bench.settings.load()).clone();
    settings.upstream_url = "https://other.example".into();
    bench.mirror.follow(&settings);
    assert!(asking.await.unwrap().is_err());
    bench.mirror.idle().await;
    let records = bench.far.records.lock().unwrap();
    assert!(records.keys().all(|path| !path.contains("_visibility")), "{:?}", records.keys());
}
