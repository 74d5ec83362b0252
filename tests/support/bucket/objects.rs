//! What the bucket does when it does not fail.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use registry_mirror::oci::Digest;
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, ETag,
        ETagCondition, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
        ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input,
        ListObjectsV2Output, MultipartUpload, PutObjectInput, PutObjectOutput,
        ServerSideEncryption, StreamingBlob, UploadPartInput, UploadPartOutput,
    },
};

use super::{Bucket, Ignored, NAME, SECRET, Sealing, State};

/// How an object is encrypted: the algorithm, and the KMS key with its bucket-key flag.
pub(super) type Sealed = Option<(String, Option<(String, bool)>)>;

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) metadata: HashMap<String, String>,
    pub(super) sealed: Sealed,
    etag: String,
    stored: SystemTime,
}

#[derive(Debug)]
pub(super) struct Upload {
    parts: BTreeMap<i32, Part>,
    /// Whether the parts were announced with a CRC-32 each, which must then be named again.
    summed: bool,
    metadata: HashMap<String, String>,
    sealed: Sealed,
    begun: SystemTime,
}

#[derive(Debug)]
struct Part {
    etag: String,
    sum: Option<String>,
    bytes: Bytes,
}

fn error(code: S3ErrorCode) -> S3Error {
    S3Error::with_message(code, SECRET)
}

fn check_bucket(name: &str) -> S3Result<()> {
    if name == NAME { Ok(()) } else { Err(error(S3ErrorCode::NoSuchBucket)) }
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let parts: Vec<Bytes> =
        body.try_collect().await.map_err(|_| error(S3ErrorCode::IncompleteBody))?;
    Ok(parts.concat().into())
}

fn base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

/// CRC-32 as in IEEE 802.3, a bit at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    })
}

impl State {
    /// S3 tells times in whole seconds.
    pub(super) fn now(&self) -> SystemTime {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        UNIX_EPOCH + Duration::from_secs(seconds) + self.ahead
    }

    pub(super) fn insert(
        &mut self,
        key: String,
        bytes: Bytes,
        metadata: HashMap<String, String>,
        sealed: Sealed,
    ) -> String {
        let etag = if self.hashing {
            Digest::sha256(&bytes).hex()
        } else {
            format!("{:x}-no-hash", self.fresh())
        };
        let object = Object { bytes, metadata, sealed, etag: etag.clone(), stored: self.now() };
        self.objects.insert(key, object);
        etag
    }

    /// Begins an upload as another program would.
    pub(super) fn begin(&mut self, key: &str) {
        let id = self.fresh().to_string();
        let upload = Upload {
            parts: BTreeMap::new(),
            summed: false,
            metadata: HashMap::new(),
            sealed: None,
            begun: self.now(),
        };
        self.uploads.insert((key.to_owned(), id), upload);
    }

    fn object(&self, key: &str) -> S3Result<Object> {
        self.objects.get(key).cloned().ok_or_else(|| error(S3ErrorCode::NoSuchKey))
    }

    /// What a write is encrypted with.
    fn seal(
        &self,
        asked: Option<&ServerSideEncryption>,
        key: Option<String>,
        bucket_key: Option<bool>,
    ) -> S3Result<Sealed> {
        let asked = asked.map(|kind| {
            let key = key.map(|key| (key, bucket_key.unwrap_or_default()));
            (kind.as_str().to_owned(), key)
        });
        Ok(match &self.sealing {
            Sealing::Refused(status, code) if asked.is_some() => {
                let mut refused = error(S3ErrorCode::Custom((*code).into()));
                refused.set_status_code(http::StatusCode::from_u16(*status).unwrap());
                return Err(refused);
            }
            Sealing::Never | Sealing::Refused(..) => None,
            Sealing::Always(key) => Some(("aws:kms".into(), Some((key.clone(), false)))),
            Sealing::WhenAsked => asked,
            Sealing::Aes256 => Some(asked.unwrap_or_else(|| ("AES256".into(), None))),
            Sealing::Kms(key) => {
                Some(asked.unwrap_or_else(|| ("aws:kms".into(), Some((key.clone(), true)))))
            }
        })
    }

    fn check(
        &self,
        key: &str,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        if self.unconditional && (if_match.is_some() || if_none_match.is_some()) {
            return Err(error(S3ErrorCode::NotImplemented));
        }
        let if_match = if_match.filter(|_| self.ignored != Some(Ignored::IfMatch));
        let if_none_match = if_none_match.filter(|_| self.ignored != Some(Ignored::IfNoneMatch));
        let there = self.objects.get(key);
        if if_none_match.is_some() && there.is_some() {
            return Err(error(S3ErrorCode::PreconditionFailed));
        }
        match (if_match, there) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(error(S3ErrorCode::NoSuchKey)),
            (Some(condition), Some(object)) => {
                let same = condition.as_etag().is_some_and(|etag| etag.value() == object.etag);
                if same { Ok(()) } else { Err(error(S3ErrorCode::PreconditionFailed)) }
            }
        }
    }

    fn upload(&mut self, key: &str, id: &str) -> S3Result<&mut Upload> {
        self.uploads
            .get_mut(&(key.to_owned(), id.to_owned()))
            .ok_or_else(|| error(S3ErrorCode::NoSuchUpload))
    }
}

