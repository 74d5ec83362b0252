//! An S3 in memory, for the real SDK: conditional writes that are atomic, uploads in parts,
//! listings in pages, metadata, encryption as a bucket's default or as asked for. It counts every
//! call, and can be told to fail at any.
//!
//! In process (`S3::with_http_client(…, bucket.client())`) or behind an address on loopback
//! ([`Bucket::serve`]), for the whole program.

pub mod cloud;
mod objects;
mod place;
mod quirks;
pub mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;

use objects::{Object, Upload};
pub use quirks::Quirk;

/// The name of the only bucket.
pub const NAME: &str = "mirror";
/// The access key and the secret key that the bucket takes; signatures are checked.
pub const CREDENTIALS: &str = "test";
/// Stands in every error's message: nothing of ours may ever print it.
pub const SECRET: &str = "X-Amz-Signature-of-the-day";

/// What the bucket does about encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealing {
    /// Encrypts by its own keys unless asked otherwise, as AWS does.
    #[default]
    Aes256,
    /// Encrypts by this KMS key unless asked otherwise.
    Kms(String),
    /// Encrypts by this KMS key, whatever it is asked for.
    Always(String),
    /// Encrypts only when asked.
    WhenAsked,
    /// Does not encrypt and does not say so.
    Never,
    /// Does not encrypt, and answers whoever asks for it by this status and code.
    Refused(u16, &'static str),
}

/// A condition of a write that a bucket takes and does not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    IfMatch,
    IfNoneMatch,
}

/// How a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered by this status and code; nothing is done.
    Status(u16, &'static str),
    /// The connection breaks before anything is done.
    Refused,
    /// It is done, but the answer is lost.
    LostAnswer,
    /// It is never answered.
    Silent,
    /// The body of the answer breaks off after so many bytes.
    Cut(u64),
    /// The body of the answer ends after so many bytes as if it were whole.
    Short(u64),
    /// The body of the answer stands still after so many bytes.
    Stall(u64),
    /// Status 200, and an error in the body, as CompleteMultipartUpload may answer.
    ErrorIn200,
}

/// The bucket. Clones are the same bucket.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<(String, String), Upload>,
    place: place::Place,
    cloud: cloud::Cloud,
    sealing: Sealing,
    unconditional: bool,
    /// Conditions that it takes and does not look at.
    ignored: Option<Ignored>,
    hashing: bool,
    quirks: Vec<Quirk>,
    owner: Option<String>,
    /// Whether calls that name no owner are refused, too.
    must_name_owner: bool,
    page: Option<usize>,
    /// Keys that DeleteObjects refuses one by one.
    undeletable: BTreeMap<String, &'static str>,
    /// Whether listings of uploads lack the time of each, and where the next page begins.
    terse: bool,
    faults: Vec<Planned>,
    calls: BTreeMap<&'static str, usize>,
    /// Makes every ETag and upload id differ; an ETag is no hash by default, as under KMS.
    count: u64,
    /// How far its clock is ahead of the machine's.
    ahead: Duration,
}

#[derive(Debug)]
struct Planned {
    operation: &'static str,
    skip: usize,
    fault: Fault,
    times: usize,
}

impl Bucket {
    /// An empty bucket that behaves as AWS's do.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same bucket with another default encryption.
    pub fn sealing(self, sealing: Sealing) -> Self {
        self.state().sealing = sealing;
        self
    }

    /// The same bucket, which answers conditional writes by 501.
    pub fn unconditional(self) -> Self {
        self.state().unconditional = true;
        self
    }

    /// The same bucket, which takes conditions of this kind and does not look at them.
    pub fn ignoring(self, condition: Ignored) -> Self {
        self.state().ignored = Some(condition);
        self
    }

    /// The same bucket, which answers only calls that name `owner` as its owner.
    pub fn owned_by(self, owner: &str) -> Self {
        self.state().must_name_owner = true;
        self.shared_by(owner)
    }

    /// The same bucket, which `owner` lets us use: it refuses calls that name another as its owner.
    pub fn shared_by(self, owner: &str) -> Self {
        self.state().owner = Some(owner.to_owned());
        self
    }

