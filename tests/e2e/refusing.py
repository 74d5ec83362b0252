"""Buckets that refuse plain writes. One locks its objects and requires a checksum of each write. The others
have a policy that requires each write to name its encryption."""

import base64
import hashlib
import json
import sys
import time
import xml.etree.ElementTree

from support import image
from support.lab import Lab
from support.localstack import LocalStack
from support.locked import Locked
from support.ministack import Ministack
from support.old import filled
from support.s3 import CREDENTIALS, REGION, S3
from support.servers import Mirror, Upstream

RECORDS, PROBES = "registry-mirror/v1/", "registry-mirror/v1/probe/"
RETENTION = (b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
             b"<Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>")
SSE = "x-amz-server-side-encryption"
# Conditions of such policies: the header is missing, or has another value.
CONDITIONS = {"null": {"Null": {f"s3:{SSE}": "true"}},
              "not-equals": {"StringNotEquals": {f"s3:{SSE}": "AES256"}}}


def records(bucket):
    """Keys of records."""
    return [key for key in bucket.s3.keys(RECORDS) if not key.startswith(PROBES)]


def is_ok(lab, node):
    """Checks that the node is content with its store."""
    part = node.part("store")
    lab.check("/readyz says that the store is well", part["status"] == "ok", str(part))


def versions(s3, prefix):
    """Keys below a prefix of all versions, those of removed objects among them."""
    answer = s3.call("GET", query={"versions": "", "prefix": prefix})
    tree = xml.etree.ElementTree.fromstring(answer.body)
    space = tree.tag.partition("}")[0] + "}" if "}" in tree.tag else ""
    return [node.findtext(f"{space}Key") for node in tree.iter(f"{space}Version")]


def locked(lab, upstream):
    """A bucket with a default retention. AWS refuses a write to it that carries no checksum. LocalStack does not:
    it adds a CRC-64/NVME of its own, so a proxy enforces the rule here. As at AWS, a removal is accepted and
    the removed version stays."""
    server = LocalStack(lab).start()
    server.s3 = S3(server.url, "e2e-locked")
    server.s3.make(**{"x-amz-bucket-object-lock-enabled": "true"})
    digest = base64.b64encode(hashlib.md5(RETENTION).digest()).decode()
    server.s3.call("PUT", query={"object-lock": ""}, body=RETENTION, headers={"content-md5": digest})
    configured = server.s3.call("GET", query={"object-lock": ""}).body
    lab.check("a bucket locks what is written to it for a day", b"GOVERNANCE" in configured)
    proxy = Locked(server).start()
    refused = S3(proxy.url, "e2e-locked").call("PUT", "plain", body=b"plain")
    lab.check("a write without a checksum is refused", refused.status == 400, str(refused.status))
    proxy.bare.clear()

    name = "library/e2e-locked"
    digests = upstream.push.small(name, lab.dir)
    node = Mirror(lab, upstream, name="locked", env=CREDENTIALS, store="s3", bucket_name="e2e-locked",
                  bucket_location=REGION, bucket_endpoint=proxy.url, local_cache_size="0").start()
    lab.check("an image is pulled", image.pulled(node.url, name, digests))
    settled = lab.comes(lambda: filled(server, digests) and records(server))
    keys = server.s3.keys()
    lab.check("it comes into the bucket", filled(server, digests), f"{len(keys)} objects")
    lab.check("and records do", records(server), f"{len(records(server))} records")
    lab.check("no write was without a checksum", not proxy.bare and settled,
              f"{len(proxy.bare)} without, {len(proxy.summed)} with one")
    heads = [server.s3.head(key, **{"x-amz-checksum-mode": "ENABLED"}).headers for key in keys]
    bare = [key for key, head in zip(keys, heads)
            if not {"x-amz-checksum-sha256", "x-amz-checksum-crc32"} & set(head)]
    lab.check("each object has it", heads and not bare, ", ".join(bare[:3]) or f"{len(heads)} objects")
    locks = [head.get("x-amz-object-lock-mode") for head in heads]
    lab.check("and is locked", set(locks) == {"GOVERNANCE"}, str(set(locks)))
    is_ok(lab, node)
    probes = set(versions(server.s3, PROBES))
    lab.check("probes left no more than 3 objects, removed ones among them", len(probes) <= 3, f"{len(probes)} keys")
    node.process.stop()

    # A node with an empty disk has it from the bucket.
    node.forget()
    before = len(upstream.pulls(f"/{name}/"))
    node.start()
    lab.check("it is served from there", image.pulled(node.url, name, digests))
    gets = upstream.pulls(f"/{name}/")[before:]
    lab.check("without a GET upstream", not gets, str(gets or ""))
    node.process.stop()


