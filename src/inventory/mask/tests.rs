use super::*;

fn shown(line: &str, column: u32, width: u32) -> (String, u32, u32) {
    let source = Source::file("a.yml", line);
    let place = Origin::at(&source, 1, column, width).place(true);
    (place.text.expect("the line is short").to_string(), place.caret, place.width)
}

fn hidden(line: &str) -> String {
    let source = Source::file("a.yml", line);
    let place = Origin::at(&source, 1, 1, 1).place(false);
    place.text.expect("the line is short").to_string()
}

#[test]
fn keys_and_structure_stay_and_values_go() {
    for (line, expected) in [
        (
            "    registry_mirror_shared_secret: \"hunter2\"",
            "    registry_mirror_shared_secret: ********",
        ),
        ("a: hunter2 # and why", "a: ********"),
        ("- hunter2", "- ********"),
        ("- name: hunter2", "- name: ********"),
        ("}", "}"),
        ("key: |", "key: |"),
        ("key: 'hunter2' }", "key: ******** }"),
        ("{a: hunter2}", "********"),
        ("hunter2", "********"),
        ("# hunter2", ""),
        ("key: !hunter2", "key: ********"),
        ("key: *hunter2", "key: ********"),
        ("\"key\": hunter2", "\"key\": ********"),
        ("two words: hunter2", "********"),
        ("", ""),
    ] {
        assert_eq!(hidden(line), expected, "of `{line}`");
    }
}

#[test]
fn the_value_that_is_shown_is_the_only_one() {
    let line = "{a: hunter2, b: 99999, c: hunter3}";
    assert_eq!(shown(line, 17, 5), ("******** 99999********".into(), 9, 5));
    assert_eq!(shown("port: 99999 # hunter2", 7, 5), ("port: 99999 ".into(), 6, 5));
}

#[test]
fn the_caret_moves_with_what_was_masked() {
    let source = Source::file("a.yml", "key: 'hunter2hunter2' }");
    let place = broken(&source, 1, 23, 1);
    assert_eq!(place.text.as_deref(), Some("key: ******** }"));
    assert_eq!((place.column, place.caret, place.width), (23, 14, 1));
    let past_the_end = broken(&source, 1, 24, 1);
    assert_eq!(past_the_end.caret, 15);
}

#[test]
fn in_a_broken_file_the_inside_of_a_value_is_masked_whole() {
    for (text, line) in [
        ("a: |\n  hunter2: x\n", 2),
        ("a: >-\n\n  hunter2: x\n", 3),
        ("a: \"one\n  hunter2: x\n", 2),
        ("a: one\n  hunter2: x\n", 2),
    ] {
        let source = Source::file("a.yml", text);
        let place = broken(&source, line, 10, 1);
        assert_eq!(place.text.as_deref(), Some("  ********"), "of {text:?}");
    }
    let source = Source::file("a.yml", "a: |\n  x\nkey: x\n");
    assert_eq!(broken(&source, 3, 1, 1).text.as_deref(), Some("key: ********"));
}
