"""The official clients drive the mock without complaint."""

from __future__ import annotations

import pytest


def test_the_openai_client_chats_streams_and_lists(start):
    openai = pytest.importorskip("openai", reason="the openai client is not installed")
    server = start(replies=[{"contains": "selam", "text": "merhaba size"}], models=["tiny"])
    with openai.OpenAI(base_url=server.url, api_key="x") as client:
        messages = [{"role": "user", "content": "SELAM"}]
        whole = client.chat.completions.create(model="tiny", messages=messages, n=2, seed=1, temperature=1)
        assert [choice.message.content for choice in whole.choices] == ["merhaba size"] * 2
        options = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(
                model="tiny", messages=messages, stream=True, stream_options=options
            )
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "merhaba size"
        assert chunks[-1].usage.completion_tokens == 4
        assert client.completions.create(model="tiny", prompt="selam").choices[0].text == "merhaba size"
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.embeddings.create(model="tiny", input="a").data[0].embedding
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nope", messages=messages)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="tiny", messages=messages, temperature=-1)


def test_the_openai_client_retries_what_a_script_of_faults_allows(start):
    openai = pytest.importorskip("openai", reason="the openai client is not installed")
    server = start()
    server.faults(kind="rate_limit", retry_after="10ms", times=2)
    with openai.OpenAI(base_url=server.url, api_key="x", max_retries=2) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "a"}])
    assert [request.status for request in server.requests] == [429, 429, 200]


def test_the_ollama_client_chats_streams_and_lists(start):
    ollama = pytest.importorskip("ollama", reason="the ollama client is not installed")
    server = start(
        dialect="ollama", replies=[{"contains": "selam", "text": "merhaba size"}], models=["tiny:latest"]
    )
    client = ollama.Client(host=f"http://127.0.0.1:{server.port}")
    messages = [{"role": "user", "content": "selam"}]
    assert client.chat(model="tiny", messages=messages).message.content == "merhaba size"
    parts = list(client.chat(model="tiny", messages=messages, stream=True))
    assert "".join(part.message.content for part in parts) == "merhaba size"
    assert parts[-1].eval_count == 4
    assert client.generate(model="tiny", prompt="selam").response == "merhaba size"
    assert [model.model for model in client.list().models] == ["tiny:latest"]
    assert client.show("tiny").details.format == "gguf"
    assert [model.model for model in client.ps().models] == ["tiny:latest"]
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.chat(model="nope", messages=messages)
    client._client.close()
