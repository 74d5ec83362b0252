//! Stores and an upstream that do what a test tells them, for the mirror on a paused clock.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use registry_mirror::{
    clock::Clock,
    oci::{Digest, Name, Reference, Tag},
    store::{
        Abilities, Area, BackLink, Body, Entry, Found, Ground, Info, Key, Link, Listed, Meta,
        NotRemoved, Page, Payload, Put, Records, Shard, Store, StoreError, StrayUpload, Tenancy,
        Version, When, Written,
    },
    upstream::{
        self, Blob, Head, Limits, Listing, Scope, Trust, Upstream, UpstreamError, Visibility,
    },
};

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct Hand(Mutex<SystemTime>);

impl Hand {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))))
    }

    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    pub fn set(&self, now: SystemTime) {
        *self.0.lock().unwrap() = now;
    }

    /// Moves it so many seconds on, or back.
    pub fn shift(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { *now -= by } else { *now += by }
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// How one transfer of a blob goes.
#[derive(Clone, Debug)]
pub enum Transfer {
    /// As it should.
    Whole,
    /// Breaks off before this offset of the blob.
    CutAt(u64),
    /// Sends nothing more from this offset on.
    SilentAt(u64),
    /// Wrong bytes from this offset on.
    WrongFrom(u64),
    /// Fails at once.
    Error(UpstreamError),
    /// Waits so long between chunks.
    Slow(Duration),
    /// Does not say its length.
    Unsaid,
    /// Sends more than it said.
    TooLong,
}

/// What one repository of the scripted upstream holds.
#[derive(Default)]
struct Repository {
    private: bool,
    tags: HashMap<String, Digest>,
    manifests: HashMap<Digest, (Bytes, String)>,
    blobs: HashMap<Digest, Bytes>,
}

/// An upstream by script, which counts what it is asked.
#[derive(Default)]
pub struct Script {
    repositories: Mutex<HashMap<String, Repository>>,
    /// What the next transfers of blobs do; then they are whole.
    pub transfers: Mutex<VecDeque<Transfer>>,
    /// If set, everything fails so.
    pub failing: Mutex<Option<UpstreamError>>,
    /// If set, manifest GETs fail so.
    pub pulls_failing: Mutex<Option<UpstreamError>>,
    /// If set, nothing is ever answered.
    pub hanging: Mutex<bool>,
    pub asked: Counts,
    /// The offsets that blobs were asked for from.
    pub offsets: Mutex<Vec<u64>>,
}

#[derive(Default)]
pub struct Counts {
    pub visibility: AtomicUsize,
    pub heads: AtomicUsize,
    pub manifests: AtomicUsize,
    pub blob_sizes: AtomicUsize,
    pub blobs: AtomicUsize,
    pub listings: AtomicUsize,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

/// How large the chunks of a scripted transfer are, in bytes.
const CHUNK: usize = 10_000;

impl Script {
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Repository) -> T) -> T {
        change(self.repositories.lock().unwrap().entry(name.to_owned()).or_default())
    }

    pub fn private(&self, name: &str) {
        self.with(name, |repository| repository.private = true);
    }

    pub fn blob(&self, name: &str, bytes: Bytes) -> Digest {
        self.blob_under(name, Digest::sha256(&bytes), bytes)
    }

    pub fn blob_under(&self, name: &str, digest: Digest, bytes: Bytes) -> Digest {
        self.with(name, |repository| repository.blobs.insert(digest, bytes));
        digest
    }

    pub fn manifest(&self, name: &str, tag: &str, media_type: &str, text: &str) -> Digest {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let digest = Digest::sha256(&bytes);
        self.with(name, |repository| {
            repository.tags.insert(tag.to_owned(), digest);
            repository.manifests.insert(digest, (bytes, media_type.to_owned()));
        });
        digest
    }

    pub fn untag(&self, name: &str, tag: &str) {
        self.with(name, |repository| repository.tags.remove(tag));
    }

    pub fn fail(&self, error: Option<UpstreamError>) {
        *self.failing.lock().unwrap() = error;
    }

    pub fn next(&self, transfers: impl IntoIterator<Item = Transfer>) {
        self.transfers.lock().unwrap().extend(transfers);
    }

    async fn gate(&self, count: &AtomicUsize) -> Result<(), UpstreamError> {
        count.fetch_add(1, Ordering::SeqCst);
        if *self.hanging.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        // An answer takes a moment, so that what is asked at once really meets.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.failing.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn digest(&self, name: &Name, reference: &Reference) -> Result<Digest, UpstreamError> {
        match reference {
            Reference::Digest(digest) => Ok(*digest),
            Reference::Tag(tag) => self.with(name.as_str(), |repository| {
                repository.tags.get(tag.as_str()).copied().ok_or(UpstreamError::Unknown)
            }),
        }
    }
}

