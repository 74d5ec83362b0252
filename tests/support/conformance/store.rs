//! What a [`Store`] must do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use registry_mirror::{
    oci::{Algorithm, Digest, MediaType},
    store::{Area, Key, Listed, Meta, Payload, Put, Shard, Store, StoreError},
};
use tokio::task::JoinSet;

use super::{content, file_payload, in_a_file, key, nonce, one_by_one, read, read_found};

/// What a mirror hands over with a blob.
fn verified() -> Meta {
    Meta { media_type: None, verified: true }
}

async fn put(store: &dyn Store, key: &Key, bytes: &Bytes) -> Put {
    store.put(key, Payload::Bytes(bytes.clone()), &verified()).await.unwrap()
}

/// An area that no other check uses.
fn own_area() -> Area {
    Area::Private(format!("conformance/{}", nonce()).parse().unwrap())
}

/// All pages of one shard.
async fn whole_shard(store: &dyn Store, area: &Area, shard: Shard) -> Vec<Listed> {
    let (mut entries, mut from) = (Vec::new(), None);
    loop {
        let page = store.list(area, shard, from).await.unwrap();
        assert!(page.entries.len() <= 1000, "a page of {} entries", page.entries.len());
        entries.extend(page.entries);
        match page.next {
            Some(next) => from = Some(next),
            None => return entries,
        }
    }
}

/// Every check, one after the other, over one store.
pub async fn all(store: Arc<dyn Store>) {
    super::store_checks!(one_by_one, store);
}

pub async fn put_then_get(store: Arc<dyn Store>) {
    let bytes = content(3000);
    let key = key(&bytes);
    let before = SystemTime::now();
    assert_eq!(put(&*store, &key, &bytes).await, Put::Stored);

    let found = store.get(&key, None).await.unwrap().expect("what was put is there");
    assert_eq!(found.info.size, 3000);
    assert_eq!(found.info.meta, verified(), "the metadata came back");
    let slack = Duration::from_secs(300);
    assert!(
        found.info.stored > before - slack && found.info.stored < before + slack,
        "stored at {:?}, put at {before:?}",
        found.info.stored
    );
    let info = store.head(&key).await.unwrap().expect("head finds it too");
    assert_eq!(info, found.info, "head and get agree");
    assert_eq!(read(found.body).await.unwrap(), bytes);
}

pub async fn nothing_is_there(store: Arc<dyn Store>) {
    let key = key(&content(100));
    assert_eq!(store.head(&key).await.unwrap(), None);
    assert!(store.get(&key, None).await.unwrap().is_none());
    assert!(store.get(&key, Some(0..10)).await.unwrap().is_none(), "missing, not out of range");
}

pub async fn ranges(store: Arc<dyn Store>) {
    let bytes = content(100_000);
    let key = key(&bytes);
    put(&*store, &key, &bytes).await;
    for (asked, given) in [
        (0..1, 0..1),
        (0..100_000, 0..100_000),
        (17..70_001, 17..70_001),
        (99_999..100_000, 99_999..100_000),
        (99_990..100_001, 99_990..100_000),
        (5..u64::MAX, 5..100_000),
    ] {
        let found = store.get(&key, Some(asked.clone())).await.unwrap().unwrap();
        assert_eq!(found.info.size, 100_000, "the size is the whole content's ({asked:?})");
        assert_eq!(found.info.meta, verified());
        assert!(read(found.body).await.unwrap() == bytes[given], "bytes {asked:?}");
    }
    #[allow(clippy::reversed_empty_ranges)]
    for outside in [100_000..100_001, 100_000..u64::MAX, 0..0, 50..50, 60..50, 200_000..300_000] {
        let answer = store.get(&key, Some(outside.clone())).await;
        assert_eq!(
            answer.expect_err("there are no such bytes"),
            StoreError::OutOfRange { size: 100_000 },
            "bytes {outside:?}"
        );
    }
}

