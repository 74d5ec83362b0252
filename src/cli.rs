//! The command line.

use std::path::PathBuf;

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};

mod cache;

pub use cache::CacheAction;

/// Where the inventory is when nobody says otherwise.
pub const INVENTORY: &str = "/etc/registry-mirror/inventory";

/// A pull-through mirror of Docker Hub, configured by an Ansible inventory
#[derive(Clone, Debug, Parser)]
#[command(name = "registry-mirror", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit status: 0 fine; 1 the configuration is refused; 2 wrong use, or no verdict (a file that cannot
be read); 3 `serve` could not start though the configuration is right.")]
pub struct Cli {
    /// What stands before the command.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What this process was called with. Wrong use, `--help` and `--version` end it here, with the
    /// status that clap gives them.
    pub fn of_process() -> Self {
        Self::try_parse().unwrap_or_else(|error| described(error).exit())
    }
}

/// The error as it may be printed. Clap quotes what it was given, which may be a secret: whoever
/// forgets an `-e` has `name=secret` taken for something else.
fn described(error: Error) -> Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let message = match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::ArgumentConflict => {
            return error;
        }
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            format!("`{}` needs a value", context(ContextKind::InvalidArg))
        }
        ErrorKind::InvalidValue => {
            let words = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(words)) => words.join("`, `"),
                _ => String::new(),
            };
            format!("the value of `{}` must be `{words}`", context(ContextKind::InvalidArg))
        }
        ErrorKind::ValueValidation => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let argument = context(ContextKind::InvalidArg);
            format!("`{argument}`: {}", cause.unwrap_or_default())
        }
        ErrorKind::InvalidSubcommand => match name(context(ContextKind::InvalidSubcommand)) {
            Some(name) => format!("`{name}` is no command; variables follow an `-e`"),
            None => "there is no such command".into(),
        },
        _ => match name(context(ContextKind::InvalidArg)) {
            Some(name) if name.starts_with('-') => format!("unexpected option `{name}`"),
            Some(name) => format!("unexpected argument `{name}`; variables follow an `-e`"),
            None => "unexpected argument; variables follow an `-e`".into(),
        },
    };
    Cli::command().error(error.kind(), message)
}

/// What of an argument may be shown: an option, or a name of ours that a value follows.
fn name(argument: &str) -> Option<&str> {
    let end = argument.find(|c: char| matches!(c, '=' | ':') || c.is_whitespace());
    let name = argument.get(..end.unwrap_or(argument.len()))?;
    let is_ours = end.is_some() && name.starts_with("registry_mirror_");
    (name.starts_with('-') || is_ours).then_some(name)
}

/// Options of every command. They may stand before and after it and add up in that order; clap by
/// itself would keep only the later ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Options {
    /// Inventory file or directory; of several the last is the strongest
    /// [default: /etc/registry-mirror/inventory]
    #[arg(short, long = "inventory", value_name = "PATH")]
    pub inventories: Vec<PathBuf>,
    /// The host of the inventory that this machine is [default: found by its names]
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Variables that beat all others: `name=value`, `@FILE`, or a mapping in YAML or JSON
    #[arg(short, long = "extra-vars", value_name = "VARS", allow_hyphen_values = true)]
    pub extra_vars: Vec<String>,
    /// File with a vault password, or a program that prints it
    #[arg(long = "vault-password-file", alias = "vault-pass-file", value_name = "FILE")]
    pub vault_password_files: Vec<PathBuf>,
    /// The same under an id, which is tried first where a sealed text names it
    #[arg(long = "vault-id", value_name = "ID@FILE")]
    pub vault_ids: Vec<String>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the mirror
    Serve(Serve),
    /// Have the running service read its configuration again; one that is refused changes nothing
    Reload,
    /// Check the configuration, without network, store or daemon
    Validate(Validate),
    /// Print the settings as they are understood, secrets masked
    Render(Render),
    /// Print who sets a variable, which of them counts, and what it is made of
    Explain(Explain),
    /// Print what `ansible-inventory` would print, secrets masked
    Inventory(Inventory),
    /// Print what a client must be told to use this mirror
    ClientConfig(ClientConfig),
    /// Look after the cache: of the running service, or where none runs, of the store itself
    Cache(Cache),
}

