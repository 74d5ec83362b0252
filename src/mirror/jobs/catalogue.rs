//! What images there are, and how much they take.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Image, Lengths, Line, Listen, Stopped, Unread};
use crate::{
    mirror::{Inner, SweepError, sweep, usage::Used},
    oci::{Digest, Name, Outline, Reference, Tag},
    store::{Area, Key, StoreError},
};

/// A manifest that is known by a tag, or was pulled by its digest.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) name: Name,
    pub(super) tag: Option<Tag>,
    pub(super) digest: Digest,
    /// Seconds since 1970.
    pub(super) checked: Option<u64>,
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
    /// Itself and the manifests that an index names, kept or not, each after one that names it.
    pub(super) manifests: Vec<Digest>,
    /// Whether there is anything under its digest.
    pub(super) kept: bool,
}

impl Tree {
    /// All that is named.
    pub(super) fn digests(&self) -> impl Iterator<Item = Digest> {
        self.lengths.keys().chain(&self.manifests).copied()
    }

    fn children(&self) -> impl Iterator<Item = Digest> {
        self.manifests.iter().skip(1).copied()
    }
}

/// What is done about something that cannot be read, and why; an error ends the job.
pub(super) type Unreadable<'a> = &'a (dyn Fn(&str, Stopped) -> Result<(), Stopped> + Send + Sync);

/// The job ends: what it does not know it must not take for nothing.
pub(super) fn ends(_: &str, stopped: Stopped) -> Result<(), Stopped> {
    Err(stopped)
}

impl Inner {
    /// All images, by repository and tag. What an index names counts as part of it. What is known
    /// by its digest alone and not kept is none.
    pub(super) async fn roots(&self, unreadable: Unreadable<'_>) -> Result<Vec<Root>, Stopped> {
        let uses = self.manifests_in_use().await?;
        let mut roots = self.tagged(&uses, unreadable).await?;
        let mut named: BTreeSet<(Name, Digest)> = BTreeSet::new();
        for root in &roots {
            named.insert((root.name.clone(), root.digest));
            let tree = self.tree(&root.name, root.digest, unreadable).await?;
            named.extend(tree.children().map(|child| (root.name.clone(), child)));
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
        let mut alone = Vec::new();
        for (name, digest, used) in untagged {
            let tree = self.tree(&name, digest, unreadable).await?;
            named.extend(tree.children().map(|child| (name.clone(), child)));
            if tree.kept {
                alone.push((name, digest, used));
            }
        }
        alone.retain(|(name, digest, _)| !named.contains(&(name.clone(), *digest)));
        roots.extend(alone.into_iter().map(|(name, digest, used)| Root {
            name,
            tag: None,
            digest,
            checked: None,
            used: Some(used),
        }));
        roots.sort_by(|a, b| (&a.name, &a.tag, a.digest).cmp(&(&b.name, &b.tag, b.digest)));
        Ok(roots)
    }

    async fn tagged(
        &self,
        uses: &HashMap<Digest, Used>,
        unreadable: Unreadable<'_>,
    ) -> Result<Vec<Root>, Stopped> {
        let (mut roots, mut seen) = (Vec::new(), BTreeSet::new());
        for beginning in self.all_repositories() {
            let mut from = None;
            loop {
                let page = self.parts.records.list(&beginning, from).await?;
                for entry in &page.entries {
                    let Some((name, tag)) = tag_of(&entry.path, &beginning) else { continue };
                    // It may have a record in both layouts.
                    if !seen.insert((name.clone(), tag.clone())) {
                        continue;
                    }
                    let (digest, checked) = match self.tag_record(&name, &tag).await {
                        Ok(Some(record)) => record,
                        Ok(None) => continue,
                        Err(error) => {
                            unreadable(&entry.path, error.into())?;
                            continue;
                        }
                    };
                    let used = uses.get(&digest).map(|used| used.last);
                    let checked = Some(checked);
                    roots.push(Root { name, tag: Some(tag), digest, checked, used });
                }
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(roots)
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
    pub(super) async fn tree(
        &self,
        name: &Name,
        digest: Digest,
        unreadable: Unreadable<'_>,
    ) -> Result<Tree, Stopped> {
        let mut tree = Tree::default();
        let mut known = BTreeSet::from([digest]);
        let mut waiting = vec![digest];
        while let Some(next) = waiting.pop() {
            tree.manifests.push(next);
            let (outline, length) = match self.outline(name, next).await {
                Ok(Some(outline)) => outline,
                Ok(None) => continue,
                Err(error) => {
                    tree.kept |= next == digest;
                    unreadable(&next.to_string(), error.into())?;
                    continue;
                }
            };
            tree.kept |= next == digest;
            tree.lengths.insert(next, length);
            for child in outline.manifests {
                // An index within an index is no longer looked into than once.
                if known.insert(child.digest) {
                    waiting.push(child.digest);
                }
            }
            tree.lengths.extend(outline.blobs.iter().map(|blob| (blob.digest, blob.size)));
        }
        Ok(tree)
    }

    async fn outline(
        &self,
        name: &Name,
        digest: Digest,
    ) -> Result<Option<(Outline, u64)>, StoreError> {
        for area in [Area::Public, Area::Private(name.clone())] {
            if let Some(bytes) = self.stored_manifest(&Key { area, digest }, name).await? {
                return Ok(Some((Outline::read(&bytes), bytes.len() as u64)));
            }
        }
        Ok(None)
    }

    pub(super) async fn list_images(
        &self,
        image: Option<&Image>,
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let (mut count, unread) = (0_u64, Unread::new(tell));
        let told = |what: &str, stopped| unread.add(what, stopped);
        for root in self.roots(&told).await? {
            let tag = root.tag.as_ref().map(Tag::as_str);
            if image.is_some_and(|image| !image.means(&root.name, tag, &root.digest)) {
                continue;
            }
            let tree = self.tree(&root.name, root.digest, &told).await?;
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
        let fine = unread.count() == 0 && (count > 0 || image.is_none());
        tell(Line::Done { summary: format!("{count} images"), fine });
        Ok(())
    }

    pub(super) async fn tell_usage(&self, tell: Listen<'_>) -> Result<(), Stopped> {
        let mut repositories: BTreeMap<Name, (u64, Lengths)> = BTreeMap::new();
        let unread = Unread::new(tell);
        let told = |what: &str, stopped| unread.add(what, stopped);
        for root in self.roots(&told).await? {
            let tree = self.tree(&root.name, root.digest, &told).await?;
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
        tell(Line::Done { summary, fine: unread.count() == 0 });
        Ok(())
    }
}

/// Tag whose record lies at `path`, which begins with `beginning`; none for another record.
fn tag_of(path: &str, beginning: &str) -> Option<(Name, Tag)> {
    let rest = path.strip_prefix(beginning)?.strip_prefix('/')?;
    let (name, tag) = rest.split_once("/_tags/")?;
    Some((name.parse().ok()?, tag.parse().ok()?))
}

/// The digest of a reference that is one.
pub(super) fn digest_of(reference: Option<&Reference>) -> Option<Digest> {
    match reference {
        Some(Reference::Digest(digest)) => Some(*digest),
        _ => None,
    }
}
