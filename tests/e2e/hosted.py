"""A bucket in which docker-registry hosts images that are nowhere else. It was there before the mirror, or came
after it, or the mirror has a prefix beside it. The mirror harms none of these images."""

import sys

from support import image
from support.clock import Clock
from support.gate import ACCOUNT, PASSWORD, Gate
from support.image import Pusher
from support.lab import Lab, request
from support.ministack import Ministack
from support.old import fill, filled, old_mirror
from support.s3 import CREDENTIALS, REGION, key_of
from support.servers import Mirror, Upstream

# Public at the upstream; in the hosting registry another image has the same name.
NAME = "library/e2e-hosted"
REGISTRY, BLOBS, RECORDS = "docker/registry/v2/", "docker/registry/v2/blobs/", "registry-mirror/v1/"
STRANGERS = ["backups/db.dump", "docker/other/thing", "docker/registry/v3/x", "registry-mirror/v2/thing",
             "scheduler.json"]
# Uploads in parts that are under way: a stranger's, and one of a registry.
STRANGE_UPLOADS = ["backups/next.dump"]
UPLOADS = [*STRANGE_UPLOADS, f"{REGISTRY}repositories/{NAME}/_uploads/1/data"]
DAY = 86_400


class Bench:
    """The servers and the clock of all scenes, and the checks that several of them make."""

    def __init__(self, lab):
        self.lab, self.clock = lab, Clock(lab)
        self.upstream = Upstream(lab).start()
        self.gate = Gate(self.upstream, set()).start()
        self.server = Ministack(lab, self.clock).start()

    def node(self, bucket, name, **variables):
        """A mirror on the bucket that cleans up every second and has no local copies."""
        return Mirror(self.lab, self.upstream, name=name, env={**CREDENTIALS, **self.clock.environment()}, **{
            "store": "s3", "bucket_name": bucket.s3.bucket, "bucket_location": REGION, "bucket_endpoint": bucket.url,
            "upstream_url": self.gate.url, "expire_after": "5s", "cleanup_interval": "1s", "local_cache_size": "0",
            **variables})

    def fresh(self, name):
        """Pushes a public image that no mirror has seen. Returns its repository and its digests."""
        return f"library/{name}", self.upstream.push.small(f"library/{name}", self.lab.dir)

    def pass_time(self, node, minutes=4):
        """Lets minutes pass, with two clean-ups in each: time to mark what is unused and to remove it."""
        for _ in range(minutes):
            self.clock.advance(60)
            before = node.cleanups()
            self.lab.wait("the clean-ups", lambda before=before: node.cleanups() >= before + 2)

    def same(self, what, before, after):
        """Checks that no object was removed, changed or added."""
        gone = sorted(key for key in before if key not in after)
        new = sorted(key for key in after if key not in before)
        changed = sorted(key for key in before if after.get(key, before[key]) != before[key])
        seen = {"gone": gone, "new": new, "changed": changed}
        seen = ", ".join(f"{len(keys)} {how}, such as {keys[0]}" for how, keys in seen.items() if keys)
        self.lab.check(what, before and not seen, seen or f"{len(before)} objects")

    def is_well(self, node):
        """Checks that `/readyz` finds no fault with the bucket."""
        self.lab.wait("the bucket to be tried", lambda: "the store can be written to" in node.process.text())
        part = node.part("store")
        self.lab.check("/readyz says that all is well", part["status"] == "ok", str(part))

    def says_so(self, node):
        """Checks that `/readyz`, the log and `cache du` tell the administrator."""
        def told():
            part = node.part("store")
            return part["status"] == "degraded" and "hosts" in part.get("why", "")

        self.lab.check("/readyz says that a registry hosts images there", self.lab.comes(told), str(node.part("store")))
        self.lab.check("the log says what to do", "bucket_prefix" in node.process.text())
        lines = node.ended("cache", "du")[1].splitlines()
        lines = [line for line in lines if "bucket_prefix" in line] or lines[-1:]
        self.lab.check("and so does `cache du`", "bucket_prefix" in lines[0], lines[0])


def strangers(bucket, uploads):
    """Puts objects of others beside what the mirror and a registry keep, and begins uploads."""
    for key in STRANGERS:
        bucket.s3.call("PUT", key, body=f"{key} belongs to others".encode())
    for key in uploads:
        bucket.s3.call("POST", key, query={"uploads": ""})


def untouched(bench, bucket, uploads):
    """Checks that the objects and uploads of others are all there."""
    touched = [key for key in STRANGERS
               if bucket.s3.get(key).body != f"{key} belongs to others".encode()]
    touched += set(uploads) - set(bucket.s3.uploads())
    bench.lab.check("what others keep in the bucket is as it was", not touched, ", ".join(touched))


