//! Reports of use: each node writes its own now and then, and the clean-up merges them into what is
//! known of all, which is kept in 256 parts by the first byte of the digest.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{SweepError, lease::Hold};
use crate::{
    mirror::{
        Inner,
        usage::{Touched, Used, note},
    },
    oci::Name,
    store::{Area, Key, MAX_RECORD, Records, StoreError, Version, When, Written},
};

/// Where reports lie.
const REPORTS: &str = "use/reports";
/// Where the use of private content is kept, a record for each repository.
const PRIVATE: &str = "use/private";
/// Where that of all other content is.
const PUBLIC: &str = "use/public";
/// The most lines of a report.
const LINES: usize = 10_000;
/// How many lines are merged at a time, so that memory does not grow with the reports.
pub(super) const AT_ONCE: usize = 90_000;

/// One part of what is known of the use of all content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    /// Public content whose digest begins with this byte.
    Public(u8),
    /// Content of a repository that is not public.
    Private(Name),
}

impl Part {
    fn of(key: &Key) -> Self {
        match &key.area {
            Area::Public => Self::Public(key.digest.bytes().first().copied().unwrap_or_default()),
            Area::Private(name) => Self::Private(name.clone()),
        }
    }

    pub(super) fn path(&self) -> String {
        match self {
            Self::Public(first) => format!("{PUBLIC}/{first:02x}"),
            // No name has such a component, so one part is never below another.
            Self::Private(name) => format!("{PRIVATE}/{name}/_"),
        }
    }
}

/// The use of content, by part.
pub(super) type ByPart = HashMap<Part, HashMap<Key, Used>>;

/// Reports that were read together.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) uses: ByPart,
    /// Where they lie.
    pub(super) paths: Vec<String>,
    /// Whether there are others.
    pub(super) more: bool,
}

/// What is known of a part, and which writing it was.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) uses: HashMap<Key, Used>,
    written: Option<(Bytes, Version)>,
}

impl Inner {
    /// Writes down what this node used since the last report, if anything.
    pub(in crate::mirror) async fn report_use(&self) -> Result<(), SweepError> {
        let collected = self.usage.collect();
        if collected.is_empty() {
            return Ok(());
        }
        let reported = self.write_reports(&collected).await;
        match &reported {
            Ok(told) => self.marks.reported(told),
            Err(_) => self.usage.give_back(collected),
        }
        Ok(reported.map(|_| ())?)
    }

    /// Writes reports of `collected`, and hands back what they say: times by the store's clock.
    async fn write_reports(
        &self,
        collected: &HashMap<Key, Touched>,
    ) -> Result<Vec<(Key, Used)>, StoreError> {
        let there = self.parts.far.now().await?;
        let told = collected.iter().map(|(key, used)| (key.clone(), used.told(there)));
        let told: Vec<(Key, Used)> = told.collect();
        for lines in told.chunks(LINES) {
            let text = note::print(lines.iter().map(|(key, used)| (key, used)));
            let path = format!("{REPORTS}/{}", self.parts.node.next_report());
            self.parts.records.put(&path, Bytes::from(text), When::Always).await?;
        }
        Ok(told)
    }

    /// Reads reports, except those in `known`, until they have `enough` lines or there are no others.
    pub(super) async fn gather(
        &self,
        known: &HashSet<String>,
        enough: usize,
        hold: &mut Hold<'_>,
    ) -> Result<Gathered, SweepError> {
        let records = &*self.parts.records;
        let mut gathered = Gathered::default();
        let (mut from, mut lines) = (None, 0);
        loop {
            hold.keep().await?;
            let page = records.list(REPORTS, from).await?;
            for entry in page.entries.into_iter().filter(|entry| !known.contains(&entry.path)) {
                if lines >= enough {
                    gathered.more = true;
                    return Ok(gathered);
                }
                hold.keep().await?;
                let Some((text, _)) = records.get(&entry.path).await? else { continue };
                let uses = note::parse(&text).map_err(|_| unreadable(&entry.path))?;
                lines += uses.len();
                uses.into_iter().for_each(|(key, used)| add(&mut gathered.uses, key, &used));
                gathered.paths.push(entry.path);
            }
            from = page.next;
            if from.is_none() {
                return Ok(gathered);
            }
        }
    }

    /// The parts of private content of which something is known.
    pub(super) async fn private_parts(
        &self,
        hold: &mut Hold<'_>,
    ) -> Result<HashSet<Part>, SweepError> {
        let (mut parts, mut from) = (HashSet::new(), None);
        loop {
            hold.keep().await?;
            let page = self.parts.records.list(PRIVATE, from).await?;
            parts.extend(page.entries.iter().filter_map(|entry| {
                let name = entry.path.strip_prefix(PRIVATE)?.strip_prefix('/')?;
                Some(Part::Private(name.strip_suffix("/_")?.parse::<Name>().ok()?))
            }));
            from = page.next;
            if from.is_none() {
                return Ok(parts);
            }
        }
    }

