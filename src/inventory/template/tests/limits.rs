//! Templates at random, and those that want too much: each ends, none panics, none grows too large.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::inventory::template::{evaluate::LONGEST, filters};

const VARIABLES: &str = include_str!("../../../../tests/fixtures/templates/vars.yml");

/// Bytes of text, and one for each value.
fn weight(value: &Value) -> usize {
    1 + match value {
        Value::String(text) | Value::Timestamp(text) | Value::Sealed(text) => text.len(),
        Value::List(items) => items.iter().map(|item| weight(&item.value)).sum(),
        Value::Map(entries) => {
            entries.iter().map(|(key, item)| weight(&key.value) + weight(&item.value)).sum()
        }
        _ => 0,
    }
}

/// Renders a value that is exactly this text.
fn check(text: &str) {
    let written = serde_json::to_string(text).expect("text is JSON");
    let scope = scope(&format!("{VARIABLES}result: {written}\n"));
    if let Ok(node) = scope.render("result") {
        let weight = weight(&node.value);
        assert!(weight <= 16 << 20, "{weight} bytes of `{text}`");
        if let Value::String(text) = &node.value {
            assert!(text.len() <= LONGEST, "a text of {} bytes", text.len());
        }
    }
    scope.references("result");
}

fn atom() -> impl Strategy<Value = String> {
    let fixed = vec![
        "p",
        "n",
        "b",
        "t",
        "u",
        "l",
        "d",
        "nested",
        "cyc1",
        "date",
        "ml",
        "nope",
        "d.a",
        "l[0]",
        "d.nope.x",
        "none",
        "true",
        "'a,b'",
        "'x' * 9999",
        "range(9999)",
        "[1, [2, [3]]]",
        "{'a': 1}",
        "(1, 2)",
        "''",
        "omit",
        "9223372036854775807",
        "-1",
        "1.5",
        "1e300",
        "'é\\n'",
        "'(a|b)*c'",
        "'%s%999d'",
        "'{:99999}'",
        "hostvars",
        "groups",
        "lookup('env', 'TPL_A')",
        "lookup('vars', 'p')",
        "[range(99)]",
        "namespace(a=1)",
    ];
    prop_oneof![4 => select(fixed).prop_map(str::to_owned), 1 => any::<i64>().prop_map(|n| n.to_string()),
                1 => "[a-z(){}\\[\\]|.*+?\\\\]{0,6}".prop_map(|text| format!("'{text}'"))]
}

fn arguments() -> impl Strategy<Value = String> {
    let names = vec![
        "",
        "attribute=",
        "default=",
        "indent=",
        "count=",
        "width=",
        "recursive=",
        "reverse=",
        "base=",
    ];
    let argument = (select(names), atom()).prop_map(|(name, value)| format!("{name}{value}"));
    vec(argument, 0..4).prop_map(|all| all.join(", "))
}

fn filter() -> impl Strategy<Value = String> {
    (select(filters::KNOWN.to_vec()), arguments())
        .prop_map(|(name, given)| format!("{name}({given})"))
}

fn expression() -> impl Strategy<Value = String> {
    let methods = vec![
        "split", "replace", "format", "join", "zfill", "center", "get", "items", "title", "rsplit",
    ];
    let operators =
        vec!["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or", "is not"];
    atom().prop_recursive(5, 24, 3, move |inner| {
        prop_oneof![
            4 => (inner.clone(), filter()).prop_map(|(of, filter)| format!("{of} | {filter}")),
            2 => (inner.clone(), select(filters::KNOWN.to_vec()), arguments())
                .prop_map(|(of, name, given)| format!("{of} | map('{name}', {given}) | list")),
            1 => (inner.clone(), select(filters::TESTS.to_vec()), arguments())
                .prop_map(|(of, name, given)| format!("{of} is {name}({given})")),
            1 => (inner.clone(), select(filters::TESTS.to_vec()), arguments())
                .prop_map(|(of, name, given)| format!("{of} | selectattr('a', '{name}', {given})")),
            2 => (inner.clone(), select(methods.clone()), arguments())
                .prop_map(|(of, name, given)| format!("({of}).{name}({given})")),
            2 => (inner.clone(), select(operators.clone()), inner.clone())
                .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("({a})[{b}]")),
        ]
    })
}

