//! A certificate of our own making, for where nobody verifies it: a load balancer does not look
//! at its targets' certificates.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::{TlsError, pair};

/// Key and certificate in one file, so that no crash can leave a pair that does not match.
const FILE: &str = "generated.pem";
/// In front of the names, above the PEM, where RFC 7468, 2 allows any text.
const NAMES: &str = "names: ";

/// The pair that is kept in `directory` for `names`, or a new one, which then is.
pub(super) fn load_or_make(directory: &Path, names: &[String]) -> Result<CertifiedKey, TlsError> {
    let path = directory.join(FILE);
    match fs::read(&path).map(Zeroizing::new) {
        Ok(text) => match usable(&text, names) {
            Some(pair) => return Ok(pair),
            None => tracing::warn!(
                path = %path.display(),
                "the generated certificate cannot be used or is for other names; making another"
            ),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::info!(path = %path.display(), "making a key and a certificate");
        }
        Err(error) => tracing::warn!(
            path = %path.display(), cause = %error,
            "the generated certificate cannot be read; making another"
        ),
    }
    let text = make(names)?;
    keep(directory, &text)
        .map_err(|source| TlsError::Keep { path: directory.to_owned(), source })?;
    pair(text.as_bytes(), FILE, text.as_bytes(), FILE)
}

fn usable(text: &[u8], names: &[String]) -> Option<CertifiedKey> {
    let pair = pair(text, FILE, text, FILE).ok()?;
    let first = text.split(|&b| b == b'\n').next()?;
    (first == heading(names).as_bytes()).then_some(pair)
}

fn heading(names: &[String]) -> String {
    format!("{NAMES}{}", names.join(" "))
}

/// The file's text.
fn make(names: &[String]) -> Result<Zeroizing<String>, TlsError> {
    let failed = |_| TlsError::Generate;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "registry-mirror");
    // RFC 5280, 4.1.2.5: the value that says there is no good date. Nothing renews this
    // certificate, and a node whose clock is wrong must come up too.
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    let certificate = params.self_signed(&key).map_err(failed)?;
    let secret = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{}\n{}{}", heading(names), *secret, certificate.pem())))
}

/// Written whole beside its name and moved there, readable by nobody else at any instant.
fn keep(directory: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let staged = directory.join(format!("{FILE}.new"));
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&staged, directory.join(FILE))?;
    fs::File::open(directory)?.sync_all()
}
