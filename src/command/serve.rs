//! `serve`: run the mirror.

use std::process::ExitCode;

use crate::settings::Settings;

use super::NO_START;

/// Says that this build has no server.
pub fn run(_settings: Settings) -> ExitCode {
    eprintln!("error: this build cannot serve");
    ExitCode::from(NO_START)
}
