//! Encryption: what is asked of the bucket, and whether it does it.
//!
//! With a key named, every write asks for it, and every answer must name it. With none, no write
//! asks for anything, so that the bucket's own default decides; only if an answer then names no
//! encryption is `AES256` asked for from there on. A bucket whose answer names none even so, which
//! refuses to be asked, or names another key than was asked for, is not written to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::types::ServerSideEncryption;

use crate::{
    settings::KmsKey,
    store::{Sealed, StoreError},
};

/// What an answer says of the encryption; none if it says nothing.
pub(super) fn sealed(named: Option<&ServerSideEncryption>, key: Option<&str>) -> Option<Sealed> {
    let algorithm = named?.as_str().to_owned();
    Some(Sealed { algorithm, key: key.filter(|key| !key.is_empty()).map(str::to_owned) })
}

/// What a write asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    /// Whatever the bucket does by default.
    Default,
    /// S3's own keys.
    Aes256,
    /// This KMS key, with the bucket-key flag, which keeps the calls to KMS few.
    Kms(KmsKey),
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
            Self::Kms(key) => Some(key.to_string()),
            Self::Default | Self::Aes256 => None,
        }
    }

    /// The bucket-key flag, where it means something.
    pub(super) fn bucket_key(&self) -> Option<bool> {
        matches!(self, Self::Kms(_)).then_some(true)
    }
}

/// What the answer to a write says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Sealed,
    /// Not encrypted; to be written again, with what [`Encryption::seal`] says now.
    Again,
    /// Not encrypted as it was asked for: take it away again.
    Refused(StoreError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The bucket decides, or the key that is named.
    Asked,
    /// The bucket named no encryption by itself.
    Forced,
    /// It does when asked for `AES256`.
    Obliging,
    /// It named another key, or none, where one was asked for.
    OtherKey,
    /// It named no encryption even when asked.
    Refused,
}

/// What is known of the bucket's encryption.
#[derive(Debug)]
pub(super) struct Encryption {
    wanted: bool,
    key: Option<KmsKey>,
    /// The ARN of that key as KMS gives it, for a trial that has just asked. Not for longer: what is
    /// named may be an alias, which comes to mean another key when that is due for a change.
    is_now: Option<String>,
    state: Mutex<State>,
}

impl Encryption {
    /// `wanted`: whether answers are held to it.
    pub(super) fn new(wanted: bool, key: Option<KmsKey>) -> Self {
        let key = key.filter(|key| !key.is_empty());
        Self { wanted, key, is_now: None, state: Mutex::new(State::Asked) }
    }

    /// What the next write asks for.
    ///
    /// # Errors
    /// The bucket was found not to encrypt as it must.
    pub(super) fn seal(&self) -> Result<Seal, StoreError> {
        match (&self.key, *self.state()) {
            (_, State::Refused) => Err(StoreError::NotEncrypted),
            (_, State::OtherKey) => Err(StoreError::OtherKey),
            (Some(key), _) => Ok(Seal::Kms(key.clone())),
            (None, State::Forced | State::Obliging) => Ok(Seal::Aes256),
            (None, State::Asked) => Ok(Seal::Default),
        }
    }

    /// Takes in what the answer to a write named, and remembers what follows from it.
    pub(super) fn judge(&self, asked: &Seal, named: Option<&Sealed>) -> Verdict {
        let found = match (asked, named) {
            _ if !self.wanted => return Verdict::Sealed,
            (Seal::Kms(key), Some(sealed)) if self.is_by(key, sealed) => return Verdict::Sealed,
            (Seal::Default, Some(_)) => return Verdict::Sealed,
            (Seal::Aes256, Some(_)) => State::Obliging,
            (Seal::Default, None) => State::Forced,
            (Seal::Kms(_), Some(_)) => State::OtherKey,
            (Seal::Kms(_) | Seal::Aes256, None) => State::Refused,
        };
        let mut state = self.state();
        *state = found.max(*state);
        match found {
            State::Refused => Verdict::Refused(StoreError::NotEncrypted),
            State::OtherKey => Verdict::Refused(StoreError::OtherKey),
            State::Obliging => Verdict::Sealed,
            State::Asked | State::Forced => Verdict::Again,
        }
    }

    /// Whether a write that was refused may have been so for asking to be encrypted: what was asked
    /// for was never seen to be done.
    pub(super) fn may_be_why(&self, asked: &Seal) -> bool {
        *asked == Seal::Aes256 && *self.state() == State::Forced
    }

    /// Takes in that it was so: the bucket does not encrypt.
    pub(super) fn give_up(&self) -> StoreError {
        *self.state() = State::Refused;
        StoreError::NotEncrypted
    }

    /// Whether that is encryption by `key`.
    fn is_by(&self, key: &KmsKey, sealed: &Sealed) -> bool {
        let used = sealed.key.as_deref().unwrap_or_default();
        // Stores other than AWS's may only echo the name.
        let echoes = used == key.as_str() || used.ends_with(&format!("/{}", key.as_str()));
        let is_named = |arn: &String| echoes || KmsKey::new(arn.as_str()).may_be(used);
        let as_resolved = self.is_now.as_ref().is_none_or(is_named);
        sealed.algorithm.starts_with("aws:kms") && key.may_be(used) && as_resolved
    }

