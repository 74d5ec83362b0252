"""A key that is disabled while the mirror runs, on a server that refuses what it cannot decrypt."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from support import image
from support.lab import Failed, Lab, free_port, from_pypi, request
from support.s3 import BUCKET, CREDENTIALS, REGION, S3
from support.servers import Mirror, Upstream

CONSTRAINTS = Path(__file__).resolve().parent / "support" / "localstack.txt"


def python():
    """A Python that this server runs on, 3.12 at least: on the path, or of pyenv's; none if there is none."""
    found = [shutil.which(f"python3.{minor}") for minor in (13, 12)]
    if shutil.which("pyenv"):
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
        found += sorted(Path(root).glob("versions/3.1[2-9].*/bin/python3"), reverse=True)
    works = [path for path in filter(None, found)
             if subprocess.run([path, "-c", "import venv, ssl, sqlite3"], capture_output=True, check=False).returncode == 0]
    return works[0] if works else None


class LocalStack:
    """S3 and KMS on this machine; the one that lets S3 ask KMS for each object."""

    def __init__(self, lab, interpreter):
        self.lab, self.port, self.interpreter = lab, free_port(), interpreter
        self.url = f"http://127.0.0.1:{self.port}"
        self.s3 = S3(self.url)

    def start(self):
        pinned = CONSTRAINTS.read_text().split()
        program = from_pypi("venv-localstack", pinned, self.interpreter) / "python"
        home = self.lab.dir / "localstack"
        home.mkdir()
        process = self.lab.start("localstack", [program, "-m", "localstack.runtime.main"], {
            "OVERRIDE_IN_DOCKER": "0", "GATEWAY_SERVER": "hypercorn", "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "LOCALSTACK_HOST": f"127.0.0.1:{self.port}", "DISABLE_EVENTS": "1", "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0", "SERVICES": "s3,kms", "STRICT_SERVICE_LOADING": "1",
            "S3_SKIP_SIGNATURE_VALIDATION": "0", "S3_SKIP_KMS_KEY_VALIDATION": "0",
            "FILESYSTEM_ROOT": str(home), "LOCALSTACK_VOLUME_DIR": str(home), "XDG_CACHE_HOME": str(home / "cache")})
        self.lab.wait("localstack", lambda: self.s3.call("HEAD").status in (200, 404), process=process)
        return self

    def kms(self, action, **body):
        """What KMS answers to a call."""
        headers = {"X-Amz-Target": f"TrentService.{action}", "Content-Type": "application/x-amz-json-1.1",
                   "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/kms/aws4_request, "
                                    "SignedHeaders=host, Signature=0"}
        answer = request(self.url, "POST", headers, json.dumps(body).encode())
        if answer.status != 200:
            raise Failed(f"KMS refuses {action}: {answer.status} {answer.body[:200]}")
        return json.loads(answer.body) if answer.body else {}


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


def store(node):
    """What the node says of its store."""
    return json.loads(request(f"{node.admin}/readyz").body)["parts"]["store"]


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
    lab.wait("the store to be named", lambda: said in store(node).get("why", ""))
    lab.check("a key that KMS does not know is named, and pulls go on",
              request(f"{node.url}/v2/library/kms-before/manifests/1", headers=image.ACCEPT).status == 200)


def main():
    with Lab("kms") as lab:
        interpreter = python()
        if interpreter is None:
            raise Failed("there is no Python 3.12 or later for the server")
        upstream, server = Upstream(lab).start(), LocalStack(lab, interpreter).start()
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
        lab.wait("the store to be named", lambda: store(first)["status"] == "degraded")
        why = store(first).get("why", "")
        lab.check("/readyz says why", "KMS." in why, why)
        lab.wait("KMS to be asked", lambda: "is disabled" in store(first).get("why", ""))
        lab.check("and what KMS says of the key", f"the key `{key}` is disabled" in store(first)["why"], store(first)["why"])
        lab.check("and so does a metric", first.metric("store_refuses") == 1)
        lab.check("and the log says what to look at", "bucket_encryption_key" in first.process.text())
        second = Mirror(lab, upstream, name="second", env=environment, host="second", **variables).start()
        lab.check("a node that has nothing pulls what it cannot decrypt", images.pull(second, "kms-before", before))

        server.kms("EnableKey", KeyId=key)
        lab.wait("what was refused to be in the bucket",
                 lambda: [name for name in server.s3.keys() if during[7:] in name])
        lab.check("with the key enabled the bucket is written to again", True)
        lab.wait("/readyz to say so", lambda: store(first)["status"] == "ok")
        lab.check("and all is well", first.metric("store_refuses") == 0)
        names(lab, upstream, environment, variables, key)


if __name__ == "__main__":
    sys.exit(main())
