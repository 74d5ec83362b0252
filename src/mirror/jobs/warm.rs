//! Pulling images before anybody asks for them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::{Image, Line, Listen, Stopped, date};
use crate::{
    clock::to_unix,
    mirror::{self, Mirror, Refusal, Verdict, Want, visibility::Access},
    oci::{Digest, Name, Outline, Reference},
    store::Key,
    upstream::Limits,
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

/// How long it may take after its last byte was read until something is kept.
const KEEPING: Duration = Duration::from_secs(600);

/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_secs(1);

/// Pulls that are left to clients: this many, or a tenth of the limit if that is more.
const RESERVE: (u64, u64) = (5, 10);

/// Why an image is not pulled, or not all of it.
#[derive(Debug, thiserror::Error)]
enum Cold {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{left} of the upstream's {limit} pulls are left, which are for clients")]
    Reserve { left: u64, limit: u64 },
    #[error("`{name}` has no image for `{platforms}`")]
    Platforms { name: String, platforms: String },
}

/// One image on its way here.
struct Warming<'a> {
    mirror: &'a Mirror,
    name: &'a Name,
    access: Access,
    bytes: u64,
    /// What was not kept before.
    pulled: Vec<Key>,
}

impl Mirror {
    /// Pulls each of `images` as a client would, the whole of it, or for some platforms. What is
    /// there already costs nothing; a limit of the upstream ends it, and before that what clients
    /// may yet need of it.
    pub(super) async fn warm(
        &self,
        images: &[Image],
        platforms: &[String],
        tell: Listen<'_>,
    ) -> Result<(), Stopped> {
        let (of, mut failed, mut bytes) = (images.len() as u64, 0_u64, 0_u64);
        let mut pulled: Vec<(&Image, Vec<Key>)> = Vec::new();
        for (done, image) in (0..).zip(images) {
            tell(Line::Progress { done, of, what: image.to_string() });
            let left = of - done;
            let (keys, moved, ended) = self.warm_one(image, platforms).await;
            bytes += moved;
            match ended {
                Ok(()) => pulled.push((image, keys)),
                Err(Cold::Refused(Refusal::Limited { until })) => {
                    let why =
                        format!("the upstream's limit is reached, and {left} images are left");
                    let hint = format!("go on at {}", date(to_unix(until)));
                    return Err(Stopped::new(why, Some(hint)));
                }
                Err(reserve @ Cold::Reserve { .. }) => {
                    let why = format!("{reserve}; {left} images are not pulled");
                    let hint = "go on when the upstream grants more; an account has more of them";
                    return Err(Stopped::new(why, Some(hint.into())));
                }
                Err(cold @ Cold::Platforms { .. }) => {
                    failed += 1;
                    tell(Line::Fault { what: cold.to_string() });
                }
                Err(cold) => {
                    failed += 1;
                    tell(Line::Fault { what: format!("`{image}`: {cold}") });
                }
            }
        }
        let when = if self.settle(&pulled).await { "" } else { " after ten minutes" };
        for (image, keys) in &pulled {
            if let Some(key) = self.first_lost(keys).await {
                failed += 1;
                let what = format!("`{image}`: `{}` was pulled and is not kept{when}", key.digest);
                tell(Line::Fault { what });
            }
        }
        tell(Line::Progress { done: of, of, what: "done".into() });
        let summary = format!("{} of {of} images are kept, {bytes} bytes were read", of - failed);
        tell(Line::Done { summary, fine: failed == 0 });
        Ok(())
    }

    /// Waits until what was pulled is kept, or nothing is under way any more; not for what clients
    /// pull all the time. Whether it came to that within [`KEEPING`].
    async fn settle(&self, pulled: &[(&Image, Vec<Key>)]) -> bool {
        let until = Instant::now() + KEEPING;
        let mut waiting: Vec<&Key> = pulled.iter().flat_map(|(_, keys)| keys).collect();
        while timeout(LOOK, self.idle()).await.is_err() {
            if Instant::now() >= until {
                return false;
            }
            while let Some(key) = waiting.last()
                && self.first_lost(std::slice::from_ref(*key)).await.is_none()
            {
                waiting.pop();
            }
            if waiting.is_empty() {
                break;
            }
        }
        true
    }