pub async fn empty_content(store: Arc<dyn Store>) {
    let key = Key { area: own_area(), digest: Digest::sha256(b"") };
    assert_eq!(put(&*store, &key, &Bytes::new()).await, Put::Stored);
    assert_eq!(put(&*store, &key, &Bytes::new()).await, Put::AlreadyThere);
    assert_eq!(store.head(&key).await.unwrap().unwrap().size, 0);
    assert_eq!(read_found(store.get(&key, None).await).await, "");
    let answer = store.get(&key, Some(0..1)).await;
    assert_eq!(answer.expect_err("no bytes"), StoreError::OutOfRange { size: 0 });
    store.remove(&[key]).await.unwrap();
}

pub async fn content_in_a_file(store: Arc<dyn Store>) {
    let bytes = content((5 << 20) + 77);
    let key = key(&bytes);
    let stored = store.put(&key, file_payload(&bytes), &verified()).await.unwrap();
    assert_eq!(stored, Put::Stored);
    assert!(read_found(store.get(&key, None).await).await == bytes, "the same bytes came back");
    let middle = 4_000_000..(5 << 20) + 1;
    let part = read_found(store.get(&key, Some(middle.clone())).await).await;
    assert!(part == bytes[4_000_000..(5 << 20) + 1], "bytes {middle:?}");
    let again = store.put(&key, file_payload(&bytes), &verified()).await.unwrap();
    assert_eq!(again, Put::AlreadyThere);
}

pub async fn a_file_longer_than_its_content(store: Arc<dyn Store>) {
    let bytes = content(70_000);
    let file = in_a_file(&bytes);
    let first = bytes.slice(..50_000);
    let key = key(&first);
    store.put(&key, Payload::File { file, len: 50_000 }, &verified()).await.unwrap();
    assert!(read_found(store.get(&key, None).await).await == first, "the first `len` bytes");

    let missing = content(70_000);
    let cut_short = Payload::File { file: in_a_file(&missing[..60_000]), len: 70_000 };
    let key = super::key(&missing);
    assert!(store.put(&key, cut_short, &verified()).await.is_err(), "bytes that are not there");
    assert_eq!(store.head(&key).await.unwrap(), None, "and nothing became visible");
}

