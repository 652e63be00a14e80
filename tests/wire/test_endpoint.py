from __future__ import annotations

import pytest

from pytest_llmperf.wire.endpoint import openai_url, root_url

CHAT = "/chat/completions"


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1/chat/completions", "http://h:1/v1/chat/completions"),
        ("https://o.ai/api/v1", "https://o.ai/api/v1/chat/completions"),
        ("https://g.com/v1beta/openai", "https://g.com/v1beta/openai/chat/completions"),
        ("http://h:1/proxy", "http://h:1/proxy/v1/chat/completions"),
        (
            "https://x.openai.azure.com/openai/deployments/gpt?api-version=2024-10-21",
            "https://x.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_a_url_is_taken_with_or_without_v1(base, expected):
    assert openai_url(base, CHAT) == expected


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("http://h:1", "http://h:1/api/chat"),
        ("http://h:1/v1", "http://h:1/api/chat"),
        ("http://h:1/api", "http://h:1/api/chat"),
        ("http://h:1/api/chat", "http://h:1/api/chat"),
        ("http://h:1/v1/chat/completions", "http://h:1/api/chat"),
        ("http://h:1/proxy/v1/", "http://h:1/proxy/api/chat"),
    ],
)
def test_what_is_not_versioned_lies_beside_v1(base, expected):
    assert root_url(base, "/api/chat") == expected
