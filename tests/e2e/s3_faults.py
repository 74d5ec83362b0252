"""A bucket that is slow, refuses writes or refuses reads: pulls go on."""

import sys

from s3 import Pulls
from support.lab import Lab
from support.old import filled
from support.s3 import BUCKET, CREDENTIALS, REGION, Microburst, SeaweedFS
from support.servers import Mirror, Upstream

SLOW_DOWN = {"code": "SlowDown", "status": 503}
DENIED = {"code": "AccessDenied", "status": 403}
FAULTS = {
    "slow": [{"service": "s3", "latency": {"dist": "gaussian", "mean": 300, "stddev": 80, "min": 100}}],
    "refusing writes": [{"service": "s3", "operation": "PutObject", "error": SLOW_DOWN}],
    "denying writes": [{"service": "s3", "operation": "PutObject", "error": DENIED}],
    "refusing reads": [{"service": "s3", "operation": "GetObject", "error": SLOW_DOWN}],
    "breaking off reads": [{"service": "s3", "operation": "GetObject", "response": {"abort_frac": 0.5}}],
}


def main():
    with Lab("s3-faults") as lab:
        upstream, bucket = Upstream(lab).start(), SeaweedFS(lab).start()
        burst = Microburst(lab, bucket.url).start()
        # Nothing is kept near, so that every pull of a blob meets the bucket.
        mirror = Mirror(lab, upstream, env=CREDENTIALS, store="s3", bucket_name=BUCKET,
                        bucket_location=REGION, bucket_endpoint=burst.url, local_cache_size="0").start()
        pulls = Pulls(lab, upstream, mirror)
        pulls.push("e2e-kept")
        lab.check("an image is pulled while all is well", pulls.pull("e2e-kept"))
        lab.wait("the bucket to be filled", lambda: filled(bucket, pulls.blobs["e2e-kept"]))
        for number, (how, rules) in enumerate(FAULTS.items()):
            fresh = f"e2e-fresh-{number}"
            pulls.push(fresh)
            before = burst.fired()
            burst.rules(*rules)
            lab.check(f"S3 {how}: what is in the bucket is pulled", pulls.pull("e2e-kept"))
            lab.check(f"S3 {how}: what is not is pulled, too", pulls.pull(fresh))
            met = burst.fired() - before
            lab.check(f"S3 {how}: the fault was met", met > 0, f"{met} times")
            burst.rules()
            lab.check(f"S3 after it was {how}: both are pulled", pulls.pull("e2e-kept") and pulls.pull(fresh))


if __name__ == "__main__":
    sys.exit(main())
