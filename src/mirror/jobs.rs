//! What those who look after the cache ask for: what is in it, whether it is right, what goes.
//!
//! A job is one JSON object and tells what it finds in lines, each one JSON object; so a command
//! may do it itself, or have a running service do it, and show the same.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

mod back;
mod catalogue;
mod purge;
mod verify;
mod wanted;
mod warm;

use super::{Inner, Mirror, Step, SweepError, keep::with_hint};
use crate::{clock::from_unix, store::StoreError};

pub use wanted::{BadImage, Image};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Job {
    /// Tell what images there are: all, or those that this means.
    List {
        /// None: all.
        image: Option<Image>,
    },
    /// Tell how much there is, by repository and in all.
    Usage,
    /// Take images away, and of their content what no other image needs.
    Purge {
        /// Which.
        images: Vec<Image>,
        /// Only tell what would go.
        dry_run: bool,
    },
    /// Read and hash what is kept, and drop what is wrong.
    Verify {
        /// None: everything.
        image: Option<Image>,
    },
    /// Clean up.
    Clean {
        /// Only tell what would go.
        dry_run: bool,
    },
    /// Say that all content of the bucket is a mirror's.
    Adopt,
    /// Write down for `registry:2` what it needs to serve what is in use.
    HandBack,
    /// Pull images, so that they are there.
    Warm {
        /// Which.
        images: Vec<Image>,
        /// For which platforms (`linux/amd64`, `linux/arm/v7`), of images that have several.
        platforms: Vec<String>,
    },
}

/// What a job tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// How far it is; `of` may grow.
    Progress {
        /// What is done.
        done: u64,
        /// Of how much.
        of: u64,
        /// What is being done.
        what: String,
    },
    /// An image that is kept, or a manifest that was pulled by its digest.
    Image {
        /// Its repository.
        repository: String,
        /// Its tag; none if it is known by its digest alone.
        tag: Option<String>,
        /// The manifest's digest.
        digest: String,
        /// Bytes of all that it names, as far as their manifests are kept.
        size: u64,
        /// The second since 1970 of its last use that was reported.
        used: Option<u64>,
        /// The second since 1970 at which the tag was last checked.
        checked: Option<u64>,
        /// Whether the manifest itself is kept.
        kept: bool,
    },
    /// How much of a repository is kept.
    Repository {
        /// Its name.
        repository: String,
        /// Images of it.
        images: u64,
        /// Bytes of them; what two of them share counts once.
        size: u64,
    },
    /// Content that went, or would go.
    Gone {
        /// Its digest.
        digest: String,
        /// Its length in bytes, where that is known.
        size: Option<u64>,
        /// Why.
        why: String,
    },
    /// Something that is not as it should be.
    Fault {
        /// What.
        what: String,
    },
    /// The end, and whether all is as it should be.
    Done {
        /// What was done, in a sentence.
        summary: String,
        /// Whether nothing was found wrong.
        fine: bool,
    },
    /// The end, before its time.
    Failed {
        /// Why.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Takes the lines of a job.
pub type Listen<'a> = &'a (dyn Fn(Line) + Send + Sync);

/// Why a job came to no end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
struct Stopped {
    why: String,
    hint: Option<String>,
    /// Whether the store did not answer, or not so that it could be used.
    outage: bool,
}

impl Stopped {
    fn new(why: impl Into<String>, hint: Option<String>) -> Self {
        Self { why: why.into(), hint, outage: false }
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        let hint = error.hint().map(str::to_owned);
        // A hint is about what will not pass by itself.
        let outage = matches!(error, StoreError::Unavailable { .. }) && hint.is_none();
        Self { why: error.to_string(), hint, outage }
    }
}

impl From<SweepError> for Stopped {
    fn from(error: SweepError) -> Self {
        let hint = error.hint().map(Cow::into_owned);
        match error {
            SweepError::Store(error) => Self { hint, ..error.into() },
            other => Self::new(other.to_string(), hint),
        }
    }
}

impl Mirror {
    /// Does a job. The last line is [`Line::Done`] or [`Line::Failed`]. To be run on the engine.
    pub async fn run(&self, job: Job, tell: Listen<'_>) {
        let inner: &Arc<Inner> = &self.inner;
        if let Some(why) = inner.hosted_now(&job).await {
            tell(Line::Fault { what: why });
        }
        let ended = match job {
            Job::List { image } => inner.list_images(image.as_ref(), tell).await,
            Job::Usage => inner.tell_usage(tell).await,
            Job::Purge { images, dry_run } => inner.purge(&images, dry_run, tell).await,
            Job::Verify { image } => inner.verify(image.as_ref(), tell).await,
            Job::Clean { dry_run } => inner.clean(dry_run, tell).await,
            Job::Adopt => inner.adopt(tell).await,
            Job::HandBack => inner.hand_back(tell).await,
            Job::Warm { images, platforms } => self.warm(&images, &platforms, tell).await,
        };
        if let Err(Stopped { why, hint, .. }) = ended {
            tell(Line::Failed { why, hint });
        }
    }
}

impl Inner {
    /// Fault to report before a job about a bucket that hosts a registry's images.
    async fn hosted_now(&self, job: &Job) -> Option<String> {
        if matches!(job, Job::Adopt | Job::Warm { .. }) {
            return None;
        }
        // Where nobody can tell, the job meets the same failure.
        let _ = self.keeper.look_at_tenancy().await;
        self.keeper.hosted().as_ref().map(with_hint)
    }

    /// Takes all content of the bucket for a mirror's from now on.
    async fn adopt(&self, tell: Listen<'_>) -> Result<(), Stopped> {
        // First, so that whatever comes between costs no content its time.
        self.note_hosting().await?;
        self.parts.far.adopt(self.parts.node.id()).await?;
        self.keeper.look_at_tenancy().await?;
        let mut summary = String::from("all content of the bucket is a mirror's from now on, ");
        summary += "and is cleaned up when nobody used it for `expire_after`";
        tell(Line::Done { summary, fine: true });
        Ok(())
    }

    async fn clean(&self, dry_run: bool, tell: Listen<'_>) -> Result<(), Stopped> {
        let step = |step: Step| match step {
            Step::Walked { parts, of, left } => tell(Line::Progress {
                done: parts.into(),
                of: of.into(),
                what: format!("{} objects, {} bytes stay", left.objects, left.bytes),
            }),
            Step::Removed(_) => {}
            Step::WouldRemove { key, size, last, reason } => tell(Line::Gone {
                digest: key.digest.to_string(),
                size: Some(size),
                why: format!("{}, last used {}", reason.as_str(), date(last)),
            }),
        };
        let swept = if dry_run {
            self.would_sweep(&step).await?
        } else {
            let swept = self.sweep(&step).await?;
            super::lock(&self.swept).take();
            swept
        };
        let word = if dry_run { "would go" } else { "went" };
        let mut summary = format!(
            "{} objects ({} bytes) {word}, {} ({} bytes) stay",
            swept.removed.objects, swept.removed.bytes, swept.left.objects, swept.left.bytes
        );
        if let (1.., Some(due)) = (swept.marked, swept.due) {
            let due = date(crate::clock::to_unix(due));
            summary += &format!("; {} bytes are marked and go from {due} on", swept.marked);
        }
        if let Some(why) = &swept.held_back {
            tell(Line::Fault { what: format!("nothing is removed now: {why}") });
        }
        if swept.refused > 0 {
            let what = format!("the store refuses to remove {} objects", swept.refused);
            tell(Line::Fault { what });
        }
        tell(Line::Done { summary, fine: swept.refused == 0 });
        Ok(())
    }
}

/// How often in a row the store may fail to answer before a job gives up.
const OUTAGES: u64 = 5;

/// How much that was told is remembered, so as not to tell it again; of what comes on top it may be.
const TOLD: usize = 10_000;

/// What cannot be read in the course of a job that goes on all the same. Each thing is told once.
struct Unread<'a> {
    tell: Listen<'a>,
    told: Mutex<BTreeSet<String>>,
    count: AtomicU64,
    in_a_row: AtomicU64,
}

