"""The upstream and the mirror, as processes."""

import json
import os
import re
import shutil
import subprocess

from .image import Pusher
from .lab import PATIENCE, Failed, free_port, request

# Stands in the mirror's place while the tests themselves are tried.
STAND_IN = os.environ.get("E2E_MIRROR") == "docker-registry"


class Upstream:
    """Debian's docker-registry, an honest upstream; its access log is the witness."""

    LINE = re.compile(r'"(GET|HEAD|PUT|POST|PATCH|DELETE) (/v2/\S*) HTTP/1\.[01]" (\d{3})')

    def __init__(self, lab, name="upstream"):
        self.lab, self.name, self.port = lab, name, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.push = Pusher(self.url)
        self.process = None

    def start(self):
        config = self.lab.dir / f"{self.name}.yml"
        config.write_text(json.dumps({
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self.lab.dir / self.name)}},
            "http": {"addr": f"127.0.0.1:{self.port}"}}))
        self.process = self.lab.start(self.name, ["docker-registry", "serve", config])
        self.lab.wait("the upstream", lambda: request(f"{self.url}/v2/").status == 200,
                      process=self.process)
        return self

    def requests(self, method="GET", like=""):
        """Paths that were asked for by `method`, once for each request, over all restarts."""
        return [path for verb, path, _ in self.LINE.findall(self.process.text())
                if verb == method and re.search(like, path)]

    def pulls(self, like=""):
        """GETs of manifests and blobs."""
        return [path for path in self.requests("GET", like) if re.search("/(manifests|blobs)/", path)]


class Mirror:
    """The mirror under test, with a filesystem store unless `variables` say otherwise."""

    def __init__(self, lab, upstream, name="mirror", env=None, host=None, **variables):
        self.lab, self.upstream, self.name, self.env, self.called = lab, upstream, name, env or {}, host
        self.port, self.admin_port = free_port(), free_port()
        scheme = "http" if variables.get("tls", "off") == "off" else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.host = f"127.0.0.1:{self.port}"
        self.data = lab.dir / f"{name}-data"
        self.variables = {
            "store": "filesystem", "data_path": str(self.data), "tls": "off",
            "listen_address": "127.0.0.1", "listen_port": str(self.port),
            "admin_address": f"127.0.0.1:{self.admin_port}", "upstream_url": upstream.url,
            "drain_delay": "0s", "drain_timeout": "10s", "url": self.url, **variables}
        self.process = None

    def start(self):
        inventory = self.lab.dir / f"{self.name}-inventory"
        inventory.mkdir(exist_ok=True)
        lines = [f"    registry_mirror_{key}: {json.dumps(value)}" for key, value in self.variables.items()]
        hosts = ["  hosts:", f"    {self.called}:"] if self.called else []
        (inventory / "inventory.yml").write_text("\n".join(["all:", *hosts, "  vars:", *lines, ""]))
        if STAND_IN:
            config = self.lab.dir / f"{self.name}.yml"
            config.write_text(json.dumps({
                "version": 0.1, "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": str(self.data)}},
                "proxy": {"remoteurl": self.upstream.url}, "http": {"addr": self.host}}))
            argv = ["docker-registry", "serve", config]
        else:
            argv = [os.environ["MIRROR_BIN"], "serve", "-i", inventory,
                    *(["--host", self.called] if self.called else [])]
        before = self.process.text().count("ready on ") if self.process else 0
        self.process = self.lab.start(self.name, argv, {"RUNTIME_DIRECTORY": str(self.lab.dir / f"{self.name}-runtime"),
                                                        **self.env})
        self.lab.wait("the mirror to answer", lambda: request(f"{self.url}/v2/").status == 200,
                      process=self.process)
        if not STAND_IN:
            self.lab.wait("the mirror's ready line",
                          lambda: self.process.text().count(f"ready on {self.url}") > before,
                          process=self.process)
        return self

    def told(self, client):
        """The configuration that the mirror itself makes for a client."""
        return self.lab.run([os.environ["MIRROR_BIN"], "client-config", client, "-i",
                             self.lab.dir / f"{self.name}-inventory"])

    def command(self, *words):
        """Another command about this mirror."""
        return [os.environ["MIRROR_BIN"], *words, "-i", self.lab.dir / f"{self.name}-inventory",
                *(["--host", self.called] if self.called else [])]

    def surroundings(self):
        """What that finds in its environment."""
        return {**os.environ, "RUNTIME_DIRECTORY": str(self.lab.dir / f"{self.name}-runtime"), **self.env}

    def asked(self, *words):
        """What it prints; none if it fails."""
        return self.lab.run(self.command(*words), self.surroundings(), fatal=False)

    def ended(self, *words):
        """Runs another command about this mirror without a terminal. Returns its status and all it printed."""
        done = subprocess.run(self.command(*words), env=self.surroundings(), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout

    def part(self, name):
        """State of a part in `/readyz`."""
        return json.loads(request(f"{self.admin}/readyz").body)["parts"][name]

    def forget(self):
        """Removes everything that the node itself keeps; it must be stopped."""
        if self.process.running():
            raise Failed("the mirror is still running")
        shutil.rmtree(self.data, ignore_errors=True)

    def metric(self, name):
        """The sum of a metric over its labels; 0 if it is not there."""
        text = request(f"{self.admin}/metrics").body.decode(errors="replace")
        values = re.findall(rf"^registry_mirror_{name}(?:\{{[^}}]*\}})? (\S+)", text, re.MULTILINE)
        return sum(float(value) for value in values)

    def cleanups(self):
        """Number of clean-ups that came to their end."""
        return self.metric(r'cleanups_total\{outcome="done"\}')