#[async_trait]
impl Upstream for Script {
    async fn visibility(
        &self,
        name: &Name,
        _: Option<&Reference>,
    ) -> Result<Visibility, UpstreamError> {
        self.gate(&self.asked.visibility).await?;
        let private = self.with(name.as_str(), |repository| repository.private);
        Ok(if private { Visibility::NotPublic } else { Visibility::Public })
    }

    async fn head(
        &self,
        name: &Name,
        reference: &Reference,
        _: Trust,
    ) -> Result<Head, UpstreamError> {
        self.gate(&self.asked.heads).await?;
        let digest = self.digest(name, reference)?;
        let (bytes, media_type) = self
            .with(name.as_str(), |repository| repository.manifests.get(&digest).cloned())
            .ok_or(UpstreamError::Unknown)?;
        Ok(Head {
            digest: Some(digest),
            media_type: media_type.parse().ok(),
            size: Some(bytes.len() as u64),
            checked_at: SystemTime::UNIX_EPOCH,
        })
    }

    async fn manifest(
        &self,
        name: &Name,
        reference: &Reference,
        _: Trust,
    ) -> Result<upstream::Manifest, UpstreamError> {
        self.gate(&self.asked.manifests).await?;
        if let Some(error) = self.pulls_failing.lock().unwrap().clone() {
            return Err(error);
        }
        let digest = self.digest(name, reference)?;
        let (bytes, media_type) = self
            .with(name.as_str(), |repository| repository.manifests.get(&digest).cloned())
            .ok_or(UpstreamError::Unknown)?;
        let media_type = media_type.parse().unwrap();
        Ok(upstream::Manifest { digest, media_type, bytes, checked_at: SystemTime::UNIX_EPOCH })
    }

    async fn blob_size(
        &self,
        name: &Name,
        digest: &Digest,
        _: Trust,
    ) -> Result<Option<u64>, UpstreamError> {
        self.gate(&self.asked.blob_sizes).await?;
        self.with(name.as_str(), |repository| {
            repository.blobs.get(digest).map(|b| Some(b.len() as u64)).ok_or(UpstreamError::Unknown)
        })
    }

