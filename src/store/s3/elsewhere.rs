//! A mirror's layout elsewhere in the bucket, which whoever sets or removes a prefix leaves behind.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt, stream};

use super::{
    Inner,
    keys::{self, Keys},
};
use crate::store::Finding;

/// Prefixes that are looked into.
const MAX_PREFIXES: usize = 32;
/// Components of the longest prefix that is looked into.
const MAX_DEPTH: usize = 3;
/// Prefixes that are listed below one, among which are those of other programs.
const MAX_LISTED: i32 = 100;
/// Calls on their way at once.
const MAX_AT_ONCE: usize = 8;

impl Inner {
    /// A layout at the root of the bucket or a few components below it, as long as this node's own
    /// has no record. Looked for once; what cannot be seen is not said.
    pub(super) async fn elsewhere(&self) -> Option<Finding> {
        if self.looked_elsewhere.swap(true, Ordering::Relaxed) {
            return None;
        }
        let is_in_use = async |prefix: &str| {
            for sign in keys::signs_of_a_mirror(prefix) {
                if matches!(self.look(&sign).await, Ok(Some(_))) {
                    return true;
                }
            }
            false
        };
        let own = self.keys.prefix();
        if is_in_use(own).await {
            return None;
        }
        let roots = self.roots().await.into_iter().filter(|prefix| prefix != own);
        let looks = stream::iter(roots).map(|prefix| async {
            let found = is_in_use(&prefix).await;
            found.then_some(prefix)
        });
        let found: Vec<_> = looks.buffered(MAX_AT_ONCE).collect().await;
        let prefix = found.into_iter().flatten().next()?;
        // A node without a prefix leaves records beside the images of a registry, too.
        let keys = Keys::new(&prefix, self.bucket.layout.clone());
        if self.is_registrys(&keys).await.unwrap_or(true) {
            return None;
        }
        let (place, value) = match prefix.trim_end_matches('/') {
            "" => ("at its root".to_owned(), "\"\""),
            prefix => (format!("below `{prefix}`"), prefix),
        };
        Some(Finding::warning(
            format!(
                "the bucket `{}` holds a mirror's content {place}, which this node does not use",
                self.bucket.name
            ),
            format!("set registry_mirror_bucket_prefix to {value} to go on with it"),
        ))
    }

    /// The root of the bucket, and prefixes below it: what is near the root first.
    async fn roots(&self) -> Vec<String> {
        let mut roots = vec![String::new()];
        let Ok(client) = self.client("ListObjectsV2").await else { return roots };
        let mut next = 0;
        while let Some(root) = roots.get(next).cloned()
            && roots.len() < MAX_PREFIXES
        {
            next += 1;
            if root.matches('/').count() >= MAX_DEPTH {
                break;
            }
            let call = client.list_objects_v2().bucket(&self.bucket.name).prefix(&root);
            let call = call.delimiter("/").max_keys(MAX_LISTED);
            let Ok(answer) = call.set_expected_bucket_owner(self.owner()).send().await else {
                break;
            };
            let found = answer.common_prefixes.unwrap_or_default().into_iter();
            let found = found.filter_map(|it| it.prefix);
            // What lies in a layout is no prefix of another.
            let is_layout = |found: &String| {
                let name = found.strip_prefix(&root).unwrap_or(found);
                ["docker/", "registry-mirror/"].contains(&name)
            };
            roots.extend(found.filter(|found| !is_layout(found)));
        }
        roots.truncate(MAX_PREFIXES);
        roots
    }
}
