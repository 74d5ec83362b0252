//! Work that a node does by itself, without a client.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Mirror;

/// Pause before a store that failed is tried again.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// Interval of looks at what others may have changed about the store: its layout, and its tenancy.
const LOOK_INTERVAL: Duration = Duration::from_secs(300);

impl Mirror {
    /// Tries the shared store and asks the upstream for what is free of its limit, so that the log and
    /// [`Self::health`] say early what does not work. Goes on for ever: tries the store again while
    /// it fails, so that its return is noticed without a client, keeps the copies on the disk within
    /// their bounds, reports use, and cleans up when that is due. To be run on the engine.
    pub async fn watch(&self) {
        tokio::join!(self.keep_watch(), self.inner.keep_reporting(), self.inner.keep_clean());
    }

    async fn keep_watch(&self) {
        let keeper = &self.inner.keeper;
        if let Some(error) = self.inner.try_upstream().await {
            tracing::warn!(%error, "the upstream cannot be reached; what is kept is served");
        }
        let (mut tried, mut looked) = (false, Instant::now());
        loop {
            if !tried || keeper.is_to_be_tried() {
                match keeper.probe().await {
                    Ok(abilities) => {
                        let encryption = abilities.encryption.map(|sealed| sealed.to_string());
                        let encryption = encryption.as_deref().unwrap_or("none");
                        let conditional = abilities.conditional;
                        tracing::info!(encryption, conditional, "the store can be written to");
                    }
                    Err(error) => {
                        let hint = error.hint();
                        tracing::warn!(%error, hint, "the store cannot be written to; pulls go on");
                    }
                }
                tried = true;
                // A failure is met again by whoever needs the store.
                if let Err(error) = self.inner.settle_layout().await {
                    tracing::debug!(%error, "layout of the store not recorded");
                }
                looked = Instant::now();
            } else if looked.elapsed() >= LOOK_INTERVAL {
                looked = Instant::now();
                // A failure is said there, and met again by whoever needs the store.
                let _ = keeper.look_at_tenancy().await;
                let _ = self.inner.read_layout().await;
            }
            if keeper.refuses_records() {
                self.inner.write_layout_again().await;
            }
            keeper.tidy().await;
            sleep(PROBE_AGAIN).await;
        }
    }
}
