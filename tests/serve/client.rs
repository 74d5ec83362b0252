//! The plainest HTTP/1.1 client: it sends what it is told to the byte, one request a connection,
//! and tells a whole body from one that was cut.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Far longer than anything takes here; only a hang meets it.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header that came once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "`{name}` came twice: {:?}", self.headers);
        value
    }

    pub fn length(&self) -> usize {
        self.header("content-length").expect("a length").parse().unwrap()
    }

    /// Whether the body is as long as was announced.
    pub fn is_whole(&self) -> bool {
        self.body.len() == self.length()
    }

    /// The code of an OCI error body; panics with the reply if it is none.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let json: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"));
        let error = &json["errors"][0];
        assert!(!error["message"].as_str().unwrap().is_empty());
        error["code"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

/// Sends a request, and reads until the server closes.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut stream = connect(address);
    send(&mut stream, method, path, headers);
    receive(&mut stream, method)
}

pub fn get(address: SocketAddr, path: &str) -> Reply {
    ask(address, "GET", path, &[])
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub fn send(stream: &mut impl Write, method: &str, path: &str, headers: &[(&str, &str)]) {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    // A server that has read enough may refuse the rest.
    let _ = stream.write_all(text.as_bytes());
}

/// Reads a head, and a body to the end of the connection.
pub fn receive(stream: &mut impl Read, method: &str) -> Reply {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).expect("an answer");
        assert!(n > 0, "the connection ended in the head: {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..n]);
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    if let Err(error) = stream.read_to_end(&mut body) {
        // A cut connection may end without a goodbye.
        let cut = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof);
        assert!(cut, "{error}");
    }
    let reply = Reply { status, headers, body };
    if method == "HEAD" {
        assert!(reply.body.is_empty(), "HEAD moved a body: {reply:?}");
    }
    reply
}
