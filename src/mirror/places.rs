//! Records about repositories: where they lie, and where layout 1 had them (docs/dev/layout.md).

use bytes::Bytes;
use futures_util::future::join;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Inner, RECORD_DEADLINE};
use crate::store::{StoreError, When};

/// Records of layout 1 about repositories, which named no upstream.
const OLD_REPOSITORIES: &str = "repositories";

/// Paths of one record about a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path that is written.
    pub(super) path: String,
    /// Path of layout 1, where that is read.
    pub(super) old: Option<String>,
}

/// Both writings of a record, as far as they are there.
#[derive(Debug)]
pub(super) struct Writings<T> {
    pub(super) now: Option<T>,
    pub(super) old: Option<T>,
    /// True if the place of this layout could be read, be it that nothing was there.
    pub(super) is_now_known: bool,
}

impl<T> Writings<T> {
    /// The newer of both by the time that `at` tells; of this layout where they are equal.
    pub(super) fn newer<K: Ord>(self, at: impl Fn(&T) -> K) -> Option<T> {
        match (self.now, self.old) {
            (Some(now), Some(old)) => Some(if at(&old) > at(&now) { old } else { now }),
            (now, old) => now.or(old),
        }
    }
}

impl Inner {
    /// Place of the record about a repository that ends in `rest`.
    pub(super) fn place(&self, rest: &str) -> Place {
        let layout = &self.parts.layout;
        let old = layout.reads_old().then(|| format!("{OLD_REPOSITORIES}/{rest}"));
        Place { path: format!("{}/{rest}", self.repositories()), old }
    }

    /// Beginning of all records about the upstream's repositories.
    fn repositories(&self) -> String {
        format!("upstreams/{}/repositories", self.parts.layout.upstream())
    }

    /// Beginnings of all records about the upstream's repositories, in both layouts.
    pub(super) fn all_repositories(&self) -> Vec<String> {
        let old = self.parts.layout.reads_old().then(|| OLD_REPOSITORIES.to_owned());
        [self.repositories()].into_iter().chain(old).collect()
    }

    /// Returns true if records of layout 1 about repositories are left.
    pub(super) async fn has_old_records(&self) -> Result<bool, StoreError> {
        let page = self.parts.records.list(OLD_REPOSITORIES, None).await?;
        Ok(!page.entries.is_empty() || page.next.is_some())
    }

    /// Writes a small record, without anybody waiting for it.
    pub(super) fn write_record(&self, path: String, value: &impl Serialize) {
        let Ok(value) = serde_json::to_vec(value) else { return };
        let (records, busy) = (self.parts.records.clone(), self.busy());
        self.parts.engine.spawn(async move {
            if let Err(error) = records.put(&path, Bytes::from(value), When::Always).await {
                tracing::debug!(%error, path, "a record is not written");
            }
            drop(busy);
        });
    }

    /// Reads a small record; none also where the store fails or is late.
    pub(super) async fn read_record<T: for<'a> Deserialize<'a>>(
        &self,
        place: &Place,
    ) -> Writings<T> {
        let old = async {
            match &place.old {
                Some(old) => self.read_at(old).await,
                None => None,
            }
        };
        let (now, old) = join(self.read_at(&place.path), old).await;
        Writings { is_now_known: now.is_some(), now: now.flatten(), old: old.flatten() }
    }

    /// The record at `path`, if there is one; none where the store fails or is late.
    async fn read_at<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Option<Option<T>> {
        let reading = timeout(RECORD_DEADLINE, self.parts.records.get(path));
        match reading.await {
            Ok(Ok(Some((value, _)))) => Some(serde_json::from_slice(&value).ok()),
            Ok(Ok(None)) => Some(None),
            Ok(Err(error)) => {
                tracing::debug!(%error, path, "a record cannot be read");
                None
            }
            Err(_) => None,
        }
    }
}
