//! A thousand expressions beside what real ansible-core made of them (tests/fixtures/templates).

use super::*;

const VARIABLES: &str = include_str!("../../../../tests/fixtures/templates/vars.yml");

/// An expression, what Ansible makes of it, and what we do if that is something else. `!` is a
/// refusal.
struct Case<'a> {
    expression: &'a str,
    theirs: &'a str,
    ours: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in text.lines() {
        let Some(result) = line.strip_prefix("    ") else {
            cases.push(Case { expression: line, theirs: "", ours: "" });
            continue;
        };
        let case = cases.last_mut().expect("an expression stands above its result");
        match result.split_at(result.len().min(2)) {
            ("~ ", ours) => case.ours = ours,
            ("= ", both) => (case.theirs, case.ours) = (both, both),
            ("!", "") => (case.theirs, case.ours) = ("!", "!"),
            _ => panic!("`{line}` is no result"),
        }
    }
    cases
}

fn compare(text: &str) {
    let cases = cases(text);
    assert!(cases.len() > 5, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for Case { expression, theirs, ours } in cases {
        assert!(!theirs.is_empty(), "`{expression}` has no result");
        let written = serde_json::to_string(expression).expect("text is JSON");
        let result = rendered(&scope(&format!("{VARIABLES}result: {written}\n")), "result");
        let result = if result.starts_with("! ") { "!" } else { result.as_str() };
        if result != ours {
            wrong.push(format!("{expression}\n  yields   {result}\n  expected {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{} expressions differ:\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! topics {
    ($($topic:ident)*) => {
        $(
            #[test]
            fn $topic() {
                compare(include_str!(concat!(
                    "../../../../tests/fixtures/templates/",
                    stringify!($topic),
                    ".txt"
                )));
            }
        )*
    };
}

topics! { kinds undefined numbers text regex json collections tests methods statements lookups variables corners }
