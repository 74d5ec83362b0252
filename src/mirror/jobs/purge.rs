//! Taking images away.

use std::collections::{BTreeSet, HashMap};

use super::{
    Image, Lengths, Line, Listen, Stopped,
    catalogue::{Root, digest_of},
};
use crate::{
    mirror::Inner,
    oci::{Digest, Name, Tag},
    store::{Area, Key},
};

impl Inner {
    /// Removes the tags that `images` mean, and what only their images need: from the store, from
    /// this node's disk and from its memory.
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
            self.roots().await?.into_iter().partition(means);
        let mut needed: BTreeSet<Digest> = BTreeSet::new();
        for root in &stays {
            needed.insert(root.digest);
            needed.extend(self.tree(&root.name, root.digest).await.lengths.into_keys());
        }
        let mut content: HashMap<(Name, Digest), u64> = HashMap::new();
        for root in &goes {
            let mut lengths: Lengths = self.tree(&root.name, root.digest).await.lengths;
            lengths.entry(root.digest).or_default();
            lengths.retain(|digest, _| !needed.contains(digest));
            content.extend(lengths.into_iter().map(|(d, size)| ((root.name.clone(), d), size)));
        }
        let mut found = goes.len();
        for root in goes.iter().filter(|_| !dry_run) {
            if let Some(tag) = &root.tag {
                self.drop_tag(&root.name, tag).await?;
            }
        }
        // A digest that is no image's: a layer, say. Whoever names it means it.
        for digest in images.iter().filter_map(|image| digest_of(image.reference.as_ref())) {
            let key = Key { area: Area::Public, digest };
            if !goes.iter().any(|root| root.digest == digest)
                && let Some(info) = self.parts.far.head(&key).await?
            {
                found += 1;
                self.drop_content(&key, Some(info.size), dry_run, tell).await?;
            }
        }
        let mut bytes = 0;
        for ((name, digest), size) in content {
            bytes += size;
            for area in [Area::Public, Area::Private(name)] {
                let is_private = area != Area::Public;
                let key = Key { area, digest };
                if is_private && self.parts.far.head(&key).await?.is_none() {
                    continue;
                }
                self.drop_content(&key, Some(size), dry_run, tell).await?;
            }
        }
        if found == 0 {
            tell(Line::Fault { what: "nothing of that is kept".into() });
        }
        let word = if dry_run { "would go" } else { "went" };
        let summary = format!("{found} images or blobs {word}, {bytes} bytes of content with them");
        tell(Line::Done { summary, fine: found > 0 });
        Ok(())
    }

    async fn drop_content(
        &self,
        key: &Key,
        size: Option<u64>,
        dry_run: bool,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        if !dry_run {
            self.manifests.forget(key);
            self.keeper.drop(key).await?;
        }
        tell(Line::Gone { digest: key.digest.to_string(), size, why: "purged".into() });
        Ok(())
    }
}
