//! `cache`: the same answers from a running service and, where none runs, from its store.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    time::Instant,
};

use super::{
    client::{PATIENCE, ask, connect, get},
    reload::Node,
};
use crate::support::{
    hub::{Hub, Kind, noise},
    run::{Bench, Ran},
};

impl Node {
    fn cache(&self, words: &[&str]) -> Ran {
        self.bench.run([&["cache"], words, &["-i", "mirror.yml"]].concat())
    }

    fn token(&self) -> String {
        fs::read_to_string(self.bench.path().join("runtime/token")).unwrap().trim().to_owned()
    }

    fn pull(&self, name: &str, tag: &str, blobs: &[String]) {
        assert_eq!(get(self.address, &format!("/v2/{name}/manifests/{tag}")).status, 200);
        for blob in blobs {
            assert_eq!(get(self.address, &format!("/v2/{name}/blobs/{blob}")).status, 200);
        }
    }

    /// Where the store keeps content.
    fn file(&self, digest: &str) -> std::path::PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = format!("data/store/content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]);
        self.bench.path().join(path)
    }

    fn end(mut self) -> Self {
        self.signal(rustix::process::Signal::TERM);
        self.program.0.wait().unwrap();
        self
    }
}

/// Two images that share a layer, pulled.
fn pulled() -> (Hub, Node, [String; 3], [String; 2]) {
    let hub = Hub::start();
    let layers = [noise(1, 50_000), noise(2, 60_000), noise(3, 70_000)];
    let one = hub.image("library/one", "1", &[layers[0].clone(), layers[1].clone()]);
    let two = hub.image("library/two", "2", &[layers[1].clone(), layers[2].clone()]);
    let node = Node::start(&hub.url(), "tag_ttl: 1h\n");
    for (name, tag, image) in [("library/one", "1", &one), ("library/two", "2", &two)] {
        let blobs: Vec<String> = image
            .layers
            .iter()
            .chain([&image.config])
            .map(|content| content.digest.to_string())
            .collect();
        node.pull(name, tag, &blobs);
    }
    let digests = layers.map(|layer| registry_mirror::oci::Digest::sha256(&layer).to_string());
    (hub, node, digests, [one.digest.to_string(), two.digest.to_string()])
}

