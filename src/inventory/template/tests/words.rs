//! What is said of templates that fail, and what is known of those that were not tried.

use super::*;

fn said(written: &str) -> crate::diagnostic::Diagnostic {
    let scope = scope(&format!("{VARIABLES}k: {written}\n"));
    let mut failures = scope.render("k").expect_err(written);
    failures.remove(0).diagnostic
}

#[test]
fn what_is_not_known_is_named_with_what_to_use_instead() {
    for (written, message, hint) in [
        (
            "{{ 'a' | regex_replac('a') }}",
            "the filter `regex_replac` is not known",
            "did you mean `regex_replace`?",
        ),
        (
            "{{ 'a' | ansible.utils.ipaddr }}",
            "the filter `ansible.utils.ipaddr` is not known",
            "ansible.utils is not here",
        ),
        (
            "{{ d | community.general.json_query('x') }}",
            "the filter `community.general.json_query` is not known",
            "`selectattr`",
        ),
        ("{{ d | to_nice_yaml }}", "the filter `to_nice_yaml` is not known", "JSON is YAML"),
        ("{{ [1] | random }}", "the filter `random` is not known", "change with every reading"),
        ("{{ 'a' is matc('a') }}", "the test `matc` is not known", "did you mean `match`?"),
        ("{{ '/x' is exists }}", "the test `exists` is not known", "file system"),
        ("{{ d is failed }}", "the test `failed` is not known", "no tasks"),
        (
            "{{ lookup('amazon.aws.aws_secret', 'x') }}",
            "the lookup `amazon.aws.aws_secret` is not known",
            "lookup('env'",
        ),
        (
            "{{ lookup('aws_ssm', 'x') }}",
            "the lookup `aws_ssm` is not known",
            "credential of systemd",
        ),
        ("{{ lookup('pipe', 'x') }}", "the lookup `pipe` is not known", "runs and fetches nothing"),
        (
            "{{ query('nothing', 'x') }}",
            "the lookup `nothing` is not known",
            "`env`, `file`, `vars` and `dict`",
        ),
        ("{{ now() }}", "the function `now` is not known", "change with every reading"),
        (
            "{{ ansible_default_ipv4.address }}",
            "`ansible_default_ipv4` is not set, needed by `k`",
            "facts",
        ),
    ] {
        let found = said(&serde_json::to_string(written).expect("text is JSON"));
        assert_eq!(found.message, message, "of `{written}`");
        let told = found.hint.clone().unwrap_or_default();
        assert!(told.contains(hint), "of `{written}`: {told}");
        assert_eq!(found.place.as_ref().map(|place| place.line), Some(13), "of `{written}`");
    }
}

#[test]
fn the_author_has_a_say_in_what_is_missing() {
    for (written, label) in [
        ("{{ nope | mandatory('set it per site') }}", "set it per site"),
        ("{{ nope | mandatory(msg=\"set it\") }}", "set it"),
        ("{{ undef(hint='set it per site') }}", "set it per site"),
        ("{{ undef('set it') }}", "set it"),
        ("{{ nope | mandatory(prefix) }}", "needed here"),
        ("{{ nope | mandatory('a' ~ prefix) }}", "needed here"),
    ] {
        let found = said(&serde_json::to_string(written).expect("text is JSON"));
        assert_eq!(found.label.as_deref(), Some(label), "of `{written}`");
    }
}

#[test]
fn elements_whose_names_look_alike_are_told_apart() {
    let scope = scope(concat!(
        "d: {x.y: \"{{ 1 }}\", x: {y: \"{{ 2 }}\"}, 'x y': \"{{ d['x y'] }}\", 1: \"{{ d[1] }}\", '1': \"{{ 3 }}\"}\n",
        "k: \"{{ [d['x.y'], d.x.y, d['1']] }}\"\nl: \"{{ d[1] }}\"\n",
    ));
    assert_eq!(rendered(&scope, "k"), "[1, 2, 3]");
    assert_eq!(rendered(&scope, "l"), "! `d[1]` needs itself: d[1] -> d[1]");
    let failures = scope.render("d").expect_err("two circles");
    let said: Vec<_> = failures.iter().map(|failure| &*failure.diagnostic.message).collect();
    let expected = [
        "`d[\"x y\"]` needs itself: d[\"x y\"] -> d[\"x y\"]",
        "`d[1]` needs itself: d[1] -> d[1]",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_omitted_is_left_out() {
    let scope = scope(concat!(
        "d: {a: \"{{ nope | default(omit) }}\", b: 1, c: [\"{{ omit }}\", 2]}\n",
        "k: \"{{ d }}\"\nl: \"{{ [omit, d.b] }}\"\nm: \"{{ omit }}\"\nn: \"x{{ omit }}\"\n",
    ));
    for (name, expected) in [
        ("d", "{\"b\": 1, \"c\": [2]}"),
        ("k", "{\"b\": 1, \"c\": [2]}"),
        ("l", "[1]"),
        ("m", "null"),
        ("n", "\"x\""),
    ] {
        assert_eq!(rendered(&scope, name), expected, "of `{name}`");
    }
}

#[test]
fn references_are_what_stands_in_the_templates() {
    let scope = scope(concat!(
        "a: \"{{ b }}-<< c >>-{{ 'd' }} e\"\n",
        "b: [\"{{ x if y else z.w }}\", {k: \"{{ lookup('vars', 'v', \\\"u\\\") }}\"}]\n",
        "c: \"{% for i in rows %}{{ i }}{{ loop.index }}{% endfor %}\"\n",
        "d: \"{{ range(n) | map('extract', hostvars) | list }}\"\n",
        "e: !unsafe \"{{ b }}\"\nf: plain\ng: \"{{ broken\"\n",
        "h: \"{{ 'a\\\\.b' | regex_replace('\\\\.', q2) }}\"\n",
    ));
    for (name, expected) in [
        ("a", vec!["b", "c"]),
        ("b", vec!["u", "v", "x", "y", "z"]),
        ("c", vec!["rows"]),
        ("d", vec!["hostvars", "n"]),
        ("e", vec![]),
        ("f", vec![]),
        ("g", vec![]),
        ("h", vec!["q2"]),
        ("absent", vec![]),
    ] {
        let found = scope.references(name);
        assert_eq!(found.iter().map(|name| &**name).collect::<Vec<_>>(), expected, "of `{name}`");
    }
}
