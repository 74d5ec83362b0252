//! Content under its digest, and a manifest's media type beside it.

use std::{
    fs::{File, Metadata},
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use super::{PAGE, disk, failure::During as _, staging::Staging};
use crate::{
    oci::{Algorithm, DOCKER_HUB, Digest, MediaType},
    store::{
        Area, Body, Found, Info, Key, Layout, Listed, Meta, Page, Payload, Put, Shard, StoreError,
    },
};

/// Locks for all keys together.
const TURNS: usize = 64;

/// The directory `content/`.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) directory: PathBuf,
    /// Whose turn it is with a key, by its first byte: content and media type are two names that
    /// must be seen as one. Held for a few system calls, never while bytes are written or flushed.
    turns: [RwLock<()>; TURNS],
    layout: Layout,
}

/// Where one key's files lie.
struct Place {
    directory: PathBuf,
    content: PathBuf,
    media_type: PathBuf,
}

impl Content {
    pub(super) fn new(directory: PathBuf, layout: Layout) -> Self {
        Self { directory, turns: std::array::from_fn(|_| RwLock::new(())), layout }
    }

    pub(super) fn head(&self, key: &Key) -> Result<Option<Info>, StoreError> {
        let place = self.place(key);
        let _turn = self.turn(key).read().unwrap_or_else(PoisonError::into_inner);
        match std::fs::metadata(&place.content) {
            Ok(about) => Ok(Some(place.info(&about)?)),
            Err(error) if disk::is_missing(&error) => Ok(None),
            Err(error) => Err(error).during("stat"),
        }
    }

    pub(super) fn get(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<Option<Found>, StoreError> {
        let place = self.place(key);
        let (file, info) = {
            let _turn = self.turn(key).read().unwrap_or_else(PoisonError::into_inner);
            let file = match File::open(&place.content) {
                Ok(file) => file,
                Err(error) if disk::is_missing(&error) => return Ok(None),
                Err(error) => return Err(error).during("open"),
            };
            let info = place.info(&file.metadata().during("fstat")?)?;
            (file, info)
        };
        let size = info.size;
        let bytes = match range {
            None => 0..size,
            Some(range) if range.start < range.end.min(size) => range.start..range.end.min(size),
            Some(_) => return Err(StoreError::OutOfRange { size }),
        };
        Ok(Some(Found { info, body: Body::File(Arc::new(file), bytes) }))
    }

    pub(super) fn put(
        &self,
        staging: &Staging,
        key: &Key,
        payload: &Payload,
        meta: &Meta,
    ) -> Result<Put, StoreError> {
        let place = self.place(key);
        if size_of(&place.content)? == Some(payload.len()) {
            return Ok(Put::AlreadyThere);
        }
        disk::create_directories(&place.directory).during("mkdir")?;
        let content = staging.content(payload)?;
        let media_type = match &meta.media_type {
            Some(media_type) => Some(staging.small(&[media_type.as_str().as_bytes()])?),
            None => None,
        };
        let put = self.publish(key, &place, payload.len(), |replacing| {
            match media_type {
                Some(named) => named.publish(&place.media_type)?,
                // Left by a crash between the two names, or by what is replaced.
                None => drop(disk::remove_if_there(&place.media_type).during("unlink")?),
            }
            staging.publish(content, &place.content, replacing)
        })?;
        if put == Put::Stored {
            disk::sync_directory(&place.directory).during("fsync")?;
        }
        Ok(put)
    }

    /// In the key's turn: `publish`, unless content of that size has come meanwhile. It is told
    /// whether there is something to replace.
    fn publish(
        &self,
        key: &Key,
        place: &Place,
        len: u64,
        publish: impl FnOnce(bool) -> Result<(), StoreError>,
    ) -> Result<Put, StoreError> {
        let _turn = self.turn(key).write().unwrap_or_else(PoisonError::into_inner);
        let there = size_of(&place.content)?;
        if there == Some(len) {
            return Ok(Put::AlreadyThere);
        }
        publish(there.is_some())?;
        Ok(Put::Stored)
    }

    pub(super) fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let place = self.place(key);
        let _turn = self.turn(key).write().unwrap_or_else(PoisonError::into_inner);
        disk::remove_if_there(&place.content).during("unlink")?;
        disk::remove_if_there(&place.media_type).during("unlink")?;
        Ok(())
    }

