//! The server's clock, and who else is at work in the bucket.

use std::{
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use super::{Inner, failure::Failure, read};
use crate::{oci::Algorithm, store::StoreError};

const HEAD: &str = "HeadObject";
/// How long this machine's idea of how time passes is trusted before the server is asked again.
const TRUSTED: Duration = Duration::from_secs(600);

/// The server's time as it was last told, and when that was.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    told: Mutex<Option<(Instant, SystemTime)>>,
}

impl ServerClock {
    /// Takes in an answer's `Date` (RFC 9110, section 6.6.1).
    pub(super) fn hear(&self, date: &str) {
        if let Ok(date) = DateTime::from_str(date, DateTimeFormat::HttpDate) {
            *super::lock(&self.told) = Some((Instant::now(), read::when(Some(&date))));
        }
    }

    /// The server's time, as far as it is known.
    pub(super) fn now(&self) -> Option<SystemTime> {
        let (at, date) = (*super::lock(&self.told))?;
        let passed = at.elapsed();
        (passed < TRUSTED).then(|| date + passed)
    }
}

impl Inner {
    /// The server's time. Every answer tells it, so that there is hardly ever a call.
    pub(super) async fn now(&self) -> Result<SystemTime, StoreError> {
        if let Some(now) = self.server_clock.now() {
            return Ok(now);
        }
        let asked = self.look(&self.keys.scheduler()).await;
        let silent = StoreError::Broken { operation: HEAD, what: "no `Date`".into() };
        self.server_clock.now().ok_or_else(|| asked.err().unwrap_or(silent))
    }

    /// Whether anything lies under an algorithm.
    pub(super) async fn holds_any(&self, algorithm: Algorithm) -> Result<bool, StoreError> {
        Ok(!self.first_of(self.keys.algorithm(algorithm), 1).await?.is_empty())
    }

    /// When `registry:2` last wrote, as its list of what is to expire and its uploads show. It
    /// writes that list within seconds of whatever it fetches (distribution 2.8,
    /// `registry/proxy/scheduler`).
    pub(super) async fn other_writer(&self) -> Result<Option<SystemTime>, StoreError> {
        let scheduled = self.look(&self.keys.scheduler()).await?.map(|seen| seen.info.stored);
        let begun = match self.last_upload(&self.keys.repositories()).await {
            Ok(begun) => begun,
            // The list says it within seconds, too, so this right, or the lack of this call, is not
            // worth a standstill.
            Err(failure) if failure.is_denied() || failure.is_unknown_feature() => None,
            Err(failure) => return Err(failure.into()),
        };
        Ok(scheduled.max(begun))
    }

    /// When the last of that program's uploads below `prefix` was begun.
    async fn last_upload(&self, prefix: &str) -> Result<Option<SystemTime>, Failure> {
        let (mut last, mut from) = (None, None);
        loop {
            let page = self.uploads_below(Some(prefix), from).await?;
            let uploads = page.entries.iter().filter(|upload| {
                upload.key().is_some_and(|key| self.keys.is_incoming(key))
                    && upload.initiated.is_some()
            });
            last = last.max(uploads.map(|upload| read::when(upload.initiated())).max());
            from = page.next;
            if from.is_none() {
                return Ok(last);
            }
        }
    }
}
