//! Listings.

use std::time::SystemTime;

use aws_sdk_s3::types::MultipartUpload;

use super::{Inner, failure::Failure, keys, read};
use crate::store::{Area, Key, Listed, Page, Shard, StoreError, StrayUpload};

const LIST: &str = "ListObjectsV2";
const UPLOADS: &str = "ListMultipartUploads";
const ABORT: &str = "AbortMultipartUpload";

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
        let client = self.client(LIST).await?;
        let answer = client
            .list_objects_v2()
            .bucket(&self.bucket.name)
            .prefix(prefix)
            .set_continuation_token(from)
            .set_expected_bucket_owner(self.owner())
            .send()
            .await
            .map_err(|error| Failure::new(LIST, &error))?;
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
        let prefix = keys::shard(area, shard);
        let page = self.objects(prefix.clone(), from).await?;
        let entries = page.entries.into_iter().filter_map(|object| {
            let digest = keys::digest(&object.key, &prefix, shard)?;
            let size = object.size.and_then(|size| u64::try_from(size).ok())?;
            let key = Key { area: area.clone(), digest };
            Some(Listed { key, size, stored: object.stored })
        });
        Ok(Page { entries: entries.collect(), next: page.next })
    }

    /// One page of the content of all repositories that are not public.
    pub(super) async fn private(&self, from: Option<String>) -> Result<Page<Listed>, StoreError> {
        let page = self.objects(keys::all_private(), from).await?;
        let entries = page.entries.into_iter().filter_map(|object| {
            let size = object.size.and_then(|size| u64::try_from(size).ok())?;
            Some(Listed { key: keys::private(&object.key)?, size, stored: object.stored })
        });
        Ok(Page { entries: entries.collect(), next: page.next })
    }

    /// One page of uploads that nobody finished, of those that may be ours.
    pub(super) async fn uploads(
        &self,
        from: Option<String>,
    ) -> Result<Page<StrayUpload>, StoreError> {
        let from = from.as_deref().map(upload_of).transpose()?;
        let page = self.uploads_below(None, from).await?;
        let entries = page.entries.iter().filter_map(|upload| {
            let key = upload.key().filter(|key| keys::is_ours(key))?;
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

    /// Ends the upload that [`Inner::uploads`] named `id`.
    pub(super) async fn end_upload(&self, id: &str) -> Result<(), StoreError> {
        let (upload, key) = upload_of(id)?;
        if !keys::is_ours(&key) {
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