    /// The first of `keys` that is neither in the store nor on this node.
    async fn first_lost<'a>(&self, keys: &'a [Key]) -> Option<&'a Key> {
        for key in keys {
            let inner = &self.inner;
            let is_there = inner.keeper.near_info(key).await.is_some()
                || matches!(inner.parts.far.head(key).await, Ok(Some(_)));
            if !is_there {
                return Some(key);
            }
        }
        None
    }

    /// Pulls one; what it pulled, and how many bytes it read, also where it came to no good end.
    async fn warm_one(
        &self,
        image: &Image,
        platforms: &[String],
    ) -> (Vec<Key>, u64, Result<(), Cold>) {
        let Some(name) = &image.name else {
            return (Vec::new(), 0, Err(Refusal::NoRepository.into()));
        };
        let latest = || "latest".parse().map(Reference::Tag).map_err(|_| Refusal::NoManifest);
        let reference = image.reference.clone().map_or_else(latest, Ok);
        let access = self.inner.access(name, reference.as_ref().ok()).await;
        let (reference, access) = match (reference, access) {
            (Ok(reference), Ok(access)) => (reference, access),
            (Err(refusal), _) | (_, Err(refusal)) => return (Vec::new(), 0, Err(refusal.into())),
        };
        let mut warming = Warming { mirror: self, name, access, bytes: 0, pulled: Vec::new() };
        let ended = warming.image(&reference, platforms).await;
        (warming.pulled, warming.bytes, ended)
    }
}

impl Warming<'_> {
    async fn image(&mut self, reference: &Reference, platforms: &[String]) -> Result<(), Cold> {
        let text = self.manifest(reference).await?;
        let outline = Outline::read(&text);
        if outline.manifests.is_empty() {
            return self.blobs(&outline).await;
        }
        let index: Index = serde_json::from_slice(&text).unwrap_or(Index { manifests: Vec::new() });
        let mut missing: Vec<&str> = platforms.iter().map(String::as_str).collect();
        for Entry { digest, platform } in &index.manifests {
            let Some(platform) = platform else { continue };
            let fits = platforms.iter().any(|written| platform.is(written));
            let Some(digest) = digest.parse::<Digest>().ok().filter(|_| fits) else { continue };
            missing.retain(|written| !platform.is(written));
            let child = self.manifest(&Reference::Digest(digest)).await?;
            self.blobs(&Outline::read(&child)).await?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        let name = match reference {
            Reference::Tag(tag) => format!("{}:{tag}", self.name),
            Reference::Digest(digest) => format!("{}@{digest}", self.name),
        };
        Err(Cold::Platforms { name, platforms: missing.join("`, `") })
    }

    /// A manifest. One that has to be pulled is asked for by HEAD first, which is free and tells
    /// how many pulls are left.
    async fn manifest(&mut self, reference: &Reference) -> Result<Bytes, Cold> {
        let (mirror, name) = (self.mirror, self.name);
        let head = mirror.manifest(name, reference, Want::Head).await?;
        let key = Key { area: self.access.area.clone(), digest: head.digest };
        if !mirror.inner.has_manifest(&key, name).await {
            self.may_pull(head.digest).await?;
        }
        let manifest = mirror.manifest(name, reference, Want::Body).await?;
        if matches!(manifest.verdict, Verdict::Fetched | Verdict::Joined) {
            self.pulled.push(Key { digest: manifest.digest, ..key });
        }
        Ok(manifest.bytes.unwrap_or_default())
    }

    /// Whether pulls enough are left that one more takes none from clients.
    async fn may_pull(&self, digest: Digest) -> Result<(), Cold> {
        let upstream = &self.mirror.parts().upstream;
        if let Some((_, until)) = upstream.cooling() {
            return Err(Refusal::Limited { until }.into());
        }
        if reserve(upstream.limits()).is_none() {
            return Ok(());
        }
        // That may have been told long ago. An answer that is a refusal tells nothing new.
        let reference = Reference::Digest(digest);
        let asking = upstream.head(self.name, &reference, self.access.trust);
        let _ = timeout(mirror::DEADLINE, asking).await;
        reserve(upstream.limits()).map_or(Ok(()), Err)
    }

    async fn blobs(&mut self, outline: &Outline) -> Result<(), Cold> {
        for child in &outline.blobs {
            let blob = self.mirror.blob(self.name, &child.digest, None, Want::Body).await?;
            if matches!(blob.verdict, Verdict::Fetched | Verdict::Joined | Verdict::Alone) {
                self.pulled.push(Key { area: self.access.area.clone(), digest: child.digest });
            }
            // One that clients fetch from the bucket is there.
            let Some(mut body) = blob.body else { continue };
            while let Some(chunk) = body.next().await {
                let broken = |_| Refusal::Upstream { why: "the transfer broke off".into() };
                self.bytes += chunk.map_err(broken)?.len() as u64;
            }
        }
        Ok(())
    }
}

/// Why the rest of the upstream's limit is left alone, if it is.
fn reserve(limits: Limits) -> Option<Cold> {
    let Limits { limit: Some(limit), remaining: Some(left) } = limits else { return None };
    (left <= RESERVE.0.max(limit / RESERVE.1)).then_some(Cold::Reserve { left, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_meant_with_and_without_its_variant() {
        let arm = |variant: &str| Platform {
            os: "linux".into(),
            architecture: "arm".into(),
            variant: variant.into(),
        };
        assert!(
            arm("v7").is("linux/arm") && arm("v7").is("linux/arm/v7") && arm("").is("linux/arm")
        );
        assert!(!arm("v7").is("linux/arm/v6") && !arm("v7").is("linux/arm64"));
    }
}
