//! What a client can be made of, and that it asks whom it is told to ask.

use std::{
    io::{Read, Write},
    net::TcpListener as StdListener,
    sync::Arc,
};

use registry_mirror::{
    clock::SystemClock,
    settings::Secret,
    telemetry::Metrics,
    upstream::{BadUpstream, Hub, HubConfig, Trust::Public, Upstream, UpstreamError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Handle,
};

use super::name;

fn make(change: impl FnOnce(&mut HubConfig)) -> Result<Hub, BadUpstream> {
    let url = "https://registry-1.docker.io".to_owned();
    let mut config = HubConfig { url, ..HubConfig::default() };
    change(&mut config);
    Hub::new(config, Handle::current(), Arc::new(SystemClock), Metrics::new())
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    assert!(make(|_| {}).is_ok());
    for url in ["", "registry-1.docker.io", "ftp://x", "https://", "https://me:secret@x", "/x"] {
        let error = make(|config| config.url = url.to_owned()).unwrap_err();
        assert_eq!(error, BadUpstream::Url, "`{url}`");
        assert!(!error.to_string().contains("secret"));
    }
    for proxy in ["proxy", "socks5://x", "http://"] {
        let error = make(|config| config.proxy = Some(Secret::new(proxy))).unwrap_err();
        assert_eq!(error, BadUpstream::Proxy, "`{proxy}`");
    }
    assert!(make(|config| config.proxy = Some(Secret::new("http://me:pw@proxy:3128"))).is_ok());
    let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "not pem", block, "-----BEGIN CERTIFICATE-----\nAA"] {
        let error = make(|config| config.ca_pem = Some(pem.to_owned())).unwrap_err();
        assert_eq!(error, BadUpstream::Ca, "`{pem}`");
    }
    for user in ["", "a:b"] {
        let pair = (user.to_owned(), Secret::new("x"));
        let error = make(|config| config.credential = Some(pair)).unwrap_err();
        assert_eq!(error, BadUpstream::Credential, "`{user}`");
    }
}

#[tokio::test]
async fn a_client_shows_none_of_its_secrets() {
    let mut config = HubConfig { url: "http://127.0.0.1:1".into(), ..HubConfig::default() };
    config.credential = Some(("robot".to_owned(), Secret::new("topsecret")));
    config.proxy = Some(Secret::new("http://me:topsecret@127.0.0.1:1"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("topsecret"), "{shown}");
    let hub = make(|into| *into = config).unwrap();
    let shown = format!("{hub:?}");
    assert!(!shown.contains("topsecret"), "{shown}");
    let error = hub.tags(&name("a/b"), "", Public).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("topsecret"), "{error:?}");
}

#[tokio::test]
async fn everything_goes_through_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://me:pw@{}", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        (String::from_utf8(head).unwrap(), stream)
    });
    let hub = make(|config| {
        config.url = "http://upstream.invalid/".to_owned();
        config.proxy = Some(Secret::new(proxy));
    });
    let asking = tokio::spawn(async move {
        let _ = hub.unwrap().tags(&name("a/b"), "", Public).await;
    });
    let (head, _stream) = seen.await.unwrap();
    asking.abort();
    assert!(head.starts_with("GET http://upstream.invalid/v2/ HTTP/1.1\r\n"), "{head}");
    // me:pw
    assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6chc="), "{head}");
}

#[tokio::test]
async fn a_certificate_is_believed_only_from_an_authority_that_is() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Arc::new(server);
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(server.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // A handshake that the client gives up is an error here, and what is wanted.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let ask = |ca_pem| {
        let hub = make(|config| {
            config.url.clone_from(&url);
            config.ca_pem = ca_pem;
        });
        async move { hub.unwrap().tags(&name("a/b"), "", Public).await.unwrap_err() }
    };
    assert_eq!(ask(Some(made.cert.pem())).await, UpstreamError::Unknown);
    assert_eq!(ask(None).await, UpstreamError::lasting("its certificate is not believed"));
}
