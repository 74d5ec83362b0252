//! Taking images away.

use std::collections::{BTreeSet, HashSet};

use super::{
    Image, Line, Listen, Stopped,
    catalogue::{Root, digest_of, ends},
};
use crate::{
    mirror::Inner,
    oci::{Digest, Name, Tag},
    store::{Area, Key},
};

/// A purge under way.
struct Purge<'a> {
    inner: &'a Inner,
    dry_run: bool,
    tell: Listen<'a>,
    bytes: u64,
    /// What has gone; told once.
    gone: HashSet<Key>,
}

impl Inner {
    /// Removes the tags that `images` mean, and what only their images need: from the store, from
    /// this node's disk and from its memory. Whatever is left by a purge that is cut off is found
    /// by the next: blobs go before the manifests that name them, a manifest before the index that
    /// names it, and tags last.
    pub(super) async fn purge(
        &self,
        images: &[Image],
        dry_run: bool,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let means = |root: &Root| {
            let tag = root.tag.as_ref().map(Tag::as_str);
            images.iter().any(|image| image.means(&root.name, tag, &root.digest))
        };
        let (goes, stays): (Vec<Root>, Vec<Root>) =
            self.roots(&ends).await?.into_iter().partition(means);
        let mut needed: BTreeSet<Digest> = BTreeSet::new();
        for root in &stays {
            needed.extend(self.tree(&root.name, root.digest, &ends).await?.digests());
        }
        let (mut blobs, mut manifests) = (Vec::new(), Vec::new());
        for root in &goes {
            let mut tree = self.tree(&root.name, root.digest, &ends).await?;
            tree.lengths.retain(|digest, _| !tree.manifests.contains(digest));
            blobs.extend(tree.lengths.into_keys().map(|digest| (&root.name, digest)));
            manifests.extend(tree.manifests.into_iter().rev().map(|d| (&root.name, d)));
        }
        let mut purge = Purge { inner: self, dry_run, tell, bytes: 0, gone: HashSet::new() };
        let mut found = goes.len();
        for (name, digest) in blobs.into_iter().chain(manifests) {
            if !needed.contains(&digest) {
                purge.take(name, digest).await?;
            }
        }
        // A digest that is no image's: a layer, say. Whoever names it means it.
        for image in images {
            let Some(digest) = digest_of(image.reference.as_ref()) else { continue };
            if !goes.iter().any(|root| root.digest == digest)
                && purge.take_named(image.name.as_ref(), digest).await?
            {
                found += 1;
            }
        }
        for root in goes.iter().filter(|_| !dry_run) {
            if let Some(tag) = &root.tag {
                self.drop_tag(&root.name, tag).await?;
            }
        }
        if found == 0 {
            tell(Line::Fault { what: "nothing of that is kept".into() });
        }
        let (word, bytes) = (if dry_run { "would go" } else { "went" }, purge.bytes);
        let summary = format!("{found} images or blobs {word}, {bytes} bytes of content with them");
        tell(Line::Done { summary, fine: found > 0 });
        Ok(())
    }
}

impl Purge<'_> {
    /// Takes away what is kept for the repository `name`. What another program keeps for others
    /// only is left to it.
    async fn take(&mut self, name: &Name, digest: Digest) -> Result<(), Stopped> {
        for area in [Area::Public, Area::Private(name.clone())] {
            let far = &self.inner.parts.far;
            let key = Key { area, digest };
            let there = far.head(&key).await?;
            let is_others = there.as_ref().is_some_and(|info| !info.meta.verified);
            if is_others && !(key.area == Area::Public && far.belongs(name, &digest).await?) {
                continue;
            }
            self.drop(key, there.map(|info| info.size)).await?;
        }
        Ok(())
    }

    /// Takes away what somebody named by its digest; whether there was anything.
    async fn take_named(&mut self, name: Option<&Name>, digest: Digest) -> Result<bool, Stopped> {
        let own = name.map(|name| Area::Private(name.clone()));
        let mut any = false;
        for area in [Area::Public].into_iter().chain(own) {
            let key = Key { area, digest };
            let size = self.inner.parts.far.head(&key).await?.map(|info| info.size);
            any |= self.drop(key, size).await?;
        }
        Ok(any)
    }

    /// Takes away content that has this length in the store, if it is there; whether there was any
    /// there or on this node.
    async fn drop(&mut self, key: Key, size: Option<u64>) -> Result<bool, Stopped> {
        let keeper = &self.inner.keeper;
        if !self.dry_run {
            self.inner.manifests.forget(&key);
        }
        let is_stored = size.is_some();
        let size = match size {
            Some(size) => size,
            // The store has yet to take it, or the clean-up took it there.
            None => match keeper.near_info(&key).await {
                Some(copy) => copy.size,
                None => return Ok(false),
            },
        };
        if !self.dry_run {
            let dropped =
                if is_stored { keeper.drop(&key).await } else { keeper.drop_near(&key).await };
            dropped?;
        }
        if self.gone.insert(key.clone()) {
            self.bytes += size;
            let why = "purged".into();
            (self.tell)(Line::Gone { digest: key.digest.to_string(), size: Some(size), why });
        }
        Ok(true)
    }
}
