"""A bucket that two nodes make at once, on a server that has KMS, and what lies in it after pulls."""

import sys

from support import image
from support.lab import Lab, Failed, request
from support.ministack import Ministack
from support.s3 import BUCKET, CREDENTIALS, REGION
from support.servers import Mirror, Upstream

PULLS = 50


def main():
    with Lab("provision") as lab:
        def check(what, holds, seen):
            lab.check(what, holds, "" if holds else seen)

        upstream, server = Upstream(lab).start(), Ministack(lab).start()
        key = server.new_key()
        # As at AWS: no address of its own, so that KMS and STS are asked, too.
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}
        variables = {"store": "s3", "bucket_name": BUCKET, "bucket_location": REGION, "bucket_encryption_key": key}
        nodes = [Mirror(lab, upstream, name=f"node{number}", env=environment, **variables)
                 for number in range(2)]
        for node in nodes:
            node.start()
        for node in nodes:
            lab.wait(f"{node.name} to write", lambda node=node: "the store can be written to" in node.process.text())
        made = sum("the bucket was missing and is made" in node.process.text() for node in nodes)
        lab.check("of two nodes one made the bucket", made == 1, f"{made} made it")
        encryption = server.settled("encryption")
        check("it encrypts by the key that is named, with a bucket key",
                  (encryption.get("SSEAlgorithm"), encryption.get("KMSMasterKeyID"), encryption.get("BucketKeyEnabled"))
                  == ("aws:kms", key, "true"), str(encryption))
        blocks = server.settled("publicAccessBlock")
        wanted = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]
        check("it is closed to the public", all(blocks.get(name) == "true" for name in wanted), str(blocks))
        rules = server.settled("lifecycle")
        check("unfinished uploads end after a day", rules.get("DaysAfterInitiation") == "1", str(rules))
        policy = server.s3.call("GET", query={"policy": ""}).body.decode()
        check("it is closed to whoever comes without TLS", '"aws:SecureTransport"' in policy and "Deny" in policy, policy)
        lab.check("it says who made it", server.settled("tagging").get("Value") == "registry-mirror")

        for number in range(PULLS):
            name = f"e2e-provision-{number}"
            layer = image.tiny(name, lab.dir)
            upstream.push.image(f"library/{name}", "1", layer, image.OCI)
            pulled = request(f"{nodes[number % 2].url}/v2/library/{name}/manifests/1", headers=image.ACCEPT)
            blob = request(f"{nodes[number % 2].url}/v2/library/{name}/blobs/{layer.digest}")
            if pulled.status != 200 or image.digest(blob.body) != layer.digest:
                raise Failed(f"{name} is not served: {pulled.status}, {blob.status}")
        lab.wait("the bucket to be filled",
                 lambda: len(server.s3.keys("docker/registry/v2/blobs/")) >= 2 * PULLS)
        heads = [server.s3.head(name).headers for name in server.s3.keys()]
        bad = [head for head in heads if (head.get("x-amz-server-side-encryption"),
                                          head.get("x-amz-server-side-encryption-aws-kms-key-id")) != ("aws:kms", key)]
        check(f"each of {len(heads)} objects after {PULLS} pulls is encrypted by the key", not bad, str(bad[:1]))
        for node in nodes:
            node.process.stop()

        # A bucket that was there, with a key of its own, and none named here.
        late = Mirror(lab, upstream, name="late", env=environment, **{**variables, "bucket_encryption_key": ""}).start()
        lab.wait("late to write", lambda: "the store can be written to" in late.process.text())
        before = set(server.s3.keys())
        layer = image.tiny("e2e-provision-late", lab.dir)
        upstream.push.image("library/e2e-provision-late", "1", layer, image.OCI)
        request(f"{late.url}/v2/library/e2e-provision-late/blobs/{layer.digest}")
        lab.wait("the blob in the bucket", lambda: any(layer.digest[7:] in name for name in server.s3.keys()))
        new = [server.s3.head(name).headers.get("x-amz-server-side-encryption")
               for name in set(server.s3.keys()) - before]
        check("what the bucket does by itself is not downgraded", set(new) == {"aws:kms"}, str(new))
        check("nothing is said of a bucket that is as it should be",
                  "warn" not in late.process.text().lower().replace("the upstream", ""), late.process.text()[-600:])


if __name__ == "__main__":
    sys.exit(main())
