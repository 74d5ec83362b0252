//! `explain`: where a variable comes from.

use std::process::ExitCode;

use crate::{cli::ExplainFormat, settings::Explanation};

use super::{Loaded, NO_VERDICT, REFUSED, stdout};

/// Prints the explanation on stdout; what is wrong elsewhere goes to stderr and changes nothing
/// about the answer.
pub(super) fn run(loaded: &Loaded<Explanation>, format: ExplainFormat) -> ExitCode {
    loaded.print_report();
    let Some(explanation) = &loaded.settings else { return loaded.refusal() };
    let text = match format {
        ExplainFormat::Text => explanation.text(),
        ExplainFormat::Json => format!("{:#}\n", explanation.json()),
    };
    match (stdout::write(&text), &explanation.value) {
        (Err(()), _) => ExitCode::from(NO_VERDICT),
        (Ok(()), Err(_)) => ExitCode::from(REFUSED),
        (Ok(()), Ok(_)) => ExitCode::SUCCESS,
    }
}
