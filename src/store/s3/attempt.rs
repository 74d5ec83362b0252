//! One try at a write, in the ways that the store may take: with which checksum, and naming which
//! encryption.

use aws_sdk_s3::types::ServerSideEncryption;

use super::{
    Inner,
    encryption::{Encryption, Seal},
    failure::Failure,
    sums::{Sum, Sums},
    write::{Condition, Outcome, Write},
};
use crate::store::StoreError;

const PUT: &str = "PutObject";

/// One way to write something.
#[derive(Clone, Copy)]
struct Way<'a> {
    write: &'a Write,
    condition: &'a Condition,
    seal: &'a Seal,
    sums: Sums,
}

impl Inner {
    /// One try.
    pub(super) async fn once(
        &self,
        encryption: &Encryption,
        write: &Write,
        condition: &Condition,
        seal: &Seal,
    ) -> Result<Outcome, StoreError> {
        let failure = match self.put_as_taken(write, condition, seal).await {
            Ok(outcome) => return Ok(outcome),
            Err(failure) => failure,
        };
        let conditional = *condition != Condition::Always;
        let by_encryption = encryption.may_be_why(seal) && failure.may_be_of_encryption();
        if conditional && (by_encryption || failure.is_unknown_feature()) {
            return Ok(Outcome::Unconditional);
        }
        if by_encryption {
            let (bucket, code) = (&self.bucket.name, failure.code());
            let error = encryption.give_up();
            tracing::error!(bucket, code, "{error}");
            return Err(error);
        }
        // An `If-Match` on what is not there is 404 at AWS and 412 elsewhere.
        let gone = failure.is_absent() && matches!(condition, Condition::Is(_));
        if failure.is_race() {
            Ok(Outcome::Raced)
        } else if failure.is_condition() || gone {
            Ok(Outcome::Unmet)
        } else {
            Err(failure.into())
        }
    }

    /// Writes with the kind of checksum that the store is known to take. If it refuses, the other
    /// kinds are tried, and what goes through is remembered.
    async fn put_as_taken(
        &self,
        write: &Write,
        condition: &Condition,
        seal: &Seal,
    ) -> Result<Outcome, Failure> {
        let known = self.learned.sums();
        let mut refusal = match self.put_sealed(Way { write, condition, seal, sums: known }).await {
            Err(failure) if failure.may_be_of_the_way() => failure,
            Ok(outcome) => {
                self.learned.took(known);
                return Ok(outcome);
            }
            failed => return failed,
        };
        let others: Vec<Sums> = self.learned.other_sums(known).collect();
        let were_tried = !others.is_empty();
        // Not every store says so where it is the bytes that are wrong.
        if were_tried && !self.is_as_hashed(write).await? {
            return Err(Failure::unread(PUT));
        }
        for sums in others {
            match self.put_sealed(Way { write, condition, seal, sums }).await {
                Err(failure) if failure.may_be_of_the_way() => {
                    // It may know no conditions, whatever it takes.
                    if *condition != Condition::Always && failure.is_unknown_feature() {
                        refusal = failure;
                    }
                }
                Ok(done) => {
                    self.learned.took(sums);
                    return Ok(done);
                }
                // It met the condition, so the store takes writes of this kind.
                Err(failure) if failure.is_condition() || failure.is_race() => {
                    self.learned.took(sums);
                    return Err(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        // A store that knows no conditions is asked once more without one.
        if were_tried && !(refusal.is_unknown_feature() && *condition != Condition::Always) {
            self.learned.refused_all_sums();
        }
        Err(refusal)
    }

    /// Returns true if the payload still is what was hashed, as far as its hash is known.
    async fn is_as_hashed(&self, write: &Write) -> Result<bool, Failure> {
        let Some(hashed) = &write.sha256 else { return Ok(true) };
        let sum = Sum::of_whole(self, PUT, &write.payload, Sums::Checksum, None).await?;
        Ok(sum.sha256.as_ref() == Some(hashed))
    }

    /// Writes as `seal` says. If the store denies a write that names no encryption, and `AES256` is
    /// the bucket's default, it is named from then on: a policy may demand that.
    async fn put_sealed(&self, way: Way<'_>) -> Result<Outcome, Failure> {
        if *way.seal != Seal::Default {
            return self.put(way).await;
        }
        let named = Way { seal: &Seal::Aes256, ..way };
        // The default may have become KMS since, which must not be gone below.
        if self.learned.names_default() && self.defaults_to_aes256().await {
            return self.put(named).await;
        }
        let denied = match self.put(way).await {
            Err(denied) if denied.status() == 403 && self.defaults_to_aes256().await => denied,
            settled => return settled,
        };
        match self.put(named).await {
            Err(failure) if failure.status() == 403 => Err(denied),
            settled => {
                self.learned.must_name_default();
                settled
            }
        }
    }

    /// Returns true if the bucket encrypts by S3's own keys unless told otherwise. Where that is
    /// KMS, or nobody knows, nothing else is ever asked for.
    async fn defaults_to_aes256(&self) -> bool {
        if let Some(known) = self.learned.default_is_aes256() {
            return known;
        }
        let rule = match self.client(PUT).await {
            Ok(client) => self.encryption_rule(client).await.ok().flatten(),
            Err(_) => None,
        };
        let default = rule.and_then(|rule| rule.apply_server_side_encryption_by_default);
        let is = default.is_some_and(|by| by.sse_algorithm == ServerSideEncryption::Aes256);
        self.learned.found_default(is);
        is
    }

    async fn put(&self, way: Way<'_>) -> Result<Outcome, Failure> {
        let Way { write, condition, seal, sums } = way;
        match write.parts {
            Some(length) => self.put_in_parts(write, length, condition, seal, sums).await,
            None => self.put_whole(write, condition, seal, sums).await.map(Outcome::Done),
        }
    }
}
