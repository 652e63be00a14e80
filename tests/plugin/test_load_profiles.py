"""``@llm_load``: bodies run many at once, against the mock on a real socket."""

from __future__ import annotations

import itertools
import json

import pytest

HEAD = """
import asyncio, threading, time
from pytest_llmperf import llm_load

"""


@pytest.fixture
def project(project, one_mock):
    """A project with a quick mock."""
    project.write("slo.yaml", "version: 1\ndefaults: {warmup: 1}\n")
    return project


def load(session, name=""):
    return session.scenario(name)["load"]


BODIES = {
    "threads": "def test_it(llm):\n    llm.chat('merhaba')\n",
    "event loop": "async def test_it(async_llm):\n    await async_llm.chat('merhaba')\n",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    ("profile", "count"),
    [
        ("users=4, iterations=5", 20),
        ("users=4, shared_iterations=10", 10),
        ("users=3, spawn_rate=30, iterations=2, think_time='5ms'", 6),
        ("users=2, iterations=1, think_time='1h'", 2),  # nobody thinks about what does not come
        ("rate=60, duration='0.25s'", 15),
        ("stages=[('0.5s', 60)]", 15),
        ("replay=[0, 0, 0.1, 0.2]", 4),
    ],
)
def test_every_iteration_of_a_profile_is_a_sample(project, body, profile, count):
    project.test(f"{HEAD}@llm_load({profile})\n{BODIES[body]}")
    session = project.run("--llm-gate=off")
    assert session.outcomes() == {"passed": 1}
    scenario = session.scenario()
    assert (scenario["iterations"], scenario["requests"]) == (
        count,
        {"sent": count, "failed": 0, "failures": []},
    )
    assert (load(session)["started"], load(session)["dropped"]) == (count, 0)
    assert sum(load(session)["timeline"]["finished"]) == count
    assert load(session)["timeline"]["in_flight"][-1] == 0


@pytest.mark.parametrize("body", BODIES)
def test_a_duration_ends_users_and_the_ones_under_way_finish(project, body):
    project.test(f"{HEAD}@llm_load(users=4, duration='0.6s')\n{BODIES[body]}")
    session = project.run("--llm-gate=off")
    assert load(session)["started"] == session.scenario()["iterations"] > 4
    assert (load(session)["interrupted"], load(session)["peak"]) == (0, 4)


def test_an_open_loop_shows_a_stall_of_one_second_that_a_closed_one_hides(project):
    """Coordinated omission: everyone who comes during the stall waits for its end, and is counted so."""
    project.write(
        "conftest.py",
        """
        import asyncio, time
        import pytest

        @pytest.fixture
        def server():
            '''Answers at once, but to nobody for one second, from 0.2 s after the first who asks.'''
            began_s = None

            async def answer(async_llm):
                nonlocal began_s
                now_s = time.perf_counter()
                began_s = began_s or now_s
                if 0.2 <= now_s - began_s < 1.2:
                    await asyncio.sleep(began_s + 1.2 - now_s)
                await async_llm.chat("merhaba")

            return answer
        """,
    )
    project.write("slo.yaml", "version: 1\ndefaults: {warmup: 0}\n")
    project.test(
        HEAD
        + """
@llm_load(rate=50, duration="1.5s")
async def test_open(async_llm, server):
    await server(async_llm)

@llm_load(users=1, duration="1.5s")
async def test_closed(async_llm, server):
    await server(async_llm)
"""
    )
    session = project.run("--llm-gate=off")
    opened, closed = (session.scenario(name)["series"]["task_s"] for name in ("test_open", "test_closed"))
    # 50 of 75 arrivals come while nobody is answered, and wait half a second on average.
    assert sum(took_s > 0.1 for took_s in opened) >= 40
    assert sum(took_s > 0.5 for took_s in opened) >= 20
    assert sum(took_s > 0.1 for took_s in closed) <= 8  # the one, and pauses of a busy machine
    assert load(session, "test_open")["peak"] >= 30


