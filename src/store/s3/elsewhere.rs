//! A mirror's layout elsewhere in the bucket, which whoever sets or removes a prefix leaves behind.

use futures_util::{StreamExt, stream};

use super::{
    Inner,
    keys::{self, Keys},
};
use crate::store::Finding;

/// Prefixes at the root of the bucket that are looked into.
const MAX_PREFIXES: usize = 16;
/// Prefixes that are listed, among which are those of other programs.
const MAX_LISTED: i32 = 100;
/// Calls on their way at once.
const MAX_AT_ONCE: usize = 8;

impl Inner {
    /// A layout at the root of the bucket or one component below it, as long as this node's own has
    /// no record. What cannot be seen is not said.
    pub(super) async fn elsewhere(&self) -> Option<Finding> {
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

    /// The root of the bucket, and what is below it by its first component.
    async fn roots(&self) -> Vec<String> {
        let mut roots = vec![String::new()];
        let Ok(client) = self.client("ListObjectsV2").await else { return roots };
        let call = client.list_objects_v2().bucket(&self.bucket.name).delimiter("/");
        let call = call.max_keys(MAX_LISTED).set_expected_bucket_owner(self.owner());
        if let Ok(answer) = call.send().await {
            let prefixes = answer.common_prefixes.unwrap_or_default().into_iter();
            roots.extend(prefixes.filter_map(|it| it.prefix).take(MAX_PREFIXES));
        }
        roots
    }
}