def host_first(bench, bucket, public):
    """Images were pushed to the bucket a month before the mirror's first start."""
    lab = bench.lab
    strangers(bucket, UPLOADS)
    _, host = old_mirror(lab, bucket, "hosting")
    hosted = Pusher(host).small(NAME, lab.dir, label="hosted", tag="ours")
    lab.check("docker-registry hosts an image in the bucket", filled(bucket, hosted))
    bucket.s3.call("PUT", key_of(f"sha256:{'0' * 64}"), body=b"damaged, and without another copy")
    bench.clock.advance(30 * DAY)

    before = bucket.s3.objects("docker/")
    node = bench.node(bucket, "beside").start()
    lab.check("a mirror on that bucket serves what is public", image.pulled(node.url, NAME, public))
    opened = []
    for method in ["GET", "HEAD"]:
        opened += [f"{method} {kind}/{digest[:19]}" for kind in ["blobs", "manifests"] for digest in hosted
                   if request(f"{node.url}/v2/{NAME}/{kind}/{digest}", method, image.ACCEPT).status != 404]
        if request(f"{node.url}/v2/{NAME}/manifests/ours", method, image.ACCEPT).status != 404:
            opened.append(f"{method} manifests/ours")
    lab.check("nothing of a hosted image comes out of the mirror", not opened, ", ".join(opened))

    bench.pass_time(node)
    bench.same(f"{node.cleanups():.0f} clean-ups later what the registry keeps is as it was",
               before, bucket.s3.objects("docker/"))
    commands = [["gc"], ["purge", "--yes", NAME], ["purge", "--yes", hosted[0]], ["verify"], ["links"]]
    ended = [f"`{words[0]}` with {node.ended('cache', *words)[0]}" for words in commands]
    bench.same(f"and after {', '.join(ended)}", before, bucket.s3.objects("docker/"))
    lab.check("it is served by the registry", image.pulled(host, NAME, hosted, tag="ours"))
    lab.check("pulls through the mirror go on", image.pulled(node.url, NAME, public))
    lab.check("nothing of what is pulled lies among it",
              not set(bucket.s3.keys(REGISTRY)) & {key_of(digest) for digest in public})
    untouched(bench, bucket, UPLOADS)
    bench.says_so(node)
    node.process.stop()
    return host, hosted


def without_links(bench, public):
    """GitLab's registry with a metadata database keeps no links, so only its content shows it."""
    lab, bucket = bench.lab, bench.server.bucket("e2e-no-links")
    blobs = [f"hosted {number}".encode() for number in range(20)]
    for blob in blobs:
        bucket.s3.call("PUT", key_of(image.digest(blob)), body=blob)
    bench.clock.advance(30 * DAY)
    before = bucket.s3.objects("docker/")
    node = bench.node(bucket, "no-links").start()
    bench.pass_time(node)
    lab.check("a mirror on content that no link names serves what is public", image.pulled(node.url, NAME, public))
    served = [blob for blob in blobs
              if request(f"{node.url}/v2/{NAME}/blobs/{image.digest(blob)}").status != 404]
    lab.check("none of that content comes out of it", not served)
    after = bucket.s3.objects("docker/")
    bench.same("it is as it was", before, {key: after[key] for key in before if key in after})
    bench.says_so(node)
    node.process.stop()


def mirror_first(bench, public):
    """The bucket is the mirror's alone; then a registry is set up on it."""
    lab, bucket = bench.lab, bench.server.bucket("e2e-mirror-first")
    strangers(bucket, STRANGE_UPLOADS)
    node = bench.node(bucket, "first", expire_after="60s").start()
    lab.check("a mirror on a bucket of its own is well", image.pulled(node.url, NAME, public))
    lab.wait("the bucket to be filled", lambda: filled(bucket, public))
    bench.pass_time(node)
    lab.check("what nobody uses goes from there", not bucket.s3.keys(BLOBS), ", ".join(bucket.s3.keys(BLOBS)))
    untouched(bench, bucket, STRANGE_UPLOADS)

    name, again = bench.fresh("e2e-again")
    lab.check("another image is pulled", image.pulled(node.url, name, again))
    lab.wait("the bucket to be filled", lambda: filled(bucket, again))
    _, host = old_mirror(lab, bucket, "hosting-late")
    # With a layer of that image, which the registry does not write anew.
    late = Pusher(host).small("late/e2e", lab.dir, label=name.replace("/", "-"))
    lab.check("a registry hosts an image in the mirror's bucket, with a layer that the mirror brought",
              filled(bucket, late) and late[2] == again[2])
    before = bucket.s3.objects("docker/")
    bench.pass_time(node)
    bench.same("from then on nothing goes from there", before, bucket.s3.objects("docker/"))
    lab.check("the registry serves its image", image.pulled(host, "late/e2e", late))
    lab.check("pulls through the mirror go on", image.pulled(node.url, NAME, public))
    bench.says_so(node)
    node.process.stop()


