//! Pulling images before anybody asks for them.

use futures_util::StreamExt;
use serde::Deserialize;

use super::{Image, Line, Listen, Stopped, date};
use crate::{
    clock::to_unix,
    mirror::{Manifest, Mirror, Refusal, Want},
    oci::{Digest, Name, Outline, Reference},
};

/// What an index says of what it names.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
    #[serde(default)]
    variant: String,
}

impl Platform {
    /// Whether it is the one that is written so: with its variant, or any variant of it.
    fn is(&self, written: &str) -> bool {
        let short = format!("{}/{}", self.os, self.architecture);
        written == short || written == format!("{short}/{}", self.variant)
    }
}

impl Mirror {
    /// Pulls each of `images` as a client would, the whole of it, or for some platforms. What is
    /// there already costs nothing; a limit of the upstream ends it.
    pub(super) async fn warm(
        &self,
        images: &[Image],
        platforms: &[String],
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let (of, mut failed, mut bytes) = (images.len() as u64, 0_u64, 0_u64);
        for (done, image) in (0..).zip(images) {
            tell(Line::Progress { done, of, what: image.to_string() });
            match self.warm_one(image, platforms).await {
                Ok(moved) => bytes += moved,
                Err(Refusal::Limited { until }) => {
                    let left = of - done;
                    let why =
                        format!("the upstream's limit is reached, and {left} images are left");
                    let hint = format!("go on at {}", date(to_unix(until)));
                    return Err(Stopped::new(why, Some(hint)));
                }
                Err(refusal) => {
                    failed += 1;
                    tell(Line::Fault { what: format!("`{image}`: {refusal}") });
                }
            }
        }
        self.idle().await;
        tell(Line::Progress { done: of, of, what: "done".into() });
        let summary = format!("{} of {of} images are kept, {bytes} bytes were read", of - failed);
        tell(Line::Done { summary, fine: failed == 0 });
        Ok(())
    }

    async fn warm_one(&self, image: &Image, platforms: &[String]) -> Result<u64, Refusal> {
        let Some(name) = &image.name else { return Err(Refusal::NoRepository) };
        let latest = || "latest".parse().map(Reference::Tag).map_err(|_| Refusal::NoManifest);
        let reference = image.reference.clone().map_or_else(latest, Ok)?;
        let manifest = self.manifest(name, &reference, Want::Body).await?;
        let text = manifest.bytes.clone().unwrap_or_default();
        let outline = Outline::read(&text);
        if outline.manifests.is_empty() {
            return self.warm_blobs(name, &outline).await;
        }
        let index: Index = serde_json::from_slice(&text).unwrap_or(Index { manifests: Vec::new() });
        let (mut bytes, mut found) = (0, false);
        for entry in &index.manifests {
            let fits = entry
                .platform
                .as_ref()
                .is_some_and(|platform| platforms.iter().any(|written| platform.is(written)));
            let Some(digest) = entry.digest.parse::<Digest>().ok().filter(|_| fits) else {
                continue;
            };
            found = true;
            let child: Manifest =
                self.manifest(name, &Reference::Digest(digest), Want::Body).await?;
            let outline = Outline::read(&child.bytes.unwrap_or_default());
            bytes += self.warm_blobs(name, &outline).await?;
        }
        if found { Ok(bytes) } else { Err(Refusal::NoManifest) }
    }

    async fn warm_blobs(&self, name: &Name, outline: &Outline) -> Result<u64, Refusal> {
        let mut bytes = 0;
        for child in &outline.blobs {
            let blob = self.blob(name, &child.digest, None, Want::Body).await?;
            // One that clients fetch from the bucket is there.
            let Some(mut body) = blob.body else { continue };
            while let Some(chunk) = body.next().await {
                let broken = |_| Refusal::Upstream { why: "the transfer broke off".into() };
                bytes += chunk.map_err(broken)?.len() as u64;
            }
        }
        Ok(bytes)
    }
}
