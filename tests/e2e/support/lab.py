"""A part's workbench: its directory, its processes, its checks."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WORK = ROOT / "target" / "e2e"
CACHE = WORK / "cache"

# What may take how long, in seconds, on a machine that does other things too.
PATIENCE = 120


class Failed(Exception):
    """A part cannot go on."""


class Process:
    """A child in a process group of its own, its output in a file."""

    def __init__(self, name, argv, log, env):
        self.name, self.log = name, log
        with open(log, "ab") as output:
            self.child = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=env, start_new_session=True)
        self.pid = self.child.pid

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self, patience=20):
        """Asks it to end, then its whole group is killed."""
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(patience)
        self.kill()

    def kill(self):
        """Ends it as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()

    def text(self):
        return self.log.read_text(errors="replace")

    def cpu_seconds(self):
        """Processor time of every process of the group so far."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_anon(self):
        """Bytes of anonymous memory that are resident now; 0 once it has ended."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0


def from_pypi(name, pinned, python=sys.executable):
    """The programs of a virtual environment that is made when it is first needed."""
    venv = WORK / name
    note = venv / "installed"
    if not note.exists() or note.read_text() != " ".join(pinned):
        for command in [[python, "-m", "venv", venv],
                        [venv / "bin" / "pip", "--quiet", "install", *pinned]]:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if done.returncode:
                raise Failed(f"{command[0]}: {done.stdout[-2000:].decode(errors='replace')}")
        note.write_text(" ".join(pinned))
    return venv / "bin"


def from_crates(name, version):
    """The directory of a crate's source, fetched when it is first needed and never built."""
    scratch = WORK / f"crate-{name}"
    (scratch / "src").mkdir(parents=True, exist_ok=True)
    (scratch / "src" / "lib.rs").touch()
    (scratch / "Cargo.toml").write_text(
        f'[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n'
        f'[dependencies]\n{name} = "={version}"\n')
    command = ["cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path", scratch / "Cargo.toml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"cargo metadata: {done.stderr[-2000:]}")
    found = [package for package in json.loads(done.stdout)["packages"] if package["name"] == name]
    return Path(found[0]["manifest_path"]).parent


class Lab:
    """Used as a context; ends every process of the part, and the part itself with its verdict."""

    def __init__(self, name):
        self.name = name
        self.dir = WORK / name
        self.processes = []
        self.failures = 0
        self.checks = 0

    def __enter__(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        # Sockets need a short path.
        self.short = Path(tempfile.mkdtemp(prefix="e2e-"))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(130))
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and not isinstance(error, SystemExit):
            self.failures += 1
            print(f"FAIL {self.name}: {error}")
            if not isinstance(error, Failed):
                traceback.print_exception(kind, error, trace)
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.short, ignore_errors=True)
        if self.failures:
            for log in sorted(self.dir.glob("*.log")):
                print(f"---- the end of {log.relative_to(ROOT)}")
                for line in log.read_text(errors="replace").splitlines()[-20:]:
                    print(line[:240])
        if isinstance(error, SystemExit):
            return False
        sys.exit(1 if self.failures else 0)

    def start(self, name, argv, env=None):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("AWS_", "REGISTRY_MIRROR_"))}
        environment.update(env or {})
        process = Process(name, argv, self.dir / f"{name}.log", environment)
        self.processes.append(process)
        return process

    def run(self, argv, env=None, seconds=PATIENCE, fatal=True):
        """Runs a command to its end and returns its standard output; its errors are logged."""
        name = Path(str(argv[0])).name
        with open(self.dir / f"{name}.log", "ab") as log:
            log.write(f"$ {' '.join(map(str, argv))}\n".encode())
            log.flush()
            try:
                done = subprocess.run(
                    [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=log, env=dict(os.environ, **(env or {})), timeout=seconds, check=False)
            except subprocess.TimeoutExpired:
                raise Failed(f"`{name}` took more than {seconds} s") from None
            log.write(done.stdout[-4000:])
        if fatal and done.returncode:
            raise Failed(f"`{' '.join(map(str, argv))}` ended with {done.returncode}")
        return done.stdout.decode(errors="replace") if not done.returncode else None

    def check(self, what, holds, seen=""):
        """One line for one promise; the part goes on either way."""
        self.checks += 1
        if holds:
            print(f"ok   {self.name}: {what}" + (f" ({seen})" if seen else ""))
        else:
            self.failures += 1
            print(f"FAIL {self.name}: {what}" + (f": {seen}" if seen else ""))
        return bool(holds)

    def wait(self, what, condition, seconds=PATIENCE, process=None):
        """Polls until the condition holds; its value is returned."""
        end = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if process is not None and not process.running():
                raise Failed(f"{process.name} ended with {process.child.returncode} before {what}")
            if time.monotonic() > end:
                raise Failed(f"waited {seconds} s for {what}")
            time.sleep(0.05)

    def comes(self, condition, seconds=30):
        """Waits for the condition. Returns whether it came to hold in that time."""
        try:
            return self.wait("it", condition, seconds)
        except Failed:
            return False


_given = set()


def free_port():
    """A port of the loopback interface that nobody uses now."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class Answer:
    """What a server answered: status, headers in lower case, body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def request(url, method="GET", headers=None, body=None, seconds=60):
    """One request on a connection of its own. No redirect is followed, no certificate is verified;
    a failure is status 0."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=seconds, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, {}, str(error).encode())
    finally:
        connection.close()
