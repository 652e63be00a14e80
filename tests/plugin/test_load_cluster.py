"""``--llm-cluster``: the workers of a Dask cluster share one profile, and what they measure is one scenario.

A scheduler and three workers, each a process of its own, on loopback.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pytest_llmperf.conducting import oversight
from pytest_llmperf.shards import cluster_worker

distributed = pytest.importorskip("distributed")

HEAD = """
import os, signal
from pytest_llmperf import llm_load

"""

#: Wall clocks disagree by days.
CONFTEST = """
import os
import time

read, ahead_s = time.time, float(os.environ.get("CLOCK_AHEAD_S", "0"))
time.time = lambda: read() + ahead_s
"""


def clock_ahead(seconds: float) -> list[str]:
    """What a command begins with for a monotonic clock of its own; nothing where the machine forbids it."""
    words = ["unshare", "--time", f"--monotonic={seconds:.0f}", "--fork", "--kill-child", "--"]
    try:
        allowed = subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        allowed = False
    return words if seconds and allowed else []


def dask(*words, ahead_s=0.0):
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CLOCK_AHEAD_S": str(ahead_s)}
    return subprocess.Popen(
        [
            *clock_ahead(ahead_s),
            sys.executable,
            "-m",
            "dask",
            *words,
            "--no-dashboard",
            "--dashboard-address=127.0.0.1:0",
        ],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@dataclass
class Dask:
    """A scheduler and its workers."""

    folder: Path
    scheduler: subprocess.Popen[bytes] | None = None
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return json.loads(self._file.read_text())["address"]

    @property
    def _file(self) -> Path:
        return self.folder / "scheduler.json"

    def start(self) -> None:
        self.scheduler = dask("scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={self._file}")
        self.complete()

    def complete(self) -> None:
        """Start the workers that are missing, and wait for them."""
        for number in range(3):
            name = f"w{number}"
            if name not in self.workers or self.workers[name].poll() is not None:
                self.workers[name] = dask(
                    "worker",
                    f"--scheduler-file={self._file}",
                    "--host=127.0.0.1",
                    "--no-nanny",
                    "--nthreads=1",
                    f"--name={name}",
                    f"--local-directory={self.folder / name}",
                    ahead_s=number * 86_400.0,
                )
        with distributed.Client(scheduler_file=str(self._file), timeout=90, set_as_default=False) as client:
            client.wait_for_workers(3, timeout=90)

    def stop(self) -> None:
        for process in [*self.workers.values(), self.scheduler]:
            if process is not None:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    dask = Dask(tmp_path_factory.mktemp("dask"))
    try:
        dask.start()
        yield dask
    finally:
        dask.stop()


@pytest.fixture
def project(project):
    project.write(
        "slo.yaml",
        "version: 1\ndefaults: {warmup: 1}\nmock: {latency: {ttft: constant(20ms), itl: constant(1ms)}}\n",
    )
    return project


def test_three_workers_whose_clocks_disagree_share_a_profile_exactly(project, cluster):
    cluster.complete()
    project.write("conftest.py", CONFTEST)
    project.test(
        f"{HEAD}@llm_load(rate=60, duration='0.5s', arrivals='poisson')\n"
        "async def test_it(async_llm):\n    await async_llm.chat('merhaba')\n"
    )
    scenario = project.run(f"--llm-cluster={cluster.address}", "--llm-gate=off").scenario()
    load = scenario["load"]
    assert (load["processes"], load["lost"]) == (3, 0)
    assert load["started"] == load["planned"] == scenario["iterations"] == scenario["requests"]["sent"]
    assert len(load["timeline"]["finished"]) <= 30  # seconds, not days
    assert max(scenario["series"]["latency_s"]) < 10


def ended(pids):
    """Parts whose session or worker is gone end by themselves."""
    until_s = time.monotonic() + 60
    left = set(map(int, pids.split()))
    while left and time.monotonic() < until_s:
        time.sleep(0.1)
        left = {pid for pid in left if psutil.pid_exists(pid)}
    assert not left


#: Of three workers each does one thing, after its part has measured something.
THREE_FATES = """
@llm_slo(p95_ms=9000)
@llm_load(users=6, iterations=5)
async def test_it(async_llm):
    await async_llm.chat("merhaba")
    for fate in () if fates else ("killed", "frozen", "well"):
        try:
            os.mkdir(fate)  # only one process can
        except FileExistsError:
            continue
        fates.append(fate)
        with open(f"{fate}.pids", "w") as file:
            parent = os.getppid() if fate == "frozen" else ""  # the Dask worker that started it
            file.write(f"{os.getpid()} {parent}")
        if fate == "killed":
            os.kill(os.getppid(), signal.SIGKILL)
        if fate == "frozen":
            os.kill(os.getppid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        return

fates = []
"""


def test_shares_of_workers_that_are_killed_or_out_of_reach_are_lost(project, cluster, monkeypatch):
    cluster.complete()
    monkeypatch.setattr(oversight, "SILENT_S", 4.0)
    project.test(HEAD + THREE_FATES)
    try:
        session = project.run(f"--llm-cluster={cluster.address}", "--llm-warmup=0")
    finally:
        for pid in (project.path / "frozen.pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    assert session.scenario()["outcome"] == "inconclusive"
    assert session.scenario()["load"]["lost"] == 2
    assert "the share of 2 of 3 processes is lost" in session.scenario()["reason"]
    assert session.scenario()["iterations"] == 10
    assert " is gone (test_it)" in session.text
    assert "it said nothing for 4 s" in session.text
    ended((project.path / "killed.pids").read_text())


#: The leading session is sent SIGTERM when every part has measured something, and Ctrl-C when every part has
#: handed that over and puts its fixtures away, which takes long.
INTERRUPTED = """
import pathlib, threading, time

LEADS = "LLMPERF_SHARD" not in os.environ
if LEADS:  # a shell starts what runs in its background with SIGINT ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)

@llm_load(users=6, duration="10m", graceful_stop="10m")
async def test_it(async_llm):
    await async_llm.chat("merhaba")
    pathlib.Path(f"measured-{os.getpid()}").touch()

@pytest.fixture(scope="session", autouse=True)
def whole_session():
    if LEADS:
        threading.Thread(target=watch, args=(os.getpid(),), daemon=True).start()
    yield
    if not LEADS:
        pathlib.Path(f"away-{os.getpid()}").touch()
        time.sleep(600)

def watch(leader):
    for name, number in (("measured", signal.SIGTERM), ("away", signal.SIGINT)):
        while len(list(pathlib.Path().glob(f"{name}-*"))) < 3:
            time.sleep(0.02)
        os.kill(leader, number)
"""


def test_what_all_workers_handed_over_is_kept_when_a_second_ctrl_c_ends_the_waiting_for_their_fixtures(
    project, cluster
):
    cluster.complete()
    project.test(HEAD + INTERRUPTED)
    session = project.run_apart(f"--llm-cluster={cluster.address}", "--llm-warmup=0")
    assert session.exit == pytest.ExitCode.INTERRUPTED
    scenario = session.scenario()
    assert (scenario["load"]["processes"], scenario["load"]["lost"]) == (3, 0), session.text
    assert len(scenario["series"]["latency_s"]) == scenario["iterations"] >= 3
    assert "interrupted in iteration" in scenario["reason"]
    ended(" ".join(path.name.removeprefix("measured-") for path in project.path.glob("measured-*")))


def test_a_scheduler_that_hangs_is_given_up_in_the_end(project, cluster, monkeypatch):
    cluster.complete()
    monkeypatch.setattr(cluster_worker, "SILENT_S", 2.0)
    monkeypatch.setattr("pytest_llmperf.shards.cluster_crew._PATIENCE_S", 2.0)
    project.test(
        HEAD
        + f"""
@llm_load(users=3, duration="2s")
async def test_it(async_llm):
    await async_llm.chat("merhaba")
    os.kill({cluster.scheduler.pid}, signal.SIGSTOP)
"""
    )
    try:
        session = project.run(f"--llm-cluster={cluster.address}", "--llm-warmup=0")
    finally:
        cluster.scheduler.send_signal(signal.SIGCONT)
    assert session.exit == 1
    assert "the scheduler is gone: it did not answer within 2 s" in session.text


def test_what_is_no_address_is_told_before_a_client_is_made_for_it(project, monkeypatch):
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("half of it would be left behind"))
    project.test(f"{HEAD}@llm_load(users=1, iterations=1)\ndef test_it(llm):\n    llm.chat('merhaba')\n")
    session = project.run("--llm-cluster=nowhere")
    assert session.exit == pytest.ExitCode.USAGE_ERROR
    (said,) = filter(None, session.result.errlines)
    assert said.startswith("ERROR: --llm-cluster: no Dask scheduler at nowhere: missing port number")


def test_a_scheduler_that_does_not_answer_ends_the_session_in_one_line(project, monkeypatch):
    monkeypatch.setattr("pytest_llmperf.shards.cluster._PATIENCE_S", 0.2)
    project.test(f"{HEAD}@llm_load(users=1, iterations=1)\ndef test_it(llm):\n    llm.chat('merhaba')\n")
    session = project.run("--llm-cluster=tcp://127.0.0.1:9")
    assert session.exit == pytest.ExitCode.USAGE_ERROR
    (said,) = filter(None, session.result.errlines)
    assert said.startswith("ERROR: --llm-cluster: no Dask scheduler at tcp://127.0.0.1:9")


def test_a_key_among_the_arguments_does_not_go_to_the_workers(project):
    project.test(f"{HEAD}@llm_load(users=1, iterations=1)\ndef test_it(llm):\n    llm.chat('merhaba')\n")
    session = project.run("--llm-cluster=tcp://127.0.0.1:9", "--llm-model=sk-1234567890")
    assert session.exit == pytest.ExitCode.USAGE_ERROR
    (said,) = filter(None, session.result.errlines)
    assert "a key or password is among pytest's arguments" in said
    assert "sk-1234567890" not in said


def test_without_a_scheduler_all_is_lost_and_the_test_fails(project, cluster):
    cluster.complete()
    project.test(
        HEAD
        + f"""
@llm_load(users=3, duration="60s")
async def test_it(async_llm):
    await async_llm.chat("merhaba")
    with open("pids", "a") as file:
        file.write(f"{{os.getpid()}} ")
    try:
        os.kill({cluster.scheduler.pid}, 9)
    except ProcessLookupError:
        pass
"""
    )
    session = project.run(f"--llm-cluster={cluster.address}", "--llm-warmup=0")
    cluster.scheduler.wait()
    assert session.exit == 1
    assert "every process that shared the load is lost: WorkerGoneError: " in session.text
    assert "the scheduler is" in session.text
    ended((project.path / "pids").read_text())
