//! What is written down of tags, for other nodes and for later.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::State;
use crate::{
    clock::{from_unix, to_unix},
    mirror::{Inner, RECORD_DEADLINE, SweepError, places::Place},
    oci::{Digest, Name, Tag},
    store::StoreError,
};

/// The record of a tag.
#[derive(Serialize, Deserialize)]
struct Record {
    /// None where the upstream said that there is no such tag: so that nobody goes by an older
    /// record when the upstream is away.
    digest: Option<String>,
    media_type: Option<String>,
    size: Option<u64>,
    /// Seconds since 1970.
    checked_at: u64,
}

/// What was written down of a tag.
pub(super) enum Recorded {
    /// It meant this.
    Means(State),
    /// There was no such tag then.
    Absent(SystemTime),
}

impl Inner {
    /// What was written down of the tag, if that is anything.
    pub(super) async fn recorded_tag(&self, name: &Name, tag: &Tag) -> Option<Recorded> {
        let writings = self.read_record::<Record>(&self.tag_place(name, tag)).await;
        let record = writings.newer(|record| record.checked_at)?;
        let checked_at = from_unix(record.checked_at);
        let Some(digest) = record.digest else { return Some(Recorded::Absent(checked_at)) };
        Some(Recorded::Means(State {
            digest: digest.parse().ok()?,
            media_type: record.media_type.and_then(|text| text.parse().ok()),
            size: record.size,
            checked_at,
            failed: None,
            before: None,
        }))
    }

    /// What is known of the tag, or what another registry wrote down of it in the bucket, whichever
    /// is newer. That is asked only where the upstream fails.
    pub(super) async fn newer_link(
        &self,
        known: Option<State>,
        name: &Name,
        tag: &Tag,
    ) -> Option<State> {
        let asking = timeout(RECORD_DEADLINE, self.parts.far.tag_link(name, tag));
        let Ok(Ok(Some((digest, checked_at)))) = asking.await else { return known };
        let writings = self.read_record::<Record>(&self.tag_place(name, tag)).await;
        let record = writings.newer(|record| record.checked_at);
        // Also the word that there is no such tag counts by its age.
        let recorded = record.map(|record| from_unix(record.checked_at));
        let newest = known.as_ref().map(|known| known.checked_at).max(recorded);
        if newest.is_some_and(|newest| newest >= checked_at) {
            return known;
        }
        let state =
            State { digest, media_type: None, size: None, checked_at, failed: None, before: None };
        Some(state)
    }

    /// What was written down of the tag: its digest, and the second since 1970 at which it was
    /// checked; none if there is no such tag.
    ///
    /// # Errors
    /// The store failed, or the record is of a form that this version does not know.
    pub(in crate::mirror) async fn tag_record(
        &self,
        name: &Name,
        tag: &Tag,
    ) -> Result<Option<(Digest, u64)>, SweepError> {
        let Place { path, old } = self.tag_place(name, tag);
        let mut newest: Option<(Record, String)> = None;
        for path in [Some(path), old].into_iter().flatten() {
            let Some((text, _)) = self.parts.records.get(&path).await? else { continue };
            let record: Record = serde_json::from_slice(&text)
                .map_err(|_| SweepError::Unreadable { path: path.clone() })?;
            if newest.as_ref().is_none_or(|(newest, _)| newest.checked_at < record.checked_at) {
                newest = Some((record, path));
            }
        }
        let Some((Record { digest: Some(digest), checked_at, .. }, path)) = newest else {
            return Ok(None);
        };
        let digest = digest.parse().map_err(|_| SweepError::Unreadable { path })?;
        Ok(Some((digest, checked_at)))
    }

    /// Forgets the tag, and that it was ever known.
    pub(in crate::mirror) async fn drop_tag(
        &self,
        name: &Name,
        tag: &Tag,
    ) -> Result<(), StoreError> {
        self.tags.known.remove(&(name.clone(), tag.clone()));
        let Place { path, old } = self.tag_place(name, tag);
        // By the one that is removed last it is found again where the other could not be.
        for path in old.into_iter().chain([path]) {
            self.parts.records.remove(&path).await?;
        }
        Ok(())
    }

    /// Writes down what the tag means.
    pub(super) fn record_tag(&self, name: &Name, tag: &Tag, state: &State) {
        let record = Record {
            digest: Some(state.digest.to_string()),
            media_type: state.media_type.as_ref().map(ToString::to_string),
            size: state.size,
            checked_at: to_unix(state.checked_at),
        };
        self.write_record(self.tag_place(name, tag).path, &record);
    }

    /// Writes down that there is no such tag.
    pub(super) fn record_absence(&self, name: &Name, tag: &Tag) {
        let checked_at = to_unix(self.parts.clock.now());
        let record = Record { digest: None, media_type: None, size: None, checked_at };
        self.write_record(self.tag_place(name, tag).path, &record);
    }

    fn tag_place(&self, name: &Name, tag: &Tag) -> Place {
        self.place(&format!("{name}/_tags/{tag}"))
    }
}
