"""Looks at a model server's ``/metrics``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from pytest_llmperf.client.pages import Pages, UnreadableError
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.server_view import Counters
from pytest_llmperf.wire.server_metrics import gauges, gauges_alone, read

_PATH = "/metrics"

#: For the look before and after a scenario, which waits for it.
_WAIT_S = 1.0


class ServerMetrics:
    """The ``/metrics`` of one server."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.absent = False  #: whether it is known that the server has no such page
        self._silent = False  #: whether it was waited for in vain

    def counters(self) -> Counters | None:
        """What the server has counted so far, None for nothing; it is not waited for twice in vain."""
        if self.absent or self._silent:
            return None
        try:
            with closing(Pages(self.backend)) as pages:
                text = pages.read(_PATH, within_s=_WAIT_S)
        except UnreadableError:
            self._silent = True
            return None
        self.absent = text is None
        return None if text is None else read(text)


class Glances:
    """How busy the server of *metrics* is, looked at again and again on one connection."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self.metrics = metrics
        self._pages = Pages(metrics.backend)
        self._alone: str | None = None  #: the path for the gauges alone, where there is one
        self._seen = False  # whether there were gauges: SGLang and TGI have none before their first request

    def take(self, *, within_s: float) -> Mapping[str, float]:
        """See `wire.server_metrics.gauges`; nothing where the server tells none.

        Raises UnreadableError where it may tell, and no answer came.
        """
        alone, self._alone = self._alone, None
        if alone is not None and (told := gauges(self._pages.read(alone, within_s=within_s) or "")):
            self._alone = alone  # else it is not tried again: a gateway may know nothing of it
            return told
        text = self._pages.read(_PATH, within_s=within_s)
        if text is None:
            self.metrics.absent = True
            return {}
        told = gauges(text)
        if told and not self._seen:
            self._seen, self._alone = True, gauges_alone(text)
        return told

    def close(self) -> None:
        """Look no more."""
        self._pages.close()
