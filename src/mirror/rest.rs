//! Asking the upstream for a blob, or for the rest of one, again and again while that may help.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Inner;
use crate::{
    oci::Name,
    store::Key,
    upstream::{Blob, Trust, UpstreamError},
};

/// How long the upstream may take to begin.
const SILENCE: Duration = Duration::from_secs(30);

/// How often the upstream is asked again without a byte of progress.
const TRIES: u32 = 5;

/// The first pause before the upstream is asked again; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the upstream was asked in vain.
#[derive(Debug)]
pub(super) struct Patience {
    tries: u32,
    pause: Duration,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { tries: 0, pause: PAUSE }
    }

    /// Some bytes came.
    pub(super) fn renew(&mut self) {
        *self = Self::new();
    }

    /// Counts another failure and waits for a while. False if it is to be the last.
    pub(super) async fn again(&mut self) -> bool {
        self.tries += 1;
        if self.tries >= TRIES {
            return false;
        }
        sleep(self.pause).await;
        self.pause *= 2;
        true
    }
}

/// Whether the same question may get another answer soon.
pub(super) fn is_passing(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Unavailable { retry: true, .. })
}

impl Inner {
    /// The blob from the offset `from` on.
    pub(super) async fn ask_for_blob(
        &self,
        name: &Name,
        key: &Key,
        from: u64,
        trust: Trust,
    ) -> Result<Blob, UpstreamError> {
        let asking = self.parts.upstream.blob(name, &key.digest, from, trust);
        let answer = timeout(SILENCE, asking)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::passing("the upstream did not answer in time")));
        self.note(&answer);
        answer
    }
}
