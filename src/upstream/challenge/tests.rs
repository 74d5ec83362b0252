use proptest::prelude::*;

use super::*;

#[test]
fn the_hubs_challenge() {
    let text = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
    let [challenge] = &parse(text)[..] else { panic!("not one challenge") };
    assert_eq!(challenge.scheme, "bearer");
    assert_eq!(challenge.parameter("realm"), Some("https://auth.docker.io/token"));
    assert_eq!(challenge.parameter("service"), Some("registry.docker.io"));
    assert_eq!(challenge.parameter("scope"), Some("repository:library/alpine:pull"));
    assert_eq!(challenge.parameter("error"), None);
}

#[test]
fn several_challenges_quotes_and_odd_spaces() {
    let text = r#"Negotiate, BEARER Realm = "a, \"b\" = c" , service=plain,Basic realm="x""#;
    let challenges = parse(text);
    let schemes: Vec<_> = challenges.iter().map(|c| c.scheme.as_str()).collect();
    assert_eq!(schemes, ["negotiate", "bearer", "basic"]);
    assert_eq!(challenges[1].parameter("realm"), Some("a, \"b\" = c"));
    assert_eq!(challenges[1].parameter("service"), Some("plain"));
    assert_eq!(challenges[2].parameter("realm"), Some("x"));
}

#[test]
fn what_is_malformed_is_passed_over() {
    assert_eq!(parse(""), []);
    assert_eq!(parse("= , ="), []);
    assert_eq!(parse("realm=\"x\""), [], "a parameter without a scheme");
    assert_eq!(parse("Bearer realm=\"never ends")[0].parameter("realm"), Some("never ends"));
    assert_eq!(parse("Bearer realm=\"x\\")[0].parameter("realm"), Some("x"));
    let challenges = parse("Negotiate abc==, Basic realm=x");
    assert_eq!((&*challenges[1].scheme, challenges[1].parameter("realm")), ("basic", Some("x")));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_or_loop(text in "\\PC*", odd in "[A-Za-z=,\" \\\\/ü]{0,60}") {
        for text in [text, odd] {
            let challenges = parse(&text);
            prop_assert!(challenges.len() <= text.len());
        }
    }
}
