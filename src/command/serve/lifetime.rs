//! From ready to gone: what the service manager is told, and how a service drains.

use std::{future::pending, io, process::ExitCode, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, interval, sleep, timeout_at},
};

use super::Service;
use crate::settings::Settings;

/// How a service that was told twice to stop ends: as the shell shows an interrupt.
const INTERRUPTED: u8 = 130;
/// How a service ends whose listeners ended by themselves.
const BROKEN: u8 = 1;

/// The signals that a service listens to.
pub(super) struct Signals {
    hangup: Option<Signal>,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are ours.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: Some(signal(SignalKind::hangup())?),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The one that asks for a reload; none if somebody has it already.
    pub(super) fn hangup(&mut self) -> Option<Signal> {
        self.hangup.take()
    }

    /// Told to stop.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// How long the last report of use may take.
const REPORT: Duration = Duration::from_secs(2);

/// Waits for a signal, then drains. A second signal ends it at once.
pub(super) async fn until_told(
    service: &Service,
    settings: &ArcSwap<Settings>,
    mut signals: Signals,
    engine: &Handle,
) -> ExitCode {
    tell_manager(&[NotifyState::Ready]);
    engine.spawn(feed_watchdog());
    tokio::select! {
        () = signals.next() => {}
        () = service.server.ended() => {
            tracing::error!("the listeners ended by themselves");
            return ExitCode::from(BROKEN);
        }
    }
    tell_manager(&[NotifyState::Stopping]);
    let now: Arc<Settings> = settings.load_full();
    tokio::select! {
        () = drain(service, now.drain_delay.0, now.drain_timeout.0) => ExitCode::SUCCESS,
        () = signals.next() => {
            tracing::warn!("told twice to stop; transfers and fills are cut off");
            ExitCode::from(INTERRUPTED)
        }
    }
}

/// `/livez` says no while clients are still accepted, so that a load balancer takes the node out
/// before its port closes; then what is under way may finish.
async fn drain(service: &Service, delay: Duration, timeout: Duration) {
    tracing::info!(
        delay = delay.as_secs(),
        timeout = timeout.as_secs(),
        "draining; a second signal ends it at once"
    );
    service.server.drain();
    sleep(delay).await;
    let end = Instant::now() + timeout;
    service.server.stop(timeout).await;
    match timeout_at(end, service.mirror.idle()).await {
        Ok(()) => tracing::info!("everything is done; stopping"),
        Err(_) => tracing::warn!("fills or uploads are not done in time; stopping"),
    }
    // So that the clean-up knows what was used up to now. Lost, it costs a fetch at worst.
    let _ = timeout_at(Instant::now() + REPORT, service.mirror.report_use()).await;
}

pub(super) fn tell_manager(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told: {error}");
    }
}

/// Tells the service manager, twice as often as it asks for it, that the engine runs.
async fn feed_watchdog() {
    let Some(period) = sd_notify::watchdog_enabled().filter(|period| !period.is_zero()) else {
        return pending().await;
    };
    let mut ticks = interval(period / 2);
    loop {
        ticks.tick().await;
        tell_manager(&[NotifyState::Watchdog]);
    }
}
