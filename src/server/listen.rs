//! The listeners: actix's server, with every limit named.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use actix_web::{
    App, Error, HttpServer,
    dev::{Server as Actix, ServerHandle, ServiceRequest, ServiceResponse},
    http::KeepAlive,
};
use futures_util::future::{Either, ready};
use tokio::sync::watch;

use super::{
    ServerConfig, Shared, StartError,
    admin::Admin,
    api::{self, API},
    handler::Worker,
    socket::listener,
    tls::Identity,
};

/// How long a connection may be idle between requests. Longer than any client pauses within a
/// pull, shorter than the 350 s after which a load balancer forgets the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request's head, from the first byte or the connection.
const HEAD: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take to close after it was told to.
const GOODBYE: Duration = Duration::from_secs(5);
/// TLS handshakes in progress for each worker. Docker opens a connection for each request, so a
/// fleet that starts at once comes as handshakes; one beyond the bound waits in the backlog.
const HANDSHAKES: usize = 512;
/// Connections for each worker: beyond any fleet, below the usual limit of descriptors.
const CONNECTIONS: usize = 16_384;
/// Bytes of manifests that all workers together remember, in each of two generations.
const MEMORY: usize = 8 << 20;

/// A set of workers that listens.
#[derive(Debug)]
pub(super) struct Running {
    /// Where.
    pub(super) address: SocketAddr,
    handle: ServerHandle,
    ended: watch::Receiver<bool>,
}

impl Running {
    /// Spawns on the runtime whose context this is called in.
    fn spawn(address: SocketAddr, server: Actix) -> Self {
        let handle = server.handle();
        let (tell, ended) = watch::channel(false);
        tokio::runtime::Handle::current().spawn(async move {
            // It fails only where a worker's thread cannot be made, which ends it all the same.
            let _ = server.await;
            tell.send_replace(true);
        });
        Self { address, handle, ended }
    }

    /// Accepts nothing more, in a moment.
    pub(super) fn pause(&self) {
        // Sent when it is called; its end says no more than that.
        drop(self.handle.pause());
    }

    /// Accepts again.
    pub(super) fn resume(&self) {
        drop(self.handle.resume());
    }

    /// Stops accepting; waits for active requests if `gracefully`.
    pub(super) async fn stop(&self, gracefully: bool) {
        self.handle.stop(gracefully).await;
        self.ended().await;
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        // An error means that the sender is gone, and so is the server.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// How long active transfers may go on after the listener was told to stop: whoever stops it
/// decides, and gives up waiting. A year, since a timer has to hold it.
const DRAIN: u64 = 365 * 86_400;

/// Listens for clients on `port`, a copy of which it takes.
pub(super) fn clients(
    port: &TcpListener,
    tls: Option<&Arc<Identity>>,
    shared: &Arc<Shared>,
) -> Result<Running, StartError> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let shared = shared.clone();
    let server = HttpServer::new(move || {
        let worker = Rc::new(Worker::new(shared.clone(), MEMORY / workers));
        App::new().default_service(move |request: ServiceRequest| answer(&worker, request))
    })
    .workers(workers)
    .max_connections(CONNECTIONS)
    .max_connection_rate(HANDSHAKES)
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .client_request_timeout(HEAD)
    .client_disconnect_timeout(GOODBYE)
    .tls_handshake_timeout(HANDSHAKE)
    .tcp_nodelay(true)
    .shutdown_timeout(DRAIN)
    .disable_signals();
    let address = port.local_addr().unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into());
    let failed = |source| StartError::Listen { address, source };
    let listener = port.try_clone().map_err(failed)?;
    let server = match tls {
        Some(identity) => {
            let tls = identity.config().map_err(|_| StartError::Tls)?;
            server.listen_rustls_0_23(listener, tls).map_err(failed)?
        }
        None => server.listen(listener).map_err(failed)?,
    };
    Ok(Running::spawn(address, server.run()))
}

/// Listens for those who look after the node.
pub(super) fn admin(config: &ServerConfig, shared: &Arc<Shared>) -> Result<Running, StartError> {
    let shared = shared.clone();
    let configured = config.admin.ip();
    let failed = |source| StartError::Listen { address: config.admin, source };
    let server = HttpServer::new(move || {
        let admin = Rc::new(Admin::new(shared.clone(), configured));
        App::new().default_service(move |request: ServiceRequest| look_after(&admin, request))
    })
    .workers(1)
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .client_request_timeout(HEAD)
    .disable_signals()
    .listen(listener(config.admin).map_err(failed)?)
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(config.admin);
    Ok(Running::spawn(address, server.run()))
}

type Answer = Result<ServiceResponse, Error>;

/// At once, unless it is for the API.
fn look_after(admin: &Admin, request: ServiceRequest) -> impl Future<Output = Answer> + use<> {
    let (request, payload) = request.into_parts();
    let at_once = match admin.refused(&request) {
        None if request.uri().path().starts_with(API) => None,
        None => Some(admin.answer(&request)),
        refused => refused,
    };
    if let Some(response) = at_once {
        return Either::Left(ready(Ok(ServiceResponse::new(request, response))));
    }
    let shared = admin.shared();
    let slow: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(async move {
        let response = api::answer(shared, request.clone(), payload).await;
        Ok(ServiceResponse::new(request, response))
    });
    Either::Right(slow)
}

/// At once if the worker remembers the answer, else as a future.
fn answer(worker: &Rc<Worker>, request: ServiceRequest) -> impl Future<Output = Answer> + use<> {
    let (request, _) = request.into_parts();
    if let Some(response) = worker.remembered(&request) {
        return Either::Left(ready(Ok(ServiceResponse::new(request, response))));
    }
    let worker = worker.clone();
    let slow: Pin<Box<dyn Future<Output = Answer>>> = Box::pin(async move {
        let response = worker.answer(&request).await;
        Ok(ServiceResponse::new(request, response))
    });
    Either::Right(slow)
}
