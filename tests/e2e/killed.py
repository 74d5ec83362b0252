"""A node that is killed in the midst of an upload in parts and of a purge: what lies in the bucket is
whole, nothing that was to stay is lost, and the next clean-up ends what was left half done."""

import json
import random
import signal
import subprocess
import sys
import xml.etree.ElementTree

from support import image
from support.clock import Clock
from support.lab import Lab, request
from support.ministack import Ministack
from support.s3 import BUCKET, CREDENTIALS, REGION, key_of
from support.servers import Mirror, Upstream

DAY = 86_400
CONTENT = "docker/registry/v2/blobs/"
# More than one PutObject takes.
LARGE = 80 << 20
IMAGES, PURGED = 40, 20


def uploads(server):
    """The keys of uploads in parts that nobody has ended."""
    answer = server.s3.call("GET", query={"uploads": ""})
    nodes = xml.etree.ElementTree.fromstring(answer.body).iter() if answer.status == 200 else []
    return [node.text for node in nodes if node.tag.endswith("Key")]


def wrong(server):
    """Objects whose bytes are not those of their name."""
    return [key for key in server.s3.keys(CONTENT)
            if image.digest(server.s3.get(key).body) != f"sha256:{key.split('/')[-2]}"]


class Images:
    def __init__(self, lab, upstream, node):
        self.lab, self.upstream, self.node, self.blobs = lab, upstream, node, {}

    def push(self, name, content=None):
        layer = image.tiny(name, self.lab.dir, content)
        descriptor = self.upstream.push.image(f"library/{name}", "1", layer, image.OCI)
        body = request(f"{self.upstream.url}/v2/library/{name}/manifests/1", headers=image.ACCEPT).body
        self.blobs[name] = [descriptor["digest"], json.loads(body)["config"]["digest"], layer.digest]

    def pull(self, name):
        """Whether the whole image comes as it is."""
        base = f"{self.node.url}/v2/library/{name}"
        manifest, *blobs = self.blobs[name]
        answers = [(manifest, request(f"{base}/manifests/1", headers=image.ACCEPT))]
        answers += [(blob, request(f"{base}/blobs/{blob}", seconds=120)) for blob in blobs]
        return all(answer.status == 200 and image.digest(answer.body) == digest for digest, answer in answers)

    def kept(self, server, name):
        keys = set(server.s3.keys(CONTENT))
        return [blob for blob in self.blobs[name] if key_of(blob) in keys]


def in_an_upload(lab, clock, server, node, images):
    images.push("e2e-large", random.Random(5).randbytes(LARGE))
    layer = images.blobs["e2e-large"][2]
    base = f"{node.url}/v2/library/e2e-large"
    puller = subprocess.Popen(["curl", "-s", "-o", "/dev/null", f"{base}/blobs/{layer}"])
    lab.wait("an upload in parts to begin", lambda: uploads(server), 60)
    node.process.signal(signal.SIGKILL)
    node.process.child.wait()
    puller.wait()
    lab.check("a node is killed in an upload in parts", uploads(server) == [key_of(layer)], str(uploads(server)))
    lab.check("of which nothing can be read", server.s3.head(key_of(layer)).status == 404)
    # Its own disk may have a copy already; another node has none.
    node.forget()
    node.start()
    lab.check("the blob is pulled all the same", images.pull("e2e-large"))
    lab.wait("it to be in the bucket", lambda: server.s3.head(key_of(layer)).status == 200)
    lab.check("every object is whole", not wrong(server))
    clock.advance(DAY + 60)
    lab.wait("the upload that nobody finished to be ended", lambda: not uploads(server))
    lab.check("the next clean-up ends what was left of the upload", True)


def in_a_purge(lab, server, node, images):
    names = [f"e2e-purge-{number}" for number in range(IMAGES)]
    for name in names:
        images.push(name)
        if not images.pull(name):
            lab.check(f"{name} is pulled", False)
    lab.wait("the bucket to be filled", lambda: all(len(images.kept(server, name)) == 3 for name in names))
    purged, stay = names[:PURGED], names[PURGED:]
    before = len(server.s3.keys(CONTENT))
    asked = [*[f"library/{name}" for name in purged], "--yes"]
    purge = lab.start("purge", node.command("cache", "purge", *asked), node.surroundings())
    lab.wait("the purge to remove something", lambda: len(server.s3.keys(CONTENT)) < before, 60)
    node.process.signal(signal.SIGKILL)
    node.process.child.wait()
    purge.child.wait()
    left = sum(len(images.kept(server, name)) for name in purged)
    lab.check("a node is killed in a purge", True, f"{left} of {3 * PURGED} objects are left")
    lost = [name for name in stay if len(images.kept(server, name)) != 3]
    lab.check("nothing is lost of what was not to go", not lost, str(lost or ""))
    lab.check("and every object is whole", not wrong(server))
    node.start()
    gets = len(images.upstream.pulls())
    lab.check("all other images are pulled", all(images.pull(name) for name in stay))
    again = images.upstream.pulls()[gets:]
    lab.check("without a GET upstream", not again, str(again or ""))
    node.asked("cache", "purge", *asked)
    kept = [name for name in purged if images.kept(server, name)]
    lab.check("a second purge ends what the first began", not kept, str(kept or ""))
    lab.check("and takes no more", all(len(images.kept(server, name)) == 3 for name in stay))


def main():
    with Lab("killed") as lab:
        clock = Clock(lab)
        upstream, server = Upstream(lab).start(), Ministack(lab, clock).start()
        node = Mirror(lab, upstream, name="killed", env={**CREDENTIALS, **clock.environment()}, host="killed",
                      store="s3", bucket_name=BUCKET, bucket_location=REGION, bucket_endpoint=server.url,
                      cleanup_interval="1s").start()
        lab.wait("the mirror to write", lambda: "the store can be written to" in node.process.text())
        images = Images(lab, upstream, node)
        in_an_upload(lab, clock, server, node, images)
        in_a_purge(lab, server, node, images)


if __name__ == "__main__":
    sys.exit(main())
