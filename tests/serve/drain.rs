use std::{
    io::Read,
    net::TcpStream,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;

use super::{
    client::{connect, get, receive, send},
    node::Node,
};
use crate::support::scripted::{Script, Transfer};

#[test]
fn a_transfer_that_is_under_way_finishes_after_the_port_is_closed() {
    let script = Arc::<Script>::default();
    let bytes: Bytes = (0..200_000_u32).map(|n| n as u8).collect();
    let digest = script.blob("library/alpine", bytes.clone());
    script.next([Transfer::Slow(Duration::from_millis(20))]);
    let node = Node::of(&script);
    let address = node.address();

    let mut stream = connect(address);
    send(&mut stream, "GET", &format!("/v2/alpine/blobs/{digest}"), &[]);
    let mut first = [0; 16];
    stream.read_exact(&mut first).unwrap();
    let reader = std::thread::spawn(move || receive(&mut first.chain(stream), "GET"));

    node.stop();
    assert!(TcpStream::connect(address).is_err(), "the port is still open");
    let reply = reader.join().unwrap();
    assert!(reply.is_whole(), "{} of {} bytes", reply.body.len(), bytes.len());
    assert_eq!(reply.body, bytes);
}

#[test]
fn a_client_that_leaves_stops_no_fill() {
    let script = Arc::<Script>::default();
    let bytes: Bytes = (0..200_000_u32).map(|n| n as u8).collect();
    let digest = script.blob("library/alpine", bytes.clone());
    script.next([Transfer::Slow(Duration::from_millis(5))]);
    let node = Node::of(&script);
    let path = format!("/v2/alpine/blobs/{digest}");
    let mut stream = connect(node.address());
    send(&mut stream, "GET", &path, &[]);
    stream.read_exact(&mut [0; 16]).unwrap();
    drop(stream);
    assert_eq!(get(node.address(), &path).body, bytes);
    assert_eq!(script.asked.blobs.load(Ordering::SeqCst), 1, "the fill ended with its client");
}
