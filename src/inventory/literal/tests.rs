use serde_json::{Value as Json, json};

use super::*;
use crate::inventory::Source;

fn read(text: &str) -> Result<Json, Unfit> {
    value(text, &Origin::whole(&Source::extra(text))).map(|node| show(&node))
}

fn show(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::List(items) => items.iter().map(show).collect(),
        Value::Map(entries) => {
            let key = |key: &Node| match key.as_str() {
                Some(text) => text.to_owned(),
                None => format!("key {}", show(key)),
            };
            entries.iter().map(|(k, v)| (key(k), show(v))).collect::<serde_json::Map<_, _>>().into()
        }
        _ => json!(node.as_str()),
    }
}

/// Each value as Python 3.11's `ast.literal_eval` has it, or the text itself where it refuses.
#[test]
fn literals_are_what_python_makes_of_them() {
    for (text, expected) in [
        ("true", "\"true\""),
        ("True", "true"),
        ("yes", "\"yes\""),
        ("5000", "5000"),
        ("0644", "\"0644\""),
        ("0o644", "420"),
        ("1e3", "1000.0"),
        ("None", "null"),
        ("null", "\"null\""),
        ("", "\"\""),
        ("\"5000\"", "\"5000\""),
        ("['a','b']", "[\"a\", \"b\"]"),
        ("(1,2)", "[1, 2]"),
        ("{\"a\": 1, \"b\": true}", "\"{\\\"a\\\": 1, \\\"b\\\": true}\""),
        ("2024-01-01", "\"2024-01-01\""),
        ("-1", "-1"),
        ("1_000", "1000"),
        ("1,2", "[1, 2]"),
        ("(1)", "1"),
        ("(1,)", "[1]"),
        ("()", "[]"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("{1,2}", "[1, 2]"),
        ("{'a': 1, 'a': 2}", "{\"a\": 2}"),
        ("+5", "5"),
        ("- 5", "-5"),
        ("--5", "\"--5\""),
        ("1 + 2", "\"1 + 2\""),
        ("5 # comment", "5"),
        ("'a' # c", "\"a\""),
        ("a # c", "\"a # c\""),
        ("'a' 'b'", "\"ab\""),
        ("u'x'", "\"x\""),
        ("b'x'", "\"x\""),
        ("r'\\n'", "\"\\\\n\""),
        ("'\\n\\x41\\u00e9'", "\"\\nAé\""),
        ("'\\q'", "\"\\\\q\""),
        ("'''a'b'''", "\"a'b\""),
        ("0x1F", "31"),
        ("0b101", "5"),
        ("0o17", "15"),
        ("00", "0"),
        ("0", "0"),
        ("1.", "1.0"),
        ("1.5e-3", "0.0015"),
        (".5", "0.5"),
        ("1__0", "\"1__0\""),
        ("_1", "\"_1\""),
        ("1_", "\"1_\""),
        ("0x_1f", "31"),
        ("3j", "\"3j\""),
        ("...", "\"...\""),
        ("'unclosed", "\"'unclosed\""),
        ("[1, 'a', {'b': None}]", "[1, \"a\", {\"b\": null}]"),
        ("[1,,2]", "\"[1,,2]\""),
        ("[1 2]", "\"[1 2]\""),
        ("{1: 2, 3}", "\"{1: 2, 3}\""),
        ("lambda: 1", "\"lambda: 1\""),
        ("f'x'", "\"f'x'\""),
        ("1.2.3", "\"1.2.3\""),
        ("10.0.0.1", "\"10.0.0.1\""),
        ("5000abc", "\"5000abc\""),
        ("1e", "\"1e\""),
        ("'a'.upper()", "\"'a'.upper()\""),
        ("True and False", "\"True and False\""),
        ("0123.5", "123.5"),
        ("1E5", "100000.0"),
        ("1e+5", "100000.0"),
        ("[1,]", "[1]"),
        ("{'a':1,}", "{\"a\": 1}"),
        ("(1,2),3", "[[1, 2], 3]"),
        (" 5", "5"),
        ("5 ", "5"),
        ("\t[1]", "[1]"),
        ("not True", "\"not True\""),
        ("'a','b'", "[\"a\", \"b\"]"),
        ("\"it's\"", "\"it's\""),
        ("{{ x }}", "\"{{ x }}\""),
        ("<< x >>", "\"<< x >>\""),
        ("{'a': '{{ x }}'}", "{\"a\": \"{{ x }}\"}"),
        ("1if 1 else 2", "\"1if 1 else 2\""),
        ("é", "\"é\""),
        ("0xZZ", "\"0xZZ\""),
        ("0o9", "\"0o9\""),
        ("'\\777'", "\"ǿ\""),
    ] {
        let expected: Json = serde_json::from_str(expected).expect("JSON");
        assert_eq!(read(text), Ok(expected), "of `{text}`");
    }
}

#[test]
fn what_no_value_can_hold_is_refused() {
    assert_eq!(read("123456789012345678901"), Err(Unfit::HugeInteger));
    assert_eq!(read("[1e999]"), Err(Unfit::NotFinite));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\](){}'\"rbu0-9eExo_.,:+\\-#\\\\ jé]{0,60}") {
        let _ = read(&text);
        let _ = read(&text.repeat(40));
    }
}