def test_what_blocks_the_generator_itself_is_part_of_the_latency_and_told(project):
    project.write("slo.yaml", "version: 1\ndefaults: {warmup: 0}\n")
    project.test(
        HEAD
        + """
blocked = []

@llm_slo(p95_ms=5000)
@llm_load(rate=50, duration="0.8s")
async def test_it(async_llm):
    if not blocked:
        blocked.append(time.sleep(0.4))  # nothing else can run in this event loop
    await async_llm.chat("merhaba")
"""
    )
    session = project.run()
    late = [value for value in session.scenario()["series"]["latency_s"] if value > 0.1]
    assert len(late) >= 10  # due during the block, begun after it
    assert load(session)["health"]["schedule_lag_max_s"] > 0.3
    scenario = session.scenario()
    assert scenario["outcome"] == "inconclusive"
    assert "iterations began" in scenario["reason"]
    assert session.exit == 0


def test_arrivals_beyond_the_most_at_once_are_dropped_counted_and_doubted(project):
    project.test(
        f"{HEAD}@llm_load(rate=100, duration='0.3s', max_concurrency=2)\n"
        "async def test_it(async_llm):\n    await async_llm.chat('merhaba')\n    await asyncio.sleep(0.2)\n"
    )
    session = project.run("--save-baseline")
    told = load(session)
    assert told["planned"] == 30 == told["started"] + told["dropped"]
    assert (told["peak"], told["dropped"] > 20) == (2, True)
    assert f"{told['dropped']} dropped" in session.line("load: 100/s")
    assert "not saved, its times say little" in session.text


def test_a_service_too_slow_for_its_arrivals_fails_although_some_were_dropped(project):
    project.test("""
import asyncio
from pytest_llmperf import llm_load

@llm_slo(p95_ms=20, gate=[])
@llm_load(rate=100, duration="0.2s", max_concurrency=2)
async def test_it(llm_timer):
    with llm_timer("answer"):
        await asyncio.sleep(0.6)
""")
    session = project.run()
    assert load(session)["dropped"] >= 15
    assert (session.scenario()["outcome"], session.exit) == ("failed", 1)
    assert "arrivals were dropped" in session.text


@pytest.mark.parametrize("rhythm", ["users=3, duration='0.2s'", "rate=15, duration='0.2s'"])
def test_what_does_not_finish_in_time_is_cut_off_and_counted(project, rhythm):
    project.test(
        f"{HEAD}@llm_load({rhythm}, graceful_stop='0.1s')\n"
        "async def test_it(async_llm):\n    await async_llm.chat('merhaba')\n    await asyncio.sleep(60)\n",
    )
    session = project.run("--llm-gate=off", "--llm-warmup=0")
    assert (load(session)["interrupted"], load(session)["started"]) == (3, 3)
    assert session.scenario()["iterations"] == 0


def test_a_body_that_hangs_ends_in_the_warm_up_too(project, monkeypatch):
    monkeypatch.setattr("pytest_llmperf.loading.run._WARM_UP_S", 0.1)
    project.test(
        f"{HEAD}@llm_load(users=3, duration='0.1s', graceful_stop='0.1s')\n"
        "async def test_it():\n    await asyncio.sleep(3600)\n",
    )
    session = project.run("--llm-warmup=1")
    assert load(session)["interrupted"] == 3
    assert "the warm-up was cut short: 3 iterations of it did not end" in session.text


@pytest.mark.parametrize("body", ["async def test_it():", "def test_it():"], ids=["event loop", "threads"])
def test_nobody_thinks_while_they_warm_up(project, body):
    project.test(
        f"{HEAD}runs = []\n\n@llm_load(users=2, duration='0.6s', think_time='1h')\n"
        f"{body}\n    runs.append(1)\n\ndef test_all_have_warmed_up():\n    assert len(runs) == 2 * 3 + 2\n"
    )
    assert project.run("--llm-warmup=3").outcomes() == {"passed": 2}


