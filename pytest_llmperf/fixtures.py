"""The fixtures. Each imports what it gives when a test asks for it, so that plain pytest stays light."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
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
    from pytest_llmperf.rig.rig import Rig
    from pytest_llmperf.timer import Timer
    from pytest_llmperf.tokens import TokenCounter


@pytest.fixture
def llm(request: pytest.FixtureRequest) -> Iterator[Llm]:
    """The selected model backend (--llm-backend): llm.chat(...), llm.complete(...), llm.check(...)."""
    with _llm(request.node) as given:
        yield given


@contextmanager
def _llm(item: pytest.Item) -> Iterator[Llm]:
    from pytest_llmperf.ab.arms import Arm
    from pytest_llmperf.client.sync import Client
    from pytest_llmperf.items import log_of, switch_of
    from pytest_llmperf.llm import Llm

    with _usage_errors():
        rig = rig_for(item)
        log, count = log_of(item), rig.servers.counter
        opened = log.connections.add
        clients = {
            arm: Client(backend, log, count=count, opened=opened) for arm, backend in rig.servers.arms.items()
        }
        shared = _shared(item, rig)
    switch = switch_of(item)
    yield Llm(lambda: clients.get(switch.arm, clients[Arm.CANDIDATE]), **shared)
    for client in clients.values():
        client.close()


@pytest.fixture
def async_llm(request: pytest.FixtureRequest) -> Iterator[AsyncLlm]:
    """The selected model backend, awaitable. Needs no async plugin, and works beside them."""
    with _async_llm(request.node) as given:
        yield given


@contextmanager
def _async_llm(item: pytest.Item) -> Iterator[AsyncLlm]:
    from pytest_llmperf.ab.arms import Arm
    from pytest_llmperf.client.aio import AsyncClient
    from pytest_llmperf.items import closers_of, log_of, switch_of
    from pytest_llmperf.llm import AsyncLlm

    with _usage_errors():
        rig = rig_for(item)
        log, count = log_of(item), rig.servers.counter
        opened = log.connections.add
        clients = {
            arm: AsyncClient(backend, log, count=count, opened=opened)
            for arm, backend in rig.servers.arms.items()
        }
        shared = _shared(item, rig)
    closers_of(item).extend(client.close for client in clients.values())
    switch = switch_of(item)
    # Nobody tells when the event loop of an ordinary test is about to end.
    yield AsyncLlm(
        lambda: clients.get(switch.arm, clients[Arm.CANDIDATE]),
        keeps_connections=is_scenario(item),
        **shared,
    )


@pytest.fixture
def llm_client(request: pytest.FixtureRequest) -> Iterator[LlmClient]:
    """For a client that is not ours: llm_client.base_url, openai(), http_client() ... are measured."""
    with _llm_client(request.node) as given:
        yield given


@contextmanager
def _llm_client(item: pytest.Item) -> Iterator[LlmClient]:
    from pytest_llmperf.items import closers_of, log_of, switch_of
    from pytest_llmperf.llm_client import LlmClient

    with _usage_errors():
        rig = rig_for(item)
        client = LlmClient(
            log_of(item),
            switch_of(item),
            rig.servers.arms,
            key=rig.servers.client_key,
            relay=lambda: rig.servers.relay,
            count=rig.servers.counter,
        )
    closers_of(item).append(client.aclose)
    yield client
    client.close()


@pytest.fixture(scope="session")
def llm_setup(request: pytest.FixtureRequest) -> str:
    """The label of the set-up that the test runs on, where several are compared; else empty."""
    return str(getattr(request, "param", ""))


@pytest.fixture
def llm_case(request: pytest.FixtureRequest) -> Any:
    """The running iteration's case, from @llm_slo(cases=...)."""
    with _llm_case(request.node) as given:
        return given


@contextmanager
def _llm_case(item: pytest.Item) -> Iterator[Any]:
    from pytest_llmperf.items import first_case

    with _usage_errors():
        # For fixtures that ask for it; the body gets another one in every iteration.
        case = first_case(item)
    yield case


@pytest.fixture
def llm_mock(request: pytest.FixtureRequest) -> Iterator[MockServer]:
    """The mock model server, a real HTTP server on loopback; what a test changes is undone after it."""
    with _llm_mock(request.node) as given:
        yield given


@contextmanager
def _llm_mock(item: pytest.Item) -> Iterator[MockServer]:
    with _usage_errors():
        server = rig_of(item.config).companions.mock
    server.reset()  # of requests too: a test sees its own only
    yield server
    server.reset()


@pytest.fixture
def llm_tokens(request: pytest.FixtureRequest) -> TokenCounter:
    """A token counter: call it with a text or messages; the count knows who counted (.source)."""
    with _llm_tokens(request.node) as given:
        return given


@contextmanager
def _llm_tokens(item: pytest.Item) -> Iterator[TokenCounter]:
    with _usage_errors():
        counter = rig_for(item).servers.counter
    yield counter


@pytest.fixture
def llm_timer(request: pytest.FixtureRequest) -> Timer:
    """Times anything: each run of a block or a function under it is a sample, with limits and a baseline."""
    with _llm_timer(request.node) as given:
        return given


@contextmanager
def _llm_timer(item: pytest.Item) -> Iterator[Timer]:
    from pytest_llmperf.ending import counted_by_a_request, counts_for_a_step
    from pytest_llmperf.items import log_of
    from pytest_llmperf.timer import Timer

    yield Timer(log_of(item), counts=counts_for_a_step, excuses=counted_by_a_request)


#: What the fixtures give to an item that pytest has not set up: the members of a mix run together.
GIVEN: dict[str, Callable[[pytest.Item], AbstractContextManager[Any]]] = {
    "llm": _llm,
    "async_llm": _async_llm,
    "llm_client": _llm_client,
    "llm_case": _llm_case,
    "llm_mock": _llm_mock,
    "llm_tokens": _llm_tokens,
    "llm_timer": _llm_timer,
}


def _shared(item: pytest.Item, rig: Rig) -> dict[str, Any]:
    """What Llm and AsyncLlm take besides their client."""
    from pytest_llmperf.items import log_of, marks_for, slo_of

    own_role = slo_of(item).role if is_scenario(item) else None

    @functools.cache  # it is asked in every iteration, and never changes
    def roles(name: str | None) -> Mapping[str, Any]:
        return rig.role(name or own_role).params

    show = _printer(item.config) if rig.options.show_replies else None
    return {
        "roles": roles,
        "check": log_of(item).check,
        "show": show,
        "mark": marks_for(item),
    }


def _printer(config: pytest.Config) -> Show:
    """Print a prompt and its reply past pytest's capture."""
    from pytest_llmperf.core.plain import plain

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
