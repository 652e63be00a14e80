"""The load test of a console: static pages, an API behind a login, jobs that are polled until they are done.

A small real service on loopback stands for it; no model is asked.
"""

from __future__ import annotations

import pytest

import pytest_llmperf.timer  # noqa: F401 - before pytester forgets what a run imports

SERVICE = '''
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest


class Console(BaseHTTPRequestHandler):
    """Two pages, a simulation behind a token, and jobs that take 20 ms."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    jobs = {}
    simulation_s = 0.0

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/jobs/"):
            done = time.perf_counter() > self.jobs[self.path.removeprefix("/jobs/")]
            return self.answer(200, {"status": "done" if done else "queued"})
        known = self.path in ("/", "/assets/dashboard.js")
        return self.answer(200 if known else 404, {"page": self.path})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/login":
            return self.answer(200, {"token": "dev"})
        if self.path == "/chsh":
            time.sleep(self.simulation_s)
            allowed = self.headers["authorization"] == "Bearer dev"
            return self.answer(200 if allowed else 401, {"s": 2.82})
        name = str(len(self.jobs))
        self.jobs[name] = time.perf_counter() + 0.02
        return self.answer(202, {"id": name})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="session")
def console():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Console)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
        client.handler = Console
        yield client
    server.shutdown()
    server.server_close()
'''

FLOWS = """
import time

few = {"iterations": 12, "max_iterations": 12, "warmup": 1, "gate": []}

@llm_slo(p95_ms=850, **few)
def test_ui_smoke(llm_timer, console):
    with llm_timer("shell"):
        console.get("/").raise_for_status()
    with llm_timer("bundle"):
        console.get("/assets/dashboard.js").raise_for_status()

@llm_slo(p95_s=1.2, steps={"simulate": {"p95_s": 1.2}}, **few)
def test_quantum_api(llm_timer, console):
    with llm_timer("login"):
        token = console.post("/login", json={}).raise_for_status().json()["token"]
    with llm_timer("simulate"):
        answer = console.post("/chsh", json={}, headers={"authorization": f"Bearer {token}"})
        answer.raise_for_status()

@llm_slo(steps={"enqueue": {"p95_ms": 850}, "job": {"p95_s": 1.4}}, **few)
def test_materials_jobs(llm_timer, console):
    with llm_timer("job"):
        with llm_timer("enqueue"):
            job = console.post("/jobs", json={}).raise_for_status().json()["id"]
        while console.get(f"/jobs/{job}").json()["status"] != "done":
            time.sleep(0.005)
"""


@pytest.fixture
def console(project):
    project.write("conftest.py", SERVICE)
    return project


def test_the_three_flows_hold_their_thresholds(console):
    console.test(FLOWS)
    session = console.run()
    assert session.exit == 0, session.text
    assert session.outcomes() == {"passed": 3}
    smoke, api, jobs = (
        session.scenario(name) for name in ("test_ui_smoke", "test_quantum_api", "test_materials_jobs")
    )
    assert smoke["requests"] == {"sent": 24, "failed": 0, "failures": []}
    assert len(api["series"]["step:login_s"]) == len(api["series"]["step:simulate_s"]) == 12
    # A job is one sample, from its submission until it is done; what it is made of is not counted again.
    assert jobs["requests"]["sent"] == 12
    assert min(jobs["series"]["latency_s"]) >= 0.02
    assert len(jobs["series"]["step:enqueue_s"]) == 12


def test_a_slow_simulation_breaks_its_own_threshold_alone(console):
    console.test(
        FLOWS.replace('steps={"simulate": {"p95_s": 1.2}}', 'steps={"simulate": {"p95_ms": 15}}').replace(
            "def test_quantum_api(llm_timer, console):\n",
            "def test_quantum_api(llm_timer, console):\n    console.handler.simulation_s = 0.02\n",
        )
    )
    session = console.run()
    assert session.outcomes() == {"passed": 2, "failed": 1}
    assert "step:simulate p95" in session.scenario("test_quantum_api")["reason"]


def test_a_login_that_is_refused_is_a_failed_step(console):
    console.test(FLOWS.replace("Bearer {token}", "Bearer no{token}"))
    session = console.run()
    assert session.outcomes() == {"passed": 2, "failed": 1}
    scenario = session.scenario("test_quantum_api")
    assert scenario["proportions"]["step:simulate"] == {"successes": 0, "trials": 12}
    assert scenario["proportions"]["step:login"] == {"successes": 12, "trials": 12}
    assert "simulate: HTTPStatusError: Client error '401 Unauthorized'" in session.text
