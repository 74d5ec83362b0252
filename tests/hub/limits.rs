//! Both limits of Docker Hub, and how little is asked while they hold.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use registry_mirror::{
    clock::Clock,
    settings::Secret,
    upstream::{Limits, Scope, Trust::Public, Upstream, UpstreamError},
};

use super::{Bench, credential, metric, name, read, tag};
use crate::support::hub::{Abuse, Fault, Kind, noise};

const SECOND: Duration = Duration::from_secs(1);

fn cooling(error: &UpstreamError) -> Option<(Scope, SystemTime)> {
    match error {
        UpstreamError::CoolingOff { until, scope } => Some((*scope, *until)),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_left_is_read_from_every_manifest_answer() {
    let Bench { fake, hub, metrics, .. } = Bench::new();
    let repo = name("library/alpine");
    fake.image("library/alpine", "3.20", &[]);
    assert_eq!(hub.limits(), Limits::default());
    fake.anonymous_limit(Some(100));
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    assert_eq!(hub.limits(), Limits { limit: Some(100), remaining: Some(100) });
    hub.manifest(&repo, &tag("3.20"), Public).await.unwrap();
    assert_eq!(hub.limits().remaining, Some(99));
    assert!(metric(&metrics, "registry_mirror_ratelimit_remaining 99"), "{}", metrics.text());
    fake.anonymous_limit(None);
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    assert_eq!(hub.limits(), Limits::default(), "no headers, no limit");
}

#[tokio::test]
async fn the_pull_limit_stops_manifests_and_nothing_else() {
    let bench = Bench::new();
    let (fake, hub, repo) = (&bench.fake, &bench.hub, name("library/alpine"));
    let image = fake.image("library/alpine", "3.20", &[noise(1, 1000)]);
    fake.anonymous_limit(Some(0));
    let tagged = tag("3.20");
    let pulls = (0..100).map(|_| hub.manifest(&repo, &tagged, Public));
    let pulls = join_all(pulls).await;
    for error in pulls.iter().map(|pull| pull.as_ref().unwrap_err()) {
        let (scope, until) = cooling(error).unwrap();
        assert_eq!(scope, Scope::Pulls);
        assert!(until > bench.clock.now());
    }
    assert_eq!(fake.count(Kind::Manifest), 1, "the limit was met again and again");
    assert_eq!(hub.cooling().map(|(scope, _)| scope), Some(Scope::Pulls));
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    let blob = hub.blob(&repo, &image.layers[0].digest, 0, Public).await.unwrap();
    assert_eq!(read(blob).await.unwrap().len(), 1000);
    hub.tags(&repo, "", Public).await.unwrap();
    assert!(hub.manifest(&repo, &tag("3.20"), Public).await.is_err(), "a HEAD that shows 0 lifts");
    assert_eq!(fake.count(Kind::Manifest), 1);
    let line = r#"registry_mirror_cool_offs_total{scope="pulls"} 1"#;
    assert!(metric(&bench.metrics, line), "{}", bench.metrics.text());
}

#[tokio::test]
async fn the_pull_limit_ends_when_a_head_shows_pulls_left() {
    let bench = Bench::new();
    let (fake, hub, repo) = (&bench.fake, &bench.hub, name("library/alpine"));
    fake.image("library/alpine", "3.20", &[]);
    fake.anonymous_limit(Some(0));
    let tagged = tag("3.20");
    let pull = || hub.manifest(&repo, &tagged, Public);
    assert!(pull().await.is_err());
    bench.advance(61 * SECOND);
    fake.reset_counts();
    let pulls = join_all((0..20).map(|_| pull())).await;
    assert!(pulls.iter().all(|pull| cooling(pull.as_ref().unwrap_err()).is_some()));
    let asked = (fake.count(Kind::Head), fake.count(Kind::Manifest));
    assert_eq!(asked, (1, 0), "one HEAD a minute looks whether pulls are left");
    fake.anonymous_limit(Some(5));
    assert!(pull().await.is_err(), "looked again before the minute was over");
    bench.advance(61 * SECOND);
    assert!(pull().await.is_ok());
    assert_eq!((fake.count(Kind::Head), fake.count(Kind::Manifest)), (2, 1));
    assert_eq!(hub.cooling(), None);

    // Whoever asks by HEAD in the meantime lifts it too.
    fake.anonymous_limit(Some(0));
    assert!(pull().await.is_err());
    fake.anonymous_limit(Some(10));
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    assert!(pull().await.is_ok());
}

#[tokio::test]
async fn the_pull_limit_is_believed_when_it_says_how_long() {
    let bench = Bench::new();
    let (fake, repo) = (&bench.fake, name("library/alpine"));
    fake.image("library/alpine", "3.20", &[]);
    fake.anonymous_limit(Some(0));
    let date = httpdate::fmt_http_date(bench.clock.now() + 100 * SECOND);
    for (text, seconds) in [("900", 900), ("999999", 21_600), ("0", 1), (date.as_str(), 100)] {
        fake.knobs(|knobs| knobs.pull_retry_after = Some(text.to_owned()));
        let (hub, clock, _) = super::client(fake, |_| {});
        let error = hub.manifest(&repo, &tag("3.20"), Public).await.unwrap_err();
        let (_, until) = cooling(&error).unwrap();
        let wait = until.duration_since(clock.now()).unwrap().as_secs_f64();
        assert!((wait - f64::from(seconds)).abs() < 5.0, "`{text}`: {wait} s");
    }
}

#[tokio::test]
async fn each_credential_has_its_own_pulls() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &[], Some(1));
    fake.anonymous_limit(Some(0));
    fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    hub.manifest(&repo, &tag("3.20"), Public).await.unwrap();
    assert!(cooling(&hub.manifest(&repo, &tag("3.20"), Public).await.unwrap_err()).is_some());
    assert!(fake.requests_of(Kind::Manifest).iter().all(|seen| seen.account.is_some()));
}

