//! Blobs: redirects, ranges, and bodies that break.

use std::time::Duration;

use futures_util::StreamExt;
use registry_mirror::{
    oci::{Algorithm, Digest},
    upstream::{Trust::Public, Upstream, UpstreamError},
};

use super::{Bench, credential, metric, name, read};
use crate::support::hub::{Fault, Hub, Image, Kind, Redirect, noise};

const LEN: usize = 300_000;

fn layered(fake: &Hub) -> Image {
    fake.account("robot", "s3cret", &[], None);
    fake.image("library/alpine", "3.20", &[noise(7, LEN)])
}

#[tokio::test]
async fn a_blob_comes_by_way_of_the_cdn_without_our_token() {
    let Bench { fake, hub, metrics, .. } = Bench::with(credential);
    let image = layered(&fake);
    let layer = &image.layers[0];
    let blob = hub.blob(&name("library/alpine"), &layer.digest, 0, Public).await.unwrap();
    assert_eq!(blob.total, Some(LEN as u64));
    assert_eq!(read(blob).await.unwrap(), layer.bytes[..]);
    assert!(fake.requests_of(Kind::Blob)[0].authorization);
    assert!(!fake.requests_of(Kind::Cdn)[0].authorization, "the token went to another port");
    assert_eq!((fake.count(Kind::Blob), fake.count(Kind::Cdn)), (1, 1));
    let text = metrics.text();
    assert!(text.contains(r#"{kind="Redirect",status="200"} 1"#), "{text}");
    let received: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("registry_mirror_upstream_bytes_total "))
        .unwrap()
        .parse()
        .unwrap();
    assert!(received >= LEN as u64, "{received} bytes were counted");
}

#[tokio::test]
async fn a_blob_in_place_and_sha512_and_empty_ones() {
    let Bench { fake, hub, .. } = Bench::new();
    fake.knobs(|knobs| knobs.redirect = Redirect::Inline);
    let repo = name("library/alpine");
    let body = noise(3, 1000);
    let long = Digest::of(Algorithm::Sha512, &body);
    fake.blob_as("library/alpine", long, body.clone());
    let empty = fake.blob("library/alpine", bytes::Bytes::new());
    assert_eq!(read(hub.blob(&repo, &long, 0, Public).await.unwrap()).await.unwrap(), body[..]);
    let blob = hub.blob(&repo, &empty, 0, Public).await.unwrap();
    assert_eq!(blob.total, Some(0));
    assert!(read(blob).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_size_is_told_by_head_redirected_or_not() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), image.layers[0].digest);
    for redirect_heads in [false, true] {
        fake.knobs(|knobs| knobs.redirect_heads = redirect_heads);
        let size = hub.blob_size(&repo, &layer, Public).await.unwrap();
        assert_eq!(size, Some(LEN as u64), "redirected: {redirect_heads}");
    }
    assert!(fake.requests_of(Kind::Cdn).iter().all(|seen| seen.method == "HEAD"));
}

#[tokio::test]
async fn a_transfer_goes_on_where_it_broke_off() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    fake.fault(Kind::Cdn, Fault::Cut(100_000), 1);
    let mut blob = hub.blob(&repo, &layer.digest, 0, Public).await.unwrap();
    let mut got = Vec::new();
    let error = loop {
        match blob.chunks.next().await.expect("a broken transfer ended as if it were whole") {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, UpstreamError::Unavailable { retry: true, .. }), "{error:?}");
    assert!(blob.chunks.next().await.is_none(), "it goes on after its error");
    fake.expire_tokens();
    fake.expire_urls();
    let rest = hub.blob(&repo, &layer.digest, got.len() as u64, Public).await.unwrap();
    assert_eq!(rest.total, Some(LEN as u64));
    got.extend(read(rest).await.unwrap());
    assert_eq!(got, layer.bytes[..]);
    let range = fake.requests_of(Kind::Cdn)[1].range.clone();
    assert!(range.is_some_and(|range| range.starts_with("bytes=")), "the whole was asked again");
}

#[tokio::test]
async fn a_range_that_is_ignored_is_skipped() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    for from in [1, 65_536, 200_001, LEN - 1, LEN] {
        fake.fault(Kind::Cdn, Fault::IgnoreRange, 1);
        let blob = hub.blob(&repo, &layer.digest, from as u64, Public).await.unwrap();
        assert_eq!(blob.total, Some(LEN as u64));
        assert_eq!(read(blob).await.unwrap(), layer.bytes[from..], "from {from}");
    }
}

