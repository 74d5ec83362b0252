//! Reading what is kept, and hashing it.

use futures_util::StreamExt;

use super::{Image, Line, Listen, Stopped, catalogue::digest_of};
use crate::{
    mirror::{Inner, sweep},
    oci::{Algorithm, Digest, Hasher, Tag},
    store::{Area, Body, Found, Key, Sealed, Shard},
};

/// What is found.
#[derive(Default)]
struct Tally {
    objects: u64,
    bytes: u64,
    wrong: u64,
    /// Kept under another encryption than what is written now.
    otherwise: u64,
    /// What is written now is encrypted so.
    encryption: Option<Sealed>,
}

impl Inner {
    /// Hashes all content of `image`, or all there is, and drops what does not match its digest: it
    /// is fetched anew when somebody wants it. A body at a time.
    pub(super) async fn verify(
        &self,
        image: Option<&Image>,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let encryption = self.keeper.abilities().await?.encryption;
        let mut tally = Tally { encryption, ..Tally::default() };
        match image {
            Some(image) => self.verify_image(image, &mut tally, tell).await?,
            None => self.verify_all(&mut tally, tell).await?,
        }
        let Tally { objects, bytes, wrong, otherwise, .. } = tally;
        let mut summary = format!("{objects} objects ({bytes} bytes) read, {wrong} were wrong");
        if otherwise > 0 {
            summary += &format!(", {otherwise} are encrypted otherwise than what is written now");
        }
        let fine = wrong + otherwise == 0 && (objects > 0 || image.is_none());
        tell(Line::Done { summary, fine });
        Ok(())
    }

    async fn verify_image(
        &self,
        image: &Image,
        tally: &mut Tally,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let mut keys: Vec<Key> = Vec::new();
        for root in self.roots().await? {
            let tag = root.tag.as_ref().map(Tag::as_str);
            if !image.means(&root.name, tag, &root.digest) {
                continue;
            }
            let tree = self.tree(&root.name, root.digest).await;
            for digest in tree.lengths.into_keys().chain([root.digest]) {
                keys.push(Key { area: Area::Public, digest });
                keys.push(Key { area: Area::Private(root.name.clone()), digest });
            }
        }
        let alone = digest_of(image.reference.as_ref());
        keys.extend(alone.map(|digest| Key { area: Area::Public, digest }));
        keys.sort_by_key(|key| key.digest);
        keys.dedup();
        let of = keys.len() as u64;
        for (done, key) in (0..).zip(&keys) {
            tell(Line::Progress { done, of, what: key.digest.to_string() });
            self.verify_one(key, tally, tell).await?;
        }
        Ok(())
    }

    async fn verify_all(&self, tally: &mut Tally, tell: Listen<'_>) -> Result<(), Stopped> {
        let store = &self.parts.far;
        for first in 0..=u8::MAX {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                if algorithm == Algorithm::Sha512 && !store.may_hold(algorithm).await? {
                    continue;
                }
                let mut from = None;
                loop {
                    let page = store.list(&Area::Public, Shard { algorithm, first }, from).await?;
                    for listed in &page.entries {
                        self.verify_one(&listed.key, tally, tell).await?;
                    }
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
            }
            let what = format!("{} objects read", tally.objects);
            tell(Line::Progress { done: u64::from(first) + 1, of: sweep::PARTS.into(), what });
        }
        let mut from = None;
        loop {
            let page = store.list_private(from).await?;
            for listed in &page.entries {
                self.verify_one(&listed.key, tally, tell).await?;
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn verify_one(
        &self,
        key: &Key,
        tally: &mut Tally,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let Some(found) = self.parts.far.get(key, None).await? else { return Ok(()) };
        let (size, encryption) = (found.info.size, found.info.encryption.clone());
        let hashed = self.hash(found, key.digest.algorithm()).await?;
        tally.objects += 1;
        tally.bytes += size;
        if hashed != key.digest {
            tally.wrong += 1;
            self.parts.metrics.mismatch();
            self.manifests.forget(key);
            self.keeper.drop(key).await?;
            let what = format!("`{}` was damaged and is dropped", key.digest);
            tell(Line::Fault { what });
        } else if !alike(encryption.as_ref(), tally.encryption.as_ref()) {
            tally.otherwise += 1;
            let word = |kind: &Option<Sealed>| {
                kind.as_ref().map_or_else(|| "none".to_owned(), Sealed::to_string)
            };
            let (is, should) = (word(&encryption), word(&tally.encryption));
            let what = format!("`{}` is kept under encryption `{is}`, not `{should}`", key.digest);
            tell(Line::Fault { what });
        }
        Ok(())
    }

    async fn hash(&self, found: Found, algorithm: Algorithm) -> Result<Digest, Stopped> {
        match found.body {
            Body::File(file, range) => {
                let hash = move || crate::mirror::copies::hash(&file, range.end, algorithm);
                let hashed = self.parts.engine.spawn_blocking(hash).await;
                hashed.ok().and_then(Result::ok).ok_or_else(|| Stopped {
                    why: "a file of the store cannot be read".into(),
                    hint: Some("look at the disk: `dmesg`, `smartctl`".into()),
                })
            }
            Body::Stream(mut chunks) => {
                let mut hasher = Hasher::new(algorithm);
                while let Some(chunk) = chunks.next().await {
                    hasher.update(&chunk?);
                }
                Ok(hasher.finish())
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