fn algorithm(sealed: &Sealed) -> Option<ServerSideEncryption> {
    sealed.as_ref().map(|(name, _)| ServerSideEncryption::from(name.clone()))
}

fn kms_key(sealed: &Sealed) -> Option<String> {
    sealed.as_ref().and_then(|(_, key)| key.as_ref()).map(|(key, _)| key.clone())
}

#[async_trait::async_trait]
impl S3 for Bucket {
    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        let object = self.state().object(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.bytes.len() as i64),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.stored.into()),
            metadata: Some(object.metadata),
            server_side_encryption: algorithm(&object.sealed),
            ssekms_key_id: kms_key(&object.sealed),
            ..HeadObjectOutput::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let object = self.state().object(&input.key)?;
        let size = object.bytes.len();
        let mut bytes = object.bytes.clone();
        let mut content_range = None;
        if let Some(range) = input.range {
            let range = range.check(size as u64).map_err(|_| error(S3ErrorCode::InvalidRange))?;
            content_range = Some(format!("bytes {}-{}/{size}", range.start, range.end - 1));
            bytes = bytes.slice(range.start as usize..range.end as usize);
        }
        let length = bytes.len();
        // In pieces of an odd length, so that nobody relies on how they arrive.
        let pieces: Vec<_> = bytes
            .chunks(100_003)
            .map(|piece| Ok::<_, std::io::Error>(bytes.slice_ref(piece)))
            .collect();
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(futures_util::stream::iter(pieces))),
            content_length: Some(length as i64),
            content_range,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.stored.into()),
            metadata: Some(object.metadata),
            server_side_encryption: algorithm(&object.sealed),
            ssekms_key_id: kms_key(&object.sealed),
            ..GetObjectOutput::default()
        }))
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let bytes = collect(input.body).await?;
        if input.content_length.is_some_and(|length| length != bytes.len() as i64) {
            return Err(error(S3ErrorCode::IncompleteBody));
        }
        if input.checksum_sha256.is_some_and(|sum| sum != base64(Digest::sha256(&bytes).bytes())) {
            return Err(error(S3ErrorCode::BadDigest));
        }
        let mut state = self.state();
        state.check(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let sealed = state.seal(
            input.server_side_encryption.as_ref(),
            input.ssekms_key_id,
            input.bucket_key_enabled,
        )?;
        let metadata = input.metadata.unwrap_or_default();
        let etag = state.insert(input.key, bytes, metadata, sealed.clone());
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            server_side_encryption: algorithm(&sealed),
            ssekms_key_id: kms_key(&sealed),
            ..PutObjectOutput::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let mut state = self.state();
        let sealed = state.seal(
            input.server_side_encryption.as_ref(),
            input.ssekms_key_id,
            input.bucket_key_enabled,
        )?;
        let id = format!("upload-{:x}", state.fresh());
        let upload = Upload {
            parts: BTreeMap::new(),
            summed: input.checksum_algorithm.is_some_and(|sum| sum.as_str() == "CRC32"),
            metadata: input.metadata.unwrap_or_default(),
            sealed: sealed.clone(),
            begun: state.now(),
        };
        state.uploads.insert((input.key, id.clone()), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            upload_id: Some(id),
            server_side_encryption: algorithm(&sealed),
            ssekms_key_id: kms_key(&sealed),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let bytes = collect(input.body).await?;
        if input.content_length.is_some_and(|length| length != bytes.len() as i64) {
            return Err(error(S3ErrorCode::IncompleteBody));
        }
        let trailer = request.trailing_headers.and_then(|trailers| trailers.take());
        let sum = trailer.and_then(|mut trailer| trailer.remove("x-amz-checksum-crc32"));
        let sum = sum.map(|sum| sum.to_str().unwrap().to_owned()).or(input.checksum_crc32);
        if sum.as_ref().is_some_and(|sum| *sum != base64(&crc32(&bytes).to_be_bytes())) {
            return Err(error(S3ErrorCode::BadDigest));
        }
        let mut state = self.state();
        let etag = format!("part-{:x}", state.fresh());
        let upload = state.upload(&input.key, &input.upload_id)?;
        if upload.summed && sum.is_none() {
            return Err(error(S3ErrorCode::InvalidRequest));
        }
        let part = Part { etag: etag.clone(), sum: sum.clone(), bytes };
        upload.parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32: sum,
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let mut state = self.state();
        state.upload(&input.key, &input.upload_id)?;
        state.check(&input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let upload = state.upload(&input.key, &input.upload_id)?;
        let mut bytes = Vec::new();
        let mut last = 0;
        for named in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            let number = named.part_number.unwrap_or_default();
            if number <= last {
                return Err(error(S3ErrorCode::InvalidPartOrder));
            }
            last = number;
            let etag = named.e_tag.as_ref().map(ETag::value);
            let part = upload.parts.get(&number).filter(|part| {
                etag == Some(&part.etag) && (!upload.summed || named.checksum_crc32 == part.sum)
            });
            bytes.extend_from_slice(&part.ok_or_else(|| error(S3ErrorCode::InvalidPart))?.bytes);
        }
        let (metadata, sealed) = (upload.metadata.clone(), upload.sealed.clone());
        state.uploads.remove(&(input.key.clone(), input.upload_id));
        let etag = state.insert(input.key, bytes.into(), metadata, sealed.clone());
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            e_tag: Some(ETag::Strong(etag)),
            server_side_encryption: algorithm(&sealed),
            ssekms_key_id: kms_key(&sealed),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let mut state = self.state();
        state.upload(&input.key, &input.upload_id)?;
        state.uploads.remove(&(input.key, input.upload_id));
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        self.state().objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        check_bucket(&request.input.bucket)?;
        let objects = request.input.delete.objects;
        if objects.len() > 1000 {
            return Err(error(S3ErrorCode::MalformedXML));
        }
        let mut state = self.state();
        let mut errors = Vec::new();
        for object in objects {
            match state.undeletable.get(&object.key) {
                Some(code) => errors.push(s3s::dto::Error {
                    code: Some((*code).to_owned()),
                    key: Some(object.key),
                    message: Some(SECRET.to_owned()),
                    version_id: None,
                }),
                None => drop(state.objects.remove(&object.key)),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let delimiter = input.delimiter.unwrap_or_default();
        let state = self.state();
        let asked = input.max_keys.map_or(1000, |keys| keys as usize).min(1000);
        let page = state.page.unwrap_or(1000).min(asked);
        let mut found = state
            .objects
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(key, _)| **key > after);
        let contents: Vec<_> = found
            .by_ref()
            .take(page)
            .map(|(key, object)| s3s::dto::Object {
                key: Some(key.clone()),
                size: Some(object.bytes.len() as i64),
                last_modified: Some(object.stored.into()),
                e_tag: Some(ETag::Strong(object.etag.clone())),
                ..s3s::dto::Object::default()
            })
            .collect();
        let truncated = found.next().is_some();
        let last = contents.last().and_then(|object| object.key.clone());
        // Good for one page, which is all that anybody asks for with a delimiter.
        let (mut contents, mut common) = (contents, BTreeSet::new());
        if !delimiter.is_empty() {
            contents.retain(|object| {
                let rest = object.key.as_ref().unwrap().strip_prefix(&prefix).unwrap();
                let Some((first, _)) = rest.split_once(&delimiter) else { return true };
                common.insert(format!("{prefix}{first}{delimiter}"));
                false
            });
        }
        let common =
            common.into_iter().map(|prefix| s3s::dto::CommonPrefix { prefix: Some(prefix) });
        let common: Vec<_> = common.collect();
        Ok(S3Response::new(ListObjectsV2Output {
            is_truncated: Some(truncated),
            next_continuation_token: last.filter(|_| truncated),
            key_count: Some((contents.len() + common.len()) as i32),
            common_prefixes: Some(common),
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let mark =
            (input.key_marker.unwrap_or_default(), input.upload_id_marker.unwrap_or_default());
        let prefix = input.prefix.unwrap_or_default();
        let state = self.state();
        let mut found =
            state.uploads.iter().filter(|(id, _)| **id > mark && id.0.starts_with(&prefix));
        let uploads: Vec<_> = found
            .by_ref()
            .take(state.page.unwrap_or(1000))
            .map(|((key, id), upload)| MultipartUpload {
                key: Some(key.clone()),
                upload_id: Some(id.clone()),
                initiated: (!state.terse).then(|| upload.begun.into()),
                ..MultipartUpload::default()
            })
            .collect();
        let truncated = found.next().is_some();
        let last = uploads.last().filter(|_| truncated && !state.terse);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            is_truncated: Some(truncated),
            next_key_marker: last.and_then(|upload| upload.key.clone()),
            next_upload_id_marker: last.and_then(|upload| upload.upload_id.clone()),
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}