#[tokio::test]
async fn a_range_that_lies_is_refused() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    for fault in [Fault::WrongRange(1), Fault::WrongTotal(1), Fault::TooShort(1)] {
        fake.fault(Kind::Cdn, fault.clone(), 1);
        let error = hub.blob(&repo, &layer.digest, 1000, Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { .. }), "{fault:?}: {error:?}");
    }
    let error = hub.blob(&repo, &layer.digest, LEN as u64, Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{error:?}");
    fake.fault(Kind::Cdn, Fault::IgnoreRange, 1);
    let error = hub.blob(&repo, &layer.digest, LEN as u64 + 1, Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{error:?}");
}

#[tokio::test]
async fn silence_ends_a_transfer() {
    let Bench { fake, hub, .. } =
        Bench::with(|config| config.timing.silence = Duration::from_millis(300));
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    fake.fault(Kind::Cdn, Fault::Stall(1000), 1);
    let blob = hub.blob(&repo, &layer.digest, 0, Public).await.unwrap();
    let error = read(blob).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_without_length_has_no_total() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let layer = &image.layers[0];
    fake.fault(Kind::Cdn, Fault::Chunked, 1);
    let blob = hub.blob(&name("library/alpine"), &layer.digest, 0, Public).await.unwrap();
    assert_eq!(blob.total, None);
    assert_eq!(read(blob).await.unwrap(), layer.bytes[..]);
}

#[tokio::test]
async fn an_address_that_has_expired_may_be_asked_for_again() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    fake.fault(Kind::Cdn, Fault::Status(403), 1);
    let error = hub.blob(&repo, &layer.digest, 0, Public).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { retry: true, .. }), "{error:?}");
    hub.blob(&repo, &layer.digest, 0, Public).await.unwrap();
}

#[tokio::test]
async fn five_redirects_are_followed_and_six_are_not() {
    let Bench { fake, hub, metrics, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    fake.knobs(|knobs| knobs.redirect = Redirect::Hops(4));
    let blob = hub.blob(&repo, &layer.digest, 5, Public).await.unwrap();
    assert_eq!(read(blob).await.unwrap(), layer.bytes[5..]);
    fake.knobs(|knobs| knobs.redirect = Redirect::Hops(5));
    let error = hub.blob(&repo, &layer.digest, 0, Public).await.unwrap_err();
    assert!(error.to_string().contains("too often"), "{error}");
    let line = r#"registry_mirror_upstream_requests_total{kind="Redirect",status="307"} 9"#;
    assert!(metric(&metrics, line), "{}", metrics.text());
}

#[tokio::test]
async fn redirects_lead_nowhere_near_this_network() {
    let Bench { fake, hub, .. } = Bench::new();
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    let port = fake.cdn_url().rsplit_once(':').unwrap().1.to_owned();
    for to in [
        format!("http://127.0.0.2:{port}/x?X-Amz-Signature=topsecret"),
        format!("http://localhost:{port}/x?X-Amz-Signature=topsecret"),
        format!("http://[::ffff:127.0.0.1]:{port}/x?X-Amz-Signature=topsecret"),
        "ftp://127.0.0.1/x?X-Amz-Signature=topsecret".to_owned(),
    ] {
        fake.knobs(|knobs| knobs.redirect = Redirect::To(to.clone()));
        let error = hub.blob(&repo, &layer.digest, 0, Public).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unavailable { retry: false, .. }), "{to}: {error}");
        assert!(!format!("{error} {error:?}").contains("topsecret"), "{error}");
    }
    assert_eq!(fake.count(Kind::Cdn), 0);
}

#[tokio::test]
async fn configured_hosts_may_be_anywhere() {
    let Bench { fake, hub, .. } =
        Bench::with(|config| config.redirect_hosts = vec!["localhost".to_owned()]);
    let image = layered(&fake);
    let (repo, layer) = (name("library/alpine"), &image.layers[0]);
    let port = fake.cdn_url().rsplit_once(':').unwrap().1.to_owned();
    let to = format!("http://localhost:{port}/hop/0?to={}", layer.digest);
    fake.knobs(|knobs| knobs.redirect = Redirect::To(to));
    let blob = hub.blob(&repo, &layer.digest, 0, Public).await.unwrap();
    assert_eq!(read(blob).await.unwrap(), layer.bytes[..]);
}
