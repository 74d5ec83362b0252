//! Any sequence of calls leaves a directory as it leaves two maps.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use registry_mirror::{
    oci::Digest,
    store::{Area, Key, Meta, Payload, Put, Records, Shard, Store, Version, When, Written, fs::Fs},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::conformance::{file_payload, read};

#[derive(Clone, Debug)]
enum Call {
    /// Content of this key, cut to this length, as a manifest or not, from a file or not.
    Put {
        key: u8,
        len: u16,
        manifest: bool,
        file: bool,
    },
    Remove(u8),
    Write {
        path: u8,
        value: u8,
        when: Condition,
    },
    Erase(u8),
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Always,
    Absent,
    /// The version that is there, or that was there last.
    Latest,
    /// The first version that ever was.
    First,
}

fn call() -> impl Strategy<Value = Call> {
    let condition = prop_oneof![
        Just(Condition::Always),
        Just(Condition::Absent),
        Just(Condition::Latest),
        Just(Condition::First)
    ];
    prop_oneof![
        4 => (0..3_u8, 0..3_u16, any::<bool>(), any::<bool>())
            .prop_map(|(key, len, manifest, file)| Call::Put { key, len, manifest, file }),
        2 => (0..3_u8).prop_map(Call::Remove),
        4 => (0..3_u8, 0..2_u8, condition)
            .prop_map(|(path, value, when)| Call::Write { path, value, when }),
        2 => (0..3_u8).prop_map(Call::Erase),
        1 => Just(Call::Reopen),
    ]
}

const PATHS: [&str; 3] = ["a", "b/c", "b/d/e"];

fn key(number: u8) -> Key {
    Key { area: Area::Public, digest: Digest::sha256(&[number]) }
}

/// What a directory must hold.
#[derive(Default)]
struct Model {
    content: BTreeMap<Digest, (Bytes, Meta)>,
    records: BTreeMap<&'static str, (Bytes, Version)>,
    versions: BTreeMap<&'static str, Vec<Version>>,
}

impl Model {
    async fn apply(&mut self, fs: &Fs, call: &Call) {
        match *call {
            Call::Put { key: number, len, manifest, file } => {
                let key = key(number);
                let bytes = Bytes::from(vec![number; usize::from(len) * 3000]);
                let media_type = manifest.then(|| "a/manifest".parse().unwrap());
                let meta = Meta { media_type, verified: true };
                let there = self.content.get(&key.digest).map(|(bytes, _)| bytes.len());
                let expected = if there == Some(bytes.len()) {
                    Put::AlreadyThere
                } else {
                    self.content.insert(key.digest, (bytes.clone(), meta.clone()));
                    Put::Stored
                };
                let payload = if file { file_payload(&bytes) } else { Payload::Bytes(bytes) };
                assert_eq!(Store::put(fs, &key, payload, &meta).await.unwrap(), expected);
            }
            Call::Remove(number) => {
                self.content.remove(&key(number).digest);
                Store::remove(fs, &[key(number)]).await.unwrap();
            }
            Call::Write { path, value, when } => self.write(fs, path, value, when).await,
            Call::Erase(path) => {
                self.records.remove(PATHS[usize::from(path)]);
                Records::remove(fs, PATHS[usize::from(path)]).await.unwrap();
            }
            Call::Reopen => {}
        }
    }

    async fn write(&mut self, fs: &Fs, path: u8, value: u8, when: Condition) {
        let path = PATHS[usize::from(path)];
        let value = Bytes::from(vec![value; 10]);
        let there = self.records.get(path).map(|(_, version)| version);
        let known = self.versions.entry(path).or_default();
        let never = Version("never".into());
        let when = match when {
            Condition::Always => When::Always,
            Condition::Absent => When::Absent,
            Condition::Latest => When::Is(known.last().unwrap_or(&never).clone()),
            Condition::First => When::Is(known.first().unwrap_or(&never).clone()),
        };
        let holds = match &when {
            When::Always => true,
            When::Absent => there.is_none(),
            When::Is(version) => there == Some(version),
        };
        match Records::put(fs, path, value.clone(), when.clone()).await.unwrap() {
            Written::Done(version) => {
                assert!(holds, "{when:?} does not hold");
                assert!(!known.contains(&version), "a version names one writing");
                known.push(version.clone());
                self.records.insert(path, (value, version));
            }
            Written::Conflict => assert!(!holds, "{when:?} holds"),
        }
    }

    async fn compare(&self, fs: &Fs) {
        for number in 0..3 {
            let key = key(number);
            let expected = self.content.get(&key.digest);
            let found = match Store::get(fs, &key, None).await.unwrap() {
                Some(found) => Some((read(found.body).await.unwrap(), found.info.meta)),
                None => None,
            };
            assert!(found.as_ref() == expected, "content {number}");
            let shard = Shard { algorithm: key.digest.algorithm(), first: key.digest.bytes()[0] };
            let listed = Store::list(fs, &Area::Public, shard, None).await.unwrap().entries;
            let sizes: Vec<u64> = listed.iter().map(|entry| entry.size).collect();
            let expected: Vec<u64> = expected.map(|it| it.0.len() as u64).into_iter().collect();
            assert_eq!(sizes, expected, "the shard of content {number}");
        }
        for path in PATHS {
            let found = Records::get(fs, path).await.unwrap();
            assert_eq!(found.as_ref(), self.records.get(path), "record `{path}`");
        }
        let listed = Records::list(fs, "", None).await.unwrap().entries;
        let paths = listed.iter().map(|entry| &entry.path);
        assert!(paths.eq(self.records.keys()), "{listed:?}");
        assert_eq!(fs.stray_uploads(None).await.unwrap().entries, [], "nothing is left staged");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_directory_is_two_maps(calls in prop::collection::vec(call(), 1..25)) {
        let place = TempDir::new().unwrap();
        Runtime::new().unwrap().block_on(async {
            let open = || super::open(place.path());
            let (mut fs, mut model) = (open(), Model::default());
            for call in &calls {
                if matches!(call, Call::Reopen) {
                    drop(fs);
                    fs = open();
                }
                model.apply(&fs, call).await;
                model.compare(&fs).await;
            }
        });
    }
}
