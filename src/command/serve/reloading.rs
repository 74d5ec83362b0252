//! A reload: the configuration is read and judged, everything that is made of it is made, and only
//! then taken, as a whole. Until then nothing changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use serde_json::Value as Json;
use tokio::{runtime::Handle, sync::Mutex};

use super::{Failure, Service, identity, lifetime::tell_manager, not_listening, parts};
use crate::{
    cli::Options,
    command::load,
    diagnostic::{Diagnostic, Report, Severity},
    settings::{Settings, table::PREFIX, to_json},
    telemetry::Logs,
    upstream::Hub,
};

/// What became of a reload.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Everything there is to say about the configuration.
    pub(super) report: Report,
    pub(super) outcome: Outcome,
}

/// Whether the configuration is in use.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is.
    Taken {
        /// Names of the variables that changed and have taken effect.
        changed: Vec<String>,
    },
    /// It is not, and nothing changed.
    Refused,
}

/// What a reload needs.
#[derive(Debug)]
pub(super) struct Reloader {
    /// What the service was started with.
    pub(super) options: Options,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) hub: Hub,
    pub(super) service: Arc<Service>,
    /// None where somebody else writes the log.
    pub(super) logs: Option<Logs>,
    pub(super) engine: Handle,
    /// One reload at a time: a second reads what is there when the first is done.
    pub(super) turn: Mutex<()>,
}

impl Reloader {
    /// Reloads. It goes on where its caller leaves, so that it ends one way or the other.
    pub(super) async fn reload(self: &Arc<Self>) -> Verdict {
        let this = self.clone();
        let task = self.engine.spawn(async move {
            let _turn = this.turn.lock().await;
            // systemd compares the time with that of its own request, sd_notify(3).
            match NotifyState::monotonic_usec_now() {
                Ok(now) => tell_manager(&[NotifyState::Reloading, now]),
                Err(_) => tell_manager(&[NotifyState::Reloading]),
            }
            let reloader = this.clone();
            let reload = this.engine.spawn_blocking(move || reloader.reload_here());
            let verdict = reload.await.unwrap_or_else(|_| Verdict::broken());
            this.tell(&verdict);
            verdict
        });
        task.await.unwrap_or_else(|_| Verdict::broken())
    }

    /// Tells everyone but the asker.
    fn tell(&self, verdict: &Verdict) {
        for diagnostic in verdict.report.sorted() {
            log(diagnostic);
        }
        let taken = match &verdict.outcome {
            Outcome::Taken { changed } => {
                tracing::info!(changed = changed.join(" "), "the configuration was reloaded");
                true
            }
            Outcome::Refused => {
                tracing::error!("the reload is refused, the former configuration stays in use");
                false
            }
        };
        let status = if taken { "" } else { "the last reload was refused; see the log" };
        tell_manager(&[NotifyState::Ready, NotifyState::Status(status)]);
        let now = self.service.mirror.parts().clock.now();
        self.service.metrics.reload(taken, now);
    }

    /// Blocks: files are read, and programs run that print a vault's password.
    fn reload_here(&self) -> Verdict {
        let _context = self.engine.enter();
        let loaded = load::settings(&self.options);
        let mut report = loaded.report;
        let Some(asked) = loaded.settings else { return Verdict::refused(report) };
        if self.service.server.is_draining() {
            report.push(Diagnostic::error("stopping", "the service is stopping"));
            return Verdict::refused(report);
        }
        let before = self.settings.load_full();
        let wanted = to_json(&asked);
        let (next, changed) = before.followed_by(asked);
        let in_use = to_json(&next);
        for name in changed.waiting {
            report.push(waiting(name, &in_use, &wanted));
        }
        let hub =
            parts::hub(&next).and_then(|config| self.hub.prepare(config).map_err(parts::unusable));
        let identity = identity(&next);
        let (hub, identity) = match (hub, identity) {
            (Ok(hub), Ok(identity)) => (hub, identity),
            (hub, identity) => {
                report.extend([hub.err(), identity.err()].into_iter().flatten().map(said));
                return Verdict::refused(report);
            }
        };
        // The last thing that may fail, so the first that is done.
        if let Err(error) = self.service.server.serve_as(identity) {
            report.push(said(not_listening(&error, "tls")));
            return Verdict::refused(report);
        }
        let next = Arc::new(next);
        self.settings.store(next.clone());
        self.hub.adopt(hub);
        self.service.mirror.follow(&next);
        self.service.server.follow(&next);
        if let Some(logs) = &self.logs {
            logs.change(next.log_level, next.log_format);
        }
        let changed = changed.live.into_iter().map(full).collect();
        Verdict { report, outcome: Outcome::Taken { changed } }
    }
}

impl Verdict {
    fn refused(report: Report) -> Self {
        Self { report, outcome: Outcome::Refused }
    }

    fn broken() -> Self {
        let mut report = Report::new();
        report.push(Diagnostic::error("broken", "the reload did not come to its end"));
        Self::refused(report)
    }
}

/// A setting that was changed and waits for the next start.
fn waiting(name: &str, in_use: &Json, wanted: &Json) -> Diagnostic {
    let name = full(name);
    let value = |values: &Json| match values.get(&name) {
        Some(Json::String(text)) => format!("`{text}`"),
        Some(Json::Null) | None => "unset".into(),
        Some(value) => format!("`{value}`"),
    };
    let message = format!(
        "`{name}` stays {} until the next start, then it is {}",
        value(in_use),
        value(wanted)
    );
    Diagnostic::warning("needs-restart", message)
        .hint("`systemctl restart registry-mirror` when the node can be spared")
        .variable(name)
}

fn full(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// What would keep a service from starting keeps a reload from being taken.
fn said(failure: Failure) -> Diagnostic {
    let diagnostic = Diagnostic::error("unusable", failure.message);
    match failure.hint {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic,
    }
}

/// One line of the log.
fn log(diagnostic: &Diagnostic) {
    let place = diagnostic.place.as_ref().map(|place| match place.line {
        0 => place.file.display().to_string(),
        line => format!("{}:{line}:{}", place.file.display(), place.column),
    });
    let (check, message) = (diagnostic.check, &diagnostic.message);
    let hint = diagnostic.hint.as_deref();
    match diagnostic.severity {
        Severity::Error => tracing::error!(check, place, hint, "{message}"),
        Severity::Warning => tracing::warn!(check, place, hint, "{message}"),
        Severity::Info => tracing::info!(check, place, hint, "{message}"),
    }
}
