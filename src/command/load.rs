//! From the command line to settings. The one place that reads the environment and asks the
//! machine for its names.

#![expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]

use std::{
    collections::BTreeMap, env, ffi::OsString, fs, io::IsTerminal, path::PathBuf,
    process::ExitCode, sync::Arc,
};

use crate::{
    cli::{INVENTORY, Options, Validate},
    diagnostic::{Report, Severity},
    inventory::{self, Host, Inventory, Overlay, Vault},
    settings::{self, Explanation, Given, Settings, Summary, table},
};

use super::{NO_VERDICT, REFUSED, vault};

mod every;

/// What finds that something could not be read, and says nothing of what is in it.
const UNREADABLE: [&str; 3] = ["unreadable-file", "vault-locked", "vault-password"];

/// What became of the configuration, or of the part of it that was asked for.
#[derive(Debug)]
pub struct Loaded<T = Settings> {
    /// None if the configuration is refused; the report says why.
    pub settings: Option<T>,
    /// Everything there is to say about it.
    pub report: Report,
    /// What was counted.
    pub summary: Summary,
}

impl Options {
    /// These options, then the others: lists add up, of single values the later one counts.
    #[must_use]
    pub fn and(&self, later: &Self) -> Self {
        let joined = |first: &[String], then: &[String]| [first, then].concat();
        Self {
            inventories: [&*self.inventories, &*later.inventories].concat(),
            host: later.host.clone().or_else(|| self.host.clone()),
            extra_vars: joined(&self.extra_vars, &later.extra_vars),
            vault_password_files: [&*self.vault_password_files, &*later.vault_password_files]
                .concat(),
            vault_ids: joined(&self.vault_ids, &later.vault_ids),
        }
    }
}

/// Reads the configuration that `options` name.
pub(super) fn settings(options: &Options) -> Loaded {
    let mut report = Report::new();
    let vault = vault::read(options, &mut report);
    loaded(&request(options, vault), report)
}

/// The same as `validate` is told to see it. With `no_vault` the settings are good for nothing but
/// to say that what was looked at is right.
pub(super) fn as_it_would_be(options: &Options, asked: &Validate) -> Loaded {
    let mut report = Report::new();
    let vault = if asked.no_vault { Vault::closed() } else { vault::read(options, &mut report) };
    let overlays = asked.overlays.iter().cloned();
    let overlays =
        overlays.map(|(destination, contents)| Overlay { destination, contents }).collect();
    let request = inventory::Request { overlays, ..request(options, vault) };
    if asked.all_hosts { every::host(&request, report) } else { loaded(&request, report) }
}

fn loaded(request: &inventory::Request, mut report: Report) -> Loaded {
    let (settings, summary) = with_given(request, &mut report, settings::read).unwrap_or_default();
    let refused = report.has_errors();
    Loaded { settings: settings.filter(|_| !refused), report, summary }
}

/// Where the variable of this name comes from. That other variables are right is not asked for.
pub(super) fn explanation(options: &Options, name: &str) -> Loaded<Explanation> {
    let mut report = Report::new();
    let vault = vault::read(options, &mut report);
    let found = with_given(&request(options, vault), &mut report, |given, report| {
        settings::explain(given, name, report)
    });
    Loaded { settings: found.flatten(), report, summary: Summary::default() }
}

/// The strongest of the inventories that are named.
pub(super) fn strongest(options: &Options) -> PathBuf {
    options.inventories.last().cloned().unwrap_or_else(|| INVENTORY.into())
}

/// The whole inventory, of which nothing is understood yet.
pub(super) fn inventory(options: &Options, report: &mut Report) -> Inventory {
    let vault = vault::read(options, report);
    Inventory::read(&request(options, vault), report)
}

/// What clients are told, and nothing else: that the rest is right or even complete is not asked
/// for.
pub(super) fn url(options: &Options) -> Loaded<String> {
    let mut report = Report::new();
    let request = request(options, Vault::closed());
    let url = with_given(&request, &mut report, settings::url);
    let settings = url.flatten().filter(|_| !report.has_errors());
    Loaded { settings, report, summary: Summary::default() }
}

/// What the options ask for.
fn request(options: &Options, vault: Vault) -> inventory::Request {
    let mut inventories = options.inventories.clone();
    if inventories.is_empty() {
        inventories.push(INVENTORY.into());
    }
    inventory::Request {
        inventories,
        host: options.host.clone(),
        own_names: own_names(),
        extra: options.extra_vars.clone(),
        environment: Arc::new(text_variables()),
        vault: Arc::new(vault),
        shown: table::shown,
        overlays: Vec::new(),
    }
}

