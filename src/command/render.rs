//! `render`: the settings as they are understood, secrets masked.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

use crate::{cli::RenderFormat, settings};

use super::{Loaded, NO_VERDICT};

/// Prints the settings on stdout; what there is to say goes to stderr.
pub(super) fn run(loaded: &Loaded, format: RenderFormat) -> ExitCode {
    loaded.print_report();
    let Some(settings) = &loaded.settings else { return loaded.refusal() };
    let text = match format {
        RenderFormat::Yaml => settings::to_yaml(settings, |v| serde_yaml::to_string(v).ok()),
        RenderFormat::Json => format!("{:#}\n", settings::to_json(settings)),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads only the first lines has seen what they wanted.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: stdout cannot be written to: {}", e.kind());
            ExitCode::from(NO_VERDICT)
        }
    }
}
