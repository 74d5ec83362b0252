//! The way back to `registry:2`.

use std::collections::{BTreeSet, HashMap};

use super::{Line, Listen, Stopped, catalogue::Root};
use crate::{
    clock::to_unix,
    mirror::Inner,
    oci::{Digest, Outline},
    store::{Area, BackLink, Key},
};

/// Links that are written together.
const BATCH: usize = 500;

impl Inner {
    /// Writes the links of all images of public repositories that were used or checked within
    /// `expire_after` and are in the store, and lets `registry:2` forget what it wanted to remove.
    pub(super) async fn hand_back(&self, tell: Listen<'_>) -> Result<(), Stopped> {
        let period = self.parts.settings.load().expire_after.0.as_secs();
        let since = to_unix(self.parts.clock.now()).saturating_sub(period);
        let roots = self.roots().await?;
        let roots: Vec<Root> = roots.into_iter().filter(|root| root.was_wanted(since)).collect();
        let (of, mut images) = (roots.len() as u64, 0_u64);
        let mut links = BTreeSet::new();
        let mut there: HashMap<Digest, bool> = HashMap::new();
        for (done, root) in (0..).zip(&roots) {
            tell(Line::Progress { done, of, what: root.name.to_string() });
            if self.link_image(root, &mut links, &mut there, tell).await? {
                images += 1;
            }
        }
        let links: Vec<BackLink> = links.into_iter().collect();
        for batch in links.chunks(BATCH) {
            self.parts.far.hand_back(batch).await?;
        }
        self.parts.far.forget_schedule().await?;
        let summary = format!("{} links of {images} images are written", links.len());
        tell(Line::Done { summary, fine: true });
        Ok(())
    }

    /// The links of an image: of what is in the store, and of the tag if its manifest is.
    async fn link_image(
        &self,
        root: &Root,
        links: &mut BTreeSet<BackLink>,
        there: &mut HashMap<Digest, bool>,
        tell: Listen<'_>,
    ) -> Result<bool, Stopped> {
        let name = &root.name;
        let mut waiting = vec![root.digest];
        let mut linked = false;
        while let Some(digest) = waiting.pop() {
            let key = Key { area: Area::Public, digest };
            if !self.is_there(digest, there).await? {
                let what = if digest == root.digest { "it" } else { "a part of it" };
                let what = format!("`{name}@{}`: {what} is not in the store", root.digest);
                tell(Line::Fault { what });
                continue;
            }
            let Some((kept, _)) = self.kept(&key).await else { continue };
            linked |= digest == root.digest;
            let link = BackLink::Manifest(name.clone(), digest);
            let outline = Outline::read(&kept.bytes);
            if links.insert(link) {
                // Of the platforms of an index only those are here that somebody pulled.
                for child in &outline.manifests {
                    if self.is_there(child.digest, there).await? {
                        waiting.push(child.digest);
                    }
                }
            }
            for blob in &outline.blobs {
                if self.is_there(blob.digest, there).await? {
                    links.insert(BackLink::Blob(name.clone(), blob.digest));
                } else {
                    let what = format!("`{name}`: `{}` is not in the store", blob.digest);
                    tell(Line::Fault { what });
                }
            }
        }
        if linked && let Some(tag) = &root.tag {
            links.insert(BackLink::Tag(name.clone(), tag.clone(), root.digest));
        }
        Ok(linked)
    }

    async fn is_there(
        &self,
        digest: Digest,
        there: &mut HashMap<Digest, bool>,
    ) -> Result<bool, Stopped> {
        if let Some(known) = there.get(&digest) {
            return Ok(*known);
        }
        let key = Key { area: Area::Public, digest };
        let is_there = self.parts.far.head(&key).await?.is_some();
        there.insert(digest, is_there);
        Ok(is_there)
    }
}
