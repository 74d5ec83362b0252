//! Docker Hub, or a registry that speaks as it does.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use reqwest::{Client, Proxy, header::HeaderValue, redirect::Policy};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::{
    Blob, Head, Limits, Listing, Manifest, Scope, Trust, Upstream, UpstreamError, Visibility,
    base64,
    pace::Pace,
    redirect::Redirects,
    registry::Registry,
    roots,
    routable::{GuardedResolver, Trusted},
    token::Tokens,
    wire::Wire,
};
use crate::{
    clock::Clock,
    oci::{Digest, Name, Reference},
    settings::Secret,
    telemetry::Metrics,
};

/// What a [`Hub`] is told of its upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubConfig {
    /// Where the registry is: `https://registry-1.docker.io`.
    pub url: String,
    /// Certification authorities to believe besides the system's, in PEM.
    pub ca_pem: Option<String>,
    /// A proxy for every request; its address may hold a user name and a password. It looks
    /// foreign names up itself, so that which addresses redirects lead to is the proxy's to watch.
    pub proxy: Option<Secret>,
    /// Hosts that redirects may lead to wherever they are; `*.` in front means any host below.
    pub redirect_hosts: Vec<String>,
    /// User and password, or a token in its place.
    pub credential: Option<(String, Secret)>,
    /// How long is waited for what.
    pub timing: Timing,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For a connection.
    pub connect: Duration,
    /// For the head of an answer, retries included.
    pub head: Duration,
    /// Before a request that failed is made again; doubled for the next time.
    pub backoff: Duration,
    /// For the next piece of a body. There is no limit on a whole transfer.
    pub silence: Duration,
    /// After so long without an answer of the upstream, one request goes ahead of the others …
    pub idle: Duration,
    /// … which wait no longer than this for its head.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(20),
            backoff: Duration::from_millis(100),
            silence: Duration::from_secs(30),
            // A lone request never waits, and a burst after a second of silence waits one round
            // trip, which is cheap beside a limit that a whole burst runs into.
            idle: Duration::from_secs(1),
            patience: Duration::from_secs(2),
        }
    }
}

/// Why a [`Hub`] cannot be made. Each is a fault of the configuration and repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUpstream {
    /// The registry's address.
    #[error("the upstream's address is not an http or https address of a host")]
    Url,
    /// The certification authorities.
    #[error("the upstream's certification authorities are not certificates in PEM")]
    Ca,
    /// The proxy's address.
    #[error("the proxy's address is not an http or https address of a host")]
    Proxy,
    /// The user name has a colon, or is empty.
    #[error("the user name is empty or contains a colon")]
    Credential,
    /// The client cannot be made of all this.
    #[error("the client for the upstream cannot be made")]
    Client,
}

/// A registry and its token service, seen through their limits. Everything it does runs on the
/// engine; its methods may be awaited anywhere, and what they began ends when they are dropped.
/// Only [`Blob::chunks`] must be polled on the engine, as the flight's task does.
///
/// What it was told of its upstream can be exchanged while it works ([`Hub::prepare`]).
#[derive(Clone)]
pub struct Hub {
    current: Arc<ArcSwap<Current>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    engine: Handle,
}

/// The registry that is asked now, and what it was made of.
struct Current {
    config: HubConfig,
    registry: Arc<Registry>,
}

/// What a [`Hub`] could be told next, and would work with.
pub struct Prepared(Option<Arc<Current>>);

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// A client of the upstream. Asks nobody anything.
    ///
    /// # Errors
    /// See [`BadUpstream`].
    pub fn new(
        config: HubConfig,
        engine: Handle,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, BadUpstream> {
        let pace = |timing: Timing| {
            Pace::new(clock.clone(), metrics.clone(), timing.idle, timing.patience)
        };
        let registry = registry(&config, pace(config.timing), clock.clone(), metrics.clone())?;
        let current = Current { config, registry: Arc::new(registry) };
        let current = Arc::new(ArcSwap::from_pointee(current));
        Ok(Self { current, clock, metrics, engine })
    }

    /// A client of `config`, that [`Self::adopt`] will ask from then on; of the same upstream, the
    /// one that is asked now, if nothing changed. What is known of the upstream's limits it keeps
    /// as far as they bind it: all of it for the same account, else what counts by our address.
    ///
    /// # Errors
    /// See [`BadUpstream`].
    pub fn prepare(&self, config: HubConfig) -> Result<Prepared, BadUpstream> {
        let now = self.current.load_full();
        if now.config == config {
            return Ok(Prepared(None));
        }
        let HubConfig { url, credential, timing, .. } = &config;
        let pace = if *url == now.config.url {
            now.registry.wire.pace.heir(*timing, *credential == now.config.credential)
        } else {
            Pace::new(self.clock.clone(), self.metrics.clone(), timing.idle, timing.patience)
        };
        let registry = registry(&config, pace, self.clock.clone(), self.metrics.clone())?;
        Ok(Prepared(Some(Arc::new(Current { config, registry: Arc::new(registry) }))))
    }

    /// From now on requests are made with `prepared`; those under way end as they began.
    pub fn adopt(&self, prepared: Prepared) {
        if let Some(current) = prepared.0 {
            self.current.store(current);
        }
    }

    pub(super) fn registry(&self) -> Arc<Registry> {
        self.current.load().registry.clone()
    }

    async fn on_engine<T: Send + 'static, F>(
        &self,
        work: impl FnOnce(Arc<Registry>) -> F,
    ) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>> + Send + 'static,
    {
        let task = AbortOnDropHandle::new(self.engine.spawn(work(self.registry())));
        // A task ends otherwise only when the engine does.
        task.await.unwrap_or_else(|_| Err(UpstreamError::lasting("this node is stopping")))
    }
}

