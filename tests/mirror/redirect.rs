//! `blob_redirect`: clients are sent to the bucket for what it has, and for nothing else.

use std::{sync::Arc, time::Duration};

use registry_mirror::{
    mirror::{Refusal, Verdict, Want},
    settings::Settings,
};

use super::{APP, Bench, TYPE, body, name, noise};

fn redirecting() -> Bench {
    let bench = Bench::new();
    let settings = &bench.mirror.parts().settings;
    let now = Settings { blob_redirect: true, ..(*settings.load_full()).clone() };
    settings.store(Arc::new(now));
    bench
}

#[tokio::test(start_paused = true)]
async fn what_the_bucket_has_is_fetched_there_and_what_arrives_is_not() {
    let bench = redirecting();
    let bytes = noise(500_000);
    let digest = bench.script.blob(APP, bytes.clone());
    *bench.far.refuse_writes.lock().unwrap() = true;
    let arriving = bench.blob(digest).await.unwrap();
    assert!(arriving.link.is_none(), "it is not there yet");
    assert_eq!(body(arriving).await.unwrap(), bytes);
    bench.mirror.idle().await;
    let near = bench.blob(digest).await.unwrap();
    assert!(near.link.is_none() && near.verdict == Verdict::Disk, "{near:?}");

    *bench.far.refuse_writes.lock().unwrap() = false;
    while !bench.far.holds(&digest) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(bench.blob(digest).await.unwrap().link.is_none(), "it came there a moment ago");
    bench.clock.advance(Duration::from_secs(120));
    let kept = bench.blob(digest).await.unwrap();
    assert_eq!(kept.verdict, Verdict::Redirected);
    assert!(kept.body.is_none() && kept.size == 500_000);
    let link = kept.link.expect("an address");
    assert!(link.expose().contains(&digest.hex()));
    assert!(!format!("{link:?}").contains("signed"), "it is printed: {link:?}");

    let head = bench.mirror.blob(&name(APP), &digest, None, Want::Head).await.unwrap();
    assert!(head.link.is_none(), "a HEAD needs no bytes");
    let manifest = bench.script.manifest(APP, "1", TYPE, r#"{"layers":[]}"#);
    bench.tag("1").await.unwrap();
    bench.mirror.idle().await;
    assert!(bench.far.holds(&manifest));
    assert!(bench.tag("1").await.unwrap().bytes.is_some(), "manifests are never fetched there");
}

#[tokio::test(start_paused = true)]
async fn without_the_bucket_or_the_setting_the_node_serves_it() {
    let bench = redirecting();
    let bytes = noise(1000);
    let digest = bench.script.blob(APP, bytes.clone());
    assert_eq!(bench.bytes(digest).await, bytes);
    bench.mirror.idle().await;
    bench.clock.advance(Duration::from_secs(120));
    assert!(bench.blob(digest).await.unwrap().link.is_some());
    *bench.far.refuse_reads.lock().unwrap() = true;
    assert_eq!(bench.bytes(digest).await, bytes, "the bucket is away, the disk is not");

    let plain = Bench::new();
    let digest = plain.script.blob(APP, bytes.clone());
    assert_eq!(plain.bytes(digest).await, bytes);
    plain.mirror.idle().await;
    assert_eq!(plain.bytes(digest).await, bytes);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_sent_to_what_is_not_public() {
    let bench = redirecting();
    let bytes = noise(1000);
    let digest = bench.script.blob(APP, bytes.clone());
    assert_eq!(bench.bytes(digest).await, bytes);
    bench.mirror.idle().await;
    bench.script.private("acme/secret");
    let refused = bench.mirror.blob(&name("acme/secret"), &digest, None, Want::Body).await;
    assert_eq!(refused.map(|blob| blob.link).unwrap_err(), Refusal::NoRepository);
}
