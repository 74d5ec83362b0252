use super::*;

mod ansible;
mod hosts;
mod limits;
mod words;

use crate::{
    diagnostic::Report,
    inventory::{Request, Source, Value, parse, variables},
};

/// Variables of these names may be shown in messages.
fn shown(name: &str) -> bool {
    name.starts_with("shown")
}

/// As if it were written in a file beside those of the fixtures.
fn scope(text: &str) -> Scope {
    let mut report = Report::new();
    let node = parse(&Source::file("tests/fixtures/templates/written.yml", text), &mut report);
    let node = node.unwrap_or_else(|| panic!("{text}: {report:?}"));
    let entries = variables(node, &mut report);
    let variables = entries.into_iter().map(|entry| (entry.name, entry.node)).collect();
    let environment = [("TPL_A", "found"), ("TPL_B", "two"), ("TPL_T", "{{ p }}")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment = Arc::new(BTreeMap::from(environment));
    let request = Request { shown, environment, ..Request::default() };
    let around = Surroundings {
        inventory: Arc::new(Inventory::read(&request, &mut Report::new())),
        host: "rm1.example".into(),
        groups: vec!["registry_mirror".to_owned()],
        join: Arc::new(|_| BTreeMap::new()),
    };
    Scope::new(variables, around)
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::String(s) => format!("{s:?}"),
        Value::Timestamp(s) => s.to_string(),
        Value::Sealed(_) => "sealed".into(),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|i| show(&i.value)).collect::<Vec<_>>().join(", "))
        }
        Value::Map(entries) => {
            let entry = |(k, v): &(Node, Node)| format!("{}: {}", show(&k.value), show(&v.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn rendered(scope: &Scope, name: &str) -> String {
    match scope.render(name) {
        Ok(node) => show(&node.value),
        Err(failures) => {
            let said: Vec<_> = failures.iter().map(|f| f.diagnostic.message.clone()).collect();
            format!("! {}", said.join("; "))
        }
    }
}

const VARIABLES: &str = r#"
prefix: acme
port: 5000
flag: true
nothing: null
empty: ""
list: [1, two]
d: {x: 1, y: "{{ prefix }}", broken: "{{ nope }}"}
gop: << prefix >>-store
bucket: "{{ gop }}-mirror"
raw: !unsafe "{{ prefix }}"
sneaky: !unsafe "<< prefix >>"
"#;

/// The value of one more variable beside those.
fn value(written: &str) -> String {
    rendered(&scope(&format!("{VARIABLES}k: {written}\n")), "k")
}

/// As ansible-core 2.19 and 2.21 have it.
#[test]
fn a_lone_expression_keeps_its_type_and_anything_else_is_text() {
    for (written, expected) in [
        ("\"{{ 'true' }}\"", "\"true\""),
        ("\"{{ true }}\"", "true"),
        ("\"{{ '5' }}\"", "\"5\""),
        ("\"{{ 5 }}\"", "5"),
        ("\"{{ 5 }}0\"", "\"50\""),
        ("\" {{ 5 }} \"", "\" 5 \""),
        ("\"{{ none }}\"", "null"),
        ("\"{% if true %}5{% endif %}\"", "\"5\""),
        ("'{\"a\": {{ 1 }}}'", "\"{\\\"a\\\": 1}\""),
        ("\"[{{ 1 }}, 2]\"", "\"[1, 2]\""),
        ("\"['a', 'b']\"", "\"['a', 'b']\""),
        ("\"{{ prefix }}\\n\"", "\"acme\\n\""),
        ("\"{{ flag }}!\"", "\"True!\""),
        ("\"x{{ nothing }}y\"", "\"xy\""),
        ("<< port >>", "5000"),
        ("<< port + 1 >>", "5001"),
        ("<< flag >>-x", "\"True-x\""),
        ("\"{{ list }}\"", "[1, \"two\"]"),
        ("\"{{ list[1] }}{{ d.x }}\"", "\"two1\""),
        ("\"{{ d.y }}\"", "\"acme\""),
        ("\"{{ 2.10 }}\"", "2.1"),
        ("\"{{ inventory_hostname }} {{ inventory_hostname_short }}\"", "\"rm1.example rm1\""),
        ("\"{{ 'registry_mirror' in group_names }}\"", "true"),
        ("\"{{ bucket }}\"", "\"acme-store-mirror\""),
        ("[\"{{ prefix }}\", {a: << port >>}]", "[\"acme\", {\"a\": 5000}]"),
        ("!unsafe \"{{ prefix }}\"", "\"{{ prefix }}\""),
        ("\"cat <<EOF\"", "\"cat <<EOF\""),
    ] {
        assert_eq!(value(written), expected, "of `{written}`");
    }
}

#[test]
fn filters_have_the_results_of_ansible() {
    for (expression, expected) in [
        ("'YES' | bool", "true"),
        ("'t' | bool", "false"),
        ("2 | bool", "false"),
        ("1 | bool", "true"),
        ("'no' | bool", "false"),
        ("none | bool", "false"),
        ("'' | bool", "false"),
        ("'abc' | int", "0"),
        ("'0x1f' | int", "0"),
        ("3.9 | int", "3"),
        ("'3.9' | int", "3"),
        ("'0x1f' | int(base=16)", "31"),
        ("'abc' | int(7)", "7"),
        ("true | int", "1"),
        ("'-5' | int", "-5"),
        ("' 1_000 ' | int", "1000"),
        ("none | int", "0"),
        ("'' | default('d')", "\"\""),
        ("'' | default('d', true)", "\"d\""),
        ("nope | default('d')", "\"d\""),
        ("nope | d(5)", "5"),
        ("nope.x.y | default(1)", "1"),
        ("d.missing.deeper | default(7)", "7"),
        ("d.broken | default('b')", "\"b\""),
        ("nope | default(boolean=true, default_value='n')", "\"n\""),
        ("nope is defined", "false"),
        ("prefix is defined", "true"),
        ("d.broken is defined", "false"),
        ("flag | ternary('a', 'b')", "\"a\""),
        ("none | ternary('a', 'b', 'c')", "\"c\""),
        ("0 | ternary('a', 'b')", "\"b\""),
        ("prefix | mandatory", "\"acme\""),
        ("prefix | upper | replace('C', 'k') | trim", "\"AkME\""),
        ("'X' | lower", "\"x\""),
        ("prefix | ansible.builtin.bool", "false"),
        ("list | length", "2"),
        ("list | join('-')", "\"1-two\""),
        ("prefix if flag else nope", "\"acme\""),
        ("list | first", "1"),
    ] {
        assert_eq!(value(&format!("\"{{{{ {expression} }}}}\"")), expected, "of `{expression}`");
    }
}

#[test]
fn results_are_never_templates_again() {
    assert_eq!(value("\"{{ raw }}\""), "\"{{ prefix }}\"");
    assert_eq!(value("<< sneaky >>"), "\"<< prefix >>\"");
    assert_eq!(value("\"{{ '{{' }} prefix {{ '}}' }}\""), "\"{{ prefix }}\"");
    assert_eq!(value("\"{{ '<< ' ~ 'prefix >>' }}\""), "\"<< prefix >>\"");
    let node = scope("a: \"{{ 'x' }}\"\nb: x\n").render("a").expect("renders");
    assert!(!node.template && node.rendered && node.origin.line() == 1);
}

#[test]
fn a_missing_variable_is_named_with_everyone_who_needs_it() {
    let scope = scope("shown_bucket: << gop >>-mirror\ngop: << prefix >>\n");
    let failures = scope.render("shown_bucket").expect_err("prefix is missing");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].cause, Cause::Missing("prefix".into()));
    assert_eq!(failures[0].chain, ["shown_bucket".into(), "gop".into()] as [Arc<str>; 2]);
    let said = &failures[0].diagnostic;
    assert_eq!(said.message, "`prefix` is not set, needed by `gop`, needed by `shown_bucket`");
    let place = said.place.as_ref().expect("in gop");
    assert_eq!((place.line, place.column, place.text.as_deref()), (2, 9, Some("gop: ********")));
    let absent = scope.render("nowhere").expect_err("not there");
    assert_eq!(absent[0].cause, Cause::Missing("nowhere".into()));
    assert!(absent[0].chain.is_empty());
}

#[test]
fn every_missing_variable_is_reported() {
    for (written, expected) in [
        ("<< one >>-<< two >>", vec!["one", "two"]),
        ("\"{{ one ~ two }}\"", vec!["one", "two"]),
        ("[\"{{ one }}\", {x: << two >>}]", vec!["one", "two"]),
        ("\"{{ one | upper }}\"", vec!["one"]),
        ("\"{{ one == 1 }}\"", vec!["one"]),
        ("\"{{ [one] }}\"", vec!["one"]),
        ("\"{{ one if two else 3 }}\"", vec!["two"]),
        ("\"{{ two ~ (one | default(1)) }}\"", vec!["two"]),
        ("\"{{ one.x }}\"", vec!["one"]),
        ("\"{{ one | mandatory }}\"", vec!["one"]),
        ("\"{% if one %}x{% endif %}\"", vec!["one"]),
        ("\"{{ lookup('nolookup', 'HOME') }}\"", vec![]),
    ] {
        let scope = scope(&format!("shown: {written}\n"));
        let failures = scope.render("shown").expect_err(written);
        let mut missing: Vec<_> = failures
            .iter()
            .filter_map(|f| match &f.cause {
                Cause::Missing(name) => Some(&**name),
                _ => None,
            })
            .collect();
        missing.sort_unstable();
        assert_eq!(missing, expected, "of `{written}`: {failures:?}");
    }
}

#[test]
fn the_caret_stands_under_the_name() {
    for (line, column, width) in [
        ("shown: \"x-{{ nope }}\"", 14, 4),
        ("shown: << nope >>-x", 11, 4),
        ("shown: 'ü {{ nope | upper }}'", 14, 4),
        ("shown: '{{ nope }}{{ nope }}'", 12, 4),
        ("shown: '{{ a | nofilter }}'", 16, 8),
    ] {
        let failures = scope(&format!("{line}\na: x\n")).render("shown").expect_err(line);
        let place = failures[0].diagnostic.place.clone().expect("a place");
        assert_eq!((place.line, place.column, place.width), (1, column, width), "of `{line}`");
        assert_eq!(place.text.as_deref(), Some(line));
        assert_eq!(place.caret + 1, column);
    }
}

#[test]
fn circles_are_printed() {
    let circle =
        scope("a: << b >>\nb: \"{{ c }}\"\nc: << a >>\nself: << self >>\nd: {x: << d.x >>}\n");
    assert_eq!(rendered(&circle, "a"), "! `a` needs itself: a -> b -> c -> a");
    assert_eq!(rendered(&circle, "self"), "! `self` needs itself: self -> self");
    assert_eq!(rendered(&circle, "d"), "! `d.x` needs itself: d.x -> d.x");
    let failures = circle.render("b").expect_err("part of the circle");
    assert!(matches!(failures[0].cause, Cause::Cycle(_)));
    let harmless = scope("d: {x: 1, y: << d.x >>}\n");
    assert_eq!(rendered(&harmless, "d"), "{\"x\": 1, \"y\": 1}");
}

#[test]
fn broken_templates_say_why_in_our_words() {
    for (written, check) in [
        ("\"{{ prefix | nofilter }}\"", "unknown-filter"),
        ("\"{{ prefix is notest }}\"", "unknown-test"),
        ("\"{{ lookup('nolookup', 'x') }}\"", "unknown-lookup"),
        ("\"{{ prefix.nomethod() }}\"", "template-failed"),
        ("\"{{ prefix + }}\"", "template-syntax"),
        ("\"{{ prefix\"", "template-syntax"),
        ("<< prefix", "template-syntax"),
        ("\"{{ prefix + 1 }}\"", "template-failed"),
        ("\"{{ range(1000000) | list }}\"", "template-failed"),
        ("\"{{ 1 / 0 }}\"", "template-failed"),
        ("\"{{ d.missing }}\"", "undefined-attribute"),
        ("\"{{ prefix.x }}\"", "undefined-attribute"),
        ("\"{% for x in list %}x\"", "template-syntax"),
        ("!vault |\n  $ANSIBLE_VAULT;1.1", "vault-broken"),
    ] {
        let scope = scope(&format!("{VARIABLES}k: {written}\n"));
        let failures = scope.render("k").expect_err(written);
        assert_eq!(failures[0].diagnostic.check, check, "of `{written}`: {failures:?}");
        assert!(failures[0].diagnostic.place.is_some(), "of `{written}`");
    }
    let named = value("\"{{ prefix | nofilter }}\"");
    assert_eq!(named, "! the filter `nofilter` is not known");
}

#[test]
fn limits_hold() {
    let mut doubling = "v0: \"xxxxxxxxxxxxxxxx\"\n".to_owned();
    let mut lists = "l0: [x]\n".to_owned();
    for n in 1..30 {
        doubling.push_str(&format!("v{n}: \"{{{{ v{0} }}}}{{{{ v{0} }}}}\"\n", n - 1));
        lists.push_str(&format!("l{n}: \"{{{{ [l{0}, l{0}] }}}}\"\n", n - 1));
    }
    for (text, last) in [(doubling, "v29"), (lists, "l29")] {
        let failures = scope(&text).render(last).expect_err("far too large");
        assert_eq!(failures[0].diagnostic.check, "template-result", "{failures:?}");
    }
    let mut chain = String::new();
    for n in 0..200 {
        chain.push_str(&format!("c{n}: << c{} >>\n", n + 1));
    }
    let failures = scope(&chain).render("c0").expect_err("far too long");
    assert_eq!(failures[0].diagnostic.check, "template-chain");
    assert_eq!(rendered(&scope(&format!("{chain}c20: x\n")), "c0"), "\"x\"");
}

#[test]
fn no_failure_shows_a_value() {
    let secrets = "s: hunter2\nl: [hunter2]\nd: {hunter2: hunter2}\n";
    for written in [
        "\"{{ s + 1 }}\"",
        "\"{{ s | nofilter }}\"",
        "\"{{ s.x }}\"",
        "\"{{ d[s].y }}\"",
        "\"{{ l[7] }}\"",
        "\"{{ s | int(base='x') }}\"",
        "\"{{ s() }}\"",
        "\"{{ nope ~ s }}\"",
        "\"{{ 'hunter2' | nofilter }}\"",
        "\"{{ 'hunter2' + 1 }}\"",
        "\"{{ hunter2 hunter2 }}\"",
        "\"hunter2 {{\"",
        "\"{{ d['hunter2'].y.z }}\"",
        "\"{{ s | replace }}\"",
        "\"{{ s | default(1, 2, 3) + 1 }}\"",
        "\"{% if s %}{{ nope }}{% endif %}hunter2\"",
        "\"{{ l | map('nofilter') | list }}\"",
        "\"{{ (s ~ s).x.y }}\"",
        "\"{{ s | list | sum }}\"",
        "\"{{ dict(a=s).b }}\"",
        "\"{{ debug() }}\"",
        "\"{{ range(s) }}\"",
        "\"{{ l | map(s) }}\"",
        "\"{{ l | select(s) }}\"",
        "\"{{ lookup(s, 'x') }}\"",
        "\"{{ lookup('vars', s) }}\"",
        "\"{{ lookup('file', s) }}\"",
        "\"{{ s.hunter() }}\"",
        "\"{{ undef(hint=s) }}\"",
        "\"{{ nope | mandatory(s) }}\"",
        "\"{{ s | regex_replace(s ~ '(', s) }}\"",
        "\"{{ s | from_json }}\"",
        "\"{{ '%d' | format(s) }}\"",
        "\"{{ '{:d}'.format(s) }}\"",
        "\"{{ s is version(s, s) }}\"",
        "\"{{ d | combine(d, list_merge=s) }}\"",
        "\"{{ hostvars[s].x }}\"",
        "!vault |\n  hunter2",
    ] {
        let scope = scope(&format!("{secrets}k: {written}\n"));
        let Err(failures) = scope.render("k") else { continue };
        let mut report = Report::new();
        report.extend(failures.iter().map(|f| f.diagnostic.clone()));
        let said = format!("{failures:?}{}", report.human(false, std::path::Path::new("/")));
        assert!(!said.contains("hunter2"), "`{written}` says {said}");
    }
}