#[test]
fn both_ways_tell_the_same() {
    let (_hub, node, _, [one, two]) = pulled();
    let first = node.cache(&["ls"]).ended(0).says(&["2 images"]);
    for part in ["library/one:1", "library/two:2", &one, &two, "KiB", "used 20"] {
        assert!(first.stdout.contains(part), "`{part}` is missing:\n{}", first.stdout);
    }
    node.cache(&["ls", "two:2"]).ended(0).hides(&["library/one"]);
    let usage = node.cache(&["du"]).ended(0).says(&["7 objects", "in the store"]);
    node.cache(&["verify"]).ended(0).says(&["7 objects", "0 were wrong"]);
    node.cache(&["gc", "--dry-run"]).ended(0).says(&["0 objects (0 bytes) would go, 7 "]);
    node.cache(&["gc"]).ended(0).says(&["0 objects (0 bytes) went, 7 "]);
    node.cache(&["ls", "three"]).ended(1);
    let json = node.cache(&["du", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["line"], "repository");
    assert_eq!(lines[2]["fine"], true, "{lines:?}");

    node.bench.run(["-i", "mirror.yml", "cache", "du"]).ended(0);
    node.cache(&["links"]).ended(2).says(&["only a bucket can be handed back to `registry:2`"]);

    let node = node.end();
    assert!(!node.bench.path().join("runtime/token").exists(), "it outlived its service");
    assert_eq!(node.cache(&["ls"]).ended(0).stdout, first.stdout);
    assert_eq!(node.cache(&["du"]).ended(0).stdout, usage.stdout);
}

#[test]
fn purging_takes_what_nobody_else_needs_and_workers_forget_it() {
    let (hub, node, [only_one, shared, only_two], [one, two]) = pulled();
    node.cache(&["purge", "one:1", "--dry-run"]).ended(0).prints(&[&only_one]);
    assert!(node.file(&only_one).exists() && node.file(&one).exists());
    let asked = hub.count(Kind::Manifest);
    node.cache(&["purge", "one:1"]).ended(0).says(&["1 images or blobs went"]);
    let there = |digest: &String| node.file(digest).exists();
    assert!(!there(&only_one) && !there(&one), "they are still there");
    assert!(there(&shared) && there(&only_two) && there(&two), "another image needs them");
    assert_eq!(get(node.address, "/v2/library/one/manifests/1").status, 200);
    assert_eq!(hub.count(Kind::Manifest), asked + 1, "a worker remembered it");
    node.cache(&["purge", &only_two]).ended(0);
    assert!(!there(&only_two), "whoever names a digest means it");
    node.cache(&["purge", "nothing"]).ended(1).says(&["nothing of that is kept"]);
}

#[test]
fn a_purge_goes_on_when_its_asker_leaves() {
    let (hub, node, [only_one, ..], _) = pulled();
    let asked = hub.count(Kind::Manifest);
    let body = r#"{"job":"purge","images":["one:1"],"dry_run":false}"#;
    let mut stream = connect(node.admin);
    write!(
        stream,
        "POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        node.token(),
        body.len()
    )
    .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    drop(stream);
    let begun = Instant::now();
    while hub.count(Kind::Manifest) == asked {
        assert_eq!(get(node.address, "/v2/library/one/manifests/1").status, 200);
        assert!(begun.elapsed() < PATIENCE, "a worker remembers it still");
    }
    assert!(!node.file(&only_one).exists());
}

#[test]
fn what_was_damaged_is_found_dropped_and_fetched_anew() {
    let (hub, node, [damaged, ..], _) = pulled();
    let node = node.end();
    fs::write(node.file(&damaged), noise(9, 50_000)).unwrap();
    let found = node.cache(&["verify", "library/one"]);
    found.ended(1).says(&[&format!("`{damaged}` was damaged and is dropped"), "1 were wrong"]);
    assert!(!node.file(&damaged).exists());
    node.cache(&["verify"]).ended(0).says(&["6 objects"]);
    let blobs = hub.count(Kind::Blob);
    node.cache(&["warm", "one:1"]).ended(0).says(&["1 of 1 images are kept"]);
    assert_eq!(hub.count(Kind::Blob), blobs + 1, "only what was missing");
    node.cache(&["verify"]).ended(0).says(&["7 objects"]);
}

#[test]
fn warming_pulls_the_wanted_platforms_and_leaves_pulls_to_clients() {
    let hub = Hub::start();
    hub.index("library/many", "1");
    let images: Vec<String> = (0..5).map(|number| format!("library/w{number}:1")).collect();
    for image in &images {
        hub.image(image.split_once(':').unwrap().0, "1", &[noise(image.len() as u64, 100)]);
    }
    let node = Node::start(&hub.url(), "");
    node.cache(&["warm", "many:1", "--platform", "linux/amd64"]).ended(0);
    let list = format!("# ours\n{}  # the first\n\n{}\n", images[0], images[1]);
    node.bench.write("list", list);
    node.cache(&["warm", "--file", "list"]).ended(0).says(&["2 of 2 images are kept"]);
    let none = node.cache(&["warm", "many:1", "--platform", "linux/amd64,plan9/vax"]).ended(1);
    none.says(&["`library/many:1` has no image for `plan9/vax`", "0 of 1 images are kept"]);
    node.cache(&["warm"]).ended(2).says(&["there is nothing to pull"]);
    node.cache(&["warm", "Not/An-Image"]).ended(2).says(&["not an image", "hint:"]);

    hub.anonymous_limit(Some(7));
    hub.refill();
    let words: Vec<&str> =
        ["warm"].into_iter().chain(images[2..].iter().map(String::as_str)).collect();
    let before = hub.count(Kind::Manifest);
    for _ in 0..2 {
        let stopped = node.cache(&words).ended(2);
        stopped.says(&[
            "5 of the upstream's 7 pulls are left, which are for clients; 1 images are not pulled",
            "hint: go on when",
        ]);
        assert_eq!(hub.count(Kind::Manifest), before + 2);
    }
    hub.anonymous_limit(Some(200));
    node.cache(&words).ended(0).says(&["3 of 3 images are kept"]);
    hub.anonymous_limit(Some(2));
    node.cache(&words).ended(0).says(&["3 of 3 images are kept, "]);
    assert_eq!(hub.count(Kind::Manifest), before + 3, "what is there costs nothing");
}

#[test]
fn only_who_may_read_the_token_is_answered() {
    let hub = Hub::start();
    let node = Node::start(&hub.url(), "log_level: debug\n");
    let (path, token) = (node.bench.path().join("runtime/token"), node.token());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(token.len(), 64);
    let status = |headers: &[(&str, &str)]| ask(node.admin, "POST", "/api/v1/jobs", headers).status;
    let bearer = format!("Bearer {token}");
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("authorization", "Bearer 0")]), 401);
    assert_eq!(status(&[("authorization", &token)]), 401);
    assert_eq!(status(&[("authorization", &bearer)]), 400, "no job");
    assert_eq!(status(&[("authorization", &bearer), ("origin", "http://x")]), 403);
    assert_eq!(status(&[("authorization", &bearer), ("host", "evil.example")]), 403);
    let other = |path: &str| ask(node.admin, "GET", path, &[("authorization", &bearer)]).status;
    assert_eq!((other("/api/v1/jobs"), other("/api/v1/else"), other("/api/")), (405, 404, 404));
    assert_eq!(get(node.address, "/api/v1/jobs").status, 404, "clients have no such thing");
    let said = node.cache(&["du"]);
    for text in [node.log(), said.stdout, said.stderr] {
        assert!(!text.contains(&token), "it is printed:\n{text}");
    }

    // Another's token, or one that a service that was killed left behind.
    fs::write(&path, "0".repeat(64)).unwrap();
    node.cache(&["du"]).ended(2).says(&["does not take the token"]);
    fs::write(&path, &token).unwrap();
    let mut node = node;
    node.program.0.kill().unwrap();
    node.program.0.wait().unwrap();
    node.cache(&["du"]).ended(0);
}

