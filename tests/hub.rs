//! The Hub client against the fake Hub, and the fake Hub against what is known of the real one.

mod blobs;
mod config;
mod fake;
mod limits;
mod manifests;
mod tokens;
mod visibility;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use registry_mirror::{
    clock::Clock,
    oci::{Name, Reference, Tag},
    settings::Secret,
    telemetry::Metrics,
    upstream::{Blob, Hub, HubConfig, Timing, UpstreamError},
};
use tokio::runtime::Handle;

use crate::support::hub;

/// A clock that a test moves; it starts at the machine's time, which the fake goes by.
#[derive(Debug)]
struct Hand(Mutex<SystemTime>);

impl Hand {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hand {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// A client of a fake, and what is around it.
struct Bench {
    fake: hub::Hub,
    hub: Hub,
    config: HubConfig,
    clock: Arc<Hand>,
    metrics: Metrics,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let fake = hub::Hub::start();
        let mut config = config(&fake);
        change(&mut config);
        let (hub, clock, metrics) = client_of(config.clone());
        Self { fake, hub, config, clock, metrics }
    }

    /// Tells the client something else while it works.
    fn change(&mut self, change: impl FnOnce(&mut HubConfig)) {
        change(&mut self.config);
        self.hub.adopt(self.hub.prepare(self.config.clone()).unwrap());
    }

    /// Moves both clocks, the client's and the fake's.
    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.fake.advance(by);
    }
}

fn config(fake: &hub::Hub) -> HubConfig {
    // Long enough that a slow machine changes nothing; tests of a timeout set their own.
    let timing = Timing {
        backoff: Duration::from_millis(1),
        patience: Duration::from_secs(60),
        ..Timing::default()
    };
    HubConfig { url: fake.url(), timing, ..HubConfig::default() }
}

fn client(fake: &hub::Hub, change: impl FnOnce(&mut HubConfig)) -> (Hub, Arc<Hand>, Metrics) {
    let mut config = config(fake);
    change(&mut config);
    client_of(config)
}

fn client_of(config: HubConfig) -> (Hub, Arc<Hand>, Metrics) {
    let clock = Arc::new(Hand(Mutex::new(SystemTime::now())));
    let metrics = Metrics::new();
    let hub = Hub::new(config, Handle::current(), clock.clone(), metrics.clone()).unwrap();
    (hub, clock, metrics)
}

fn credential(config: &mut HubConfig) {
    config.credential = Some(("robot".to_owned(), Secret::new("s3cret")));
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse::<Tag>().unwrap())
}

/// The whole of a body.
async fn read(mut blob: Blob) -> Result<Vec<u8>, UpstreamError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.chunks.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// A metric's line as `/metrics` shows it.
fn metric(metrics: &Metrics, line: &str) -> bool {
    metrics.text().lines().any(|found| found == line)
}
