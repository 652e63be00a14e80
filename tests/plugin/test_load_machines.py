"""``--llm-cluster`` with workers that share no loopback: each in a network namespace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("distributed")

pytestmark = pytest.mark.machines

HUB, ADDRESS = "llmperf0", "10.213.7.1"

#: What makes the mock server, which listens on loopback alone, reachable from the other namespaces.
FORWARD = f"""
import asyncio

async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def serve(reader, writer):
    ours = await asyncio.open_connection("127.0.0.1", 8100)
    await asyncio.gather(pump(reader, ours[1]), pump(ours[0], writer), return_exceptions=True)

async def main():
    async with await asyncio.start_server(serve, "{ADDRESS}", 8101) as server:
        await server.serve_forever()

asyncio.run(main())
"""

#: Ends when a model server answers there.
ANSWERS = f"""
import time, urllib.request
while True:
    try:
        urllib.request.urlopen("http://{ADDRESS}:8101/v1/models", timeout=5)
        break
    except OSError:
        time.sleep(0.1)
"""

TEST = """
from pytest_llmperf import llm_load

@llm_load(users=7, iterations=3)
async def test_it(async_llm):
    await async_llm.chat("merhaba")
"""


def ip(words):
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


@pytest.fixture(scope="module")
def namespaces():
    """A namespace with a bridge, and three that reach it; nothing of them is seen outside."""
    names = [HUB, *(f"llmperf{number}" for number in (1, 2, 3))]
    try:
        ip(f"netns add {HUB}")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        ip(f"-n {HUB} link add br0 type bridge")
        ip(f"-n {HUB} addr add {ADDRESS}/24 dev br0")
        for device in ("br0", "lo"):
            ip(f"-n {HUB} link set {device} up")
        for number, name in enumerate(names[1:], 1):
            ip(f"netns add {name}")
            ip(f"-n {name} link add eth0 type veth peer name v{number} netns {HUB}")
            ip(f"-n {HUB} link set v{number} master br0 up")
            ip(f"-n {name} addr add 10.213.7.1{number}/24 dev eth0")
            for device in ("eth0", "lo"):
                ip(f"-n {name} link set {device} up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def inside(namespaces, project):
    """Start a Python program in a namespace; it ends with the test."""
    started = []

    def start(name, *words):
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = ["ip", "netns", "exec", name, sys.executable, *words]
        with (project.path / "log").open("ab") as log:
            started.append(
                subprocess.Popen(command, cwd=project.path, env=environment, stdout=log, stderr=log)
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(namespaces, inside):
    quiet = ("--no-dashboard", "--dashboard-address=127.0.0.1:0")
    inside(HUB, "-m", "dask", "scheduler", f"--host={ADDRESS}", "--port=8786", *quiet)
    own = ("--no-nanny", "--nthreads=1", *quiet)
    for number, name in enumerate(namespaces[1:], 1):
        at = (f"tcp://{ADDRESS}:8786", f"--host=10.213.7.1{number}", f"--name={name}")
        inside(name, "-m", "dask", "worker", *at, *own)
    wait = f"import distributed as d; d.Client('tcp://{ADDRESS}:8786', timeout=60).wait_for_workers(3, 60)"
    assert inside(HUB, "-c", wait).wait(timeout=90) == 0
    return f"tcp://{ADDRESS}:8786"


def session(inside, project, scheduler, *arguments):
    project.test(TEST)
    words = ("-m", "pytest", "-p", "llmperf", "--llm-report=run.json", "--llm-gate=off", *arguments)
    inside(HUB, *words, f"--llm-cluster={scheduler}").wait(timeout=280)
    report = project.path / "run.json"
    return json.loads(report.read_text()) if report.exists() else None, (project.path / "log").read_text()


def test_workers_on_machines_of_their_own_share_a_profile(inside, project, scheduler):
    inside(HUB, "-m", "pytest_llmperf.mock", "--port=8100")
    inside(HUB, "-c", FORWARD)
    assert inside(HUB, "-c", ANSWERS).wait(timeout=90) == 0
    run, said = session(
        inside, project, scheduler, "--llm-backend=openai", f"--llm-url=http://{ADDRESS}:8101"
    )
    assert run is not None, said
    (scenario,) = run["scenarios"]
    assert (scenario["load"]["processes"], scenario["load"]["lost"]) == (3, 0), said
    assert scenario["iterations"] == len(scenario["series"]["latency_s"]) == 21


def test_the_mock_of_this_machine_is_out_of_their_reach(inside, project, scheduler):
    _, said = session(inside, project, scheduler)
    assert "worker llmperf1 (tcp://10.213.7.11:" in said
    assert "cannot reach this session's mock server at http://127.0.0.1:" in said
