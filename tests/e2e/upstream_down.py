"""The upstream is gone, or hangs: what is cached goes on being served, the rest is refused."""

import json
import signal
import sys
import time

from support import image
from support.lab import Lab, request
from support.servers import Mirror, Upstream

# "A deadline of seconds" for the check of a tag, and room for a busy machine.
DEADLINE = 20
NAME = "library/e2e-kept"


def timed(url, method="GET"):
    begun = time.monotonic()
    answer = request(url, method, image.ACCEPT)
    return answer, time.monotonic() - begun


def error_code(answer):
    """The code of an OCI error body; nothing if there is none."""
    try:
        return json.loads(answer.body)["errors"][0]["code"]
    except (ValueError, LookupError, TypeError):
        return ""


def served(lab, mirror, descriptor, blob, how):
    """Everything cached is served in time; by tag, marked as stale."""
    tag, took = timed(f"{mirror.url}/v2/{NAME}/manifests/1")
    lab.check(f"upstream {how}: a cached tag is served in time", tag.status == 200 and took < DEADLINE,
              f"{tag.status} after {took:.1f} s")
    lab.check(f"upstream {how}: its bytes are right", image.digest(tag.body) == descriptor["digest"])
    lab.check(f"upstream {how}: it says that it is stale",
              tag.headers.get("warning", "").startswith("299"), tag.headers.get("warning", "no Warning"))
    head, took = timed(f"{mirror.url}/v2/{NAME}/manifests/1", "HEAD")
    lab.check(f"upstream {how}: HEAD of it too", head.status == 200 and took < DEADLINE
              and head.headers.get("docker-content-digest") == descriptor["digest"],
              f"{head.status} after {took:.1f} s")
    exact, took = timed(f"{mirror.url}/v2/{NAME}/manifests/{descriptor['digest']}")
    lab.check(f"upstream {how}: a cached digest is served in time",
              exact.status == 200 and took < DEADLINE, f"{exact.status} after {took:.1f} s")
    body, took = timed(f"{mirror.url}/v2/{NAME}/blobs/{blob}")
    lab.check(f"upstream {how}: a cached blob is served in time",
              body.status == 200 and image.digest(body.body) == blob and took < DEADLINE,
              f"{body.status} after {took:.1f} s")


def refused(lab, mirror, blob, how):
    """What is not cached is an error of the gateway, never a 404."""
    for what, path in [("tag", f"/v2/{NAME}/manifests/2"),
                       ("digest", f"/v2/{NAME}/manifests/{image.digest(b'nobody has this')}"),
                       ("blob", f"/v2/{NAME}/blobs/{blob}"),
                       ("repository", "/v2/library/e2e-never-seen/manifests/1")]:
        answer, took = timed(mirror.url + path)
        lab.check(f"upstream {how}: an uncached {what} is a 5xx with an OCI body",
                  500 <= answer.status < 600 and error_code(answer),
                  f"{answer.status} {error_code(answer)} after {took:.1f} s")


def main():
    with Lab("upstream-down") as lab:
        upstream = Upstream(lab).start()
        # Every use of a tag is checked upstream.
        mirror = Mirror(lab, upstream, tag_ttl="0s").start()
        layer, other = image.tiny("kept", lab.dir), image.tiny("never-pulled", lab.dir)
        # A fetch that was begun while the upstream hung goes on when it is back.
        begun = image.tiny("begun-too-early", lab.dir)
        descriptor = upstream.push.image(NAME, "1", layer)
        upstream.push.image(NAME, "2", other)
        upstream.push.image(NAME, "3", begun)
        for path in ["manifests/1", f"manifests/{descriptor['digest']}", f"blobs/{layer.digest}"]:
            answer, _ = timed(f"{mirror.url}/v2/{NAME}/{path}")
            lab.check(f"{path.split(':')[0]} is pulled while the upstream is there", answer.status == 200,
                      str(answer.status))

        upstream.process.signal(signal.SIGSTOP)
        served(lab, mirror, descriptor, layer.digest, "hanging")
        refused(lab, mirror, begun.digest, "hanging")
        upstream.process.signal(signal.SIGCONT)

        upstream.process.stop()
        served(lab, mirror, descriptor, layer.digest, "stopped")
        refused(lab, mirror, other.digest, "stopped")

        mirror.process.stop()
        mirror.start()
        served(lab, mirror, descriptor, layer.digest, "stopped, mirror restarted")

        upstream.start()
        lab.wait("the mirror to find the upstream again",
                 lambda: timed(f"{mirror.url}/v2/{NAME}/manifests/2")[0].status == 200)
        lab.check("upstream back: what was refused is served", True)


if __name__ == "__main__":
    sys.exit(main())
