//! A clean-up of a large bucket by the whole program: what it takes.

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use registry_mirror::oci::Digest;

use super::{client::PATIENCE, reload::Node};
use crate::support::{
    bucket::{Bucket, CREDENTIALS, NAME},
    run::Bench,
};

const OBJECTS: usize = 100_000;
/// Lines of a report.
const LINES: usize = 10_000;
/// What a clean-up may take above an idle service, in bytes.
const MEMORY: u64 = 64 << 20;

/// Bytes of anonymous memory that are resident now.
fn memory(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.program.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// So many objects, and reports that every other was used.
fn fill(bucket: &Bucket, objects: usize) {
    let mut reports = Vec::new();
    for number in 0..objects {
        let digest = Digest::sha256(number.to_string().as_bytes());
        let hex = digest.hex();
        bucket
            .put_marked(&format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]), "x");
        if number % (2 * LINES) == 0 {
            reports.push(String::from("registry-mirror use 1\n"));
        }
        if number % 2 == 1 {
            continue;
        }
        writeln!(reports.last_mut().unwrap(), "1800000000 {digest} library/app").unwrap();
    }
    for (number, report) in reports.into_iter().enumerate() {
        bucket.put_marked(&format!("registry-mirror/v1/use/reports/node.{number}"), report);
    }
}

#[test]
fn a_hundred_thousand_objects_take_little_memory_and_few_calls() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bucket = Bucket::new();
    let server = runtime.block_on(bucket.serve());
    fill(&bucket, OBJECTS);
    let endpoint = server.endpoint();
    let environment = [
        ("REGISTRY_MIRROR_STORE", "s3"),
        ("REGISTRY_MIRROR_BUCKET_NAME", NAME),
        ("REGISTRY_MIRROR_BUCKET_LOCATION", "eu-central-1"),
        ("REGISTRY_MIRROR_BUCKET_ENDPOINT", &endpoint),
        ("AWS_ACCESS_KEY_ID", CREDENTIALS),
        ("AWS_SECRET_ACCESS_KEY", CREDENTIALS),
    ];
    let hub = crate::support::hub::Hub::start();
    let node = Node::with(Bench::new(), &hub.url(), "cleanup_interval: 2s\n", &environment);
    let begun = Instant::now();
    while !node.log().contains("the store can be written to") {
        assert!(begun.elapsed() < PATIENCE, "it does not start: {}", node.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    let idle = memory(&node);
    bucket.reset_calls();
    let done = "cleanups_total{outcome=\"done\"}";
    let (mut most, begun) = (idle, Instant::now());
    while node.metric(&format!("registry_mirror_{done}")) == "0" {
        most = most.max(memory(&node));
        assert!(begun.elapsed() < 3 * PATIENCE, "it does not end: {}", node.log());
    }
    let calls = bucket.all_calls();
    let of = |operation: &str| calls.get(operation).copied().unwrap_or_default();
    assert_eq!(node.metric("registry_mirror_store_objects"), OBJECTS.to_string());
    assert!(most - idle <= MEMORY, "{} MiB above {}", (most - idle) >> 20, idle >> 20);
    let reports = OBJECTS / 2 / LINES;
    // A read and a write of each part, with the listing of each: 512 calls for the parts. The next
    // look at what is due may have been made, and the layout and whose the content is are looked at.
    assert!(of("ListObjectsV2") <= 256 + 7 + 7, "{calls:?}");
    assert!(of("GetObject") <= 258 + reports + 1 + 3, "{calls:?}");
    assert!(of("PutObject") <= 256 + 20, "{calls:?}");
    if std::env::var_os("SHOW").is_some() {
        eprintln!("{} KiB above {} KiB; {calls:?}", (most - idle) >> 10, idle >> 10);
    }
}
