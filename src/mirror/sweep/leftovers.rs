//! What else is left behind: uploads that nobody finished, records that nobody needs.

use std::time::Duration;

use super::{SweepError, lease::Hold};
use crate::{
    clock::{from_unix, to_unix},
    mirror::Inner,
    settings::Settings,
};

/// How long an upload or a trial of the store may take. What is older was left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(86_400);

/// Tags and verdicts.
const REPOSITORIES: &str = "repositories";

impl Inner {
    /// Clears away what else is left behind; how many uploads were ended and how many records
    /// removed. A store that does not let us costs that, and nothing else.
    pub(super) async fn clear_leftovers(
        &self,
        settings: &Settings,
        now: u64,
        hold: &mut Hold<'_>,
    ) -> Result<(u64, u64), SweepError> {
        let uploads = self.end_uploads(now, hold).await;
        let uploads = as_far_as("uploads that nobody finished", uploads)?;
        let records = self.remove_needless_records(settings, now, hold).await;
        let records = as_far_as("records that nobody needs", records)?;
        hold.keep().await?;
        let old = from_unix(now.saturating_sub(LEFT_BEHIND.as_secs()));
        let probes = self.parts.far.remove_probes(old).await;
        as_far_as("what trials left behind", probes.map_err(SweepError::Store))?;
        Ok((uploads, records))
    }

    /// Ends uploads that were begun more than a day ago; how many.
    async fn end_uploads(&self, now: u64, hold: &mut Hold<'_>) -> Result<u64, SweepError> {
        let far = &self.parts.far;
        let (mut ended, mut from) = (0, None);
        loop {
            hold.keep().await?;
            let page = far.stray_uploads(from).await?;
            for upload in page.entries {
                if to_unix(upload.begun) + LEFT_BEHIND.as_secs() < now {
                    hold.keep().await?;
                    far.abort(&upload).await?;
                    ended += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(ended);
            }
        }
    }

    /// Removes what was written down of tags and repositories that nobody asked for since it could
    /// be of use: a tag is written down anew each time it is checked. How many records.
    async fn remove_needless_records(
        &self,
        settings: &Settings,
        now: u64,
        hold: &mut Hold<'_>,
    ) -> Result<u64, SweepError> {
        let useful = settings.tag_max_stale.0.max(settings.expire_after.0).as_secs();
        let records = &self.parts.records;
        let (mut removed, mut from) = (0, None);
        loop {
            hold.keep().await?;
            let page = records.list(REPOSITORIES, from).await?;
            for entry in page.entries {
                if to_unix(entry.written) + useful < now {
                    hold.keep().await?;
                    records.remove(&entry.path).await?;
                    removed += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(removed);
            }
        }
    }
}

/// How many went, as far as the store let us.
fn as_far_as(what: &str, went: Result<u64, SweepError>) -> Result<u64, SweepError> {
    let error = match went {
        Err(SweepError::Store(error)) => error,
        other => return other,
    };
    let hint = error.hint();
    tracing::warn!(%error, hint, "{what} cannot be cleared away");
    Ok(0)
}
