//! HTTP in: listeners, routes, errors to statuses, TLS, the admin port.
//!
//! actix's workers are threads with runtimes of their own. What they do themselves is parsing,
//! answering from their own memory and moving bodies; everything else is the mirror's.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::timeout;

use crate::{clock::Clock, mirror::Mirror, settings::Settings, telemetry::Metrics};

mod admin;
mod api;
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

pub use api::Token;

use query::Namespaces;
use tally::Tallies;

/// How to listen.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where clients come; port 0 takes any that is free. It cannot change, as `admin` cannot.
    pub listen: SocketAddr,
    /// Where health and metrics are; port 0 takes any that is free.
    pub admin: SocketAddr,
    /// Who this server is, over TLS; none for plain HTTP.
    pub tls: Option<Arc<tls::Identity>>,
    /// What the admin API asks for; none: nobody may use it.
    pub token: Option<Token>,
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
    namespaces: ArcSwap<Namespaces>,
    /// Of what workers remember, only what was learnt in this age counts.
    age: AtomicU64,
    draining: AtomicBool,
    tallies: Tallies,
    token: Option<Token>,
}

impl Shared {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn age(&self) -> u64 {
        self.age.load(Ordering::Acquire)
    }

    /// Lets workers forget what they remember, be it even that a request under way brings it now.
    fn forget(&self) {
        self.age.fetch_add(1, Ordering::AcqRel);
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
    /// None once it stopped, so that the port is closed.
    port: Mutex<Option<TcpListener>>,
    clients: ArcSwap<Clients>,
    admin: listen::Running,
}

/// The workers that clients come to now.
#[derive(Debug)]
struct Clients {
    running: listen::Running,
    tls: Option<Arc<tls::Identity>>,
}

/// Starts listening. Everything about it that is not a worker's runs on the mirror's engine.
///
/// # Errors
/// See [`StartError`].
pub fn start(config: ServerConfig, mirror: Mirror, metrics: Metrics) -> Result<Server, StartError> {
    let parts = mirror.parts();
    let engine = parts.engine.clone();
    let shared = Arc::new(Shared {
        namespaces: ArcSwap::from_pointee(Namespaces::of(&parts.settings.load().upstream_url)),
        age: AtomicU64::new(0),
        clock: parts.clock.clone(),
        draining: AtomicBool::new(false),
        tallies: Tallies::default(),
        token: config.token.clone(),
        mirror,
        metrics,
    });
    let _context = engine.enter();
    let admin = listen::admin(&config, &shared)?;
    let port = socket::listener(config.listen)
        .map_err(|source| StartError::Listen { address: config.listen, source })?;
    let running = listen::clients(&port, config.tls.as_ref(), &shared)?;
    if let Some(identity) = &config.tls {
        identity.watch(&engine);
    }
    engine.spawn(write_down(Arc::downgrade(&shared)));
    Ok(Server {
        address: running.address,
        admin_address: admin.address,
        shared,
        port: Mutex::new(Some(port)),
        clients: ArcSwap::from_pointee(Clients { running, tls: config.tls }),
        admin,
    })
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

    /// Whether clients are told to go elsewhere.
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// Follows settings that the mirror has taken already. Nothing that a worker remembers from
    /// before outlives this, be it even that a request under way brings it now.
    pub fn follow(&self, settings: &Settings) {
        self.shared.namespaces.store(Arc::new(Namespaces::of(&settings.upstream_url)));
        self.shared.forget();
    }

    /// Serves new connections with `tls` from now on, or without; those that are there go on as
    /// they began. Where TLS comes or goes, those that come in this very moment may be cut or be
    /// served as before. To be called on the engine, by one caller at a time.
    ///
    /// # Errors
    /// See [`StartError`]; nothing changed then.
    pub fn serve_as(&self, tls: Option<Arc<tls::Identity>>) -> Result<(), StartError> {
        let before = self.clients.load_full();
        let tls = match (&before.tls, tls) {
            (None, None) => return Ok(()),
            (Some(now), Some(next)) => {
                now.adopt(&next);
                return Ok(());
            }
            (_, tls) => tls,
        };
        // Another set of workers on the same port: the queue of connections is the port's, so that
        // none is refused meanwhile.
        let Some(port) = &*self.port() else { return Ok(()) };
        before.running.pause();
        let running = listen::clients(port, tls.as_ref(), &self.shared)
            .inspect_err(|_| before.running.resume())?;
        if let Some(identity) = &tls {
            identity.watch(&self.shared.mirror.parts().engine);
        }
        self.clients.store(Arc::new(Clients { running, tls }));
        self.shared.mirror.parts().engine.spawn(async move { before.running.stop(true).await });
        Ok(())
    }

    /// Who this server is, over TLS.
    pub fn identity(&self) -> Option<Arc<tls::Identity>> {
        self.clients.load().tls.clone()
    }

    /// Stops accepting and lets active transfers finish, for no longer than `limit`: what goes on
    /// then ends with the process. The admin port answers until the end.
    pub async fn stop(&self, limit: Duration) {
        self.drain();
        self.port().take();
        let clients = self.clients.load_full();
        if timeout(limit, clients.running.stop(true)).await.is_err() {
            tracing::warn!("transfers are not done in time and are cut off");
        }
        self.shared.tallies.flush(&self.shared.mirror, &self.shared.metrics);
        self.admin.stop(false).await;
    }

    /// Ends when a listener has ended, be it that it was told to or by itself.
    pub async fn ended(&self) {
        let clients = async {
            loop {
                let clients = self.clients.load_full();
                clients.running.ended().await;
                if Arc::ptr_eq(&clients, &self.clients.load()) {
                    return;
                }
            }
        };
        tokio::select! {
            () = clients => {}
            () = self.admin.ended() => {}
        }
    }

    fn port(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
