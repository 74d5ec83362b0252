//! What else is left behind: uploads that nobody finished, records that nobody needs.

use std::time::Duration;

use serde::Deserialize;

use super::{SweepError, lease::Hold, state::SLACK};
use crate::{
    clock::{from_unix, to_unix},
    mirror::Inner,
    settings::Settings,
};

/// How long an upload or a trial of the store may take. What is older was left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(86_400);

impl Inner {
    /// Clears away what else is left behind; how many uploads were ended and how many records
    /// removed. A store that does not let us costs that, and nothing else. Of records nothing is
    /// removed that was written after the second `needless`; none: nothing.
    pub(super) async fn clear_leftovers(
        &self,
        needless: Option<u64>,
        now: u64,
        hold: &mut Hold<'_>,
    ) -> Result<(u64, u64), SweepError> {
        let uploads = self.end_uploads(now, hold).await;
        let uploads = as_far_as("uploads that nobody finished", uploads)?;
        let records = match needless {
            Some(needless) => self.remove_needless_records(needless, now, hold).await,
            None => Ok(0),
        };
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

    /// Removes what was written down of tags and repositories up to the second `needless` and not
    /// since: a tag is written down anew each time it is checked. How many records.
    async fn remove_needless_records(
        &self,
        needless: u64,
        now: u64,
        hold: &mut Hold<'_>,
    ) -> Result<u64, SweepError> {
        let mut removed = 0;
        for beginning in self.all_repositories() {
            removed += self.remove_needless_below(&beginning, needless, now, hold).await?;
        }
        Ok(removed)
    }

    async fn remove_needless_below(
        &self,
        beginning: &str,
        needless: u64,
        now: u64,
        hold: &mut Hold<'_>,
    ) -> Result<u64, SweepError> {
        let records = &self.parts.records;
        let (mut removed, mut from) = (0, None);
        loop {
            hold.keep().await?;
            let page = records.list(beginning, from).await?;
            for entry in page.entries {
                if to_unix(entry.written) >= needless {
                    continue;
                }
                hold.keep().await?;
                // It may have been written anew since it was listed.
                let checked = records.get(&entry.path).await?.and_then(|(text, _)| checked(&text));
                let is_new = |at: &u64| (needless..=now + SLACK.as_secs()).contains(at);
                if checked.filter(is_new).is_none() {
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

/// Up to when a record of a tag or a repository must have been written to be of no use at `now`, if
/// such records have been looked after since the second `since`; none if none can be.
pub(super) fn needless(settings: &Settings, since: u64, now: u64) -> Option<u64> {
    let rules = settings.tag_rules.iter().map(|rule| rule.ttl);
    // It is believed for so long before it is checked again, and then for so long if it cannot be.
    let believed = rules.chain([settings.tag_ttl]).map(|ttl| ttl.0).max().unwrap_or_default();
    let useful = settings.tag_max_stale.0.max(settings.expire_after.0) + believed;
    let needless = now.saturating_sub(useful.as_secs());
    (needless > since).then_some(needless)
}

/// The second since 1970 at which what a record tells was found out.
fn checked(text: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Checked>(text).ok().map(|record| record.checked_at)
}

#[derive(Deserialize)]
struct Checked {
    checked_at: u64,
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
