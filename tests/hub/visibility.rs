//! Whether a repository is public, by what the token says or the registry does.

use registry_mirror::upstream::{
    Trust::Public,
    Upstream, UpstreamError,
    Visibility::{NotPublic, Public as Open},
};

use super::{Bench, credential, name, tag};
use crate::support::hub::{Auth, Fault, Kind};

#[tokio::test]
async fn the_anonymous_token_tells() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &["acme/ours"], None);
    fake.image("library/alpine", "3.20", &[]);
    fake.image("acme/ours", "1", &[]);
    fake.private("acme/ours");
    assert_eq!(hub.visibility(&name("library/alpine"), None).await, Ok(Open));
    assert_eq!(hub.visibility(&name("acme/ours"), None).await, Ok(NotPublic));
    assert_eq!(hub.visibility(&name("acme/absent"), None).await, Ok(NotPublic));
    assert_eq!(fake.count(Kind::Head), 0, "the token was enough");
    assert!(fake.requests().iter().all(|seen| !seen.authorization), "our credential was shown");
}

#[tokio::test]
async fn where_the_token_is_opaque_the_registry_tells() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &["acme/ours"], None);
    fake.knobs(|knobs| knobs.opaque_tokens = true);
    fake.image("library/alpine", "latest", &[]);
    fake.image("library/odd", "1", &[]);
    fake.image("acme/ours", "1", &[]);
    fake.private("acme/ours");
    assert_eq!(hub.visibility(&name("library/alpine"), None).await, Ok(Open));
    assert_eq!(
        hub.visibility(&name("library/odd"), None).await,
        Ok(Open),
        "only the tag is unknown"
    );
    assert_eq!(hub.visibility(&name("acme/ours"), Some(&tag("1"))).await, Ok(NotPublic));
    assert_eq!(hub.visibility(&name("acme/absent"), None).await, Ok(NotPublic));
    let paths: Vec<_> = fake.requests_of(Kind::Head).into_iter().map(|seen| seen.path).collect();
    assert!(paths.contains(&"/v2/acme/ours/manifests/1".to_owned()), "{paths:?}");
    assert!(fake.requests_of(Kind::Head).iter().all(|seen| seen.account.is_none()));
}

#[tokio::test]
async fn a_404_that_hides_a_repository_opens_nothing() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.knobs(|knobs| knobs.opaque_tokens = true);
    fake.image("acme/hidden", "1", &[]);
    let body = br#"{"errors":[{"code":"NAME_UNKNOWN","message":"no"}]}"#;
    fake.fault(Kind::Head, Fault::Status(404), 1);
    fake.fault(Kind::Manifest, Fault::Raw(404, Vec::new(), body.to_vec()), 1);
    assert_eq!(hub.visibility(&name("acme/hidden"), None).await, Ok(NotPublic));
}

#[tokio::test]
async fn an_odd_answer_is_no_verdict() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &["acme/ours"], None);
    fake.knobs(|knobs| knobs.opaque_tokens = true);
    fake.image("acme/ours", "latest", &[]);
    fake.private("acme/ours");
    let repo = name("acme/ours");
    for status in [400, 404, 405, 410] {
        // By HEAD, and by the GET that follows where a HEAD does not tell.
        fake.fault(Kind::Head, Fault::Status(status), 1);
        if matches!(status, 404 | 405) {
            fake.fault(Kind::Manifest, Fault::Status(400), 1);
        }
        let error = hub.visibility(&repo, None).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { .. }), "{status}: {error:?}");
    }
    assert!(fake.requests().iter().all(|seen| seen.account.is_none()), "not as anyone");
}

#[tokio::test]
async fn without_head_a_get_tells() {
    let Bench { fake, hub, .. } = Bench::with(credential);
    fake.account("robot", "s3cret", &["acme/ours"], None);
    fake.knobs(|knobs| knobs.opaque_tokens = true);
    fake.image("library/alpine", "latest", &[]);
    fake.image("acme/ours", "latest", &[]);
    fake.private("acme/ours");
    fake.fault(Kind::Head, Fault::Status(405), 2);
    assert_eq!(hub.visibility(&name("acme/ours"), None).await, Ok(NotPublic));
    assert_eq!(hub.visibility(&name("library/alpine"), None).await, Ok(Open));
    assert!(fake.requests().iter().all(|seen| seen.account.is_none()), "our credential was shown");
}

#[tokio::test]
async fn without_a_challenge_everything_is_public_and_with_passwords_nothing_is() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.knobs(|knobs| knobs.auth = Auth::Open);
    fake.image("library/alpine", "latest", &[]);
    assert_eq!(hub.visibility(&name("library/alpine"), None).await, Ok(Open));
    assert_eq!(fake.count(Kind::Token), 0);
    let (hub, ..) = super::client(&fake, credential);
    fake.account("robot", "s3cret", &[], None);
    fake.knobs(|knobs| knobs.auth = Auth::Basic);
    assert_eq!(hub.visibility(&name("library/alpine"), None).await, Ok(NotPublic));
    hub.head(&name("library/alpine"), &tag("latest"), Public).await.unwrap();
}

#[tokio::test]
async fn an_outage_is_no_verdict() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    fake.stop();
    let error = hub.visibility(&name("library/alpine"), None).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error:?}");
    fake.restart();
    fake.fault(Kind::Token, Fault::Status(500), 3);
    let error = hub.visibility(&name("library/alpine"), None).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error:?}");
    assert_eq!(hub.visibility(&name("library/alpine"), None).await, Ok(Open));
}
