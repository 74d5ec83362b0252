//! Where things are kept: content by its digest in a [`Store`], small mutable things by path in
//! [`Records`]. Both exist on a directory ([`fs`]) and in a bucket ([`s3`]), and one conformance
//! suite runs over every kind.

mod back;
mod error;
pub mod fs;
mod ground;
mod layout;
mod link;
mod record;
pub mod s3;
mod sealed;
mod tenancy;
mod unremoved;

use std::{fmt, fs::File, ops::Range, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::oci::{Algorithm, Digest, MediaType, Name, Tag};

pub use back::BackLink;
pub use error::StoreError;
pub use ground::{Finding, Ground};
pub use layout::Layout;
pub use link::{LINK_LIFETIME, Link};
pub use record::{Entry, MAX_RECORD, Records, Version, When, Written};
pub use sealed::Sealed;
pub use tenancy::Tenancy;
pub use unremoved::NotRemoved;

/// Which part of the store: what anyone may be served, or what belongs to one repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Content that came from a public repository.
    Public,
    /// Content that came from a repository that is not public (`private_repositories: allow`);
    /// kept apart, per repository.
    Private(Name),
}

/// What content is kept under. Manifests and blobs share one space, as in `registry:2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which part of the store.
    pub area: Area,
    /// What the bytes hash to.
    pub digest: Digest,
}

/// What is kept beside content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// A manifest's media type as the upstream sent it; none for a blob.
    pub media_type: Option<MediaType>,
    /// Whether this mirror hashed the bytes before it wrote them. False for what another program
    /// put there (`registry:2`).
    pub verified: bool,
}

/// What is known of kept content without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The whole content's length in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub stored: SystemTime,
    /// What is kept beside it.
    pub meta: Meta,
    /// How it is encrypted; none if the store does not say, or for a directory.
    pub encryption: Option<Sealed>,
}

/// Bytes on their way out of a store. An error ends the stream.
pub type Chunks = BoxStream<'static, Result<Bytes, StoreError>>;

/// A body out of a store.
pub enum Body {
    /// An open file, which may be read in place: these bytes of it.
    File(Arc<File>, Range<u64>),
    /// It arrives.
    Stream(Chunks),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_, range) => f.debug_tuple("File").field(range).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Kept content, opened.
#[derive(Debug)]
pub struct Found {
    /// What is known of the whole content.
    pub info: Info,
    /// The bytes that were asked for.
    pub body: Body,
}

/// What is to be kept.
#[derive(Clone)]
pub enum Payload {
    /// Something small.
    Bytes(Bytes),
    /// The first `len` bytes of an open file that nobody writes any more. A store on the same file
    /// system may link it into place instead of copying; a bucket reads it as often as it must.
    File {
        /// The file, perhaps without a name (`O_TMPFILE`).
        file: Arc<File>,
        /// Length in bytes.
        len: u64,
    },
}

impl Payload {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// How a put ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// These bytes were written.
    Stored,
    /// The same content was there already and was left as it is.
    AlreadyThere,
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is kept under.
    pub key: Key,
    /// Length in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub stored: SystemTime,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in the store's own order, each once over all pages.
    pub entries: Vec<T>,
    /// Hand this back for the next page; none after the last.
    pub next: Option<String>,
}

/// Which digests a listing covers: one algorithm, one first byte (a 256th of them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The digest's first byte.
    pub first: u8,
}

/// An upload that nobody finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayUpload {
    /// The store's name for it, to be handed to [`Store::abort`].
    pub id: String,
    /// When it was begun, by the store's clock.
    pub begun: SystemTime,
}

/// What a store was seen to do when it was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Of two conditional writes to one key, exactly one wins.
    pub conditional: bool,
    /// How what is written is encrypted; none if the store does not say, or for a directory.
    pub encryption: Option<Sealed>,
    /// Why nothing can be removed; none if it can.
    pub cannot_remove: Option<StoreError>,
}

