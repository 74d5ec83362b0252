//! `serve`: puts the parts together, says that it is ready, and goes in good order.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::{Builder, Handle},
    signal::unix::Signal,
    sync::Mutex,
    task::JoinHandle,
};

use super::{NO_START, REFUSED};
use crate::{
    cli::Options,
    clock::{self, Clock},
    mirror::{Mirror, Node, Parts},
    server::{
        self, Server, ServerConfig, StartError, Token,
        tls::{Identity, TlsError},
    },
    settings::{Settings, Tls},
    store::fs::OpenError,
    telemetry::{Logs, Metrics},
    upstream::{Hub, Upstream},
};

mod control;
mod key;
mod lifetime;
pub(super) mod parts;
mod reloading;

use control::Control;
use reloading::Reloader;

/// How long tasks that are still running may take to see that they are no longer wanted.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(2);

/// Why the service cannot start: one line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// 1 where the configuration is wrong, 3 where the machine is not as it says.
    pub code: u8,
    /// Whether another process has the data path.
    pub in_use: bool,
}

impl Failure {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), Some(hint.into()));
        Self { message, hint, code: NO_START, in_use: false }
    }

    fn of_settings(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: REFUSED, ..Self::new(message, hint) }
    }

    fn without_hint(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: NO_START, in_use: false }
    }
}

/// A service that listens.
#[derive(Debug)]
pub struct Service {
    /// Its listeners.
    pub server: Server,
    /// What it serves.
    pub mirror: Mirror,
    /// What it counts.
    pub metrics: Metrics,
}

/// Runs the service until it is told to stop. `options` say where `settings` came from, and where
/// the next ones will.
pub fn run(options: Options, settings: Settings) -> ExitCode {
    let logs = Logs::to_stderr(settings.log_level, settings.log_format);
    // Fails where another is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let engine = match Builder::new_multi_thread().thread_name("engine").enable_all().build() {
        Ok(engine) => engine,
        Err(error) => {
            return failed(&Failure::new(
                format!("cannot start threads: {error}"),
                "look at the limits of the process (ulimit -u, TasksMax)",
            ));
        }
    };
    let code = engine.block_on(serve(options, settings, logs, engine.handle()));
    engine.shutdown_timeout(LAST_WORDS);
    code
}

async fn serve(
    options: Options,
    settings: Settings,
    logs: Option<Logs>,
    engine: &Handle,
) -> ExitCode {
    // Before anything listens, so that no signal finds the default, which is to die.
    let mut signals = match lifetime::Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            return failed(&Failure::without_hint(format!("cannot handle signals: {error}")));
        }
    };
    let metrics = Metrics::new();
    let settings = Arc::new(ArcSwap::from_pointee(settings));
    let clock = clock::system();
    let hub = parts::hub(&settings.load()).and_then(|config| {
        let hub = Hub::new(config, engine.clone(), clock.clone(), metrics.clone());
        hub.map_err(parts::unusable)
    });
    let token = Token::random();
    let key = token.as_ref().and_then(key::Key::leave);
    let service = hub.and_then(|hub| {
        let upstream = Arc::new(hub.clone());
        let node = parts::node(options.host.as_ref());
        let (settings, engine) = (settings.clone(), engine.clone());
        Ok((open(settings, upstream, node, clock, metrics, engine, token)?, hub))
    });
    let (service, hub) = match service {
        Ok((service, hub)) => (Arc::new(service), hub),
        Err(failure) => return failed(&failure),
    };
    let mirror = service.mirror.clone();
    engine.spawn(async move { mirror.watch().await });
    let reloader = Arc::new(Reloader {
        options,
        settings: settings.clone(),
        hub,
        service: service.clone(),
        logs,
        engine: engine.clone(),
        turn: Mutex::default(),
    });
    let control = listen_for_commands(&reloader, engine);
    let hangup = signals.hangup();
    let reloads = engine.spawn(reload_on(hangup, reloader));
    say_ready(&settings.load(), service.server.address);
    let code = lifetime::until_told(&service, &settings, signals, engine).await;
    // So that its socket is gone when we are.
    if let Some(control) = control {
        control.abort();
        let _ = control.await;
    }
    reloads.abort();
    drop(key);
    code
}

/// Answers commands that come through the socket, if there can be one.
fn listen_for_commands(reloader: &Arc<Reloader>, engine: &Handle) -> Option<JoinHandle<()>> {
    let Some(path) = super::control::socket() else {
        tracing::info!("there is no runtime directory; `reload` does not work, SIGHUP does");
        return None;
    };
    let place = path.display().to_string();
    match Control::open(&path) {
        Ok(control) => Some(engine.spawn(control.answer(reloader.clone(), engine.clone()))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            tracing::warn!(
                place,
                "another service answers `reload` there; SIGHUP reloads this one"
            );
            None
        }
        Err(error) => {
            let why = error.kind().to_string();
            tracing::warn!(place, why, "`reload` does not work, SIGHUP does");
            None
        }
    }
}

/// Reloads at each SIGHUP. Several that come during a reload are one.
async fn reload_on(hangup: Option<Signal>, reloader: Arc<Reloader>) {
    let Some(mut hangup) = hangup else { return };
    while hangup.recv().await.is_some() {
        reloader.reload().await;
    }
}