#[tokio::test]
async fn under_the_abuse_limit_a_hundred_requests_make_at_most_two() {
    let bench = Bench::new();
    let (fake, hub) = (&bench.fake, &bench.hub);
    let repo = name("library/alpine");
    let image = fake.image("library/alpine", "3.20", &[noise(1, 1000)]);
    let layer = image.layers[0].digest;
    fake.knobs(|knobs| knobs.abuse = Some(Abuse { retry_after: Some(120) }));
    let (tagged, query) = (tag("3.20"), "");
    let mixed = join_all((0..20).map(|_| async {
        let (head, pull, blob, tags, visible) = tokio::join!(
            hub.head(&repo, &tagged, Public),
            hub.manifest(&repo, &tagged, Public),
            hub.blob(&repo, &layer, 0, Public),
            hub.tags(&repo, query, Public),
            hub.visibility(&repo, None),
        );
        [head.err(), pull.err(), blob.err(), tags.err(), visible.err()]
    }));
    for error in mixed.await.into_iter().flatten() {
        let (scope, until) = cooling(&error.expect("an answer in spite of the limit")).unwrap();
        assert_eq!(scope, Scope::Everything);
        let wait = until.duration_since(bench.clock.now()).unwrap();
        assert!(wait <= 120 * SECOND && wait > 110 * SECOND, "{wait:?}");
    }
    assert!(fake.total() <= 2, "{} requests", fake.total());
    assert_eq!(hub.cooling().map(|(scope, _)| scope), Some(Scope::Everything));
    // When it is over, one looks first; if it is not over after all, that is one request more.
    bench.advance(121 * SECOND);
    let before = fake.total();
    join_all((0..50).map(|_| hub.head(&repo, &tagged, Public))).await;
    assert!(fake.total() <= before + 1, "{} requests more", fake.total() - before);
    bench.advance(121 * SECOND);
    fake.knobs(|knobs| knobs.abuse = None);
    let heads = join_all((0..50).map(|_| hub.head(&repo, &tagged, Public))).await;
    assert!(heads.iter().all(Result::is_ok), "it never comes back");
    let line = r#"registry_mirror_cool_offs_total{scope="everything"} 2"#;
    assert!(metric(&bench.metrics, line), "{}", bench.metrics.text());
}

