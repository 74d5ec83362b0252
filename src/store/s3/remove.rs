//! Removals: in batches as AWS takes them, or in whichever way the store does.

use std::collections::HashSet;

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::BoxError,
    operation::delete_objects::DeleteObjectsOutput,
    types::{Delete, ObjectIdentifier},
};
use futures_util::{StreamExt, stream};

use super::{Inner, failure::Failure, learned::Removal, sums};
use crate::store::StoreError;

const DELETE: &str = "DeleteObjects";
const DELETE_ONE: &str = "DeleteObject";
/// Objects that one DeleteObjects takes (API reference).
const MAX_BATCH_OBJECTS: usize = 1000;
/// Single removals on their way at once.
const MAX_SINGLES_AT_ONCE: usize = 16;

/// Objects that the store refused to remove, and why the first of them.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) keys: HashSet<String>,
    pub(super) why: StoreError,
}

impl Inner {
    /// Removes what is there of `keys`, in batches; what fails in one does not keep the others. What
    /// the store refused to remove, if it did all else.
    pub(super) async fn delete(&self, keys: &[String]) -> Result<Option<Refused>, StoreError> {
        let (mut first, mut refused) = (Ok(()), None::<Refused>);
        for batch in keys.chunks(MAX_BATCH_OBJECTS) {
            match (self.delete_batch(batch).await, &mut refused) {
                (Ok(Some(more)), Some(refused)) => refused.keys.extend(more.keys),
                (Ok(Some(some)), none) => *none = Some(some),
                (Ok(None), _) => {}
                (Err(error), _) => first = first.and(Err(error)),
            }
        }
        first.map(|()| refused)
    }

    /// Removes what lies under `key`, if anything.
    pub(super) async fn delete_one(&self, key: &str) -> Result<(), StoreError> {
        Ok(self.delete_single(key).await?)
    }

    /// Removes a batch in the way that the store is known to take. If it refuses, the other ways are
    /// tried, and what goes through is remembered.
    async fn delete_batch(&self, keys: &[String]) -> Result<Option<Refused>, StoreError> {
        let known = self.learned.removal();
        let first = match self.delete_by(known, keys).await {
            Err(failure) if failure.may_be_of_the_way() => failure,
            settled => {
                if settled.is_ok() {
                    self.learned.removed_by(known);
                }
                return Ok(settled?);
            }
        };
        let mut were_tried = false;
        for way in self.learned.other_removals(known) {
            were_tried = true;
            match self.delete_by(way, keys).await {
                Err(failure) if failure.may_be_of_the_way() => {}
                settled => {
                    if settled.is_ok() {
                        self.learned.removed_by(way);
                    }
                    return Ok(settled?);
                }
            }
        }
        if were_tried {
            self.learned.refused_all_removals();
        }
        Err(first.into())
    }

    async fn delete_by(&self, way: Removal, keys: &[String]) -> Result<Option<Refused>, Failure> {
        match way {
            Removal::Batch => self.delete_at_once(keys, None).await,
            Removal::BatchByMd5 => self.delete_at_once(keys, Some(ByMd5)).await,
            Removal::OneByOne => self.delete_one_by_one(keys).await,
        }
    }

    async fn delete_at_once(
        &self,
        keys: &[String],
        by_md5: Option<ByMd5>,
    ) -> Result<Option<Refused>, Failure> {
        let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let objects = objects.collect::<Result<Vec<_>, _>>();
        let delete = objects
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
        let delete = delete.map_err(|_| Failure::unreadable(DELETE))?;
        let client = self.client(DELETE).await?;
        let call = client
            .delete_objects()
            .bucket(&self.bucket.name)
            .delete(delete)
            .set_expected_bucket_owner(self.owner())
            .customize();
        let call = match by_md5 {
            Some(by_md5) => call.interceptor(by_md5),
            None => call,
        };
        let answer = call.send().await.map_err(|error| Failure::new(DELETE, &error))?;
        refused_of(&answer)
    }

    /// Removes the first alone, where the store is not known to remove in this way: if that is
    /// refused, nothing else is asked for.
    async fn delete_one_by_one(&self, keys: &[String]) -> Result<Option<Refused>, Failure> {
        let is_known = self.learned.removal() == Removal::OneByOne;
        let (first, others) = keys.split_at(if is_known { 0 } else { keys.len().min(1) });
        for key in first {
            self.delete_single(key).await?;
        }
        let deleting = others.iter().cloned().map(|key| async move {
            let end = self.delete_single(&key).await;
            (key, end)
        });
        let ended: Vec<_> =
            stream::iter(deleting).buffer_unordered(MAX_SINGLES_AT_ONCE).collect().await;
        let mut refused = None::<Refused>;
        for (key, end) in ended {
            let Err(failure) = end else { continue };
            let why = StoreError::from(failure.clone());
            if why.retryable() {
                return Err(failure);
            }
            let known = refused.get_or_insert_with(|| Refused { keys: HashSet::new(), why });
            known.keys.insert(key);
        }
        Ok(refused)
    }

    async fn delete_single(&self, key: &str) -> Result<(), Failure> {
        let call = self.client(DELETE_ONE).await?.delete_object();
        let call = call.bucket(&self.bucket.name).key(key);
        match call.set_expected_bucket_owner(self.owner()).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let failure = Failure::new(DELETE_ONE, &error);
                if failure.is_absent() { Ok(()) } else { Err(failure) }
            }
        }
    }
}

/// Objects of a batch that were refused, if any was.
fn refused_of(answer: &DeleteObjectsOutput) -> Result<Option<Refused>, Failure> {
    let refused = answer.errors().iter().filter(|error| error.code() != Some("NoSuchKey"));
    let Some(why) = refused.clone().next() else { return Ok(None) };
    let failure = Failure::coded(DELETE, why.code().unwrap_or_default());
    let refused: Option<HashSet<String>> =
        refused.map(|error| error.key().map(str::to_owned)).collect();
    // An error that names nothing may mean any.
    let keys = refused.ok_or_else(|| failure.clone())?;
    Ok(Some(Refused { keys, why: failure.into() }))
}

/// Sends `Content-MD5` in place of the checksum that the SDK makes.
#[derive(Debug)]
struct ByMd5;

impl Intercept for ByMd5 {
    fn name(&self) -> &'static str {
        "content-md5"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let sum = request.body().bytes().map(sums::content_md5);
        let headers = request.headers_mut();
        headers.remove("x-amz-checksum-crc32");
        headers.remove("x-amz-sdk-checksum-algorithm");
        if let Some(sum) = sum {
            headers.try_insert("content-md5", sum)?;
        }
        Ok(())
    }
}
