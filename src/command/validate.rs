//! `validate`: whether the configuration is right.

use std::process::ExitCode;

use super::Loaded;

/// Prints what there is to say, and a last line that sums it up.
pub(super) fn run(loaded: &Loaded) -> ExitCode {
    loaded.print_report();
    let counts = loaded.report.counts();
    if loaded.settings.is_none() {
        eprintln!(
            "refused: {}, {}",
            count(counts.errors, "error"),
            count(counts.warnings, "warning")
        );
        return loaded.refusal();
    }
    eprintln!(
        "ok: {}, {}, {}",
        count(1, "host"),
        count(loaded.summary.variables, "variable"),
        count(counts.warnings, "warning")
    );
    ExitCode::SUCCESS
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}
