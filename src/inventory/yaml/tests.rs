use super::*;

fn read(text: &str) -> (Option<Node>, Report) {
    let mut report = Report::new();
    let node = parse(&Source::file("a.yml", text), &mut report);
    (node, report)
}

fn value(text: &str) -> Value {
    let (node, report) = read(text);
    node.unwrap_or_else(|| panic!("{text:?} is refused: {report:?}")).value
}

fn refusal(text: &str) -> Diagnostic {
    let (node, report) = read(text);
    assert!(node.is_none(), "{text:?} is accepted");
    report.sorted()[0].clone()
}

/// Shows values, which `Debug` does not.
fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::String(s) => format!("{s:?}"),
        Value::Timestamp(s) => format!("timestamp {s}"),
        Value::Sealed(_) => "sealed".into(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| show(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entry = |(k, v): &(Node, Node)| format!("{}: {}", show(&k.value), show(&v.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// As ansible-core 2.19 reads them (PyYAML 6.0.3 over libyaml 0.2.5).
#[test]
fn scalars_have_the_types_of_yaml_1_1() {
    for (written, meant) in [
        ("yes", "true"),
        ("No", "false"),
        ("on", "true"),
        ("OFF", "false"),
        ("TRUE", "true"),
        ("y", "\"y\""),
        ("n", "\"n\""),
        ("tRue", "\"tRue\""),
        ("\"yes\"", "\"yes\""),
        ("0644", "420"),
        ("017", "15"),
        ("019", "\"019\""),
        ("08", "\"08\""),
        ("0o644", "\"0o644\""),
        ("0x1F", "31"),
        ("0b101", "5"),
        ("1_000_000", "1000000"),
        ("012345670123", "1402433619"),
        ("012345678901", "\"012345678901\""),
        ("12:30:45", "45045"),
        ("1:30", "90"),
        ("00:11:22", "\"00:11:22\""),
        ("-5", "-5"),
        ("+5", "5"),
        ("-0x10", "-16"),
        ("1:60", "\"1:60\""),
        ("1e3", "\"1e3\""),
        ("1.0e+3", "1000.0"),
        ("1.0e5", "\"1.0e5\""),
        (".5", "0.5"),
        ("-.5", "\"-.5\""),
        ("1.", "1.0"),
        ("2.10", "2.1"),
        ("1:30.5", "90.5"),
        ("2.8.3", "\"2.8.3\""),
        ("registry:2.8.3", "\"registry:2.8.3\""),
        ("2024-01-01", "timestamp 2024-01-01"),
        ("2024-01-01T10:00:00Z", "timestamp 2024-01-01T10:00:00Z"),
        ("2024-1-1", "\"2024-1-1\""),
        ("2024-01-01 x", "\"2024-01-01 x\""),
        ("~", "null"),
        ("null", "null"),
        ("NULL", "null"),
        ("nUll", "\"nUll\""),
        ("<< prefix >>-mirror", "\"<< prefix >>-mirror\""),
        ("'<<'", "\"<<\""),
        ("!!str 5", "\"5\""),
        ("!!int \"5\"", "5"),
        ("!!float 5", "5.0"),
        ("!!bool \"Yes\"", "true"),
        ("!!null x", "null"),
        ("! 5", "\"5\""),
        ("!unsafe 5", "5"),
        ("!unsafe '5'", "\"5\""),
        ("!vault |\n  $ANSIBLE_VAULT", "sealed"),
        ("10.0.0.1", "\"10.0.0.1\""),
        ("+", "\"+\""),
        (".", "\".\""),
        ("0x", "\"0x\""),
        ("0", "0"),
        ("-0", "0"),
        ("1__0", "10"),
        ("|\n  x\n  y", "\"x\\ny\\n\""),
        (">\n  x\n  y\n", "\"x y\\n\""),
        ("'it''s'", "\"it's\""),
    ] {
        assert_eq!(
            show(&value(&format!("k: {written}\n"))),
            format!("{{\"k\": {meant}}}"),
            "{written}"
        );
    }
    assert_eq!(show(&value("")), "null");
    assert_eq!(show(&value("# nothing\n\n")), "null");
    assert_eq!(show(&value("---\n")), "null");
    assert_eq!(show(&value("k: |\n  x")), "{\"k\": \"x\"}", "no line feed where there is none");
    assert_eq!(show(&value("%YAML 1.2\n---\na: 0644\r\nb: x\r\n")), "{\"a\": 420, \"b\": \"x\"}");
}

#[test]
fn what_has_no_meaning_is_refused_without_its_text() {
    for text in [
        "k: =",
        "k: <<",
        "k: !hunter2",
        "k: !!python/object:hunter2 x",
        "k: .inf",
        "k: -.INF",
        "k: .nan",
        "k: 2024-13-45",
        "k: 0x_",
        "k: !!int hunter2",
        "k: !!bool hunter2",
        "k: !!seq hunter2",
        "k: !!str [hunter2]",
        "k: 2023-02-29",
    ] {
        let refusal = refusal(text);
        let said = format!("{refusal:?}");
        assert!(!said.contains("hunter2") && !said.contains("13-45"), "{said}");
        let place = refusal.place.expect("it is in the file");
        assert_eq!((place.line, place.text.as_deref()), (1, Some("k: ********")), "{text}");
    }
}

#[test]
fn merge_keys_give_way_to_what_is_written() {
    let text = "b: &b {x: 1, y: 2}\nc: &c {y: 3, z: 4}\nd: {y: 9, <<: *b}\ne:\n  <<: [*b, *c]\n";
    let merged = value(text);
    let Value::Map(entries) = merged else { panic!("a mapping") };
    assert_eq!(show(&entries[2].1.value), "{\"x\": 1, \"y\": 9}");
    assert_eq!(show(&entries[3].1.value), "{\"y\": 2, \"z\": 4, \"x\": 1}");
    assert_eq!(refusal("a: {<<: 5}").check, "yaml-merge");
}

#[test]
fn of_two_equal_keys_the_last_wins_and_both_are_named() {
    let (node, report) = read("a: hunter1\nb: 2\na: hunter2\n");
    assert_eq!(show(&node.expect("only a warning").value), "{\"a\": \"hunter2\", \"b\": 2}");
    let warning = report.sorted()[0];
    assert_eq!(warning.check, "yaml-duplicate-key");
    assert_eq!(warning.place.as_ref().map(|p| (p.line, p.column)), Some((3, 1)));
    assert!(warning.hint.as_ref().is_some_and(|hint| hint.contains("a.yml:1:1")), "{warning:?}");
}

#[test]
fn aliases_stand_where_they_are_written() {
    let (node, _) = read("a: &x hunter2\nb: *x\n");
    let node = node.expect("valid");
    let b = node.get("b").expect("b");
    assert_eq!((b.origin.line(), b.origin.column(), b.rendered), (2, 4, true));
    assert_eq!(b.origin.place(true).text.as_deref(), Some("b: *x"));
}

#[test]
fn bombs_are_refused_at_once() {
    let mut laughs = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let row = vec![format!("*a{}", n - 1); 9].join(", ");
        laughs.push_str(&format!("b{n}: &a{n} [{row}]\n"));
    }
    assert_eq!(refusal(&laughs).check, "yaml-alias");
    assert_eq!(refusal("x: &a [*a]").check, "yaml-alias");
    for open in ["[", "{a: ", "- ", "? ", "[{a: ", "- - ? "] {
        let deep = open.repeat((LARGEST - 10) / open.len());
        assert_eq!(refusal(&deep).check, "yaml-too-deep", "of `{open}`");
    }
    assert_eq!(refusal(&"x".repeat(LARGEST + 1)).check, "file-too-large");
    let nested = format!("{}x{}", "[".repeat(120), "]".repeat(120));
    assert!(read(&nested).0.is_some(), "120 levels are fine");
    let nested = format!("{}x{}", "[".repeat(130), "]".repeat(130));
    assert_eq!(refusal(&nested).check, "yaml-too-deep");
}

#[test]
fn causes_are_said_in_plain_words() {
    for (text, line, column, label) in [
        ("a:\n  b: x\n}\n", 3, 1, "stray `}`"),
        ("a:\n  - x\n]\n", 3, 1, "stray `]`"),
        ("a:\n\tb: x\n", 2, 1, "a tab"),
        ("a: x: y\n", 1, 5, "a mapping cannot start here"),
        ("a: @x\n", 1, 4, "cannot start with this character"),
        ("a: {{ x }}-mirror\n", 1, 4, "a template needs quotes"),
        ("a: x\nb\nc: y\n", 2, 1, "a key without its colon"),
        ("a: \"x\nb: y\n", 1, 4, "this quote is never closed"),
        ("a: [x, y\nb: z\n", 1, 4, "this list is not closed"),
        ("a: x\n b: y\n", 2, 3, "a mapping cannot start here"),
        ("a:\n  b: x\n c: y\n", 3, 2, "does not fit what stands above"),
        ("a: *x\n", 1, 4, "an anchor that is not there"),
        ("a: x\n---\nb: y\n", 2, 1, "a second document"),
        ("a: \"\\q\"\n", 1, 5, "an escape"),
        ("a: 'it's'\n", 1, 8, "does not fit what stands above"),
        ("a: x\n- b\n", 2, 1, "a list item where a key"),
    ] {
        let refusal = refusal(text);
        let place = refusal.place.clone().expect("it is in the file");
        assert_eq!((place.line, place.column), (line, column), "of {text:?}: {refusal:?}");
        assert!(refusal.label.as_ref().is_some_and(|l| l.contains(label)), "{text:?}: {refusal:?}");
        assert!(refusal.hint.is_some(), "{text:?} has a hint");
    }
}

#[test]
fn a_template_without_quotes_is_named_where_it_is_valid_yaml_too() {
    let refusal = refusal("a: {{ x }}\n");
    assert_eq!(refusal.check, "yaml-template");
    assert!(refusal.hint.is_some_and(|hint| hint.contains("quote the whole value")));
}

#[test]
fn origins_are_where_the_values_are() {
    let (node, _) =
        read("all:\n  vars:\n    a: \"x\" # c\n    b: [1,\n 2]\n    ü: ä\n    c: |\n      x\n");
    let node = node.expect("valid");
    let vars = node.get("all").and_then(|all| all.get("vars")).expect("vars");
    let at = |key: &str| {
        let origin = &vars.get(key).expect("there").origin;
        (origin.line(), origin.column(), origin.place(true).text.map(|t| t.to_string()))
    };
    assert_eq!(at("a"), (3, 8, Some("    a: \"x\" ".into())));
    // What stands below may tell that this line is a half of a password.
    assert_eq!(at("b"), (4, 8, Some("    b: ********".into())));
    assert_eq!(at("ü"), (6, 8, Some("    ü: ä".into())));
    assert_eq!(at("c"), (7, 8, Some("    c: |".into())));
    assert_eq!(vars.origin.line(), 3);
}
