"""A console's services in one small program: pages, a simulation behind a token, and jobs that take a while.

`python console.py` prints its URL and serves on loopback until it is ended. It stands for your own stack.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import secrets
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from math import cos, pi, sqrt
from pathlib import Path
from typing import ClassVar

STATIC = Path(__file__).with_name("static")
KEY = os.environ.get("QUANTUM_API_TOKEN", "dev-quantum")
SHOTS = 500
ANGLES = [(0, pi / 4, 1), (0, 3 * pi / 4, -1), (pi / 2, pi / 4, 1), (pi / 2, 3 * pi / 4, 1)]


def chsh(shots):
    """A sampled CHSH value: 2.83 for entangled photons, at most 2 for anything else."""
    total = 0.0
    for first, second, sign in ANGLES:
        same = (1 + cos(first - second)) / 2
        total += sign * sum(1 if random.random() < same else -1 for _ in range(shots)) / shots
    return total


def coarsen(grain_um, hours):
    """How large grains of *grain_um* are after *hours*: growth with the square root of time."""
    time.sleep(0.02)
    return sqrt(grain_um**2 + 4.0 * hours)


class Jobs:
    """Jobs in a queue, with two workers."""

    def __init__(self):
        self._waiting = queue.Queue()
        self.results = {}
        for _ in range(2):
            threading.Thread(target=self._work, daemon=True).start()

    def add(self, job):
        name = secrets.token_hex(8)
        self.results[name] = None
        self._waiting.put((name, job))
        return name

    def _work(self):
        while True:
            name, job = self._waiting.get()
            self.results[name] = coarsen(job["grain_um"], job["hours"])


class Console(SimpleHTTPRequestHandler):
    """The pages in static/, /login, /chsh and /jobs."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    tokens: ClassVar[set[str]] = set()
    jobs = Jobs()
    slow_s = 0.0

    def __init__(self, *connection):
        super().__init__(*connection, directory=STATIC)

    def log_message(self, *_):
        pass

    def do_GET(self):
        if not self.path.startswith("/jobs/"):
            return super().do_GET()
        name = self.path.removeprefix("/jobs/")
        if name not in self.jobs.results:
            return self.answer(404, {"error": "no such job"})
        result = self.jobs.results[name]
        return self.answer(200, {"status": "queued" if result is None else "done", "grain_um": result})

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/login":
            return self.login(sent)
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self.answer(401, {"error": "log in first"})
        if self.path == "/chsh":
            time.sleep(self.slow_s)
            return self.answer(200, {"s": chsh(SHOTS)})
        return self.answer(202, {"id": self.jobs.add(sent)})

    def login(self, sent):
        if sent["key"] != KEY:
            return self.answer(403, {"error": "wrong key"})
        token = secrets.token_urlsafe()
        self.tokens.add(token)
        return self.answer(200, {"token": token})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--slow", type=float, default=0.0, help="seconds that a simulation waits")
    chosen = options.parse_args()
    Console.slow_s = chosen.slow
    with Server(("127.0.0.1", chosen.port), Console) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - its purpose
        server.serve_forever()
