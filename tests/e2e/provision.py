"""A bucket that two nodes make at once, on a server that has KMS, and what lies in it after pulls."""

import json
import sys
import xml.etree.ElementTree

from support import image
from support.lab import Lab, Failed, free_port, from_pypi, request
from support.s3 import BUCKET, CREDENTIALS, REGION, S3
from support.servers import Mirror, Upstream

PINNED = ["ministack==1.5.33"]
PULLS = 50


class Ministack:
    """S3 and KMS on this machine."""

    def __init__(self, lab):
        self.lab, self.port = lab, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.s3 = S3(self.url)

    def start(self):
        program = from_pypi("venv-ministack", PINNED) / "ministack"
        process = self.lab.start("ministack", [program], {
            "SERVICES": "s3,kms", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION, **CREDENTIALS})
        self.lab.wait("ministack", lambda: self.s3.call("HEAD").status in (200, 404), process=process)
        return self

    def new_key(self):
        """The ARN of a key that KMS makes."""
        headers = {"X-Amz-Target": "TrentService.CreateKey", "Content-Type": "application/x-amz-json-1.1",
                   "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/kms/aws4_request, "
                                    "SignedHeaders=host, Signature=0"}
        answer = request(self.url, "POST", headers, b"{}")
        if answer.status != 200:
            raise Failed(f"KMS makes no key: {answer.status} {answer.body[:200]}")
        return json.loads(answer.body)["KeyMetadata"]["Arn"]

    def settled(self, what):
        """What is configured under that name: the texts of its elements by their names."""
        answer = self.s3.call("GET", query={what: ""})
        if answer.status != 200:
            return {}
        nodes = xml.etree.ElementTree.fromstring(answer.body).iter()
        return {node.tag.split("}")[-1]: node.text for node in nodes}


def main():
    with Lab("provision") as lab:
        def check(what, holds, seen):
            lab.check(what, holds, "" if holds else seen)

        upstream, server = Upstream(lab).start(), Ministack(lab).start()
        key = server.new_key()
        variables = {"store": "s3", "bucket_name": BUCKET, "bucket_location": REGION,
                     "bucket_endpoint": server.url, "bucket_encryption_key": key}
        nodes = [Mirror(lab, upstream, name=f"node{number}", env=CREDENTIALS, **variables)
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
        late = Mirror(lab, upstream, name="late", env=CREDENTIALS, **{**variables, "bucket_encryption_key": ""}).start()
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
