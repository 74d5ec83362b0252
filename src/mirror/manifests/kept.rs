//! Manifests that need no upstream: from memory, disk or bucket, checked against their digest.

use std::{os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::timeout;

use super::Kept;
use crate::{
    mirror::{self, Inner, answer::Verdict},
    oci::{Digest, MAX_MANIFEST, Name},
    store::{Area, Body, Found, Key, StoreError},
    telemetry::Tier,
};

/// What became of reading what is kept.
enum Read {
    Whole(Bytes),
    /// It is not what its digest says.
    Damaged,
    /// It is too long to be a manifest.
    Another,
    Failed(StoreError),
}

impl Inner {
    /// Whether the manifest can be had for the repository `name` without the upstream.
    pub(in crate::mirror) async fn has_manifest(&self, key: &Key, name: &Name) -> bool {
        self.kept(key, name).await.is_some()
    }

    /// The manifest for the repository `name`, which may be served `key`, from memory, disk or
    /// bucket; also one that another program keeps in the bucket for that repository.
    pub(in crate::mirror) async fn kept(
        &self,
        key: &Key,
        name: &Name,
    ) -> Option<(Arc<Kept>, Verdict)> {
        if let Some(kept) = self.manifests.known.get(key) {
            return Some((kept, Verdict::Memory));
        }
        if let Some(found) = self.keeper.near(key).await {
            let media_type = found.info.meta.media_type.clone();
            match self.read_in_time(key, found).await {
                Read::Whole(bytes) => {
                    self.parts.metrics.hit(Tier::Disk, 1);
                    return Some((self.remember(key, media_type, bytes), Verdict::Disk));
                }
                // The bucket's may be good all the same.
                Read::Damaged => self.keeper.forget_near(key).await,
                Read::Another => {}
                Read::Failed(error) => unreadable(key, &error),
            }
        }
        let found = self.keeper.far_of(key, name).await?;
        let (tier, verdict) = match found.body {
            Body::File(..) => (Tier::Disk, Verdict::Disk),
            Body::Stream(_) => (Tier::Bucket, Verdict::Bucket),
        };
        let meta = found.info.meta.clone();
        let bytes = match self.read_in_time(key, found).await {
            Read::Whole(bytes) => bytes,
            Read::Damaged => {
                self.forget_in_background(key);
                return None;
            }
            Read::Another => return None,
            Read::Failed(error) => {
                unreadable(key, &error);
                return None;
            }
        };
        self.parts.metrics.hit(tier, 1);
        if tier == Tier::Bucket && self.fits_near(bytes.len() as u64) {
            self.keep_in_background(key.clone(), bytes.clone(), meta.clone(), false);
        }
        Some((self.remember(key, meta.media_type, bytes), verdict))
    }

    /// The manifest as a job reads it, for which a store that fails is no miss. Of `name` nobody
    /// has found out here whether it is public: what another program keeps for it is not put where
    /// others would be served it.
    ///
    /// # Errors
    /// The store failed.
    pub(in crate::mirror) async fn stored_manifest(
        &self,
        key: &Key,
        name: &Name,
    ) -> Result<Option<Bytes>, StoreError> {
        if let Some(kept) = self.manifests.known.get(key) {
            return Ok(Some(kept.bytes.clone()));
        }
        if let Some(found) = self.keeper.near(key).await
            && let Read::Whole(bytes) = self.read(key, found).await
        {
            return Ok(Some(bytes));
        }
        let far = &self.parts.far;
        let Some(found) = far.get(key, None).await? else { return Ok(None) };
        let meta = found.info.meta.clone();
        if !meta.verified {
            let may_be_of_it = key.area == Area::Public;
            if !may_be_of_it || !far.belongs(name, &key.digest).await? {
                return Ok(None);
            }
        }
        match self.read(key, found).await {
            Read::Whole(bytes) if meta.verified => {
                Ok(Some(self.remember(key, meta.media_type, bytes).bytes.clone()))
            }
            Read::Whole(bytes) => Ok(Some(bytes)),
            Read::Damaged | Read::Another => Ok(None),
            Read::Failed(error) => Err(error),
        }
    }

    async fn read_in_time(&self, key: &Key, found: Found) -> Read {
        let late = || StoreError::Unavailable { operation: "read", code: "timeout".into() };
        let reading = timeout(mirror::DEADLINE, self.read(key, found)).await;
        reading.unwrap_or_else(|_| Read::Failed(late()))
    }

    async fn read(&self, key: &Key, found: Found) -> Read {
        let Some(size) = usize::try_from(found.info.size).ok().filter(|n| *n <= MAX_MANIFEST)
        else {
            return Read::Another;
        };
        let bytes = match self.whole(found.body, size).await {
            Ok(bytes) => bytes,
            Err(error) => return Read::Failed(error),
        };
        if Digest::of(key.digest.algorithm(), &bytes) == key.digest {
            return Read::Whole(bytes);
        }
        tracing::error!(digest = %key.digest, "a kept manifest does not match its digest");
        self.parts.metrics.mismatch();
        Read::Damaged
    }

    async fn whole(&self, body: Body, size: usize) -> Result<Bytes, StoreError> {
        let operation = "read";
        match body {
            Body::File(file, range) => {
                let read = move || {
                    let mut bytes = vec![0; size];
                    file.read_exact_at(&mut bytes, range.start).map(|()| Bytes::from(bytes))
                };
                let read = self.parts.engine.spawn_blocking(read).await;
                let failed = |code: String| StoreError::Unavailable { operation, code };
                let read = read.map_err(|_| failed("shutdown".into()))?;
                read.map_err(|error| failed(error.kind().to_string()))
            }
            Body::Stream(chunks) => {
                let gather = |mut bytes: Vec<u8>, chunk: Bytes| async move {
                    bytes.extend_from_slice(&chunk);
                    Ok(bytes)
                };
                let bytes = chunks.try_fold(Vec::with_capacity(size), gather).await?;
                if bytes.len() == size {
                    return Ok(Bytes::from(bytes));
                }
                let what = format!("{} bytes where {size} were announced", bytes.len());
                Err(StoreError::Broken { operation, what })
            }
        }
    }
}

fn unreadable(key: &Key, error: &StoreError) {
    tracing::warn!(%error, digest = %key.digest, "a kept manifest cannot be read");
}
