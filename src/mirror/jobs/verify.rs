//! Reading what is kept, and hashing it.

use std::collections::HashSet;

use futures_util::StreamExt;

use super::{Image, Line, Listen, Stopped, Unread, catalogue::digest_of};
use crate::{
    mirror::{Inner, sweep},
    oci::{Algorithm, Digest, Hasher, Tag},
    store::{Area, Body, Found, Info, Key, Meta, Sealed, Shard},
};

/// A run over what is kept.
struct Run<'a> {
    inner: &'a Inner,
    tell: Listen<'a>,
    objects: u64,
    bytes: u64,
    wrong: u64,
    unread: Unread<'a>,
    /// Kept under another encryption than what is written now.
    otherwise: u64,
    /// What is written now is encrypted so; none if nobody knows.
    encryption: Option<Option<Sealed>>,
}

/// One reading of an object.
struct Reading {
    hashed: Digest,
    size: u64,
    meta: Meta,
    encryption: Option<Sealed>,
}

impl Inner {
    /// Hashes all content of `image`, or all there is, and drops what does not match its digest,
    /// unless this node can replace it: it is fetched anew when somebody wants it. A body at a time.
    pub(super) async fn verify(
        &self,
        image: Option<&Image>,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let encryption = match self.keeper.abilities().await {
            Ok(abilities) => Some(abilities.encryption),
            Err(error) => {
                let what = format!("nothing can be written, so nobody knows under what: {error}");
                tell(Line::Fault { what });
                None
            }
        };
        let knows = encryption.is_some();
        let (objects, bytes, wrong, otherwise) = (0, 0, 0, 0);
        let unread = Unread::new(tell);
        let mut run =
            Run { inner: self, tell, objects, bytes, wrong, unread, otherwise, encryption };
        match image {
            Some(image) => run.image(image).await?,
            None => run.all().await?,
        }
        let Run { objects, bytes, wrong, otherwise, unread, .. } = run;
        let unread = unread.count();
        let mut summary = format!("{objects} objects ({bytes} bytes) read, {wrong} were wrong");
        if unread > 0 {
            summary += &format!(", {unread} cannot be read");
        }
        if otherwise > 0 {
            summary += &format!(", {otherwise} are encrypted otherwise than what is written now");
        }
        let right = wrong + otherwise == 0 && unread == 0 && knows;
        tell(Line::Done { summary, fine: right && (objects > 0 || image.is_none()) });
        Ok(())
    }
}

