//! Listing private content, whose repositories are known by nothing but their directories.

use std::path::Path;

use super::{
    PAGE,
    content::{Content, about, digest},
    disk,
    failure::During as _,
};
use crate::{
    oci::{Algorithm, Name},
    store::{Area, Key, Listed, Page, StoreError},
};

/// Where a repository's name ends and its content begins.
const END_OF_NAME: &str = "_";

/// A walk in the order of the paths.
struct Walk<'a> {
    /// The last path of the page before, without what is above it.
    from: Vec<&'a str>,
    entries: Vec<Listed>,
    /// The path of the last entry, where there are more.
    next: Option<String>,
    last: String,
}

impl Content {
    /// One page of what lies in `private/`. A cursor is the last path, so that what comes and goes
    /// between two pages moves nothing else.
    pub(super) fn list_private(&self, from: Option<&str>) -> Result<Page<Listed>, StoreError> {
        let from = from.map(|path| path.split('/').collect()).unwrap_or_default();
        let mut walk = Walk { from, entries: Vec::new(), next: None, last: String::new() };
        walk.below(&self.private(), &mut Vec::new(), true)?;
        Ok(Page { entries: walk.entries, next: walk.next })
    }
}

impl Walk<'_> {
    /// Walks a directory whose path is `path`. `on_the_way`: the cursor lies below it.
    fn below(
        &mut self,
        directory: &Path,
        path: &mut Vec<String>,
        on_the_way: bool,
    ) -> Result<(), StoreError> {
        let reached = self.from.get(path.len()).copied().filter(|_| on_the_way).unwrap_or_default();
        let reached = reached.to_owned();
        for name in disk::names(directory).during("list")? {
            if self.next.is_some() {
                return Ok(());
            }
            if name < reached {
                continue;
            }
            let on_the_way = on_the_way && name == reached;
            let there = directory.join(&name);
            path.push(name);
            match entry(path) {
                Some(key) if !on_the_way => self.take(key, &there, path)?,
                Some(_) => {}
                None if there.is_dir() => self.below(&there, path, on_the_way)?,
                None => {}
            }
            path.pop();
        }
        Ok(())
    }

    fn take(&mut self, key: Key, file: &Path, path: &[String]) -> Result<(), StoreError> {
        let (size, stored) = match about(file) {
            Ok(about) => about,
            Err(error) if disk::is_missing(&error) => return Ok(()),
            Err(error) => return Err(error).during("stat"),
        };
        if self.entries.len() == PAGE {
            self.next = Some(std::mem::take(&mut self.last));
            return Ok(());
        }
        self.last = path.join("/");
        self.entries.push(Listed { key, size, stored });
        Ok(())
    }
}

/// What a file is kept under: `<name>/_/<algorithm>/ab/cd/<hex>`.
fn entry(path: &[String]) -> Option<Key> {
    let [name @ .., end, algorithm, _, _, hex] = path else { return None };
    if end != END_OF_NAME {
        return None;
    }
    let name: Name = name.join("/").parse().ok()?;
    let algorithm =
        [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|a| a.as_str() == algorithm)?;
    Some(Key { area: Area::Private(name), digest: digest(algorithm, hex)? })
}