impl<'a> Unread<'a> {
    fn new(tell: Listen<'a>) -> Self {
        Self { tell, told: Mutex::default(), count: AtomicU64::new(0), in_a_row: AtomicU64::new(0) }
    }

    /// Something more.
    ///
    /// # Errors
    /// It is the store that does not answer, and not one thing in it.
    fn add(&self, what: &str, stopped: Stopped) -> Result<(), Stopped> {
        if self.is_new(what) {
            self.count.fetch_add(1, Ordering::Relaxed);
            (self.tell)(Line::Fault { what: format!("`{what}` cannot be read: {stopped}") });
        }
        if !stopped.outage {
            self.answered();
            return Ok(());
        }
        let before = self.in_a_row.fetch_add(1, Ordering::Relaxed);
        if before + 1 < OUTAGES { Ok(()) } else { Err(stopped) }
    }

    fn is_new(&self, what: &str) -> bool {
        let mut told = super::lock(&self.told);
        if told.len() < TOLD { told.insert(what.to_owned()) } else { !told.contains(what) }
    }

    /// The store answered.
    fn answered(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// A second since 1970 as people read it (RFC 3339, UTC).
fn date(seconds: u64) -> String {
    crate::clock::rfc3339(from_unix(seconds))
}

/// Lengths by digest, so that what is shared counts once.
type Lengths = HashMap<crate::oci::Digest, u64>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_once_and_takes_little_memory() {
        let lines = AtomicU64::new(0);
        let tell = |_| {
            lines.fetch_add(1, Ordering::Relaxed);
        };
        let unread = Unread::new(&tell);
        for number in 0..3 * TOLD {
            let stopped = || Stopped::new("the key is disabled", None);
            unread.add(&number.to_string(), stopped()).unwrap();
            unread.add("0", stopped()).unwrap();
        }
        assert_eq!(
            (unread.count(), lines.load(Ordering::Relaxed)),
            (3 * TOLD as u64, 3 * TOLD as u64)
        );
        assert_eq!(super::super::lock(&unread.told).len(), TOLD);
    }
}
