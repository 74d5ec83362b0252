//! Tokens: shared, refreshed early, bound to the upstream; and credentials that are refused.

use std::time::Duration;

use futures_util::future::join_all;
use registry_mirror::upstream::{
    Trust::{Private, Public},
    Upstream, UpstreamError,
};

use super::{Bench, credential, metric, name, tag};
use crate::support::hub::{Auth, Fault, Gate, Kind};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_token_is_refreshed_before_it_ends_and_once_for_all() {
    let bench = Bench::new();
    let (fake, repo) = (&bench.fake, name("library/alpine"));
    fake.image("library/alpine", "3.20", &[]);
    let ask = || async { bench.hub.head(&repo, &tag("3.20"), Public).await.unwrap() };
    join_all((0..50).map(|_| ask())).await;
    assert_eq!(fake.count(Kind::Token), 1, "several callers, several tokens");
    bench.advance(260 * SECOND);
    ask().await;
    assert_eq!(fake.count(Kind::Token), 1, "not needed yet");
    bench.advance(20 * SECOND);
    join_all((0..50).map(|_| ask())).await;
    assert_eq!(fake.count(Kind::Token), 2, "not refreshed early, or not once");
    assert_eq!(fake.count(Kind::Head), 101, "a request was refused");
}

#[tokio::test]
async fn tokens_that_say_little() {
    for (expires_in, fresh, stale) in
        [(None, 45, 15), (Some(20), 5, 15), (Some(999_999), 3000, 500)]
    {
        let bench = Bench::new();
        let (fake, repo) = (&bench.fake, name("library/alpine"));
        fake.image("library/alpine", "3.20", &[]);
        fake.knobs(|knobs| {
            knobs.expires_in = expires_in;
            knobs.access_token_only = true;
        });
        let ask = || async { bench.hub.head(&repo, &tag("3.20"), Public).await.unwrap() };
        ask().await;
        bench.advance(fresh * SECOND);
        ask().await;
        assert_eq!(fake.count(Kind::Token), 1, "{expires_in:?}");
        bench.advance(stale * SECOND);
        ask().await;
        assert_eq!(fake.count(Kind::Token), 2, "{expires_in:?}");
        assert_eq!(fake.count(Kind::Head), 3, "{expires_in:?}: used until it was refused");
    }
}

#[tokio::test]
async fn a_token_that_was_withdrawn_is_replaced_once() {
    let Bench { fake, hub, .. } = Bench::new();
    let repo = name("library/alpine");
    fake.image("library/alpine", "3.20", &[]);
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    fake.expire_tokens();
    fake.reset_counts();
    let heads = join_all((0..20).map(|_| async { hub.head(&repo, &tag("3.20"), Public).await }));
    assert!(heads.await.iter().all(Result::is_ok));
    assert_eq!(fake.count(Kind::Token), 1);
}

#[tokio::test]
async fn a_storm_of_401_is_the_upstreams_fault_and_bounded() {
    let Bench { fake, hub, .. } = Bench::new();
    let repo = name("library/alpine");
    fake.image("library/alpine", "3.20", &[]);
    fake.fault(Kind::Head, Fault::Unauthorized, usize::MAX);
    for _ in 0..3 {
        let error = hub.head(&repo, &tag("3.20"), Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { .. }), "not a denial: {error:?}");
    }
    assert!(fake.count(Kind::Head) <= 6, "{} requests for 3", fake.count(Kind::Head));
    assert!(fake.count(Kind::Token) <= 3, "{} tokens for 3", fake.count(Kind::Token));
    fake.clear_faults();
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    // A token that does not say what it opens makes the registry's word the only one.
    fake.knobs(|knobs| knobs.opaque_tokens = true);
    fake.expire_tokens();
    fake.fault(Kind::Head, Fault::Unauthorized, usize::MAX);
    let error = hub.head(&repo, &tag("3.20"), Public).await.unwrap_err();
    assert_eq!(error, UpstreamError::Denied);
}

