"""Answers that were given before. The least recently used one goes when the cache is full."""

from __future__ import annotations

from hashlib import blake2b
from threading import Lock
from unicodedata import normalize

from cachetools import LRUCache


def normalised(prompt):
    """*prompt* with what does not change its meaning made equal: spaces, and ways to write a letter.

    Case stays: it is not for a cache to know in which language I and i are one letter.
    """
    return " ".join(normalize("NFC", prompt).split())


def key_of(prompt, model):
    """Short and the same in every process, unlike hash()."""
    return blake2b(f"{model}\0{normalised(prompt)}".encode(), digest_size=16).digest()


class PromptCache:
    """At most *capacity* answers. Threads may share it."""

    def __init__(self, capacity):
        self._answers = LRUCache(capacity)
        self._lock = Lock()
        self.hits = self.misses = 0

    def get(self, key):
        """The answer, or None."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                self.misses += 1
            else:
                self.hits += 1
            return answer

    def put(self, key, answer):
        with self._lock:
            self._answers[key] = answer

    def __len__(self):
        return len(self._answers)

    @property
    def hit_rate(self):
        return self.hits / max(1, self.hits + self.misses)
