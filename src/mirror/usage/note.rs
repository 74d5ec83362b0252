//! The use of content as it is written down: a line each.
//!
//! ```text
//! registry-mirror use 1
//! 1800000000 sha256:ab… library/alpine library/alpine-node
//! 1800000000 acme/app@sha256:cd…
//! ```
//!
//! The second since 1970 of the last use by the store's clock, the digest, and of a manifest the
//! repositories that it was served for. Private content has its repository in front.

use std::{collections::HashMap, fmt::Write as _};

use crate::{
    oci::Name,
    store::{Area, Key},
};

/// The first line. Another number would mean another form.
const HEADER: &str = "registry-mirror use 1\n";

/// How many repositories of one manifest are told apart.
const REPOSITORIES: usize = 16;

/// The use of one content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The second since 1970 of its last use.
    pub last: u64,
    /// If it is a manifest, the repositories that it was served for, in order; 16 at most.
    pub repositories: Vec<Name>,
}

impl Used {
    /// Takes in what is known of the same content besides. The order of merging does not matter,
    /// nor does it matter if something is merged twice.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.last = self.last.max(other.last);
        merge_names(&mut self.repositories, &other.repositories);
    }

    /// Whether it was served as a manifest.
    pub fn is_manifest(&self) -> bool {
        !self.repositories.is_empty()
    }
}

/// Adds `others` to `names`, which stay in order and within their bound.
pub(crate) fn merge_names(names: &mut Vec<Name>, others: &[Name]) {
    for name in others {
        if let Err(place) = names.binary_search(name) {
            names.insert(place, name.clone());
        }
    }
    names.truncate(REPOSITORIES);
}

/// What was written down is of a form that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// As text; the same content is the same text.
pub(crate) fn print<'a>(uses: impl IntoIterator<Item = (&'a Key, &'a Used)>) -> String {
    let mut lines: Vec<String> = uses.into_iter().map(|(key, used)| line(key, used)).collect();
    lines.sort_unstable();
    let mut text = String::from(HEADER);
    lines.iter().for_each(|line| text.push_str(line));
    text
}

fn line(key: &Key, used: &Used) -> String {
    let mut line = format!("{:010} ", used.last);
    if let Area::Private(name) = &key.area {
        line.push_str(name.as_str());
        line.push('@');
    }
    // Writing to a String cannot fail.
    let _ = write!(line, "{}", key.digest);
    for repository in &used.repositories {
        line.push(' ');
        line.push_str(repository.as_str());
    }
    line.push('\n');
    line
}

/// What a text says; nothing for an empty one.
///
/// # Errors
/// It is of another form.
pub(crate) fn parse(text: &[u8]) -> Result<HashMap<Key, Used>, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable)?;
    if text.is_empty() {
        return Ok(HashMap::new());
    }
    let lines = text.strip_prefix(HEADER).ok_or(Unreadable)?.lines();
    lines.map(|line| entry(line).ok_or(Unreadable)).collect()
}

fn entry(line: &str) -> Option<(Key, Used)> {
    let mut words = line.split(' ');
    let last = words.next()?.parse().ok()?;
    let content = words.next()?;
    let (area, digest) = match content.rsplit_once('@') {
        Some((name, digest)) => (Area::Private(name.parse().ok()?), digest),
        None => (Area::Public, content),
    };
    let repositories = words.map(|word| word.parse().ok()).collect::<Option<Vec<Name>>>()?;
    let mut used = Used::default();
    used.merge(&Used { last, repositories });
    Some((Key { area, digest: digest.parse().ok()? }, used))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Algorithm, Digest};

    fn key(area: Area, text: &[u8]) -> Key {
        Key { area, digest: Digest::of(Algorithm::Sha512, text) }
    }

    #[test]
    fn what_was_written_is_read() {
        let app: Name = "library/app".parse().unwrap();
        let private = Area::Private("acme/app".parse().unwrap());
        let uses = HashMap::from([
            (key(Area::Public, b"a"), Used { last: 5, repositories: vec![app.clone()] }),
            (key(Area::Public, b"b"), Used { last: u64::MAX, repositories: Vec::new() }),
            (key(private, b"a"), Used { last: 7, repositories: Vec::new() }),
        ]);
        let text = print(&uses);
        assert_eq!(parse(text.as_bytes()), Ok(uses.clone()));
        assert_eq!(parse(b""), Ok(HashMap::new()));
        assert_eq!(parse(print(&HashMap::new()).as_bytes()), Ok(HashMap::new()));
        for bad in ["registry-mirror use 2\n", "x", "registry-mirror use 1\n1 x\n"] {
            assert_eq!(parse(bad.as_bytes()), Err(Unreadable), "{bad}");
        }
        assert_eq!(parse(&text.as_bytes()[..text.len() - 10]), Err(Unreadable), "half a line");
    }

    #[test]
    fn merging_keeps_the_latest_and_every_repository_up_to_a_bound() {
        let mut used = Used::default();
        for number in (0..40_u64).rev() {
            let repositories = vec![format!("library/{number:02}").parse().unwrap()];
            used.merge(&Used { last: 40 - number, repositories });
        }
        assert_eq!(used.last, 40);
        assert_eq!(used.repositories.len(), REPOSITORIES);
        let twice = used.clone();
        used.merge(&twice);
        assert_eq!(used, twice);
    }
}
