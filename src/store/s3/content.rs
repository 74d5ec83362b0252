//! Content: from the place of this layout or of the one before, as far as it is ours to give.

use std::ops::Range;

use super::{Inner, tenancy::Readable};
use crate::store::{Area, Found, Info, Key, Link, StoreError};

impl Inner {
    /// Returns what is known of content, if it may be given out.
    pub(super) async fn head_content(&self, key: &Key) -> Result<Option<Info>, StoreError> {
        let readable = self.readable_at(key).await;
        if readable == Readable::Nothing {
            return Ok(None);
        }
        let mut seen = self.look(&self.keys.content(key)).await?;
        if seen.is_none()
            && let Some(old) = self.keys.old_content(key)
        {
            seen = self.look(&old).await?;
        }
        Ok(seen.map(|seen| seen.info).filter(|info| readable.allows(info.meta.verified)))
    }

    /// Opens content, or `range` of it, if it may be given out.
    pub(super) async fn open_content(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<Option<Found>, StoreError> {
        let readable = self.readable_at(key).await;
        if readable == Readable::Nothing {
            return Ok(None);
        }
        let mut found = self.open(&self.keys.content(key), range.clone()).await?;
        if found.is_none()
            && let Some(old) = self.keys.old_content(key)
        {
            found = self.open(&old, range).await?;
        }
        Ok(found.filter(|found| readable.allows(found.info.meta.verified)))
    }

    /// Address of content, if it may be given out; none for private content that may lie in the
    /// place of the layout before.
    pub(super) async fn link_content(&self, key: &Key) -> Result<Option<Link>, StoreError> {
        if self.readable_at(key).await == Readable::Nothing {
            return Ok(None);
        }
        let place = self.keys.content(key);
        if self.keys.old_content(key).is_some() && self.look(&place).await?.is_none() {
            return Ok(None);
        }
        self.link(&place).await.map(Some)
    }

    async fn readable_at(&self, key: &Key) -> Readable {
        match key.area {
            Area::Public => self.readable().await,
            // No other program writes there.
            Area::Private(_) => Readable::All,
        }
    }
}
