"""The chain is measured through a URL, and from inside by the HTTP client that it is given."""

from __future__ import annotations

import pytest

from pytest_llmperf import llm_slo

pytest.importorskip("langchain_openai")

import chain


@llm_slo(cases="tickets.yaml")
def test_it_is_given_a_url(llm_client, llm_case):
    sorting = chain.sorting(llm_client.model, base_url=llm_client.base_url, api_key=llm_client.api_key)
    assert sorting.invoke({"ticket": llm_case["ticket"]})["team"] == llm_case["team"]


@llm_slo(cases="tickets.yaml")
def test_it_is_given_an_http_client(llm_client, llm_case):
    sorting = chain.sorting(
        llm_client.model,
        base_url=llm_client.url,
        api_key=llm_client.api_key,
        http_client=llm_client.http_client(),
    )
    assert sorting.invoke({"ticket": llm_case["ticket"]})["team"] == llm_case["team"]
