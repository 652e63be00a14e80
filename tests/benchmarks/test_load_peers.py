"""The parts of ``benchmarks/load_peers.py`` that figures could go wrong in without anyone seeing it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"


@pytest.fixture(scope="module", autouse=True)
def _importable():
    """Its modules have plain names, and lie beside the script: they go when these tests are over."""
    before = set(sys.modules)
    sys.path.insert(0, str(PEERS))
    yield
    sys.path.remove(str(PEERS))
    for name in set(sys.modules) - before:
        if str(PEERS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def answered(name, *, arrived_s, ttft_s=0.05, took_s=0.2):
    from work import Answered

    return Answered(
        names=(name,), arrived_s=arrived_s, first_s=arrived_s + ttft_s, ended_s=arrived_s + took_s
    )


def work(*, streams=2, requests=4):
    from work import Work

    return Work(url="http://127.0.0.1:1/v1", streams=streams, requests=requests)


def test_bias_is_what_was_told_less_what_the_log_has_by_name():
    from work import biases

    log = [answered(f"r{at}", arrived_s=at, ttft_s=0.05 + 0.01 * at) for at in range(6)]
    told = {f"r{at}": 0.05 + 0.01 * at + 0.001 * at for at in reversed(range(6))}
    assert biases(told, log, work()) == pytest.approx([0.002, 0.003, 0.004, 0.005])


def test_the_first_requests_are_left_out_of_a_report_that_has_them():
    from work import biases

    log = [answered("slow", arrived_s=0.0), *(answered(f"r{at}", arrived_s=1 + at) for at in range(5))]
    told = {"slow": 9.0, "r0": 9.0, **{f"r{at}": 0.05 for at in range(1, 5)}}
    assert biases(told, log, work()) == pytest.approx([0.0] * 4)


def test_a_report_without_them_is_whole_though_one_came_late():
    from work import biases

    log = [answered(f"r{at}", arrived_s=at) for at in range(4)]
    log += [answered("warm-0", arrived_s=-1.0), answered("warm-1", arrived_s=1.5)]
    assert biases({f"r{at}": 0.05 for at in range(4)}, log, work()) == pytest.approx([0.0] * 4)


def test_a_report_that_lacks_requests_of_the_log_gives_no_figure():
    from work import NotMatchedError, biases

    log = [answered(f"r{at}", arrived_s=at) for at in range(6)]
    with pytest.raises(NotMatchedError, match="3 of 4 requests"):
        biases({f"r{at}": 0.05 for at in range(3, 6)}, log, work())


def test_requests_are_known_by_prompt_text_parts_and_request_id():
    from work import names

    plain = json.dumps({"messages": [{"role": "user", "content": "r1"}]})
    parts = json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "r2"}]}]})
    assert names({}, plain) == ("r1",)
    assert names({"x-request-id": "abc"}, parts) == ("abc", "r2")


def test_processor_time_between_two_looks_is_their_share():
    from process import Used

    used = Used(cpu=((0.0, 0.0), (1.0, 0.5), (2.0, 1.5)), peak_mb=1.0)
    assert used.cpu_between(0.5, 1.5) == pytest.approx(0.75)


def test_a_client_that_does_not_end_is_killed_with_what_it_started(tmp_path):
    from process import ClientFailedError, run

    told = tmp_path / "pid"
    # its child leaves the process group, as daemons do
    command = ["sh", "-c", f"setsid sleep 60 & echo $! > {told}; sleep 60"]
    with pytest.raises(ClientFailedError, match="not done after"):
        run(command, core=0, timeout_s=1.5, LOG=str(tmp_path / "log"))
    pid = int(told.read_text())
    try:
        psutil.Process(pid).wait(10)  # a killed process goes when the system has the time
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        os.kill(pid, signal.SIGKILL)
        raise


def test_a_client_that_fails_tells_its_error(tmp_path):
    from process import ClientFailedError, run

    with pytest.raises(ClientFailedError, match="ended with 1: ValueError: no such model"):
        run([sys.executable, "-c", "raise ValueError('no such model')"], core=0, LOG=str(tmp_path / "log"))


def test_processor_time_of_descendants_is_counted(tmp_path):
    from process import run

    busy = "import time\nwhile time.process_time() < 0.2: pass"
    program = (
        "import subprocess, sys, time\nfor _ in range(3):"
        f" subprocess.run([sys.executable, '-c', {busy!r}])\ntime.sleep(1)"
    )
    used = run([sys.executable, "-c", program], core=0, memory=False, LOG=str(tmp_path / "log"))
    assert 0.55 < used.cpu[-1][1] < 5


def test_a_client_that_has_ended_is_still_looked_at_without_a_word():
    """Its parent, which is the one that looks, has not asked for its status yet."""
    from process import _Watch

    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    watch = _Watch(ended.pid, memory=True)
    watch._see_memory()
    watch.stop()
    ended.wait()
    assert watch.peak_bytes == 0


def test_memory_is_the_clients_own_and_not_of_who_started_it(tmp_path):
    from process import run

    ballast = bytearray(200_000_000)
    used = run(["sleep", "1"], core=0, LOG=str(tmp_path / "log"))
    grown = "import time; kept = bytearray(50_000_000); time.sleep(1)"
    more = run([sys.executable, "-c", grown], core=0, LOG=str(tmp_path / "log"))
    del ballast
    assert 0 < used.peak_mb < 20
    assert 50 < more.peak_mb < 100


def test_the_small_server_answers_and_logs_as_the_mock_does(tmp_path):
    """One bare client asks both; their logs have the same names, and times that fit."""
    from process import run
    from targets import SERVERS
    from work import Work, biases

    for serve in SERVERS.values():
        with serve(0.02, 0.001, 4, 0) as server:
            asked = Work(url=server.url, streams=2, requests=6, spread_s=0.01)
            out = tmp_path / "told.json"
            command = [sys.executable, str(PEERS / "bare.py"), "httptools", asked.json(), str(out)]
            run(command, core=0, memory=False, timeout_s=60, LOG=str(tmp_path / "log"))
            log = server.log()
            found = biases(json.loads(out.read_text()), log, asked)
        assert len(log) == asked.asked
        assert all(0.019 < one.ttft_s < one.ended_s - one.arrived_s for one in log)
        assert found[0] > 0


def results(**more):
    from tables import Paced, Rate, Results

    return Results(
        conditions="5 May 2026",
        paced=[
            Paced(client="async_llm", server="mock", streams=128, biases=[0.0002, 0.0015], cpu_s=0.0005),
            Paced(client="async_llm", server="mock", streams=128, biases=[0.0001], cpu_s=0.0007),
            Paced(client="guidellm", server="mock", streams=128, biases=[0.1, 1.25], cpu_s=0.006),
        ],
        rates=[Rate(client="async_llm", stream=True, per_core_s=6000.0, peak_mb=100.0)],
        **more,
    )


def test_the_rounds_of_a_client_are_one_row_beside_the_others():
    from tables import markdown

    shown = markdown(results()).splitlines()
    assert "| **`async_llm` under `@llm_load`** | 0.2 / 1.5 | 0.6 | 1.0 x |" in shown
    assert "| GuideLLM | 1 200 / 1 200 | 6 | 10.0 x |" in shown
    assert "| **`async_llm` under `@llm_load`** |  |  | 6 000 | 1.00 x | 100 |" in shown


def test_clients_that_failed_are_named_by_reason_without_paths_or_markup():
    from tables import markdown

    why = "no\n/home/me/`model`<b>{x}"
    shown = markdown(results(failures=[f"aiperf, 1 streams: {why}", f"vllm, 32 streams: {why}"]))
    assert "- `no PATH'model'(b>(x}`: aiperf, 1 streams; vllm, 32 streams\n" in shown


def test_the_plot_draws_every_panel_and_no_value_beyond_its_edge():
    import re

    from plot import WIDTH, bars
    from tables import panels

    shown = bars(panels(results()))
    assert shown.count('class="title"') == 4
    ends = [
        float(x) + float(width) for x, width in re.findall(r'x="([\d.]+)" y="\d+" width="([\d.]+)"', shown)
    ]
    assert len(ends) >= 6
    assert max(ends) < WIDTH
