//! `render`: the settings as they are understood, secrets masked.

use std::process::ExitCode;

use crate::{cli::RenderFormat, settings};

use super::{Loaded, NO_VERDICT, stdout};

/// Prints the settings on stdout; what there is to say goes to stderr.
pub(super) fn run(loaded: &Loaded, format: RenderFormat) -> ExitCode {
    loaded.print_report();
    let Some(settings) = &loaded.settings else { return loaded.refusal() };
    let text = match format {
        RenderFormat::Yaml => {
            let write = |value: &_| serde_yaml::to_string(value).ok();
            settings::to_yaml(settings, &loaded.summary.origins, write)
        }
        RenderFormat::Json => format!("{:#}\n", settings::to_json(settings)),
    };
    match stdout::write(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::from(NO_VERDICT),
    }
}
