//! The store on a directory: what every store must do, and what only a directory can.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread::yield_now,
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_mirror::{
    oci::{Algorithm, Digest},
    store::{
        Area, Body, Entry, Key, Meta, NotRemoved, Payload, Put, Records, Shard, Store, StoreError,
        When, Written,
        fs::{Fs, OpenError, free_space, temporary},
    },
};
use tempfile::TempDir;
use tokio::{runtime::Handle, task::JoinSet};

use crate::support::conformance::{self, content, key, read_found};

mod model;

/// Opens the directory. A test beside this one that starts a program has, for an instant between
/// fork and exec, a copy of every open file, the lock included.
fn open(root: &Path) -> Fs {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match Fs::open(root.to_owned(), Handle::current()) {
            Err(error) if error.retryable() && Instant::now() < deadline => yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

async fn store() -> (TempDir, Arc<dyn Store>) {
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    (place, Arc::new(fs))
}

async fn records() -> (TempDir, Arc<dyn Records>) {
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    (place, Arc::new(fs))
}

mod content_conforms {
    crate::support::conformance::store_suite!(super::store);
}

mod records_conform {
    crate::support::conformance::records_suite!(super::records);
}

/// The suites one check after the other over one directory, as another worker's store may be used.
#[tokio::test(flavor = "multi_thread")]
async fn one_directory_keeps_everything() {
    let place = TempDir::new().unwrap();
    let fs = Arc::new(open(place.path()));
    conformance::store::all(fs.clone()).await;
    conformance::records::all(fs).await;
}

fn blob() -> Meta {
    Meta { media_type: None, verified: true }
}

fn spooled(directory: &Path, bytes: &[u8]) -> Arc<File> {
    let mut file = temporary(directory).unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

async fn inode(fs: &Fs, key: &Key) -> u64 {
    match Store::get(fs, key, None).await.unwrap().expect("it is there").body {
        Body::File(file, _) => file.metadata().unwrap().ino(),
        Body::Stream(_) => panic!("a directory hands out files"),
    }
}

#[tokio::test]
async fn a_spool_is_linked_not_copied() {
    let place = TempDir::new().unwrap();
    let (near, far) = (open(&place.path().join("near")), open(&place.path().join("far")));
    let bytes = content(100_000);
    let key = key(&bytes);
    let file = spooled(place.path(), &bytes);
    for fs in [&near, &far] {
        let payload = Payload::File { file: Arc::clone(&file), len: 100_000 };
        assert_eq!(Store::put(fs, &key, payload, &blob()).await.unwrap(), Put::Stored);
        assert_eq!(inode(fs, &key).await, file.metadata().unwrap().ino(), "the same file");
    }
    let named = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(place.path().join("named"))
        .unwrap();
    let other = content(70_000);
    named.write_all_at(&other, 0).unwrap();
    let ino = named.metadata().unwrap().ino();
    let payload = Payload::File { file: Arc::new(named), len: 70_000 };
    let key = conformance::key(&other);
    Store::put(&near, &key, payload, &blob()).await.unwrap();
    assert_eq!(inode(&near, &key).await, ino, "a file with a name elsewhere gets one more");
}

#[tokio::test]
async fn a_file_from_elsewhere_is_copied_and_not_moved_under_its_readers() {
    let Ok(elsewhere) = TempDir::new_in("/dev/shm") else { return };
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    let bytes = content(3_000_001);
    let file = spooled(elsewhere.path(), &bytes);
    let offset = rustix::fs::tell(&file).unwrap();
    let key = key(&bytes);
    let payload = Payload::File { file: Arc::clone(&file), len: 3_000_001 };
    assert_eq!(Store::put(&fs, &key, payload, &blob()).await.unwrap(), Put::Stored);
    assert!(read_found(Store::get(&fs, &key, None).await).await == bytes);
    assert_eq!(rustix::fs::tell(&file).unwrap(), offset, "the shared offset has not moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_one_stores() {
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    let bytes = content(50_000);
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let (fs, key, bytes) = (fs.clone(), key(&bytes), bytes.clone());
        writers.spawn(async move {
            Store::put(&fs, &key, Payload::Bytes(bytes), &blob()).await.unwrap()
        });
    }
    let ended = writers.join_all().await;
    assert_eq!(ended.iter().filter(|ended| **ended == Put::Stored).count(), 1, "{ended:?}");
}

#[tokio::test]
async fn an_equal_value_written_anew_is_another_writing() {
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    let mut versions = Vec::new();
    for _ in 0..3 {
        match Records::put(&fs, "a/b", "equal".into(), When::Always).await.unwrap() {
            Written::Done(version) => versions.push(version),
            Written::Conflict => panic!("always"),
        }
    }
    let stale = When::Is(versions[0].clone());
    assert_eq!(Records::put(&fs, "a/b", "x".into(), stale).await.unwrap(), Written::Conflict);
    drop(fs);

    let last = When::Is(versions[2].clone());
    let reopened = open(place.path());
    let written = Records::put(&reopened, "a/b", "y".into(), last).await.unwrap();
    assert!(matches!(written, Written::Done(_)), "a version outlives the process");
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let place = TempDir::new().unwrap();
    let first = open(place.path());
    let bytes = content(1000);
    Store::put(&first, &key(&bytes), Payload::Bytes(bytes.clone()), &blob()).await.unwrap();
    let refused = Fs::open(place.path().to_owned(), Handle::current()).unwrap_err();
    assert_eq!(refused, OpenError::InUse { root: place.path().canonicalize().unwrap() });
    assert!(refused.retryable());
    let text = refused.to_string();
    assert!(text.contains("in use by another process\nhint: "), "{text}");
    drop(first);
    let again = open(place.path());
    assert_eq!(read_found(Store::get(&again, &key(&bytes), None).await).await, bytes);
}

#[tokio::test]
async fn what_is_in_the_way_is_named() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("file");
    File::create(&file).unwrap();
    let refused = Fs::open(file.join("below"), Handle::current()).unwrap_err();
    let expected = format!("cannot create `{}` (ENOTDIR)", file.join("below").display());
    assert_eq!(refused.to_string(), expected);
    assert!(!refused.retryable());
}

/// Calls may be awaited on any runtime, or on none; the work is the engine's.
#[test]
fn the_engine_does_the_work() {
    let place = TempDir::new().unwrap();
    let engine = tokio::runtime::Runtime::new().unwrap();
    let fs = Fs::open(place.path().to_owned(), engine.handle().clone()).unwrap();
    let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = content(1000);
    let key = key(&bytes);
    let put = worker.block_on(Store::put(&fs, &key, Payload::Bytes(bytes.clone()), &blob()));
    assert_eq!(put.unwrap(), Put::Stored);
    drop(worker);
    let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(worker.block_on(Store::head(&fs, &key)).unwrap().is_some());

    drop(engine);
    let ended = worker.block_on(Store::head(&fs, &key)).expect_err("nobody does it any more");
    assert_eq!(
        ended,
        StoreError::Unavailable { operation: "head", code: "shutdown".into() },
        "and nobody waits for ever"
    );
}

#[tokio::test]
async fn leftovers_are_seen_and_swept() {
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    for name in ["one", "two"] {
        std::fs::write(place.path().join("staging").join(name), "left").unwrap();
    }
    let strays = fs.stray_uploads(None).await.unwrap();
    let ids: Vec<&str> = strays.entries.iter().map(|stray| stray.id.as_str()).collect();
    assert_eq!((ids, strays.next), (vec!["one", "two"], None));
    fs.abort(&strays.entries[0]).await.unwrap();
    fs.abort(&strays.entries[0]).await.unwrap();
    for outside in ["../lock", "", ".", "..", "a/b"] {
        let mut stray = strays.entries[1].clone();
        outside.clone_into(&mut stray.id);
        assert!(!fs.abort(&stray).await.unwrap_err().retryable(), "`{outside}`");
    }
    assert_eq!(fs.stray_uploads(None).await.unwrap().entries, strays.entries[1..]);
    drop(fs);
    let fs = open(place.path());
    assert_eq!(fs.stray_uploads(None).await.unwrap().entries, []);
}

#[test]
fn a_temporary_file_has_no_name() {
    let place = TempDir::new().unwrap();
    let file = temporary(place.path()).unwrap();
    file.write_all_at(b"text", 0).unwrap();
    let mut read = [0; 4];
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"text");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    assert!(temporary(&place.path().join("missing")).is_err());
    assert!(free_space(place.path()).unwrap() > 0);
    assert!(free_space(&place.path().join("missing")).is_err());
}

const CHILD: &str = "STORE_FS_CHILD";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What is killed below: writes, and says on a line of its own what it was promised is kept.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let root = Path::new(&root);
    let fs = open(root);
    let private = Area::Private("acme/app".parse().unwrap());
    let mut tasks = JoinSet::new();
    for area in [Area::Public, private] {
        let (fs, spool) = (fs.clone(), root.to_owned());
        tasks.spawn(async move {
            for turn in 0_usize.. {
                let manifest = turn % 2 == 0;
                let mut bytes = if manifest { b"manifest ".to_vec() } else { b"blob ".to_vec() };
                bytes.extend(content(100 + turn * 7919 % 300_000));
                let key = Key { area: area.clone(), digest: Digest::sha256(&bytes) };
                let meta = Meta {
                    media_type: manifest.then(|| MANIFEST.parse().unwrap()),
                    verified: true,
                };
                let payload = match turn % 3 {
                    0 => Payload::Bytes(bytes.into()),
                    1 => Payload::File { len: bytes.len() as u64, file: spooled(&spool, &bytes) },
                    _ => conformance::file_payload(&bytes),
                };
                Store::put(&fs, &key, payload, &meta).await.unwrap();
                if turn % 5 == 4 {
                    Store::remove(&fs, &[key]).await.unwrap();
                } else {
                    println!("\nkept {} {}", u8::from(area == Area::Public), key.digest);
                }
            }
        });
    }
    tasks.spawn(async move {
        loop {
            let (count, when) = match Records::get(&fs, "a/counter").await.unwrap() {
                Some((value, version)) => (counted(&value) + 1, When::Is(version)),
                None => (1, When::Absent),
            };
            let value = Bytes::from(format!("{count}\n").repeat(200));
            let written = Records::put(&fs, "a/counter", value.clone(), when).await.unwrap();
            assert!(matches!(written, Written::Done(_)), "nobody else writes");
            println!("\ncount {count}");
            Records::put(&fs, &format!("b/{count}"), value, When::Absent).await.unwrap();
        }
    });
    tasks.join_all().await;
}

