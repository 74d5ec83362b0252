//! Manifests, listings, and upstreams that fail.

use std::{sync::Arc, time::Duration};

use registry_mirror::{
    clock::SystemClock,
    oci::{Digest, Reference},
    telemetry::Metrics,
    upstream::{Hub as Client, HubConfig, Trust::Public, Upstream, UpstreamError},
};

use super::{Bench, credential, metric, name, tag};
use crate::support::hub::{Fault, Gate, Hub, Kind, noise};

#[tokio::test]
async fn nothing_is_asked_at_construction() {
    let bench = Bench::with(credential);
    assert_eq!(bench.fake.total(), 0);
}

#[tokio::test]
async fn manifests_come_as_they_are() {
    let Bench { fake, hub, .. } = Bench::new();
    let repo = name("library/alpine");
    let image = fake.image("library/alpine", "3.20", &[noise(1, 100)]);
    let docker = fake.docker_image("library/alpine", "docker", &[noise(2, 100)]);
    let index = fake.index("library/alpine", "multi");
    let list = fake.docker_list("library/alpine", "list");
    for (tagged, digest, media_type, bytes) in [
        ("3.20", image.digest, &image.media_type, &image.bytes),
        ("docker", docker.digest, &docker.media_type, &docker.bytes),
        ("multi", index.digest, &index.media_type, &index.bytes),
        ("list", list.digest, &list.media_type, &list.bytes),
    ] {
        for reference in [tag(tagged), Reference::Digest(digest)] {
            let head = hub.head(&repo, &reference, Public).await.unwrap();
            assert_eq!(head.digest, Some(digest));
            assert_eq!(head.size, Some(bytes.len() as u64));
            assert_eq!(head.media_type.unwrap().as_str(), media_type);
            let manifest = hub.manifest(&repo, &reference, Public).await.unwrap();
            assert_eq!(&manifest.bytes, bytes);
            assert_eq!(manifest.digest, digest);
            assert_eq!(manifest.media_type.as_str(), media_type);
        }
    }
    for child in &index.children {
        let reference = Reference::Digest(child.digest);
        assert_eq!(hub.manifest(&repo, &reference, Public).await.unwrap().bytes, child.bytes);
    }
    assert_eq!(fake.count(Kind::Token), 1, "one token does for all of a repository");
}

#[tokio::test]
async fn one_pull_is_one_request() {
    let Bench { fake, hub, metrics, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    hub.manifest(&name("library/alpine"), &tag("3.20"), Public).await.unwrap();
    assert_eq!(fake.count(Kind::Manifest), 1);
    assert_eq!((fake.count(Kind::Ping), fake.count(Kind::Token)), (1, 1));
    let seen = &fake.requests_of(Kind::Manifest)[0];
    assert!(seen.authorization);
    let line = r#"registry_mirror_upstream_requests_total{kind="Manifest",status="200"} 1"#;
    assert!(metric(&metrics, line), "{}", metrics.text());
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_counted() {
    let Bench { fake, hub, metrics, .. } = Bench::new();
    let image = fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    fake.fault(Kind::Manifest, Fault::Wrong, 2);
    for reference in [tag("3.20"), Reference::Digest(image.digest)] {
        let error = hub.manifest(&repo, &reference, Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{error}");
    }
    assert!(metric(&metrics, "registry_mirror_mismatches_total 2"), "{}", metrics.text());
    hub.manifest(&repo, &tag("3.20"), Public).await.unwrap();
}

#[tokio::test]
async fn a_manifest_without_digest_header_is_hashed() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = fake.image("library/alpine", "3.20", &[]);
    fake.knobs(|knobs| knobs.digest_header = false);
    let repo = name("library/alpine");
    assert_eq!(hub.head(&repo, &tag("3.20"), Public).await.unwrap().digest, None);
    let manifest = hub.manifest(&repo, &tag("3.20"), Public).await.unwrap();
    assert_eq!(manifest.digest, image.digest);
}

#[tokio::test]
async fn a_manifest_may_not_be_too_long_cut_or_silent() {
    let Bench { fake, hub, .. } =
        Bench::with(|config| config.timing.silence = Duration::from_millis(300));
    let repo = name("library/alpine");
    fake.image("library/alpine", "3.20", &[]);
    for fault in [Fault::TooLong(5 << 20), Fault::Cut(10), Fault::Stall(10)] {
        fake.fault(Kind::Manifest, fault.clone(), 1);
        let error = hub.manifest(&repo, &tag("3.20"), Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { .. }), "{fault:?}: {error}");
    }
    let body = format!("\"{}\"", "x".repeat(5 << 20));
    fake.manifest(
        "library/alpine",
        Some("huge"),
        "application/vnd.oci.image.index.v1+json",
        body.as_bytes(),
    );
    fake.fault(Kind::Manifest, Fault::Chunked, 1);
    let error = hub.manifest(&repo, &tag("huge"), Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{error}");
}

#[tokio::test]
async fn a_head_that_is_not_allowed_becomes_a_get() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = fake.image("library/alpine", "3.20", &[]);
    fake.knobs(|knobs| knobs.no_head = true);
    let head = hub.head(&name("library/alpine"), &tag("3.20"), Public).await.unwrap();
    assert_eq!(head.digest, Some(image.digest));
    assert_eq!(head.size, Some(image.bytes.len() as u64));
    assert_eq!((fake.count(Kind::Head), fake.count(Kind::Manifest)), (1, 1));
}

#[tokio::test]
async fn a_head_never_costs_a_pull() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    fake.anonymous_limit(Some(100));
    for _ in 0..10 {
        hub.head(&name("library/alpine"), &tag("3.20"), Public).await.unwrap();
    }
    assert_eq!(fake.count(Kind::Manifest), 0);
    assert_eq!(hub.limits().remaining, Some(100));
}

