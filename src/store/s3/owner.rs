//! Whose the bucket must be. A name that was ours and was given up may be another's the next day,
//! so every call says which account must own the bucket, and S3 refuses it otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OnceCell;

use super::{Inner, client::Aws, failure::Failure};

const WHO: &str = "GetCallerIdentity";

/// Our own account.
#[derive(Debug, Default)]
pub(super) struct Account {
    known: OnceCell<String>,
    /// Whether it was asked for, so that calls do not wait for an answer that does not come.
    asked: AtomicBool,
}

impl Inner {
    /// The account that must own the bucket, for every call: the one that is set, or our own as
    /// soon as it is known.
    pub(super) fn owner(&self) -> Option<String> {
        self.bucket.owner.clone().or_else(|| self.account.known.get().cloned())
    }

    /// Whether the bucket's owner should be known and is not.
    pub(super) fn lacks_owner(&self) -> bool {
        self.is_aws() && self.owner().is_none()
    }

    /// Sees to it that [`Self::owner`] is known before the first call, if it can be.
    pub(super) async fn find_owner(&self, aws: &Aws) {
        if !self.lacks_owner() {
            return;
        }
        // Whoever waited while another asked in vain does not ask, too.
        let asking = self.account.known.get_or_try_init(|| async {
            if self.account.asked.swap(true, Ordering::Relaxed) {
                return Err(());
            }
            self.ask_for_account(aws).await.map_err(|failure| {
                let code = failure.code();
                tracing::info!(code, "our account cannot be asked for");
            })
        });
        // Without it S3 is asked all the same, and does not check.
        let _ = asking.await;
    }

    /// Lets the next call ask again where that was in vain.
    pub(super) fn ask_for_owner_again(&self) {
        self.account.asked.store(false, Ordering::Relaxed);
    }

    /// Takes no permission of IAM (STS API reference).
    async fn ask_for_account(&self, aws: &Aws) -> Result<String, Failure> {
        let client = aws_sdk_sts::Client::new(&aws.aside(&self.tuning));
        let answer = client.get_caller_identity().send().await;
        let answer = answer.map_err(|error| Failure::new(WHO, &error))?;
        answer.account.filter(|account| !account.is_empty()).ok_or_else(|| Failure::unreadable(WHO))
    }
}
