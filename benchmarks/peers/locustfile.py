"""How users of Locust would measure a stream: a user on its fast client, which notes when a token comes.

Locust knows no tokens; its own ``iter_lines`` waits for 1024 bytes at a time. ``READ=readline`` takes the
lines from the response inside instead, as soon as they are there. Run by ``tools.py``, under Locust's Python.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator

import gevent
from locust import FastHttpUser, events, task

WORK = json.loads(os.environ["WORK"])
REQUESTS = WORK["requests"] + WORK["streams"]
PATH = "/v1/chat/completions"
TOLD: dict[str, float] = {}
NUMBERS, USERS, DONE = itertools.count(), itertools.count(), itertools.count(1)


def body(tag: str) -> dict[str, object]:
    asked: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": tag}]}
    return {**asked, "stream": True, "stream_options": {"include_usage": True}} if WORK["stream"] else asked


class Asker(FastHttpUser):
    """Asks again and again; begins at a time of its own within the spread."""

    host = WORK["url"].removesuffix("/v1")
    network_timeout = connection_timeout = 30.0

    def on_start(self) -> None:
        """Begins."""
        gevent.sleep(WORK["spread_s"] * next(USERS) / WORK["streams"])

    @task
    def ask(self) -> None:
        """One request."""
        if (number := next(NUMBERS)) >= REQUESTS:
            gevent.sleep(3600)  # until it is stopped
        tag = f"r{number}"
        try:
            if WORK["stream"]:
                self._stream(tag)
            else:
                self.client.post(PATH, json=body(tag)).json()
        finally:
            if next(DONE) == REQUESTS:
                gevent.spawn(self.environment.runner.quit)

    def _stream(self, tag: str) -> None:
        began_s, first_s = time.perf_counter(), 0.0
        for line in self._lines(body(tag)):
            if not line.startswith("data: {"):
                continue
            choices = json.loads(line[6:])["choices"]
            if not first_s and choices and choices[0]["delta"].get("content"):
                first_s = time.perf_counter()
        TOLD[tag] = first_s - began_s

    def _lines(self, asked: dict[str, object]) -> Iterator[str]:
        if os.environ["READ"] == "iter_lines":
            yield from self.client.iter_lines(PATH, method="POST", json=asked)
            return
        response = self.client.post(PATH, json=asked, stream=True)
        while line := response._response.readline(b"\n"):  # noqa: SLF001 - there is no other way
            yield line.decode()


@events.quitting.add_listener
def keep(**_: object) -> None:
    with open(os.environ["TOLD"], "w") as file:  # noqa: PTH123 - a user's file: as short as it gets
        json.dump(TOLD, file)
