//! What the service manager is told (sd_notify(3)), by a socket that stands for it.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use super::{client::PATIENCE, reload::Node};
use crate::support::run::Bench;

/// The manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn of(bench: &Bench) -> Self {
        let socket = UnixDatagram::bind(bench.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message that is no watchdog's.
    fn hears(&self) -> String {
        loop {
            let text = self.next();
            if text != "WATCHDOG=1" {
                return text;
            }
        }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.0.recv(&mut bytes).expect("a message within the patience");
        String::from_utf8(bytes[..length].to_vec()).unwrap().trim_end().to_owned()
    }
}

fn node(environment: &[(&str, &str)]) -> (Node, Manager) {
    let bench = Bench::new();
    let manager = Manager::of(&bench);
    let socket = bench.path().join("notify").to_str().unwrap().to_owned();
    let environment = [environment, &[("NOTIFY_SOCKET", &socket)]].concat();
    let node = Node::with(bench, "http://127.0.0.1:9", "", &environment);
    (node, manager)
}

#[test]
fn it_hears_of_the_start_each_reload_and_the_end() {
    let (mut node, manager) = node(&[]);
    assert_eq!(manager.hears(), "READY=1");
    for (log_level, code) in [("debug", 0), ("loud", 1)] {
        node.configure(&format!("log_level: {log_level}\n"));
        node.reload().ended(code);
        let reloading = manager.hears();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time = time.unwrap_or_else(|| panic!("it hears {reloading:?}"));
        assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{reloading:?}");
        let ready = manager.hears();
        assert!(ready.starts_with("READY=1\nSTATUS="), "it hears {ready:?}");
        assert_eq!(ready.contains("refused"), code == 1, "{ready:?}");
    }
    node.signal(Signal::TERM);
    assert_eq!(manager.hears(), "STOPPING=1");
    assert_eq!(node.program.0.wait().unwrap().code(), Some(0));
}

#[test]
fn it_is_fed_for_its_watchdog() {
    let (_node, manager) = node(&[("WATCHDOG_USEC", "100000")]);
    assert_eq!(manager.hears(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut node, manager) = node(&[]);
    assert_eq!(manager.hears(), "READY=1");
    node.configure("drain_delay: 1h\n");
    node.reload().ended(0);
    manager.hears();
    manager.hears();
    node.signal(Signal::TERM);
    assert_eq!(manager.hears(), "STOPPING=1");
    node.signal(Signal::TERM);
    assert_eq!(node.program.0.wait().unwrap().code(), Some(130));
    assert!(node.log().contains("told twice to stop"), "{}", node.log());
}
