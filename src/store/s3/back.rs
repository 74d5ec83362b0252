//! Links, as `registry:2` reads and writes them.

use std::{collections::HashMap, time::SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Inner,
    write::{Condition, Outcome, Write},
};
use crate::{
    clock::{from_unix, to_unix},
    oci::{Digest, Name, Tag},
    store::{BackLink, StoreError, Tenancy},
};

const PUT: &str = "PutObject";
/// More than the longest digest, in bytes.
const LONGEST: u64 = 256;
/// Links that are written at a time.
const AT_ONCE: usize = 8;
/// The name of the metadata of a tag's link of ours that holds the second since 1970 at which the
/// tag was checked. The link itself is as old as the way back.
const CHECKED_AT: &str = "checked-at";

impl Inner {
    /// What the link of a tag says that it means, and when that was found out: of one that
    /// `registry:2` wrote, when it did. A link that names no digest says nothing.
    pub(super) async fn tag_link(
        &self,
        name: &Name,
        tag: &Tag,
    ) -> Result<Option<(Digest, SystemTime)>, StoreError> {
        if self.known_tenancy().await != Some(Tenancy::Mirror) {
            return Ok(None);
        }
        let key = self.keys.tag_link(name, tag);
        let Some(seen) = self.look(&key).await?.filter(|seen| seen.info.size <= LONGEST) else {
            return Ok(None);
        };
        let Some(found) = self.small(&key, LONGEST).await? else { return Ok(None) };
        let digest =
            std::str::from_utf8(&found.bytes).ok().and_then(|text| text.trim().parse().ok());
        if digest.is_none() {
            tracing::warn!(key, "a link that another registry left names no digest");
        }
        let checked = found.metadata.get(CHECKED_AT).and_then(|text| text.parse().ok());
        let checked = checked.map_or(seen.info.stored, from_unix);
        Ok(digest.map(|digest| (digest, checked)))
    }

    pub(super) async fn hand_back(&self, links: &[BackLink]) -> Result<(), StoreError> {
        self.adopt_for_rollback().await?;
        let mut writes = Vec::new();
        for link in links {
            let metadata = match link {
                BackLink::Tag(_, _, _, checked) => {
                    HashMap::from([(CHECKED_AT.to_owned(), to_unix(*checked).to_string())])
                }
                BackLink::Blob(..) | BackLink::Manifest(..) => HashMap::new(),
            };
            let keys = self.keys.back_links(link).into_iter();
            writes.extend(
                keys.map(|key| self.write_link(key, link.digest().to_string(), metadata.clone())),
            );
        }
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn write_link(
        &self,
        key: String,
        text: String,
        metadata: HashMap<String, String>,
    ) -> Result<(), StoreError> {
        let write = Write { metadata, ..Write::small(key, Bytes::from(text)) };
        match self.sealed(&write, Condition::Always).await? {
            Outcome::Done(_) => Ok(()),
            _ => Err(StoreError::Unavailable { operation: PUT, code: "Conflict".into() }),
        }
    }
}
