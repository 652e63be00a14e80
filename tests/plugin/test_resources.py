"""What the server uses is sampled while a scenario is measured, and limited."""

from __future__ import annotations

import pytest

import pytest_llmperf.probes.resources  # noqa: F401 - psutil, before pytester forgets it


@pytest.fixture
def quick_mock(project):
    project.write("slo.yaml", "version: 1\nmock: {latency: {ttft: 8ms, itl: 0ms}}\n")
    return project


BODY = """
@llm_slo({limits}, iterations=40, max_iterations=40, warmup=1, gate=[])
def test_chat(llm):
    llm.chat("merhaba")
"""


def test_the_mock_s_own_process_is_sampled(quick_mock):
    quick_mock.test(BODY.format(limits="rss_mb=5000, cpu_percent=400"))
    session = quick_mock.run("-v")
    assert session.exit == 0
    used = session.scenario()["resources"]
    assert 5 < used["usage"]["rss_mb"]["peak"] < 500
    assert {"cpu_percent", "machine_cpu_percent", "generator_cpu_percent", "generator_rss_mb"} <= set(
        used["usage"]
    )
    assert used["missing"] == dict.fromkeys(
        ("gpu_memory_mb", "gpu_percent", "gpu_power_w"), "the mock server uses no GPU"
    )
    assert len(used["at_s"]) == len(used["line"]["rss_mb"]) >= 2
    assert "used: server CPU" in session.line("test_chat  used:")


def test_a_server_that_takes_too_much_memory_fails_the_test(quick_mock):
    quick_mock.test(BODY.format(limits="rss_mb=3"))
    session = quick_mock.run()
    assert session.exit == 1
    assert session.outcomes() == {"failed": 1}
    assert "MB > 3 MB" in session.scenario()["reason"]
    assert session.line("test_chat  used:")


def test_without_a_limit_the_terminal_is_silent_about_it(quick_mock):
    quick_mock.test(BODY.format(limits="p95_ms=1000"))
    session = quick_mock.run()
    assert "used:" not in session.text
    assert session.scenario()["resources"]["usage"]


def test_a_limit_on_what_cannot_be_sampled_is_inconclusive(quick_mock):
    quick_mock.test(BODY.format(limits="gpu_memory_mb=8000"))
    session = quick_mock.run()
    assert session.exit == 0
    assert session.scenario()["outcome"] == "inconclusive"
    assert "gpu_memory_mb peak was not sampled: the mock server uses no GPU" in session.text


def test_a_strict_session_fails_on_what_cannot_be_sampled(quick_mock):
    quick_mock.test(BODY.format(limits="gpu_memory_mb=8000"))
    assert quick_mock.run("--llm-strict=inconclusive").exit == 1


def test_slo_yaml_says_whose_memory_it_is(quick_mock):
    quick_mock.write(
        "slo.yaml",
        "version: 1\n"
        "mock: {latency: {ttft: 8ms, itl: 0ms}}\n"
        "backends: {mock: {kind: mock, process: {pid: mock.pid}}}\n",
    )
    quick_mock.test(BODY.format(limits="rss_mb=5000"))
    session = quick_mock.run()
    assert "no process id can be read from mock.pid" in session.scenario()["checks"][0]["reason"]


def test_a_process_is_named_in_one_way_only(quick_mock):
    quick_mock.write("slo.yaml", "version: 1\nbackends: {vllm: {process: {pid: 1, port: 8000}}}\n")
    quick_mock.test(BODY.format(limits="rss_mb=5000"))
    session = quick_mock.run()
    assert session.exit != 0
    assert "slo.yaml:2  backends.vllm.process" in session.result.stderr.str()


def test_a_test_that_asks_no_server_has_only_the_machine(project):
    project.test(
        """
        @llm_slo(task_p95_ms=1000, rss_mb=100, iterations=2, max_iterations=2, warmup=0, gate=[])
        def test_work():
            pass
        """
    )
    session = project.run()
    scenario = session.scenario()
    assert "machine_memory_mb" in scenario["resources"]["usage"]
    assert "rss_mb peak was not sampled: the test asks no model server" in scenario["reason"]


def test_warm_up_is_not_sampled(quick_mock):
    quick_mock.test(
        """
        import time

        seen = []

        @llm_slo(rss_mb=5000, iterations=2, max_iterations=2, warmup=1, gate=[])
        def test_chat(llm):
            if not seen:
                time.sleep(1.5)
            seen.append(llm.chat("merhaba"))
        """
    )
    assert quick_mock.run().scenario()["resources"]["seconds"] < 1.4


def test_a_quick_look_samples_nothing(quick_mock):
    quick_mock.test(BODY.format(limits="rss_mb=3"))
    session = quick_mock.run("--llm-quick")
    assert session.exit == 0
    assert session.scenario()["resources"]["usage"] == {}


def test_pooled_items_are_one_account(quick_mock):
    quick_mock.test(
        """
        @pytest.mark.parametrize("n", [1, 2])
        @llm_slo(scenario="front", rss_mb=5000, iterations=40, max_iterations=40, warmup=0, gate=[])
        def test_chat(llm, n):
            llm.chat("merhaba")
        """
    )
    session = quick_mock.run()
    used = session.scenario("front")["resources"]
    assert session.exit == 0
    sampled = [point for point in used["line"]["rss_mb"] if point is not None]
    assert len(sampled) == used["usage"]["rss_mb"]["n"] >= 4