#[tokio::test]
async fn what_is_not_there_is_unknown() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    let absent = Digest::sha256(b"absent");
    let unknown = Some(UpstreamError::Unknown);
    assert_eq!(hub.head(&repo, &tag("gone"), Public).await.err(), unknown);
    assert_eq!(hub.manifest(&repo, &tag("gone"), Public).await.err(), unknown);
    assert_eq!(hub.blob(&repo, &absent, 0, Public).await.err(), unknown);
    assert_eq!(hub.blob_size(&repo, &absent, Public).await.err(), unknown);
    fake.knobs(|knobs| knobs.referrers = false);
    assert_eq!(hub.referrers(&repo, &image.digest, "", Public).await.err(), unknown);
}

#[tokio::test]
async fn a_failure_is_never_an_unknown() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = fake.image("library/alpine", "3.20", &[noise(1, 100)]);
    let repo = name("library/alpine");
    let layer = image.layers[0].digest;
    for status in [500, 502, 503, 504] {
        for kind in [Kind::Head, Kind::Manifest, Kind::Blob, Kind::BlobHead, Kind::Tags] {
            fake.fault(kind, Fault::Status(status), 3);
        }
        for error in [
            hub.head(&repo, &tag("3.20"), Public).await.unwrap_err(),
            hub.manifest(&repo, &tag("3.20"), Public).await.unwrap_err(),
            hub.blob(&repo, &layer, 0, Public).await.unwrap_err(),
            hub.blob_size(&repo, &layer, Public).await.unwrap_err(),
            hub.tags(&repo, "", Public).await.unwrap_err(),
        ] {
            assert!(matches!(error, UpstreamError::Unavailable { retry: true, .. }), "{error:?}");
        }
    }
    fake.fault(Kind::Cdn, Fault::Status(404), 1);
    let error = hub.blob(&repo, &layer, 0, Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "a CDN has no say: {error:?}");
    for status in [400, 418, 451] {
        fake.fault(Kind::Manifest, Fault::Status(status), 1);
        let error = hub.manifest(&repo, &tag("3.20"), Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    for fault in [Fault::Status(503), Fault::Drop] {
        fake.fault(Kind::Head, fault, 2);
        hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    }
    assert!(fake.count(Kind::Head) >= 6);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_unavailable_and_comes_back() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    fake.stop();
    let error = hub.head(&repo, &tag("3.20"), Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: true, .. }), "{error:?}");
    assert!(!error.to_string().contains("127.0.0.1"), "an address in `{error}`");
    fake.restart();
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_never_comes_has_a_deadline() {
    let Bench { fake, hub, metrics, .. } =
        Bench::with(|config| config.timing.head = Duration::from_secs(1));
    fake.image("library/alpine", "3.20", &[]);
    let repo = name("library/alpine");
    hub.head(&repo, &tag("3.20"), Public).await.unwrap();
    fake.fault(Kind::Head, Fault::Hang, 1);
    let error = hub.head(&repo, &tag("3.20"), Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: true, .. }), "{error:?}");
    let line = r#"registry_mirror_upstream_requests_total{kind="Head",status="0"} 1"#;
    assert!(metric(&metrics, line), "{}", metrics.text());
}

