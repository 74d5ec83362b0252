//! What each subcommand does. Only here is the environment read, and only here anything printed.

use std::process::ExitCode;

use crate::cli::{Cli, Command};

mod as_user;
mod cache;
mod client_config;
mod control;
mod explain;
mod inventory;
mod load;
mod reload;
mod render;
pub mod serve;
mod stdout;
mod validate;
mod vault;

pub use load::Loaded;

/// The configuration, or the check, says no.
const REFUSED: u8 = 1;
/// Wrong use, or no verdict.
const NO_VERDICT: u8 = 2;
/// The configuration is right, and yet the program cannot start.
const NO_START: u8 = 3;

/// Runs the program. Wrong use ends it here, with the status that clap gives it, 2.
pub fn main() -> ExitCode {
    let Cli { options, command } = Cli::of_process();
    let options = options.and(&command.options());
    match command {
        Command::Serve(_) => {
            let loaded = load::settings(&options);
            loaded.print_report();
            let refusal = loaded.refusal();
            loaded.settings.map_or(refusal, |settings| serve::run(options, settings))
        }
        Command::Cache(asked) => {
            let loaded = load::settings(&options);
            if loaded.settings.is_none() {
                loaded.print_report();
            }
            let refusal = loaded.refusal();
            loaded.settings.map_or(refusal, |settings| cache::run(&asked, settings))
        }
        Command::Reload => reload::run(&options),
        Command::Validate(asked) => {
            let options =
                if asked.as_user.is_some() { as_user::absolute(&options) } else { options };
            let load = || load::as_it_would_be(&options, &asked);
            let loaded = match &asked.as_user {
                Some(name) => as_user::load(name, load),
                None => Ok(load()),
            };
            match loaded {
                Ok(loaded) => validate::run(&loaded, &load::strongest(&options), &asked),
                Err(error) => {
                    eprintln!("error: {error}");
                    ExitCode::from(NO_VERDICT)
                }
            }
        }
        Command::Render(render) => render::run(&load::settings(&options), render.format),
        Command::Explain(asked) => {
            explain::run(&load::explanation(&options, &asked.variable), asked.format)
        }
        Command::Inventory(asked) => inventory::run(&options, &asked),
        Command::ClientConfig(asked) => client_config::run(&load::url(&options), asked.client),
    }
}
