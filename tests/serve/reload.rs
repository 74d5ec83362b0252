//! Promise 13: a bad configuration never replaces a good one, and a good one takes effect whole.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use rustls::version::TLS13;

use super::{
    client::{PATIENCE, ask, connect, get, receive, send},
    program::{Program, free_port},
    tls,
};
use crate::support::{
    hub::{Fault, Gate, Hub, Kind, noise},
    run::{Bench, Ran},
};

/// A service in a directory of its own, whose inventory the test writes.
pub(crate) struct Node {
    pub(crate) bench: Bench,
    pub(super) program: Program,
    pub(super) address: SocketAddr,
    base: String,
    pub(super) admin: SocketAddr,
}

impl Node {
    /// Starts it with these variables (without prefix, `name: value`) besides those that make it
    /// one of a test.
    pub(crate) fn start(upstream: &str, variables: &str) -> Self {
        Self::with(Bench::new(), upstream, variables, &[])
    }

    pub(crate) fn with(
        bench: Bench,
        upstream: &str,
        variables: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let [port, admin] = [free_port(), free_port()];
        let base = format!(
            "store: filesystem\ndata_path: data\nlisten_address: 127.0.0.1\nlisten_port: {port}\n\
             admin_address: 127.0.0.1:{admin}\nupstream_url: {upstream}\n"
        );
        let log = fs::File::create(bench.path().join("log")).unwrap();
        bench.write("mirror.yml", text(&base, variables));
        let mut command = bench.command(["serve", "-i", "mirror.yml"]);
        command.stderr(log).envs(environment.iter().copied());
        let mut program = Program(command.spawn().unwrap());
        program.ready();
        let [address, admin] = [port, admin].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Self { bench, program, address, base, admin }
    }

    /// Writes the inventory anew, at once for whoever reads it.
    pub(crate) fn configure(&self, variables: &str) {
        self.put(&text(&self.base, variables));
    }

    pub(crate) fn put(&self, text: &str) {
        self.bench.write("mirror.new", text);
        let [new, old] = ["mirror.new", "mirror.yml"].map(|name| self.bench.path().join(name));
        fs::rename(new, old).unwrap();
    }

    pub(crate) fn reload(&self) -> Ran {
        self.bench.run(["reload"])
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.bench.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.program.0), signal).unwrap();
    }

    /// The value of a metric as it is printed.
    pub(crate) fn metric(&self, name: &str) -> String {
        let text = String::from_utf8(get(self.admin, "/metrics").body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or("0").to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.bench.path().join("runtime/control.sock")
    }
}

fn text(base: &str, variables: &str) -> String {
    let mut text = "all:\n  vars:\n".to_owned();
    let own = [("tls:", "tls: off\n"), ("drain_delay:", "drain_delay: 0s\n")];
    let own = own.into_iter().filter(|(name, _)| !variables.contains(name)).map(|(_, line)| line);
    for line in [base, &own.collect::<String>(), variables].concat().lines() {
        let continued = line.starts_with(' ');
        text.push_str(&format!("    {}{line}\n", if continued { "" } else { "registry_mirror_" }));
    }
    text
}

const REFUSED: &str = "failed: the configuration is refused, and the service goes on as before";

