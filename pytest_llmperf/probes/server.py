"""Which processes of this machine are the model server."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from pytest_llmperf.core.backend import ProcessName

#: The server's processes right now.
Members = Callable[[], list[psutil.Process]]

#: Programs that hold a port for somebody else: their memory says nothing about the server.
FORWARDERS = {
    "com.docker.backend",
    "conmon",
    "docker-proxy",
    "gvproxy",
    "kubectl",
    "limactl",
    "pasta",
    "rootlessport",
    "slirp4netns",
    "socat",
    "ssh",
    "sshd",
    "vpnkit",
}
_ENGINES = ("docker", "podman")
_ENGINE_S = 10.0
_CGROUPS = Path("/sys/fs/cgroup")


class NotFoundError(Exception):
    """The server's processes cannot be sampled; the text says why, and what to configure."""


def find_server(name: ProcessName | None, url: str, *, backend: str, folder: Path) -> Members:
    """How to list the processes of *backend*: as *name* says, else those behind the port of *url*.

    *folder* is where a file with a process id is looked for. Raises NotFoundError.
    """
    setting = f"backends.{backend}.process in slo.yaml"
    if name is not None and name.container is not None:
        return _container(name.container)
    if name is not None and name.pid is not None:
        return _family([_by_id(name.pid, folder, setting)])
    if name is not None and name.port is not None:
        return _family([_listening(name.port, setting)])
    parts = urlsplit(url)
    if not is_local(parts.hostname or ""):
        raise NotFoundError(
            f"the server at {parts.hostname} is not on this machine; if it is, {setting} can say which "
            "process it is (pid, port or container)"
        )
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return _family([_listening(port, setting)])


def family_of(pid: int) -> Members:
    """How to list the process *pid* and its descendants. Raises NotFoundError."""
    return _family([_process(pid)])


def is_local(host: str) -> bool:
    """Whether *host* is this machine, as far as can be told without asking a name server."""
    if host == "localhost" or host.endswith(".localhost") or host == socket.gethostname():
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    own = (one.address for addresses in psutil.net_if_addrs().values() for one in addresses)
    return host in own


def _process(pid: int) -> psutil.Process:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        raise NotFoundError(f"there is no process {pid}") from None


def _by_id(pid: int | str, folder: Path, setting: str) -> psutil.Process:
    if isinstance(pid, int):
        return _process(pid)
    try:
        return _process(int((folder / pid).read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise NotFoundError(f"{setting}: no process id can be read from {pid} ({error})") from None


def _listening(port: int, setting: str) -> psutil.Process:
    """The process that listens on *port*: of several that share the socket, the ancestor."""
    try:
        pids = {one.pid for one in psutil.net_connections("tcp") if _listens(one, port)}
    except psutil.AccessDenied:  # macOS tells nobody but root
        raise NotFoundError(f"this system does not tell who listens on port {port}: set {setting}") from None
    known = sorted(pid for pid in pids if pid)
    if not known:
        why = "belongs to another user" if pids else "cannot be seen from here"
        raise NotFoundError(f"what listens on port {port} {why}: set {setting} (pid or container)")
    process = _process(known[0])
    if process.pid == os.getpid():
        raise NotFoundError(
            "the server runs inside the test's own process, so what it uses cannot be told apart"
        )
    if (program := process.name().removesuffix(".exe")) in FORWARDERS:
        raise NotFoundError(
            f"port {port} is held by {program}, which only forwards it: set {setting} (pid or container)"
        )
    with suppress(psutil.Error):
        for parent in process.parents():
            if parent.pid == os.getpid() or not any(
                _listens(one, port) for one in parent.net_connections("tcp")
            ):
                break
            process = parent
    return process


def _listens(connection: Any, port: int) -> bool:  # Any: psutil gives several kinds of tuples
    bound: bool = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    return bound


def _family(roots: Sequence[psutil.Process]) -> Members:
    def members() -> list[psutil.Process]:
        found: dict[int, psutil.Process] = {}
        for root in roots:
            with suppress(psutil.Error):
                if root.is_running():
                    found |= {one.pid: one for one in (root, *root.children(recursive=True))}
        return list(found.values())

    return members


def _container(name: str) -> Members:
    """The processes of a container, also those that ``exec`` started, by its control group."""
    if not sys.platform.startswith("linux"):
        raise NotFoundError(
            "containers run in a virtual machine on this system, whose processes cannot be seen"
        )
    first = _process(_first_of(name))
    folder = _control_group(first.pid)
    family = _family([first])
    if folder is None:
        return family

    def members() -> list[psutil.Process]:
        found = []
        with suppress(OSError):
            for file in folder.rglob("cgroup.procs"):
                for pid in file.read_text().split():
                    with suppress(psutil.Error):
                        found.append(psutil.Process(int(pid)))
        return found or family()

    return members


def _first_of(name: str) -> int:
    """The process id of a running container's first process."""
    engines = [engine for engine in _ENGINES if shutil.which(engine)]
    if not engines:
        raise NotFoundError(f"container {name}: neither docker nor podman is installed here")
    said = ""
    for engine in engines:
        command = [engine, "container", "inspect", "--format", "{{.State.Pid}}", name]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=_ENGINE_S, check=False)  # noqa: S603 - a checked name
        except (OSError, subprocess.TimeoutExpired) as error:
            said = f"{engine} does not answer ({type(error).__name__})"
            continue
        if result.returncode == 0 and result.stdout.strip().isdecimal():
            if pid := int(result.stdout):
                return pid
            said = "it is not running"
        else:
            said = said or (result.stderr.strip().splitlines() or ["it is not known"])[0][:200]
    raise NotFoundError(f"container {name}: {said}")


def _control_group(pid: int) -> Path | None:
    """The folder of the control group that *pid* alone, or its container, is in; None when it is shared."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            number, kind, path = line.split(":", 2)
            if path == "/" or path.startswith("/.."):
                continue  # this process is in a container itself and sees another tree
            folder = _CGROUPS / path.lstrip("/") if number == "0" else _CGROUPS / "memory" / path.lstrip("/")
            if (number == "0" or "memory" in kind.split(",")) and (folder / "cgroup.procs").exists():
                return folder
    return None
