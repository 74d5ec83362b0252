use super::*;

fn place(file: &str, line: u32, column: u32, text: &str) -> Place {
    Place {
        file: Path::new(file).into(),
        line,
        column,
        text: Some(text.into()),
        caret: column - 1,
        width: 1,
    }
}

#[test]
fn the_human_form_has_file_line_caret_cause_and_hint() {
    let mut report = Report::new();
    report.push(
        Diagnostic::error("yaml-syntax", "the file is not valid YAML")
            .at(place("/srv/inventory/vars.yml", 10, 1, "}"))
            .label("a stray `}`")
            .hint("remove it"),
    );
    let text = report.human(false, Path::new("/srv"));
    assert_eq!(
        text,
        "error: the file is not valid YAML\n  \
           --> inventory/vars.yml:10:1\n   |\n10 | }\n   | ^ a stray `}`\nhint: remove it\n"
    );
    assert!(report.human(true, Path::new("/")).contains("\u{1b}["), "colour was asked for");
}

#[test]
fn each_diagnostic_is_said_once_and_in_the_order_of_the_files() {
    let mut report = Report::new();
    let last = Diagnostic::info("no-place", "no place");
    let third = Diagnostic::error("a", "m").at(place("b.yml", 1, 1, "x"));
    let second = Diagnostic::error("a", "m").at(place("a.yml", 10, 1, "x"));
    let first = Diagnostic::warning("b", "m").at(place("a.yml", 9, 2, "x"));
    report.extend([last.clone(), third.clone(), second.clone(), first.clone(), third.clone()]);
    assert_eq!(report.sorted(), [&first, &second, &third, &last]);
    assert_eq!(report.counts(), Counts { errors: 2, warnings: 1, infos: 1 });
    assert!(report.has_errors());
}

#[test]
fn what_has_no_line_is_named_alone() {
    let mut report = Report::new();
    let mut nowhere = place("environment REGISTRY_MIRROR_TLS", 1, 1, "");
    (nowhere.line, nowhere.text) = (0, None);
    report.push(Diagnostic::error("a", "no such choice").at(nowhere).label("why").hint("what"));
    let text = report.human(false, Path::new("/"));
    assert!(text.contains("--> environment REGISTRY_MIRROR_TLS\n"), "{text}");
    assert!(text.contains("why") && text.ends_with("hint: what\n"), "{text}");
}

#[test]
fn nothing_drives_the_terminal() {
    let mut report = Report::new();
    report.push(
        Diagnostic::error("a", "bad \u{1b}[31m name")
            .at(place("\u{1b}]0;x\u{7}.yml", 1, 1, "key\u{1b}[2J: x"))
            .label("\u{7}")
            .hint("\u{9b}"),
    );
    let text = report.human(false, Path::new("/"));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn the_nearest_name_is_near() {
    let names = ["registry_mirror_bucket_name", "registry_mirror_tls"];
    assert_eq!(nearest("registry_mirror_bucket_nmae", names), Some(names[0]));
    assert_eq!(nearest("registry_mirror_tsl", names), Some(names[1]));
    assert_eq!(nearest("something_else", names), None);
}
