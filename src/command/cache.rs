//! `cache`: a job for the running service, or where none runs, done here on the store itself.

use std::{
    fs, io::ErrorKind, net::TcpStream, os::unix::fs::MetadataExt, process::ExitCode, sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, Handle};

use super::{NO_VERDICT, REFUSED, control, serve};
use crate::{
    cli::{self, CacheAction},
    clock,
    mirror::{BadImage, Image, Job, Line},
    settings::Settings,
    telemetry::{Logs, Metrics},
    upstream::Hub,
};

mod client;
mod show;

use show::Screen;

/// Why there is no answer: one line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
struct NoAnswer {
    message: String,
    hint: String,
}

impl NoAnswer {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Does what is asked for. 0: all is as it should be; 1: it is not; 2: nobody can tell.
pub(super) fn run(asked: &cli::Cache, settings: Settings) -> ExitCode {
    let ended = job(&asked.action).and_then(|job| {
        if !show::is_sure(&job, &asked.action) {
            return Err(NoAnswer::new("nothing is done", "answer `yes`, or give `--yes`"));
        }
        let screen = Screen::new(asked.json);
        match running(&settings)? {
            Some(token) => ask(&settings, &token, &job, &screen)?,
            None => do_it(settings, job, &screen)?,
        }
        Ok(screen.verdict())
    });
    match ended {
        Ok(Some(true)) => ExitCode::SUCCESS,
        Ok(Some(false)) => ExitCode::from(REFUSED),
        Ok(None) => ExitCode::from(NO_VERDICT),
        Err(NoAnswer { message, hint }) => {
            eprintln!("error: {message}\nhint: {hint}");
            ExitCode::from(NO_VERDICT)
        }
    }
}

fn job(action: &CacheAction) -> Result<Job, NoAnswer> {
    Ok(match action {
        CacheAction::Ls { image, .. } => {
            Job::List { image: image.as_deref().map(read).transpose()? }
        }
        CacheAction::Du { .. } => Job::Usage,
        CacheAction::Purge { images, dry_run, .. } => {
            Job::Purge { images: read_all(images)?, dry_run: *dry_run }
        }
        CacheAction::Verify { image, .. } => {
            Job::Verify { image: image.as_deref().map(read).transpose()? }
        }
        CacheAction::Gc { dry_run, .. } => Job::Clean { dry_run: *dry_run },
        CacheAction::Adopt { .. } => Job::Adopt,
        CacheAction::Links { .. } => Job::HandBack,
        CacheAction::Warm { images, file, platforms, .. } => {
            let mut all = images.clone();
            if let Some(path) = file {
                let text = fs::read_to_string(path).map_err(|error| {
                    let message = format!("`{}` cannot be read: {}", path.display(), error.kind());
                    NoAnswer::new(message, "a list has an image on each line")
                })?;
                let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
                all.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
            }
            if all.is_empty() {
                let hint = "name images, or give a list with `--file`";
                return Err(NoAnswer::new("there is nothing to pull", hint));
            }
            let platforms = match platforms.as_slice() {
                [] => vec![own_platform()],
                given => given.to_vec(),
            };
            Job::Warm { images: read_all(&all)?, platforms }
        }
    })
}

fn read_all(texts: &[String]) -> Result<Vec<Image>, NoAnswer> {
    texts.iter().map(|text| read(text)).collect()
}

fn read(text: &str) -> Result<Image, NoAnswer> {
    text.parse().map_err(|error: BadImage| {
        NoAnswer::new(format!("`{text}` is {error}"), "for example `library/alpine:3.20`")
    })
}

fn own_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// The token of the service that runs; none if none does.
fn running(settings: &Settings) -> Result<Option<String>, NoAnswer> {
    let mut closed = None;
    for path in control::tokens() {
        match fs::read_to_string(&path) {
            Ok(token) => {
                // A service that was killed leaves its token behind.
                if TcpStream::connect(settings.admin_address).is_ok() {
                    return Ok(Some(token.trim().to_owned()));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => closed = Some((path, error)),
        }
    }
    match closed {
        // That of another service, if this user has a store of their own.
        Some(_) if owner(settings).is_ok_and(is_us) => Ok(None),
        Some((path, error)) => {
            let (place, why) = (path.display(), error.kind());
            let message = format!("the token of the service cannot be read at `{place}`: {why}");
            Err(NoAnswer::new(message, "run this as root, or as one of the service's group"))
        }
        None => Ok(None),
    }
}

/// Whose the data path is.
fn owner(settings: &Settings) -> Result<u32, NoAnswer> {
    let place = settings.data_path.display();
    fs::metadata(&settings.data_path).map(|known| known.uid()).map_err(|error| {
        let message = format!("the data path `{place}` cannot be used: {}", error.kind());
        NoAnswer::new(
            message,
            "the service makes it when it starts; look at registry_mirror_data_path, and whether \
             the inventory is the service's",
        )
    })
}

fn is_us(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
}

fn ask(settings: &Settings, token: &str, job: &Job, screen: &Screen) -> Result<(), NoAnswer> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|_| no_threads())?;
    runtime.block_on(client::ask(settings.admin_address, token, job, &|line| screen.show(line)))
}

/// Does the job in this process.
fn do_it(settings: Settings, job: Job, screen: &Screen) -> Result<(), NoAnswer> {
    // Copies and bodies in flight lie there with a bucket, too.
    if !is_us(owner(&settings)?) {
        return Err(NoAnswer::new(
            format!("`{}` belongs to another user", settings.data_path.display()),
            "run this as the service's user, who must be able to remove what is written",
        ));
    }
    let unfound = unfound(&settings);
    let _logs = Logs::to_stderr(crate::settings::LogLevel::Error, settings.log_format);
    // Fails where another is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let engine = Builder::new_multi_thread().thread_name("engine").enable_all().build();
    let engine = engine.map_err(|_| no_threads())?;
    let handle = engine.handle().clone();
    engine.block_on(async {
        let mirror = open(settings, handle).map_err(|failure| {
            let hint = failure.hint.unwrap_or_else(|| "see `registry-mirror validate`".into());
            NoAnswer::new(failure.message, if failure.in_use { unfound } else { hint })
        })?;
        mirror.run(job, &|line: Line| screen.show(line)).await;
        mirror.idle().await;
        let _ = mirror.report_use().await;
        Ok(())
    })
}

/// What to do where a service has the store, and does not answer where it was looked for.
fn unfound(settings: &Settings) -> String {
    let tokens: Vec<String> =
        control::tokens().iter().map(|path| format!("`{}`", path.display())).collect();
    format!(
        "the service runs and was not found: there is no token of it at {}, or it does not answer \
         at {}; give the RUNTIME_DIRECTORY and the inventory that it has",
        tokens.join(" or "),
        settings.admin_address
    )
}

fn open(settings: Settings, engine: Handle) -> Result<crate::mirror::Mirror, serve::Failure> {
    let (clock, metrics) = (clock::system(), Metrics::new());
    let hub =
        Hub::new(serve::parts::hub(&settings)?, engine.clone(), clock.clone(), metrics.clone());
    let hub = hub.map_err(serve::parts::unusable)?;
    let node = serve::parts::node(None);
    let settings = Arc::new(ArcSwap::from_pointee(settings));
    serve::mirror(settings, Arc::new(hub), node, clock, metrics, engine)
}

fn no_threads() -> NoAnswer {
    NoAnswer::new("cannot start threads", "look at the limits of the process (ulimit -u, TasksMax)")
}
