from __future__ import annotations

import json
import pickle
import socket
import sys

import pytest

from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.estimate import estimated_tokens
from pytest_llmperf.core.exchange import TokenSource
from pytest_llmperf.tokens import TokenCount, TokenCounter

HI = [{"role": "user", "content": "merhaba dünya"}]


def backend(server, **how):
    return Backend(**{"name": "b", "kind": "openai", "url": server.url + "/v1", "model": "m", **how})


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("a", 1), ("a b c", 3), ("abcdefgh", 2), ("abcdefghi", 3), ("bugün neler yapacağız", 6)],
)
def test_the_estimate_is_words_or_a_quarter_of_the_characters(text, count):
    assert estimated_tokens(text) == count


def test_vllm_counts_a_text(wire, say):
    server = wire([say.plain({"count": 3, "tokens": [1, 2, 3], "max_model_len": 9})])
    with TokenCounter(backend(server)) as counter:
        count = counter("import json")
    assert (count, count.source, count.name) == (3, TokenSource.SERVER, "server /tokenize")
    assert server.requests[0].startswith(b"POST /tokenize ")
    assert server.bodies[0]["prompt"] == "import json"


def test_vllm_counts_messages_with_their_template(wire, say):
    server = wire([say.plain({"count": 12})])
    with TokenCounter(backend(server)) as counter:
        assert counter(HI) == 12
    assert server.bodies[0] == {"model": "m", "messages": HI}


def test_llama_cpp_counts_only_the_text_of_messages_and_says_so(wire, say):
    server = wire([say.plain({"tokens": []})], [say.plain({"tokens": [1, 2]})])
    with TokenCounter(backend(server)) as counter:
        count = counter(
            [*HI, {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image"}]}]
        )
    assert (count, count.name) == (2, "server /tokenize, without the chat template")
    assert server.bodies[1]["content"] == "merhaba dünya\nx"


def test_a_server_without_tokenize_is_asked_once(wire, say):
    server = wire([say.plain({"detail": "Not Found"}, "404 Not Found")])
    with TokenCounter(backend(server)) as counter:
        counts = [counter("a b c"), counter("a b c")]
    assert [(count, count.source, count.name) for count in counts] == [
        (3, TokenSource.ESTIMATE, "estimate")
    ] * 2
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [{"error": "no"}, b"<html>"], ids=["error", "page"])
def test_an_answer_that_counts_nothing_is_none(answer, wire, say):
    server = wire([say.plain(answer)])
    with TokenCounter(backend(server, model=None)) as counter:
        assert counter("a").source is TokenSource.ESTIMATE


def test_without_a_server_there_is_the_estimate():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with TokenCounter(Backend(name="b", kind="openai", url=url)) as counter:
        assert counter(HI).source is TokenSource.ESTIMATE


def test_ollama_is_not_asked_because_it_cannot_count(wire, say):
    server = wire([say.whole])
    TokenCounter(backend(server, kind="ollama"))("a b")
    assert server.requests == []


def test_a_local_tokenizer_counts(tmp_path, wire, say):
    pytest.importorskip("tokenizers")
    path = tmp_path / "words.json"
    path.write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "pre_tokenizer": {"type": "Whitespace"},
                "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "merhaba": 1}, "unk_token": "[UNK]"},
            }
        )
    )
    counter = TokenCounter(backend(wire([say.whole]), kind="ollama"), tokenizer=path)
    count = counter("merhaba güzel dünya")
    assert (count, count.source, count.name) == (3, TokenSource.TOKENIZER, "tokenizer words.json")


def test_a_broken_tokenizer_is_named(tmp_path):
    pytest.importorskip("tokenizers")
    with pytest.raises(LlmPerfUsageError, match=r"nowhere\.json is not a tokenizer\.json"):
        TokenCounter(Backend(name="b", kind="openai", url="http://h"), tokenizer=tmp_path / "nowhere.json")


def test_without_the_package_a_tokenizer_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(LlmPerfUsageError, match=r"pytest-llmperf\[tokenizers\]"):
        TokenCounter(Backend(name="b", kind="openai", url="http://h"), tokenizer=tmp_path / "t.json")


def test_a_count_is_a_number_that_pickles_with_its_source():
    count = TokenCount(3, TokenSource.SERVER, "server /tokenize")
    copy = pickle.loads(pickle.dumps(count))
    assert (copy, copy.source, copy.name) == (3, TokenSource.SERVER, "server /tokenize")
    assert repr(copy) == "<TokenCount 3 by server /tokenize>"
    assert copy + 1 == 4
