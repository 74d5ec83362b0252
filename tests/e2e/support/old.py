"""registry:2 in proxy mode, as Debian packages it: what the mirror takes the place of."""

import json

from . import image
from .lab import free_port, request
from .s3 import BUCKET, CREDENTIALS, REGION, key_of


def filled(bucket, blobs):
    """Whether the bucket has all of them, where registry:2 would look."""
    keys = set(bucket.s3.keys("docker/registry/v2/blobs/"))
    return all(key_of(blob) in keys for blob in blobs)


def old_mirror(lab, bucket, name, proxy):
    """docker-registry as a mirror on the same bucket; its process and its address."""
    port = free_port()
    config = lab.dir / f"{name}.yml"
    config.write_text(json.dumps({
        "version": 0.1, "log": {"level": "warn"},
        "storage": {"s3": {"accesskey": CREDENTIALS["AWS_ACCESS_KEY_ID"], "region": REGION, "bucket": BUCKET,
                           "secretkey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "regionendpoint": bucket.url,
                           "secure": False, "v4auth": True},
                    "redirect": {"disable": True}},
        "proxy": proxy, "http": {"addr": f"127.0.0.1:{port}"}}))
    old = lab.start(name, ["docker-registry", "serve", config])
    lab.wait("docker-registry", lambda: request(f"http://127.0.0.1:{port}/v2/").status == 200, process=old)
    return old, f"http://127.0.0.1:{port}"


def fill(lab, bucket, old, name, blobs):
    """Pulls an image through docker-registry until the bucket has it; then that ends."""
    process, url = old
    for path in ["manifests/1", *(f"blobs/{blob}" for blob in blobs[1:])]:
        lab.wait(f"docker-registry to serve {path}",
                 lambda path=path: request(f"{url}/v2/{name}/{path}", headers=image.ACCEPT).status == 200)
    lab.wait("docker-registry to fill the bucket", lambda: filled(bucket, blobs))
    process.stop()
