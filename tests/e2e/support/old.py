"""registry:2 on a bucket, as Debian packages it: in proxy mode what the mirror takes the place of, and
without a proxy a registry that hosts images."""

import json

from . import image
from .lab import free_port, request
from .s3 import CREDENTIALS, REGION, key_of


LIST = "scheduler-state.json"


def filled(bucket, blobs, root=""):
    """Whether the bucket has all of them, where registry:2 would look below `root`."""
    keys = set(bucket.s3.keys(f"{root}docker/registry/v2/blobs/"))
    return all(key_of(blob, root) in keys for blob in blobs)


def old_mirror(lab, bucket, name, proxy=None, root=""):
    """Starts docker-registry on the bucket, below `root` in it. With a `proxy` it is a mirror, without one it
    hosts images. Returns its process and its address."""
    port = free_port()
    config = lab.dir / f"{name}.yml"
    config.write_text(json.dumps({
        "version": 0.1, "log": {"level": "warn"},
        "storage": {"s3": {"accesskey": CREDENTIALS["AWS_ACCESS_KEY_ID"], "region": REGION, "bucket": bucket.s3.bucket,
                           "secretkey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "regionendpoint": bucket.url,
                           "secure": False, "v4auth": True, "rootdirectory": f"/{root}"},
                    "redirect": {"disable": True}},
        **({"proxy": proxy} if proxy else {}), "http": {"addr": f"127.0.0.1:{port}"}}))
    old = lab.start(name, ["docker-registry", "serve", config])
    lab.wait("docker-registry", lambda: request(f"http://127.0.0.1:{port}/v2/").status == 200, process=old)
    return old, f"http://127.0.0.1:{port}"


def fill(lab, bucket, old, name, blobs, root=""):
    """Pulls an image through docker-registry until the bucket has it; then that ends."""
    process, url = old
    for path in ["manifests/1", *(f"blobs/{blob}" for blob in blobs[1:])]:
        lab.wait(f"docker-registry to serve {path}",
                 lambda path=path: request(f"{url}/v2/{name}/{path}", headers=image.ACCEPT).status == 200)
    lab.wait("docker-registry to fill the bucket", lambda: filled(bucket, blobs, root))
    # This list of what is to expire shows that the bucket is a mirror's. It is written every five seconds, and not
    # when the program ends.
    lab.wait("docker-registry to write its list", lambda: bucket.s3.head(f"{root}{LIST}").status == 200)
    process.stop()
