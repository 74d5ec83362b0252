//! What those who look after the cache ask for.

use std::{collections::BTreeSet, sync::Mutex};

use bytes::Bytes;
use registry_mirror::{
    mirror::{Job, Line},
    oci::Digest,
    store::{Area, BackLink, Key, Meta},
};

use super::{APP, Bench, TYPE, name, noise};

impl Bench {
    /// What a job tells, without its progress.
    async fn job(&self, job: Job) -> Vec<Line> {
        let told = Mutex::new(Vec::new());
        self.mirror.run(job, &|line| told.lock().unwrap().push(line)).await;
        let mut told = told.into_inner().unwrap();
        told.retain(|line| !matches!(line, Line::Progress { .. }));
        told
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

fn manifest(blobs: &[Digest], mark: &str) -> String {
    let layers: Vec<String> =
        blobs.iter().map(|blob| format!(r#"{{"digest":"{blob}","size":1}}"#)).collect();
    format!(r#"{{"layers":[{}],"mark":"{mark}"}}"#, layers.join(","))
}

fn public(digest: Digest) -> Key {
    Key { area: Area::Public, digest }
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
    let told = bench.job(Job::HandBack).await;
    let tag = "1".parse().unwrap();
    let expected = [
        BackLink::Blob(name(APP), layers[0]),
        BackLink::Manifest(name(APP), image),
        BackLink::Tag(name(APP), tag, image),
    ];
    assert_eq!(bench.handed_back(), BTreeSet::from(expected));
    let hex = layers[2].hex();
    assert!(faults(&told).iter().any(|what| what.contains(&hex)), "{told:?}");
}