class Policies:
    """Buckets of a server that enforces bucket policies. As at AWS, the encryption that CreateMultipartUpload
    named counts for each part."""

    def __init__(self, lab, upstream):
        self.lab, self.upstream = lab, upstream
        self.server = Ministack(lab, iam=True).start()
        self.user = self.server.new_user("mirror")

    def bucket(self, name, condition, algorithm, key=None):
        """Makes a bucket with this default encryption, whose policy denies writes under this condition."""
        bucket = self.server.bucket(name)
        bucket.s3.encrypt(algorithm, key)
        statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                     "Resource": f"arn:aws:s3:::{name}/*", "Condition": condition}
        bucket.s3.call("PUT", query={"policy": ""},
                       body=json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode())
        theirs = S3(bucket.url, name, self.user["AWS_ACCESS_KEY_ID"], self.user["AWS_SECRET_ACCESS_KEY"])
        status = [theirs.call("PUT", "tried", body=b"x", headers=headers).status for headers in [{}, {SSE: "AES256"}]]
        self.lab.check(f"{name}: a write that names no encryption is refused", status == [403, 200], str(status))
        bucket.s3.call("DELETE", "tried")
        return bucket

    def node(self, bucket, name=None, **variables):
        """A mirror on that bucket."""
        return Mirror(self.lab, self.upstream, name=name or bucket.s3.bucket, env=self.user, store="s3",
                      bucket_name=bucket.s3.bucket, bucket_location=REGION, bucket_endpoint=bucket.url,
                      local_cache_size="0", **variables).start()

    def sealed(self, bucket):
        """The encryption of each object."""
        return {key: bucket.s3.head(key).headers.get(SSE) for key in bucket.s3.keys()}

    def aes256(self, how):
        """The policy requires the encryption that is the bucket's default."""
        lab, name = self.lab, f"library/e2e-{how}"
        bucket = self.bucket(f"e2e-{how}", CONDITIONS[how], "AES256")
        digests = self.upstream.push.small(name, lab.dir)
        node = self.node(bucket)
        lab.check("an image is pulled", image.pulled(node.url, name, digests))
        lab.comes(lambda: filled(bucket, digests) and records(bucket))
        lab.check("it comes into the bucket", filled(bucket, digests))
        lab.check("and records do", records(bucket), f"{len(records(bucket))} records")
        sealed = set(self.sealed(bucket).values())
        lab.check("all with the required encryption", sealed == {"AES256"}, str(sealed))
        is_ok(lab, node)
        node.process.stop()

    def kms(self):
        """The bucket's default is KMS, and the policy requires the header. AES256 would pass, and be weaker."""
        lab, key = self.lab, self.server.new_key()
        bucket = self.bucket("e2e-kms", CONDITIONS["null"], "aws:kms", key)
        node = self.node(bucket)
        images = {f"library/e2e-kms-{number}": None for number in range(3)}
        for name in images:
            images[name] = self.upstream.push.small(name, lab.dir)
            lab.check(f"{name} is pulled", image.pulled(node.url, name, images[name]))
        lab.wait("the store to be named", lambda: node.part("store")["status"] == "degraded")
        # Time for another probe of the bucket, and for writes after it.
        time.sleep(10)
        sealed = self.sealed(bucket)
        lesser = [key for key, algorithm in sealed.items() if algorithm != "aws:kms"]
        lab.check("nothing is written with less than the bucket's default", not lesser, ", ".join(lesser[:3]))
        hints = [line for line in node.process.text().splitlines() if SSE in line]
        lab.check("the log names such policies", hints, hints[0][-300:] if hints else "")
        node.process.stop()
        # With the key named each write names it.
        node = self.node(bucket, name="e2e-kms-named", bucket_encryption_key=key)
        name, digests = list(images.items())[0]
        lab.check("with the key named an image is pulled", image.pulled(node.url, name, digests))
        lab.check("and comes into the bucket", lab.comes(lambda: filled(bucket, digests) and records(bucket)))
        sealed = set(self.sealed(bucket).values())
        lab.check("all under KMS", sealed == {"aws:kms"}, str(sealed))
        is_ok(lab, node)
        node.process.stop()


def main():
    with Lab("refusing") as lab:
        upstream = Upstream(lab).start()
        policies = Policies(lab, upstream)
        for how in CONDITIONS:
            policies.aes256(how)
        policies.kms()
        locked(lab, upstream)


if __name__ == "__main__":
    sys.exit(main())
