"""ministack: S3, KMS and STS on this machine, of AWS's ways more than SeaweedFS, and all in memory."""

import json
import xml.etree.ElementTree

from .lab import Failed, free_port, from_pypi, request
from .s3 import CREDENTIALS, REGION, S3

PINNED = ["ministack==1.5.33"]


class Ministack:
    """The server, by a clock of its own if it is given one."""

    def __init__(self, lab, clock=None):
        self.lab, self.clock, self.port = lab, clock, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.s3 = S3(self.url)

    def start(self):
        program = from_pypi("venv-ministack", PINNED) / "ministack"
        process = self.lab.start("ministack", [program], {
            "SERVICES": "s3,kms,sts", "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION, **CREDENTIALS, **(self.clock.environment() if self.clock else {})})
        self.lab.wait("ministack", lambda: self.s3.call("HEAD").status in (200, 404), process=process)
        return self

    def make_bucket(self):
        """A bucket that nobody has configured."""
        place = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        made = self.s3.call("PUT", body=place.encode())
        if made.status != 200:
            raise Failed(f"the bucket is not made: {made.status} {made.body[:200]}")

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
