//! `validate`: whether the configuration is right.

use std::{fs, path::Path, process::ExitCode};

use crate::cli::{ReportFormat, Validate};

use super::{Loaded, NO_VERDICT, REFUSED, load::working_directory, stdout};

/// Prints what there is to say in the form that is asked for, and a last line that sums it up.
pub(super) fn run(loaded: &Loaded, inventory: &Path, asked: &Validate) -> ExitCode {
    let form = form(loaded, inventory, asked.format);
    if asked.format == ReportFormat::Human || asked.output.is_some() {
        loaded.print_report();
    }
    let counts = loaded.report.counts();
    let strict = asked.strict && counts.warnings > 0;
    if loaded.settings.is_none() || strict {
        eprintln!(
            "refused: {}, {}{}",
            count(counts.errors, "error"),
            count(counts.warnings, "warning"),
            if strict { " (--strict)" } else { "" }
        );
    } else {
        eprintln!(
            "ok: {}, {}, {}",
            count(loaded.summary.hosts, "host"),
            count(loaded.summary.variables, "variable"),
            count(counts.warnings, "warning")
        );
    }
    let written = match (&asked.output, asked.format) {
        (Some(file), _) => write(file, &form),
        (None, ReportFormat::Human) => Ok(()),
        (None, _) => stdout::write(&form),
    };
    match (written, loaded.settings.is_some()) {
        (Err(()), _) => ExitCode::from(NO_VERDICT),
        (Ok(()), false) => loaded.refusal(),
        (Ok(()), true) if strict => ExitCode::from(REFUSED),
        (Ok(()), true) => ExitCode::SUCCESS,
    }
}

fn form(loaded: &Loaded, inventory: &Path, format: ReportFormat) -> String {
    let cwd = working_directory();
    let json = match format {
        ReportFormat::Human => return loaded.report.human(false, &cwd),
        ReportFormat::Json => loaded.report.json(&cwd),
        ReportFormat::Gitlab => loaded.report.gitlab(&cwd, inventory),
        ReportFormat::Sarif => loaded.report.sarif(&cwd),
    };
    format!("{json:#}\n")
}

/// Puts the report there as a whole or not at all.
fn write(file: &Path, text: &str) -> Result<(), ()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| {
        eprintln!("error: the report cannot be written to `{}`: {}", file.display(), error.kind());
        eprintln!("hint: its directory must be there, and writable");
    })
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}