#[tokio::test]
async fn what_is_not_ours_is_denied() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &["acme/ours"], None);
    for repo in ["acme/ours", "acme/theirs"] {
        fake.image(repo, "1", &[]);
        fake.private(repo);
    }
    hub.head(&name("acme/ours"), &tag("1"), Private).await.unwrap();
    for repo in ["acme/theirs", "acme/absent"] {
        let error = hub.head(&name(repo), &tag("1"), Private).await.unwrap_err();
        assert_eq!(error, UpstreamError::Denied, "{repo}");
    }
    fake.fault(Kind::Head, Fault::Status(403), 1);
    let error = hub.head(&name("acme/ours"), &tag("1"), Private).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "its token grants it: {error:?}");
    fake.knobs(|knobs| knobs.opaque_tokens = true);
    let (opaque, ..) = super::client(&fake, credential);
    fake.fault(Kind::Head, Fault::Status(403), 1);
    let error = opaque.head(&name("acme/ours"), &tag("1"), Private).await.unwrap_err();
    assert_eq!(error, UpstreamError::Denied, "only the registry knows what it opens");
    let anonymous = super::client(&fake, |_| {}).0;
    let error = anonymous.head(&name("acme/ours"), &tag("1"), Private).await.unwrap_err();
    assert_eq!(error, UpstreamError::Denied);
}

#[tokio::test]
async fn a_refused_credential_is_told_remembered_and_not_needed_for_what_is_public() {
    let bench = Bench::with(credential);
    let (fake, hub) = (&bench.fake, &bench.hub);
    fake.account("robot", "s3cret", &["acme/ours"], None);
    fake.image("library/alpine", "3.20", &[]);
    fake.image("acme/ours", "1", &[]);
    fake.private("acme/ours");
    fake.knobs(|knobs| knobs.refuse_credentials = true);
    let (open, closed) = (name("library/alpine"), name("acme/ours"));
    hub.head(&open, &tag("3.20"), Public).await.unwrap();
    assert!(metric(&bench.metrics, "registry_mirror_credential_refused 1"));
    let error = hub.head(&closed, &tag("1"), Private).await.unwrap_err();
    assert_eq!(error, UpstreamError::CredentialRefused);
    let with_password =
        || fake.requests_of(Kind::Token).iter().filter(|seen| seen.authorization).count();
    assert_eq!(with_password(), 1, "a refused credential was tried again");
    fake.knobs(|knobs| knobs.refuse_credentials = false);
    bench.advance(301 * SECOND);
    hub.head(&closed, &tag("1"), Private).await.unwrap();
    assert!(metric(&bench.metrics, "registry_mirror_credential_refused 0"));
}

#[tokio::test]
async fn our_password_goes_to_no_token_service_but_the_upstreams() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &[], None);
    fake.image("library/alpine", "3.20", &[]);
    let port = fake.auth_url().rsplit_once(':').unwrap().1.to_owned();
    fake.knobs(|knobs| knobs.realm = Some(format!("http://localhost:{port}/token")));
    let error = hub.head(&name("library/alpine"), &tag("3.20"), Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{error:?}");
    assert_eq!(fake.count(Kind::Token), 0);
}

#[tokio::test]
async fn a_registry_may_want_nothing_or_a_password() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &[], None);
    let image = fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    for auth in [Auth::Open, Auth::Basic, Auth::Bearer] {
        // Learnt anew each time from a 401.
        fake.knobs(|knobs| knobs.auth = auth);
        let manifest = hub.manifest(&repo, &tag("3.20"), Public).await.unwrap();
        assert_eq!(manifest.digest, image.digest, "{auth:?}");
    }
    let (anonymous, ..) = super::client(&fake, |_| {});
    fake.knobs(|knobs| knobs.auth = Auth::Basic);
    let error = anonymous.head(&repo, &tag("3.20"), Public).await.unwrap_err();
    assert_eq!(error, UpstreamError::Denied);
    let (wrong, _, metrics) = super::client(&fake, |config| {
        config.credential =
            Some(("robot".to_owned(), registry_mirror::settings::Secret::new("no")));
    });
    let error = wrong.head(&repo, &tag("3.20"), Public).await.unwrap_err();
    assert_eq!(error, UpstreamError::CredentialRefused);
    assert!(metric(&metrics, "registry_mirror_credential_refused 1"));
}

