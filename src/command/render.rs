//! `render`: the settings as they are understood, secrets masked.

use std::process::ExitCode;

use crate::{
    cli::RenderFormat,
    settings::{self, NotABucket, Settings, Tls},
};

use super::{Loaded, NO_VERDICT, REFUSED, stdout};

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
        RenderFormat::Distribution => match distribution(settings) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("error: {error}\nhint: set registry_mirror_store to `s3`");
                return ExitCode::from(REFUSED);
            }
        },
    };
    match stdout::write(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::from(NO_VERDICT),
    }
}

/// What stands in front of the configuration of `registry:2`, and that.
fn distribution(settings: &Settings) -> Result<String, NotABucket> {
    let config = settings::to_distribution(settings)?;
    let mut text = format!(
        "# For `{}`. First run `registry-mirror cache links`, with this mirror stopped on all nodes\n\
         # but one: it writes down in the bucket what that program needs to find.\n",
        settings.docker_image.escape_debug()
    );
    if !settings.docker_hub_username.is_empty() {
        text += "# The password goes into its environment, as REGISTRY_PROXY_PASSWORD.\n";
    }
    if settings.tls != Tls::Off && config["http"].get("tls").is_none() {
        text += "# Its certificate and key must be files: name them under `http: tls:`.\n";
    }
    if !settings.upstream_ca.is_empty() {
        text += "# It knows no `upstream_ca`: SSL_CERT_FILE in its environment names a file of\n\
                 # authorities to trust.\n";
    }
    if !settings.upstream_proxy.is_empty() {
        text += "# It knows no `upstream_proxy`: HTTPS_PROXY in its environment names one, which is\n\
                 # used for the bucket, too, unless NO_PROXY names that.\n";
    }
    text += &serde_yaml::to_string(&config).unwrap_or_default();
    Ok(text)
}
