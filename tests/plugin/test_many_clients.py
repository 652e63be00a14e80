"""The same scenario gives the same numbers and verdicts through every client that people use.

LangChain and LiteLLM are in an environment of their own (extra ``clients``), where LLMPERF_CLIENTS=all makes
their absence an error; elsewhere the others are tried.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

PACKAGES = {"llm": None, "openai": "openai", "langchain": "langchain_openai", "litellm": "litellm"}
CLIENTS = [
    name
    for name, package in PACKAGES.items()
    if package is None or os.environ.get("LLMPERF_CLIENTS") == "all" or importlib.util.find_spec(package)
]

SCENARIO = """
import asyncio

ASK = [{"role": "user", "content": "merhaba"}]
USAGE = {"stream_options": {"include_usage": True}}

def by_llm(llm_client, llm, stream):
    llm.chat(ASK, stream=stream)

def by_openai(llm_client, llm, stream):
    asked = {"model": llm_client.model, "messages": ASK}
    client = llm_client.openai(max_retries=0)
    said = client.chat.completions.create(**asked, stream=stream, **(USAGE if stream else {}))
    list(said)

def by_openai_async(llm_client, llm, stream):
    import openai

    async def ask():
        async with openai.AsyncOpenAI(
            base_url=llm_client.base_url, api_key=llm_client.api_key, max_retries=0
        ) as client:
            said = await client.chat.completions.create(
                model=llm_client.model, messages=ASK, stream=stream, **(USAGE if stream else {})
            )
            if stream:
                async for _ in said:
                    pass

    asyncio.run(ask())

def by_langchain(llm_client, llm, stream):
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        base_url=llm_client.base_url, api_key=llm_client.api_key, model=llm_client.model, max_retries=0,
        stream_usage=True,
    )
    list(model.stream("merhaba")) if stream else model.invoke("merhaba")

def by_langchain_transport(llm_client, llm, stream):
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        base_url=llm_client.url, api_key=llm_client.api_key, model=llm_client.model, max_retries=0,
        stream_usage=True, http_client=llm_client.openai()._client,
    )
    list(model.stream("merhaba")) if stream else model.invoke("merhaba")

def by_litellm(llm_client, llm, stream):
    import litellm

    said = litellm.completion(
        model=f"openai/{llm_client.model}", messages=ASK, api_base=llm_client.base_url,
        api_key=llm_client.api_key, stream=stream, max_retries=0, num_retries=0, **(USAGE if stream else {})
    )
    list(said)

def by_litellm_async(llm_client, llm, stream):
    import litellm

    async def ask():
        said = await litellm.acompletion(
            model=f"openai/{llm_client.model}", messages=ASK, api_base=llm_client.base_url,
            api_key=llm_client.api_key, stream=stream, max_retries=0, num_retries=0,
            **(USAGE if stream else {}),
        )
        if stream:
            async for _ in said:
                pass

    asyncio.run(ask())

WAYS = [way for name, way in list(globals().items()) if name[:3] == "by_" and name.split("_")[1] in CLIENTS]

@llm_slo(iterations=3, max_iterations=3, warmup=1)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_app(llm_client, llm, llm_mock, way, stream):
    if FAULT:
        llm_mock.faults(kind=FAULT, **({"status": 503} if FAULT == "status" else {"after": 3}))
    else:
        llm_mock.reply("bir iki üç")
    way(llm_client, llm, stream)
"""


@pytest.fixture
def scenarios(project, monkeypatch):
    """Run the scenario through every client, with the fault that is named; what was measured, by test."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
    monkeypatch.setenv("LITELLM_LOG", "ERROR")

    def scenarios(fault=""):
        project.write("slo.yaml", 'version: 1\nmock: {latency: {ttft: "0", itl: "0"}}\n')
        project.test(f"CLIENTS = {CLIENTS!r}\nFAULT = {fault!r}\n" + SCENARIO)
        session = project.run_apart("--llm-gate=warn", timeout_s=300)
        assert session.report is not None, session.text
        found = {one["name"]: one for one in session.report["scenarios"]}
        expected = {"llm": 1, "openai": 2, "langchain": 2, "litellm": 2}
        assert len(found) == 2 * sum(expected[name] for name in CLIENTS), session.text
        return found

    return scenarios


def test_every_client_counts_the_same_tokens(scenarios):
    for name, one in scenarios().items():
        counted, requests = one["tokens"], one["requests"]
        assert (requests["sent"], requests["failed"]) == (3, 0), name
        assert (counted["input"], counted["output"], counted["sources"]) == (6, 12, ["server"]), name
        assert ("ttft_s" in one["series"]) == ("stream" in name), name


@pytest.mark.parametrize(("fault", "kind"), [("cut", "cut"), ("status", "http_status")])
def test_every_client_gives_a_failure_the_same_kind_and_verdict(scenarios, fault, kind):
    for name, one in scenarios(fault).items():
        if fault == "cut" and "plain" in name:
            continue  # the fault is one of streams
        assert {failure["kind"] for failure in one["requests"]["failures"]} == {kind}, name
        assert one["requests"]["failed"] == one["requests"]["sent"] == 3, name
        assert one["outcome"] == "failed", name
        broken = {check["metric"] for check in one["checks"] if check["outcome"] == "failed"}
        assert broken == {"success_rate"}, name
