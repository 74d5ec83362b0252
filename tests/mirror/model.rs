//! Two nodes on one store, beside a model of what may happen to what they keep: pulls, uses,
//! addresses, reports, clean-ups that freeze in the midst or are killed, clocks that jump, a Hub
//! that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use proptest::{prelude::*, test_runner::TestRunner};
use registry_mirror::{
    clock::from_unix,
    mirror::{Job, Mirror, Node, Parts, SweepError, Want},
    oci::{Digest, Reference},
    settings::{Period, Size},
    store::{Area, Key, LINK_LIFETIME},
    upstream::UpstreamError,
};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    APP, Bench, Hand, TYPE,
    gated::{GATE, Gate, Gated},
    name, noise, read,
};

const HOUR: Duration = Duration::from_secs(3600);
const EXPIRY: Duration = Duration::from_secs(8 * 3600);
/// Long beside [`EXPIRY`]: three intervals without a clean-up would begin the bookkeeping anew.
const INTERVAL: Duration = Duration::from_secs(3 * 86_400);
/// What is marked as too much was not used for so long then, and is not removed for so long.
const GRACE: Duration = Duration::from_secs(25 * 60);
/// Fewer than two of the images have room, in bytes.
const CAP: u64 = 1100;
const IMAGES: usize = 4;
const NODES: usize = 2;

