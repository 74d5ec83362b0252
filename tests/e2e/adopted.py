"""A bucket that docker-registry really filled with public and private images, a month before the mirror
comes: what it holds is served, what is private is not, and the first clean-up removes nothing."""

import sys

from support import image
from support.clock import Clock
from support.gate import ACCOUNT, PASSWORD, Gate
from support.lab import Lab, request
from support.ministack import Ministack
from support.old import fill, old_mirror
from support.s3 import BUCKET, CREDENTIALS, REGION
from support.servers import Mirror, Upstream

PUBLIC, PRIVATE = "library/e2e-public", "e2e/secret"
DAY = 86_400
CONTENT = "docker/registry/v2/blobs/"


def main():
    with Lab("adopted") as lab:
        clock = Clock(lab)
        upstream, server = Upstream(lab).start(), Ministack(lab, clock).start()
        server.make_bucket()
        gate = Gate(upstream, {PRIVATE}).start()
        digests = {name: upstream.push.small(name, lab.dir) for name in [PUBLIC, PRIVATE]}
        for name, blobs in digests.items():
            proxy = {"remoteurl": gate.url, "username": ACCOUNT, "password": PASSWORD}
            old = old_mirror(lab, server, f"docker-registry-{name.replace('/', '-')}", proxy)
            fill(lab, server, old, name, blobs)
        there = set(server.s3.keys(CONTENT))
        lab.check("docker-registry filled the bucket with public and private content", len(there) == 6, str(len(there)))

        clock.advance(30 * DAY)
        gate.asked.clear()
        node = Mirror(lab, upstream, name="adopting", env={**CREDENTIALS, **clock.environment()}, store="s3",
                      bucket_name=BUCKET, bucket_location=REGION, bucket_endpoint=server.url, upstream_url=gate.url,
                      cleanup_interval="1s").start()

        def asked(path, method="GET", **headers):
            return request(f"{node.url}/v2/{path}", method, {**image.ACCEPT, **headers})

        manifest, config, layer = digests[PUBLIC]
        answers = [(manifest, asked(f"{PUBLIC}/manifests/1")), (config, asked(f"{PUBLIC}/blobs/{config}")),
                   (layer, asked(f"{PUBLIC}/blobs/{layer}"))]
        lab.check("a public image that it holds is pulled whole",
                  all(answer.status == 200 and image.digest(answer.body) == digest for digest, answer in answers))
        gets = [path for path in gate.asked if path.startswith("GET")]
        lab.check("without a GET upstream", not gets, str(gets or ""))

        refused = []
        for name in [PRIVATE, PUBLIC]:
            for digest in digests[PRIVATE]:
                for method in ["GET", "HEAD"]:
                    refused += [(asked(f"{name}/{kind}/{digest}", method), f"{method} {name}/{kind}")
                                for kind in ["blobs", "manifests"]]
                refused.append((asked(f"{name}/blobs/{digest}", Range="bytes=0-9"), f"Range of {name}/blobs"))
        refused += [(asked(f"{PRIVATE}/manifests/1", method), f"{method} by tag") for method in ["GET", "HEAD"]]
        opened = [what for answer, what in refused if answer.status != 404]
        lab.check(f"nothing of a private image in it is served, in {len(refused)} ways", not opened, str(opened or ""))

        lab.wait("the clean-up to run three times", lambda: node.cleanups() >= 3)
        lab.check("with the clock 30 days ahead of it the first clean-ups remove nothing",
                  there <= set(server.s3.keys(CONTENT)) and node.metric("cleanup_removed_total") == 0)


if __name__ == "__main__":
    sys.exit(main())