pub async fn sha512(store: Arc<dyn Store>) {
    let bytes = content(500);
    let digest = Digest::of(Algorithm::Sha512, &bytes);
    let key = Key { area: own_area(), digest };
    assert_eq!(put(&*store, &key, &bytes).await, Put::Stored);
    assert_eq!(read_found(store.get(&key, None).await).await, bytes);
    let twin = Key { digest: Digest::sha256(&bytes), ..key.clone() };
    assert_eq!(store.head(&twin).await.unwrap(), None, "algorithms are apart");

    let shard = Shard { algorithm: Algorithm::Sha512, first: digest.bytes()[0] };
    let listed = whole_shard(&*store, &key.area, shard).await;
    assert_eq!(listed.iter().map(|entry| &entry.key).collect::<Vec<_>>(), [&key]);
    store.remove(std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(store.head(&key).await.unwrap(), None);
}

pub async fn media_type_is_kept(store: Arc<dyn Store>) {
    for text in ["application/vnd.oci.image.index.v1+json", "text/x; charset=\"utf-8\"; a=b, c"] {
        let media_type: MediaType = text.parse().unwrap();
        let meta = Meta { media_type: Some(media_type), verified: true };
        let bytes = content(200);
        let key = key(&bytes);
        store.put(&key, Payload::Bytes(bytes.clone()), &meta).await.unwrap();
        assert_eq!(store.head(&key).await.unwrap().unwrap().meta, meta);
        assert_eq!(store.get(&key, Some(0..5)).await.unwrap().unwrap().info.meta, meta);

        // The same digest put anew after a removal, as a blob this time.
        store.remove(std::slice::from_ref(&key)).await.unwrap();
        put(&*store, &key, &bytes).await;
        assert_eq!(store.head(&key).await.unwrap().unwrap().meta, verified());
    }
}

pub async fn already_there(store: Arc<dyn Store>) {
    let bytes = content(4000);
    let key = key(&bytes);
    assert_eq!(put(&*store, &key, &bytes).await, Put::Stored);
    let first = store.head(&key).await.unwrap();
    assert_eq!(put(&*store, &key, &bytes).await, Put::AlreadyThere);
    let file = store.put(&key, file_payload(&bytes), &verified()).await.unwrap();
    assert_eq!(file, Put::AlreadyThere);
    assert_eq!(store.head(&key).await.unwrap(), first, "it was left as it is");
    assert_eq!(read_found(store.get(&key, None).await).await, bytes);
}

pub async fn another_size_is_replaced(store: Arc<dyn Store>) {
    // What a key's content never is if every writer keeps its word; repaired all the same. A store
    // that has the digest checked on the way in cannot be given the wrong bytes first.
    let bytes = content(6000);
    let key = key(&bytes);
    for payload in [Payload::Bytes(bytes.clone()), file_payload(&bytes)] {
        let wrong = Payload::Bytes(bytes.slice(..2500));
        let Ok(Put::Stored) = store.put(&key, wrong, &verified()).await else { return };
        assert_eq!(store.put(&key, payload, &verified()).await.unwrap(), Put::Stored);
        assert!(read_found(store.get(&key, None).await).await == bytes, "the new content is there");
        assert_eq!(store.head(&key).await.unwrap().unwrap().size, 6000);
    }
}

pub async fn areas_are_apart(store: Arc<dyn Store>) {
    let bytes = content(900);
    let public = key(&bytes);
    let (one, other) = (own_area(), own_area());
    let below = match &one {
        Area::Private(name) => Area::Private(format!("{name}/below").parse().unwrap()),
        Area::Public => unreachable!("an own area is private"),
    };
    let private = Key { area: one.clone(), ..public.clone() };
    put(&*store, &private, &bytes).await;
    for elsewhere in [Area::Public, other, below] {
        let key = Key { area: elsewhere, ..public.clone() };
        assert_eq!(store.head(&key).await.unwrap(), None, "{key:?} is not {private:?}");
    }
    assert_eq!(put(&*store, &public, &bytes).await, Put::Stored, "and does not count as there");
    store.remove(std::slice::from_ref(&public)).await.unwrap();
    assert_eq!(read_found(store.get(&private, None).await).await, bytes);
}

pub async fn remove(store: Arc<dyn Store>) {
    let bodies: Vec<Bytes> = (0..3).map(|_| content(300)).collect();
    let mut keys: Vec<Key> = bodies.iter().map(|bytes| key(bytes)).collect();
    for (key, bytes) in keys.iter().zip(&bodies) {
        put(&*store, key, bytes).await;
    }
    let kept = keys.pop().unwrap();
    keys.push(key(&content(300)));
    store.remove(&keys).await.unwrap();
    store.remove(&keys).await.unwrap();
    store.remove(&[]).await.unwrap();
    for key in &keys {
        assert_eq!(store.head(key).await.unwrap(), None, "{key:?} was removed");
    }
    assert_eq!(store.head(&kept).await.unwrap().unwrap().size, 300, "the others stay");
    assert_eq!(put(&*store, &keys[0], &bodies[0]).await, Put::Stored, "it can be put again");
}

pub async fn an_open_body_outlives_its_key(store: Arc<dyn Store>) {
    let bytes = content(3 << 20);
    let key = key(&bytes);
    put(&*store, &key, &bytes).await;
    let whole = store.get(&key, None).await.unwrap().unwrap();
    let end = store.get(&key, Some(3_000_000..u64::MAX)).await.unwrap().unwrap();
    store.remove(std::slice::from_ref(&key)).await.unwrap();
    assert!(store.get(&key, None).await.unwrap().is_none(), "the key is gone");
    assert!(read(whole.body).await.unwrap() == bytes, "the body is not");
    assert!(read(end.body).await.unwrap() == bytes[3_000_000..], "nor a part of it");
}

pub async fn one_key_many_writers(store: Arc<dyn Store>) {
    let bytes = content(200_000);
    let key = key(&bytes);
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let (store, key, bytes) = (Arc::clone(&store), key.clone(), bytes.clone());
        writers.spawn(async move {
            let payload =
                if writer % 2 == 0 { Payload::Bytes(bytes) } else { file_payload(&bytes) };
            store.put(&key, payload, &verified()).await
        });
    }
    let ended: Vec<Put> = writers.join_all().await.into_iter().map(Result::unwrap).collect();
    assert!(ended.contains(&Put::Stored), "somebody wrote it: {ended:?}");
    assert!(read_found(store.get(&key, None).await).await == bytes);
}

