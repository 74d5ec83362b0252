//! Promise 2 across crashes: killed at any instant, the program never serves part of anything, and
//! what it had on its disk for bodies in flight is free again.

use std::{
    fs,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use registry_mirror::oci::Digest;

use super::{
    client::{PATIENCE, connect, get, send},
    program::{free_port, serve},
};
use crate::support::hub::{Hub, noise};

const KILLS: u64 = 100;
const REPOSITORY: &str = "library/alpine";

#[test]
fn killed_at_any_instant_it_serves_nothing_partial() {
    let hub = Hub::start();
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut digests: Vec<Digest> = Vec::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for kill in 0..KILLS {
        let mut program = serve(data.path(), &hub.url(), port);
        program.ready();
        if !digests.is_empty() {
            let digest = digests[random(digests.len() as u64) as usize];
            assert_pulls(address, &digest, kill);
        }
        let bytes = noise(kill + 1, 200_000 + random(800_000) as usize);
        let digest = hub.blob(REPOSITORY, bytes.clone());
        digests.push(digest);
        let mut stream = connect(address);
        send(&mut stream, "GET", &format!("/v2/{REPOSITORY}/blobs/{digest}"), &[]);
        // The instant: so far into the body, up to its end, and then a little later.
        let mut taken = vec![0; random(bytes.len() as u64 + 1) as usize];
        stream.read_exact(&mut taken).unwrap();
        let later = Instant::now() + Duration::from_micros(random(20_000));
        while Instant::now() < later {
            std::thread::yield_now();
        }
        program.0.kill().unwrap();
        program.0.wait().unwrap();
        assert_whole(&data.path().join("data/store/content"), kill);
    }
    let mut program = serve(data.path(), &hub.url(), port);
    program.ready();
    for (kill, digest) in (0..).zip(&digests) {
        assert_pulls(address, digest, kill);
    }
    for place in ["data/spool", "data/store/staging"] {
        // What was fetched just now may still be on its way through.
        let deadline = Instant::now() + PATIENCE;
        let mut left = files(&data.path().join(place));
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::yield_now();
            left = files(&data.path().join(place));
        }
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

fn assert_pulls(address: SocketAddr, digest: &Digest, kill: u64) {
    let reply = get(address, &format!("/v2/{REPOSITORY}/blobs/{digest}"));
    assert_eq!(reply.status, 200, "after kill {kill}");
    assert!(reply.is_whole(), "after kill {kill} {digest} is cut short");
    assert_eq!(Digest::sha256(&reply.body), *digest, "after kill {kill}");
}

/// Every file under its final name hashes to that name.
fn assert_whole(content: &Path, kill: u64) {
    for path in files(content) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(Digest::sha256(&bytes).hex(), name, "kill {kill} left part of a blob");
    }
}

/// The files below a directory that may not be there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
