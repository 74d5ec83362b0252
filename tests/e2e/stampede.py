"""64 clients at once on one cold blob: one GET upstream, right bytes for all, little memory."""

import hashlib
import http.client
import multiprocessing
import os
import queue
import random
import socket
import struct
import sys
import threading
import time

from support.image import digest_of_file
from support.lab import CACHE, Lab
from support.servers import Mirror, Upstream

CLIENTS = 64
PROCESSES = 4
SIZE = int(os.environ.get("E2E_BLOB_MB", "400")) * 1_000_000
MEMORY = 128 << 20
NAME = "library/e2e-stampede"
PIECE = 256 << 10


def fresh_blob(lab, variant):
    """A file of random bytes that no other variant shares."""
    base = CACHE / f"random-{SIZE}"
    if not base.exists():
        source = random.Random(0)
        with open(base, "wb") as file:
            for _ in range(SIZE // 1_000_000):
                file.write(source.randbytes(1_000_000))
    blob = lab.dir / f"{variant}.blob"
    os.link(base, blob) if variant == "plain" else blob.write_bytes(
        variant.ljust(16).encode() + base.read_bytes()[16:])
    return blob


def fetch(host, path, span, stop_after, started):
    """One client. Returns (status, SHA-256 of what came, length); cut off, a reason instead."""
    connection = http.client.HTTPConnection(host, timeout=600)
    try:
        headers = {"Range": f"bytes={span[0]}-{span[1]}"} if span else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        started()
        buffer, seen, length = memoryview(bytearray(PIECE)), hashlib.sha256(), 0
        while count := answer.readinto(buffer):
            seen.update(buffer[:count])
            length += count
            if stop_after and length >= stop_after:
                # As a killed process leaves it: a reset, and not a polite end.
                connection.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return "stopped"
        return answer.status, seen.hexdigest(), length
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def crowd(host, path, spans, stop_after, mine, gate, results):
    """The clients of one process. Client 0 goes first if it is to be stopped; the others wait for
    the head of its answer."""
    def one(number):
        limit = stop_after if number == 0 else 0
        if number != 0:
            gate.wait()
        results.put((number, fetch(host, path, spans.get(number), limit, gate.set if limit else lambda: None)))
        gate.set()
    threads = [threading.Thread(target=one, args=(number,)) for number in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stampede(lab, upstream, mirror, variant, spans, stop_after):
    blob = fresh_blob(lab, variant)
    name = upstream.push.blob(NAME, blob)
    whole = digest_of_file(blob).removeprefix("sha256:")
    context = multiprocessing.get_context("fork")
    gate, results = context.Event(), context.Queue()
    if not stop_after:
        gate.set()
    path = f"/v2/{NAME}/blobs/{name}"
    workers = [context.Process(target=crowd, args=(
        mirror.host, path, spans, stop_after, range(first, CLIENTS, PROCESSES), gate, results))
        for first in range(PROCESSES)]
    begun, highest, outcome = time.monotonic(), 0, {}
    for worker in workers:
        worker.start()
    while len(outcome) < CLIENTS and time.monotonic() - begun < 900:
        highest = max(highest, mirror.process.rss_anon())
        try:
            number, result = results.get(timeout=0.02)
            outcome[number] = result
        except queue.Empty:
            if not any(worker.is_alive() for worker in workers):
                break
    for worker in workers:
        worker.join(5)
        if worker.is_alive():
            worker.terminate()
    took = time.monotonic() - begun

    wrong = []
    for number in range(CLIENTS):
        result = outcome.get(number, "never ended")
        if stop_after and number == 0:
            expected = "stopped"
        elif number in spans:
            first, last = spans[number]
            with open(blob, "rb") as file:
                file.seek(first)
                part = file.read(last - first + 1)
            expected = (206, hashlib.sha256(part).hexdigest(), len(part))
        else:
            expected = (200, whole, SIZE)
        if result != expected:
            wrong.append(f"client {number}: {result}")
    lab.check(f"{variant}: all of {CLIENTS} clients have the right bytes", not wrong,
              f"{len(wrong)} have not: {'; '.join(wrong[:3])}" if wrong else f"{took:.1f} s")
    gets = upstream.pulls(name)
    lab.check(f"{variant}: one GET upstream", len(gets) == 1, str(len(gets)))
    lab.check(f"{variant}: RssAnon stays under {MEMORY >> 20} MiB", highest < MEMORY,
              f"{highest / (1 << 20):.0f} MiB")
    blob.unlink()


def main():
    with Lab("stampede") as lab:
        upstream = Upstream(lab).start()
        mirror = Mirror(lab, upstream).start()
        stampede(lab, upstream, mirror, "plain", {}, 0)
        stampede(lab, upstream, mirror, "first killed", {}, 1_000_000)
        # Ten of them want something near the end, which is there last.
        tail = {number: (SIZE - number * 4096 - 65_536, SIZE - number * 4096 - 1)
                for number in range(5, 64, 6)}
        stampede(lab, upstream, mirror, "ranges", tail, 0)


if __name__ == "__main__":
    sys.exit(main())