def test_threads_that_do_not_end_in_time_are_left_and_what_they_bring_is_dropped(project):
    project.test(
        f"{HEAD}released, left = threading.Event(), threading.Barrier(3)\n\n"
        "@llm_load(users=2, duration='0.5s', graceful_stop='0.1s')\n"
        "def test_it(llm):\n    released.wait(60)\n    llm.chat('merhaba')\n    left.wait(60)\n"
        "def test_other():\n    released.set()\n    left.wait(60)\n",
    )
    session = project.run("--llm-gate=off", "--llm-warmup=0")
    assert session.outcomes() == {"passed": 2}
    assert (load(session)["interrupted"], session.scenario()["iterations"]) == (2, 0)


def test_a_failing_assert_shows_the_first_failing_iteration(project):
    project.test(
        f"{HEAD}@llm_load(users=3, iterations=4)\n"
        "async def test_it(async_llm):\n"
        "    reply = await async_llm.chat('merhaba')\n    assert reply.text == 'no'\n"
    )
    session = project.run()
    assert session.exit == 1
    session.result.stdout.fnmatch_lines(["*assert reply.text == 'no'*", "*pass_rate 0 % < 100 % (0 of 12*"])


@pytest.mark.parametrize("body", ["def test_it(llm)", "async def test_it(async_llm)"])
@pytest.mark.parametrize(("call", "outcome"), [("skip", "skipped"), ("xfail", "xfailed"), ("fail", "failed")])
def test_what_ends_an_iteration_ends_or_counts(project, body, call, outcome):
    project.test(f"{HEAD}@llm_load(users=3, iterations=4)\n{body}:\n    pytest.{call}('no server today')\n")
    session = project.run("--llm-warmup=0")
    assert session.outcomes() == {outcome: 1}


def test_every_iteration_gets_a_case_of_its_own(project):
    project.test(
        HEAD
        + """
seen = []

@llm_slo(cases=list(range(12)))
@llm_load(users=4, iterations=3)
async def test_it(async_llm, llm_case):
    seen.append(llm_case)
    async_llm.check("small", llm_case < 6)

def test_seen():
    assert sorted(seen) == list(range(12))
"""
    )
    session = project.run("--llm-warmup=0", "--llm-gate=off")
    assert session.outcomes() == {"passed": 2}
    assert session.scenario()["named_checks"][0]["successes"] == 6


def test_requests_of_threads_that_a_test_starts_count_for_the_scenario(project):
    project.test(
        HEAD
        + """
@llm_load(users=2, iterations=2)
def test_it(llm):
    thread = threading.Thread(target=llm.chat, args=("merhaba",))
    thread.start()
    thread.join()
"""
    )
    session = project.run("--llm-gate=off")
    assert (session.scenario()["requests"]["sent"], load(session)["loose"]) == (4, 4)
    assert "4 requests came from threads of the test's own" in session.text


def test_the_profile_is_a_fact_that_a_baseline_must_match(project):
    project.test(f"{HEAD}@llm_load(users=2, iterations=2)\n{BODIES['event loop']}")
    assert project.run().scenario()["facts"]["load profile"] == "2 users, 2 iterations each"


@pytest.mark.parametrize(
    ("arguments", "count"), [(("--llm-quick",), 3), (("--llm-iterations=7",), 7), ((), 40)]
)
@pytest.mark.parametrize("profile", ["users=8, iterations=5", "rate=400, duration='0.1s'"])
def test_the_command_line_limits_the_iterations(project, profile, arguments, count):
    project.test(f"{HEAD}@llm_load({profile})\n{BODIES['event loop']}")
    assert project.run(*arguments).scenario()["iterations"] == count


