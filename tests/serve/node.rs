//! A node of the mirror in this process: the real program but for its command line.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use registry_mirror::{
    clock::Clock,
    command::serve::{Service, open},
    mirror,
    oci::{Digest, Name, Reference},
    settings::{Period, Settings, StoreKind, Tls},
    telemetry::Metrics,
    upstream::{
        self, Blob, Head, HubConfig, Limits, Listing, Manifest, Scope, Timing, Trust, Upstream,
        UpstreamError, Visibility,
    },
};
use tokio::runtime::{Builder, Handle, Runtime};

use super::client::PATIENCE;
use crate::support::{
    hub::Hub,
    scripted::{Hand, Script},
};

pub struct Node {
    pub service: Service,
    pub runtime: Runtime,
    pub data: Arc<tempfile::TempDir>,
    pub clock: Arc<Hand>,
}

/// Plain HTTP on a free port of loopback, and a directory of its own.
pub fn settings(data: &tempfile::TempDir) -> Settings {
    Settings {
        store: StoreKind::Filesystem,
        data_path: data.path().to_owned(),
        listen_address: Ipv4Addr::LOCALHOST.into(),
        listen_port: 0,
        admin_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        tls: Tls::Off,
        drain_timeout: Period(Duration::from_secs(20)),
        ..Settings::default()
    }
}

impl Node {
    /// A node in front of an upstream that is away.
    pub fn alone(change: impl FnOnce(&mut Settings)) -> Self {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = settings(&data);
        change(&mut settings);
        Self::start(data, settings, Arc::new(Away))
    }

    /// A node in front of an upstream by script.
    pub fn of(script: &Arc<Script>) -> Self {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let settings = settings(&data);
        Self::start(data, settings, script.clone())
    }

    /// A node in front of the fake Hub, asked by the real client.
    pub fn behind(hub: &Hub) -> Self {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = settings(&data);
        settings.upstream_url = hub.url();
        let config = HubConfig {
            url: hub.url(),
            ca_pem: None,
            proxy: None,
            redirect_hosts: Vec::new(),
            credential: None,
            timing: Timing::default(),
        };
        Self::with(data, settings, |engine, clock, metrics| {
            Arc::new(upstream::Hub::new(config, engine, clock, metrics).unwrap())
        })
    }

    /// A node on that directory; its clock stands.
    pub fn start(
        data: Arc<tempfile::TempDir>,
        settings: Settings,
        upstream: Arc<dyn Upstream>,
    ) -> Self {
        Self::with(data, settings, |_, _, _| upstream)
    }

    fn with(
        data: Arc<tempfile::TempDir>,
        settings: Settings,
        upstream: impl FnOnce(Handle, Arc<dyn Clock>, Metrics) -> Arc<dyn Upstream>,
    ) -> Self {
        // Whoever is first installs it, for all tests.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let metrics = Metrics::new();
        let clock = Hand::new();
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let engine = runtime.handle().clone();
        let upstream = upstream(engine.clone(), clock.clone(), metrics.clone());
        // The threads of a node before this one on the same directory may take a moment to go.
        let patience = Instant::now() + PATIENCE;
        let service = loop {
            let (settings, upstream) = (settings.clone(), upstream.clone());
            let node = mirror::Node::new(vec!["node-1".into()]);
            match open(
                settings,
                upstream,
                node,
                clock.clone(),
                metrics.clone(),
                engine.clone(),
                None,
            ) {
                Ok(service) => break service,
                Err(failure) if failure.message.contains("in use by another process") => {
                    assert!(Instant::now() < patience, "{failure}");
                    std::thread::yield_now();
                }
                Err(failure) => panic!("{failure}"),
            }
        };
        Self { service, runtime, data, clock }
    }

    pub fn address(&self) -> SocketAddr {
        self.service.server.address
    }

    pub fn admin(&self) -> SocketAddr {
        self.service.server.admin_address
    }
}

impl Node {
    /// Waits until nothing is under way.
    pub fn settle(&self) {
        let idle = async { tokio::time::timeout(PATIENCE, self.service.mirror.idle()).await };
        self.runtime.block_on(idle).expect("fills that end");
    }

    /// The value of a metric, with its labels as they are printed; 0 if it was never counted.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.service.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Stops the listeners as SIGTERM does after the delay.
    pub fn stop(&self) {
        let limit = self.service.mirror.parts().settings.load().drain_timeout.0;
        let stop = async { tokio::time::timeout(PATIENCE, self.service.server.stop(limit)).await };
        self.runtime.block_on(stop).expect("a node that stops");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The workers are threads of their own and would go on.
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// An upstream that nobody answers for.
#[derive(Debug)]
pub struct Away;

fn away<T>() -> Result<T, UpstreamError> {
    Err(UpstreamError::lasting("nobody is there"))
}

#[async_trait]
impl Upstream for Away {
    async fn visibility(
        &self,
        _: &Name,
        _: Option<&Reference>,
    ) -> Result<Visibility, UpstreamError> {
        away()
    }

    async fn head(&self, _: &Name, _: &Reference, _: Trust) -> Result<Head, UpstreamError> {
        away()
    }

    async fn manifest(&self, _: &Name, _: &Reference, _: Trust) -> Result<Manifest, UpstreamError> {
        away()
    }

    async fn blob_size(
        &self,
        _: &Name,
        _: &Digest,
        _: Trust,
    ) -> Result<Option<u64>, UpstreamError> {
        away()
    }

    async fn blob(&self, _: &Name, _: &Digest, _: u64, _: Trust) -> Result<Blob, UpstreamError> {
        away()
    }

    async fn tags(&self, _: &Name, _: &str, _: Trust) -> Result<Listing, UpstreamError> {
        away()
    }

    async fn referrers(
        &self,
        _: &Name,
        _: &Digest,
        _: &str,
        _: Trust,
    ) -> Result<Listing, UpstreamError> {
        away()
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn cooling(&self) -> Option<(Scope, std::time::SystemTime)> {
        None
    }
}
