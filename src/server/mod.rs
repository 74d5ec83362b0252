//! HTTP in: listeners, routes, errors to statuses, TLS, the admin port.
//!
//! actix's workers are threads with runtimes of their own. What they do themselves is parsing,
//! answering from their own memory and moving bodies; everything else is the mirror's.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{clock::Clock, mirror::Mirror, telemetry::Metrics};

mod admin;
mod body;
mod conditions;
mod handler;
mod headers;
mod hot;
mod listen;
mod problem;
mod query;
mod record;
mod route;
mod socket;
mod tally;
pub mod tls;

use query::Namespaces;
use tally::Tallies;

/// How to listen. Changes need a restart.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where clients come; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Where health and metrics are; port 0 takes any that is free.
    pub admin: SocketAddr,
    /// How long active transfers may go on after [`Server::stop`]. Rounded up to seconds.
    pub drain_timeout: Duration,
    /// Who this server is, over TLS; none for plain HTTP.
    pub tls: Option<Arc<tls::Identity>>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why, as the system said.
        #[source]
        source: std::io::Error,
    },
    /// The TLS library refuses its own defaults, or has no randomness.
    #[error("cannot set up TLS")]
    Tls,
}

/// What all workers share, none of it behind a lock that a hit takes.
#[derive(Debug)]
struct Shared {
    mirror: Mirror,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    namespaces: Namespaces,
    draining: AtomicBool,
    tallies: Tallies,
}

impl Shared {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A server that runs. Dropping it stops nothing; see [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    /// Where clients come.
    pub address: SocketAddr,
    /// Where health and metrics are.
    pub admin_address: SocketAddr,
    shared: Arc<Shared>,
    clients: listen::Running,
    admin: listen::Running,
}

/// Starts listening. Everything about it that is not a worker's runs on the mirror's engine.
///
/// # Errors
/// See [`StartError`].
pub fn start(config: ServerConfig, mirror: Mirror, metrics: Metrics) -> Result<Server, StartError> {
    let parts = mirror.parts();
    let engine = parts.engine.clone();
    let shared = Arc::new(Shared {
        namespaces: Namespaces::of(&parts.settings.load().upstream_url),
        clock: parts.clock.clone(),
        draining: AtomicBool::new(false),
        tallies: Tallies::default(),
        mirror,
        metrics,
    });
    let _context = engine.enter();
    let admin = listen::admin(&config, &shared)?;
    let clients = listen::clients(&config, &shared)?;
    engine.spawn(write_down(Arc::downgrade(&shared)));
    Ok(Server { address: clients.address, admin_address: admin.address, shared, clients, admin })
}

/// Writes down what was counted, every ten seconds, until the server is gone.
async fn write_down(shared: Weak<Shared>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.tallies.flush(&shared.mirror, &shared.metrics);
    }
}

impl Server {
    /// From now on `/livez` says that clients should go elsewhere. They are still served.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Stops accepting, lets active transfers finish for as long as the configuration allows,
    /// then cuts the rest. The admin port answers until the end.
    pub async fn stop(&self) {
        self.drain();
        self.clients.stop(true).await;
        self.shared.tallies.flush(&self.shared.mirror, &self.shared.metrics);
        self.admin.stop(false).await;
    }

    /// Ends when a listener has ended, be it that it was told to or by itself.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.clients.ended() => {}
            () = self.admin.ended() => {}
        }
    }
}