    /// The same bucket, whose ETags are a hash of the bytes, as they are without KMS.
    pub fn hashing(self) -> Self {
        self.state().hashing = true;
        self
    }

    /// The same bucket, whose listings have pages of at most `page` entries.
    pub fn paged(self, page: usize) -> Self {
        self.state().page = Some(page);
        self
    }

    /// The same bucket, which tells of uploads neither when they were begun nor where the next page
    /// of them begins.
    pub fn terse(self) -> Self {
        self.state().terse = true;
        self
    }

    /// DeleteObjects refuses to remove this object, with that code, and removes all others.
    pub fn keep(&self, key: &str, code: &'static str) {
        self.state().undeletable.insert(key.to_owned(), code);
    }

    /// Changes what the bucket does about encryption.
    pub fn set_sealing(&self, sealing: Sealing) {
        self.state().sealing = sealing;
    }

    /// The next `times` calls of `operation` (`"*"`: of any) fail.
    pub fn fail(&self, operation: &'static str, fault: Fault, times: usize) {
        self.fail_after(operation, 0, fault, times);
    }

    /// The same, once so many such calls have gone through.
    pub fn fail_after(&self, operation: &'static str, skip: usize, fault: Fault, times: usize) {
        self.state().faults.push(Planned { operation, skip, fault, times });
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.undeletable.clear();
    }

    /// How many calls of `operation` arrived, those that failed included.
    pub fn calls(&self, operation: &str) -> usize {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// How many calls arrived, by operation.
    pub fn all_calls(&self) -> BTreeMap<&'static str, usize> {
        self.state().calls.clone()
    }

    /// Forgets what was counted.
    pub fn reset_calls(&self) {
        self.state().calls.clear();
    }

    /// Uploads that were begun and neither completed nor ended.
    pub fn uploads(&self) -> Vec<String> {
        self.state().uploads.keys().map(|(key, _)| key.clone()).collect()
    }

    /// The keys of all objects, in byte order.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// An object's bytes.
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.state().objects.get(key).map(|object| object.bytes.clone())
    }

    /// An object's metadata.
    pub fn metadata(&self, key: &str) -> Option<HashMap<String, String>> {
        self.state().objects.get(key).map(|object| object.metadata.clone())
    }

    /// How an object is encrypted, and by which KMS key with or without a bucket key.
    pub fn sealed(&self, key: &str) -> Option<(String, Option<(String, bool)>)> {
        self.state().objects.get(key).and_then(|object| object.sealed.clone())
    }

    /// Puts an object there as another program would, without metadata.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.state().insert(key.to_owned(), bytes.into(), HashMap::new(), None);
    }

    /// Puts content there as a mirror would, with its mark.
    pub fn put_marked(&self, key: &str, bytes: impl Into<Bytes>) {
        let mark = HashMap::from([("verified".to_owned(), "1".to_owned())]);
        self.put_with(key, bytes, mark);
    }

    /// Puts an object there with this metadata.
    pub fn put_with(&self, key: &str, bytes: impl Into<Bytes>, metadata: HashMap<String, String>) {
        self.state().insert(key.to_owned(), bytes.into(), metadata, None);
    }

    /// Removes an object as another program would.
    pub fn take(&self, key: &str) {
        self.state().objects.remove(key);
    }

    /// Begins an upload in parts as another program would.
    pub fn begin(&self, key: &str) {
        self.state().begin(key);
    }

    /// Moves its clock on, and with it the times of what is written from now on.
    pub fn advance(&self, by: Duration) {
        self.state().ahead += by;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn count(&mut self, operation: &'static str) -> Option<Fault> {
        *self.calls.entry(operation).or_default() += 1;
        let due = |plan: &&mut Planned| {
            plan.times > 0 && (plan.operation == operation || plan.operation == "*")
        };
        let plan = self.faults.iter_mut().find(due)?;
        if plan.skip > 0 {
            plan.skip -= 1;
            return None;
        }
        plan.times -= 1;
        Some(plan.fault.clone())
    }

    fn fresh(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}
