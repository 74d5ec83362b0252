use std::{io::Write as _, os::unix::fs::MetadataExt as _};

use rustix::io::Errno;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{failure::During as _, *};
use crate::{oci::Digest, store::Body};

/// Both ways of staging: the one of this file system, and the one of poorer ones.
const WAYS: [fn(PathBuf) -> std::io::Result<Staging>; 2] =
    [Staging::open, Staging::open_without_nameless];

fn open(place: &TempDir, engine: &Runtime, staging: fn(PathBuf) -> std::io::Result<Staging>) -> Fs {
    Fs::open_with(place.path().to_owned(), engine.handle().clone(), Layout::default(), staging)
        .unwrap()
}

fn key(bytes: &[u8]) -> Key {
    Key { area: Area::Public, digest: Digest::sha256(bytes) }
}

fn manifest() -> Meta {
    Meta { media_type: Some("a/manifest".parse().unwrap()), verified: true }
}

fn read(fs: &Fs, key: &Key) -> Option<(Vec<u8>, Meta)> {
    let found = fs.root.content.get(key, None).unwrap()?;
    let Body::File(file, range) = found.body else { panic!("a directory hands out files") };
    let mut bytes = vec![0; usize::try_from(range.end).unwrap()];
    std::os::unix::fs::FileExt::read_exact_at(&*file, &mut bytes, 0).unwrap();
    Some((bytes, found.info.meta))
}

fn put(fs: &Fs, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
    fs.root.content.put(&fs.root.staging, key, &payload, meta)
}

fn staged(fs: &Fs) -> usize {
    fs.root.staging.strays(None).unwrap().entries.len()
}

#[test]
fn either_way_of_staging_keeps_whole_things_and_leaves_nothing() {
    let engine = Runtime::new().unwrap();
    for way in WAYS {
        let place = TempDir::new().unwrap();
        let fs = open(&place, &engine, way);
        let bytes = vec![b'x'; 70_000];
        let key = key(&bytes);
        let small = Payload::Bytes(Bytes::from_static(b"short"));
        assert_eq!(put(&fs, &key, small, &manifest()), Ok(Put::Stored));
        assert_eq!(read(&fs, &key), Some((b"short".to_vec(), manifest())));

        let whole = Payload::Bytes(bytes.clone().into());
        assert_eq!(put(&fs, &key, whole.clone(), &Meta::default()), Ok(Put::Stored), "replaced");
        let blob = Meta { media_type: None, verified: true };
        assert_eq!(read(&fs, &key), Some((bytes.clone(), blob.clone())), "with its own metadata");
        assert_eq!(put(&fs, &key, whole, &manifest()), Ok(Put::AlreadyThere));
        assert_eq!(read(&fs, &key), Some((bytes.clone(), blob)), "left as it is");

        fs.root.content.remove(&key).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let payload = Payload::File { file: Arc::new(file), len: 70_000 };
        assert_eq!(put(&fs, &key, payload, &manifest()), Ok(Put::Stored));
        assert_eq!(read(&fs, &key), Some((bytes, manifest())));
        assert!(fs.root.staging.probe().unwrap());
        assert_eq!(staged(&fs), 0);
    }
}

#[test]
fn a_put_that_fails_leaves_nothing() {
    let engine = Runtime::new().unwrap();
    for way in WAYS {
        let place = TempDir::new().unwrap();
        let fs = open(&place, &engine, way);
        let key = key(b"whole");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"cut").unwrap();
        let payload = Payload::File { file: Arc::new(file), len: 5 };
        let broken = put(&fs, &key, payload, &manifest()).unwrap_err();
        assert!(matches!(broken, StoreError::Broken { .. }), "{broken}");
        assert_eq!(read(&fs, &key), None);
        assert_eq!(staged(&fs), 0);
    }
}