#[test]
fn it_may_be_awaited_on_a_runtime_that_goes_away() {
    let engine =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (fake, hub) = engine.block_on(async {
        let Bench { fake, hub, .. } = Bench::new();
        (fake, hub)
    });
    let image = fake.image("library/alpine", "3.20", &[noise(1, 1 << 20)]);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    let gate = Gate::closed();
    fake.fault(Kind::Cdn, Fault::HoldBody(1000, gate.clone()), 1);
    let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let blob = worker.block_on(hub.blob(&repo, &layer.digest, 0, Public)).unwrap();
    drop(worker);
    gate.open();
    assert_eq!(engine.block_on(super::read(blob)).unwrap(), layer.bytes[..]);
}

#[test]
fn who_hangs_up_takes_the_request_along() {
    let engine =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = Hub::start();
    fake.image("library/alpine", "3.20", &[]);
    let config = HubConfig { url: fake.url(), ..HubConfig::default() };
    let clock = Arc::new(SystemClock);
    // Made outside of any runtime, as a program may.
    let hub = Client::new(config, engine.handle().clone(), clock, Metrics::new()).unwrap();
    fake.fault(Kind::Head, Fault::Hang, 1);
    let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (repo, reference) = (name("library/alpine"), tag("3.20"));
    let alive = || engine.metrics().num_alive_tasks();
    let within_bounds = |done: &dyn Fn() -> bool, what: &str| {
        let began = std::time::Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::yield_now();
        }
    };
    let during = worker.block_on(async {
        let mut head = hub.head(&repo, &reference, Public);
        assert!(futures_util::poll!(&mut head).is_pending());
        within_bounds(&|| fake.count(Kind::Head) == 1, "it was never asked");
        alive()
    });
    within_bounds(&|| alive() + 2 <= during, "the request or its connection lives on");
}

#[tokio::test]
async fn tags_come_page_by_page() {
    let Bench { fake, hub, .. } = Bench::new();
    for n in 0..5 {
        fake.image("library/alpine", &format!("3.{n}"), &[]);
    }
    let repo = name("library/alpine");
    let (mut query, mut pages) = ("n=2".to_owned(), Vec::new());
    loop {
        let page = hub.tags(&repo, &query, Public).await.unwrap();
        assert_eq!(page.media_type.as_str(), "application/json");
        let json: serde_json::Value = serde_json::from_slice(&page.bytes).unwrap();
        pages.push(json["tags"].to_string());
        match page.next {
            Some(next) => query = next,
            None => break,
        }
    }
    assert_eq!(pages, [r#"["3.0","3.1"]"#, r#"["3.2","3.3"]"#, r#"["3.4"]"#]);
}

#[tokio::test]
async fn referrers_are_passed_through() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = fake.image("library/alpine", "3.20", &[]);
    let artifact = fake.artifact("library/alpine", Some(&image.digest), "text/sbom");
    fake.artifact("library/alpine", Some(&image.digest), "text/other");
    let repo = name("library/alpine");
    let query = "artifactType=text%2Fsbom";
    let list = hub.referrers(&repo, &image.digest, query, Public).await.unwrap();
    assert_eq!(list.filters.as_deref(), Some("artifactType"));
    let json: serde_json::Value = serde_json::from_slice(&list.bytes).unwrap();
    assert_eq!(json["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(json["manifests"][0]["digest"], artifact.digest.to_string());
    let all = hub.referrers(&repo, &image.digest, "", Public).await.unwrap();
    assert_eq!(all.filters, None);
}
