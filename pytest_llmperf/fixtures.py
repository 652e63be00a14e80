"""The fixtures. Each imports what it gives when a test asks for it, so that plain pytest stays light."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.markers import is_scenario
from pytest_llmperf.sharing import rig_for, rig_of

if TYPE_CHECKING:
    from pytest_llmperf.client.reply import Reply
    from pytest_llmperf.llm import AsyncLlm, Llm, Prompt, Show
    from pytest_llmperf.llm_client import LlmClient
    from pytest_llmperf.mock.process import MockServer
    from pytest_llmperf.rig import Rig
    from pytest_llmperf.timer import Timer
    from pytest_llmperf.tokens import TokenCounter


@pytest.fixture
def llm(request: pytest.FixtureRequest) -> Iterator[Llm]:
    """The selected model backend (--llm-backend): llm.chat(...), llm.complete(...), llm.check(...)."""
    from pytest_llmperf.ab import Arm
    from pytest_llmperf.client.sync import Client
    from pytest_llmperf.llm import Llm
    from pytest_llmperf.scenario import log_of, switch_of

    with _usage_errors():
        rig = rig_for(request.node)
        log, count = log_of(request.node), rig.counter
        clients = {arm: Client(backend, log, count=count) for arm, backend in rig.arms.items()}
        shared = _shared(request, rig)
    switch = switch_of(request.node)
    yield Llm(lambda: clients.get(switch.arm, clients[Arm.CANDIDATE]), **shared)
    for client in clients.values():
        client.close()


@pytest.fixture
def async_llm(request: pytest.FixtureRequest) -> AsyncLlm:
    """The selected model backend, awaitable. Needs no async plugin, and works beside them."""
    from pytest_llmperf.ab import Arm
    from pytest_llmperf.client.aio import AsyncClient
    from pytest_llmperf.llm import AsyncLlm
    from pytest_llmperf.scenario import ASYNC_CLOSERS, log_of, switch_of

    with _usage_errors():
        rig = rig_for(request.node)
        log, count = log_of(request.node), rig.counter
        clients = {arm: AsyncClient(backend, log, count=count) for arm, backend in rig.arms.items()}
        shared = _shared(request, rig)
    request.node.stash.setdefault(ASYNC_CLOSERS, []).extend(client.close for client in clients.values())
    switch = switch_of(request.node)
    # Nobody tells when the event loop of an ordinary test is about to end.
    return AsyncLlm(
        lambda: clients.get(switch.arm, clients[Arm.CANDIDATE]),
        keeps_connections=is_scenario(request.node),
        **shared,
    )


@pytest.fixture
def llm_client(request: pytest.FixtureRequest) -> Iterator[LlmClient]:
    """For a client that is not ours: llm_client.base_url, openai(), http_client() ... are measured."""
    from pytest_llmperf.llm_client import LlmClient
    from pytest_llmperf.scenario import ASYNC_CLOSERS, log_of, switch_of

    with _usage_errors():
        rig, item = rig_for(request.node), request.node
        client = LlmClient(
            log_of(item),
            switch_of(item),
            rig.arms,
            key=rig.client_key,
            relay=lambda: rig.relay,
            count=rig.counter,
        )
    item.stash.setdefault(ASYNC_CLOSERS, []).append(client.aclose)
    yield client
    client.close()


@pytest.fixture(scope="session")
def llm_setup(request: pytest.FixtureRequest) -> str:
    """The label of the set-up that the test runs on, where several are compared; else empty."""
    return str(getattr(request, "param", ""))


@pytest.fixture
def llm_case(request: pytest.FixtureRequest) -> Any:
    """The running iteration's case, from @llm_slo(cases=...)."""
    from pytest_llmperf.scenario import first_case

    with _usage_errors():
        # For fixtures that ask for it; the body gets another one in every iteration.
        return first_case(request.node, rig_for(request.node))


@pytest.fixture
def llm_mock(request: pytest.FixtureRequest) -> Iterator[MockServer]:
    """The mock model server, a real HTTP server on loopback; what a test changes is undone after it."""
    with _usage_errors():
        server = rig_of(request.config).mock
    server.reset()  # of requests too: a test sees its own only
    yield server
    server.reset()


@pytest.fixture
def llm_tokens(request: pytest.FixtureRequest) -> TokenCounter:
    """A token counter: call it with a text or messages; the count knows who counted (.source)."""
    with _usage_errors():
        return rig_for(request.node).counter


@pytest.fixture
def llm_timer(request: pytest.FixtureRequest) -> Timer:
    """Times anything: each run of a block or a function under it is a sample, with limits and a baseline."""
    from pytest_llmperf.ending import counted_by_a_request, counts_for_a_step
    from pytest_llmperf.scenario import log_of
    from pytest_llmperf.timer import Timer

    return Timer(log_of(request.node), counts=counts_for_a_step, excuses=counted_by_a_request)


def _shared(request: pytest.FixtureRequest, rig: Rig) -> dict[str, Any]:
    """What Llm and AsyncLlm take besides their client."""
    from pytest_llmperf.scenario import log_of, marks_for, slo_of

    own_role = slo_of(request.node, rig).role if is_scenario(request.node) else None

    def roles(name: str | None) -> Mapping[str, Any]:
        return rig.role(name or own_role).params

    show = _printer(request.config) if rig.options.show_replies else None
    return {
        "roles": roles,
        "check": log_of(request.node).check,
        "show": show,
        "mark": marks_for(request.node, rig),
    }


def _printer(config: pytest.Config) -> Show:
    """Print a prompt and its reply past pytest's capture."""
    from pytest_llmperf.reports.plain import plain

    capture = config.pluginmanager.getplugin("capturemanager")

    def show(prompt: Prompt, reply: Reply) -> None:
        asked = prompt if isinstance(prompt, str) else str(prompt[-1].get("content", ""))
        with capture.global_and_fixture_disabled():
            sys.stdout.write(f"\n> {plain(asked)}\n< {plain(reply.text)}\n")

    return show


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn what the user can mend into a failure without our traceback."""
    try:
        yield
    except LlmPerfUsageError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
