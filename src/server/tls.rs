//! Who this server is: a certificate that can be exchanged while connections go on.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::runtime::Handle;

use crate::settings::Secret;

mod generated;
mod source;

use source::{Source, Stamp};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is wrong with a certificate or a key. Never holds a byte of either.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} {place}")]
    Read {
        /// `the certificate` or `the private key`.
        what: &'static str,
        /// Which file, or which setting names it.
        place: String,
        /// Why, as the system said.
        #[source]
        source: std::io::Error,
    },
    /// There is no certificate in PEM in it.
    #[error("there is no certificate in {place}")]
    NoCertificate {
        /// The file, or that it was given inline.
        place: String,
    },
    /// There is no private key in PEM in it.
    #[error("there is no private key in {place}")]
    NoKey {
        /// The file, or that it was given inline.
        place: String,
    },
    /// The key is of a kind that TLS cannot use.
    #[error("the private key in {place} cannot be used for TLS")]
    UnusableKey {
        /// The file, or that it was given inline.
        place: String,
    },
    /// The certificate is for another key.
    #[error("the private key in {key} does not belong to the certificate in {certificate}")]
    Mismatch {
        /// Where the key is.
        key: String,
        /// Where the certificate is.
        certificate: String,
    },
    /// The generated certificate cannot be kept.
    #[error("cannot keep a generated certificate in `{}`", path.display())]
    Keep {
        /// The directory.
        path: PathBuf,
        /// Why, as the system said.
        #[source]
        source: std::io::Error,
    },
    /// The cryptography refuses to make a key, or a name is none that a certificate can hold.
    #[error("cannot generate a certificate")]
    Generate,
}

/// A certificate with its key, and where it came from.
pub struct Identity {
    current: ArcSwap<CertifiedKey>,
    files: ArcSwapOption<Files>,
}

struct Files {
    certificate: Source,
    key: Source,
    /// What the files looked like when they were last read, well or not.
    seen: Mutex<[Option<Stamp>; 2]>,
}

impl Identity {
    /// A P-256 key and a self-signed certificate for `names`, kept in `directory` and taken from
    /// there at the next start. Made anew, with a line in the log, if what is there cannot be
    /// used or is for other names.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn generated(directory: &Path, names: &[String]) -> Result<Arc<Self>, TlsError> {
        let pair = generated::load_or_make(directory, names)?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(pair), files: ArcSwapOption::empty() }))
    }

    /// A certificate chain and its key, each a path or PEM itself.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn of_files(certificate: &str, key: &Secret) -> Result<Arc<Self>, TlsError> {
        let certificate = Source::of(certificate, "the certificate");
        let key = Source::of(key.expose(), source::KEY);
        let seen = [certificate.stamp(), key.stamp()];
        let pair = read(&certificate, &key)?;
        let files = Files { certificate, key, seen: Mutex::new(seen) };
        let files = ArcSwapOption::from_pointee(files);
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(pair), files }))
    }

    /// From now on this is who `other` is: for new connections, and for what is read again.
    pub fn adopt(&self, other: &Self) {
        self.files.store(other.files.load_full());
        self.current.store(other.current.load_full());
    }

    /// Reads the files again. What cannot be used changes nothing.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let Some(files) = self.files.load_full() else { return Ok(()) };
        let stamps = [files.certificate.stamp(), files.key.stamp()];
        *files.seen.lock().unwrap_or_else(PoisonError::into_inner) = stamps;
        let pair = read(&files.certificate, &files.key)?;
        self.current.store(Arc::new(pair));
        Ok(())
    }

    /// Reads the files again if they look different; tells the log how that went.
    pub fn reload_if_changed(&self) {
        let Some(files) = self.files.load_full() else { return };
        let stamps = [files.certificate.stamp(), files.key.stamp()];
        if *files.seen.lock().unwrap_or_else(PoisonError::into_inner) == stamps {
            return;
        }
        match self.reload() {
            Ok(()) => tracing::info!("the certificate changed and is in use"),
            Err(error) => tracing::error!(
                cause = cause(&error),
                "the certificate changed and cannot be used; the former one stays: {error}"
            ),
        }
    }

    /// Looks at the files, where there are any, every few seconds, on `engine`, until the identity
    /// is dropped.
    pub fn watch(self: &Arc<Self>, engine: &Handle) {
        let identity = Arc::downgrade(self);
        let blocking = engine.clone();
        engine.spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(identity) = identity.upgrade() else { return };
                // A file may lie on a file system that hangs.
                let _ = blocking.spawn_blocking(move || identity.reload_if_changed()).await;
            }
        });
    }

    /// TLS 1.2 and 1.3 with this identity. actix adds the one protocol of ALPN, HTTP/1.1.
    ///
    /// # Errors
    /// There is no randomness, or no cipher suite.
    pub(super) fn config(self: &Arc<Self>) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(self.clone())));
        // Without state on this side, so that a client may resume on any worker.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // One ticket a connection is enough for a client that keeps it; most keep none.
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

#[derive(Debug)]
struct Resolver(Arc<Identity>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current.load_full())
    }
}

/// The system's word on an error, for the log.
fn cause(error: &TlsError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// The one that the program installed, or the one that it would have.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

fn read(certificate: &Source, key: &Source) -> Result<CertifiedKey, TlsError> {
    let chain = certificate.read()?;
    let secret = key.read()?;
    pair(&chain, &certificate.place(), &secret, &key.place())
}

/// The certificates in `chain` with the key in `key`, if they belong together.
fn pair(
    chain: &[u8],
    chain_place: &str,
    key: &[u8],
    key_place: &str,
) -> Result<CertifiedKey, TlsError> {
    let no_certificate = || TlsError::NoCertificate { place: chain_place.to_owned() };
    let certificates = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| no_certificate())?;
    if certificates.is_empty() {
        return Err(no_certificate());
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| TlsError::NoKey { place: key_place.to_owned() })?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|_| TlsError::UnusableKey { place: key_place.to_owned() })?;
    let pair = CertifiedKey::new(certificates, key);
    pair.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Mismatch { key: key_place.to_owned(), certificate: chain_place.to_owned() }
        }
        _ => no_certificate(),
    })?;
    Ok(pair)
}

#[cfg(test)]
mod tests;