    async fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        from: u64,
        _: Trust,
    ) -> Result<Blob, UpstreamError> {
        self.gate(&self.asked.blobs).await?;
        self.offsets.lock().unwrap().push(from);
        let bytes = self
            .with(name.as_str(), |repository| repository.blobs.get(digest).cloned())
            .ok_or(UpstreamError::Unknown)?;
        let transfer = self.transfers.lock().unwrap().pop_front().unwrap_or(Transfer::Whole);
        let mut total = Some(bytes.len() as u64);
        let mut body = bytes.to_vec();
        let mut pause = Duration::from_micros(10);
        let mut end = None;
        match transfer {
            Transfer::Whole => {}
            Transfer::CutAt(offset) => {
                body.truncate(offset as usize);
                end = Some(stream::iter([Err(UpstreamError::passing("cut"))]).boxed());
            }
            Transfer::SilentAt(offset) => {
                body.truncate(offset as usize);
                end = Some(stream::pending().boxed());
            }
            Transfer::WrongFrom(offset) => body[offset as usize..].fill(b'!'),
            Transfer::Error(error) => return Err(error),
            Transfer::Slow(between) => pause = between,
            Transfer::Unsaid => total = None,
            Transfer::TooLong => body.extend_from_slice(b"more"),
        }
        let rest = body.get(from as usize..).unwrap_or_default();
        let chunks: Vec<_> = rest.chunks(CHUNK).map(Bytes::copy_from_slice).collect();
        let chunks = stream::iter(chunks).then(move |chunk| async move {
            tokio::time::sleep(pause).await;
            Ok(chunk)
        });
        let chunks = match end {
            Some(end) => chunks.chain(end).boxed(),
            None => chunks.boxed(),
        };
        Ok(Blob { total, chunks })
    }

    async fn tags(&self, name: &Name, _: &str, _: Trust) -> Result<Listing, UpstreamError> {
        self.gate(&self.asked.listings).await?;
        let tags = self.with(name.as_str(), |repository| {
            repository.tags.keys().cloned().collect::<Vec<_>>().join(",")
        });
        Ok(Listing {
            bytes: tags.into(),
            media_type: "application/json".parse().unwrap(),
            next: None,
            filters: None,
        })
    }

    async fn referrers(
        &self,
        _: &Name,
        _: &Digest,
        _: &str,
        _: Trust,
    ) -> Result<Listing, UpstreamError> {
        self.gate(&self.asked.listings).await?;
        Err(UpstreamError::Unknown)
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn cooling(&self) -> Option<(Scope, SystemTime)> {
        match self.pulls_failing.lock().unwrap().as_ref()? {
            UpstreamError::CoolingOff { until, scope } => Some((*scope, *until)),
            _ => None,
        }
    }
}

/// A store in memory whose answers can be spoiled. Its clock is its own, and moved by hand.
#[derive(Debug)]
pub struct Memory {
    pub clock: Arc<Hand>,
    pub content: Mutex<BTreeMap<Path, (Bytes, Meta, SystemTime)>>,
    /// What another program says of which repository its content is.
    pub links: Mutex<HashSet<(Name, Digest)>>,
    pub tag_links: Mutex<HashMap<(Name, Tag), (Digest, SystemTime)>>,
    /// What was written down for that program.
    pub handed_back: Mutex<Vec<BackLink>>,
    pub records: Mutex<BTreeMap<String, (Bytes, u64, SystemTime)>>,
    /// A record that cannot be read.
    pub unreadable: Mutex<Option<String>>,
    pub record_gets: AtomicUsize,
    /// Whose the content is.
    pub tenancy: Mutex<Tenancy>,
    /// When another program wrote last.
    pub other_writer: Mutex<Option<SystemTime>>,
    pub uploads: Mutex<Vec<StrayUpload>>,
    /// What it says of its conditional writes.
    pub honest: Mutex<bool>,
    pub refuse_reads: Mutex<bool>,
    pub refuse_writes: Mutex<bool>,
    /// It has room for no more than so many objects: with as many, nothing can be written.
    pub room: Mutex<Option<usize>>,
    /// Content that may not be written.
    pub denied: Mutex<Option<Digest>>,
    pub hang: Mutex<bool>,
    /// Bodies break off before this offset, so many times.
    pub cut_at: Mutex<Option<usize>>,
    pub cuts: Mutex<usize>,
    /// Nothing can be removed.
    pub undeletable: Mutex<bool>,
    /// Whether its place is not yet as it should be, and how often it was looked at.
    pub unfinished: Mutex<bool>,
    pub looks: AtomicUsize,
    /// How long a removal takes.
    pub removal: Mutex<Duration>,
    /// So many bodies come with a wrong first byte.
    spoilt: AtomicUsize,
    pub gets: AtomicUsize,
    pub puts: AtomicUsize,
    version: AtomicU64,
}

/// A key in an order of its own: area and digest.
type Path = (String, Digest);

/// Entries of a page of any listing: few, so that there are several.
const PAGE: usize = 3;

