"""ministack: S3, KMS and STS on this machine, of AWS's ways more than SeaweedFS, and all in memory."""

import copy
import json
import re
import urllib.parse
import xml.etree.ElementTree

from .lab import Failed, free_port, from_pypi, request
from .s3 import CREDENTIALS, REGION, S3

PINNED = ["ministack==1.5.33"]


class Ministack:
    """The server, by a clock of its own if it is given one. With `iam` it enforces the policies of users and of
    buckets. The account of CREDENTIALS is root: no policy binds it."""

    def __init__(self, lab, clock=None, iam=False):
        self.lab, self.clock, self.iam, self.port = lab, clock, iam, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.s3 = S3(self.url)

    def start(self):
        program = from_pypi("venv-ministack", PINNED) / "ministack"
        process = self.lab.start("ministack", [program], {
            "SERVICES": "s3,kms,sts,iam", "AUTH": str(self.iam).lower(),
            "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(self.port), "MINISTACK_REGION": REGION,
            **CREDENTIALS, **(self.clock.environment() if self.clock else {})})
        self.lab.wait("ministack", lambda: self.s3.call("HEAD").status in (200, 404), process=process)
        return self

    def bucket(self, name):
        """Makes a bucket. Returns this server with that bucket in the place of its first."""
        other = copy.copy(self)
        other.s3 = S3(self.url, name)
        other.make_bucket()
        return other

    def make_bucket(self):
        """A bucket that nobody has configured."""
        self.s3.make()

    def new_user(self, name):
        """Makes a user whose own policy allows everything. Returns the environment of a program that runs as that
        user."""
        def ask(action, **parameters):
            headers = {"Content-Type": "application/x-www-form-urlencoded",
                       "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, "
                                        "SignedHeaders=host, Signature=0"}
            body = urllib.parse.urlencode({"Version": "2010-05-08", "Action": action, "UserName": name, **parameters})
            answer = request(self.url, "POST", headers, body.encode())
            if answer.status != 200:
                raise Failed(f"IAM refuses {action}: {answer.status} {answer.body[:200]}")
            return answer.body.decode()

        ask("CreateUser")
        statement = {"Effect": "Allow", "Action": ["s3:*", "kms:*"], "Resource": "*"}
        ask("PutUserPolicy", PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        key = ask("CreateAccessKey")
        return {**CREDENTIALS, "AWS_ACCESS_KEY_ID": re.search("<AccessKeyId>(.*?)<", key)[1],
                "AWS_SECRET_ACCESS_KEY": re.search("<SecretAccessKey>(.*?)<", key)[1]}

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
