use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    oci::{Algorithm, Digest},
    settings::Size,
    store::{Area, Listed, fs::Fs},
};

/// A disk of a terabyte, nearly all of it free.
const WIDE: Space = Space { total: 1 << 40, free: 1 << 39 };

fn limited(bytes: u64) -> Arc<ArcSwap<Settings>> {
    let settings = Settings { local_cache_size: Size(bytes), ..Settings::default() };
    Arc::new(ArcSwap::from_pointee(settings))
}

fn open(root: &Path, limit: u64) -> Copies {
    let store = Fs::open(root.to_owned(), Handle::current()).unwrap();
    let measure = Box::new(|| Some(WIDE));
    Copies::new(Arc::new(store), limited(limit), measure, Metrics::new(), Handle::current())
}

/// The content called `name`: a hundred bytes.
fn content(name: &str) -> (Key, Bytes) {
    let bytes = Bytes::from(format!("{name:-<100}"));
    (Key { area: Area::Public, digest: Digest::sha256(&bytes) }, bytes)
}

async fn keep(copies: &Copies, name: &str) -> bool {
    let (key, bytes) = content(name);
    let meta = Meta { media_type: None, verified: true };
    copies.keep(&key, Payload::Bytes(bytes), &meta, &HashSet::new()).await
}

async fn has(copies: &Copies, name: &str) -> bool {
    copies.get(&content(name).0).await.is_some()
}

fn bytes(copies: &Copies) -> u64 {
    lock(&copies.inner.index).bytes()
}

#[tokio::test]
async fn the_bound_holds_and_what_is_used_stays() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 1000);
    assert!(keep(&copies, "used").await);
    for number in 0..30 {
        assert!(keep(&copies, &format!("{number}")).await);
        assert!(has(&copies, "used").await, "it went with {number}");
        assert!(bytes(&copies) <= 1000);
    }
    for number in 0..30 {
        assert_eq!(has(&copies, &format!("{number}")).await, number > 20, "{number}");
    }
    let huge = Payload::Bytes(Bytes::from(vec![0; 1001]));
    let meta = Meta::default();
    assert!(!copies.keep(&content("huge").0, huge, &meta, &HashSet::new()).await);
    assert_eq!(bytes(&copies), 1000, "others went for what never fits");
}

#[tokio::test]
async fn an_open_copy_outlives_its_turn() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 100);
    assert!(keep(&copies, "read").await);
    let Some(Found { body: Body::File(file, _), .. }) = copies.get(&content("read").0).await else {
        panic!("it is kept in a file");
    };
    assert!(keep(&copies, "next").await);
    assert!(!has(&copies, "read").await);
    assert_eq!(hash(&file, 100, Algorithm::Sha256).unwrap(), content("read").0.digest);
}

