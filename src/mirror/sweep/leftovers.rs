//! What else is left behind: uploads that nobody finished, records that nobody needs.

use std::time::Duration;

use super::{SweepError, lease::Hold};
use crate::{clock::to_unix, mirror::Inner, settings::Settings};

/// How long an upload may take. What is older was left behind.
const UPLOAD: Duration = Duration::from_secs(86_400);

/// Tags and verdicts.
const REPOSITORIES: &str = "repositories";

impl Inner {
    /// Ends uploads that were begun more than a day ago; how many. A store that does not let us
    /// costs that, and nothing else.
    pub(super) async fn end_stray_uploads(
        &self,
        now: u64,
        hold: &mut Hold<'_>,
    ) -> Result<u64, SweepError> {
        match self.end_uploads(now, hold).await {
            Err(SweepError::Store(error)) if !error.retryable() => {
                let hint = "allow s3:ListBucketMultipartUploads and s3:AbortMultipartUpload";
                tracing::warn!(%error, hint, "uploads that nobody finished are not looked for");
                Ok(0)
            }
            ended => ended,
        }
    }

    async fn end_uploads(&self, now: u64, hold: &mut Hold<'_>) -> Result<u64, SweepError> {
        let far = &self.parts.far;
        let (mut ended, mut from) = (0, None);
        loop {
            hold.keep().await?;
            let page = far.stray_uploads(from).await?;
            for upload in page.entries {
                if to_unix(upload.begun) + UPLOAD.as_secs() < now {
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
    pub(super) async fn remove_needless_records(
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
