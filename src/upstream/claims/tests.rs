use proptest::prelude::*;

use super::*;

fn name() -> Name {
    "library/alpine".parse().unwrap()
}

fn token(payload: &str) -> String {
    let payload = base64::encode(payload.as_bytes()).replace('+', "-").replace('/', "_");
    format!("e30.{payload}.c2ln")
}

#[test]
fn the_access_claim_decides() {
    let pull = r#"{"type":"repository","name":"library/alpine","actions":["pull"]}"#;
    for (payload, expected) in [
        (format!(r#"{{"access":[{pull}]}}"#), Grants::Pull),
        (format!(r#"{{"access":[{}]}}"#, pull.replace("pull", "*")), Grants::Pull),
        (format!(r#"{{"access":[{}]}}"#, pull.replace("alpine", "other")), Grants::Nothing),
        (format!(r#"{{"access":[{}]}}"#, pull.replace("\"pull\"", "")), Grants::Nothing),
        (format!(r#"{{"access":[{}]}}"#, pull.replace("repository", "registry")), Grants::Nothing),
        (r#"{"access":[]}"#.to_owned(), Grants::Nothing),
        (r#"{"access":null}"#.to_owned(), Grants::Opaque),
        (r#"{"sub":"x"}"#.to_owned(), Grants::Opaque),
        ("not json".to_owned(), Grants::Opaque),
    ] {
        assert_eq!(grants(&token(&payload), &name()), expected, "{payload}");
    }
}

#[test]
fn what_is_not_a_jwt_is_opaque() {
    for text in ["", "abc", "a.b", "a.b.c.d", "..", "a.!.c", "a.\u{fc}.c"] {
        assert_eq!(grants(text, &name()), Grants::Opaque, "`{text}`");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "\\PC*") {
        let _ = grants(&format!("a.{text}.b"), &name());
    }
}
