"""Looks at a model server's ``/metrics``."""

from __future__ import annotations

from pytest_llmperf.client.probe import page
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.server_view import Counters
from pytest_llmperf.wire.server_metrics import read


def scrape(backend: Backend) -> Counters | None:
    """What the server of *backend* has counted; None where it tells nothing, whatever the reason."""
    text = page(backend, "/metrics")
    return None if text is None else read(text)
