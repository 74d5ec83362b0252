use std::{
    fs,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use registry_mirror::settings::{Secret, Tls};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

use super::{
    client::{Reply, connect, receive, send},
    node::Node,
};

/// A load balancer: it takes any certificate, and we look at it afterwards.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let provider = default_provider();
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let provider = default_provider();
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(super) struct Seen {
    pub(super) reply: Reply,
    pub(super) certificate: Vec<u8>,
    protocol: Option<Vec<u8>>,
    version: ProtocolVersion,
}

/// Whose certificate ends a handshake; none if it does not come to its end.
pub(super) fn certificate(address: SocketAddr) -> Option<Vec<u8>> {
    let mut stream = handshake(address, &TLS13);
    stream.conn.complete_io(&mut stream.sock).ok()?;
    Some(stream.conn.peer_certificates()?[0].to_vec())
}

pub(super) fn ask(address: SocketAddr, version: &'static rustls::SupportedProtocolVersion) -> Seen {
    let mut stream = handshake(address, version);
    send(&mut stream, "GET", "/v2/", &[]);
    let reply = receive(&mut stream, "GET");
    Seen {
        reply,
        certificate: stream.conn.peer_certificates().unwrap()[0].to_vec(),
        protocol: stream.conn.alpn_protocol().map(<[u8]>::to_vec),
        version: stream.conn.protocol_version().unwrap(),
    }
}

fn handshake(
    address: SocketAddr,
    version: &'static rustls::SupportedProtocolVersion,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, connect(address))
}

pub(super) fn pem() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_generated_certificate_serves_both_versions_and_outlives_a_restart() {
    let node = Node::alone(|settings| settings.tls = Tls::Generated);
    let first = ask(node.address(), &TLS13);
    assert_eq!(first.reply.status, 200);
    assert_eq!(first.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(first.version, ProtocolVersion::TLSv1_3);
    let second = ask(node.address(), &TLS12);
    assert_eq!((second.reply.status, second.version), (200, ProtocolVersion::TLSv1_2));
    assert_eq!(first.certificate, second.certificate);

    let data = node.data.clone();
    drop(node);
    let again = Node::alone(|settings| {
        settings.data_path = data.path().to_owned();
        settings.tls = Tls::Generated;
    });
    assert_eq!(ask(again.address(), &TLS13).certificate, first.certificate);
}

#[test]
fn certificates_in_files_are_exchanged_while_serving() {
    let dir = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    let write = |pair: (String, String)| {
        fs::write(&certificate, pair.0).unwrap();
        fs::write(&key, pair.1).unwrap();
    };
    write(pem());
    let node = Node::alone(|settings| {
        settings.tls = Tls::Files;
        settings.tls_certificate = certificate.to_str().unwrap().into();
        settings.tls_private_key = Secret::new(key.to_str().unwrap());
    });
    let identity = node.service.server.identity().unwrap();
    let first = ask(node.address(), &TLS13).certificate;

    fs::write(&key, "not a key").unwrap();
    identity.reload().unwrap_err();
    assert_eq!(ask(node.address(), &TLS13).certificate, first, "a bad key came into use");

    write(pem());
    identity.reload().unwrap();
    assert_ne!(ask(node.address(), &TLS13).certificate, first);
}
