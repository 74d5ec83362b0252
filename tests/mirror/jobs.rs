//! What those who look after the cache ask for.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use registry_mirror::{
    mirror::{Job, Line, Mirror, Parts},
    oci::Digest,
    store::{Area, BackLink, Key, Meta, Store},
};
use tokio::{runtime::Handle, sync::Notify, time::timeout};

use super::{
    APP, Bench, TYPE,
    gated::{GATE, Gate, Gated},
    name, noise,
};
use crate::support::scripted::Transfer;

impl Bench {
    /// What a job tells, without its progress.
    async fn job(&self, job: Job) -> Vec<Line> {
        told(&self.mirror, job).await
    }

    /// The same store, behind a mirror that remembers nothing and whose every call can be stopped.
    fn gated(&self) -> Mirror {
        let far = Arc::new(Gated(self.far.clone()));
        let parts = self.mirror.parts().clone();
        Mirror::new(Parts { far: far.clone(), records: far, near: None, ..parts }).unwrap()
    }

    /// A manifest of these blobs; `mark` makes it differ from others of them.
    fn image(&self, name: &str, tag: &str, blobs: &[Digest], mark: &str) -> Digest {
        self.script.manifest(name, tag, TYPE, &manifest(blobs, mark))
    }

    /// Content that another program put there, for these repositories.
    fn adopt(&self, digest: Digest, bytes: Bytes, repositories: &[&str]) {
        self.far.insert(&public(digest), bytes, Meta::default());
        let links = repositories.iter().map(|repository| (name(repository), digest));
        self.far.links.lock().unwrap().extend(links);
    }

    fn handed_back(&self) -> BTreeSet<BackLink> {
        self.far.handed_back.lock().unwrap().iter().cloned().collect()
    }
}

async fn told(mirror: &Mirror, job: Job) -> Vec<Line> {
    let told = Mutex::new(Vec::new());
    mirror.run(job, &|line| told.lock().unwrap().push(line)).await;
    let mut told = told.into_inner().unwrap();
    told.retain(|line| !matches!(line, Line::Progress { .. }));
    told
}

fn purge(images: &[&str]) -> Job {
    let images = images.iter().map(|image| image.parse().unwrap()).collect();
    Job::Purge { images, dry_run: false }
}

