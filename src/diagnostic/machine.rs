//! The forms for machines: our own JSON, GitLab's Code Quality report, SARIF 2.1.0.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::{Diagnostic, Report, Severity};

/// How many diagnostics a report for machines holds.
const MOST: usize = 10_000;

impl Report {
    /// One object: `schema`, `ok`, and every diagnostic with its place.
    pub fn json(&self, cwd: &Path) -> Value {
        let counts = self.counts();
        let diagnostics = self.sorted().into_iter().take(MOST).map(|found| {
            let place = found.place.as_ref();
            json!({
                "severity": word(found.severity),
                "check": found.check,
                "message": found.message,
                "label": found.label,
                "hint": found.hint,
                "variable": found.variable,
                "file": place.map(|place| relative(&place.file, cwd)),
                "line": place.map(|place| place.line).filter(|line| *line > 0),
                "column": place.map(|place| place.column).filter(|column| *column > 0),
            })
        });
        json!({
            "schema": "registry-mirror/report/1",
            "ok": counts.errors == 0,
            "errors": counts.errors,
            "warnings": counts.warnings,
            "infos": counts.infos,
            "diagnostics": diagnostics.collect::<Vec<_>>(),
        })
    }

    /// GitLab's Code Quality report. What has no file is told of `fallback`, since every entry needs
    /// one.
    pub fn gitlab(&self, cwd: &Path, fallback: &Path) -> Value {
        let mut seen = BTreeMap::new();
        let entries = self.sorted().into_iter().take(MOST).map(|found| {
            let line = found.place.as_ref().map_or(1, |place| place.line.max(1));
            let path = found.place.as_ref().map_or(fallback, |place| &place.file);
            json!({
                "description": told(found),
                "check_name": found.check,
                "fingerprint": fingerprint(found, cwd, &mut seen),
                "severity": match found.severity {
                    Severity::Error => "critical",
                    Severity::Warning => "minor",
                    Severity::Info => "info",
                },
                "location": { "path": relative(path, cwd), "lines": { "begin": line } },
            })
        });
        entries.collect()
    }

    /// SARIF 2.1.0, columns in characters.
    pub fn sarif(&self, cwd: &Path) -> Value {
        let mut seen = BTreeMap::new();
        let sorted = self.sorted();
        let checks: std::collections::BTreeSet<&str> =
            sorted.iter().take(MOST).map(|found| found.check).collect();
        let rules: Vec<Value> = checks.iter().map(|check| json!({ "id": check })).collect();
        let results = sorted.into_iter().take(MOST).map(|found| {
            let mut result = json!({
                "ruleId": found.check,
                "level": match found.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                    Severity::Info => "note",
                },
                "message": { "text": told(found) },
                "partialFingerprints": { "checkPathVariable/v1": fingerprint(found, cwd, &mut seen) },
            });
            if let (Some(place), Some(result)) = (&found.place, result.as_object_mut()) {
                let mut physical = json!({
                    "artifactLocation": { "uri": uri(&relative(&place.file, cwd)) }
                });
                if let (true, Some(physical)) = (place.line > 0, physical.as_object_mut()) {
                    let column = place.column.max(1);
                    let region = json!({ "startLine": place.line, "startColumn": column });
                    physical.insert("region".into(), region);
                }
                result.insert("locations".into(), json!([{ "physicalLocation": physical }]));
            }
            result
        });
        json!({
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "registry-mirror",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                } },
                "columnKind": "unicodeCodePoints",
                "results": results.collect::<Vec<_>>(),
            }],
        })
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// Everything that there is to say, on one line.
fn told(found: &Diagnostic) -> String {
    let mut told = found.message.clone();
    if let Some(label) = &found.label {
        told.push_str(&format!(": {label}"));
    }
    if let Some(hint) = &found.hint {
        told.push_str(&format!("; hint: {hint}"));
    }
    told
}

/// The same for as long as the problem is: made of the check, the file and the variable, and not of
/// the line, which moves. Several that have all three in common are counted.
fn fingerprint(found: &Diagnostic, cwd: &Path, seen: &mut BTreeMap<String, usize>) -> String {
    let path = found.place.as_ref().map(|place| relative(&place.file, cwd)).unwrap_or_default();
    let variable = found.variable.as_deref().unwrap_or_default();
    let key = format!("{}\0{path}\0{variable}", found.check);
    let count = seen.entry(key.clone()).or_default();
    *count += 1;
    let digest = digest::digest(&digest::SHA256, format!("{key}\0{count}").as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Relative to the working directory where it lies below it, without `.`.
fn relative(path: &Path, cwd: &Path) -> String {
    let below = path.strip_prefix(cwd).unwrap_or(path);
    let parts = below.components().filter(|part| *part != Component::CurDir);
    parts.collect::<std::path::PathBuf>().display().to_string()
}

/// A path as a reference of RFC 3986.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let encode = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    path.bytes().map(encode).collect()
}
