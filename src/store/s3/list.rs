//! Listings.

use std::time::SystemTime;

use aws_sdk_s3::{
    operation::list_objects_v2::builders::ListObjectsV2FluentBuilder, types::MultipartUpload,
};

use super::{
    Inner,
    failure::Failure,
    keys::{self, Keys},
    read,
};
use crate::store::{Area, Key, Listed, Page, Shard, StoreError, StrayUpload, Tenancy};

const LIST: &str = "ListObjectsV2";
const UPLOADS: &str = "ListMultipartUploads";
const ABORT: &str = "AbortMultipartUpload";
/// Beginning of a cursor within layout 1. No token of a store begins so: they are opaque base64 or
/// keys.
const OLD: &str = "\u{1}";

/// One object of a listing.
pub(super) struct Object {
    pub(super) key: String,
    size: Option<i64>,
    pub(super) stored: SystemTime,
}

/// One page of uploads, and the upload and key behind which the next begins.
pub(super) struct Uploads {
    pub(super) entries: Vec<MultipartUpload>,
    pub(super) next: Option<(String, String)>,
}

impl Inner {
    /// One page of what lies under `prefix`, in byte order.
    pub(super) async fn objects(
        &self,
        prefix: String,
        from: Option<String>,
    ) -> Result<Page<Object>, StoreError> {
        let call = self.client(LIST).await?.list_objects_v2().prefix(prefix);
        self.page(call.set_continuation_token(from)).await
    }

    /// Keys of the first objects below `prefix`: at least one where there is any.
    pub(super) async fn first_of(
        &self,
        prefix: String,
        most: i32,
    ) -> Result<Vec<String>, StoreError> {
        let mut from = None;
        loop {
            let call = self.client(LIST).await?.list_objects_v2().prefix(prefix.as_str());
            let page = self.page(call.max_keys(most).set_continuation_token(from)).await?;
            from = page.next;
            if !page.entries.is_empty() || from.is_none() {
                return Ok(page.entries.into_iter().map(|object| object.key).collect());
            }
        }
    }

    async fn page(&self, call: ListObjectsV2FluentBuilder) -> Result<Page<Object>, StoreError> {
        let call = call.bucket(&self.bucket.name).set_expected_bucket_owner(self.owner());
        let answer = call.send().await.map_err(|error| Failure::new(LIST, &error))?;
        // An XML document that ends too soon is read as one with fewer entries.
        let entries = answer.contents().len() + answer.common_prefixes().len();
        let counted = answer.key_count().is_none_or(|count| usize::try_from(count) == Ok(entries));
        if !counted || answer.is_truncated().is_none() {
            return Err(broken(LIST, "a listing that is not whole"));
        }
        let truncated = answer.is_truncated() == Some(true);
        let next = answer.next_continuation_token.filter(|_| truncated);
        if truncated && next.is_none() {
            return Err(broken(LIST, "more to come, but no token"));
        }
        let entries = answer.contents.unwrap_or_default().into_iter().filter_map(|object| {
            let stored = read::when(object.last_modified());
            Some(Object { key: object.key?, size: object.size, stored })
        });
        Ok(Page { entries: entries.collect(), next })
    }

    /// One page of the content of one shard.
    pub(super) async fn shard(
        &self,
        area: &Area,
        shard: Shard,
        from: Option<String>,
    ) -> Result<Page<Listed>, StoreError> {
        let prefix = self.keys.shard(area, shard);
        let page = self.objects(prefix.clone(), from).await?;
        let entries = page.entries.into_iter().filter_map(|object| {
            let digest = keys::digest(&object.key, &prefix, shard)?;
            let size = object.size.and_then(|size| u64::try_from(size).ok())?;
            let key = Key { area: area.clone(), digest };
            Some(Listed { key, size, stored: object.stored })
        });
        Ok(Page { entries: entries.collect(), next: page.next })
    }

