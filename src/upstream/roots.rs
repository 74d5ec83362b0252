//! Whom the client believes: the system's certification authorities, and those that were
//! configured.

use std::{fs, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::hub::BadUpstream;

/// Where distributions keep the bundle: Debian and Ubuntu, Fedora and Amazon Linux, SUSE, Alpine.
/// Read here and not by a crate, since those look into the environment.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A TLS configuration without protocols to offer. `ca_pem` is believed besides the system's
/// authorities, since a private upstream may still redirect to a public CDN. Without any authority
/// it stands, says so once, and every handshake fails.
pub(super) fn tls(ca_pem: Option<&str>, secure: bool) -> Result<ClientConfig, BadUpstream> {
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = BUNDLES.iter().find_map(|path| fs::read(path).ok()) {
        let system = CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok);
        roots.add_parsable_certificates(system);
    }
    if let Some(pem) = ca_pem {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|_| BadUpstream::Ca)?;
            roots.add(certificate).map_err(|_| BadUpstream::Ca)?;
        }
        if roots.len() == before {
            return Err(BadUpstream::Ca);
        }
    }
    if roots.is_empty() && secure {
        tracing::warn!("no certification authorities found, https upstreams will not be believed");
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| BadUpstream::Client)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