fn manifest(blobs: &[Digest], mark: &str) -> String {
    let layers: Vec<String> =
        blobs.iter().map(|blob| format!(r#"{{"digest":"{blob}","size":1}}"#)).collect();
    format!(r#"{{"layers":[{}],"mark":"{mark}"}}"#, layers.join(","))
}

fn public(digest: Digest) -> Key {
    Key { area: Area::Public, digest }
}

/// Whether all was as it should be; panics if the job came to no end.
fn is_fine(told: &[Line]) -> bool {
    match told.last() {
        Some(Line::Done { fine, .. }) => *fine,
        other => panic!("it came to no end: {other:?}"),
    }
}

fn gone(told: &[Line]) -> BTreeSet<String> {
    told.iter()
        .filter_map(|line| match line {
            Line::Gone { digest, .. } => Some(digest.clone()),
            _ => None,
        })
        .collect()
}

fn faults(told: &[Line]) -> Vec<&str> {
    told.iter()
        .filter_map(|line| match line {
            Line::Fault { what } => Some(what.as_str()),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_way_back_opens_nothing_that_is_not_public() {
    let bench = Bench::new();
    let [own, adopted, secret] = [noise(100), noise(200), noise(300)];
    let layers = [&own, &adopted, &secret].map(|bytes| Digest::sha256(bytes));
    bench.script.blob(APP, own);
    bench.adopt(layers[1], adopted, &[APP]);
    bench.adopt(layers[2], secret.clone(), &["acme/secret"]);
    let image = bench.image(APP, "1", &layers, "");
    bench.tag("1").await.unwrap();
    bench.bytes(layers[0]).await;
    bench.mirror.idle().await;
    let checked = bench.now();
    bench.clock.advance(Duration::from_secs(3600));
    let told = bench.job(Job::HandBack).await;
    let tag = "1".parse().unwrap();
    let expected = [
        BackLink::Blob(name(APP), layers[0]),
        BackLink::Manifest(name(APP), image),
        BackLink::Tag(name(APP), tag, image, checked),
    ];
    assert_eq!(bench.handed_back(), BTreeSet::from(expected));
    let hex = layers[2].hex();
    assert!(faults(&told).iter().any(|what| what.contains(&hex)), "{told:?}");
    assert!(!is_fine(&told));
}

#[tokio::test(start_paused = true)]
async fn the_way_back_tells_each_image_that_it_leaves_out() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    bench.image(APP, "1", &[], "");
    let other = bench.image(APP, "2", &[], "other");
    bench.tag("1").await.unwrap();
    bench.tag("2").await.unwrap();
    bench.mirror.idle().await;
    // What the old registry wrote since stands.
    let linked = (name(APP), "2".parse().unwrap());
    let newer = bench.now() + Duration::from_secs(60);
    bench.far.tag_links.lock().unwrap().insert(linked, (Digest::sha256(b"newer"), newer));
    assert!(is_fine(&bench.job(Job::HandBack).await));
    let of_tags = |link: &BackLink| match link {
        BackLink::Tag(_, tag, ..) => Some(tag.to_string()),
        _ => None,
    };
    assert_eq!(bench.handed_back().iter().filter_map(of_tags).collect::<Vec<_>>(), ["1"]);
    let damaged = Meta { media_type: None, verified: true };
    bench.far.insert(&public(other), Bytes::from("{}"), damaged);
    let told = told(&bench.restarted(), Job::HandBack).await;
    assert_eq!(faults(&told), [format!("`{APP}`: `{other}` is damaged, or no manifest")]);
    assert!(!is_fine(&told));
}

/// Two images that share a layer, of the second an adopted manifest, pulled; and of each the layer
/// that is its own.
struct Two {
    bench: Bench,
    /// Of the one, its index, its manifest and its layer.
    one: [Digest; 3],
    /// Of the other, its manifest and its layers, one of them shared.
    other: [Digest; 3],
}

impl Two {
    async fn pulled() -> Self {
        let bench = Bench::on(&Handle::current(), false, |_| {});
        let layers = [10, 20, 30].map(|length| bench.script.blob(APP, noise(length)));
        let [own, shared, others] = layers;
        let one = bench.image(APP, "platform", &[own, shared], "");
        bench.script.untag(APP, "platform");
        let index = format!(r#"{{"manifests":[{{"digest":"{one}","size":1}}]}}"#);
        let index = bench.script.manifest(APP, "1", TYPE, &index);
        let other = bench.image(APP, "2", &[shared, others], "other");
        let text = manifest(&[shared, others], "other");
        bench.adopt(other, Bytes::from(text), &[APP]);
        for tag in ["1", "2"] {
            bench.tag(tag).await.unwrap();
        }
        bench.digest(one).await.unwrap();
        for layer in layers {
            bench.bytes(layer).await;
        }
        bench.mirror.idle().await;
        bench.mirror.report_use().await.unwrap();
        let (one, other) = ([index, one, own], [other, shared, others]);
        Self { bench, one, other }
    }

    fn record(&self, tag: &str) -> Option<String> {
        self.bench.far.record(&format!("upstreams/docker.io/repositories/{APP}/_tags/{tag}"))
    }

    #[track_caller]
    fn other_is_whole(&self) {
        for digest in &self.other {
            assert!(self.bench.far.holds(digest), "the other image lost `{digest}`");
        }
        assert!(self.record("2").is_some(), "the other image lost its tag");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_fails_or_dies_anywhere_costs_no_other_image_and_can_be_done_again() {
    for fails in [true, false] {
        for call in 0.. {
            let two = Two::pulled().await;
            let left = AtomicI64::new(call);
            let gate = Arc::new(Gate { left, open: Notify::new(), fails });
            let mirror = two.bench.gated();
            let purging = GATE.scope(gate.clone(), told(&mirror, purge(&["acme/app:1"])));
            let ended = timeout(Duration::from_secs(3600), purging).await;
            let whole = gate.left.load(Ordering::SeqCst) >= 0;
            match ended {
                Ok(told) if whole => assert!(is_fine(&told), "{told:?}"),
                Ok(told) => assert!(matches!(told.last(), Some(Line::Failed { .. })), "{told:?}"),
                Err(_) => assert!(!fails, "it hangs"),
            }
            two.other_is_whole();
            let again = told(&two.bench.gated(), purge(&["acme/app:1"])).await;
            assert_eq!(is_fine(&again), !whole, "after call {call}: {again:?}");
            for digest in &two.one {
                assert!(!two.bench.far.holds(digest), "`{digest}` stayed after call {call}");
            }
            assert_eq!(two.record("1"), None);
            two.other_is_whole();
            if whole {
                assert!(call > 20, "only {call} calls were tried");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_tells_what_was_there_and_spares_what_is_anothers() {
    let bench = Bench::new();
    let layers = [noise(10), noise(20), noise(30), noise(40)];
    let [pulled, never, own, others] = layers.each_ref().map(|bytes| Digest::sha256(bytes));
    bench.script.blob(APP, layers[0].clone());
    bench.adopt(own, layers[2].clone(), &[APP]);
    bench.adopt(others, layers[3].clone(), &["acme/other"]);
    let image = bench.image(APP, "1", &[pulled, never, own, others], "");
    bench.tag("1").await.unwrap();
    bench.bytes(pulled).await;
    bench.mirror.idle().await;
    let told_ = bench.job(purge(&["acme/app:1"])).await;
    let expected = [pulled, own, image].map(|digest| digest.to_string());
    assert_eq!(gone(&told_), BTreeSet::from(expected));
    assert!(bench.far.holds(&others), "another program needs it");
    let listed = bench.job(Job::List { image: None }).await;
    assert_eq!(listed, [Line::Done { summary: "0 images".into(), fine: true }]);
}

#[tokio::test(start_paused = true)]
async fn verify_names_what_it_cannot_read_and_goes_on() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    let layers = [30_000, 40_000].map(|length| bench.script.blob(APP, noise(length)));
    bench.image(APP, "1", &layers, "");
    bench.tag("1").await.unwrap();
    for layer in layers {
        bench.bytes(layer).await;
    }
    bench.mirror.idle().await;
    let image = Some("acme/app:1".parse().unwrap());
    for job in [Job::Verify { image: None }, Job::Verify { image }] {
        assert!(is_fine(&bench.job(job.clone()).await));
        // Each body beyond the manifest's length breaks off; the manifest is read.
        *bench.far.cut_at.lock().unwrap() = Some(10_000);
        let told_ = told(&bench.restarted(), job).await;
        *bench.far.cut_at.lock().unwrap() = None;
        let named: Vec<&str> = faults(&told_);
        for layer in &layers {
            let text = layer.to_string();
            assert_eq!(named.iter().filter(|what| what.contains(&text)).count(), 1, "{told_:?}");
            assert!(bench.far.holds(layer), "what cannot be read is not damaged");
        }
        assert!(!is_fine(&told_), "{told_:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn verify_reads_twice_before_it_drops() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    let layer = bench.script.blob(APP, noise(30_000));
    bench.bytes(layer).await;
    bench.mirror.idle().await;
    // One reading is wrong, the next is right.
    bench.far.spoil(1);
    assert!(is_fine(&bench.job(Job::Verify { image: None }).await));
    assert!(bench.far.holds(&layer), "it was dropped after one reading");
    bench.far.spoil(2);
    let told = bench.job(Job::Verify { image: None }).await;
    assert_eq!(faults(&told), [format!("`{layer}` was damaged and is dropped")]);
    assert!(!bench.far.holds(&layer));
}

#[tokio::test(start_paused = true)]
async fn verify_gives_up_where_the_store_is_away() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    for length in 0..20 {
        let layer = bench.script.blob(APP, noise(30_000 + length));
        bench.bytes(layer).await;
    }
    bench.mirror.idle().await;
    *bench.far.cut_at.lock().unwrap() = Some(0);
    let told = bench.job(Job::Verify { image: None }).await;
    assert!(matches!(told.last(), Some(Line::Failed { .. })), "{told:?}");
    assert_eq!(faults(&told).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn warm_says_kept_only_of_what_is() {
    let bench = Bench::on(&Handle::current(), false, |_| {});
    let layer = bench.script.blob(APP, noise(30_000));
    bench.image(APP, "1", &[layer], "");
    let warm = || Job::Warm { images: vec!["acme/app:1".parse().unwrap()], platforms: vec![] };
    *bench.far.denied.lock().unwrap() = Some(layer);
    let told_ = bench.job(warm()).await;
    assert_eq!(faults(&told_), [format!("`acme/app:1`: `{layer}` was pulled and is not kept")]);
    let Some(Line::Done { summary, fine: false }) = told_.last() else { panic!("{told_:?}") };
    assert!(summary.starts_with("0 of 1 images are kept"), "{summary}");
    *bench.far.denied.lock().unwrap() = None;
    assert!(is_fine(&bench.job(warm()).await));
    assert!(bench.far.holds(&layer));
}

#[tokio::test(start_paused = true)]
async fn verify_costs_no_good_copy_and_mends_the_store_from_it() {
    for near in [true, false] {
        let bench = Bench::on(&Handle::current(), near, |_| {});
        let bytes = noise(30_000);
        let layer = bench.script.blob(APP, bytes.clone());
        let image = bench.image(APP, "1", &[layer], "");
        bench.tag("1").await.unwrap();
        bench.bytes(layer).await;
        bench.mirror.idle().await;
        let right = bench.far.bytes(&public(image)).unwrap();
        let meta = bench.far.head(&public(image)).await.unwrap().unwrap().meta;
        bench.far.insert(&public(image), Bytes::from_static(b"{}"), meta);
        let verified = Meta { media_type: None, verified: true };
        bench.far.insert(&public(layer), noise(40), verified);
        bench.script.fail(Some(registry_mirror::upstream::UpstreamError::passing("away")));
        let told = bench.job(Job::Verify { image: None }).await;
        let has = |what: &str| faults(&told).contains(&what);
        let end = "was damaged and is replaced by what this node has of it";
        // The manifest is in memory, too.
        assert!(has(&format!("`{image}` {end}")), "{told:?}");
        assert_eq!(bench.far.bytes(&public(image)), Some(right));
        if near {
            assert!(has(&format!("`{layer}` {end}")), "{told:?}");
            assert_eq!(bench.far.bytes(&public(layer)), Some(bytes.clone()));
            assert_eq!(bench.bytes(layer).await, bytes);
        } else {
            assert!(has(&format!("`{layer}` was damaged and is dropped")), "{told:?}");
            assert!(!bench.far.holds(&layer));
        }
        assert!(is_fine(&bench.job(Job::Verify { image: None }).await));
        assert!(bench.tag("1").await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_program_left_damaged_is_not_replaced_as_ours() {
    let bench = Bench::new();
    let bytes = noise(30_000);
    let layer = bench.script.blob(APP, bytes.clone());
    bench.bytes(layer).await;
    bench.mirror.idle().await;
    bench.adopt(layer, noise(40), &["acme/other"]);
    let told = bench.job(Job::Verify { image: None }).await;
    assert_eq!(faults(&told), [format!("`{layer}` was damaged and is dropped")]);
    assert!(!bench.far.holds(&layer), "it would be opened to whoever names it");
    assert_eq!(bench.bytes(layer).await, bytes);
}

#[tokio::test(start_paused = true)]
async fn warm_waits_for_nobody_elses_pulls() {
    for near in [true, false] {
        let bench = Bench::on(&Handle::current(), near, |_| {});
        let slow = bench.script.blob(APP, noise(10_000_000));
        bench.script.next([Transfer::Slow(Duration::from_secs(10))]);
        let arriving = bench.blob(slow).await.unwrap();
        let layer = bench.script.blob(APP, noise(30_000));
        bench.image(APP, "1", &[layer], "");
        let job = Job::Warm { images: vec!["acme/app:1".parse().unwrap()], platforms: vec![] };
        let told = timeout(Duration::from_secs(60), bench.job(job)).await.expect("it waits");
        assert!(is_fine(&told), "{told:?}");
        assert!(timeout(Duration::from_secs(1), bench.mirror.idle()).await.is_err());
        drop(arriving);
    }
}