def test_the_profile_may_stand_in_slo_yaml(project):
    project.write(
        "slo.yaml",
        "version: 1\nscenarios:\n  '*::test_it': {warmup: 0, load: {users: 2, iterations: 3}}\n",
    )
    project.test("@llm_slo(p95_ms=5000)\n" + BODIES["event loop"])
    session = project.run()
    assert load(session)["profile"] == "2 users, 3 iterations each"


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("users=5", "users alone is no load profile: constant users needs duration too."),
        ("user=5", 'user is not an argument of llm_load. Did you mean "users"?'),
        ("rate=5, duration='soon'", "duration: 'soon' is not a duration"),
        (
            "users=5, duration='1s', think_time='normal(1s)'",
            "@llm_load  think_time: 'normal(1s)': it is none",
        ),
        ("replay='nowhere.txt'", "@llm_load  replay: "),
        ("replay=[]", "replay: the list is empty"),
        ("stages=[]", "stages: the list is empty"),
    ],
)
def test_a_wrong_profile_is_a_collection_error(project, mark, said):
    project.test(f"{HEAD}@llm_load({mark})\n{BODIES['event loop']}")
    session = project.run("--strict-markers")
    assert session.outcomes() == {"errors": 1}
    assert said in session.text


def test_positional_arguments_are_a_collection_error(project):
    project.test(f"{HEAD}@pytest.mark.llm_load(5)\n{BODIES['event loop']}")
    assert "takes named arguments only, such as users=50, duration='30s', not 5." in project.run().text


def test_a_wrong_profile_in_slo_yaml_names_its_line(project):
    project.write("slo.yaml", "version: 1\ndefaults:\n  load:\n    user: 5\n")
    project.test("@llm_slo(p95_ms=50)\n" + BODIES["event loop"])
    (said,) = filter(None, project.run().result.errlines)
    assert said == 'ERROR: slo.yaml:4  defaults.load.user  is not a key here. Did you mean "users"?'


def test_a_run_that_goes_wrong_is_aborted_and_fails(project):
    project.test(
        HEAD
        + """
@llm_slo(success_rate=0.5)
@llm_load(users=4, duration="30s", abort_on={"error_rate": 0.2})
async def test_it(async_llm, llm_mock):
    llm_mock.faults(kind="status", status=503)
    await asyncio.sleep(0.01)
    await async_llm.chat("merhaba")
"""
    )
    session = project.run("--llm-warmup=0")
    assert session.scenario()["outcome"] == "failed"
    assert session.scenario()["reason"].startswith("abort_on: 100 % of the last ")


@pytest.mark.parametrize(
    ("body", "limit"),
    [("assert False", {"error_rate": 0.2}), ("await asyncio.sleep(0.002)", {"p95_ms": 1})],
    ids=["failed", "slow"],
)
def test_a_run_of_steps_that_went_wrong_ends_too(project, body, limit):
    project.test(
        HEAD
        + f"""
@llm_load(users=4, duration="30s", abort_on={limit})
async def test_it(llm_timer):
    await asyncio.sleep(0.01)
    async with llm_timer("get"):
        {body}
"""
    )
    session = project.run("--llm-warmup=0")
    assert session.scenario()["reason"].startswith("abort_on: ")


def test_both_arms_share_the_load_in_pairs(project):
    project.test(f"{HEAD}@llm_load(users=4, iterations=10)\n{BODIES['event loop']}")
    session = project.run("--llm-ab=mock")
    scenario = session.scenario()
    assert scenario["iterations"] == 20
    assert (
        len(scenario["compared_with"][0]["series"]["latency_s"]) == len(scenario["series"]["latency_s"]) == 20
    )


def test_pytest_benchmark_cannot_go_with_a_profile(project):
    pytest.importorskip("pytest_benchmark")
    project.test(f"{HEAD}@llm_load(users=4, iterations=10)\ndef test_it(benchmark):\n    benchmark(int)\n")
    session = project.run(plugins=("llmperf", "pytest_benchmark.plugin"))
    assert "it cannot go with @llm_load" in session.text


SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")


