"""One question through every client that people use, as a module of a user's tests.

Tests copy it into a project of its own and choose by the environment: TOKENS, how long an answer may be;
FAULT, what the mock does wrong, if it is the mock; DOOMED, the process group of a server that is killed when
the application has read the fourth piece of a stream. Clients whose package is missing are left out, unless
LLMPERF_CLIENTS=all makes that an error.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from contextlib import suppress

import pytest

from pytest_llmperf import llm_slo
from pytest_llmperf.client.attempt import Attempt

PACKAGES = {
    "llm": "pytest_llmperf",
    "openai": "openai",
    "langchain": "langchain_openai",
    "litellm": "litellm",
}
ALL = os.environ.get("LLMPERF_CLIENTS") == "all"
FAULT = os.environ.get("FAULT", "")
DOOMED = os.environ.get("DOOMED", "")

ASK = [{"role": "user", "content": "merhaba"}]
HOW = {"max_tokens": int(os.environ["TOKENS"]), "temperature": 0}
USAGE = {"stream_options": {"include_usage": True}}


class Reader:
    """The application's eyes: counts the pieces of one answer."""

    def __init__(self):
        self.read = 0

    def __call__(self, _piece):
        self.read += 1
        if DOOMED and self.read == 4:
            with suppress(ProcessLookupError):
                os.killpg(int(DOOMED), signal.SIGKILL)

    def all(self, said):
        for piece in said:
            self(piece)

    async def all_async(self, said):
        async for piece in said:
            self(piece)


def by_llm(llm_client, llm, stream, monkeypatch):
    if DOOMED:  # chat() hands over nothing before the end: look where it reads
        read, take = Reader(), Attempt.bodies

        def bodies(attempt, pieces, arrived_s):
            take(attempt, pieces, arrived_s)
            read.all(pieces)

        monkeypatch.setattr(Attempt, "bodies", bodies)
    llm.chat(ASK, stream=stream, **HOW)


def by_openai(llm_client, llm, stream, monkeypatch):
    client = llm_client.openai(max_retries=0)
    asked = {"model": llm_client.model, "messages": ASK, **HOW}
    said = client.chat.completions.create(**asked, stream=stream, **(USAGE if stream else {}))
    Reader().all(said if stream else [])


def by_openai_async(llm_client, llm, stream, monkeypatch):
    import openai

    async def ask():
        async with openai.AsyncOpenAI(
            base_url=llm_client.base_url, api_key=llm_client.api_key, max_retries=0
        ) as client:
            asked = {"model": llm_client.model, "messages": ASK, **HOW}
            said = await client.chat.completions.create(**asked, stream=stream, **(USAGE if stream else {}))
            if stream:
                await Reader().all_async(said)

    asyncio.run(ask())


def by_openai_async_transport(llm_client, llm, stream, monkeypatch):
    async def ask():
        async with llm_client.async_openai(max_retries=0) as client:
            asked = {"model": llm_client.model, "messages": ASK, **HOW}
            said = await client.chat.completions.create(**asked, stream=stream, **(USAGE if stream else {}))
            if stream:
                await Reader().all_async(said)

    asyncio.run(ask())


def by_langchain(llm_client, llm, stream, monkeypatch):
    from langchain_openai import ChatOpenAI

    where = {"base_url": llm_client.base_url, "api_key": llm_client.api_key, "model": llm_client.model}
    model = ChatOpenAI(**where, **HOW, max_retries=0, stream_usage=True)
    Reader().all(model.stream("merhaba")) if stream else model.invoke("merhaba")


def by_langchain_transport(llm_client, llm, stream, monkeypatch):
    from langchain_openai import ChatOpenAI

    where = {"base_url": llm_client.url, "api_key": llm_client.api_key, "model": llm_client.model}
    measured = llm_client.openai()._client
    model = ChatOpenAI(**where, **HOW, max_retries=0, stream_usage=True, http_client=measured)
    Reader().all(model.stream("merhaba")) if stream else model.invoke("merhaba")


def _litellm(llm_client, stream):
    where = {"api_base": llm_client.base_url, "api_key": llm_client.api_key, "max_retries": 0}
    asked = {"model": f"openai/{llm_client.model}", "messages": ASK, "stream": stream, **HOW}
    return {**where, **asked, "num_retries": 0, **(USAGE if stream else {})}


def by_litellm(llm_client, llm, stream, monkeypatch):
    import litellm

    said = litellm.completion(**_litellm(llm_client, stream))
    Reader().all(said if stream else [])


def by_litellm_async(llm_client, llm, stream, monkeypatch):
    import litellm

    async def ask():
        said = await litellm.acompletion(**_litellm(llm_client, stream))
        if stream:
            await Reader().all_async(said)

    asyncio.run(ask())


WAYS = [
    way
    for name, way in list(globals().items())
    if name.startswith("by_") and (ALL or importlib.util.find_spec(PACKAGES[name.split("_")[1]]))
]


@llm_slo(
    p50_ms=60_000,
    output_tokens=2,
    iterations=1 if DOOMED else 3,
    max_iterations=1 if DOOMED else 3,
    warmup=0 if DOOMED else 1,
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_app(llm_client, llm, request, monkeypatch, way, stream):
    if llm.backend == "mock":
        mock = request.getfixturevalue("llm_mock")
        if FAULT:
            mock.faults(kind=FAULT, **({"status": 503} if FAULT == "status" else {"after": 3}))
        else:
            mock.reply("bir iki üç")
    way(llm_client, llm, stream, monkeypatch)
