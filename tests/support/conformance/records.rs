//! What [`Records`] must do.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use registry_mirror::store::{MAX_RECORD, Records, Version, When, Written};
use tokio::task::JoinSet;

use super::{nonce, one_by_one};

/// Writes what must be written, and hands back its version.
async fn write(records: &dyn Records, path: &str, value: &str, when: When) -> Version {
    let value = Bytes::copy_from_slice(value.as_bytes());
    match records.put(path, value, when).await.unwrap() {
        Written::Done(version) => version,
        Written::Conflict => panic!("`{path}` was not written: conflict"),
    }
}

async fn value(records: &dyn Records, path: &str) -> Option<Bytes> {
    records.get(path).await.unwrap().map(|(value, _)| value)
}

/// All pages below a prefix.
async fn paths(records: &dyn Records, prefix: &str) -> Vec<String> {
    let (mut entries, mut from) = (Vec::new(), None);
    loop {
        let page = records.list(prefix, from).await.unwrap();
        assert!(page.entries.len() <= 1000, "a page of {} entries", page.entries.len());
        entries.extend(page.entries.into_iter().map(|entry| entry.path));
        match page.next {
            Some(next) => from = Some(next),
            None => return entries,
        }
    }
}

/// Every check, one after the other, over one set of records.
pub async fn all(records: Arc<dyn Records>) {
    super::records_checks!(one_by_one, records);
}

pub async fn write_then_read(records: Arc<dyn Records>) {
    let path = format!("conformance/{}/a.b-c_D/0", nonce());
    let version = write(&*records, &path, "first\0\n\u{e9}", When::Always).await;
    let read = records.get(&path).await.unwrap();
    assert_eq!(read, Some((Bytes::from("first\0\n\u{e9}"), version)), "the bytes, the version");
}

pub async fn nothing_is_there(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    assert_eq!(records.get(&path).await.unwrap(), None);
    assert_eq!(records.get(&format!("{path}/below")).await.unwrap(), None);
    assert_eq!(paths(&*records, &path).await, [""; 0]);
    records.remove(&path).await.unwrap();
}

pub async fn always_replaces(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    let mut versions = Vec::new();
    for text in ["one", "", "three is longer", "4"] {
        versions.push(write(&*records, &path, text, When::Always).await);
        assert_eq!(value(&*records, &path).await.unwrap(), text);
    }
    let mut distinct = versions.clone();
    distinct.sort_by(|a, b| a.0.cmp(&b.0));
    distinct.dedup();
    assert_eq!(distinct.len(), versions.len(), "each writing has its version: {versions:?}");
}

pub async fn only_if_absent(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    let version = write(&*records, &path, "first", When::Absent).await;
    let second = records.put(&path, "second".into(), When::Absent).await.unwrap();
    assert_eq!(second, Written::Conflict);
    let same = records.put(&path, "first".into(), When::Absent).await.unwrap();
    assert_eq!(same, Written::Conflict, "an equal value is there all the same");
    assert_eq!(records.get(&path).await.unwrap(), Some(("first".into(), version)));
}

pub async fn only_if_it_is(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    let first = write(&*records, &path, "first", When::Always).await;
    let second = write(&*records, &path, "second", When::Is(first.clone())).await;
    assert_ne!(first, second);
    let late = records.put(&path, "late".into(), When::Is(first)).await.unwrap();
    assert_eq!(late, Written::Conflict);
    assert_eq!(records.get(&path).await.unwrap(), Some(("second".into(), second.clone())));

    // What was read carries the same version as what was written.
    let (_, read) = records.get(&path).await.unwrap().unwrap();
    let third = write(&*records, &path, "third", When::Is(read)).await;
    let stale = records.put(&path, "late".into(), When::Is(second)).await.unwrap();
    assert_eq!(stale, Written::Conflict);
    assert_eq!(records.get(&path).await.unwrap(), Some(("third".into(), third)));
}