    /// One page of the content of all repositories that are not public: first that of this layout,
    /// repository after repository in the store's own order, then that of layout 1.
    pub(super) async fn private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError> {
        let (is_old, token) = match from {
            None => (false, None),
            Some(from) => match from.strip_prefix(OLD) {
                Some(token) => (true, Some(token.to_owned()).filter(|token| !token.is_empty())),
                None => (false, Some(from)),
            },
        };
        let root = if is_old { self.keys.old_private() } else { self.keys.private() };
        let page = self.objects(root.clone(), token).await?;
        let entries = page.entries.into_iter().filter_map(|object| {
            let size = object.size.and_then(|size| u64::try_from(size).ok())?;
            let key = Keys::private_at(object.key.strip_prefix(&root)?)?;
            Some(Listed { key, size, stored: object.stored })
        });
        let entries = entries.collect();
        let next = match page.next {
            Some(token) if is_old => Some(format!("{OLD}{token}")),
            None if !is_old && self.keys.reads_old() => Some(OLD.to_owned()),
            next => next,
        };
        Ok(Page { entries, next })
    }

    /// One page of uploads that nobody finished, of those that may be ours.
    pub(super) async fn uploads(
        &self,
        from: Option<String>,
    ) -> Result<Page<StrayUpload>, StoreError> {
        let tenancy = self.look_at_tenancy().await?;
        let from = from.as_deref().map(upload_of).transpose()?;
        let page = self.uploads_below(None, from).await?;
        let entries = page.entries.iter().filter_map(|upload| {
            let key = upload.key().filter(|key| self.may_end(key, &tenancy))?;
            // Of one whose age is not told nobody knows whether it goes on.
            let begun = read::when(Some(upload.initiated()?));
            Some(StrayUpload { id: id_of(upload.upload_id()?, key), begun })
        });
        let next = page.next.map(|(upload, key)| id_of(&upload, &key));
        Ok(Page { entries: entries.collect(), next })
    }

    /// One page of uploads that nobody finished, behind the upload and key `from`.
    pub(super) async fn uploads_below(
        &self,
        prefix: Option<&str>,
        from: Option<(String, String)>,
    ) -> Result<Uploads, Failure> {
        let (upload, key) = from.unzip();
        let client = self.client(UPLOADS).await?;
        let answer = client
            .list_multipart_uploads()
            .bucket(&self.bucket.name)
            .set_prefix(prefix.map(str::to_owned))
            .set_key_marker(key)
            .set_upload_id_marker(upload)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(|error| Failure::new(UPLOADS, &error))?;
        // SeaweedFS says that there is more and does not say where; what it left out is seen when
        // what it told of is gone.
        let truncated = answer.is_truncated() == Some(true);
        let key = answer.next_key_marker.filter(|_| truncated);
        let upload = answer.next_upload_id_marker.unwrap_or_default();
        Ok(Uploads {
            entries: answer.uploads.unwrap_or_default(),
            next: key.map(|key| (upload, key)),
        })
    }

    /// Returns true if an upload to `key` that nobody finished may be ended: one that only a mirror can have
    /// begun. What another program does elsewhere in the bucket is not ours to end.
    fn may_end(&self, key: &str, tenancy: &Tenancy) -> bool {
        let is_hosted = matches!(tenancy, Tenancy::Registry { .. });
        self.keys.is_ours(key)
            || (self.keys.is_public(key) && !is_hosted)
            || (self.keys.is_incoming(key) && *tenancy == Tenancy::Mirror)
    }

    /// Ends the upload that [`Inner::uploads`] named `id`.
    pub(super) async fn end_upload(&self, id: &str) -> Result<(), StoreError> {
        let (upload, key) = upload_of(id)?;
        if !self.may_end(&key, &self.look_at_tenancy().await?) {
            return Err(broken(ABORT, "not an upload of ours"));
        }
        Ok(self.abort_upload(&key, &upload).await?)
    }
}

/// An upload's name: its id, which holds no space, and its key.
fn id_of(upload: &str, key: &str) -> String {
    format!("{upload} {key}")
}

fn upload_of(id: &str) -> Result<(String, String), StoreError> {
    let (upload, key) = id.split_once(' ').ok_or_else(|| broken(UPLOADS, "not an upload"))?;
    Ok((upload.to_owned(), key.to_owned()))
}

fn broken(operation: &'static str, what: &str) -> StoreError {
    StoreError::Broken { operation, what: what.to_owned() }
}
