from __future__ import annotations

import pytest

from planner import Server, build


class Clock:
    """Time that passes when somebody sleeps: back-off and recovery cost the tests nothing."""

    def __init__(self):
        self.now_s = 0.0
        self.slept_s = []

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.slept_s.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(llm_mock):
    """The application's own client, talking to the mock over a real socket."""
    llm_mock.latency(ttft="constant(1ms)", itl="constant(0ms)")
    server = Server(llm_mock.url)
    yield server
    server.close()


@pytest.fixture
def planner(server, clock):
    return build(server.ask, clock=clock, sleep=clock.sleep)