pub async fn a_removed_record_is_absent(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    let version = write(&*records, &path, "first", When::Always).await;
    records.remove(&path).await.unwrap();
    records.remove(&path).await.unwrap();
    assert_eq!(records.get(&path).await.unwrap(), None);
    let ghost = records.put(&path, "ghost".into(), When::Is(version)).await.unwrap();
    assert_eq!(ghost, Written::Conflict, "what is gone is no writing");
    assert_eq!(records.get(&path).await.unwrap(), None, "and does not come back");
    write(&*records, &path, "again", When::Absent).await;
    assert_eq!(value(&*records, &path).await.unwrap(), "again");
}

/// Starts 16 writers of one record, each with its own value; the values of those who won.
async fn race(records: &Arc<dyn Records>, path: &str, when: &When) -> Vec<String> {
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let (records, path, when) = (Arc::clone(records), path.to_owned(), when.clone());
        writers.spawn(async move {
            let value = format!("writer {writer}");
            match records.put(&path, value.clone().into(), when).await.unwrap() {
                Written::Done(_) => Some(value),
                Written::Conflict => None,
            }
        });
    }
    writers.join_all().await.into_iter().flatten().collect()
}

pub async fn one_of_many_creators_wins(records: Arc<dyn Records>) {
    for _ in 0..5 {
        let path = format!("conformance/{}", nonce());
        let winners = race(&records, &path, &When::Absent).await;
        assert_eq!(winners.len(), 1, "exactly one wins: {winners:?}");
        assert_eq!(value(&*records, &path).await.unwrap(), winners[0], "and is what is there");
    }
}

pub async fn one_of_many_changers_wins(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    let mut version = write(&*records, &path, "first", When::Absent).await;
    for _ in 0..5 {
        let winners = race(&records, &path, &When::Is(version)).await;
        assert_eq!(winners.len(), 1, "exactly one wins: {winners:?}");
        let (kept, now) = records.get(&path).await.unwrap().unwrap();
        assert_eq!(kept, winners[0], "and is what is there");
        version = now;
    }
}

