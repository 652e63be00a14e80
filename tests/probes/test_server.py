"""Real processes on this machine, and container engines that are scripts."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys

import psutil
import pytest

from pytest_llmperf.core.backend import ProcessName
from pytest_llmperf.probes import server as probe
from pytest_llmperf.probes.server import NotFoundError, family_of, find_server, is_local

LISTENER = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
listener.set_inheritable(True)
# A worker that holds the socket too, as those of uvicorn and gunicorn do.
wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
worker = subprocess.Popen(wait, stdin=subprocess.PIPE, close_fds=False)
print(listener.getsockname()[1], worker.pid, flush=True)
sys.stdin.read()
worker.stdin.close()
worker.wait()
"""


@pytest.fixture(scope="module")
def listening():
    """A server of two processes that share a listening socket: its pid, its worker's, its port."""
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    port, worker = map(int, process.stdout.readline().split())
    yield process.pid, worker, port
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def find(name=None, url="http://127.0.0.1:9/v1", folder=None):
    return {process.pid for process in find_server(name, url, backend="vllm", folder=folder)()}


def test_a_local_url_means_what_listens_on_its_port_with_its_children(listening):
    pid, worker, port = listening
    assert find(url=f"http://localhost:{port}/v1") == {pid, worker}


def test_a_named_port_wins_over_the_url(listening):
    pid, worker, port = listening
    assert find(ProcessName(port=port), url="http://example.com") == {pid, worker}


def test_a_process_may_be_named_by_its_id(listening):
    pid, worker, _ = listening
    assert find(ProcessName(pid=pid)) == {pid, worker}


def test_a_process_may_be_named_by_a_file_with_its_id(listening, tmp_path):
    pid, worker, _ = listening
    (tmp_path / "vllm.pid").write_text(f"{pid}\n")
    assert find(ProcessName(pid="vllm.pid"), folder=tmp_path) == {pid, worker}


def test_a_file_without_an_id_is_an_error_that_names_the_setting(tmp_path):
    with pytest.raises(
        NotFoundError, match=r"backends\.vllm\.process in slo\.yaml: no process id .* none\.pid"
    ):
        find(ProcessName(pid="none.pid"), folder=tmp_path)


def test_an_id_that_nobody_has_is_an_error():
    with pytest.raises(NotFoundError, match="there is no process 4194303"):
        find(ProcessName(pid=4194303))


def test_a_remote_server_cannot_be_sampled():
    with pytest.raises(
        NotFoundError, match=r"at gpu\.example\.com is not on this machine.*backends\.vllm\.process"
    ):
        find(url="https://user:secret@gpu.example.com/v1")


def test_the_reason_never_shows_credentials():
    with pytest.raises(NotFoundError) as caught:
        find(url="https://user:secret@gpu.example.com/v1")
    assert "secret" not in str(caught.value)


def test_a_port_on_which_nobody_listens_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotFoundError, match=f"port {port} cannot be seen from here"):
        find(url=f"http://127.0.0.1:{port}")


def test_a_server_inside_the_test_process_cannot_be_told_apart():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(NotFoundError, match="inside the test's own process"):
            find(url=f"http://127.0.0.1:{port}")


def test_a_port_forwarder_is_not_taken_for_the_server(listening, monkeypatch):
    monkeypatch.setattr(psutil.Process, "name", lambda _: "docker-proxy")
    with pytest.raises(NotFoundError, match="held by docker-proxy, which only forwards it"):
        find(url=f"http://127.0.0.1:{listening[2]}")


def test_a_port_of_another_user_is_an_error_that_says_so(listening, monkeypatch):
    seen = [one._replace(pid=None) for one in psutil.net_connections("tcp")]
    monkeypatch.setattr(psutil, "net_connections", lambda _: seen)
    with pytest.raises(NotFoundError, match="belongs to another user"):
        find(url=f"http://127.0.0.1:{listening[2]}")


def test_a_system_that_tells_nobody_is_an_error(monkeypatch):
    def refuse(_):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    with pytest.raises(NotFoundError, match="does not tell who listens on port 9"):
        find()


def test_members_that_are_gone_are_no_members():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    members = family_of(process.pid)
    assert [one.pid for one in members()] == [process.pid]
    process.stdin.close()
    process.wait(10)
    assert members() == []


@pytest.mark.parametrize("host", ["localhost", "api.localhost", "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0"])
def test_loopback_is_this_machine(host):
    assert is_local(host)


def test_an_address_of_its_own_is_this_machine():
    own = next(
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family == socket.AF_INET
    )
    assert is_local(own)


@pytest.mark.parametrize("host", ["example.com", "192.0.2.7", "2001:db8::7", ""])
def test_other_hosts_are_not_this_machine(host):
    assert not is_local(host)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Installs a script as docker, or as podman."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr(probe, "_CGROUPS", tmp_path / "cgroup")

    def install(body, name="docker"):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
        return tmp_path

    return install


linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="containers share the kernel on Linux only"
)


@linux
def test_a_container_is_the_process_that_its_engine_names(engine, listening):
    pid, worker, _ = listening
    engine(f'[ "$*" = "container inspect --format {{{{.State.Pid}}}} vllm-1" ] && echo {pid}')
    assert find(ProcessName(container="vllm-1")) == {pid, worker}


@linux
def test_podman_is_asked_when_docker_does_not_know_it(engine, listening):
    engine("echo 'No such container: vllm-1' >&2; exit 1")
    engine(f"echo {listening[0]}", "podman")
    assert find(ProcessName(container="vllm-1")) == set(listening[:2])


@linux
def test_a_container_that_nobody_knows_is_an_error_with_the_engine_s_words(engine):
    engine("echo 'No such container: vllm-1' >&2; exit 1")
    with pytest.raises(NotFoundError, match="container vllm-1: No such container: vllm-1"):
        find(ProcessName(container="vllm-1"))


@linux
def test_a_container_that_stands_still_is_an_error(engine):
    engine("echo 0")
    with pytest.raises(NotFoundError, match="container vllm-1: it is not running"):
        find(ProcessName(container="vllm-1"))


@linux
def test_without_an_engine_a_container_cannot_be_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="neither docker nor podman is installed here"):
        find(ProcessName(container="vllm-1"))


@linux
@pytest.mark.parametrize("line", ["0::/machine/vllm-1", "7:cpu,memory:/machine/vllm-1"])
def test_a_container_is_everything_in_its_control_group(engine, listening, monkeypatch, line):
    pid, worker, _ = listening
    folder = engine(f"echo {worker}")
    group = folder / "cgroup" / ("memory" if "memory" in line else ".") / "machine" / "vllm-1"
    (group / "inner").mkdir(parents=True)
    (group / "cgroup.procs").write_text(f"{worker}\n")
    (group / "inner" / "cgroup.procs").write_text(f"{pid}\n4194303\n")
    read_text = probe.Path.read_text
    monkeypatch.setattr(
        probe.Path,
        "read_text",
        lambda path, *more: (
            f"1:name=systemd:/\n{line}\n" if path.match("/proc/*/cgroup") else read_text(path, *more)
        ),
    )
    assert find(ProcessName(container="vllm-1")) == {pid, worker}


def test_containers_in_a_virtual_machine_cannot_be_seen(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotFoundError, match="virtual machine"):
        find(ProcessName(container="vllm-1"))
