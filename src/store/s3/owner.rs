//! Whose the bucket must be. A name that was ours and was given up may be another's the next day,
//! so every call says which account must own the bucket, and S3 refuses it otherwise.

use std::{
    sync::{Mutex, OnceLock},
    time::Duration,
};

use aws_sdk_sts::Client;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Inner, client::Aws, failure::Failure};
use crate::store::StoreError;

const WHO: &str = "GetCallerIdentity";
/// How long it is put up with that our account is not known, until the next call has it asked for
/// again.
const AGAIN: Duration = Duration::from_secs(60);

/// Our own account.
#[derive(Debug, Default)]
pub(super) struct Account {
    known: OnceLock<String>,
    /// When it was last asked for.
    asked: Mutex<Option<Instant>>,
    /// Cancelled when the first attempt has ended. Only that is waited for.
    tried: CancellationToken,
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

    /// Sees to it that [`Self::owner`] is known before the first call, if it can be, and soon if
    /// not. Without it S3 is asked all the same, and does not check.
    pub(super) async fn find_owner(&self, aws: &Aws) {
        if !self.lacks_owner() {
            return;
        }
        if self.account.is_due() {
            self.ask_aside(aws);
        }
        self.account.tried.cancelled().await;
    }

    /// The same for whoever has the time to wait for each attempt.
    pub(super) async fn insist_on_owner(&self, aws: &Aws) {
        if self.lacks_owner() {
            *super::lock(&self.account.asked) = Some(Instant::now());
            // It fails only while the program ends.
            let _ = self.ask_aside(aws).await;
        }
    }

    /// Asks in a task of its own: whoever has it asked may go away before the answer comes.
    fn ask_aside(&self, aws: &Aws) -> JoinHandle<()> {
        let (account, client) = (self.account.clone(), self.sts(aws));
        let tried = account.tried.clone().drop_guard();
        self.engine.spawn(async move {
            match who_are_we(&client).await {
                Ok(ours) => {
                    if account.known.set(ours).is_ok() && account.tried.is_cancelled() {
                        tracing::info!("the owner of the bucket is checked from now on");
                    }
                }
                Err(failure) => {
                    let code = failure.code();
                    if account.tried.is_cancelled() {
                        tracing::debug!(code, "our account still cannot be asked for");
                    } else {
                        tracing::info!(code, "our account cannot be asked for");
                    }
                }
            }
            drop(tried);
        })
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
        let why = match who_are_we(&self.sts(aws)).await {
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

    fn sts(&self, aws: &Aws) -> Client {
        Client::new(&aws.aside(&self.tuning))
    }
}

impl Account {
    /// Whether it is time to ask; who is told so is the only one for now.
    fn is_due(&self) -> bool {
        let mut asked = super::lock(&self.asked);
        let due = asked.is_none_or(|at| at.elapsed() >= AGAIN);
        if due {
            *asked = Some(Instant::now());
        }
        due
    }
}

/// The account of our credentials. Takes no permission of IAM (STS API reference).
async fn who_are_we(client: &Client) -> Result<String, Failure> {
    let answer = client.get_caller_identity().send().await;
    let answer = answer.map_err(|error| Failure::new(WHO, &error))?;
    answer.account.filter(|account| !account.is_empty()).ok_or_else(|| Failure::unreadable(WHO))
}
