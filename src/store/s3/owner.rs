//! Whose the bucket must be. A name that was ours and was given up may be another's the next day,
//! so every call says which account must own the bucket, and S3 refuses it otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::OnceCell;

use super::{Inner, client::Aws, failure::Failure};
use crate::store::StoreError;

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

    /// Sees to it that no bucket is made in our account that another is to own. CreateBucket names
    /// no owner, so that S3 does not. A store that is not AWS has nobody to ask.
    ///
    /// # Errors
    /// [`StoreError::Misconfigured`]: another account is set, or nobody knows which is ours.
    pub(super) async fn check_maker(&self, aws: &Aws) -> Result<(), StoreError> {
        let Some(owner) = self.bucket.owner.as_ref().filter(|_| self.is_aws()) else {
            return Ok(());
        };
        let why = match self.ask_for_account(aws).await {
            Ok(ours) if ours == *owner => return Ok(()),
            Ok(ours) => format!("it cannot be made from the account {ours}"),
            Err(failure) => {
                format!("it is not made, as our own account is not known ({})", failure.code())
            }
        };
        let name = &self.bucket.name;
        Err(StoreError::Misconfigured {
            what: format!("there is no bucket `{name}` in the account {owner}, and {why}"),
            hint: "see that registry_mirror_bucket_name and registry_mirror_bucket_owner are \
                   right, and have the bucket made in that account"
                .into(),
        })
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
