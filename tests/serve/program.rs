//! The binary itself: what it prints, how it exits, how it drains.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{connect, get, receive, send};
use crate::support::hub::{Fault, Gate, Hub, Kind, noise};

/// A program that is killed with its test.
pub(super) struct Program(pub(super) Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(super) fn serve(data: &Path, upstream: &str, port: u16) -> Program {
    let inventory = data.join("mirror.yml");
    let text = format!(
        "all:\n  vars:\n    registry_mirror_store: filesystem\n    \
         registry_mirror_data_path: data\n    registry_mirror_tls: off\n    \
         registry_mirror_listen_address: 127.0.0.1\n    registry_mirror_listen_port: {port}\n    \
         registry_mirror_admin_address: 127.0.0.1:{}\n    \
         registry_mirror_upstream_url: {upstream}\n    registry_mirror_drain_delay: 0s\n",
        free_port()
    );
    std::fs::write(&inventory, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_registry-mirror"))
        .args(["serve", "-i"])
        .arg(&inventory)
        .env("RUNTIME_DIRECTORY", data.join("runtime"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Program(child)
}

impl Program {
    /// Waits until it says that it is ready.
    pub(super) fn ready(&mut self) {
        let mut line = String::new();
        let mut stdout = BufReader::new(self.0.stdout.as_mut().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("ready on "), "it says `{line}`");
    }
}

#[test]
fn it_says_that_it_is_ready_serves_and_finishes_what_it_began() {
    let hub = Hub::start();
    let bytes = noise(9, 400_000);
    hub.image("library/alpine", "latest", &[]);
    let digest = hub.blob("library/alpine", bytes.clone());
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut program = serve(data.path(), &hub.url(), port);
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let mut line = || lines.next().map(Result::unwrap);
    assert_eq!(line(), Some(format!("ready on http://127.0.0.1:{port}")));
    assert_eq!(line(), Some(format!("hint: docker pull 127.0.0.1:{port}/library/alpine")));

    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(get(address, "/v2/alpine/manifests/latest").status, 200);

    let gate = Gate::closed();
    hub.fault(Kind::Cdn, Fault::HoldBody(100_000, gate.clone()), 1);
    let mut stream = connect(address);
    send(&mut stream, "GET", &format!("/v2/alpine/blobs/{digest}"), &[]);
    let mut first = [0; 16];
    stream.read_exact(&mut first).unwrap();
    let pid = Pid::from_child(&program.0);
    kill_process(pid, Signal::TERM).unwrap();
    // Closed, and yet the transfer goes on.
    while std::net::TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    gate.open();
    let reply = receive(&mut first.chain(stream), "GET");
    assert!(reply.is_whole() && reply.body == bytes, "{} bytes", reply.body.len());
    assert_eq!(program.0.wait().unwrap().code(), Some(0));
    assert_eq!(line(), None, "standard output holds two lines");
    let mut log = String::new();
    program.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("verdict=\"fetched\""), "{log}");
    assert!(!log.contains("verify="), "a signed address is in the log: {log}");
}

#[test]
fn a_port_in_use_is_exit_3_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut program = serve(data.path(), "http://127.0.0.1:9", address.port());
    assert_eq!(program.0.wait().unwrap().code(), Some(3));
    let mut said = String::new();
    program.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let wanted = format!("error: cannot listen on {address}: the address is in use\nhint: ");
    assert!(said.contains(&wanted), "{said}");
}
