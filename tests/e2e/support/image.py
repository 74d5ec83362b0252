"""Images, made here and pushed by the plain protocol."""

import gzip
import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

from .lab import CACHE, Failed, request

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ACCEPT = {"Accept": ", ".join([
    DOCKER, "application/vnd.docker.distribution.manifest.list.v2+json", OCI, INDEX])}
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


class Layer:
    """A compressed tar in a file, with the digest of the tar itself."""

    def __init__(self, path, diff_id):
        self.path, self.diff_id = Path(path), diff_id
        self.size, self.digest = self.path.stat().st_size, digest_of_file(path)


def debian():
    """A layer that holds a Debian root; made once, by debootstrap."""
    packed, note = CACHE / "debian.tar.gz", CACHE / "debian.diff-id"
    if not note.exists():
        root = CACHE / "debian-root"
        shutil.rmtree(root, ignore_errors=True)
        made = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if made.returncode:
            raise Failed(f"debootstrap: {made.stdout[-2000:].decode(errors='replace')}")
        plain = CACHE / "debian.tar"
        subprocess.run(["tar", "-C", root, "--sort=name", "--numeric-owner", "--exclude=./dev/*",
                        "--exclude=./var/cache/apt/archives/*.deb", "-cf", plain, "."], check=True)
        shutil.rmtree(root)
        diff_id = digest_of_file(plain)
        subprocess.run(["gzip", "-nf1", plain], check=True)
        note.write_text(diff_id)
    return Layer(packed, note.read_text())


def tiny(name, directory, content=None):
    """A layer of one small file, which says the layer's name unless it is told what to hold."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        text = content or f"{name}\n".encode()
        entry = tarfile.TarInfo("etc/e2e")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    path = Path(directory) / f"{name}.tar.gz"
    path.write_bytes(gzip.compress(tar.getvalue(), mtime=0))
    return Layer(path, digest(tar.getvalue()))


def pulled(url, name, digests, tag="1"):
    """Pulls an image by its tag, and its blobs. Returns whether every byte is right."""
    manifest, *blobs = digests
    answers = [request(f"{url}/v2/{name}/manifests/{tag}", headers=ACCEPT),
               *(request(f"{url}/v2/{name}/blobs/{blob}") for blob in blobs)]
    return all(answer.status == 200 and digest(answer.body) == wanted
               for answer, wanted in zip(answers, [manifest, *blobs]))


class Pusher:
    """Pushes to the registry at `url`."""

    def __init__(self, url):
        self.url = url

    def blob(self, name, content):
        """Pushes bytes, or the file at a path; returns its digest."""
        is_bytes = isinstance(content, bytes)
        wanted = digest(content) if is_bytes else digest_of_file(content)
        begun = request(f"{self.url}/v2/{name}/blobs/uploads/", "POST")
        if begun.status != 202:
            raise Failed(f"upload to {name} refused with {begun.status}")
        place = begun.headers["location"]
        place = place if place.startswith("http") else self.url + place
        place += ("&" if "?" in place else "?") + f"digest={wanted}"
        headers = {"Content-Type": "application/octet-stream"}
        if is_bytes:
            done = request(place, "PUT", headers, content)
        else:
            headers["Content-Length"] = str(Path(content).stat().st_size)
            with open(content, "rb") as file:
                done = request(place, "PUT", headers, file, seconds=300)
        if done.status != 201:
            raise Failed(f"blob for {name} refused with {done.status}: {done.body[:300]}")
        return wanted

    def manifest(self, name, reference, body, media_type):
        done = request(f"{self.url}/v2/{name}/manifests/{reference}", "PUT",
                       {"Content-Type": media_type}, body)
        if done.status != 201:
            raise Failed(f"manifest for {name} refused with {done.status}: {done.body[:300]}")
        return digest(body)

    def image(self, name, reference, layer, media_type=DOCKER, architecture=ARCHITECTURE):
        """One image of one layer, its configuration naming the repository, so that no two
        repositories share a manifest. `reference` none: by digest. Returns its descriptor."""
        self.blob(name, layer.path)
        docker = media_type == DOCKER
        config = json.dumps({
            "architecture": architecture, "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Labels": {"e2e": f"{name} {architecture}"}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created_by": "e2e"}]}).encode()
        self.blob(name, config)
        family = "application/vnd.docker." if docker else "application/vnd.oci."
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {
                "mediaType": family + ("container.image.v1+json" if docker else "image.config.v1+json"),
                "size": len(config), "digest": digest(config)},
            "layers": [{
                "mediaType": family + ("image.rootfs.diff.tar.gzip" if docker else "image.layer.v1.tar+gzip"),
                "size": layer.size, "digest": layer.digest}]}).encode()
        self.manifest(name, reference or digest(manifest), manifest, media_type)
        return {"mediaType": media_type, "digest": digest(manifest), "size": len(manifest),
                "platform": {"architecture": architecture, "os": "linux"}}

    def small(self, name, directory, label=None, tag="1"):
        """Pushes an image whose layer holds no more than its label. Images of one label have the same layer.
        Returns the digests of its manifest, configuration and layer."""
        layer = tiny(label or name.replace("/", "-"), directory)
        manifest = self.image(name, tag, layer, OCI)["digest"]
        body = request(f"{self.url}/v2/{name}/manifests/{tag}", headers=ACCEPT).body
        return [manifest, json.loads(body)["config"]["digest"], layer.digest]

    def index(self, name, tag, layer, directory):
        """An index as buildx pushes it: this machine's image, a foreign one, an attestation."""
        other = "arm64" if ARCHITECTURE == "amd64" else "amd64"
        children = [
            self.image(name, None, layer, OCI),
            self.image(name, None, tiny(f"{other}-{name.replace('/', '-')}", directory), OCI, other)]
        statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "subject": name}).encode()
        self.blob(name, statement)
        config = json.dumps({"architecture": "unknown", "os": "unknown", "config": {},
                             "rootfs": {"type": "layers", "diff_ids": [digest(statement)]}}).encode()
        self.blob(name, config)
        attestation = json.dumps({
            "schemaVersion": 2, "mediaType": OCI,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": "application/vnd.in-toto+json",
                        "size": len(statement), "digest": digest(statement)}]}).encode()
        self.manifest(name, digest(attestation), attestation, OCI)
        children.append({
            "mediaType": OCI, "digest": digest(attestation), "size": len(attestation),
            "platform": {"architecture": "unknown", "os": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                            "vnd.docker.reference.digest": children[0]["digest"]}})
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}).encode()
        return self.manifest(name, tag, body, INDEX)