#[derive(Clone, Debug)]
enum Action {
    Pull {
        node: usize,
        image: usize,
    },
    /// A manifest is answered from a worker's memory.
    Hit {
        node: usize,
        image: usize,
    },
    /// A client asks for a blob alone, and is sent to the bucket for it if that is safe.
    Blob {
        node: usize,
        image: usize,
    },
    Report {
        node: usize,
    },
    Pass {
        minutes: u32,
    },
    Sweep {
        node: usize,
    },
    /// Somebody takes an image away.
    Purge {
        node: usize,
        image: usize,
    },
    /// A clean-up that stands still before its call number `after`.
    Freeze {
        node: usize,
        after: i64,
    },
    Wake {
        node: usize,
    },
    /// The process is killed and started anew.
    Crash {
        node: usize,
    },
    /// A node's own clock goes wrong while a use waits to be reported.
    Jump {
        node: usize,
        image: usize,
        hours: i32,
    },
    Hub {
        up: bool,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let (node, image) = (|| 0..NODES, || 0..IMAGES);
    prop_oneof![
        5 => (node(), image()).prop_map(|(node, image)| Action::Pull { node, image }),
        3 => (node(), image()).prop_map(|(node, image)| Action::Hit { node, image }),
        3 => (node(), image()).prop_map(|(node, image)| Action::Blob { node, image }),
        2 => node().prop_map(|node| Action::Report { node }),
        3 => (0..30_u32).prop_map(|minutes| Action::Pass { minutes }),
        4 => (25..240_u32).prop_map(|minutes| Action::Pass { minutes }),
        3 => (480..1440_u32).prop_map(|minutes| Action::Pass { minutes }),
        9 => node().prop_map(|node| Action::Sweep { node }),
        2 => (node(), 0..900_i64).prop_map(|(node, after)| Action::Freeze { node, after }),
        4 => node().prop_map(|node| Action::Wake { node }),
        1 => node().prop_map(|node| Action::Crash { node }),
        3 => (node(), image(), -500..500_i32)
            .prop_map(|(node, image, hours)| Action::Jump { node, image, hours }),
        1 => (node(), image()).prop_map(|(node, image)| Action::Purge { node, image }),
        1 => prop::bool::weighted(0.8).prop_map(|up| Action::Hub { up }),
    ]
}

/// A clean-up that stands still.
struct Frozen {
    gate: Arc<Gate>,
    task: JoinHandle<Result<(), SweepError>>,
    /// What had been unused for long enough when it froze: all that it may still remove.
    removable: BTreeSet<Digest>,
    lease_ends: SystemTime,
}

struct Machine {
    mirror: Mirror,
    clock: Arc<Hand>,
    frozen: Option<Frozen>,
    /// What was used and not reported, and when by the store's clock.
    unreported: BTreeMap<Digest, SystemTime>,
}

struct World {
    bench: Bench,
    nodes: Vec<Machine>,
    /// Of each image its manifest and its layer.
    images: Vec<(Digest, Digest)>,
    /// The last use of each content, or its writing, as the store was told.
    last: BTreeMap<Digest, SystemTime>,
    /// Addresses that clients were given, and until when they are good.
    addresses: Vec<(Digest, SystemTime)>,
    is_capped: bool,
    hub: bool,
    starts: u64,
    /// When the lease of a process that was killed ends.
    dead_lease_ends: SystemTime,
}

impl World {
    fn new(is_capped: bool) -> Self {
        let bench = Bench::with(|settings| {
            settings.expire_after = Period(EXPIRY);
            settings.cleanup_interval = Period(INTERVAL);
            settings.max_size = is_capped.then_some(Size(CAP));
            settings.blob_redirect = true;
        });
        let images = (0..IMAGES)
            .map(|number| {
                let layer = bench.script.blob(APP, noise(500 + number));
                let text = format!(r#"{{"layers":[{{"digest":"{layer}","size":1}}]}}"#);
                (bench.script.manifest(APP, &format!("v{number}"), TYPE, &text), layer)
            })
            .collect();
        let mut world = Self {
            bench,
            nodes: Vec::new(),
            images,
            last: BTreeMap::new(),
            addresses: Vec::new(),
            is_capped,
            hub: true,
            starts: 0,
            dead_lease_ends: SystemTime::UNIX_EPOCH,
        };
        for _ in 0..NODES {
            let machine = world.start();
            world.nodes.push(machine);
        }
        world
    }

    fn start(&mut self) -> Machine {
        self.starts += 1;
        let clock = Hand::new();
        clock.set(self.now());
        let label = format!("node-{}", self.starts);
        let store = Arc::new(Gated(self.bench.far.clone()));
        let parts = self.bench.mirror.parts().clone();
        let mirror = Mirror::new(Parts {
            far: store.clone(),
            near: None,
            records: store,
            layout: Default::default(),
            clock: clock.clone(),
            spool: self.bench.directory.path().join(&label),
            node: Arc::new(Node::new(vec![label])),
            ..parts
        });
        Machine { mirror: mirror.unwrap(), clock, frozen: None, unreported: BTreeMap::new() }
    }

    fn now(&self) -> SystemTime {
        self.bench.now()
    }

    fn kept(&self) -> BTreeSet<Digest> {
        self.bench.far.keys().into_iter().map(|key| key.digest).collect()
    }

    /// What nobody has told the store to have used for long enough.
    fn removable(&self) -> BTreeSet<Digest> {
        let enough = if self.is_capped { 2 * GRACE } else { EXPIRY };
        let unused =
            |digest: &Digest| self.last.get(digest).is_none_or(|last| *last + enough <= self.now());
        self.kept().into_iter().filter(unused).collect()
    }

    fn used(&mut self, node: usize, digests: &[Digest]) {
        let now = self.now();
        self.nodes[node].unreported.extend(digests.iter().map(|digest| (*digest, now)));
    }

    fn reported(&mut self, node: usize) {
        for (digest, at) in std::mem::take(&mut self.nodes[node].unreported) {
            let last = self.last.entry(digest).or_insert(at);
            *last = at.max(*last);
        }
    }

    async fn report(&mut self, node: usize) {
        self.nodes[node].mirror.report_use().await.unwrap();
        self.reported(node);
    }

    async fn act(&mut self, action: &Action) {
        let before = self.kept();
        let removable = self.removable();
        match *action {
            Action::Pull { node, image } => self.pull(node, image).await,
            Action::Hit { node, image } => self.hit(node, image),
            Action::Blob { node, image } => {
                let there = self.kept();
                self.blob(node, image, &there).await;
            }
            Action::Report { node } => self.report(node).await,
            Action::Pass { minutes } => {
                let by = Duration::from_secs(60) * minutes;
                self.pass(by).await;
            }
            Action::Sweep { node } if self.nodes[node].frozen.is_none() => {
                self.sweep(node, &removable).await;
            }
            Action::Freeze { node, after } if self.nodes[node].frozen.is_none() => {
                self.freeze(node, after, removable.clone()).await;
            }
            Action::Purge { node, image } => self.purge(node, image).await,
            Action::Wake { node } => self.wake(node, &before).await,
            Action::Crash { node } => {
                if let Some(frozen) = self.nodes[node].frozen.take() {
                    frozen.task.abort();
                    let _ = frozen.task.await;
                    self.dead_lease_ends = self.dead_lease_ends.max(frozen.lease_ends);
                }
                self.nodes[node] = self.start();
            }
            Action::Jump { node, image, hours } => {
                self.hit(node, image);
                self.nodes[node].clock.shift(i64::from(hours) * 3600);
            }
            Action::Hub { up } => {
                self.hub = up;
                self.bench.script.fail((!up).then(|| UpstreamError::passing("away")));
            }
            Action::Sweep { .. } | Action::Freeze { .. } => {}
        }
        let (now, kept) = (self.now(), self.kept());
        self.addresses.retain(|(_, until)| *until > now);
        let lost = self.addresses.iter().find(|(digest, _)| !kept.contains(digest));
        assert_eq!(lost, None, "gone though its address is good");
    }

    async fn pass(&self, by: Duration) {
        self.bench.clock.advance(by);
        self.nodes.iter().for_each(|node| node.clock.advance(by));
        tokio::time::advance(by).await;
    }

    fn hit(&mut self, node: usize, image: usize) {
        let (manifest, _) = self.images[image];
        self.nodes[node].mirror.served_from_memory(&manifest, 1);
        self.used(node, &[manifest]);
    }

    async fn pull(&mut self, node: usize, image: usize) {
        let (manifest, layer) = self.images[image];
        let mirror = self.nodes[node].mirror.clone();
        let there = self.kept();
        let reference = Reference::Tag(format!("v{image}").parse().unwrap());
        let answer = mirror.manifest(&name(APP), &reference, Want::Body).await;
        match answer {
            Ok(answer) => {
                assert_eq!(Digest::sha256(&answer.bytes.unwrap()), manifest);
                self.used(node, &[manifest, layer]);
            }
            Err(refusal) => assert!(!self.hub, "the Hub is there: {refusal:?}"),
        }
        self.blob(node, image, &there).await;
    }

    async fn blob(&mut self, node: usize, image: usize, there: &BTreeSet<Digest>) {
        let (_, layer) = self.images[image];
        let mirror = self.nodes[node].mirror.clone();
        match mirror.blob(&name(APP), &layer, None, Want::Body).await {
            Ok(blob) if blob.link.is_some() => {
                self.addresses.push((layer, self.now() + LINK_LIFETIME));
                self.used(node, &[layer]);
            }
            Ok(blob) => {
                let (bytes, end) = read(blob).await;
                assert_eq!(end, Ok(()));
                assert_eq!(Digest::sha256(&bytes), layer, "wrong bytes");
                self.used(node, &[layer]);
            }
            Err(refusal) => {
                assert!(!self.hub, "the Hub is there: {refusal:?}");
                let kept = there.contains(&layer);
                assert!(!kept || refusal_of_name(&refusal), "it is kept: {refusal:?}");
            }
        }
        mirror.idle().await;
        let now = self.now();
        for digest in self.kept().difference(there) {
            self.last.insert(*digest, now);
        }
    }

    /// Whether anybody holds the lease, dead or alive.
    fn is_held(&self) -> bool {
        let frozen = self.nodes.iter().filter_map(|node| node.frozen.as_ref());
        let ends = frozen.map(|frozen| frozen.lease_ends).chain([self.dead_lease_ends]);
        ends.max().is_some_and(|ends| ends > self.now())
    }

    async fn sweep(&mut self, node: usize, removable: &BTreeSet<Digest>) {
        let before = self.kept();
        let held = self.is_held();
        // It begins by telling what it used itself.
        self.reported(node);
        let still = self.removable();
        match self.nodes[node].mirror.sweep(&|_| {}).await {
            Ok(_) => assert!(!held, "two cleaned up at a time"),
            Err(SweepError::Busy { .. }) => assert!(held, "busy with nothing"),
            Err(other) => panic!("{other}"),
        }
        let gone: BTreeSet<Digest> = before.difference(&self.kept()).copied().collect();
        assert!(
            gone.is_subset(&still) && gone.is_subset(removable),
            "gone though in use: {gone:?}"
        );
        assert!(gone.is_empty() || self.hub, "gone while it could not come back: {gone:?}");
    }

    /// What only this image needs goes, and nothing else.
    async fn purge(&mut self, node: usize, image: usize) {
        let before = self.kept();
        let (manifest, layer) = self.images[image];
        let images = vec![format!("{APP}:v{image}").parse().unwrap()];
        let mirror = self.nodes[node].mirror.clone();
        mirror.run(Job::Purge { images, dry_run: false }, &|_| {}).await;
        mirror.idle().await;
        let kept = self.kept();
        let gone: BTreeSet<Digest> = before.difference(&kept).copied().collect();
        assert!(gone.is_subset(&[manifest, layer].into()), "others went with it: {gone:?}");
        self.addresses.retain(|(digest, _)| !gone.contains(digest));
        let known = self
            .bench
            .far
            .record(&format!("upstreams/docker.io/repositories/{APP}/_tags/v{image}"));
        assert!(known.is_none(), "its tag is still there: {known:?}");
    }

    async fn freeze(&mut self, node: usize, after: i64, removable: BTreeSet<Digest>) {
        let before = self.kept();
        let held = self.is_held();
        // One that stands still before it has told of its use has not told of it.
        self.report(node).await;
        let gate =
            Arc::new(Gate { left: AtomicI64::new(after), open: Notify::new(), fails: false });
        let mirror = self.nodes[node].mirror.clone();
        let sweeping =
            GATE.scope(gate.clone(), async move { mirror.sweep(&|_| {}).await.map(drop) });
        let mut task = tokio::spawn(sweeping);
        // Until it stands still at the gate, or has ended.
        while gate.left.load(Ordering::SeqCst) >= 0 && !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let gone: BTreeSet<Digest> = before.difference(&self.kept()).copied().collect();
        assert!(gone.is_subset(&removable), "gone though in use: {gone:?}");
        if task.is_finished() {
            match (&mut task).await.unwrap() {
                Ok(()) => assert!(!held, "two cleaned up at a time"),
                Err(error) => assert!(matches!(error, SweepError::Busy { .. }), "{error}"),
            }
            return;
        }
        let lease_ends = self.lease_of(node).unwrap_or(SystemTime::UNIX_EPOCH);
        self.nodes[node].frozen = Some(Frozen { gate, task, removable, lease_ends });
    }

    /// Until when a node holds the lease, as it is written down; none if another does, or nobody.
    fn lease_of(&self, node: usize) -> Option<SystemTime> {
        let text = self.bench.far.record("sweep/lease")?;
        let held: serde_json::Value = serde_json::from_str(&text).unwrap();
        let is_own = held["holder"] == self.nodes[node].mirror.parts().node.id();
        is_own.then(|| from_unix(held["until"].as_u64().unwrap()))
    }

    async fn wake(&mut self, node: usize, before: &BTreeSet<Digest>) {
        let Some(frozen) = self.nodes[node].frozen.take() else { return };
        let now = self.removable();
        frozen.gate.left.store(i64::MAX, Ordering::SeqCst);
        frozen.gate.open.notify_one();
        match frozen.task.await.unwrap() {
            Ok(()) | Err(SweepError::Lost | SweepError::Busy { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        // It may have told of its own use since it froze, or not.
        self.report(node).await;
        // What it was about to remove when it froze may be in use again since.
        self.addresses.retain(|(digest, _)| !frozen.removable.contains(digest));
        let allowed: BTreeSet<Digest> = now.union(&frozen.removable).copied().collect();
        let gone: BTreeSet<Digest> = before.difference(&self.kept()).copied().collect();
        assert!(gone.is_subset(&allowed), "gone though in use: {gone:?}");
    }

    /// Everything goes in the end, and nothing is left behind.
    async fn end(&mut self) {
        for node in 0..NODES {
            self.act(&Action::Wake { node }).await;
            self.act(&Action::Report { node }).await;
        }
        self.act(&Action::Hub { up: true }).await;
        for _ in 0..3 * 24 {
            self.pass(HOUR).await;
            self.nodes[0].mirror.sweep(&|_| {}).await.unwrap();
        }
        assert_eq!(self.kept(), BTreeSet::new(), "this is kept for ever");
        let records = self.bench.far.records.lock().unwrap();
        let reports: Vec<_> = records.keys().filter(|path| path.starts_with("use/")).collect();
        assert_eq!(reports, [""; 0], "these are kept for ever");
    }
}

/// A name that is not known to be public while the Hub is away is refused, whatever is kept.
fn refusal_of_name(refusal: &registry_mirror::mirror::Refusal) -> bool {
    use registry_mirror::mirror::Refusal;
    matches!(refusal, Refusal::Upstream { .. } | Refusal::NoRepository | Refusal::Late)
}

/// How many objects were removed for each reason.
#[derive(Default)]
struct Removed {
    expired: AtomicU64,
    surplus: AtomicU64,
}

impl Removed {
    fn count(&self, metrics: &str) {
        for (reason, all) in [("expired", &self.expired), ("surplus", &self.surplus)] {
            let name = format!("cleanup_removed_total{{reason=\"{reason}\"}} ");
            let value = metrics.lines().find_map(|line| line.split_once(&name));
            let count = value.map_or(0, |(_, count)| count.parse().unwrap());
            all.fetch_add(count, Ordering::SeqCst);
        }
    }
}

#[test]
fn the_promises_hold_after_each_step() {
    let config =
        ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let removed = Removed::default();
    let run = (any::<bool>(), prop::collection::vec(action(), 1..100));
    let ended = TestRunner::new(config).run(&run, |(is_capped, actions)| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(is_capped);
            for action in &actions {
                world.act(action).await;
            }
            removed.count(&world.bench.metrics());
            world.end().await;
            // What is not known by its key would be a fault of the test.
            let key = Key { area: Area::Public, digest: world.images[0].0 };
            assert!(world.bench.far.bytes(&key).is_none());
        });
        Ok(())
    });
    ended.unwrap_or_else(|failed| panic!("{failed}"));
    // Promises of removals that never come would be worth nothing.
    let (expired, surplus) = (removed.expired.into_inner(), removed.surplus.into_inner());
    assert!(expired > 0 && surplus > 0, "{expired} expired and {surplus} surplus objects went");
}
