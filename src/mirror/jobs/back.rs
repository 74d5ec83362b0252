//! The way back to `registry:2`.

use std::collections::{BTreeSet, HashMap};

use super::{
    Line, Listen, Stopped,
    catalogue::{Root, ends},
};
use crate::{
    clock::{from_unix, to_unix},
    mirror::Inner,
    oci::{Digest, Name, Outline},
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

/// What is to be written down.
struct HandBack<'a> {
    inner: &'a Inner,
    tell: Listen<'a>,
    links: BTreeSet<BackLink>,
    there: HashMap<Digest, There>,
    faults: u64,
}

impl Inner {
    /// Writes the links of all images of public repositories that were used or checked within
    /// `expire_after` and are in the store, and lets `registry:2` forget what it wanted to remove.
    pub(super) async fn hand_back(&self, tell: Listen<'_>) -> Result<(), Stopped> {
        let period = self.parts.settings.load().expire_after.0.as_secs();
        let since = to_unix(self.parts.clock.now()).saturating_sub(period);
        let roots = self.roots(&ends).await?;
        let roots: Vec<Root> = roots.into_iter().filter(|root| root.was_wanted(since)).collect();
        let (of, mut images) = (roots.len() as u64, 0_u64);
        let (links, there) = (BTreeSet::new(), HashMap::new());
        let mut back = HandBack { inner: self, tell, links, there, faults: 0 };
        for (done, root) in (0..).zip(&roots) {
            tell(Line::Progress { done, of, what: root.name.to_string() });
            if back.link_image(root).await? {
                images += 1;
            }
        }
        let links: Vec<BackLink> = back.links.into_iter().collect();
        for batch in links.chunks(BATCH) {
            self.parts.far.hand_back(batch).await?;
        }
        self.parts.far.forget_schedule().await?;
        let summary = format!("{} links of {images} images are written", links.len());
        tell(Line::Done { summary, fine: back.faults == 0 });
        Ok(())
    }
}

impl HandBack<'_> {
    /// The links of an image: of what this mirror wrote, and of the tag if its manifest is there.
    /// Whether the image is there.
    async fn link_image(&mut self, root: &Root) -> Result<bool, Stopped> {
        let name = &root.name;
        let mut waiting = vec![root.digest];
        let mut known = BTreeSet::from([root.digest]);
        let mut linked = false;
        while let Some(digest) = waiting.pop() {
            if !self.may_link(BackLink::Manifest(name.clone(), digest)).await? {
                continue;
            }
            let key = Key { area: Area::Public, digest };
            let Some(manifest) = self.inner.stored_manifest(&key, name).await? else {
                self.fault(name, &digest, "is damaged, or no manifest");
                continue;
            };
            linked |= digest == root.digest;
            let outline = Outline::read(&manifest);
            // Of the platforms of an index only those are here that somebody pulled.
            for child in &outline.manifests {
                if self.there(child.digest).await? != There::Nothing && known.insert(child.digest) {
                    waiting.push(child.digest);
                }
            }
            for blob in &outline.blobs {
                self.may_link(BackLink::Blob(name.clone(), blob.digest)).await?;
            }
        }
        if linked && let (Some(tag), Some(checked)) = (&root.tag, root.checked) {
            let checked = from_unix(checked);
            // That program may have found out something newer.
            let there = self.inner.parts.far.tag_link(name, tag).await?;
            if there.is_none_or(|(_, at)| at <= checked) {
                self.links.insert(BackLink::Tag(name.clone(), tag.clone(), root.digest, checked));
            }
        }
        Ok(linked)
    }

    /// Takes in `link`; whether that program will find what it names as the repository's. What it
    /// brought there itself it has links for, if it is the repository's.
    async fn may_link(&mut self, link: BackLink) -> Result<bool, Stopped> {
        let (name, digest) = (link.name().clone(), *link.digest());
        let why = match self.there(digest).await? {
            There::Ours => {
                self.links.insert(link);
                return Ok(true);
            }
            There::Others if self.inner.parts.far.belongs(&name, &digest).await? => {
                return Ok(true);
            }
            There::Others => "was put into the store by another program, for other repositories",
            There::Nothing => "is not in the store",
        };
        self.fault(&name, &digest, why);
        Ok(false)
    }

    fn fault(&mut self, name: &Name, digest: &Digest, why: &str) {
        self.faults += 1;
        (self.tell)(Line::Fault { what: format!("`{name}`: `{digest}` {why}") });
    }

    async fn there(&mut self, digest: Digest) -> Result<There, Stopped> {
        if let Some(known) = self.there.get(&digest) {
            return Ok(*known);
        }
        let key = Key { area: Area::Public, digest };
        let there = match self.inner.parts.far.head(&key).await? {
            None => There::Nothing,
            Some(info) if info.meta.verified => There::Ours,
            Some(_) => There::Others,
        };
        self.there.insert(digest, there);
        Ok(there)
    }
}
