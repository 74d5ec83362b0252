//! Promise 10: credentials lift the rate limit, they do not open doors.

use std::time::Duration;

use registry_mirror::{
    mirror::{Refusal, Want},
    oci::Reference,
    upstream::UpstreamError,
};

use super::{APP, Bench, Private, TYPE, body, count, name, noise};

const SECRET: &str = "acme/secret";

#[tokio::test(start_paused = true)]
async fn what_is_not_public_is_unknown() {
    let bench = Bench::new();
    let bytes = noise(1000);
    let digest = bench.script.blob(SECRET, bytes);
    bench.script.manifest(SECRET, "1", TYPE, "{}");
    bench.script.private(SECRET);
    let secret = name(SECRET);
    let tag = Reference::Tag("1".parse().unwrap());
    for _ in 0..3 {
        let manifest = bench.mirror.manifest(&secret, &tag, Want::Body).await.unwrap_err();
        let blob = bench.mirror.blob(&secret, &digest, None, Want::Body).await.unwrap_err();
        let tags = bench.mirror.tags(&secret, "").await.unwrap_err();
        assert_eq!([manifest, blob, tags], [const { Refusal::NoRepository }; 3]);
    }
    let asked = &bench.script.asked;
    assert_eq!(count(&asked.visibility), 1, "the verdict is remembered");
    assert_eq!([&asked.heads, &asked.manifests, &asked.blobs].map(count), [0; 3]);
    bench.clock.advance(Duration::from_secs(31));
    assert!(bench.mirror.tags(&secret, "").await.is_err());
    assert_eq!(count(&asked.visibility), 2, "the verdict is not for ever");
}

#[tokio::test(start_paused = true)]
async fn public_is_believed_for_a_day_and_longer_while_nobody_can_be_asked() {
    let bench = Bench::new();
    bench.script.manifest(APP, "1", TYPE, "{}");
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    bench.script.fail(Some(UpstreamError::passing("down")));
    bench.clock.advance(Duration::from_secs(3 * 24 * 3600));
    bench.tag("1").await.unwrap();
    // A node that knows it only from the record goes by the same rule.
    let bench = Bench { mirror: bench.restarted(), ..bench };
    bench.tag("1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_ever_checked_is_refused_while_nobody_can_be_asked() {
    let bench = Bench::new();
    let digest = bench.script.manifest(APP, "1", TYPE, "{}");
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    bench.script.fail(Some(UpstreamError::passing("down")));
    let other = name("acme/other");
    let reference = Reference::Digest(digest);
    let refused = bench.mirror.manifest(&other, &reference, Want::Body).await.unwrap_err();
    assert!(matches!(refused, Refusal::Upstream { .. }), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn under_allow_private_content_is_kept_apart() {
    let bench = Bench::with(|settings| settings.private_repositories = Private::Allow);
    let bytes = noise(1000);
    let digest = bench.script.blob(SECRET, bytes.clone());
    bench.script.private(SECRET);
    let secret = name(SECRET);
    let blob = bench.mirror.blob(&secret, &digest, None, Want::Body).await.unwrap();
    assert_eq!(body(blob).await.unwrap(), bytes);
    bench.mirror.idle().await;
    // Another repository does not get it by its digest, public or not.
    bench.script.private("acme/other");
    for other in [APP, "acme/other"] {
        let refused = bench.mirror.blob(&name(other), &digest, None, Want::Body).await;
        assert_eq!(refused.unwrap_err(), Refusal::NoBlob, "served through {other}");
    }
    let mut settings = (**bench.settings.load()).clone();
    settings.private_repositories = Private::Deny;
    bench.settings.store(settings.into());
    let refused = bench.mirror.blob(&secret, &digest, None, Want::Body).await;
    assert_eq!(refused.unwrap_err(), Refusal::NoRepository, "served under `deny`");
}