def below_prefix(bench, bucket, public):
    """A mirror in the same bucket with a prefix of its own works in full."""
    lab, root = bench.lab, "mirror/node/"

    def outside():
        return {key: value for key, value in bucket.s3.objects().items() if not key.startswith(root)}

    before = outside()
    node = bench.node(bucket, "below", bucket_prefix="mirror/node", expire_after="60s").start()
    lab.check("a mirror below a prefix serves what is public", image.pulled(node.url, NAME, public))
    lab.wait("the prefix to be filled", lambda: filled(bucket, public, root))
    lab.check("content lies below the prefix", len(bucket.s3.keys(root + BLOBS)) == len(public))
    records = [key for key in bucket.s3.keys(root + RECORDS) if "/probe/" not in key]
    lab.check("and records do", records, f"{len(records)} records")
    bench.is_well(node)
    lab.check("nobody is sent back to the root", "registry_mirror_bucket_prefix to" not in node.process.text())
    bench.gate.asked.clear()
    lab.check("it is served from there", image.pulled(node.url, NAME, public)
              and not [path for path in bench.gate.asked if path.startswith("GET")], str(bench.gate.asked or ""))
    bench.pass_time(node)
    left = bucket.s3.keys(root + BLOBS)
    lab.check("what nobody uses goes from there", not left, ", ".join(left))
    bench.same("and nothing else in the bucket has changed", before, outside())
    node.process.stop()


def old_below_prefix(bench, bucket, public):
    """Content that docker-registry cached below its `rootdirectory` is served from there."""
    lab, root = bench.lab, "mirror/old/"
    proxy = {"remoteurl": bench.gate.url, "username": ACCOUNT, "password": PASSWORD}
    fill(lab, bucket, old_mirror(lab, bucket, "docker-registry-below", proxy, "mirror/old"), NAME, public, root)
    bench.clock.advance(30 * DAY)
    before = bucket.s3.objects("docker/")
    bench.gate.asked.clear()
    node = bench.node(bucket, "after-old", bucket_prefix="mirror/old", expire_after="7d").start()
    lab.check("what docker-registry left below a prefix is pulled whole", image.pulled(node.url, NAME, public))
    gets = [path for path in bench.gate.asked if path.startswith("GET")]
    lab.check("without a GET upstream", not gets, str(gets or ""))
    bench.is_well(node)
    bench.same("and the registry beside it is left alone", before, bucket.s3.objects("docker/"))
    node.process.stop()


def adopt(bench, bucket, public):
    """The administrator says that all content is a mirror's."""
    lab = bench.lab
    node = bench.node(bucket, "adopting").start()
    lab.check("the mirror is up again on that bucket", image.pulled(node.url, NAME, public))
    bench.says_so(node)

    def beside():
        return {key: value for key, value in bucket.s3.objects().items() if not key.startswith(RECORDS)}

    before = beside()
    status, said = node.ended("cache", "adopt")
    lab.check("`cache adopt` without a terminal is not enough", status and "--yes" in said, f"{status}, {said.strip()}")
    bench.pass_time(node)
    bench.same("and changes nothing", before, beside())
    bench.says_so(node)

    status, said = node.ended("cache", "adopt", "--yes")
    lab.check("`cache adopt --yes` adopts it", status == 0 and "a mirror's" in said, f"{status}, {said.strip()}")
    lab.wait("/readyz to say that all is well", lambda: node.part("store")["status"] == "ok")
    name, digests = bench.fresh("e2e-adopting")
    lab.check("a pull fills it", image.pulled(node.url, name, digests)
              and lab.wait("the bucket to be filled", lambda: filled(bucket, digests)))
    bench.pass_time(node)
    left = bucket.s3.keys(BLOBS)
    # This shows, too, that the time before was long enough to remove something.
    lab.check("from then on it is cleaned up as a mirror's", not left, ", ".join(left))
    untouched(bench, bucket, STRANGE_UPLOADS)
    node.process.stop()


def main():
    with Lab("hosted") as lab:
        bench = Bench(lab)
        public = bench.upstream.push.small(NAME, lab.dir, label="public")
        bucket = bench.server.bucket("e2e-host-first")
        host, hosted = host_first(bench, bucket, public)
        below_prefix(bench, bucket, public)
        old_below_prefix(bench, bucket, public)
        lab.check("the registry serves its image all the while", image.pulled(host, NAME, hosted, tag="ours"))
        adopt(bench, bucket, public)
        without_links(bench, public)
        mirror_first(bench, public)


if __name__ == "__main__":
    sys.exit(main())
