//! `validate --format`, `--output` and `--strict`.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::*;

/// An error with a place, a warning with one, and an info without.
fn bench() -> Bench {
    let wrong = "registry_mirror_listen_port: nope\n    registry_mirror_tls_certificate: /c.pem";
    inventory(&[
        ("vars.yml", &with(wrong)),
        ("größe.yml", "all: {vars: {registry_mirror_x: 1, registry_mirror_y: 2}}\n"),
    ])
}

fn report(bench: &Bench, format: &str, code: i32) -> Value {
    let ran = bench.run(VALIDATE.into_iter().chain(["--format", format])).ended(code);
    assert!(!ran.stderr.contains("error: "), "stderr is for the last line alone:\n{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("JSON on stdout")
}

fn texts<'a>(values: &'a Value, pointer: &str) -> Vec<&'a str> {
    let values = values.as_array().expect("a list").iter();
    values.map(|value| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()).collect()
}

#[test]
fn json_has_every_diagnostic_with_its_place() {
    let report = report(&bench(), "json", 1);
    assert_eq!((&report["ok"], &report["errors"]), (&Value::from(false), &Value::from(3)));
    let found = report["diagnostics"].as_array().expect("a list");
    let port = found.iter().find(|found| found["variable"] == "registry_mirror_listen_port");
    let port = port.expect("the port");
    assert_eq!(port["file"], "inventory/vars.yml");
    assert_eq!((port["line"].as_u64(), port["column"].as_u64()), (Some(5), Some(34)));
}

/// All that GitLab's documentation asks for, and with it all that its own validator does
/// (app/validators/json_schemas/codeclimate.json in its source).
#[test]
fn gitlab_gets_what_its_report_needs() {
    let report = report(&bench(), "gitlab", 1);
    for pointer in ["/description", "/check_name", "/fingerprint", "/severity", "/location/path"] {
        assert!(
            texts(&report, pointer).iter().all(|text| !text.is_empty()),
            "{pointer}: {report:#}"
        );
    }
    for entry in report.as_array().expect("a list") {
        assert!(entry["location"]["lines"]["begin"].as_u64() >= Some(1), "{entry:#}");
        let known = ["info", "minor", "major", "critical", "blocker"];
        assert!(known.contains(&entry["severity"].as_str().unwrap_or_default()), "{entry:#}");
    }
    let prints: BTreeSet<&str> = texts(&report, "/fingerprint").into_iter().collect();
    assert_eq!(prints.len(), report.as_array().expect("a list").len());
}

#[test]
fn fingerprints_stay_when_lines_move() {
    let bench = bench();
    let prints = |report: &Value| {
        texts(report, "/fingerprint").iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>()
    };
    let before = prints(&report(&bench, "gitlab", 1));
    let text = fs::read_to_string(bench.path().join("inventory/vars.yml")).expect("the file");
    bench.write("inventory/vars.yml", format!("# one more line\n\n{text}"));
    assert_eq!(prints(&report(&bench, "gitlab", 1)), before);
}

#[test]
fn nothing_to_say_is_an_empty_report() {
    let bench = inventory(&[("vars.yml", &format!("{VARS}  hosts: {{localhost: }}\n"))]);
    let ran = bench.run(VALIDATE.into_iter().chain(["--format", "gitlab"])).ended(0);
    assert_eq!(ran.stdout, "[]\n");
    assert_eq!(report(&bench, "sarif", 0)["runs"][0]["results"], Value::Array(Vec::new()));
}

#[test]
fn sarif_points_at_characters_and_encodes_paths() {
    let report = report(&bench(), "sarif", 1);
    assert_eq!(report["version"], "2.1.0");
    let run = &report["runs"][0];
    let rules: BTreeSet<&str> = texts(&run["tool"]["driver"]["rules"], "/id").into_iter().collect();
    let place = "/locations/0/physicalLocation";
    assert!(
        texts(&run["results"], &format!("{place}/artifactLocation/uri"))
            .contains(&"inventory/gr%C3%B6%C3%9Fe.yml")
    );
    for result in run["results"].as_array().expect("a list") {
        assert!(rules.contains(result["ruleId"].as_str().unwrap_or_default()), "{result:#}");
        let level = result["level"].as_str().unwrap_or_default();
        assert!(["error", "warning", "note"].contains(&level), "{result:#}");
        if let Some(region) = result.pointer(&format!("{place}/region")) {
            assert!(
                region["startLine"].as_u64() >= Some(1)
                    && region["startColumn"].as_u64() >= Some(1)
            );
        }
    }
}

#[test]
fn a_file_takes_the_report_and_people_see_theirs() {
    let bench = bench();
    for format in ["gitlab", "human"] {
        let arguments = ["--format", format, "--output", "report"];
        let ran = bench.run(VALIDATE.into_iter().chain(arguments)).ended(1);
        let ran = ran.says(&["inventory/vars.yml:5:34", "refused: 3 errors, 1 warning"]);
        assert_eq!(ran.stdout, "");
        let text = fs::read_to_string(bench.path().join("report")).expect("the report");
        assert!(text.contains("registry_mirror_listen_port"), "{text}");
    }
    let arguments = ["--format", "json", "--output", "nowhere/report"];
    bench.run(VALIDATE.into_iter().chain(arguments)).ended(2).says(&["nowhere/report", "hint: "]);
}

#[test]
fn strict_lets_warnings_refuse() {
    let bench = inventory(&[("vars.yml", &with("registry_mirror_tls_certificate: /c.pem"))]);
    bench.run(VALIDATE).ended(0).says(&["ok: 1 host, 3 variables, 1 warning"]);
    let strict = VALIDATE.into_iter().chain(["--strict"]);
    bench.run(strict).ended(1).says(&["refused: 0 errors, 1 warning (--strict)"]);
}