    /// Looks at all that is known of use, what this node has yet to report included. Writes nothing:
    /// who takes images away may do so because nothing can be written.
    pub(in crate::mirror) async fn known_uses(
        &self,
        mut look: impl FnMut(&Key, &Used) + Send,
    ) -> Result<(), SweepError> {
        let now = self.parts.far.now().await?;
        self.usage.told(now).iter().for_each(|(key, used)| look(key, used));
        let (mut seen, mut hold) = (HashSet::new(), Hold::default());
        loop {
            let gathered = self.gather(&seen, AT_ONCE, &mut hold).await?;
            gathered.uses.values().flatten().for_each(|(key, used)| look(key, used));
            seen.extend(gathered.paths);
            if !gathered.more {
                break;
            }
        }
        let public = (0..=u8::MAX).map(Part::Public);
        for part in public.chain(self.private_parts(&mut hold).await?) {
            let known = Known::read(&*self.parts.records, &part, HashMap::new()).await?;
            known.uses.iter().for_each(|(key, used)| look(key, used));
        }
        Ok(())
    }

    /// All that was reported and not merged yet, and what this node has yet to report. For who only
    /// looks: it is in memory at once.
    pub(super) async fn all_reported(&self) -> Result<ByPart, SweepError> {
        let (mut all, mut seen, mut hold) = (ByPart::new(), HashSet::new(), Hold::default());
        self.add_own(&mut all).await?;
        loop {
            let gathered = self.gather(&seen, AT_ONCE, &mut hold).await?;
            let uses = gathered.uses.into_values().flatten();
            uses.for_each(|(key, used)| add(&mut all, key, &used));
            seen.extend(gathered.paths);
            if !gathered.more {
                return Ok(all);
            }
        }
    }

    /// Adds what this node has yet to report.
    pub(super) async fn add_own(&self, uses: &mut ByPart) -> Result<(), StoreError> {
        let now = self.parts.far.now().await?;
        self.usage.told(now).into_iter().for_each(|(key, used)| add(uses, key, &used));
        Ok(())
    }

    /// Removes reports that were merged.
    pub(super) async fn drop_reports(
        &self,
        paths: &[String],
        hold: &mut Hold<'_>,
    ) -> Result<(), SweepError> {
        for path in paths {
            hold.keep().await?;
            self.parts.records.remove(path).await?;
        }
        Ok(())
    }
}

impl Known {
    /// What is known of a part, with what `reported` says besides.
    pub(super) async fn read(
        records: &dyn Records,
        part: &Part,
        reported: HashMap<Key, Used>,
    ) -> Result<Self, SweepError> {
        let written = records.get(&part.path()).await?;
        let mut uses = match &written {
            Some((text, _)) => note::parse(text).map_err(|_| unreadable(&part.path()))?,
            None => HashMap::new(),
        };
        for (key, used) in reported {
            uses.entry(key).or_default().merge(&used);
        }
        Ok(Self { uses, written })
    }

    /// Whether there is a record and nothing left to be written down in it.
    pub(super) fn is_needless(&self) -> bool {
        self.written.is_some() && self.uses.is_empty()
    }

    /// Writes it down if it has changed.
    ///
    /// # Errors
    /// [`SweepError::Lost`] if another wrote it meanwhile.
    pub(super) async fn write(
        mut self,
        records: &dyn Records,
        part: &Part,
    ) -> Result<(), SweepError> {
        let mut text = note::print(&self.uses);
        while text.len() > MAX_RECORD {
            tracing::warn!(part = part.path(), "so much is in use that the oldest is forgotten");
            let mut times: Vec<u64> = self.uses.values().map(|used| used.last).collect();
            times.sort_unstable();
            let middle = times.get(times.len() / 4).copied().unwrap_or_default();
            self.uses.retain(|_, used| used.last > middle);
            text = note::print(&self.uses);
        }
        let path = part.path();
        let when = match self.written {
            Some((before, _)) if before == text => return Ok(()),
            Some(_) if self.uses.is_empty() => return Ok(records.remove(&path).await?),
            Some((_, version)) => When::Is(version),
            None if self.uses.is_empty() => return Ok(()),
            None => When::Absent,
        };
        match records.put(&path, Bytes::from(text), when).await? {
            Written::Done(_) => Ok(()),
            Written::Conflict => Err(SweepError::Lost),
        }
    }
}

fn add(uses: &mut ByPart, key: Key, used: &Used) {
    uses.entry(Part::of(&key)).or_default().entry(key).or_default().merge(used);
}

fn unreadable(path: &str) -> SweepError {
    SweepError::Unreadable { path: path.to_owned() }
}