/// Reads the inventory and hands on what it says of this host; none if nobody can say which host
/// that is.
fn with_given<T>(
    request: &inventory::Request,
    report: &mut Report,
    then: impl FnOnce(&Given<'_>, &mut Report) -> T,
) -> Option<T> {
    let ground = Ground::of(request, report);
    let host = ground.inventory.this_host(report)?;
    Some(then(&ground.given(&host), report))
}

/// What the settings of every host are read from.
struct Ground {
    inventory: Arc<Inventory>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    advice: String,
}

impl Ground {
    fn of(request: &inventory::Request, report: &mut Report) -> Self {
        Self {
            inventory: Arc::new(Inventory::read(request, report)),
            environment: env::vars_os().collect(),
            directory: working_directory(),
            advice: advice(&request.inventories),
        }
    }

    fn given<'a>(&'a self, host: &'a Host) -> Given<'a> {
        let Self { inventory, environment, directory, advice } = self;
        Given { inventory, host, environment, directory, advice }
    }
}

impl<T> Loaded<T> {
    /// Prints the report to stderr, in colour if that is a terminal.
    pub fn print_report(&self) {
        eprint!("{}", self.report.human(has_color(), &working_directory()));
    }

    /// The exit status of a refusal: a file or a vault value that cannot be read leaves no verdict,
    /// unless what could be read is wrong already.
    pub fn refusal(&self) -> ExitCode {
        let errors = self.report.sorted();
        let mut errors = errors.iter().filter(|d| d.severity == Severity::Error);
        let unreadable = errors.all(|d| UNREADABLE.contains(&d.check));
        ExitCode::from(if unreadable && self.report.has_errors() { NO_VERDICT } else { REFUSED })
    }
}

/// The environment as far as it is text.
fn text_variables() -> BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Whether stderr is a terminal that takes colour (no-color.org).
pub(super) fn has_color() -> bool {
    std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

pub(super) fn working_directory() -> PathBuf {
    env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
}

/// Where to set a variable that is missing, seen from the strongest inventory.
fn advice(inventories: &[PathBuf]) -> String {
    let Some(strongest) = inventories.last() else { return String::new() };
    if strongest.is_file() {
        let beside = strongest.parent().filter(|parent| !parent.as_os_str().is_empty());
        let beside = beside.map_or_else(|| PathBuf::from("."), PathBuf::from);
        return format!(
            "under `all: vars:` in `{}`, or in a `vars.yml` beside it with `-i {}`",
            strongest.display(),
            beside.display()
        );
    }
    format!("under `all: vars:` in `{}`", strongest.join("vars.yml").display())
}

/// The names of this machine: FQDN, hostname, short name, as far as they differ.
pub(super) fn own_names() -> Vec<String> {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = hostname.split('.').next().unwrap_or_default().to_owned();
    let qualified =
        fs::read_to_string("/etc/hosts").ok().and_then(|hosts| qualified_name(&hosts, &hostname));
    let mut names = Vec::new();
    for name in qualified.into_iter().chain([hostname, short]) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What `hostname --fqdn` most often answers with: the first name of the line of `/etc/hosts` that
/// names this host. A resolver might know better, but whoever is configured must not depend on
/// the network.
fn qualified_name(hosts: &str, hostname: &str) -> Option<String> {
    hosts.lines().find_map(|line| {
        let names = line.split('#').next().unwrap_or_default().split_whitespace().skip(1);
        let names: Vec<&str> = names.collect();
        let first = names.first().filter(|first| first.contains('.'))?;
        names.contains(&hostname).then(|| (*first).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{Options, qualified_name};

    #[test]
    fn options_before_and_after_the_command_add_up_in_order() {
        let of = |inventory: &str, host: Option<&str>, extra: &str| Options {
            inventories: vec![inventory.into()],
            host: host.map(str::to_owned),
            extra_vars: vec![extra.into()],
            ..Options::default()
        };
        let joined = of("a", Some("early"), "x=1").and(&of("b", None, "x=2"));
        assert_eq!(joined.inventories, ["a", "b"].map(std::path::PathBuf::from));
        assert_eq!(joined.extra_vars, ["x=1", "x=2"]);
        assert_eq!(joined.host.as_deref(), Some("early"));
        assert_eq!(joined.and(&of("c", Some("late"), "")).host.as_deref(), Some("late"));
    }

    #[test]
    fn the_qualified_name_is_the_first_of_the_line_that_names_the_host() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 node-1.example.org node-1 # here\n";
        assert_eq!(qualified_name(hosts, "node-1").as_deref(), Some("node-1.example.org"));
        assert_eq!(qualified_name(hosts, "localhost"), None);
        assert_eq!(qualified_name(hosts, "here"), None);
    }
}
