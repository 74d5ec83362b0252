//! Records whose writing, if it is refused, is noted as that of content is.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Keeper;
use crate::store::{Entry, Page, Records, StoreError, Version, When, Written};

/// Where nothing new is cached, only records are written: they show first that a key was disabled
/// or a permission withdrawn.
#[derive(Debug)]
pub(in crate::mirror) struct Noted {
    records: Arc<dyn Records>,
    keeper: Keeper,
}

impl Noted {
    pub(in crate::mirror) fn new(records: Arc<dyn Records>, keeper: Keeper) -> Self {
        Self { records, keeper }
    }
}

#[async_trait]
impl Records for Noted {
    async fn get(&self, path: &str) -> Result<Option<(Bytes, Version)>, StoreError> {
        self.records.get(path).await
    }

    async fn put(&self, path: &str, value: Bytes, when: When) -> Result<Written, StoreError> {
        let written = self.records.put(path, value, when).await;
        // What passes is met again soon.
        match &written {
            Ok(_) => self.keeper.note_record(None),
            Err(error) if !error.retryable() => self.keeper.note_record(Some(error)),
            Err(_) => {}
        }
        written
    }

    async fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.records.remove(path).await
    }

    async fn list(&self, prefix: &str, from: Option<String>) -> Result<Page<Entry>, StoreError> {
        self.records.list(prefix, from).await
    }
}