#[tokio::test]
async fn what_was_left_is_counted_and_hashed_before_it_is_served() {
    let root = tempfile::tempdir().unwrap();
    {
        let copies = open(root.path(), 1000);
        for name in ["good", "bad"] {
            assert!(keep(&copies, name).await);
        }
        let (key, bytes) = content("private");
        let key = Key { area: Area::Private("acme/ours".parse().unwrap()), ..key };
        let meta = Meta::default();
        assert!(copies.keep(&key, Payload::Bytes(bytes), &meta, &HashSet::new()).await);
        copies.count().await.unwrap();
    }
    let hex = content("bad").0.digest.hex();
    let file =
        root.path().join(format!("content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]));
    std::fs::write(&file, [0; 100]).unwrap();

    let copies = loop {
        // The directory is given up when the last task of the one before is gone.
        match Fs::open(root.path().to_owned(), Handle::current()) {
            Ok(store) => {
                let measure = Box::new(|| Some(WIDE));
                let (metrics, engine) = (Metrics::new(), Handle::current());
                break Copies::new(Arc::new(store), limited(1000), measure, metrics, engine);
            }
            Err(_) => tokio::task::yield_now().await,
        }
    };
    copies.count().await.unwrap();
    assert_eq!(bytes(&copies), 300, "private copies count, too");
    assert!(has(&copies, "good").await);
    assert!(!has(&copies, "bad").await, "damaged bytes were served");
    assert!(!file.exists(), "they are still there");
    assert_eq!(bytes(&copies), 200);
    assert!(keep(&copies, "bad").await && has(&copies, "bad").await, "it cannot come back");
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(known) if known.is_dir() => bytes_below(&entry.path()),
        Ok(known) => known.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

#[tokio::test]
async fn a_full_disk_costs_the_copies() {
    let root = tempfile::tempdir().unwrap();
    let size = Arc::new(AtomicU64::new(1 << 39));
    let (measured, content) = (size.clone(), root.path().join("content"));
    let measure = Box::new(move || {
        let free = measured.load(Ordering::SeqCst) - bytes_below(&content);
        Some(Space { total: 1 << 40, free })
    });
    let store = Fs::open(root.path().to_owned(), Handle::current()).unwrap();
    let metrics = Metrics::new();
    let copies =
        Copies::new(Arc::new(store), limited(1000), measure, metrics.clone(), Handle::current());
    for name in ["a", "b", "c"] {
        assert!(keep(&copies, name).await);
    }
    // 150 bytes short of what is left to others: two copies go, though two ask at once.
    size.store((1 << 30) + 150, Ordering::SeqCst);
    let pinned = HashSet::new();
    tokio::join!(copies.tidy(&pinned), copies.tidy(&pinned));
    assert_eq!((has(&copies, "a").await, has(&copies, "c").await), (false, true));
    assert_eq!(bytes(&copies), 100);
    size.store((1 << 30) - 1000, Ordering::SeqCst);
    assert!(!keep(&copies, "d").await, "a full disk took another");
    assert!(
        metrics.text().contains("registry_mirror_copies_refused_total 1"),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_reload_may_make_it_smaller_or_nothing() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 1000);
    for name in ["a", "b", "c"] {
        assert!(keep(&copies, name).await);
    }
    for (limit, left) in [(200, 200), (0, 0)] {
        copies.inner.settings.store(limited(limit).load_full());
        copies.tidy(&HashSet::new()).await;
        assert_eq!(bytes(&copies), left);
    }
    assert!(!copies.are_wanted() && !keep(&copies, "d").await);
}

#[tokio::test]
async fn what_goes_while_it_is_counted_is_not_counted() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 100_000);
    for number in 0..200 {
        assert!(keep(&copies, &number.to_string()).await);
    }
    copies.inner.settings.store(limited(0).load_full());
    let pinned = HashSet::new();
    let (counted, ()) = tokio::join!(copies.count(), copies.tidy(&pinned));
    counted.unwrap();
    assert_eq!(bytes(&copies), 0, "what is gone takes room from others");
}

#[test]
fn what_nobody_else_has_goes_last() {
    let mut index = Index::default();
    let [a, b, c] = ["a", "b", "c"].map(|name| content(name).0);
    for key in [&a, &b, &c] {
        index.insert(key, 100, true);
    }
    let pinned = HashSet::from([a.clone()]);
    assert_eq!(index.shrink(200, &pinned), [b]);
    assert_eq!(index.shrink(150, &pinned), [c]);
    assert_eq!(index.shrink(50, &pinned), [a]);
    assert_eq!(index.bytes(), 0);
}

/// What an index is told.
#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u64),
    Touch(u8),
    Find(u8, u64, u64),
    Remove(u8),
    Shrink(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..9_u8, 0..100_u64).prop_map(|(name, size)| Step::Insert(name, size)),
        (0..9_u8).prop_map(Step::Touch),
        (0..9_u8, 0..100_u64, 0..50_u64).prop_map(|(name, size, at)| Step::Find(name, size, at)),
        (0..9_u8).prop_map(Step::Remove),
        (0..300_u64).prop_map(Step::Shrink),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Beside a list in which each use moves to the end, and what is found stands before that in
    /// the order in which it was written.
    #[test]
    fn the_least_recently_used_go_first(steps in steps()) {
        let mut index = Index::default();
        let mut model: Vec<((u64, u64), Key, u64)> = Vec::new();
        for (now, step) in (1_000..).zip(steps) {
            let key = |name: u8| content(&name.to_string()).0;
            match step {
                Step::Insert(name, size) => {
                    index.insert(&key(name), size, true);
                    model.retain(|(_, known, _)| *known != key(name));
                    model.push(((now, 0), key(name), size));
                }
                Step::Touch(name) => {
                    index.touch(&key(name), 100);
                    if let Some(entry) = model.iter_mut().find(|(_, known, _)| *known == key(name)) {
                        entry.0 = (now, 0);
                    }
                }
                Step::Find(name, size, at) => {
                    let stored = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
                    index.find(&Listed { key: key(name), size, stored });
                    if model.iter().all(|(_, known, _)| *known != key(name)) {
                        model.push(((at, now), key(name), size));
                    }
                }
                Step::Remove(name) => {
                    index.remove(&key(name));
                    model.retain(|(_, known, _)| *known != key(name));
                }
                Step::Shrink(limit) => {
                    let gone = index.shrink(limit, &HashSet::new());
                    model.sort_by_key(|(at, ..)| *at);
                    let mut expected = Vec::new();
                    while model.iter().map(|(_, _, size)| size).sum::<u64>() > limit {
                        expected.push(model.remove(0).1);
                    }
                    prop_assert_eq!(gone, expected);
                }
            }
            prop_assert_eq!(index.bytes(), model.iter().map(|(_, _, size)| size).sum::<u64>());
        }
    }
}