@pytest.mark.parametrize(
    ("mark", "plugins", "options"),
    [
        ("@pytest.mark.asyncio", ("pytest_asyncio.plugin",), SCOPE),
        ("", ("pytest_asyncio.plugin",), (*SCOPE, "-o", "asyncio_mode=auto")),
        ("@pytest.mark.anyio", ("anyio", "backend"), ()),
    ],
)
def test_an_async_plugin_runs_the_whole_profile_in_its_event_loop(project, mark, plugins, options):
    project.write(
        "backend.py", "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    project.pytester.syspathinsert()
    project.test(
        f"{HEAD}running = set()\n\n{mark}\n@llm_load(users=4, iterations=2)\n"
        "async def test_it(async_llm):\n    running.add(asyncio.get_running_loop())\n"
        "    await async_llm.chat('merhaba')\n\ndef test_one_loop():\n    assert len(running) == 1\n"
    )
    session = project.run("-W", "error", *options, plugins=("llmperf", *plugins))
    assert session.outcomes() == {"passed": 2}
    assert session.scenario()["iterations"] == 8


def test_a_load_run_can_be_read_back_from_its_report(project):
    project.test(f"{HEAD}@llm_load(users=2, iterations=3)\n{BODIES['event loop']}")
    session = project.run("--llm-gate=off")
    from pytest_llmperf.reports.json import render
    from pytest_llmperf.reports.parse import parse

    text = json.dumps(session.report)
    assert json.loads(render(parse(text, where="run.json")))["scenarios"][0]["load"] == load(session)


def test_connections_are_opened_before_measuring_and_told_apart(project):
    project.test(f"{HEAD}@llm_load(users=3, iterations=4)\n{BODIES['event loop']}")
    session = project.run("--llm-gate=off")
    told = session.scenario()["connections"]
    assert (told["opened"], told["while_measuring"], told["tcp"]["count"]) == (3, 0, 3)
    assert "test_it  connections: 3 opened, none while measuring; set-up" in session.text


def test_connections_that_requests_waited_for_are_counted(project):
    project.test(f"{HEAD}@llm_load(users=3, iterations=4)\n{BODIES['threads']}")
    session = project.run("--llm-gate=off", "--llm-warmup=0")
    assert session.scenario()["connections"]["while_measuring"] == 3
    assert "3 opened, 3 while measuring, which their requests waited for" in session.text


def test_a_server_that_stops_for_a_second_is_in_the_latency_of_all_who_were_due_meanwhile(project):
    """The yardstick is the server's own journal: between two requests that it saw is the stall."""
    project.write("slo.yaml", "version: 1\n")
    project.test(
        HEAD
        + """
import json, os, signal

@pytest.fixture
def journal(llm_mock):
    yield llm_mock
    with open("seen.json", "w") as file:
        json.dump(sorted(request.arrived_s for request in llm_mock.requests), file)

@llm_load(rate=40, duration="2s")
async def test_it(async_llm, llm_mock, journal):
    if not stops:
        stops.append(threading.Timer(0.4, os.kill, (llm_mock.pid, signal.SIGSTOP)))
        stops.append(threading.Timer(1.4, os.kill, (llm_mock.pid, signal.SIGCONT)))
        for timer in stops:
            timer.start()
    await async_llm.chat("merhaba")

stops = []
"""
    )
    session = project.run("--llm-gate=off", "--llm-warmup=0")
    seen = json.loads((project.path / "seen.json").read_text())
    stall_s = max(after - before for before, after in itertools.pairwise(seen))
    assert stall_s > 0.9
    waited = sorted(session.scenario()["series"]["latency_s"])
    for longer_s in (0.2, 0.5, 0.8):
        due_meanwhile = 40 * (stall_s - longer_s)
        assert sum(latency_s > longer_s for latency_s in waited) >= due_meanwhile - 2
    assert load(session)["planned"] == len(waited) == 80


def test_the_interpreter_holds_nobody_up_while_a_load_is_measured_and_is_itself_again_after_that(project):
    head = "import gc, sys\n\ndef now():\n    return gc.get_threshold()[0], sys.getswitchinterval()\n"
    head += "\nSEEN, (OFTEN, LONG) = [], now()\n"
    body = "async def test_it(async_llm):\n    SEEN.append(now()); await async_llm.chat('')\n"
    after = "\ndef test_after():\n    assert now() == (OFTEN, LONG)\n"
    after += "    assert any(often > OFTEN and long < LONG for often, long in SEEN)\n"
    project.test(f"{head}{HEAD}@llm_load(users=1, iterations=2)\n{body}{after}")
    assert project.run("--llm-gate=off").outcomes() == {"passed": 2}