/// The number that a whole record repeats.
fn counted(value: &[u8]) -> u64 {
    let text = str::from_utf8(value).expect("a record is text");
    let mut numbers = text.lines().map(|line| line.parse().expect("of numbers"));
    let first = numbers.next().expect("it is not empty");
    assert_eq!(numbers.filter(|number| *number == first).count(), 199, "it is whole");
    first
}

/// Kills a writing process again and again, each time after it has said another number of things.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_half_written_outlives_a_kill() {
    let place = TempDir::new().unwrap();
    let (mut kept, mut count) = (Vec::new(), 0);
    for round in 0..60 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_fs::child", "--nocapture"])
            .env(CHILD, place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut patience = round * 7 % 11;
        while patience > 0
            && let Some(line) = lines.next()
        {
            let line = line.unwrap();
            patience -= u64::from(note(&line, &mut kept, &mut count));
            if round == 1 && count == 1 {
                let refused = Fs::open(place.path().to_owned(), Handle::current()).unwrap_err();
                assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
            }
        }
        child.kill().unwrap();
        // What it managed to say before it died counts too; its last line may be cut short.
        let mut rest: Vec<String> = lines.map_while(Result::ok).collect();
        rest.pop();
        for line in &rest {
            note(line, &mut kept, &mut count);
        }
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!said.contains("panicked"), "round {round}: {said}");
    }
    assert!(kept.len() > 60 && count > 30, "{} objects, {count} counts", kept.len());

    let fs = open(place.path());
    let left = std::fs::read_dir(place.path().join("staging")).unwrap().count();
    assert_eq!(left, 0, "what was not finished is swept");
    for (area, digest) in &kept {
        let key = Key { area: area.clone(), digest: *digest };
        let info = Store::head(&fs, &key).await.unwrap();
        assert!(info.is_some(), "{digest} was said to be kept");
    }
    let listed = check_content(&fs).await;
    assert!(listed >= kept.len(), "{listed} listed, {} kept", kept.len());
    let (value, _) = Records::get(&fs, "a/counter").await.unwrap().unwrap();
    assert!(counted(&value) >= count, "the counter stands at {}, not {count}", counted(&value));
    let mut from = None;
    loop {
        let page = Records::list(&fs, "", from).await.unwrap();
        for Entry { path, .. } in &page.entries {
            let (value, _) =
                Records::get(&fs, path).await.unwrap().expect("what is listed is there");
            let number = counted(&value);
            assert!(path == "a/counter" || *path == format!("b/{number}"), "`{path}`: {number}");
        }
        let Some(next) = page.next else { break };
        from = Some(next);
    }
}

