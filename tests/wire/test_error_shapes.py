from __future__ import annotations

import pytest

from pytest_llmperf.core.exchange import FailureKind
from pytest_llmperf.wire.errors import MAX_EXCERPT, failure_of_finish, failure_of_status

CONTEXT = FailureKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"boom","type":"t","code":400}}', "HTTP 400: boom"),
        (b'{"object":"error","message":"boom","code":400}', "HTTP 400: boom"),
        (b'{"error":"boom"}', "HTTP 400: boom"),
        (b'{"error":"model \'x\' not found"}', "HTTP 400: model 'x' not found"),
        (b'{"detail":"Not Found"}', "HTTP 400: Not Found"),
        (b'{"detail":[{"loc":["body","messages"],"msg":"Field required"}]}', "HTTP 400: Field required"),
        (b'{"message":"boom"}', "HTTP 400: boom"),
        (b"Bad\r\n  Gateway", "HTTP 400: Bad Gateway"),
        (b"<html>nginx</html>", "HTTP 400: <html>nginx</html>"),
        (b"[1]", "HTTP 400: [1]"),
        (
            b'{"error":{"error":{"error":{"error":"deep"}}}}',
            'HTTP 400: {"error":{"error":{"error":{"error":"deep"}}}}',
        ),
        (b'"\xff"', 'HTTP 400: "\ufffd"'),
        (b'{"error":"\\u001b[2J\\u202egone"}', r"HTTP 400: \x1b[2J\u202egone"),
        (b"", "HTTP 400"),
    ],
    ids=[
        "openai",
        "older-vllm",
        "text",
        "ollama",
        "fastapi",
        "validation",
        "message",
        "lines",
        "html",
        "array",
        "deep",
        "bytes",
        "control",
        "empty",
    ],
)
def test_the_words_for_people_are_found(body, said):
    failure = failure_of_status(400, body)
    assert (failure.kind, failure.message, failure.status) == (FailureKind.HTTP_STATUS, said, 400)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens.",
        "request (6012 tokens) exceeds the available context size (1024 tokens), try increasing it",
        "Requested tokens (2048) exceed context window of 512",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
        "the input length exceeds the context length",
        "Trying to keep the first 5000 tokens when context the overflows",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_a_prompt_that_does_not_fit_is_known_by_what_servers_say(message):
    assert failure_of_status(400, f'{{"error":{{"message":"{message}"}}}}'.encode()).kind is CONTEXT


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"no","code":"context_length_exceeded"}}',
        b'{"error":{"message":"no","type":"exceed_context_size_error"}}',
    ],
)
def test_a_prompt_that_does_not_fit_is_known_by_its_code(body):
    assert failure_of_status(400, body).kind is CONTEXT


def test_a_prompt_that_the_error_repeats_does_not_change_its_kind():
    body = b'{"error":{"message":"no","code":500,"input":"what is a maximum context length?"}}'
    assert failure_of_status(500, body).kind is FailureKind.HTTP_STATUS


def test_azure_content_filter():
    body = b'{"error":{"message":"no","innererror":{"code":"ResponsibleAIPolicyViolation"}}}'
    assert failure_of_status(400, body).kind is FailureKind.CONTENT_FILTER


def test_a_long_body_is_cut_to_an_excerpt():
    message = failure_of_status(500, b"x" * 5000).message
    assert len(message) == len("HTTP 500: ") + MAX_EXCERPT
    assert message.endswith("…")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "eos_token", "function_call"])
def test_regular_ends_are_no_failures(reason):
    assert failure_of_finish(reason) is None
