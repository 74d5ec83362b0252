//! A Docker Hub of our own, strict and nasty: registry, token service and CDN on three ports of
//! 127.0.0.1, on a runtime of its own, so that a test's paused clock does not pause it. It counts
//! what it is asked, by kind, and every fault can be switched on while it runs.
//!
//! ```ignore
//! let hub = Hub::start();
//! let image = hub.image("library/alpine", "3.20", &[noise(1, 70_000)]);
//! hub.fault(Kind::Cdn, Fault::Cut(1000), 1);
//! // … ask http://127.0.0.1:…, which `hub.url()` tells …
//! assert_eq!(hub.count(Kind::Cdn), 2);
//! ```

#![allow(dead_code, unused_imports)]

mod answer;
mod cdn;
mod content;
mod fault;
mod registry;
mod state;
mod token;
mod wire;

use std::{
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    time::Duration,
};

use bytes::Bytes;
use registry_mirror::oci::Digest;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use content::{Content, Image, Index, noise};
pub use fault::{Fault, Gate};
pub use state::{Abuse, Auth, Kind, Knobs, Redirect, Seen};

use state::State;

/// Which of the three servers a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Registry,
    Auth,
    Cdn,
}

/// The fake Hub. Stops when dropped.
pub struct Hub {
    state: Arc<Mutex<State>>,
    addresses: [SocketAddr; 3],
    runtime: Option<Runtime>,
    running: Mutex<Option<Running>>,
}

struct Running {
    cancel: CancellationToken,
    stopped: mpsc::Receiver<()>,
}

const ROLES: [Role; 3] = [Role::Registry, Role::Auth, Role::Cdn];

impl Hub {
    /// Starts one on ports that the system chooses: empty, bearer tokens, no limits.
    pub fn start() -> Self {
        let listeners = ROLES.map(|_| StdListener::bind("127.0.0.1:0").unwrap());
        let addresses = listeners.each_ref().map(|l| l.local_addr().unwrap());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let hub = Self {
            state: Arc::new(Mutex::new(State::new(addresses))),
            addresses,
            runtime: Some(runtime),
            running: Mutex::new(None),
        };
        hub.listen(listeners);
        hub
    }

