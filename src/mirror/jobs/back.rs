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

/// What lies in the store under a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Nothing,
    /// This mirror wrote it, for a repository that is public.
    Ours,
    /// Another program did, for whichever repositories it has links of. A link of ours beside it
    /// would open it to whoever names its digest in a public manifest.
    Others,
}

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
        let mut there: HashMap<Digest, There> = HashMap::new();
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

    /// The links of an image: of what this mirror wrote, and of the tag if its manifest is there.
    async fn link_image(
        &self,
        root: &Root,
        links: &mut BTreeSet<BackLink>,
        there: &mut HashMap<Digest, There>,
        tell: Listen<'_>,
    ) -> Result<bool, Stopped> {
        let name = &root.name;
        let mut waiting = vec![root.digest];
        let mut linked = false;
        while let Some(digest) = waiting.pop() {
            let key = Key { area: Area::Public, digest };
            let link = BackLink::Manifest(name.clone(), digest);
            if !self.may_link(&link, links, there, tell).await? {
                continue;
            }
            let Some((kept, _)) = self.kept(&key, name).await else { continue };
            linked |= digest == root.digest;
            let outline = Outline::read(&kept.bytes);
            // Of the platforms of an index only those are here that somebody pulled.
            for child in &outline.manifests {
                if self.is_there(child.digest, there).await? != There::Nothing {
                    waiting.push(child.digest);
                }
            }
            for blob in &outline.blobs {
                let link = BackLink::Blob(name.clone(), blob.digest);
                self.may_link(&link, links, there, tell).await?;
            }
        }
        if linked && let Some(tag) = &root.tag {
            links.insert(BackLink::Tag(name.clone(), tag.clone(), root.digest));
        }
        Ok(linked)
    }

    /// Whether that program finds, or will find, what `link` names as the repository's. What it
    /// brought there itself it has links for, if it is the repository's.
    async fn may_link(
        &self,
        link: &BackLink,
        links: &mut BTreeSet<BackLink>,
        there: &mut HashMap<Digest, There>,
        tell: Listen<'_>,
    ) -> Result<bool, Stopped> {
        let (name, digest) = (link.name(), link.digest());
        let why = match self.is_there(*digest, there).await? {
            There::Ours => {
                links.insert(link.clone());
                return Ok(true);
            }
            There::Others if self.parts.far.belongs(name, digest).await? => return Ok(true),
            There::Others => "was put into the store by another program, for other repositories",
            There::Nothing => "is not in the store",
        };
        tell(Line::Fault { what: format!("`{name}`: `{digest}` {why}") });
        Ok(false)
    }

    async fn is_there(
        &self,
        digest: Digest,
        there: &mut HashMap<Digest, There>,
    ) -> Result<There, Stopped> {
        if let Some(known) = there.get(&digest) {
            return Ok(*known);
        }
        let key = Key { area: Area::Public, digest };
        let is_there = match self.parts.far.head(&key).await? {
            None => There::Nothing,
            Some(info) if info.meta.verified => There::Ours,
            Some(_) => There::Others,
        };
        there.insert(digest, is_there);
        Ok(is_there)
    }
}
