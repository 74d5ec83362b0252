//! Counting the copies that were left on the disk.

use super::{super::lock, Copies};
use crate::{
    oci::Algorithm,
    store::{Area, Listed, Page, Shard, StoreError},
};

impl Copies {
    /// Counts what is there. A directory that cannot be read is passed over.
    ///
    /// # Errors
    /// The last of those that could not be read.
    pub(super) async fn count(&self) -> Result<(), StoreError> {
        lock(&self.inner.index).begin_count();
        let counted = self.count_all().await;
        lock(&self.inner.index).end_count();
        counted
    }

    async fn count_all(&self) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let mut result = Ok(());
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for first in 0..=u8::MAX {
                let shard = Shard { algorithm, first };
                let mut from = None;
                loop {
                    match store.list(&Area::Public, shard, from).await {
                        Ok(page) => from = self.found(page).await,
                        Err(error) => {
                            result = Err(error);
                            break;
                        }
                    }
                    if from.is_none() {
                        break;
                    }
                }
            }
        }
        let mut from = None;
        loop {
            from = self.found(store.list_private(from).await?).await;
            if from.is_none() {
                return result;
            }
        }
    }

    /// Takes in a page; the start of the next one, if there is one.
    async fn found(&self, page: Page<Listed>) -> Option<String> {
        let too_many = {
            let mut index = lock(&self.inner.index);
            page.entries.iter().for_each(|listed| index.find(listed));
            index.surplus()
        };
        if !too_many.is_empty()
            && let Err(error) = self.inner.store.remove(&too_many).await
        {
            tracing::warn!(%error, "copies on the disk cannot be removed");
        }
        page.next
    }
}