pub async fn no_reader_sees_a_part(store: Arc<dyn Store>) {
    let bytes = content(4 << 20);
    let key = key(&bytes);
    let mut writer = JoinSet::new();
    {
        let (store, key, bytes) = (Arc::clone(&store), key.clone(), bytes.clone());
        writer.spawn(async move { store.put(&key, file_payload(&bytes), &verified()).await });
    }
    let mut done = false;
    while !done {
        done = writer.try_join_next().is_some();
        if let Some(found) = store.get(&key, None).await.unwrap() {
            assert_eq!(found.info.size, bytes.len() as u64, "all of it, or nothing");
            assert!(read(found.body).await.unwrap() == bytes, "all of it, or nothing");
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(store.head(&key).await.unwrap().unwrap().size, bytes.len() as u64);
}

pub async fn list_covers_each_shard(store: Arc<dyn Store>) {
    let area = own_area();
    let mut expected = BTreeMap::new();
    for size in 100..140_u64 {
        let bytes = content(usize::try_from(size).unwrap());
        let key = Key { area: area.clone(), digest: Digest::sha256(&bytes) };
        let media_type = (size % 2 == 0).then(|| "a/manifest".parse().unwrap());
        let meta = Meta { media_type, verified: true };
        store.put(&key, Payload::Bytes(bytes), &meta).await.unwrap();
        let stored = store.head(&key).await.unwrap().unwrap().stored;
        expected.insert(key.digest, (size, stored));
    }
    let shards = (0..=u8::MAX).map(|first| Shard { algorithm: Algorithm::Sha256, first });
    let listed: Vec<(Shard, Vec<Listed>)> = stream::iter(shards)
        .map(|shard| {
            let (store, area) = (&*store, &area);
            async move { (shard, whole_shard(store, area, shard).await) }
        })
        .buffered(8)
        .collect()
        .await;
    let mut seen = Vec::new();
    for (shard, entries) in listed {
        for entry in entries {
            assert_eq!(entry.key.area, area);
            assert_eq!(entry.key.digest.bytes()[0], shard.first, "in its own shard");
            seen.push((entry.key.digest, (entry.size, entry.stored)));
        }
    }
    assert_eq!(seen, expected.into_iter().collect::<Vec<_>>(), "each once, in order");
}

/// More than one page in a shard; what was removed between two pages spoils nothing.
pub async fn list_pages(store: Arc<dyn Store>) {
    let (area, label) = (own_area(), nonce());
    let shard = Shard { algorithm: Algorithm::Sha256, first: 0x5a };
    let bodies: Vec<(Key, Bytes)> = (0_u64..)
        .map(|number| Bytes::from(format!("{label} {number}")))
        .map(|bytes| (Key { area: area.clone(), digest: Digest::sha256(&bytes) }, bytes))
        .filter(|(key, _)| key.digest.bytes()[0] == shard.first)
        .take(1003)
        .collect();
    stream::iter(&bodies)
        .for_each_concurrent(32, |(key, bytes)| {
            let store = &*store;
            async move { assert_eq!(put(store, key, bytes).await, Put::Stored) }
        })
        .await;
    let mut expected: Vec<Key> = bodies.into_iter().map(|(key, _)| key).collect();
    expected.sort_by_key(|key| key.digest);

    let listed = whole_shard(&*store, &area, shard).await;
    assert!(listed.into_iter().map(|entry| entry.key).eq(expected.iter().cloned()), "each once");

    let first = store.list(&area, shard, None).await.unwrap();
    let (gone, kept) = expected.split_at(first.entries.len());
    assert!(!kept.is_empty() && first.next.is_some(), "there is a second page");
    store.remove(gone).await.unwrap();
    let second = store.list(&area, shard, first.next).await.unwrap();
    assert!(second.entries.iter().map(|entry| &entry.key).eq(kept), "the next page goes on");
    assert_eq!(second.next, None);
    store.remove(kept).await.unwrap();
    assert_eq!(whole_shard(&*store, &area, shard).await, []);
}

/// More than a page of private content, in repositories whose names begin alike; what was removed
/// between two pages spoils nothing.
pub async fn private_content_is_listed_once(store: Arc<dyn Store>) {
    let label = format!("conformance/{}", nonce());
    let names = ["", "/deep", "/deep/er", "-x"].map(|end| format!("{label}{end}"));
    let bodies: Vec<(Key, Bytes)> = (0..1020_usize)
        .map(|number| {
            let bytes = Bytes::from(format!("{label} {number}"));
            let area = Area::Private(names[number % names.len()].parse().unwrap());
            (Key { area, digest: Digest::sha256(&bytes) }, bytes)
        })
        .collect();
    stream::iter(&bodies)
        .for_each_concurrent(32, |(key, bytes)| {
            let store = &*store;
            async move { assert_eq!(put(store, key, bytes).await, Put::Stored) }
        })
        .await;
    let (public, bytes) = (key(&content(10)), content(10));
    store.put(&public, Payload::Bytes(bytes), &verified()).await.unwrap();

    let is_own =
        |key: &Key| matches!(&key.area, Area::Private(name) if name.as_str().starts_with(&label));
    let (mut seen, mut from, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list_private(from).await.unwrap();
        assert!(page.entries.len() <= 1000, "a page of {} entries", page.entries.len());
        assert!(page.entries.iter().all(|entry| entry.key.area != Area::Public));
        pages += 1;
        let own: Vec<Listed> = page.entries.into_iter().filter(|e| is_own(&e.key)).collect();
        // What is removed behind the cursor is not missed.
        let behind: Vec<Key> = own.iter().take(5).map(|entry| entry.key.clone()).collect();
        store.remove(&behind).await.unwrap();
        seen.extend(own.into_iter().map(|entry| (entry.key.digest, entry.key.area, entry.size)));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert!(pages > 1, "there is a second page");
    let mut expected: Vec<_> = bodies
        .iter()
        .map(|(key, bytes)| (key.digest, key.area.clone(), bytes.len() as u64))
        .collect();
    let order = |all: &mut Vec<(Digest, Area, u64)>| all.sort_by_key(|(digest, ..)| *digest);
    order(&mut seen);
    order(&mut expected);
    assert!(seen == expected, "{} of {} were listed", seen.len(), expected.len());
    let keys: Vec<Key> = bodies.into_iter().map(|(key, _)| key).collect();
    store.remove(&keys).await.unwrap();
}

pub async fn no_upload_is_left_behind(store: Arc<dyn Store>) {
    let bytes = content(6 << 20);
    let key = key(&bytes);
    store.put(&key, file_payload(&bytes), &verified()).await.unwrap();
    let mut from = None;
    loop {
        let page = store.stray_uploads(from).await.unwrap();
        for upload in &page.entries {
            let hex = key.digest.hex();
            assert!(!upload.id.contains(&hex), "`{}` was left behind", upload.id);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
}

pub async fn probe(store: Arc<dyn Store>) {
    let first = store.probe().await.unwrap();
    assert_eq!(store.probe().await.unwrap(), first, "a second probe finds the same");
}
