"""What has to be true of the workers of a cluster before they carry out a load."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.mock.process import start_mock
from pytest_llmperf.shards import cluster, cluster_worker
from pytest_llmperf.shards.cluster import Cluster
from pytest_llmperf.shards.cluster_crew import OnWorkers, Worker, WorkerGoneError
from pytest_llmperf.shards.cluster_worker import PROJECT, Unpassed, _relay, digests, look
from pytest_llmperf.shards.meeting import GO, OVER, PATIENCE_S, LoopbackMeeting
from pytest_llmperf.shards.shard import Spec


@dataclass
class Client:
    """A `distributed.Client` of which two workers say what they are told to."""

    versions: dict[str, object] = field(default_factory=dict)
    threads: int = 1

    def scheduler_info(self, n_workers):
        assert n_workers == -1
        return {"workers": {at: {"name": name, "nthreads": self.threads} for name, at in self._names()}}

    @staticmethod
    def _names():
        return [("w1", "tcp://10.0.0.1:1"), ("w2", "tcp://10.0.0.2:1")]

    def run(self, question, *arguments, on_error):
        assert on_error == "return"
        if question is not look:
            return {at: self.versions.get(name, cluster.own_version()) for name, at in self._names()}
        return {at: question(*arguments) for _, at in self._names()}


def examine(client, root, *, files=(), mock_url=None, parts=None):
    found = Cluster(client)
    found.examine(root=root, files=files, mock_url=mock_url, parts=parts)
    return found


def test_a_worker_with_another_version_is_named_with_both_versions(tmp_path):
    with pytest.raises(LlmPerfUsageError) as caught:
        examine(Client(versions={"w2": "0.0.9"}), tmp_path)
    own = cluster.own_version()
    assert (
        f"worker w2 (tcp://10.0.0.2:1) has pytest-llmperf 0.0.9, and this session pytest-llmperf {own}"
        in str(caught.value)
    )


def test_a_worker_without_the_package_is_named(tmp_path):
    missing = importlib.metadata.PackageNotFoundError("pytest-llmperf")
    with pytest.raises(LlmPerfUsageError, match="has no pytest-llmperf"):
        examine(Client(versions={"w1": missing}), tmp_path)


def test_a_worker_without_the_project_is_told_how_to_find_it(tmp_path, monkeypatch):
    (tmp_path / "test_it.py").touch()
    monkeypatch.setenv(PROJECT, str(tmp_path / "elsewhere"))
    with pytest.raises(LlmPerfUsageError, match=r"has no test_it\.py in .*elsewhere.*LLMPERF_PROJECT"):
        examine(Client(), tmp_path, files=[tmp_path / "test_it.py"])


def test_a_worker_with_another_revision_of_a_file_is_named(tmp_path, monkeypatch):
    for folder, text in (("here", "1"), ("there", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test_it.py").write_text(text)
    monkeypatch.setenv(PROJECT, str(tmp_path / "there"))
    with pytest.raises(LlmPerfUsageError, match=r"w1.*has another test_it\.py"):
        examine(Client(), tmp_path / "here", files=[tmp_path / "here" / "test_it.py"])


def test_a_part_is_moved_to_where_the_worker_has_the_project(tmp_path, monkeypatch):
    monkeypatch.setenv(PROJECT, "/srv/project")
    found = examine(Client(), tmp_path)
    assert {worker.root for worker in found.workers} == {"/srv/project"}
    spec = Spec(
        node_ids=("test_it.py::test_it",),
        arguments=(f"--rootdir={tmp_path}", f"--llm-slo-file={tmp_path}/slo.yaml", f"{tmp_path}-else/a"),
        directory=f"{tmp_path}/tests",
        index=0,
        of=1,
        meeting=LoopbackMeeting(port=1, token=""),
    )
    moved = spec.moved(str(tmp_path), "/srv/project")
    assert moved.directory == "/srv/project/tests"
    rootdir, slo_file, other = moved.arguments
    assert (rootdir, slo_file) == ("--rootdir=/srv/project", "--llm-slo-file=/srv/project/slo.yaml")
    assert other == f"{tmp_path}-else/a"


def test_a_mock_server_that_a_worker_cannot_reach_is_an_error(tmp_path):
    with pytest.raises(LlmPerfUsageError, match=r"worker w1 .* cannot reach this session's mock server"):
        examine(Client(), tmp_path, mock_url="http://127.0.0.1:1")


def test_a_mock_server_on_the_same_machine_is_reached(tmp_path):
    mock = start_mock()
    try:
        assert examine(Client(), tmp_path, mock_url=mock.url).workers
    finally:
        mock.stop()


def test_more_parts_than_threads_are_an_error_that_names_the_worker(tmp_path):
    with pytest.raises(
        LlmPerfUsageError, match=r"3 parts on 2 workers are 2 at once on w1 .* has room for 1"
    ):
        examine(Client(), tmp_path, parts=3)


def test_more_parts_than_workers_are_spread_where_there_are_threads(tmp_path):
    assert len(examine(Client(threads=2), tmp_path, parts=4).workers) == 2


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LlmPerfUsageError, match=r"pip install 'pytest-llmperf\[cluster\]'"):
        cluster.check()


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    (tmp_path / "a").write_text("a")
    there, gone = digests(str(tmp_path), ["a", "b"])
    assert there
    assert gone == ""


class Executors:
    """A client whose executors keep what they are given."""

    def __init__(self):
        self.given = []

    def get_executor(self, *, workers, pure, retries):
        assert (pure, retries) == (False, 0)
        return Keeping(self.given, workers)


@dataclass
class Keeping:
    given: list
    workers: list

    def submit(self, _):
        future = Future()
        self.given.append((self.workers, future))
        return future


def crew(client):
    workers = [Worker(address=f"tcp://10.0.0.{n}:1", name=f"w{n}", threads=1) for n in (1, 2)]
    return OnWorkers(client, workers, root="", done=lambda: None)


def test_parts_take_turns_on_the_workers_and_never_move():
    client = Executors()
    executor = crew(client)
    for _ in range(3):
        executor.submit(print)
    assert [workers for workers, _ in client.given] == [
        ["tcp://10.0.0.1:1"],
        ["tcp://10.0.0.2:1"],
        ["tcp://10.0.0.1:1"],
    ]


def test_only_the_part_of_the_worker_that_is_gone_is_lost():
    client = Executors()
    executor = crew(client)
    first, second = executor.submit(print), executor.submit(print)
    executor.lose_others({"tcp://10.0.0.2:1": 1})
    with pytest.raises(WorkerGoneError, match=r"the worker w1 \(tcp://10\.0\.0\.1:1\) is gone"):
        first.result(0)
    client.given[1][1].set_result("told")
    assert second.result(0) == "told"


def test_what_dask_gives_up_is_lost():
    client = Executors()
    future = crew(client).submit(print)
    client.given[0][1].cancel()
    with pytest.raises(WorkerGoneError):
        future.result(0)


def test_what_breaks_on_a_worker_names_the_worker():
    client = Executors()
    future = crew(client).submit(print)
    client.given[0][1].set_exception(OSError("disk full"))
    with pytest.raises(WorkerGoneError, match=r"on w1 \(tcp://10\.0\.0\.1:1\): OSError: disk full"):
        future.result(0)


class Says:
    """What parts and the leading session share at the scheduler, where everything is said already."""

    def __init__(self, *pulses, begin=True):
        self.pulses = list(pulses)
        self.begin = SimpleNamespace(wait=lambda **_: begin)
        self.told = []
        self.news = SimpleNamespace(put=self.told.append)
        self.pulse = SimpleNamespace(get=self._pulse)

    def _pulse(self, **_):
        return self.pulses.pop(0) if self.pulses else None

    @staticmethod
    def ask(question, *arguments, **named):
        return question(*arguments, **named)


class Host:
    """Notes what a part, or its keeper, is told."""

    def __init__(self):
        self.said = []

    def say(self, words):
        self.said.append(words)

    def keeper(self, index):
        return SimpleNamespace(
            interrupt=lambda seconds: self.said.append(("interrupt", index, seconds)),
            kill=lambda why: self.said.append(("kill", index, why)),
        )


class Looks:
    """An event that is set after some looks."""

    def __init__(self, count):
        self.count = count

    def wait(self, _):
        self.count -= 1
        return self.count < 0


def relayed(names, *, looks=1, words=()):
    heard, host = Unpassed(), Host()
    for one in words:
        heard.add(one)
    _relay(names, host, 1, heard, Looks(looks))
    return host.said


def test_a_worker_passes_on_what_its_part_says_and_the_word_to_go():
    names = Says((1, []))
    assert relayed(names, words=[{"ready": True}]) == [GO]
    assert names.told == [[1, {"begun": True}], [1, {"ready": True}]]


def test_a_worker_passes_each_order_on_once_and_only_what_is_meant_for_its_part():
    orders = [[None, {"stop": "enough"}], [0, {"kill": "another part"}], [1, {"kill": "it hangs"}]]
    said = relayed(Says((1, orders[:1]), (2, orders), (3, orders)), looks=3)
    assert said == [GO, {"stop": "enough"}, ("kill", 1, "it hangs")]


def test_ctrl_c_reaches_a_part_that_did_not_begin():
    said = relayed(Says((1, [[None, {"interrupt": 9.0}]]), begin=False))
    assert said == [OVER, ("interrupt", 1, 9.0)]


def test_a_part_is_interrupted_when_nothing_is_heard_of_the_leading_session(monkeypatch):
    monkeypatch.setattr(cluster_worker, "SILENT_S", -1.0)
    assert relayed(Says()) == [GO, OVER, ("interrupt", 1, PATIENCE_S)]


def test_no_request_is_lost_on_the_way_to_the_leading_session():
    heard = Unpassed()
    heard.add({"ended": [[0.1], []], "done": 1})
    heard.add({"measured": ""})
    heard.add({"ended": [[0.2], [None]], "done": 3})
    assert heard.take() == {"ended": [[0.1, 0.2], [None]], "done": 3, "measured": ""}
    assert heard.take() == {}