#[tokio::test]
async fn the_bound_holds_however_many_are_kept_at_once() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 300);
    let names: Vec<String> = (0..10).map(|number| format!("at-once-{number}")).collect();
    let kept = futures_util::future::join_all(names.iter().map(|name| keep(&copies, name))).await;
    assert!(kept.iter().all(|kept| *kept), "{kept:?}");
    assert!(bytes(&copies) <= 300, "{} bytes", bytes(&copies));
    copies.count().await.unwrap();
    assert!(bytes(&copies) <= 300, "{} bytes on the disk", bytes(&copies));
}

#[tokio::test]
async fn copies_give_way_to_what_is_coming() {
    let root = tempfile::tempdir().unwrap();
    let store = Fs::open(root.path().to_owned(), Handle::current()).unwrap();
    let free = Arc::new(AtomicU64::new(1 << 39));
    let seen = free.clone();
    let measure = Box::new(move || Some(Space { free: seen.load(Ordering::Relaxed), ..WIDE }));
    let (metrics, engine) = (Metrics::new(), Handle::current());
    let copies = Copies::new(Arc::new(store), limited(1000), measure, metrics, engine);
    for name in ["old", "middle", "new"] {
        assert!(keep(&copies, name).await);
    }
    assert!(copies.give_way(500, &HashSet::new()).await, "there is room already");
    assert_eq!(bytes(&copies), 300, "some went for nothing");
    free.store(350, Ordering::Relaxed);
    assert!(copies.give_way(500, &HashSet::new()).await);
    assert_eq!(bytes(&copies), 100, "as many as it takes");
    assert!(has(&copies, "new").await);
    assert!(!copies.give_way(1000, &HashSet::new()).await, "more than all of them are");
    assert!(has(&copies, "new").await, "it went in vain");
}

#[tokio::test]
async fn what_could_not_be_read_is_hashed_before_it_is_served_again() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 1000);
    let path = |name: &str| {
        let hex = content(name).0.digest.hex();
        root.path().join(format!("content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]))
    };
    for name in ["spoilt", "cut", "sound"] {
        assert!(keep(&copies, name).await && has(&copies, name).await);
    }
    std::fs::write(path("spoilt"), [0; 100]).unwrap();
    std::fs::write(path("cut"), [0; 50]).unwrap();
    assert!(has(&copies, "spoilt").await, "nobody had a reason to look");
    copies.doubt(&content("spoilt").0);
    copies.doubt(&content("sound").0);
    assert!(!has(&copies, "spoilt").await && !path("spoilt").exists());
    assert!(!has(&copies, "cut").await, "its length says it");
    assert!(has(&copies, "sound").await);
}

/// It went while it was hashed.
#[tokio::test]
async fn what_is_gone_is_not_counted_for_having_been_hashed() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 1000);
    let (key, _) = content("gone");
    copies.checked(&key, 100, true).await;
    assert_eq!(bytes(&copies), 0);
}

/// Its removal failed, so that it still lies there when it is fetched again.
#[tokio::test]
async fn what_lies_there_already_is_not_taken_for_what_was_fetched() {
    let root = tempfile::tempdir().unwrap();
    let copies = open(root.path(), 1000);
    assert!(keep(&copies, "twice").await);
    let hex = content("twice").0.digest.hex();
    let file =
        root.path().join(format!("content/public/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4]));
    std::fs::write(file, [0; 100]).unwrap();
    assert!(keep(&copies, "twice").await);
    assert!(!has(&copies, "twice").await, "damaged bytes were served");
}

#[tokio::test]
async fn a_large_copy_that_was_not_hashed_yet_keeps_nobody_waiting() {
    let root = tempfile::tempdir().unwrap();
    let store = Arc::new(Fs::open(root.path().to_owned(), Handle::current()).unwrap());
    let wide = || Box::new(|| Some(WIDE));
    let (metrics, engine) = (Metrics::new(), Handle::current());
    let again = || {
        let settings = limited(1 << 30);
        Copies::new(store.clone(), settings, wide(), metrics.clone(), engine.clone())
    };
    let large = Bytes::from(vec![7; AT_ONCE as usize + 1]);
    let key = Key { area: Area::Public, digest: Digest::sha256(&large) };
    let (none, meta) = (HashSet::new(), Meta::default());
    let first = again();
    assert!(first.keep(&key, Payload::Bytes(large), &meta, &none).await);
    assert!(first.ready(&key).await.is_some(), "it was written by this very process");
    let second = again();
    assert!(second.ready(&key).await.is_none());
    assert!(matches!(second.open(&key).await, Some((_, false))));
    second.checked(&key, AT_ONCE + 1, true).await;
    assert!(second.ready(&key).await.is_some());
    assert!(again().get(&key).await.is_some(), "who can wait has it hashed");
}
