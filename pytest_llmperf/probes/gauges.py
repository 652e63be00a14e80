"""Looks at how busy the model server says it is, on a thread of its own, while a scenario is measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing

from pytest_llmperf.client.pages import UnreadableError
from pytest_llmperf.core.timeline import Reading
from pytest_llmperf.probes.server_metrics import Glances, ServerMetrics

#: Seconds between two looks: vLLM needs some ms for its page, in which it sends no tokens.
EVERY_S = 1.0

#: Seconds for an answer: nobody waits for it, and a server that is slow to tell is worth waiting for.
PATIENCE_S = 5.0

#: Looks that show nothing, one after another, after which a scenario has no more.
ENOUGH = 3


class Gauges:
    """What `core.resources` calls ``server_running``, ``server_waiting`` and ``kv_cache_percent``.

    A server that tells nothing is left alone, and one that does not answer holds nobody up.
    """

    def __init__(
        self, metrics: ServerMetrics, *, every_s: float = EVERY_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._metrics = metrics
        self._glances = Glances(metrics)  # now: what it needs for TLS takes a while to load
        self._every_s = every_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._why = ""
        self.readings: list[Reading] = []  #: so far, on the clock of ``perf_counter``

    def begin(self, tell: Callable[[Reading], object]) -> None:
        """*tell* is called with each reading, from another thread and until `end`."""
        if self._metrics.absent or self._over.is_set():
            return
        self._thread = threading.Thread(target=self._run, args=(tell,), name="llmperf gauges", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more. An answer that is under way is not waited for."""
        with self._lock:
            self._over.set()
        if self._thread is None:
            self._glances.close()

    @property
    def remark(self) -> str:
        """What to know of the readings; empty when all went well, or the server tells nothing."""
        if not self._why:
            return ""
        if not self.readings:
            return (
                f"the server's /metrics could not be read, so its queue and KV cache are unknown: {self._why}"
            )
        return f"the server's /metrics could not be read at times: {self._why}"

    def _run(self, tell: Callable[[Reading], object]) -> None:
        in_vain = 0
        # In the middle of each interval, so that a short run is not told by its first moment.
        due_s = time.perf_counter() + self._every_s / 2
        with closing(self._glances):
            while not self._metrics.absent and in_vain < ENOUGH:
                if self._over.wait(max(0.0, due_s - time.perf_counter())):
                    return
                try:
                    told = self._glances.take(within_s=self._patience_s)
                except UnreadableError as error:
                    told = {}
                    self._note(str(error))
                except Exception as error:  # noqa: BLE001 - a look that breaks ends itself, never the test
                    self._note(type(error).__name__)
                    return
                in_vain = 0 if told else in_vain + 1
                if told:
                    self._take(told, tell)
                late_s = max(0.0, time.perf_counter() - due_s)
                due_s += self._every_s * (1 + late_s // self._every_s)

    def _take(self, told: Mapping[str, float], tell: Callable[[Reading], object]) -> None:
        reading = Reading(at_s=time.perf_counter(), told=told)
        with self._lock:
            if not self._over.is_set():
                self.readings.append(reading)
                tell(reading)

    def _note(self, why: str) -> None:
        with self._lock:
            if not self._over.is_set():
                self._why = why