impl Run<'_> {
    async fn image(&mut self, image: &Image) -> Result<(), Stopped> {
        let mut keys: Vec<Key> = Vec::new();
        let unread = &self.unread;
        let told = |what: &str, stopped| unread.add(what, stopped);
        for root in self.inner.roots(&told).await? {
            let tag = root.tag.as_ref().map(Tag::as_str);
            if !image.means(&root.name, tag, &root.digest) {
                continue;
            }
            for digest in self.inner.tree(&root.name, root.digest, &told).await?.digests() {
                keys.push(Key { area: Area::Public, digest });
                keys.push(Key { area: Area::Private(root.name.clone()), digest });
            }
        }
        let alone = digest_of(image.reference.as_ref());
        keys.extend(alone.map(|digest| Key { area: Area::Public, digest }));
        let mut seen = HashSet::new();
        keys.retain(|key| seen.insert(key.clone()));
        let of = keys.len() as u64;
        for (done, key) in (0..).zip(&keys) {
            (self.tell)(Line::Progress { done, of, what: key.digest.to_string() });
            self.one(key, None).await?;
        }
        Ok(())
    }

    async fn all(&mut self) -> Result<(), Stopped> {
        let store = &self.inner.parts.far;
        for first in 0..=u8::MAX {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                if algorithm == Algorithm::Sha512 && !store.may_hold(algorithm).await? {
                    continue;
                }
                let mut from = None;
                loop {
                    let page = store.list(&Area::Public, Shard { algorithm, first }, from).await?;
                    for listed in &page.entries {
                        self.one(&listed.key, Some(listed.size)).await?;
                    }
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
            }
            let what = format!("{} objects read", self.objects);
            let (done, of) = (u64::from(first) + 1, sweep::PARTS.into());
            (self.tell)(Line::Progress { done, of, what });
        }
        let mut from = None;
        loop {
            let page = store.list_private(from).await?;
            for listed in &page.entries {
                self.one(&listed.key, Some(listed.size)).await?;
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads an object, once more if it was not right. What is read twice as the same wrong bytes
    /// is damaged; whatever else is not right, another time may tell.
    async fn one(&mut self, key: &Key, listed: Option<u64>) -> Result<(), Stopped> {
        let (mut before, mut stopped) = (None, None);
        for _ in 0..2 {
            match self.read(key, listed).await {
                Ok(None) => return Ok(()),
                Ok(Some(reading)) if reading.hashed == key.digest => {
                    self.right(key, &reading);
                    return Ok(());
                }
                Ok(Some(reading)) if before == Some(reading.hashed) => {
                    return self.wrong(key, &reading).await;
                }
                Ok(Some(reading)) => {
                    before = Some(reading.hashed);
                    stopped = Some(Stopped::new("two readings differ", None));
                }
                Err(failed) => stopped = Some(failed),
            }
        }
        let Some(stopped) = stopped else { return Ok(()) };
        self.unread.add(&key.digest.to_string(), stopped)
    }

    fn count(&mut self, reading: &Reading) {
        self.unread.answered();
        self.objects += 1;
        self.bytes += reading.size;
    }

    fn right(&mut self, key: &Key, reading: &Reading) {
        self.count(reading);
        let Some(should) = &self.encryption else { return };
        let is = &reading.encryption;
        if !alike(is.as_ref(), should.as_ref()) {
            let word = |kind: &Option<Sealed>| {
                kind.as_ref().map_or_else(|| "none".to_owned(), Sealed::to_string)
            };
            let (is, should) = (word(is), word(should));
            let what = format!("`{}` is kept under encryption `{is}`, not `{should}`", key.digest);
            (self.tell)(Line::Fault { what });
            self.otherwise += 1;
        }
    }

    async fn wrong(&mut self, key: &Key, reading: &Reading) -> Result<(), Stopped> {
        self.count(reading);
        self.wrong += 1;
        self.inner.parts.metrics.mismatch();
        // What this node has was not read, and may be all that is left.
        let held = self.inner.manifests.bytes(key);
        let is_replaced = self.inner.keeper.mend(key, &reading.meta, held).await?;
        let end = if is_replaced { "replaced by what this node has of it" } else { "dropped" };
        (self.tell)(Line::Fault { what: format!("`{}` was damaged and is {end}", key.digest) });
        Ok(())
    }

    /// Reads all of an object; none if it is not there.
    async fn read(&self, key: &Key, listed: Option<u64>) -> Result<Option<Reading>, Stopped> {
        let Some(found) = self.inner.parts.far.get(key, None).await? else { return Ok(None) };
        let Info { size, meta, encryption, .. } = found.info.clone();
        let (hashed, length) = self.hash(found, key.digest.algorithm()).await?;
        match [size, listed.unwrap_or(size)].into_iter().find(|told| *told != length) {
            None => Ok(Some(Reading { hashed, size, meta, encryption })),
            Some(told) => {
                let why = format!("{length} bytes came where {told} were announced");
                Err(Stopped::new(why, None))
            }
        }
    }

    async fn hash(&self, found: Found, algorithm: Algorithm) -> Result<(Digest, u64), Stopped> {
        match found.body {
            Body::File(file, range) => {
                let length = range.end;
                let hash = move || crate::mirror::copies::hash(&file, length, algorithm);
                let hashed = self.inner.parts.engine.spawn_blocking(hash).await;
                let hashed = hashed.ok().and_then(Result::ok).ok_or_else(|| {
                    let hint = "look at the disk: `dmesg`, `smartctl`";
                    Stopped::new("the disk does not give its file", Some(hint.into()))
                })?;
                Ok((hashed, length))
            }
            Body::Stream(mut chunks) => {
                let (mut hasher, mut length) = (Hasher::new(algorithm), 0);
                while let Some(chunk) = chunks.next().await {
                    let chunk = chunk?;
                    length += chunk.len() as u64;
                    hasher.update(&chunk);
                }
                Ok((hasher.finish(), length))
            }
        }
    }
}

fn alike(is: Option<&Sealed>, should: Option<&Sealed>) -> bool {
    match (is, should) {
        (Some(is), Some(should)) => is.is_like(should),
        (is, should) => is.is_none() && should.is_none(),
    }
}
