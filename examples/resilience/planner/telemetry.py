"""What happened, in numbers."""

from __future__ import annotations

from collections import Counter
from threading import Lock


class Telemetry:
    """Counters that threads may share."""

    def __init__(self):
        self._counts = Counter()
        self._lock = Lock()

    def count(self, name, amount=1):
        with self._lock:
            self._counts[name] += amount

    def __getitem__(self, name):
        return self._counts[name]