#[tokio::test]
async fn a_token_service_that_fails_is_an_outage() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    let raw = |body: &str| Fault::Raw(200, Vec::new(), body.as_bytes().to_vec());
    for (fault, times) in [
        (Fault::Status(503), 3),
        (Fault::Drop, 3),
        (raw("{}"), 1),
        (raw("not json"), 1),
        (raw(r#"{"token":""}"#), 1),
        (raw("{\"token\":\"a\\nb\"}"), 1),
    ] {
        fake.fault(Kind::Token, fault.clone(), times);
        let error = hub.head(&repo, &tag("3.20"), Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { .. }), "{fault:?}: {error:?}");
    }
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
}

#[tokio::test]
async fn a_token_service_denies_by_its_own_code_only() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &["library/alpine"], None);
    fake.image("library/alpine", "3.20", &[]);
    let (anonymous, ..) = super::client(&fake, |_| {});
    let repo = name("library/alpine");
    let code = |code| format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#);
    for (status, body, denial) in [
        (401, String::new(), false),
        (403, "<html>blocked</html>".to_owned(), false),
        (403, r#"{"message":"forbidden"}"#.to_owned(), false),
        (403, code("UNKNOWN"), false),
        (401, code("UNAUTHORIZED"), true),
        (403, code("DENIED"), true),
    ] {
        let fault = Fault::Raw(status, Vec::new(), body.clone().into_bytes());
        let is_right = |error: &UpstreamError| match error {
            UpstreamError::Denied => denial,
            UpstreamError::Unavailable { .. } => !denial,
            _ => false,
        };
        fake.fault(Kind::Token, fault.clone(), 1);
        let error = anonymous.head(&repo, &tag("3.20"), Public).await.unwrap_err();
        assert!(is_right(&error), "{status} `{body}`: {error:?}");
        if status == 403 {
            fake.fault(Kind::Token, fault, 1);
            let error = hub.head(&repo, &tag("3.20"), Private).await.unwrap_err();
            assert!(is_right(&error), "{status} `{body}` with the credential: {error:?}");
        }
    }
    anonymous.head(&repo, &tag("3.20"), Public).await.unwrap();
}

#[tokio::test]
async fn a_token_that_ran_out_while_it_was_waited_for_is_not_used() {
    let bench = Bench::new();
    let fake = &bench.fake;
    for repo in ["library/alpine", "library/busybox"] {
        fake.image(repo, "1", &[]);
    }
    let hub = &bench.hub;
    let ask = |repo| async move { hub.head(&name(repo), &tag("1"), Public).await.unwrap() };
    // After this nobody goes first any more.
    ask("library/busybox").await;
    let gate = Gate::closed();
    fake.fault(Kind::Token, Fault::Hold(gate.clone()), 1);
    let meanwhile = async {
        while fake.count(Kind::Token) < 2 {
            tokio::task::yield_now().await;
        }
        bench.clock.advance(301 * SECOND);
        gate.open();
    };
    tokio::join!(ask("library/alpine"), ask("library/alpine"), meanwhile);
    assert_eq!(fake.count(Kind::Token), 3, "the one who waited took what had run out");
}

#[tokio::test]
async fn a_credential_that_does_not_open_what_is_public_is_left_out() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &[], None);
    fake.knobs(|knobs| knobs.narrow_accounts = true);
    fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    for _ in 0..2 {
        hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    }
    assert_eq!((fake.count(Kind::Head), fake.count(Kind::Token)), (2, 2));
    assert!(fake.requests_of(Kind::Head).iter().all(|seen| seen.account.is_none()));
}
