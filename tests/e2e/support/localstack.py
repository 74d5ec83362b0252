"""LocalStack: S3 and KMS on this machine; the one that lets S3 ask KMS for each object."""

import json
import shutil
import subprocess
from pathlib import Path

from .lab import Failed, free_port, from_pypi, request
from .s3 import REGION, S3

CONSTRAINTS = Path(__file__).resolve().with_suffix(".txt")


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
    """The server; it encrypts what nobody asked it to encrypt, as AWS does (SSE-S3)."""

    def __init__(self, lab):
        self.lab, self.port, self.interpreter = lab, free_port(), python()
        self.url = f"http://127.0.0.1:{self.port}"
        self.s3 = S3(self.url)

    def start(self):
        if self.interpreter is None:
            raise Failed("there is no Python 3.12 or later for the server")
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
