"""A key that is disabled while the mirror runs, on a server that refuses what it cannot decrypt."""

import sys

from support import image
from support.lab import Lab, request
from support.localstack import LocalStack
from support.s3 import BUCKET, CREDENTIALS, REGION
from support.servers import Mirror, Upstream


class Images:
    """Small images that are pushed, and pulled by hand."""

    def __init__(self, lab, upstream):
        self.lab, self.upstream = lab, upstream

    def push(self, name):
        layer = image.tiny(name, self.lab.dir)
        self.upstream.push.image(f"library/{name}", "1", layer, image.OCI)
        return layer.digest

    def pull(self, node, name, blob):
        base = f"{node.url}/v2/library/{name}"
        manifest = request(f"{base}/manifests/1", headers=image.ACCEPT)
        return manifest.status == 200 and image.digest(request(f"{base}/blobs/{blob}").body) == blob


def names(lab, upstream, environment, variables, key):
    """The other names of the same key, and names of none."""
    account, identity = key.split(":")[4], key.rsplit("/", 1)[1]
    for number, name in enumerate([identity, "alias/e2e", f"arn:aws:kms:{REGION}:{account}:alias/e2e"]):
        node = Mirror(lab, upstream, name=f"named-{number}", env=environment, **{**variables, "bucket_encryption_key": name})
        node.start()
        lab.wait("the mirror to write", lambda node=node: "the store can be written to" in node.process.text())
        # This server's S3 does not look an alias up and makes an ARN of it.
        used = {identity: key, "alias/e2e": f"arn:aws:kms:{REGION}:{account}:key/alias/e2e"}.get(name, name)
        lab.check(f"`{name.replace(identity, 'ID')}` is taken", f"aws:kms by {used}" in node.process.text())
        node.process.stop()
    node = Mirror(lab, upstream, name="unknown", env=environment, **{**variables, "bucket_encryption_key": "alias/none"})
    node.start()
    said = "KMS knows no key `alias/none`"
    lab.wait("the log to name the key", lambda: said in node.process.text())
    lab.wait("the store to be named", lambda: said in node.part("store").get("why", ""))
    lab.check("a key that KMS does not know is named, and pulls go on",
              request(f"{node.url}/v2/library/kms-before/manifests/1", headers=image.ACCEPT).status == 200)


def main():
    with Lab("kms") as lab:
        upstream, server = Upstream(lab).start(), LocalStack(lab).start()
        key = server.kms("CreateKey")["KeyMetadata"]["Arn"]
        server.kms("CreateAlias", AliasName="alias/e2e", TargetKeyId=key)
        # As at AWS: no address of its own, so that KMS is asked, too.
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}
        variables = {"store": "s3", "bucket_name": BUCKET, "bucket_location": REGION, "bucket_encryption_key": key}
        first = Mirror(lab, upstream, name="first", env=environment, host="first", **variables).start()
        lab.wait("the mirror to write", lambda: "the store can be written to" in first.process.text())
        images = Images(lab, upstream)
        before = images.push("kms-before")
        lab.check("an image is pulled", images.pull(first, "kms-before", before))
        place = lab.wait("it to be in the bucket",
                         lambda: [name for name in server.s3.keys() if before[7:] in name])[0]
        head = server.s3.head(place).headers
        said = first.process.text()
        lab.check("nothing is said of a key that is as it should be", "the key `" not in said)
        lab.check("under the key that is named",
                  head.get("x-amz-server-side-encryption-aws-kms-key-id") == key, str(head) if not head else "")

        server.kms("DisableKey", KeyId=key)
        lab.check("the server refuses with the key disabled", server.s3.get(place).status == 400)
        lab.check("what is on the node is pulled", images.pull(first, "kms-before", before))
        during = images.push("kms-during")
        lab.check("what is new is pulled", images.pull(first, "kms-during", during))
        lab.wait("the store to be named", lambda: first.part("store")["status"] == "degraded")
        why = first.part("store").get("why", "")
        lab.check("/readyz says why", "KMS." in why, why)
        lab.wait("KMS to be asked", lambda: "is disabled" in first.part("store").get("why", ""))
        why = first.part("store")["why"]
        lab.check("and what KMS says of the key", f"the key `{key}` is disabled" in why, why)
        lab.check("and so does a metric", first.metric("store_refuses") == 1)
        lab.check("and the log says what to look at", "bucket_encryption_key" in first.process.text())
        second = Mirror(lab, upstream, name="second", env=environment, host="second", **variables).start()
        lab.check("a node that has nothing pulls what it cannot decrypt", images.pull(second, "kms-before", before))

        server.kms("EnableKey", KeyId=key)
        lab.wait("what was refused to be in the bucket",
                 lambda: [name for name in server.s3.keys() if during[7:] in name])
        lab.check("with the key enabled the bucket is written to again", True)
        lab.wait("/readyz to say so", lambda: first.part("store")["status"] == "ok")
        lab.check("and all is well", first.metric("store_refuses") == 0)
        names(lab, upstream, environment, variables, key)


if __name__ == "__main__":
    sys.exit(main())