fn path(key: &Key) -> Path {
    let area = match &key.area {
        Area::Public => String::new(),
        Area::Private(name) => name.to_string(),
    };
    (area, key.digest)
}

fn key((area, digest): &Path) -> Key {
    let area = if area.is_empty() { Area::Public } else { Area::Private(area.parse().unwrap()) };
    Key { area, digest: *digest }
}

/// The page of `all`, each with its place in their order, that begins after the place `from`.
fn page<T>(all: impl Iterator<Item = (String, T)>, from: Option<String>) -> Page<T> {
    let mut rest = all.filter(|(place, _)| from.as_ref().is_none_or(|from| place > from));
    let (places, entries): (Vec<String>, Vec<T>) = rest.by_ref().take(PAGE).unzip();
    let next = places.into_iter().next_back().filter(|_| rest.next().is_some());
    Page { entries, next }
}

const REFUSED: StoreError = StoreError::Unavailable { operation: "test", code: String::new() };

impl Memory {
    pub fn new(clock: Arc<Hand>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            content: Mutex::default(),
            links: Mutex::default(),
            tag_links: Mutex::default(),
            handed_back: Mutex::default(),
            records: Mutex::default(),
            unreadable: Mutex::default(),
            record_gets: AtomicUsize::default(),
            tenancy: Mutex::new(Tenancy::Mirror),
            other_writer: Mutex::default(),
            uploads: Mutex::default(),
            honest: Mutex::new(true),
            refuse_reads: Mutex::default(),
            refuse_writes: Mutex::default(),
            room: Mutex::default(),
            denied: Mutex::default(),
            hang: Mutex::default(),
            cut_at: Mutex::default(),
            cuts: Mutex::new(usize::MAX),
            undeletable: Mutex::default(),
            removal: Mutex::default(),
            unfinished: Mutex::default(),
            looks: AtomicUsize::default(),
            spoilt: AtomicUsize::default(),
            gets: AtomicUsize::default(),
            puts: AtomicUsize::default(),
            version: AtomicU64::default(),
        })
    }

    pub fn holds(&self, digest: &Digest) -> bool {
        self.content.lock().unwrap().keys().any(|(_, held)| held == digest)
    }

    /// Puts content there as the mirror would have.
    pub fn insert(&self, key: &Key, bytes: Bytes, meta: Meta) {
        self.content.lock().unwrap().insert(path(key), (bytes, meta, self.clock.now()));
    }

    /// The next `times` bodies come with a wrong first byte.
    pub fn spoil(&self, times: usize) {
        self.spoilt.store(times, Ordering::SeqCst);
    }

    pub fn bytes(&self, key: &Key) -> Option<Bytes> {
        self.content.lock().unwrap().get(&path(key)).map(|(bytes, ..)| bytes.clone())
    }

    /// Writes a record as another node would.
    pub fn note(&self, path: &str, text: &str) {
        let version = self.version.fetch_add(1, Ordering::SeqCst);
        let record = (Bytes::copy_from_slice(text.as_bytes()), version, self.clock.now());
        self.records.lock().unwrap().insert(path.to_owned(), record);
    }

    /// The text of a record.
    pub fn record(&self, path: &str) -> Option<String> {
        let records = self.records.lock().unwrap();
        records.get(path).map(|(value, ..)| String::from_utf8_lossy(value).into_owned())
    }

    /// What is there, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.content.lock().unwrap().keys().map(key).collect()
    }

    async fn gate(&self, refuse: &Mutex<bool>) -> Result<(), StoreError> {
        if *self.hang.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        if *refuse.lock().unwrap() { Err(REFUSED) } else { Ok(()) }
    }

    fn has_room(&self) -> Result<(), StoreError> {
        let (room, held) = (*self.room.lock().unwrap(), self.content.lock().unwrap().len());
        if room.is_some_and(|room| held >= room) {
            return Err(StoreError::Full { operation: "test" });
        }
        Ok(())
    }

    fn info(entry: &(Bytes, Meta, SystemTime)) -> Info {
        let (size, stored) = (entry.0.len() as u64, entry.2);
        Info { size, stored, meta: entry.1.clone(), encryption: None }
    }

    fn listed(&self, wanted: impl Fn(&Path) -> bool, from: Option<String>) -> Page<Listed> {
        let content = self.content.lock().unwrap();
        let wanted = content.iter().filter(|(path, _)| wanted(path));
        let listed = wanted.map(|(path, (bytes, _, stored))| {
            let (size, stored) = (bytes.len() as u64, *stored);
            let place = format!("{} {}", path.0, path.1);
            (place, Listed { key: key(path), size, stored })
        });
        page(listed, from)
    }
}

