"""Where the servers of this package listen: on the machine's loopback, and nowhere else."""

from __future__ import annotations

from pytest_llmperf.core.errors import LlmPerfUsageError

ADDRESS = "127.0.0.1"


def check_port(port: int) -> None:
    """Raise LlmPerfUsageError where *port* is none."""
    if not 0 <= port <= 65535:
        raise LlmPerfUsageError(f"--port {port} is no port; expected 0 to 65535")


def check_host(host: str) -> None:
    """Raise LlmPerfUsageError, with the reason, where *host* is another address than loopback."""
    if host not in {ADDRESS, "localhost"}:
        raise LlmPerfUsageError(
            f"--host {host}: it listens on {ADDRESS} alone, because it serves whoever reaches it and asks "
            "for no password. Start it on the machine of its clients, or forward a port to it, as ssh -R and "
            "kubectl port-forward do."
        )