/// Keeps content by digest.
///
/// A reader never sees part of a put: it finds all of it, or nothing, after a crash too. A body
/// that was opened stays readable to its end even if its key is removed meanwhile. Content under a
/// key never changes, so any number of writers of one key agree.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What is known of the content, without its bytes; none if it is not there.
    async fn head(&self, key: &Key) -> Result<Option<Info>, StoreError>;

    /// Opens the content, or the bytes `range` of it (clamped at the end; an empty or wholly
    /// outlying range is [`StoreError::OutOfRange`]); none if it is not there. One call to the
    /// store, whether it is there or not.
    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<Found>, StoreError>;

    /// Looks whose the content is. Where a registry hosts images here, none of its content is given
    /// out, replaced or removed, and none is added; that is looked at again before each removal and
    /// each replacement, and where it cannot be told, neither is done.
    async fn tenancy(&self) -> Result<Tenancy, StoreError> {
        Ok(Tenancy::Mirror)
    }

    /// Looks whether `keys` may be removed, which [`Self::remove`] relies on for a minute: looking at
    /// many takes time, and what is asked after it is fresher.
    async fn may_remove(&self, _keys: &[Key]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes down that all content here is a mirror's, on the word of `who`.
    async fn adopt(&self, _who: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns true if there is private content of layout 1, which named no upstream.
    async fn holds_old(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Whether another program that keeps its content here (`registry:2`) says that this content is
    /// of the repository `name`. What this mirror wrote needs no such word.
    async fn belongs(&self, _name: &Name, _digest: &Digest) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// What that program says that a tag means, and when it found that out; none if it says nothing.
    async fn tag_link(
        &self,
        _name: &Name,
        _tag: &Tag,
    ) -> Result<Option<(Digest, SystemTime)>, StoreError> {
        Ok(None)
    }

    /// Writes down for that program what it is to find, beside content that is there.
    async fn hand_back(&self, _links: &[BackLink]) -> Result<(), StoreError> {
        Err(StoreError::Misconfigured {
            what: "a directory is laid out in a way of our own".into(),
            hint: "only a bucket can be handed back to `registry:2`".into(),
        })
    }

    /// Lets that program forget when it wanted to remove what is here. What it does not know of, it
    /// keeps.
    async fn forget_schedule(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// An address from which clients may read the content themselves; none where the store has no
    /// such thing. Asks nobody: that the content is there is for the caller to know.
    async fn link(&self, _key: &Key) -> Result<Option<Link>, StoreError> {
        Ok(None)
    }

    /// Keeps `payload`, whose bytes the caller has verified against `key`. Content of the same
    /// size that is there already is left as it is; of another size, it is replaced.
    async fn put(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError>;

    /// The same where what is there is known to be of no use: it is replaced, whatever its size.
    async fn replace(&self, key: &Key, payload: Payload, meta: &Meta) -> Result<Put, StoreError> {
        self.remove(std::slice::from_ref(key)).await?;
        self.put(key, payload, meta).await
    }

    /// Removes what is there of `keys`; what is not there is no error, and one that cannot be
    /// removed keeps none of the others.
    async fn remove(&self, keys: &[Key]) -> Result<(), NotRemoved>;

    /// Lists one shard of one area, a page at a time (at most 1000 entries).
    async fn list(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<String>,
    ) -> Result<Page<Listed>, StoreError>;

    /// Lists all private content, of whichever repository, a page at a time (at most 1000
    /// entries), repository after repository within each layout. What lies in both comes twice.
    async fn list_private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError>;

    /// Whether there may be public content of this algorithm. Costs less than listing its shards.
    async fn may_hold(&self, _algorithm: Algorithm) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// The time by the store's clock, which is the one that `stored` and `begun` are told by. May
    /// be a second off.
    async fn now(&self) -> Result<SystemTime, StoreError>;

    /// When another program that keeps its content here (`registry:2`) was last seen to write, by
    /// the store's clock; none if none was.
    async fn other_writer(&self) -> Result<Option<SystemTime>, StoreError> {
        Ok(None)
    }

    /// Uploads that were begun and never finished, a page at a time.
    async fn stray_uploads(&self, from: Option<String>) -> Result<Page<StrayUpload>, StoreError>;

    /// Ends an upload that nobody finished and frees what it holds; gone already is no error.
    async fn abort(&self, upload: &StrayUpload) -> Result<(), StoreError>;

    /// Makes the place where things are kept if it is missing and may be made, and looks at it if
    /// it is there, which changes nothing about it.
    async fn prepare(&self) -> Result<Ground, StoreError> {
        Ok(Ground::default())
    }

    /// Removes what trials of the store from before `old` left behind, since nobody came to its
    /// removal; how much.
    async fn remove_probes(&self, _old: SystemTime) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Writes, reads and removes a small thing, to learn what this store can do.
    async fn probe(&self) -> Result<Abilities, StoreError>;
}