/// Were it the other way round, a kill between the two names would leave a manifest without its
/// type. Here the second step cannot succeed: something is in the way.
#[test]
fn a_media_type_has_its_name_before_the_manifest() {
    let engine = Runtime::new().unwrap();
    let place = TempDir::new().unwrap();
    let fs = open(&place, &engine, Staging::open);
    let key = key(b"manifest");
    let hex = key.digest.hex();
    let directory = place.path().join("content/public/sha256").join(&hex[..2]).join(&hex[2..4]);
    std::fs::create_dir_all(directory.join(&hex).join("in the way")).unwrap();

    let payload = Payload::Bytes(Bytes::from_static(b"manifest"));
    let broken = put(&fs, &key, payload.clone(), &manifest()).unwrap_err();
    assert!(matches!(broken, StoreError::Broken { operation: "rename", .. }), "{broken}");
    let media_type = directory.join(format!("{hex}.type"));
    assert_eq!(std::fs::read_to_string(&media_type).unwrap(), "a/manifest");

    // A type that a crash left alone is not taken for that of a blob that comes later.
    std::fs::remove_dir_all(directory.join(&hex)).unwrap();
    assert_eq!(put(&fs, &key, payload, &Meta::default()), Ok(Put::Stored));
    assert_eq!(read(&fs, &key).unwrap().1.media_type, None);
}

#[test]
fn files_are_for_their_owner_alone() {
    let engine = Runtime::new().unwrap();
    for way in WAYS {
        let place = TempDir::new().unwrap();
        let fs = open(&place, &engine, way);
        let key = key(b"blob");
        put(&fs, &key, Payload::Bytes(Bytes::from_static(b"blob")), &Meta::default()).unwrap();
        fs.root.records.put(&fs.root.staging, "a/b", b"v", &When::Always).unwrap();
        let hex = key.digest.hex();
        let blob = format!("content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]);
        for file in [blob.as_str(), "records/a/b", "lock"] {
            let mode = std::fs::metadata(place.path().join(file)).unwrap().mode();
            assert_eq!(mode & 0o077, 0, "{file} is {mode:o}");
        }
    }
}

#[test]
fn a_spoilt_record_is_said_to_be_one_and_can_be_replaced() {
    let engine = Runtime::new().unwrap();
    let place = TempDir::new().unwrap();
    let fs = open(&place, &engine, Staging::open);
    for spoilt in ["", "no version", &"x".repeat(2 << 20)] {
        std::fs::write(place.path().join("records/a"), spoilt).unwrap();
        let broken = fs.root.records.get("a").unwrap_err();
        assert!(matches!(broken, StoreError::Broken { .. }), "{broken}");
        let written = fs.root.records.put(&fs.root.staging, "a", b"v", &When::Always).unwrap();
        assert!(matches!(written, Written::Done(_)));
        assert_eq!(fs.root.records.get("a").unwrap().unwrap().0, "v");
    }
    fs.root.records.put(&fs.root.staging, "b/c", b"v", &When::Always).unwrap();
    assert_eq!(fs.root.records.get("b"), Ok(None), "a parent is no record");
    assert_eq!(fs.root.records.remove("b"), Ok(()));
    assert!(fs.root.records.get("b/c").unwrap().is_some());
}

#[test]
fn errors_mean_what_can_be_done_about_them() {
    let meant = |errno: Errno| Err::<(), Errno>(errno).during("write").unwrap_err();
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        assert_eq!(meant(errno), StoreError::Full { operation: "write" });
    }
    for (errno, code) in [(Errno::ACCESS, "EACCES"), (Errno::PERM, "EPERM"), (Errno::ROFS, "EROFS")]
    {
        assert_eq!(meant(errno), StoreError::Denied { operation: "write", code: code.into() });
    }
    for (errno, code) in [(Errno::IO, "EIO"), (Errno::MFILE, "EMFILE"), (Errno::CHILD, "errno 10")]
    {
        let unavailable = StoreError::Unavailable { operation: "write", code: code.into() };
        assert_eq!(meant(errno), unavailable);
    }
    assert_eq!(
        meant(Errno::NOTDIR),
        StoreError::Broken { operation: "write", what: "ENOTDIR".into() }
    );
}