    /// One page of a shard in the order of the digests. A cursor is the last digest's hexadecimal
    /// part, so that what comes and goes between two pages moves nothing else.
    pub(super) fn list(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<&str>,
    ) -> Result<Page<Listed>, StoreError> {
        let from = from.unwrap_or_default();
        let first = format!("{:02x}", shard.first);
        let directory = self.area(area).join(shard.algorithm.as_str()).join(&first);
        let mut entries: Vec<Listed> = Vec::new();
        for second in disk::names(&directory).during("list")? {
            let start = format!("{first}{second}");
            if from.get(..start.len()).is_some_and(|reached| start.as_str() < reached) {
                continue;
            }
            let directory = directory.join(&second);
            for name in disk::names(&directory).during("list")? {
                let Some(digest) = digest(shard.algorithm, &name) else { continue };
                if name.as_str() <= from || !name.starts_with(&start) {
                    continue;
                }
                let (size, stored) = match about(&directory.join(&name)) {
                    Ok(about) => about,
                    Err(error) if disk::is_missing(&error) => continue,
                    Err(error) => return Err(error).during("stat"),
                };
                if entries.len() == PAGE {
                    let next = entries.last().map(|last| last.key.digest.hex());
                    return Ok(Page { entries, next });
                }
                let key = Key { area: area.clone(), digest };
                entries.push(Listed { key, size, stored });
            }
        }
        Ok(Page { entries, next: None })
    }

    /// The lock that a key shares with others.
    fn turn(&self, key: &Key) -> &RwLock<()> {
        &self.turns[usize::from(key.digest.bytes()[0]) % TURNS]
    }

    fn area(&self, area: &Area) -> PathBuf {
        match area {
            Area::Public => self.directory.join("public"),
            Area::Private(name) => self.private().join(name.as_str()).join("_"),
        }
    }

    /// All private content of the upstream.
    pub(super) fn private(&self) -> PathBuf {
        match self.layout.upstream().as_str() {
            DOCKER_HUB => self.directory.join("private"),
            other => self.directory.join("upstreams").join(other).join("private"),
        }
    }

    fn place(&self, key: &Key) -> Place {
        let hex = key.digest.hex();
        let algorithm = key.digest.algorithm().as_str();
        let directory = self.area(&key.area).join(algorithm).join(&hex[..2]).join(&hex[2..4]);
        let content = directory.join(&hex);
        Place { media_type: directory.join(format!("{hex}.type")), content, directory }
    }
}

impl Place {
    /// What is known of content that is open, or was looked at, in its turn.
    fn info(&self, about: &Metadata) -> Result<Info, StoreError> {
        let media_type = match std::fs::read_to_string(&self.media_type) {
            // One that a failing disk spoilt is as good as none: the manifest itself says it too.
            Ok(text) => text.parse::<MediaType>().ok(),
            Err(error) if disk::is_missing(&error) => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(error) => return Err(error).during("read"),
        };
        let stored = about.modified().during("stat")?;
        let meta = Meta { media_type, verified: true };
        Ok(Info { size: about.len(), stored, meta, encryption: None })
    }
}

/// The length of a file in bytes; none if it is not there.
fn size_of(path: &Path) -> Result<Option<u64>, StoreError> {
    match about(path) {
        Ok((size, _)) => Ok(Some(size)),
        Err(error) if disk::is_missing(&error) => Ok(None),
        Err(error) => Err(error).during("stat"),
    }
}

pub(super) fn about(path: &Path) -> io::Result<(u64, SystemTime)> {
    let about = std::fs::metadata(path)?;
    Ok((about.len(), about.modified()?))
}

/// The digest a file is named by; none for a media type, and for what is not ours.
pub(super) fn digest(algorithm: Algorithm, name: &str) -> Option<Digest> {
    format!("{}:{name}", algorithm.as_str()).parse().ok()
}