#[async_trait]
impl Store for Memory {
    async fn head(&self, key: &Key) -> Result<Option<Info>, StoreError> {
        self.gate(&self.refuse_reads).await?;
        Ok(self.content.lock().unwrap().get(&path(key)).map(Self::info))
    }

    async fn tenancy(&self) -> Result<Tenancy, StoreError> {
        self.gate(&self.refuse_reads).await?;
        Ok(self.tenancy.lock().unwrap().clone())
    }

    async fn belongs(&self, name: &Name, digest: &Digest) -> Result<bool, StoreError> {
        self.gate(&self.refuse_reads).await?;
        Ok(self.links.lock().unwrap().contains(&(name.clone(), *digest)))
    }

    async fn tag_link(
        &self,
        name: &Name,
        tag: &Tag,
    ) -> Result<Option<(Digest, SystemTime)>, StoreError> {
        Ok(self.tag_links.lock().unwrap().get(&(name.clone(), tag.clone())).copied())
    }

    async fn hand_back(&self, links: &[BackLink]) -> Result<(), StoreError> {
        self.gate(&self.refuse_writes).await?;
        self.handed_back.lock().unwrap().extend_from_slice(links);
        Ok(())
    }

    async fn link(&self, key: &Key) -> Result<Option<Link>, StoreError> {
        Ok(Some(Link::new(format!("https://bucket.test/{}?signed", key.digest.hex()))))
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<Found>, StoreError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.gate(&self.refuse_reads).await?;
        let Some(entry) = self.content.lock().unwrap().get(&path(key)).cloned() else {
            return Ok(None);
        };
        let info = Self::info(&entry);
        let range = range.unwrap_or(0..info.size);
        let range = range.start..range.end.min(info.size);
        if range.is_empty() && info.size > 0 {
            return Err(StoreError::OutOfRange { size: info.size });
        }
        let less = |times: usize| times.checked_sub(1);
        let spoils = self.spoilt.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        let mut bytes = entry.0.to_vec();
        if let Some(first) = bytes.first_mut().filter(|_| spoils) {
            *first ^= 1;
        }
        let mut chunks: Vec<Result<Bytes, StoreError>> = bytes
            [range.start as usize..range.end as usize]
            .chunks(CHUNK)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let cut = *self.cut_at.lock().unwrap();
        if let Some(cut) = cut.filter(|cut| *cut < range.end as usize) {
            chunks.truncate(cut.saturating_sub(range.start as usize) / CHUNK);
            chunks.push(Err(REFUSED));
            let mut cuts = self.cuts.lock().unwrap();
            *cuts = cuts.saturating_sub(1);
            if *cuts == 0 {
                *self.cut_at.lock().unwrap() = None;
            }
        }
        Ok(Some(Found { info, body: Body::Stream(stream::iter(chunks).boxed()) }))
    }