    /// Whether something that lies there and names its encryption so is as it should be. Under
    /// which key is no matter: it may be older than the setting.
    pub(super) fn accepts(&self, named: Option<&Sealed>) -> bool {
        !self.wanted || named.is_some()
    }

    /// The same rules, with nothing found yet: for finding out afresh while writes go on by what
    /// is known. `is_now`: what KMS says that the key is, if it does.
    pub(super) fn afresh(&self, is_now: Option<String>) -> Self {
        Self { is_now, ..Self::new(self.wanted, self.key.clone()) }
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

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn aes256() -> Sealed {
        Sealed { algorithm: "AES256".into(), key: None }
    }

    fn by(key: &str) -> Sealed {
        Sealed { algorithm: "aws:kms".into(), key: Some(key.into()) }
    }

    #[test]
    fn the_buckets_default_decides_and_is_never_downgraded() {
        let encryption = Encryption::new(true, None);
        let seal = encryption.seal().unwrap();
        assert_eq!(seal.algorithm(), None);
        assert_eq!(encryption.judge(&seal, Some(&by("any"))), Verdict::Sealed);
        assert_eq!(encryption.seal(), Ok(Seal::Default));
    }

    #[test]
    fn aes256_is_asked_for_only_when_the_bucket_names_nothing() {
        let encryption = Encryption::new(true, None);
        assert_eq!(encryption.judge(&Seal::Default, None), Verdict::Again);
        assert_eq!(encryption.seal(), Ok(Seal::Aes256));
        assert!(encryption.may_be_why(&Seal::Aes256) && !encryption.may_be_why(&Seal::Default));
        assert_eq!(encryption.judge(&Seal::Aes256, Some(&aes256())), Verdict::Sealed);
        assert!(!encryption.may_be_why(&Seal::Aes256), "it was done before");
        let refused = Verdict::Refused(StoreError::NotEncrypted);
        assert_eq!(encryption.judge(&Seal::Aes256, None), refused);
        assert_eq!(encryption.seal(), Err(StoreError::NotEncrypted));
    }

    #[test]
    fn what_was_found_is_kept_until_the_contrary_is_found() {
        let (known, none) = (Encryption::new(true, None), None);
        let found = known.afresh(None);
        assert_eq!(found.judge(&Seal::Aes256, none), Verdict::Refused(StoreError::NotEncrypted));
        assert_eq!(known.seal(), Ok(Seal::Default));
        known.adopt(&found, false);
        assert_eq!(known.seal(), Err(StoreError::NotEncrypted));
        let found = known.afresh(None);
        assert_eq!(found.seal(), Ok(Seal::Default));
        known.adopt(&found, false);
        assert_eq!(known.seal(), Err(StoreError::NotEncrypted), "broken off, it says nothing");
        known.adopt(&found, true);
        assert_eq!(known.seal(), Ok(Seal::Default));
    }

    #[test]
    fn what_lies_there_must_name_its_encryption() {
        let encryption = Encryption::new(true, Some(KmsKey::new("alias/mirror")));
        assert!(encryption.accepts(Some(&aes256())) && !encryption.accepts(None));
        assert!(Encryption::new(false, None).accepts(None));
    }

    #[test]
    fn a_named_key_must_be_answered_by_that_key() {
        for (named, answer, expected) in [
            (ARN, Some(by(ARN)), None),
            (ARN, Some(by(&ARN.replace("1234abcd", "ffffffff"))), Some(StoreError::OtherKey)),
            (ARN, Some(Sealed { key: None, ..by("") }), Some(StoreError::OtherKey)),
            (ARN, Some(aes256()), Some(StoreError::OtherKey)),
            (ARN, None, Some(StoreError::NotEncrypted)),
            ("alias/mirror", Some(by(ARN)), None),
            ("alias/mirror", Some(aes256()), Some(StoreError::OtherKey)),
        ] {
            let encryption = Encryption::new(true, Some(KmsKey::new(named)));
            let seal = encryption.seal().unwrap();
            assert_eq!(seal.key().as_deref(), Some(named));
            assert_eq!(seal.bucket_key(), Some(true));
            let verdict = expected.clone().map_or(Verdict::Sealed, Verdict::Refused);
            assert_eq!(encryption.judge(&seal, answer.as_ref()), verdict, "{named} {answer:?}");
            assert_eq!(encryption.seal().err(), expected, "{named} {answer:?}: not remembered");
        }
    }

    #[test]
    fn a_trial_holds_an_alias_to_what_kms_says_that_it_is() {
        let known = Encryption::new(true, Some(KmsKey::new("alias/mirror")));
        let seal = known.seal().unwrap();
        let other = by(&ARN.replace("1234abcd", "ffffffff"));
        let trial = known.afresh(Some(ARN.into()));
        assert_eq!(trial.judge(&seal, Some(&by(ARN))), Verdict::Sealed);
        assert_eq!(trial.judge(&seal, Some(&other)), Verdict::Refused(StoreError::OtherKey));
        assert_eq!(known.judge(&seal, Some(&other)), Verdict::Sealed, "an alias may have moved");
    }

    #[test]
    fn nothing_is_checked_when_encryption_is_not_wanted() {
        let encryption = Encryption::new(false, None);
        assert_eq!(encryption.judge(&Seal::Default, None), Verdict::Sealed);
    }
}
