//! What the fake Hub holds: repositories, their tags, manifests and blobs.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use registry_mirror::oci::Digest;
use serde_json::{Value, json};

/// A blob and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub digest: Digest,
    pub bytes: Bytes,
}

impl Content {
    fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::sha256(&bytes), bytes }
    }
}

/// An image of one platform.
#[derive(Clone, Debug)]
pub struct Image {
    pub name: String,
    pub digest: Digest,
    pub media_type: String,
    /// The manifest.
    pub bytes: Bytes,
    pub config: Content,
    pub layers: Vec<Content>,
}

/// An index and the manifests it names, attestations included.
#[derive(Clone, Debug)]
pub struct Index {
    pub name: String,
    pub digest: Digest,
    pub media_type: String,
    /// The manifest.
    pub bytes: Bytes,
    pub children: Vec<Image>,
}

/// `len` bytes that do not compress and are the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64*: good enough to be neither compressible nor periodic here.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) private: bool,
    pub(super) tags: BTreeMap<String, Digest>,
    pub(super) manifests: HashMap<Digest, (String, Bytes)>,
    pub(super) blobs: HashSet<Digest>,
}

impl Repository {
    /// A manifest by tag or digest.
    pub(super) fn find(&self, reference: &str) -> Option<(Digest, &str, Bytes)> {
        let digest = match reference.parse() {
            Ok(digest) => digest,
            Err(_) => *self.tags.get(reference)?,
        };
        let (media_type, bytes) = self.manifests.get(&digest)?;
        Some((digest, media_type, bytes.clone()))
    }
}

#[derive(Debug, Default)]
pub(super) struct Library {
    repositories: HashMap<String, Repository>,
    blobs: HashMap<Digest, Bytes>,
}

impl Library {
    pub(super) fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// A blob, whichever repository it is in.
    pub(super) fn bytes(&self, digest: &Digest) -> Option<Bytes> {
        self.blobs.get(digest).cloned()
    }

    pub(super) fn blob(&mut self, name: &str, digest: Digest, bytes: Bytes) {
        self.repository(name).blobs.insert(digest);
        self.blobs.insert(digest, bytes);
    }

    fn content(&mut self, name: &str, content: &Content) {
        self.blob(name, content.digest, content.bytes.clone());
    }

    pub(super) fn manifest(
        &mut self,
        name: &str,
        tag: Option<&str>,
        media_type: &str,
        bytes: Bytes,
    ) -> Digest {
        let digest = Digest::sha256(&bytes);
        let repository = self.repository(name);
        repository.manifests.insert(digest, (media_type.to_owned(), bytes));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest);
        }
        digest
    }

    pub(super) fn image(&mut self, name: &str, tag: &str, layers: &[Bytes], docker: bool) -> Image {
        let about =
            json!({"architecture": "amd64", "os": "linux", "comment": format!("{name}:{tag}")});
        self.put_image(name, Some(tag), layers, &about, docker, Value::Null)
    }

    fn put_image(
        &mut self,
        name: &str,
        tag: Option<&str>,
        layers: &[Bytes],
        about: &Value,
        docker: bool,
        extra: Value,
    ) -> Image {
        let [media_type, config_type, layer_type] = if docker {
            [
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            ]
        } else {
            [
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            ]
        };
        let config = Content::of(about.to_string());
        let layers: Vec<Content> = layers.iter().cloned().map(Content::of).collect();
        self.content(name, &config);
        for layer in &layers {
            self.content(name, layer);
        }
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor(config_type, &config),
            "layers": layers.iter().map(|l| descriptor(layer_type, l)).collect::<Vec<_>>(),
        });
        if let (Value::Object(into), Value::Object(extra)) = (&mut manifest, extra) {
            into.extend(extra);
        }
        // Not as serde_json would write it by default: a mirror that re-encodes is caught.
        let bytes = Bytes::from(serde_json::to_string_pretty(&manifest).unwrap() + "\n");
        let digest = self.manifest(name, tag, media_type, bytes.clone());
        Image {
            name: name.to_owned(),
            digest,
            media_type: media_type.to_owned(),
            bytes,
            config,
            layers,
        }
    }

    pub(super) fn index(&mut self, name: &str, tag: &str, docker: bool) -> Index {
        let mut children = Vec::new();
        let mut entries = Vec::new();
        for (seed, architecture) in [(1, "amd64"), (2, "arm64")] {
            let about = json!({"architecture": architecture, "os": "linux"});
            let layer = noise(seed, 20_000);
            let image = self.put_image(name, None, &[layer], &about, docker, Value::Null);
            entries.push(json!({
                "mediaType": image.media_type,
                "digest": image.digest.to_string(),
                "size": image.bytes.len(),
                "platform": {"architecture": architecture, "os": "linux"},
            }));
            children.push(image);
        }
        for n in 0..if docker { 0 } else { children.len() } {
            let subject = children[n].digest;
            let about = json!({"architecture": "unknown", "os": "unknown"});
            let statement = Bytes::from(json!({"_type": "in-toto", "n": n}).to_string());
            let image = self.put_image(name, None, &[statement], &about, false, Value::Null);
            entries.push(json!({
                "mediaType": image.media_type,
                "digest": image.digest.to_string(),
                "size": image.bytes.len(),
                "platform": {"architecture": "unknown", "os": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": subject.to_string(),
                },
            }));
            children.push(image);
        }
        let media_type = if docker {
            "application/vnd.docker.distribution.manifest.list.v2+json"
        } else {
            "application/vnd.oci.image.index.v1+json"
        };
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        let bytes = Bytes::from(serde_json::to_string_pretty(&index).unwrap());
        let digest = self.manifest(name, Some(tag), media_type, bytes.clone());
        Index { name: name.to_owned(), digest, media_type: media_type.to_owned(), bytes, children }
    }

    pub(super) fn artifact(&mut self, name: &str, subject: Option<&Digest>, kind: &str) -> Image {
        let mut extra = json!({"artifactType": kind});
        if let Some(subject) = subject {
            extra["subject"] = json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": subject.to_string(),
                "size": 1,
            });
        }
        let body = Bytes::from(format!("an artifact of kind {kind}"));
        self.put_image(name, None, &[body], &json!({}), false, extra)
    }

    /// The descriptors of what refers to `subject`, as the referrers API lists them.
    pub(super) fn referrers(&self, name: &str, subject: &Digest, kind: Option<&str>) -> Vec<Value> {
        let Some(repository) = self.get(name) else { return Vec::new() };
        let mut found = Vec::new();
        for (digest, (media_type, bytes)) in &repository.manifests {
            let Ok(manifest) = serde_json::from_slice::<Value>(bytes) else { continue };
            let of = manifest["subject"]["digest"].as_str();
            let artifact_type = manifest["artifactType"].as_str();
            if of == Some(&subject.to_string()) && (kind.is_none() || kind == artifact_type) {
                found.push(json!({
                    "mediaType": media_type,
                    "digest": digest.to_string(),
                    "size": bytes.len(),
                    "artifactType": artifact_type,
                }));
            }
        }
        found.sort_by_key(|entry| entry["digest"].to_string());
        found
    }
}

fn descriptor(media_type: &str, content: &Content) -> Value {
    json!({
        "mediaType": media_type,
        "digest": content.digest.to_string(),
        "size": content.bytes.len(),
    })
}