/// A client of the upstream that `config` names, within the limits of `pace`.
fn registry(
    config: &HubConfig,
    pace: Pace,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
) -> Result<Registry, BadUpstream> {
    let HubConfig { url, ca_pem, proxy, redirect_hosts, credential, timing } = config;
    let timing = *timing;
    let upstream = web_address(url).ok_or(BadUpstream::Url)?;
    if !upstream.username().is_empty() || upstream.password().is_some() {
        return Err(BadUpstream::Url);
    }
    let mut root = upstream.clone();
    root.set_query(None);
    root.set_fragment(None);
    root.set_path(&format!("{}/v2/", upstream.path().trim_end_matches('/')));
    let credential = credential.as_ref().map(basic).transpose()?;

    let mut trusted = Trusted::default();
    trusted.add(upstream.host_str().unwrap_or_default());
    for host in redirect_hosts {
        trusted.add(host);
    }
    let hops = Arc::new(trusted);
    let redirects = Redirects::new(upstream.clone(), hops.clone());

    let proxy = proxy.as_ref().filter(|proxy| !proxy.is_empty());
    let proxy = proxy.map(|proxy| web_address(proxy.expose()).ok_or(BadUpstream::Proxy));
    let proxy = proxy.transpose()?;
    // The client looks up the proxy's name like any other.
    let mut lookups = Trusted::default();
    for host in redirect_hosts
        .iter()
        .map(String::as_str)
        .chain([&upstream].into_iter().chain(proxy.as_ref()).filter_map(Url::host_str))
    {
        lookups.add(host);
    }
    let guard = GuardedResolver { trusted: Arc::new(lookups) };

    let mut tls = roots::tls(ca_pem.as_deref(), upstream.scheme() == "https")?;
    let client = |tls| {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(timing.connect)
            .tcp_keepalive(Duration::from_secs(60))
            .user_agent(concat!("registry-mirror/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &proxy {
            builder = builder.proxy(Proxy::all(proxy.clone()).map_err(|_| BadUpstream::Proxy)?);
        }
        Ok(builder)
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let large = client(tls.clone())?.http1_only().dns_resolver(guard);
    tls.alpn_protocols.insert(0, b"h2".to_vec());
    // A dead connection is found out before a request has waited for its deadline.
    let small = client(tls)?
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(5));
    let wire = Arc::new(Wire {
        small: small.build().map_err(|_| BadUpstream::Client)?,
        large: large.build().map_err(|_| BadUpstream::Client)?,
        timing,
        redirects,
        pace,
        clock,
        metrics,
    });
    let tokens = Tokens::new(wire.clone(), root.clone(), credential);
    Ok(Registry::new(wire, tokens, root))
}

/// An http or https address with a host.
fn web_address(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// The `Basic` header of a credential (RFC 7617).
fn basic((user, password): &(String, Secret)) -> Result<HeaderValue, BadUpstream> {
    if user.is_empty() || user.contains(':') {
        return Err(BadUpstream::Credential);
    }
    let text =
        format!("Basic {}", base64::encode(format!("{user}:{}", password.expose()).as_bytes()));
    let mut value = HeaderValue::try_from(text).map_err(|_| BadUpstream::Credential)?;
    value.set_sensitive(true);
    Ok(value)
}

#[async_trait]
impl Upstream for Hub {
    async fn visibility(
        &self,
        name: &Name,
        hint: Option<&Reference>,
    ) -> Result<Visibility, UpstreamError> {
        let (name, hint) = (name.clone(), hint.cloned());
        self.on_engine(|hub| async move { hub.visibility(&name, hint.as_ref()).await }).await
    }

    async fn head(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Head, UpstreamError> {
        let (name, reference) = (name.clone(), reference.clone());
        self.on_engine(|hub| async move { hub.head(&name, &reference, trust).await }).await
    }

    async fn manifest(
        &self,
        name: &Name,
        reference: &Reference,
        trust: Trust,
    ) -> Result<Manifest, UpstreamError> {
        let (name, reference) = (name.clone(), reference.clone());
        self.on_engine(|hub| async move { hub.manifest(&name, &reference, trust).await }).await
    }

    async fn blob_size(
        &self,
        name: &Name,
        digest: &Digest,
        trust: Trust,
    ) -> Result<Option<u64>, UpstreamError> {
        let (name, digest) = (name.clone(), *digest);
        self.on_engine(|hub| async move { hub.blob_size(&name, &digest, trust).await }).await
    }

    async fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        from: u64,
        trust: Trust,
    ) -> Result<Blob, UpstreamError> {
        let (name, digest) = (name.clone(), *digest);
        self.on_engine(|hub| async move { hub.blob(&name, &digest, from, trust).await }).await
    }

    async fn tags(&self, name: &Name, query: &str, trust: Trust) -> Result<Listing, UpstreamError> {
        let (name, query) = (name.clone(), query.to_owned());
        self.on_engine(|hub| async move { hub.tags(&name, &query, trust).await }).await
    }

    async fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
        query: &str,
        trust: Trust,
    ) -> Result<Listing, UpstreamError> {
        let (name, digest, query) = (name.clone(), *digest, query.to_owned());
        self.on_engine(|hub| async move { hub.referrers(&name, &digest, &query, trust).await })
            .await
    }

    fn distrust(&self, name: &Name) {
        self.registry().tokens.forget(name);
    }

    fn limits(&self) -> Limits {
        self.registry().limits()
    }

    fn cooling(&self) -> Option<(Scope, std::time::SystemTime)> {
        self.registry().cooling()
    }
}