#[test]
fn a_good_one_takes_effect_at_once_and_says_what_changed() {
    let hub = Hub::start();
    hub.image("library/alpine", "3.20", &[]);
    let node = Node::start(&hub.url(), "tag_ttl: 1h\n");
    let pull = || assert_eq!(get(node.address, "/v2/alpine/manifests/3.20").status, 200);
    pull();
    let asked = hub.total();
    // More often than there are workers, so that each remembers it.
    (0..64).for_each(|_| pull());
    assert_eq!(hub.total(), asked, "a fresh tag was asked for");

    node.reload().ended(0).says(&["ok: reloaded, no setting changed"]);
    node.configure("tag_ttl: 0s\nlog_level: debug\n");
    node.reload()
        .ended(0)
        .says(&["ok: reloaded, changed: `registry_mirror_tag_ttl`, `registry_mirror_log_level`"]);
    pull();
    assert_eq!(hub.total(), asked + 1, "a worker still believes what it remembers");
    assert!(node.log().contains("DEBUG"), "the level did not change:\n{}", node.log());
    assert_eq!(node.metric("registry_mirror_reloads_total{outcome=\"taken\"}"), "2");

    node.configure("log_format: json\n");
    node.reload().ended(0);
    let log = node.log();
    let last = log.lines().last().unwrap();
    assert!(last.starts_with('{') && last.contains("was reloaded"), "{log}");
    let mode = fs::metadata(node.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn sighup_does_the_same_and_tells_the_log() {
    let node = Node::start("http://127.0.0.1:9", "");
    let wait = |name: &str| {
        while node.metric(name) == "0" {
            thread::yield_now();
        }
    };
    node.configure("log_level: loud\n");
    node.signal(Signal::HUP);
    wait("registry_mirror_reload_refused");
    let log = node.log();
    let place = "place=\"mirror.yml:11:32\"";
    for part in ["ERROR", "`registry_mirror_log_level`", place, "the reload is refused"] {
        assert!(log.contains(part), "`{part}` is not in the log:\n{log}");
    }
    node.configure("log_level: warn\n");
    node.signal(Signal::HUP);
    wait("registry_mirror_reloads_total{outcome=\"taken\"}");
    assert_eq!(node.metric("registry_mirror_reload_refused"), "0");
    assert_ne!(node.metric("registry_mirror_reloaded_timestamp_seconds"), "0");
}

#[test]
fn a_refused_one_changes_nothing_and_says_why() {
    let hub = Hub::start();
    hub.image("acme/ours", "1", &[]);
    hub.private("acme/ours");
    hub.account("robot", "s3cret-passw0rd", &["acme/ours"], None);
    let good = "docker_hub_username: robot\ndocker_hub_password: s3cret-passw0rd\n\
                private_repositories: allow\n";
    let node = Node::start(&hub.url(), good);
    let pulls = || get(node.address, "/v2/acme/ours/manifests/1").status == 200;
    assert!(pulls());

    let file = node.bench.path().join("gone.pem");
    let bad = [
        // A setting that is wrong beside one that is right.
        ("private_repositories: deny\ntag_ttl: soon\n".to_owned(), "mirror.yml:12:30"),
        ("private_repositories: deny\nno_such_thing: 1\n".into(), "no_such_thing"),
        // Right in itself, but what it names cannot be used.
        (format!("private_repositories: deny\nupstream_ca: {}\n", file.display()), "gone.pem"),
        (
            format!(
                "private_repositories: deny\ntls: files\ntls_certificate: {0}\n\
                 tls_private_key: {0}\n",
                file.display()
            ),
            "gone.pem",
        ),
    ];
    for (number, (variables, said)) in bad.into_iter().enumerate() {
        node.configure(&variables);
        let ran = node.reload().ended(1).says(&[said, REFUSED]);
        assert_eq!(ran.stdout, "");
        assert!(pulls(), "{variables} was taken in part");
        let refused = node.metric("registry_mirror_reloads_total{outcome=\"refused\"}");
        assert_eq!(refused, (number + 1).to_string());
        assert_eq!(node.metric("registry_mirror_reload_refused"), "1");
    }
    node.put("all: [\n");
    node.reload().ended(1).says(&["mirror.yml", REFUSED]).hides(&["s3cret"]);
    fs::remove_file(node.bench.path().join("mirror.yml")).unwrap();
    node.reload().ended(1).says(&["mirror.yml", REFUSED]);
    assert!(pulls());
    assert!(!node.log().contains("s3cret-passw0rd"), "{}", node.log());

    node.configure(&good.replace("allow", "deny"));
    node.reload().ended(0).says(&["changed: `registry_mirror_private_repositories`"]);
    assert!(!pulls(), "a private repository is served after `deny`");
}

#[test]
fn no_request_fails_while_good_and_bad_ones_come() {
    let hub = Hub::start();
    let image = hub.image("library/alpine", "3.20", &[noise(3, 50_000)]);
    let node = Node::start(&hub.url(), "tag_ttl: 1h\n");
    let blob = format!("/v2/alpine/blobs/{}", image.layers[0].digest);
    let paths = ["/v2/alpine/manifests/3.20", &*blob, "/v2/"];
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..4 {
            let (done, served, paths) = (&done, &served, &paths);
            scope.spawn(move || {
                for n in client.. {
                    let reply = get(node.address, paths[n % paths.len()]);
                    assert!(reply.status == 200 && reply.is_whole(), "{reply:?}");
                    served.fetch_add(1, Ordering::SeqCst);
                    if done.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for turn in 0..30 {
            let before = served.load(Ordering::SeqCst);
            if turn % 2 == 0 {
                node.configure(&format!(
                    "tag_ttl: 1{turn}m\nupstream_redirect_hosts: [h{turn}.test]\n"
                ));
                node.reload().ended(0);
            } else {
                node.configure("private_repositories: perhaps\nupstream_url: http://127.0.0.1:9\n");
                node.reload().ended(1).says(&[REFUSED]);
            }
            // Each configuration is met by some.
            let end = Instant::now() + PATIENCE;
            while served.load(Ordering::SeqCst) < before + 4 {
                assert!(Instant::now() < end, "clients gave up");
                thread::yield_now();
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(node.metric("registry_mirror_reloads_total{outcome=\"taken\"}"), "15");
    assert_eq!(node.metric("registry_mirror_reloads_total{outcome=\"refused\"}"), "15");
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let node = Node::start("http://127.0.0.1:9", "");
    let port = node.address.port();
    let other = free_port();
    let moved = node.bench.path().join("mirror.yml");
    let text = fs::read_to_string(&moved).unwrap();
    node.put(&text.replace(&format!("listen_port: {port}"), &format!("listen_port: {other}")));
    let stays = format!(
        "`registry_mirror_listen_port` stays `{port}` until the next start, then it is `{other}`"
    );
    for _ in 0..2 {
        node.reload().ended(0).says(&[&stays, "hint: ", "ok: reloaded, no setting changed"]);
        assert_eq!(get(node.address, "/v2/").status, 200);
        assert!(TcpStream::connect(("127.0.0.1", other)).is_err(), "it listens there already");
    }
    node.put(&text);
    node.reload().ended(0).hides(&["listen_port"]);
}

#[test]
fn the_next_request_upstream_is_made_with_the_new_credential() {
    let hub = Hub::start();
    hub.image("acme/ours", "1", &[]);
    hub.private("acme/ours");
    hub.account("old", "first-passw0rd", &["acme/ours"], None);
    hub.account("new", "second-passw0rd", &["acme/ours"], None);
    let credential = |user: &str, password: &str| {
        format!(
            "docker_hub_username: {user}\ndocker_hub_password: {password}\n\
             private_repositories: allow\ntag_ttl: 0s\n"
        )
    };
    let node = Node::start(&hub.url(), &credential("old", "first-passw0rd"));
    let pull = || assert_eq!(get(node.address, "/v2/acme/ours/manifests/1").status, 200);
    pull();
    node.configure(&credential("new", "second-passw0rd"));
    node.reload().ended(0).hides(&["first-passw0rd", "second-passw0rd"]);
    hub.reset_counts();
    pull();
    let seen = hub.requests();
    let accounts: Vec<_> = seen.iter().filter_map(|seen| seen.account.as_deref()).collect();
    assert!(!accounts.is_empty() && accounts.iter().all(|name| *name == "new"), "{seen:?}");
    let log = node.log();
    assert!(!log.contains("-passw0rd"), "{log}");
}

fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Some(seen) => return seen,
            None => assert!(begun.elapsed() < PATIENCE, "it is served as before"),
        }
    }
}

fn speaks_plainly(address: SocketAddr) -> bool {
    let mut stream = connect(address);
    send(&mut stream, "GET", "/v2/", &[]);
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).is_ok() && reply.starts_with(b"HTTP/1.1 200 ")
}

#[test]
fn tls_comes_goes_and_changes_while_transfers_go_on() {
    let hub = Hub::start();
    let bytes = noise(5, 400_000);
    hub.image("library/alpine", "3.20", &[]);
    let digest = hub.blob("library/alpine", bytes.clone());
    let node = Node::start(&hub.url(), "");
    let gate = Gate::closed();
    hub.fault(Kind::Cdn, Fault::HoldBody(100_000, gate.clone()), 1);
    let mut transfer = connect(node.address);
    send(&mut transfer, "GET", &format!("/v2/alpine/blobs/{digest}"), &[]);

    // Whoever comes in the very moment of the change may meet what was before.
    let certificate = || soon(|| tls::certificate(node.address));
    node.configure("tls: generated\n");
    node.reload().ended(0).says(&["changed: `registry_mirror_tls`"]);
    let generated = certificate();

    let [cert, key] = ["cert.pem", "key.pem"].map(|name| node.bench.path().join(name));
    let write = |pair: (String, String)| {
        fs::write(&cert, pair.0).unwrap();
        fs::write(&key, pair.1).unwrap();
    };
    write(tls::pem());
    let files = format!(
        "tls: files\ntls_certificate: {}\ntls_private_key: {}\n",
        cert.display(),
        key.display()
    );
    node.configure(&files);
    node.reload().ended(0);
    let first = certificate();
    assert_ne!(first, generated);
    write(tls::pem());
    node.reload().ended(0).says(&["no setting changed"]);
    let second = certificate();
    assert_ne!(second, first, "the file was not read again");
    fs::write(&key, tls::pem().1).unwrap();
    node.reload().ended(1).says(&["does not belong to the certificate", REFUSED]);
    assert_eq!(certificate(), second);
    assert_eq!(tls::ask(node.address, &TLS13).reply.status, 200);

    node.configure("tls: off\n");
    node.reload().ended(0);
    soon(|| speaks_plainly(node.address).then_some(()));
    gate.open();
    let reply = receive(&mut transfer, "GET");
    assert!(reply.is_whole() && reply.body == bytes, "{} bytes", reply.body.len());
}

#[test]
fn who_asks_nobody_is_told_where_it_looked() {
    let bench = Bench::new();
    bench.run(["reload"]).ended(2).says(&["runtime/control.sock", "none answers there", "hint: "]);
    bench.run(["-i", "x", "reload"]).ended(2).says(&["takes no options of an inventory"]);
    bench.run(["reload", "-i", "x"]).ended(2).says(&["unexpected"]);
}

#[test]
fn a_socket_of_a_dead_service_is_replaced_and_of_a_living_one_left_alone() {
    let mut first = Node::start("http://127.0.0.1:9", "");
    first.program.0.kill().unwrap();
    first.program.0.wait().unwrap();
    assert!(first.socket().exists(), "a killed service removes nothing");
    first.reload().ended(2).says(&["none answers there"]);

    let Node { bench, .. } = first;
    let runtime = bench.path().join("runtime");
    let environment = [("RUNTIME_DIRECTORY", runtime.to_str().unwrap())];
    let second = Node::with(Bench::new(), "http://127.0.0.1:9", "", &environment);
    bench.run(["reload"]).ended(0);
    let mut third = Node::with(Bench::new(), "http://127.0.0.1:9", "", &environment);
    assert!(third.log().contains("another service answers `reload` there"), "{}", third.log());
    third.signal(Signal::TERM);
    third.program.0.wait().unwrap();
    bench.run(["reload"]).ended(0);
    assert_eq!(second.metric("registry_mirror_reloads_total{outcome=\"taken\"}"), "2");

    let Node { mut program, .. } = second;
    kill_process(Pid::from_child(&program.0), Signal::TERM).unwrap();
    program.0.wait().unwrap();
    assert!(!runtime.join("control.sock").exists(), "it left its socket behind");
}

#[test]
fn nonsense_at_the_socket_is_answered_and_stops_nobody() {
    let node = Node::start("http://127.0.0.1:9", "");
    // They hold the line and say nothing.
    let _stalled: Vec<UnixStream> =
        (0..4).map(|_| UnixStream::connect(node.socket()).unwrap()).collect();
    for nonsense in [&b"{}\n"[..], b"[]\n", b"\xff\n", b"{\"reload\":{}}\n", b"\n"] {
        let mut stream = UnixStream::connect(node.socket()).unwrap();
        stream.write_all(nonsense).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert_eq!(answer, "\"unknown\"\n", "to {nonsense:?}");
    }
    let mut long = UnixStream::connect(node.socket()).unwrap();
    // Its end is not read, so that this may fail.
    let _ = long.write_all(&vec![b'x'; 1 << 20]);
    node.reload().ended(0);
    assert_eq!(ask(node.address, "GET", "/v2/", &[]).status, 200);
}