/// Opens the stores, makes the mirror and starts to listen. Asks neither the upstream nor a bucket
/// anything. Blocks for as long as a few calls to the disk take.
///
/// # Errors
/// A directory, a certificate or an address cannot be used.
pub fn open(
    settings: Arc<ArcSwap<Settings>>,
    upstream: Arc<dyn Upstream>,
    node: Node,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    engine: Handle,
    token: Option<Token>,
) -> Result<Service, Failure> {
    let now = settings.load_full();
    make_directory(&now.data_path)?;
    let identity = identity(&now)?;
    let mirror = mirror(settings, upstream, node, clock, metrics.clone(), engine)?;
    let config = ServerConfig {
        listen: SocketAddr::new(now.listen_address, now.listen_port),
        admin: now.admin_address,
        tls: identity,
        token,
    };
    let server = server::start(config, mirror.clone(), metrics.clone()).map_err(|error| {
        let admin = matches!(&error, StartError::Listen { address, .. }
            if *address == now.admin_address);
        not_listening(&error, if admin { "admin_address" } else { "listen_port" })
    })?;
    Ok(Service { server, mirror, metrics })
}

/// Opens the stores and makes the mirror.
///
/// # Errors
/// A directory cannot be used.
pub(super) fn mirror(
    settings: Arc<ArcSwap<Settings>>,
    upstream: Arc<dyn Upstream>,
    node: Node,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    engine: Handle,
) -> Result<Mirror, Failure> {
    let now = settings.load_full();
    make_directory(&now.data_path)?;
    let stores = parts::stores(&now, &engine, &metrics)?;
    let spool = now.data_path.join("spool");
    make_directory(&spool)?;
    Mirror::new(Parts {
        far: stores.far,
        near: stores.near,
        records: stores.records,
        layout: stores.layout,
        upstream,
        settings,
        node: Arc::new(node),
        clock,
        metrics,
        engine,
        spool: spool.clone(),
    })
    .map_err(|error| unwritable(&spool, &error))
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| unwritable(path, &error))
}

fn identity(settings: &Settings) -> Result<Option<Arc<Identity>>, Failure> {
    let identity = match settings.tls {
        Tls::Off => return Ok(None),
        Tls::Files => Identity::of_files(&settings.tls_certificate, &settings.tls_private_key),
        Tls::Generated => Identity::generated(&settings.data_path.join("tls"), &names(settings)),
    };
    identity.map(Some).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        let hint = match &error {
            TlsError::Read { .. } => "the service's user must be able to read it",
            TlsError::Keep { .. } | TlsError::Generate => {
                "look at registry_mirror_data_path, or set registry_mirror_tls to `files` or `off`"
            }
            _ => "look at registry_mirror_tls_certificate and registry_mirror_tls_private_key",
        };
        Failure::new(format!("{error}{}", cause.unwrap_or_default()), hint)
    })
}

/// What a certificate of our own is for: every name under which a client may come.
fn names(settings: &Settings) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec![host, "localhost".into(), "127.0.0.1".into(), "::1".into()];
    if !settings.listen_address.is_unspecified() {
        names.push(settings.listen_address.to_string());
    }
    names.extend(settings.domain.clone());
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| is_name(name) && seen.insert(name.clone()));
    names
}

/// Whether a certificate can hold it. A host may be called anything.
fn is_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':');
    !text.is_empty() && text.bytes().all(word)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("cannot use the data path `{}`: {error}", path.display()),
        "the service's user must own it, or set registry_mirror_data_path",
    )
}

fn unopened(error: &OpenError) -> Failure {
    // Its hint stands on a line of its own already.
    let text = error.to_string();
    let in_use = matches!(error, OpenError::InUse { .. });
    match text.split_once("\nhint: ") {
        Some((message, hint)) => Failure { in_use, ..Failure::new(message, hint) },
        None => Failure::new(
            text,
            "the service's user must own the data path, or set registry_mirror_data_path",
        ),
    }
}

fn not_listening(error: &StartError, variable: &str) -> Failure {
    let StartError::Listen { address, source } = error else {
        return Failure::without_hint(error.to_string());
    };
    let (why, hint) = match source.kind() {
        io::ErrorKind::AddrInUse => (
            "the address is in use".to_owned(),
            format!("`ss -ltnp` shows by what; or set registry_mirror_{variable}"),
        ),
        io::ErrorKind::AddrNotAvailable => (
            "this machine has no such address".to_owned(),
            "`ip address` shows those that it has".to_owned(),
        ),
        io::ErrorKind::PermissionDenied => (
            "the system does not allow it".to_owned(),
            "a port below 1024 needs CAP_NET_BIND_SERVICE".to_owned(),
        ),
        _ => (source.to_string(), format!("look at registry_mirror_{variable}")),
    };
    Failure::new(format!("cannot listen on {address}: {why}"), hint)
}

#[allow(clippy::print_stderr)]
fn failed(failure: &Failure) -> ExitCode {
    eprintln!("error: {}", failure.message);
    if let Some(hint) = &failure.hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(failure.code)
}

/// Two lines on standard output, for a person and for a script that waits.
fn say_ready(settings: &Settings, address: SocketAddr) {
    use io::Write;

    let scheme = if settings.tls == Tls::Off { "http" } else { "https" };
    let host = host_for_clients(settings, address);
    let mut out = io::stdout().lock();
    // Whoever closed our standard output does not want to know.
    let _ = writeln!(out, "ready on {scheme}://{address}");
    let _ = writeln!(out, "hint: docker pull {host}/library/alpine");
    let _ = out.flush();
}

/// What clients call this mirror: the address, or where that is none in particular, what the
/// settings tell clients, or loopback.
fn host_for_clients(settings: &Settings, address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let told = settings.url.as_deref().and_then(|url| url.split_once("://"));
    match told.and_then(|(_, rest)| rest.split('/').next()).filter(|host| !host.is_empty()) {
        Some(host) => host.to_owned(),
        None => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()).to_string(),
    }
}

#[cfg(test)]
mod tests;