    async fn put(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.gate(&self.refuse_writes).await?;
        self.has_room()?;
        if *self.denied.lock().unwrap() == Some(key.digest) {
            return Err(StoreError::Denied { operation: "test", code: "denied".into() });
        }
        let bytes = match payload {
            Payload::Bytes(bytes) => bytes,
            Payload::File { file, len } => {
                use std::os::unix::fs::FileExt;
                let mut bytes = vec![0; len as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                bytes.into()
            }
        };
        self.insert(key, bytes, meta.clone());
        Ok(Put::Stored)
    }

    async fn replace(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        Store::put(self, key, payload, meta).await
    }

    async fn remove(&self, keys: &[Key]) -> Result<(), NotRemoved> {
        self.gate(&self.undeletable).await?;
        let removal = *self.removal.lock().unwrap();
        tokio::time::sleep(removal).await;
        let mut content = self.content.lock().unwrap();
        keys.iter().for_each(|key| drop(content.remove(&path(key))));
        Ok(())
    }

    async fn list(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<String>,
    ) -> Result<Page<Listed>, StoreError> {
        self.gate(&self.refuse_reads).await?;
        let private = path(&Key { area: area.clone(), digest: Digest::sha256(b"") }).0;
        let wanted = |(area, digest): &Path| {
            *area == private
                && digest.algorithm() == shard.algorithm
                && digest.bytes().first() == Some(&shard.first)
        };
        Ok(self.listed(wanted, from))
    }

    async fn list_private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError> {
        self.gate(&self.refuse_reads).await?;
        Ok(self.listed(|(area, _)| !area.is_empty(), from))
    }

    async fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(self.clock.now())
    }

    async fn other_writer(&self) -> Result<Option<SystemTime>, StoreError> {
        Ok(*self.other_writer.lock().unwrap())
    }

    async fn stray_uploads(&self, from: Option<String>) -> Result<Page<StrayUpload>, StoreError> {
        let uploads = self.uploads.lock().unwrap();
        let uploads: BTreeMap<_, _> = uploads.iter().map(|u| (u.id.clone(), u.clone())).collect();
        Ok(page(uploads.into_iter(), from))
    }

    async fn abort(&self, upload: &StrayUpload) -> Result<(), StoreError> {
        self.uploads.lock().unwrap().retain(|known| known != upload);
        Ok(())
    }

    async fn prepare(&self) -> Result<Ground, StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(Ground { unfinished: *self.unfinished.lock().unwrap(), ..Ground::default() })
    }

    async fn probe(&self) -> Result<Abilities, StoreError> {
        self.gate(&self.refuse_writes).await?;
        self.has_room()?;
        let conditional = *self.honest.lock().unwrap();
        Ok(Abilities { conditional, encryption: None, cannot_remove: None })
    }
}

#[async_trait]
impl Records for Memory {
    async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        self.record_gets.fetch_add(1, Ordering::SeqCst);
        self.gate(&self.refuse_reads).await?;
        if self.unreadable.lock().unwrap().as_deref() == Some(path) {
            return Err(REFUSED);
        }
        let records = self.records.lock().unwrap();
        Ok(records
            .get(path)
            .map(|(value, version, _)| (value.clone(), Version(version.to_string()))))
    }

    async fn put(&self, path: &str, value: Bytes, when: When) -> Result<Written, StoreError> {
        self.gate(&self.refuse_writes).await?;
        self.has_room()?;
        let mut records = self.records.lock().unwrap();
        let there = records.get(path).map(|(_, version, _)| Version(version.to_string()));
        let holds = match when {
            When::Always => true,
            When::Absent => there.is_none(),
            When::Is(version) => there == Some(version),
        };
        if !holds && *self.honest.lock().unwrap() {
            return Ok(Written::Conflict);
        }
        let version = self.version.fetch_add(1, Ordering::SeqCst);
        records.insert(path.to_owned(), (value, version, self.clock.now()));
        Ok(Written::Done(Version(version.to_string())))
    }

    async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page<Entry>, StoreError> {
        self.gate(&self.refuse_reads).await?;
        let records = self.records.lock().unwrap();
        let below = format!("{prefix}/");
        let wanted =
            records.iter().filter(|(path, _)| prefix.is_empty() || path.starts_with(&below));
        let entries = wanted.map(|(path, (_, _, written))| {
            (path.clone(), Entry { path: path.clone(), written: *written })
        });
        Ok(page(entries, from))
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.gate(&self.refuse_writes).await?;
        self.records.lock().unwrap().remove(path);
        Ok(())
    }
}