/// Takes in one line of a child; whether it said anything.
fn note(line: &str, kept: &mut Vec<(Area, Digest)>, count: &mut u64) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words[..] {
        ["kept", area, digest] => {
            let private = Area::Private("acme/app".parse().unwrap());
            kept.push((if area == "1" { Area::Public } else { private }, digest.parse().unwrap()));
            true
        }
        ["count", number] => {
            *count = number.parse().unwrap();
            true
        }
        _ => false,
    }
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_nothing_else() {
    let place = TempDir::new().unwrap();
    let fs = open(place.path());
    let (bad, good) = (key(b"bad"), key(b"good"));
    let meta = Meta { media_type: None, verified: true };
    Store::put(&fs, &good, Payload::Bytes("good".into()), &meta).await.unwrap();
    // No file, so unlinking fails, whoever tries.
    let hex = bad.digest.hex();
    let path = format!("content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]);
    std::fs::create_dir_all(place.path().join(path)).unwrap();
    let error = Store::remove(&fs, &[bad.clone(), good.clone()]).await.unwrap_err();
    let NotRemoved::Stayed { keys, .. } = error else { panic!("{error}") };
    assert_eq!(keys, [bad]);
    assert_eq!(fs.head(&good).await.unwrap(), None);
}

/// Reads everything that is listed: it must be what its name says, manifests with their types.
async fn check_content(fs: &Fs) -> usize {
    let mut seen = 0;
    for area in [Area::Public, Area::Private("acme/app".parse().unwrap())] {
        for first in 0..=u8::MAX {
            let shard = Shard { algorithm: Algorithm::Sha256, first };
            let page = Store::list(fs, &area, shard, None).await.unwrap();
            assert_eq!(page.next, None);
            for entry in page.entries {
                let found = Store::get(fs, &entry.key, None).await.unwrap().unwrap();
                let media_type = found.info.meta.media_type.as_ref().map(|it| it.as_str());
                let bytes = conformance::read(found.body).await.unwrap();
                assert_eq!(Digest::sha256(&bytes), entry.key.digest, "the bytes are whole");
                let expected = bytes.starts_with(b"manifest ").then_some(MANIFEST);
                assert_eq!(media_type, expected, "{} has its type", entry.key.digest);
                seen += 1;
            }
        }
    }
    seen
}