#[test]
fn a_service_that_is_not_found_is_not_taken_for_a_broken_store() {
    let hub = Hub::start();
    let node = Node::start(&hub.url(), "");
    let elsewhere = node.bench.path().join("elsewhere");
    let environment = [("RUNTIME_DIRECTORY", elsewhere.to_str().unwrap())];
    let ran = node.bench.run_with(&environment, ["cache", "ls", "-i", "mirror.yml"]);
    ran.ended(2).says(&[
        "is in use by another process",
        "hint: the service runs and was not found",
        "elsewhere/token",
        &node.admin.to_string(),
    ]);
}

#[test]
fn without_a_service_nothing_is_made_where_it_is_to_be_at_home() {
    let bench = Bench::new();
    let place = bench.path().join("data");
    for store in ["filesystem", "s3\n    registry_mirror_bucket_name: ours"] {
        bench.write(
            "mirror.yml",
            format!(
                "all:\n  vars:\n    registry_mirror_store: {store}\n    \
                 registry_mirror_data_path: data\n    prefix: ours\n    \
                 registry_mirror_bucket_location: eu-west-1\n    \
                 registry_mirror_bucket_endpoint: http://127.0.0.1:9\n"
            ),
        );
        let list = || bench.run(["cache", "ls", "-i", "mirror.yml"]).ended(2);
        list().says(&[
            "the data path",
            "cannot be used: entity not found",
            "hint: the service makes it",
        ]);
        assert!(!place.exists(), "it was made");
        fs::create_dir(&place).unwrap();
        // Nobody else's can be made by somebody who is not root.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&place, Some(65_534), Some(65_534)).unwrap();
            list().says(&["belongs to another user", "hint: run this as the service's user"]);
            assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "something was put there");
        }
        fs::remove_dir(&place).unwrap();
    }
}
