from __future__ import annotations

import pytest

from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.estimate import estimated_tokens


def test_a_backend_never_shows_its_key():
    backend = Backend(name="vllm", kind="openai", url="http://h/v1", api_key="sk-secret")
    assert "sk-secret" not in repr(backend)


def test_a_backend_never_shows_credentials_in_its_url():
    backend = Backend(name="vllm", kind="openai", url="http://user:secret@h/v1")
    assert "secret" not in repr(backend)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcde", 2), ("a b c d", 4), ("bugün neler yapacağız", 6)]
)
def test_a_text_is_estimated_by_words_or_characters(text, tokens):
    assert estimated_tokens(text) == tokens
