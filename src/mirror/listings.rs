//! Tag listings and referrers: asked of the upstream, kept for a while, served stale while it
//! fails.

use std::{sync::Arc, time::SystemTime};

use quick_cache::{Weighter, sync::Cache};
use tokio::time::timeout;

use super::{
    Inner,
    answer::{Listing, Refusal, Verdict},
    once::Once,
    refuse::{refusal, why},
};
use crate::{
    clock::age,
    oci::{Digest, Name},
    store::Area,
    telemetry::{Tier, Why},
    upstream::{self, UpstreamError},
};

/// How much memory listings may take, in bytes.
const MEMORY: u64 = 4 << 20;

/// How many listings that the upstream does not have are remembered.
const MISSING: usize = 10_000;

/// What is listed of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Tags,
    Referrers(Digest),
}

type Question = (Area, Name, What, String);

#[derive(Clone, Debug)]
struct Known {
    listing: Arc<upstream::Listing>,
    checked_at: SystemTime,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Question, Known> for Weight {
    fn weight(&self, question: &Question, known: &Known) -> u64 {
        (known.listing.bytes.len() + question.3.len() + 512) as u64
    }
}

/// The listings that are known.
#[derive(Debug)]
pub(super) struct Listings {
    known: Cache<Question, Known, Weight>,
    /// Until when what the upstream does not have is not asked for again.
    missing: Cache<Question, SystemTime>,
    asking: Once<Question, Result<(Known, Option<Why>), Refusal>>,
}

impl Listings {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::with_weighter(1024, MEMORY, Weight),
            missing: Cache::new(MISSING),
            asking: Once::new(),
        }
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        self.known.clear();
        self.missing.clear();
    }
}

impl Inner {
    pub(super) async fn listing(
        self: Arc<Self>,
        name: &Name,
        what: What,
        query: String,
    ) -> Result<Listing, Refusal> {
        let access = self.access(name, None).await?;
        let settings = self.parts.settings.load_full();
        let question: Question = (access.area, name.clone(), what, query);
        let known = self.listings.known.get(&question);
        let now = self.parts.clock.now();
        if let Some(known) = known.as_ref().filter(|k| age(now, k.checked_at) < settings.tag_ttl.0)
        {
            self.parts.metrics.hit(Tier::Memory, 1);
            return Ok(answer(known, None, Verdict::Memory));
        }
        if self.listings.missing.get(&question).is_some_and(|until| now < until) {
            return Err(missing(what));
        }
        let ask = || {
            let not_found_ttl = settings.not_found_ttl.0;
            let (mirror, question, trust) = (self.clone(), question.clone(), access.trust);
            let max_stale = settings.tag_max_stale.0;
            async move {
                let (_, name, _, query) = &question;
                let asking = async {
                    match what {
                        What::Tags => mirror.parts.upstream.tags(name, query, trust).await,
                        What::Referrers(digest) => {
                            mirror.parts.upstream.referrers(name, &digest, query, trust).await
                        }
                    }
                };
                let late = || Err(UpstreamError::passing("the upstream did not answer in time"));
                let answer = timeout(super::DEADLINE, asking).await.unwrap_or_else(|_| late());
                let now = mirror.parts.clock.now();
                match answer {
                    Ok(listing) => {
                        let known = Known { listing: Arc::new(listing), checked_at: now };
                        mirror.listings.known.insert(question, known.clone());
                        Ok((known, None))
                    }
                    Err(error) if error.is_answer() => {
                        mirror.listings.known.remove(&question);
                        if error == UpstreamError::Denied {
                            mirror.doubt(name);
                        } else {
                            mirror.listings.missing.insert(question, now + not_found_ttl);
                        }
                        Err(refusal(error, missing(what)))
                    }
                    Err(error) => {
                        let stale = mirror.listings.known.get(&question);
                        match stale.filter(|known| age(now, known.checked_at) <= max_stale) {
                            Some(known) => {
                                tracing::warn!(repository = %name, %error, "a stale listing is served");
                                Ok((known, Some(why(&error))))
                            }
                            None => Err(refusal(error, missing(what))),
                        }
                    }
                }
            }
        };
        let (found, _) = self.listings.asking.ask(&self.parts.engine, question.clone(), ask).await;
        let failed = || Err(Refusal::Upstream { why: "the listing could not be fetched".into() });
        let (known, stale) = found.unwrap_or_else(failed)?;
        if let Some(why) = stale {
            self.parts.metrics.stale(why);
        }
        let verdict = if stale.is_some() { Verdict::Stale } else { Verdict::Asked };
        Ok(answer(&known, stale, verdict))
    }
}

const fn missing(what: What) -> Refusal {
    match what {
        What::Tags => Refusal::NoRepository,
        What::Referrers(_) => Refusal::NotOffered,
    }
}

fn answer(known: &Known, stale: Option<Why>, verdict: Verdict) -> Listing {
    let listing = &known.listing;
    Listing {
        bytes: listing.bytes.clone(),
        media_type: listing.media_type.clone(),
        next: listing.next.clone(),
        filters: listing.filters.clone(),
        stale,
        verdict,
    }
}