fn template() -> impl Strategy<Value = String> {
    let statement = prop_oneof![
        Just("{% for x in %E %}{{ x }}{{ %E }}{% endfor %}".to_owned()),
        Just("{% set x = %E %}{{ x ~ x }}{{ %E }}".to_owned()),
        Just("{% macro m(a) %}{{ m(a) }}{% endmacro %}{{ m(%E) }}{{ %E }}".to_owned()),
        Just("{% for x in %E %}{% for y in %E %}{{ y }}{% endfor %}{% endfor %}".to_owned()),
        Just(
            concat!(
                "{% set s = namespace(t=%E) %}{% for x in range(9999) %}{% set s.t = [s.t, s.t] %}",
                "{% endfor %}{{ s.t }}{{ %E }}"
            )
            .to_owned()
        ),
        Just("{{ %E }}".to_owned()),
        Just("x<< %E >>{{ %E }}".to_owned()),
    ];
    (statement, expression(), expression())
        .prop_map(|(text, first, second)| text.replacen("%E", &first, 1).replacen("%E", &second, 1))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("TEMPLATE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn templates_of_the_grammar_end_within_their_limits(text in template()) {
        check(&text);
    }

    #[test]
    fn any_text_ends_within_its_limits(text in "([{}%#<> |'\"a-z0-9.()\\[\\]~\\\\-]|\\PC){0,60}") {
        check(&text);
    }
}

#[test]
fn what_wants_too_much_is_refused() {
    for expression in [
        "'x' | center(9999999)",
        "'x'.ljust(999999999)",
        "'{:999999999}'.format(1)",
        "'%999999999d' | format(1)",
        "'a' | indent(9999999)",
        "('ab' * 400000) | replace('a', 'x' * 9999)",
        "('ab' * 400000).replace('a', 'x' * 9999)",
        "('a' * 40 ~ 'b') | regex_search('^(?:(a+)\\1?)+$')",
        "('a' * 9999) | regex_replace('a', 'x' * 9999)",
        "range(99999) | list | difference(range(99999) | list)",
        "range(20000) | map('string') | map('replace', '', 'x' * 9999) | list",
        "range(99999) | map('regex_replace', '$', 'x' * 99999) | list",
        "lookup('env', *range(101))",
    ] {
        let written = serde_json::to_string(&format!("{{{{ {expression} }}}}")).expect("JSON");
        let scope = scope(&format!("{VARIABLES}result: {written}\n"));
        assert!(scope.render("result").is_err(), "`{expression}` is rendered");
    }
}

/// Each would take more stack than there is.
#[test]
fn what_nests_too_deep_is_refused_or_survived() {
    let loops =
        "{% set s = namespace(t=1) %}{% for x in range(99999) %}{% set s.t = %E %}{% endfor %}";
    for text in [
        loops.replace("%E", "[s.t, s.t]") + "{{ s.t }}",
        loops.replace("%E", "{'a': s.t}") + "{{ nope }}",
        loops.replace("%E", "[s.t]") + "{{ s.t == s.t }}x",
        "{% macro m(a) %}{{ m([a]) }}{% endmacro %}{{ m(1) }}".to_owned(),
        "{% macro m() %}{% call m() %}x{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}"
            .to_owned(),
        "{% for x in l recursive %}{{ loop(l) }}{% endfor %}".to_owned(),
        format!("{{% set x = 1 %}}{}{{{{ x }}}}", "{% set x = [x] %}".repeat(30000)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(30000)),
        format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(490)),
        format!("{}{}", "{% if 1 %}".repeat(245), "{% endif %}".repeat(245)),
        format!("{{{{ {}1{} }}}}", "(".repeat(30000), ")".repeat(30000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(290), "]".repeat(290)),
        format!("{{{{ {}1{} }}}}", "{1:".repeat(290), "}".repeat(290)),
    ] {
        check(&text);
    }
    for operator in ["not ", "-", "1+", "1 if 1 else ", "1 and ", "'a'~", "1 == "] {
        check(&format!("{{{{ {}1 }}}}", operator.repeat(295)));
        check(&format!("{{{{ {}1 }}}}", operator.repeat(30000)));
    }
    for operator in ["|string", ".a", "[0]", "()", " is odd", "|d(1)"] {
        check(&format!("{{{{ l{} }}}}", operator.repeat(140)));
        check(&format!("{{{{ l{} }}}}", operator.repeat(30000)));
    }
}