    fn listen(&self, listeners: [StdListener; 3]) {
        let cancel = CancellationToken::new();
        let (tell, stopped) = mpsc::channel();
        let handle = self.runtime.as_ref().unwrap().handle();
        for (listener, role) in listeners.into_iter().zip(ROLES) {
            listener.set_nonblocking(true).unwrap();
            let (state, cancel, tell) = (self.state.clone(), cancel.clone(), tell.clone());
            let _enter = handle.enter();
            let listener = TcpListener::from_std(listener).unwrap();
            handle.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    tokio::select! {
                        () = cancel.cancelled() => break,
                        accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                            connections.spawn(wire::serve(stream, role, state.clone()));
                        },
                        Some(_) = connections.join_next() => {}
                    }
                }
                drop(listener);
                connections.shutdown().await;
                drop(tell);
            });
        }
        *self.running.lock().unwrap() = Some(Running { cancel, stopped });
    }

    /// Closes all ports and cuts all connections: the upstream is gone.
    pub fn stop(&self) {
        if let Some(running) = self.running.lock().unwrap().take() {
            running.cancel.cancel();
            // Ends with an error once the last listener's task has dropped its sender.
            let _ = running.stopped.recv_timeout(Duration::from_secs(10));
        }
    }

    /// Comes back on the same ports, with the same content, counts and knobs.
    pub fn restart(&self) {
        self.stop();
        self.listen(self.addresses.map(|address| StdListener::bind(address).unwrap()));
    }

    /// Where the registry listens: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    /// Where the token service listens.
    pub fn auth_url(&self) -> String {
        format!("http://{}", self.addresses[1])
    }

    /// Where blobs are redirected to.
    pub fn cdn_url(&self) -> String {
        format!("http://{}", self.addresses[2])
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes how it behaves from the next request on.
    pub fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.state().knobs);
    }

    /// Puts a fault on the next `times` requests of `kind`. Faults of one kind are used up in the
    /// order they were put.
    pub fn fault(&self, kind: Kind, fault: Fault, times: usize) {
        self.state().faults.push_back((kind, fault, times));
    }

    /// Takes back every fault that was not used up.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// An account; it may pull from public repositories and from those of `private`. `limit`: its
    /// pulls; none is no limit.
    pub fn account(&self, user: &str, password: &str, private: &[&str], limit: Option<u64>) {
        self.state().account(user, password, private, limit);
    }

    /// The pulls that anonymous callers have; none is no limit (and no headers).
    pub fn anonymous_limit(&self, limit: Option<u64>) {
        self.state().anonymous_limit = limit;
    }

    /// Gives everyone all their pulls back.
    pub fn refill(&self) {
        self.state().pulls.clear();
    }

    /// From now on every token that was given out is refused.
    pub fn expire_tokens(&self) {
        self.state().grants.clear();
    }

    /// From now on every CDN address that was given out is refused.
    pub fn expire_urls(&self) {
        self.state().cdn_secret += 1;
    }

    /// Moves its own clock on, by which tokens and addresses expire.
    pub fn advance(&self, by: Duration) {
        self.state().offset += by;
    }

    /// How many requests of a kind came in, refused ones included.
    pub fn count(&self, kind: Kind) -> usize {
        self.state().seen.iter().filter(|seen| seen.kind == kind).count()
    }

    /// How many requests came in, of every kind.
    pub fn total(&self) -> usize {
        self.state().seen.len()
    }

    /// Every request, in the order they came in.
    pub fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Every request of one kind.
    pub fn requests_of(&self, kind: Kind) -> Vec<Seen> {
        self.state().seen.iter().filter(|seen| seen.kind == kind).cloned().collect()
    }

    /// Forgets what was counted.
    pub fn reset_counts(&self) {
        self.state().seen.clear();
    }

    /// An image of one platform, OCI types, its layers stored as they are given.
    pub fn image(&self, name: &str, tag: &str, layers: &[Bytes]) -> Image {
        self.state().library.image(name, tag, layers, false)
    }

    /// The same with Docker's media types.
    pub fn docker_image(&self, name: &str, tag: &str, layers: &[Bytes]) -> Image {
        self.state().library.image(name, tag, layers, true)
    }

    /// An OCI index of two platforms with an attestation each, as BuildKit writes it.
    pub fn index(&self, name: &str, tag: &str) -> Index {
        self.state().library.index(name, tag, false)
    }

    /// A Docker manifest list of two platforms.
    pub fn docker_list(&self, name: &str, tag: &str) -> Index {
        self.state().library.index(name, tag, true)
    }

    /// An OCI artifact with an `artifactType` that refers to `subject`.
    pub fn artifact(&self, name: &str, subject: Option<&Digest>, kind: &str) -> Image {
        self.state().library.artifact(name, subject, kind)
    }

    /// A manifest as it is, under its sha256 and under a tag if one is given.
    pub fn manifest(&self, name: &str, tag: Option<&str>, media_type: &str, body: &[u8]) -> Digest {
        self.state().library.manifest(name, tag, media_type, Bytes::copy_from_slice(body))
    }

    /// A blob under its sha256.
    pub fn blob(&self, name: &str, body: Bytes) -> Digest {
        let digest = Digest::sha256(&body);
        self.state().library.blob(name, digest, body);
        digest
    }

    /// A blob under a digest of any algorithm; the digest need not be right.
    pub fn blob_as(&self, name: &str, digest: Digest, body: Bytes) {
        self.state().library.blob(name, digest, body);
    }

    /// A repository without anything in it.
    pub fn repository(&self, name: &str) {
        self.state().library.repository(name);
    }

    /// Makes a repository private: only accounts that name it may pull.
    pub fn private(&self, name: &str) {
        self.state().library.repository(name).private = true;
    }

    /// Makes a repository public again.
    pub fn public(&self, name: &str) {
        self.state().library.repository(name).private = false;
    }

    /// Removes a tag; its manifest stays.
    pub fn untag(&self, name: &str, tag: &str) {
        self.state().library.repository(name).tags.remove(tag);
    }

    /// Removes a manifest and the tags that point at it.
    pub fn delete(&self, name: &str, digest: &Digest) {
        let mut state = self.state();
        let repository = state.library.repository(name);
        repository.manifests.remove(digest);
        repository.tags.retain(|_, of| of != digest);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test drops it in async code, where waiting for a runtime is not allowed.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "fake Hub at {}", self.url())
    }
}
