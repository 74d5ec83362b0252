"""Two nodes that clean up one bucket while clients pull: one is frozen past its lease, one killed."""

import collections
import datetime
import json
import random
import re
import signal
import sys
import threading
import time

from support import image
from support.lab import Lab, request
from support.s3 import BUCKET, CREDENTIALS, REGION, SeaweedFS
from support.servers import Mirror, Upstream

LEASE = "registry-mirror/v1/sweep/lease"
CONTENT = "docker/registry/v2/blobs/"
IMAGES, SIZE, CAP = 20, 400_000, 3_000_000
EXPIRY, TURN, PULLERS = 90, 2, 8
# So long after the beginning expiry alone would still leave more than the cap: of the images that are too
# many the last leaves the window at its turn, and may not go before it has expired.
SOONEST = TURN * (IMAGES - CAP // SIZE - 1) + EXPIRY


def lease(bucket):
    """Who holds the lease, and until when; nobody while there is none."""
    answer = bucket.s3.get(LEASE)
    held = json.loads(answer.body) if answer.status == 200 else {"holder": "", "until": 0}
    return held["holder"], held["until"]


class Pullers:
    """Clients that pull whatever image is wanted now, and look at every byte."""

    def __init__(self, nodes, images):
        self.nodes, self.images = nodes, images
        self.begun, self.stopped = time.monotonic(), threading.Event()
        self.pulls, self.wrong = collections.Counter(), []
        self.threads = [threading.Thread(target=self.pull, args=(number,)) for number in range(PULLERS)]
        for thread in self.threads:
            thread.start()

    def wanted(self, chance):
        """Three images at a time are in use; at each turn one leaves, until the last three are left."""
        turn = int((time.monotonic() - self.begun) / TURN)
        return self.images[min(turn, len(self.images) - 3) + chance.randrange(3)]

    def pull(self, number):
        chance, node = random.Random(number), self.nodes[number % len(self.nodes)]
        while not self.stopped.is_set():
            name, digests = self.wanted(chance)
            answer = request(f"{node.url}/v2/library/{name}/manifests/1", headers=image.ACCEPT)
            answers = [(digests[0], answer)]
            for blob in digests[1:]:
                answers.append((blob, request(f"{node.url}/v2/library/{name}/blobs/{blob}")))
            for expected, answer in answers:
                if answer.status != 200 or image.digest(answer.body) != expected:
                    self.wrong.append(f"{name} {expected[:19]} from {node.name}: {answer.status} "
                                      f"{answer.body[:80] if answer.status != 200 else 'other bytes'}")
            self.pulls[node.name] += 1
            time.sleep(0.05)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(90)


def in_midst(lab, bucket, node, number):
    """Signals a node in the midst of a clean-up of its own; what its lease says."""
    me = f"{node.name}."

    def hit():
        holder, until = lease(bucket)
        if not holder.startswith(me) or until < time.time():
            return None
        node.process.signal(number)
        if number == signal.SIGKILL:
            node.process.child.wait()
        held = lease(bucket)
        if held[0].startswith(me) and held[1] > 0:
            return held
        if number != signal.SIGKILL:
            node.process.signal(signal.SIGCONT)
            return None
        node.start()
        return None

    return lab.wait(f"{node.name} to be hit in a clean-up", hit)


def cleanups(node):
    """When each clean-up of a node began and ended, by its log."""
    spans, begun = [], None
    for line in node.process.text().splitlines():
        stamp = re.match(r"(\d{4}-\d\d-\d\dT[\d:.]+)Z", line)
        if not stamp:
            continue
        at = datetime.datetime.fromisoformat(stamp[1]).timestamp()
        if "the clean-up begins" in line:
            begun = at
        elif "the clean-up ends" in line and begun is not None:
            spans.append((begun, at))
            begun = None
    return spans


def overlaps(one, other, frozen):
    """Clean-ups of two nodes at one time, but for the one that was frozen."""
    return [(a, b) for a in one for b in other
            if a[0] < b[1] and b[0] < a[1] and not any(a[0] <= t <= a[1] or b[0] <= t <= b[1] for t in frozen)]


def all_whole(bucket):
    """Objects whose bytes are not those of their name."""
    return [key for key in bucket.s3.keys(CONTENT)
            if image.digest(bucket.s3.get(key).body) != f"sha256:{key.split('/')[-2]}"]


def main():
    with Lab("sweep") as lab:
        upstream = Upstream(lab).start()
        bucket = SeaweedFS(lab).start()
        chance = random.Random(4)
        images = []
        for number in range(IMAGES):
            name = f"swept-{number}"
            layer = image.tiny(name, lab.dir, chance.randbytes(SIZE))
            descriptor = upstream.push.image(f"library/{name}", "1", layer, image.OCI)
            body = request(f"{upstream.url}/v2/library/{name}/manifests/1", headers=image.ACCEPT).body
            images.append((name, [descriptor["digest"], json.loads(body)["config"]["digest"], layer.digest]))
        settings = {"store": "s3", "bucket_name": BUCKET, "bucket_location": REGION,
                    "bucket_endpoint": bucket.url, "expire_after": f"{EXPIRY}s", "cleanup_interval": "1s",
                    "max_size": str(CAP), "local_cache_size": "0", "log_level": "debug"}
        nodes = [Mirror(lab, upstream, name, env=CREDENTIALS, host=name, **settings) for name in ["first", "second"]]
        for node in nodes:
            node.start()
        first, second = nodes
        pullers = Pullers(nodes, images)

        def size():
            return sum(bucket.s3.sizes(CONTENT).values())

        held = in_midst(lab, bucket, first, signal.SIGSTOP)
        frozen_at = time.time()
        lab.wait("the lease to pass to the other", lambda: lease(bucket)[0] not in ("", held[0]), 60)
        before = second.metric("cleanups_total")
        lab.wait("the other to clean up", lambda: second.metric("cleanups_total") > before + 1)
        first.process.signal(signal.SIGCONT)
        lab.check("a node that was frozen in a clean-up loses its lease to the other", True)
        lab.wait("it to find out", lambda: '"lost"' in request(f"{first.admin}/metrics").body.decode())
        lab.check("and stops when it wakes", True)
        lab.wait("more than the cap to be there", lambda: size() > CAP * 1.5)
        lab.wait("no more than the cap to be left", lambda: size() <= CAP, 2 * SOONEST)
        took = time.monotonic() - pullers.begun
        pullers.stop()
        lab.check(f"{PULLERS} clients pulled all the time, and each pull was right",
                  not pullers.wrong and min(pullers.pulls.values()) > 50,
                  f"{dict(pullers.pulls)}; {'; '.join(pullers.wrong[:3])}")
        both = overlaps(cleanups(first), cleanups(second), [frozen_at])
        lab.check("one cleaned up at a time",
                  not both and cleanups(first) and cleanups(second),
                  f"{len(cleanups(first))} and {len(cleanups(second))} clean-ups, {len(both)} at once")
        removed = sum(node.metric(r'cleanup_removed_total\{reason="surplus"\}') for node in nodes)
        lab.check("the cap was held before anything had to expire for it", took < SOONEST and removed > 0,
                  f"after {took:.0f} s, not {SOONEST}; {removed:.0f} objects removed for it")

        held = in_midst(lab, bucket, second, signal.SIGKILL)
        second.process.kill()
        lab.wait("the other to take over", lambda: lease(bucket)[0] not in ("", held[0]), 60)
        lab.check("a node that was killed in a clean-up is replaced when its lease ends", True)
        wrong = all_whole(bucket)
        lab.check("every object is whole", not wrong, str(wrong[:3]))
        lab.wait("everything unused to go", lambda: not bucket.s3.keys(CONTENT), 3 * EXPIRY)
        lab.check("when nobody pulls any more everything goes", True)
        lab.wait("the reports to be merged", lambda: not bucket.s3.keys("registry-mirror/v1/use/reports/"))
        lab.check("and no report of use is left", True)


if __name__ == "__main__":
    sys.exit(main())
