//! The house is built as it was drawn: every file of `src` is parsed, and what it names is held
//! against the tables of [`rules`]. Comments, strings and `cfg(test)` do not count.

mod names;
mod rules;
mod snippets;

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

/// The longest a file of `src` may be, its unit tests included.
const LINES: usize = 400;

/// One place where a file does what its room may not.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    pub rule: &'static str,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: [{}] {}", self.file, self.line, self.rule, self.message)
    }
}

/// What is wrong with one file; `file` is its path below `src`.
pub fn check(file: &str, source: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |line, rule, message| {
        found.push(Violation { file: file.to_owned(), line, rule, message });
    };
    let lines = source.lines().count();
    if lines > LINES {
        add(
            LINES + 1,
            "length",
            format!("{lines} lines, at most {LINES}; one idea a file: split it"),
        );
    }
    let parsed = match syn::parse_file(source) {
        Ok(parsed) => parsed,
        Err(error) => {
            add(error.span().start().line, "syntax", error.to_string());
            return found;
        }
    };
    if !rules::is_room(rules::room_of(file)) {
        add(1, "room", "no such room; the rooms are listed in tests/house/rules.rs".to_owned());
    }
    for named in names::of(file, &parsed) {
        for (rule, message) in rules::judge(file, &named) {
            add(named.line, rule, message);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Every `.rs` file below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                ahead.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

#[test]
fn every_file_keeps_to_its_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources: Vec<(String, String)> = files(&src)
        .into_iter()
        .map(|path| {
            let file = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
            (file, fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(sources.len() > 10, "found only {} files below {}", sources.len(), src.display());

    // A file that only a `#[cfg(test)] mod` names is a test; of the rules, its length alone counts.
    let tests: BTreeSet<String> =
        sources.iter().flat_map(|(file, source)| names::test_modules(file, source)).collect();
    let is_test = |file: &str| {
        tests
            .iter()
            .any(|test| file == format!("{test}.rs") || file.starts_with(&format!("{test}/")))
    };
    let violations: Vec<String> = sources
        .iter()
        .flat_map(|(file, source)| {
            let mut found = check(file, source);
            found.retain(|violation| violation.rule == "length" || !is_test(file));
            found
        })
        .map(|violation| violation.to_string())
        .collect();
    assert!(
        violations.is_empty(),
        "{} places break the house rules:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

#[test]
fn every_dependency_has_a_room() {
    let manifest = include_str!("../Cargo.toml");
    let mut section = "";
    let homeless: Vec<&str> = manifest
        .lines()
        .filter_map(|line| {
            if line.starts_with('[') {
                section = line.trim();
            }
            let name = line.split_once('=')?.0.trim();
            (section == "[dependencies]" && !name.starts_with('#')).then_some(name)
        })
        .filter(|name| rules::home_of(&name.replace('-', "_")).is_none())
        .collect();
    assert!(
        homeless.is_empty(),
        "these dependencies have no room; give each one in tests/house/rules.rs: {homeless:?}"
    );
}
