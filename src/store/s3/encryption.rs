//! Encryption: what is asked of the bucket, and whether it does it.
//!
//! With a key named, every write asks for it. With none, no write asks for anything, so that the
//! bucket's own default decides; only if an answer then names no encryption is `AES256` asked for
//! from there on. A bucket whose answer names none even so is not written to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::types::ServerSideEncryption;

use crate::store::StoreError;

/// What a write asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// Whatever the bucket does by default.
    Default,
    /// S3's own keys.
    Aes256,
    /// This KMS key, with the bucket-key flag, which keeps the calls to KMS few.
    Kms(String),
}

impl Seal {
    /// The header that asks for it.
    pub(super) fn algorithm(&self) -> Option<ServerSideEncryption> {
        match self {
            Self::Default => None,
            Self::Aes256 => Some(ServerSideEncryption::Aes256),
            Self::Kms(_) => Some(ServerSideEncryption::AwsKms),
        }
    }

    /// The key, if one is named.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Kms(key) => Some(key.clone()),
            Self::Default | Self::Aes256 => None,
        }
    }

    /// The bucket-key flag, where it means something.
    pub(super) fn bucket_key(&self) -> Option<bool> {
        matches!(self, Self::Kms(_)).then_some(true)
    }
}

/// What the answer to a write says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Sealed,
    /// Not encrypted; to be written again, with what [`Encryption::seal`] says now.
    Again,
    /// Not encrypted although it was asked for: take it away again.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The bucket decides, or the key that is named.
    Asked,
    /// The bucket named no encryption by itself.
    Forced,
    /// It named none even when asked.
    Refused,
}

/// What is known of the bucket's encryption.
#[derive(Debug)]
pub(super) struct Encryption {
    wanted: bool,
    key: Option<String>,
    state: Mutex<State>,
}

impl Encryption {
    /// `wanted`: whether answers are held to it.
    pub(super) fn new(wanted: bool, key: Option<String>) -> Self {
        Self { wanted, key: key.filter(|key| !key.is_empty()), state: Mutex::new(State::Asked) }
    }

    /// What the next write asks for.
    ///
    /// # Errors
    /// The bucket was found not to encrypt.
    pub(super) fn seal(&self) -> Result<Seal, StoreError> {
        match (&self.key, *self.state()) {
            (_, State::Refused) => Err(StoreError::NotEncrypted),
            (Some(key), _) => Ok(Seal::Kms(key.clone())),
            (None, State::Forced) => Ok(Seal::Aes256),
            (None, State::Asked) => Ok(Seal::Default),
        }
    }

    /// Takes in what the answer to a write named, and remembers what follows from it.
    pub(super) fn judge(&self, asked: &Seal, named: Option<&str>) -> Verdict {
        let good = match asked {
            _ if !self.wanted => true,
            Seal::Kms(_) => named.is_some_and(|name| name.starts_with("aws:kms")),
            Seal::Default | Seal::Aes256 => named.is_some(),
        };
        if good {
            return Verdict::Sealed;
        }
        let mut state = self.state();
        if *asked == Seal::Default {
            if *state == State::Asked {
                *state = State::Forced;
            }
            Verdict::Again
        } else {
            *state = State::Refused;
            Verdict::Refused
        }
    }

    /// Whether something that lies there and names its encryption so is as it should be. Under
    /// which key is no matter: it may be older than the setting.
    pub(super) fn accepts(&self, named: Option<&str>) -> bool {
        !self.wanted || named.is_some()
    }

    /// The same rules, with nothing found yet: for finding out afresh while writes go on by what
    /// is known.
    pub(super) fn afresh(&self) -> Self {
        Self::new(self.wanted, self.key.clone())
    }

    /// Takes over what another found: all of it if that is the `whole` truth, so that a bucket
    /// which was put right is written to again, else only what is worse than is known.
    pub(super) fn adopt(&self, other: &Self, whole: bool) {
        let found = *other.state();
        let mut state = self.state();
        *state = if whole { found } else { found.max(*state) };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_default_decides_and_is_never_downgraded() {
        let encryption = Encryption::new(true, None);
        let seal = encryption.seal().unwrap();
        assert_eq!(seal.algorithm(), None);
        assert_eq!(encryption.judge(&seal, Some("aws:kms")), Verdict::Sealed);
        assert_eq!(encryption.seal(), Ok(Seal::Default));
    }

    #[test]
    fn aes256_is_asked_for_only_when_the_bucket_names_nothing() {
        let encryption = Encryption::new(true, None);
        assert_eq!(encryption.judge(&Seal::Default, None), Verdict::Again);
        assert_eq!(encryption.seal(), Ok(Seal::Aes256));
        assert_eq!(encryption.judge(&Seal::Aes256, Some("AES256")), Verdict::Sealed);
        assert_eq!(encryption.judge(&Seal::Aes256, None), Verdict::Refused);
        assert_eq!(encryption.seal(), Err(StoreError::NotEncrypted));
    }

    #[test]
    fn what_was_found_is_kept_until_the_contrary_is_found() {
        let (known, none) = (Encryption::new(true, None), None);
        let found = known.afresh();
        assert_eq!(found.judge(&Seal::Aes256, none), Verdict::Refused);
        assert_eq!(known.seal(), Ok(Seal::Default));
        known.adopt(&found, false);
        assert_eq!(known.seal(), Err(StoreError::NotEncrypted));
        let found = known.afresh();
        assert_eq!(found.seal(), Ok(Seal::Default));
        known.adopt(&found, false);
        assert_eq!(known.seal(), Err(StoreError::NotEncrypted), "broken off, it says nothing");
        known.adopt(&found, true);
        assert_eq!(known.seal(), Ok(Seal::Default));
    }

    #[test]
    fn what_lies_there_must_name_its_encryption() {
        let encryption = Encryption::new(true, Some("alias/mirror".into()));
        assert!(encryption.accepts(Some("AES256")) && !encryption.accepts(None));
        assert!(Encryption::new(false, None).accepts(None));
    }

    #[test]
    fn a_named_key_must_be_answered_by_kms() {
        let encryption = Encryption::new(true, Some("alias/mirror".into()));
        let seal = encryption.seal().unwrap();
        assert_eq!(seal.key().as_deref(), Some("alias/mirror"));
        assert_eq!(seal.bucket_key(), Some(true));
        assert_eq!(encryption.judge(&seal, Some("aws:kms")), Verdict::Sealed);
        assert_eq!(encryption.judge(&seal, Some("AES256")), Verdict::Refused);
    }

    #[test]
    fn nothing_is_checked_when_encryption_is_not_wanted() {
        let encryption = Encryption::new(false, None);
        assert_eq!(encryption.judge(&Seal::Default, None), Verdict::Sealed);
    }
}
