//! What the documentation claims is shown by a test that exists.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::run::repository;

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(repository().join("docs/semantics.md")).unwrap();
    let known: BTreeSet<String> = tests(&repository().join("tests"), "").into_iter().collect();
    let parts = fs::read_to_string(repository().join("tests/e2e/run")).unwrap();
    let mut promises = 0;
    for promise in text.split("\n## ").skip(1) {
        promises += 1;
        let title = promise.lines().next().unwrap_or_default();
        let named: Vec<&str> = promise
            .lines()
            .filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'))
            .collect();
        assert!(!named.is_empty() || promise.contains("test: later"), "`{title}` names no test");
        for name in named {
            let exists = known.contains(name) || parts.contains(&format!("\"{name}\""));
            assert!(exists, "`{title}` names `{name}`, which is no test");
        }
    }
    assert_eq!(promises, 15);
}

#[test]
fn every_case_of_ansible_names_tests_that_exist() {
    let text = fs::read_to_string(repository().join("docs/ansible.md")).unwrap();
    let mut known: BTreeSet<String> = tests(&repository().join("tests"), "").into_iter().collect();
    known.extend(tests(&repository().join("src"), ""));
    let parts = fs::read_to_string(repository().join("tests/e2e/run")).unwrap();
    let mut cases = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case")) {
        cases += 1;
        assert!(
            row.starts_with(&format!("| {cases} |")),
            "case {cases} is not where it belongs: {row}"
        );
        let named = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let named: Vec<&str> = named.split('`').filter(|name| !name.trim().is_empty()).collect();
        assert!(!named.is_empty(), "case {cases} names no test");
        for name in named {
            let exists = known.contains(name) || parts.contains(&format!("\"{name}\""));
            assert!(exists, "case {cases} names `{name}`, which is no test");
        }
    }
    assert_eq!(cases, 17);
}

/// The names of the tests below a directory, as `cargo test` prints them.
fn tests(directory: &Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = format!("{prefix}{stem}::");
        if path.is_dir() {
            found.extend(tests(&path, &module));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.lines().filter_map(|line| {
                let line = line.trim_start();
                let line = line.strip_prefix("async ").unwrap_or(line);
                Some(line.strip_prefix("fn ")?.split('(').next()?.to_owned())
            });
            found.extend(names.map(|name| format!("{module}{name}")));
        }
    }
    found
}
