//! What images there are, and how much they take.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Image, Lengths, Line, Listen, Stopped};
use crate::{
    mirror::{Inner, SweepError, sweep, usage::Used},
    oci::{Digest, Name, Outline, Reference, Tag},
    store::{Area, Key},
};

/// A manifest that is known by a tag, or was pulled by its digest.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) name: Name,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Digest,
    /// Seconds since 1970.
    checked: Option<u64>,
    used: Option<u64>,
}

impl Root {
    /// Whether it was used, or its tag checked, since a second since 1970.
    pub(super) fn was_wanted(&self, since: u64) -> bool {
        self.used.max(self.checked).is_some_and(|last| last >= since)
    }
}

/// Everything that a manifest names, itself included, as far as manifests are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) lengths: Lengths,
    /// Manifests that an index names.
    pub(super) children: BTreeSet<Digest>,
    pub(super) kept: bool,
}

impl Inner {
    /// All images, by repository and tag. What an index names counts as part of it.
    pub(super) async fn roots(&self) -> Result<Vec<Root>, Stopped> {
        let uses = self.manifests_in_use().await?;
        let mut roots = self.tagged(&uses).await?;
        let mut named: BTreeSet<(Name, Digest)> = BTreeSet::new();
        for root in &roots {
            named.insert((root.name.clone(), root.digest));
            let tree = self.tree(&root.name, root.digest).await;
            named.extend(tree.children.iter().map(|child| (root.name.clone(), *child)));
        }
        let mut untagged: Vec<(Name, Digest, u64)> = Vec::new();
        for (digest, used) in &uses {
            let pulled = used
                .repositories
                .iter()
                .filter(|name| !named.contains(&((*name).clone(), *digest)));
            untagged.extend(pulled.map(|name| (name.clone(), *digest, used.last)));
        }
        untagged.sort();
        for (name, digest, _) in &untagged {
            let tree = self.tree(name, *digest).await;
            named.extend(tree.children.iter().map(|child| (name.clone(), *child)));
        }
        let alone = untagged
            .into_iter()
            .filter(|(name, digest, _)| !named.contains(&(name.clone(), *digest)));
        roots.extend(alone.map(|(name, digest, used)| Root {
            name,
            tag: None,
            digest,
            checked: None,
            used: Some(used),
        }));
        roots.sort_by(|a, b| (&a.name, &a.tag, a.digest).cmp(&(&b.name, &b.tag, b.digest)));
        Ok(roots)
    }

    async fn tagged(&self, uses: &HashMap<Digest, Used>) -> Result<Vec<Root>, Stopped> {
        let (mut roots, mut from) = (Vec::new(), None);
        loop {
            let page = self.parts.records.list("repositories", from).await?;
            for entry in &page.entries {
                let Some((name, tag)) = tag_of(&entry.path) else { continue };
                let Some((digest, checked)) = self.tag_record(&name, &tag).await else { continue };
                let used = uses.get(&digest).map(|used| used.last);
                roots.push(Root { name, tag: Some(tag), digest, checked: Some(checked), used });
            }
            from = page.next;
            if from.is_none() {
                return Ok(roots);
            }
        }
    }

    /// Manifests of which a use was reported.
    async fn manifests_in_use(&self) -> Result<HashMap<Digest, Used>, SweepError> {
        let mut found: HashMap<Digest, Used> = HashMap::new();
        let reported = self.known_uses(|key, used| {
            if used.is_manifest() {
                found.entry(key.digest).or_default().merge(used);
            }
        });
        reported.await?;
        Ok(found)
    }

    /// What a manifest names, whichever way it is kept for that repository.
    pub(super) async fn tree(&self, name: &Name, digest: Digest) -> Tree {
        let mut tree = Tree::default();
        let mut waiting = vec![digest];
        while let Some(next) = waiting.pop() {
            let Some(outline) = self.outline(name, next).await else { continue };
            tree.kept |= next == digest;
            tree.lengths.insert(next, outline.1);
            for child in outline.0.manifests {
                // An index within an index is no longer looked into than once.
                if tree.children.insert(child.digest) {
                    waiting.push(child.digest);
                }
            }
            tree.lengths.extend(outline.0.blobs.iter().map(|blob| (blob.digest, blob.size)));
        }
        tree
    }

    async fn outline(&self, name: &Name, digest: Digest) -> Option<(Outline, u64)> {
        for area in [Area::Public, Area::Private(name.clone())] {
            if let Some((kept, _)) = self.kept(&Key { area, digest }, name).await {
                return Some((Outline::read(&kept.bytes), kept.bytes.len() as u64));
            }
        }
        None
    }

    pub(super) async fn list_images(
        &self,
        image: Option<&Image>,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let mut count = 0_u64;
        for root in self.roots().await? {
            let tag = root.tag.as_ref().map(Tag::as_str);
            if image.is_some_and(|image| !image.means(&root.name, tag, &root.digest)) {
                continue;
            }
            let tree = self.tree(&root.name, root.digest).await;
            count += 1;
            tell(Line::Image {
                repository: root.name.to_string(),
                tag: tag.map(str::to_owned),
                digest: root.digest.to_string(),
                size: tree.lengths.values().sum(),
                used: root.used,
                checked: root.checked,
                kept: tree.kept,
            });
        }
        let fine = count > 0 || image.is_none();
        tell(Line::Done { summary: format!("{count} images"), fine });
        Ok(())
    }

    pub(super) async fn tell_usage(&self, tell: Listen<'_>) -> Result<(), Stopped> {
        let mut repositories: BTreeMap<Name, (u64, Lengths)> = BTreeMap::new();
        for root in self.roots().await? {
            let tree = self.tree(&root.name, root.digest).await;
            let (images, lengths) = repositories.entry(root.name).or_default();
            *images += 1;
            lengths.extend(tree.lengths);
        }
        for (name, (images, lengths)) in &repositories {
            tell(Line::Repository {
                repository: name.to_string(),
                images: *images,
                size: lengths.values().sum(),
            });
        }
        let parts = sweep::PARTS;
        let counted = |step| {
            if let crate::mirror::Step::Walked { parts: done, .. } = step {
                let what = "counting".to_owned();
                tell(Line::Progress { done: done.into(), of: parts.into(), what });
            }
        };
        let there = self.count(&counted).await?;
        let copies = self.keeper.copies_bytes();
        let summary = format!(
            "{} objects ({} bytes) in the store, {copies} bytes of copies on this node's disk",
            there.objects, there.bytes
        );
        tell(Line::Done { summary, fine: true });
        Ok(())
    }
}

/// The tag that a record is of; none for another record.
fn tag_of(path: &str) -> Option<(Name, Tag)> {
    let (name, tag) = path.strip_prefix("repositories/")?.split_once("/_tags/")?;
    Some((name.parse().ok()?, tag.parse().ok()?))
}

/// The digest of a reference that is one.
pub(super) fn digest_of(reference: Option<&Reference>) -> Option<Digest> {
    match reference {
        Some(Reference::Digest(digest)) => Some(*digest),
        _ => None,
    }
}