pub async fn no_increment_is_lost(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    write(&*records, &path, "0", When::Absent).await;
    let mut writers = JoinSet::new();
    for _ in 0..6 {
        let (records, path) = (Arc::clone(&records), path.clone());
        writers.spawn(async move {
            let mut done = 0;
            while done < 5 {
                let (value, version) = records.get(&path).await.unwrap().unwrap();
                let count: u32 = str::from_utf8(&value).unwrap().parse().unwrap();
                let next = Bytes::from((count + 1).to_string());
                match records.put(&path, next, When::Is(version)).await.unwrap() {
                    Written::Done(_) => done += 1,
                    Written::Conflict => tokio::task::yield_now().await,
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(value(&*records, &path).await.unwrap(), "30");
}

pub async fn no_reader_sees_a_mixture(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    let text = |writing: usize| char::from(b'a' + u8::try_from(writing % 26).unwrap());
    let whole = move |writing: usize| text(writing).to_string().repeat(1000 * (1 + writing % 7));
    write(&*records, &path, &whole(0), When::Always).await;
    let mut writer = JoinSet::new();
    {
        let (records, path) = (Arc::clone(&records), path.clone());
        writer.spawn(async move {
            for writing in 1..40 {
                write(&*records, &path, &whole(writing), When::Always).await;
            }
        });
    }
    while writer.try_join_next().is_none() {
        let read = value(&*records, &path).await.expect("there is always one writing");
        assert!(
            (0..40).any(|writing| read == whole(writing)),
            "{} bytes that nobody wrote",
            read.len()
        );
        tokio::task::yield_now().await;
    }
    assert_eq!(value(&*records, &path).await.unwrap(), whole(39));
}

/// Values of 0 to 16 MiB are taken; a larger one is refused, for good, and changes nothing.
pub async fn sizes(records: Arc<dyn Records>) {
    let path = format!("conformance/{}", nonce());
    for size in [0, 1, 4096, MAX_RECORD] {
        let value = Bytes::from(vec![b'x'; size]);
        records.put(&path, value.clone(), When::Always).await.unwrap();
        let (read, _) = records.get(&path).await.unwrap().unwrap();
        assert!(read == value, "{size} bytes came back as {}", read.len());
    }
    let large = Bytes::from(vec![b'x'; MAX_RECORD + 1]);
    let refused = records.put(&path, large, When::Always).await.expect_err("a byte more");
    assert!(!refused.retryable(), "another try would end the same: {refused}");
    assert_eq!(value(&*records, &path).await.unwrap().len(), MAX_RECORD);
}

pub async fn list_below_a_prefix(records: Arc<dyn Records>) {
    let root = format!("conformance/{}", nonce());
    // In the order of the bytes of the whole path, where `-` and `.` come before `/`.
    let below = ["a-b/x", "a.b", "a/0", "a/b/c", "a/b0", "a/z", "a0/y", "b"];
    let expected: Vec<String> = below.iter().map(|path| format!("{root}/{path}")).collect();
    for path in expected.iter().rev() {
        write(&*records, path, "v", When::Always).await;
    }
    assert_eq!(paths(&*records, &root).await, expected);
    assert_eq!(paths(&*records, &format!("{root}/a")).await, expected[2..6]);
    assert_eq!(paths(&*records, &format!("{root}/a/b")).await, expected[3..4]);
    assert_eq!(paths(&*records, &format!("{root}/nothing")).await, [""; 0]);
    assert_eq!(
        paths(&*records, &format!("{root}/b")).await,
        [""; 0],
        "a record is not below itself"
    );
    let everything = paths(&*records, "").await;
    assert!(everything.is_sorted(), "in byte order");
    for path in &expected {
        assert!(everything.contains(path), "an empty prefix covers `{path}`");
    }
    records.remove(&expected[3]).await.unwrap();
    assert!(!paths(&*records, &root).await.contains(&expected[3]), "a removed one is not listed");
}

/// More than one page; what was removed between two pages spoils nothing.
pub async fn list_pages(records: Arc<dyn Records>) {
    let root = format!("conformance/{}", nonce());
    let expected: Vec<String> =
        (0..1003).map(|number| format!("{root}/{:02}/{number:04}", number / 100)).collect();
    stream::iter(&expected)
        .for_each_concurrent(32, |path| {
            let records = &*records;
            async move { drop(write(records, path, "v", When::Absent).await) }
        })
        .await;
    assert!(paths(&*records, &root).await == expected, "each once, in order");

    let first = records.list(&root, None).await.unwrap();
    let (gone, kept) = expected.split_at(first.entries.len());
    assert!(!kept.is_empty() && first.next.is_some(), "there is a second page");
    stream::iter(gone)
        .for_each_concurrent(32, |path| {
            let records = &*records;
            async move { records.remove(path).await.unwrap() }
        })
        .await;
    let second = records.list(&root, first.next).await.unwrap();
    let second_paths: Vec<_> = second.entries.iter().map(|entry| &entry.path).collect();
    assert_eq!(second_paths, kept.iter().collect::<Vec<_>>(), "the next page goes on");
    let age = SystemTime::now().duration_since(second.entries[0].written).unwrap_or_default();
    assert!(age < Duration::from_secs(3600), "it was written just now, not {age:?} ago");
    assert_eq!(second.next, None);
    assert_eq!(paths(&*records, &root).await, kept);
}

pub async fn paths_outside_the_grammar(records: Arc<dyn Records>) {
    for bad in ["", "/", "a/", "/a", "a//b", "..", "a/../b", "a/.", "./a", "a b", "a\0", "ü", "a~b"]
    {
        assert!(records.get(bad).await.is_err(), "`{bad}` was read");
        let put = records.put(bad, "v".into(), When::Always).await;
        assert!(!put.expect_err(bad).retryable(), "another try would end the same: `{bad}`");
        assert!(records.remove(bad).await.is_err(), "`{bad}` was removed");
        assert!(bad.is_empty() || records.list(bad, None).await.is_err(), "`{bad}` was listed");
    }
    let odd = format!("conformance/{}/.hidden/..x/-/_/.../h:5000/[::1]:5000", nonce());
    write(&*records, &odd, "v", When::Always).await;
    assert_eq!(value(&*records, &odd).await.unwrap(), "v", "`{odd}` is within it");
}