#[tokio::test]
async fn a_plain_429_stops_everything_whatever_was_asked() {
    for kind in [Kind::Ping, Kind::Token, Kind::Head, Kind::Manifest] {
        let Bench { fake, hub, .. } = Bench::new();
        fake.image("library/alpine", "3.20", &[]);
        let repo = name("library/alpine");
        fake.fault(kind, Fault::Abuse(None), 1);
        let error = match kind {
            Kind::Manifest => hub.manifest(&repo, &tag("3.20"), Public).await.unwrap_err(),
            _ => hub.head(&repo, &tag("3.20"), Public).await.unwrap_err(),
        };
        assert_eq!(cooling(&error).unwrap().0, Scope::Everything, "{kind:?}");
        let before = fake.total();
        assert!(hub.tags(&repo, "", Public).await.is_err());
        assert_eq!(fake.total(), before, "{kind:?}: asked while cooling off");
    }
}

#[tokio::test]
async fn json_makes_a_pull_limit_only_of_a_manifest_get() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    let json = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    fake.fault(Kind::Tags, Fault::Raw(429, Vec::new(), json.to_vec()), 1);
    let error = hub.tags(&name("library/alpine"), "", Public).await.unwrap_err();
    assert_eq!(cooling(&error).unwrap().0, Scope::Everything);
}

#[tokio::test]
async fn the_abuse_limit_binds_whoever_we_say_that_we_are() {
    let mut bench = Bench::new();
    let (repo, tagged) = (name("library/alpine"), tag("3.20"));
    bench.fake.image("library/alpine", "3.20", &[]);
    bench.fake.knobs(|knobs| knobs.abuse = Some(Abuse { retry_after: Some(120) }));
    bench.hub.head(&repo, &tagged, Public).await.unwrap_err();
    bench.fake.account("robot", "s3cret", &[], None);
    bench.fake.knobs(|knobs| knobs.abuse = None);
    let asked = bench.fake.total();
    bench.change(credential);
    let error = bench.hub.head(&repo, &tagged, Public).await.unwrap_err();
    assert_eq!(cooling(&error).map(|(scope, _)| scope), Some(Scope::Everything));
    assert_eq!(bench.fake.total(), asked, "the limit was forgotten with the credential");

    // Another upstream does not count what this one counts.
    let other = crate::support::hub::Hub::start();
    other.image("library/alpine", "3.20", &[]);
    bench.change(|config| (config.url, config.credential) = (other.url(), None));
    bench.hub.head(&repo, &tagged, Public).await.unwrap();
}

#[tokio::test]
async fn the_pull_limit_is_the_accounts_and_a_change_of_account_ends_it() {
    let mut bench = Bench::with(credential);
    let (repo, tagged) = (name("library/alpine"), tag("3.20"));
    bench.fake.image("library/alpine", "3.20", &[]);
    bench.fake.account("robot", "s3cret", &[], Some(0));
    bench.fake.account("other", "s3cret", &[], None);
    bench.hub.manifest(&repo, &tagged, Public).await.unwrap_err();
    // The same account, told otherwise: still its limit.
    bench.change(|config| config.redirect_hosts.push("cdn.test".into()));
    let error = bench.hub.manifest(&repo, &tagged, Public).await.unwrap_err();
    assert_eq!(cooling(&error).map(|(scope, _)| scope), Some(Scope::Pulls));
    assert_eq!(bench.fake.count(Kind::Manifest), 1, "the limit was forgotten");
    bench.change(|config| config.credential = Some(("other".into(), Secret::new("s3cret"))));
    bench.hub.manifest(&repo, &tagged, Public).await.unwrap();
}