impl Command {
    /// What stands after the command.
    pub fn options(&self) -> Options {
        let options = match self {
            Self::Reload => return Options::default(),
            Self::Cache(Cache { options, action, .. }) => return options.and(action.options()),
            Self::Serve(Serve { options })
            | Self::Validate(Validate { options, .. })
            | Self::Render(Render { options, .. })
            | Self::Explain(Explain { options, .. })
            | Self::Inventory(Inventory { options, .. })
            | Self::ClientConfig(ClientConfig { options, .. }) => options,
        };
        options.clone()
    }
}

/// Options of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
}

/// Options of `cache`.
#[derive(Clone, Debug, Args)]
pub struct Cache {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
    /// Print JSON, an object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub action: CacheAction,
}

/// Options of `validate`.
#[derive(Clone, Debug, Args)]
pub struct Validate {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
    /// The form of the messages
    #[arg(long, value_enum, default_value_t = ReportFormat::Human)]
    pub format: ReportFormat,
    /// Write the report to FILE, and the form for people to stderr besides
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Judge every host: those in the group `registry_mirror`, or all where that has none
    #[arg(long, conflicts_with = "host")]
    pub all_hosts: bool,
    /// Let warnings refuse the configuration, too
    #[arg(long)]
    pub strict: bool,
    /// Check that this user, the service's, can read every file of it; needs root
    #[arg(long, value_name = "NAME", conflicts_with = "overlays")]
    pub as_user: Option<String>,
    /// Check everything around vault values, without their password
    #[arg(long)]
    pub no_vault: bool,
    /// Check the inventory as it would be with FILE in the place of DEST, which need not be there
    #[arg(long = "overlay", value_name = "DEST=FILE", value_parser = overlay)]
    pub overlays: Vec<(PathBuf, PathBuf)>,
}

/// A destination and what would be put there.
fn overlay(text: &str) -> Result<(PathBuf, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((destination, file)) if !destination.is_empty() && !file.is_empty() => {
            Ok((destination.into(), file.into()))
        }
        _ => Err("an overlay is written `DEST=FILE`"),
    }
}

/// Options of `render`.
#[derive(Clone, Debug, Args)]
pub struct Render {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
    /// The form of the settings
    #[arg(long, value_enum, default_value_t = RenderFormat::Yaml)]
    pub format: RenderFormat,
}

/// Options of `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
    /// The variable; `registry_mirror_` in front may be left out
    pub variable: String,
    /// The form of the answer
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    pub format: ExplainFormat,
}

/// The form of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Options of `inventory`.
#[derive(Clone, Debug, Args)]
pub struct Inventory {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
    /// All groups and hosts; this is what is printed unless a host is named
    #[arg(long, conflicts_with = "host")]
    pub list: bool,
    /// Fill in the templates
    #[arg(long)]
    pub render: bool,
}

/// Options of `client-config`.
#[derive(Clone, Debug, Args)]
pub struct ClientConfig {
    /// What is common to all commands.
    #[command(flatten)]
    pub options: Options,
    /// Which client
    #[arg(value_enum)]
    pub client: Client,
}

/// What pulls images, or starts what does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Docker Engine: daemon.json
    Docker,
    /// Docker in Docker: a service of .gitlab-ci.yml
    Dind,
    /// containerd: hosts.toml
    Containerd,
    /// BuildKit and buildx: buildkitd.toml
    Buildkit,
    /// Podman, Buildah, Skopeo, CRI-O: registries.conf
    Podman,
    /// kaniko: variables of its environment
    Kaniko,
    /// GitLab Runner: config.toml
    GitlabRunner,
    /// Variables for every job
    Dotenv,
}

/// The form of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people, on stderr
    Human,
    /// One JSON object
    Json,
    /// GitLab's Code Quality report
    Gitlab,
    /// SARIF 2.1.0
    Sarif,
}

/// The form of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RenderFormat {
    /// A file of variables that Ansible reads
    Yaml,
    /// One JSON object
    Json,
    /// config.yml of `registry:2.8` for the same bucket: the way back
    Distribution,
}
