"""Secrets appear in no text, whatever goes wrong."""

from __future__ import annotations

import base64
import pickle

import pytest

from pytest_llmperf.client.probe import Unreachable, preflight
from pytest_llmperf.client.redact import redact, safe_url
from pytest_llmperf.client.reply import RequestFailed
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError

KEY = "k3y-0123456789"
WORD = "p@ss/w0rd"


def with_credentials(url):
    return url.replace("http://", "http://ada:p%40ss%2Fw0rd@")


def assert_clean(*texts):
    basic = base64.b64encode(f"ada:{WORD}".encode()).decode()
    for text in texts:
        assert not [secret for secret in (KEY, WORD, "p%40ss", basic) if secret in text], text


@pytest.mark.parametrize(
    "body",
    [
        f'{{"error":{{"message":"Incorrect API key provided: {KEY}."}}}}',
        f'{{"detail":"Authorization: Bearer {KEY}"}}',
        f"headers: {{'authorization': 'Bearer {KEY}', 'cookie': 'a={KEY}'}}",
        f"cannot reach http://ada:{WORD}@h/v1",
        f"no such user ada with {WORD}",
        "Basic " + base64.b64encode(f"ada:{WORD}".encode()).decode(),
    ],
    ids=["key", "bearer", "headers", "url", "password", "basic"],
)
def test_an_error_that_repeats_a_secret_is_shown_without_it(body, wire, client, say):
    server = wire([say.plain(body.encode(), "401 Unauthorized")])
    for asker in (client(server.url, api_key=KEY), client(with_credentials(server.url), api_key=KEY)):
        with pytest.raises(RequestFailed) as caught:
            asker.chat("hi")
        # without the password in its URL a client cannot know it: then only patterns help
        if "@" in asker._client.backend.url or WORD not in body:
            assert_clean(str(caught.value), repr(caught.value), repr(asker.exchange), str(caught.value.args))


def test_a_backend_shows_neither_key_nor_url_password(client):
    asker = client(with_credentials("http://127.0.0.1:9"), api_key=KEY)
    assert_clean(repr(asker._client.backend), asker._client.url, repr(asker._client))
    assert asker._client.url == "http://127.0.0.1:9"


def test_an_unreachable_server_is_named_without_credentials(client):
    asker = client(with_credentials("http://127.0.0.1:9"), api_key=KEY)
    with pytest.raises(RequestFailed, match="connection refused") as caught:
        asker.chat("hi")
    backend = Backend(name="b", kind="openai", url=with_credentials("http://127.0.0.1:9"), api_key=KEY)
    with pytest.raises(
        Unreachable, match=r"http://127\.0\.0\.1:9/v1/models: connection refused"
    ) as unreachable:
        preflight(backend)
    assert_clean(str(caught.value), str(unreachable.value))


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://ada:pw12@h", "http://", "http://ada:pw12@h:port", "http://[::"]
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url, client):
    with pytest.raises(LlmPerfUsageError) as caught:
        client(url)
    assert "pw12" not in str(caught.value)


def test_an_unknown_dialect_is_refused(client):
    with pytest.raises(LlmPerfUsageError, match="backend b: kind 'grpc' is none of openai, ollama"):
        client("http://h", kind="grpc")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-proj-abcdef123456 is bad", "key *** is bad"),
        ("Authorization: Bearer abc.def-123", "Authorization: ***"),
        ('{"authorization": "Basic YWRhOnBhc3M="}', '{"authorization": "***"}'),
        ("Set-Cookie: session=1; path=/", "Set-Cookie: ***"),
        ("GET /x?api_key=abcd&a=1", "GET /x?api_key=***&a=1"),
        ("http://ada:pass@host/v1", "http://***@host/v1"),
        ("x-api-key: abcd", "x-api-key: ***"),
        ("the bearer of bad news", "the bearer of bad news"),
        ("a task-oriented risk-averse model", "a task-oriented risk-averse model"),
        ("50 tokens used", "50 tokens used"),
    ],
)
def test_what_looks_like_a_secret_goes_and_words_stay(text, shown):
    assert redact(text) == shown


def test_a_short_secret_does_not_blank_out_words():
    assert redact("an example", ["e", "", None]) == "an example"


def test_all_forms_of_a_secret_go():
    assert redact("abc/def abc%2Fdef YWJjL2RlZg==", ["abc/def"]) == "*** *** ***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ada:pw@h:1/v1?api_key=x#y", "https://h:1/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("http://ada:pw@[::", "http://***@[::"),
    ],
)
def test_a_safe_url_has_no_user_password_or_query(url, shown):
    assert safe_url(url) == shown


def test_a_failed_request_pickles(wire, client, say):
    with pytest.raises(RequestFailed) as caught:
        client(wire([say.plain({}, "500 Oops")]).url).chat("hi")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.failure, copy.exchange) == (
        "http_status: HTTP 500: {}",
        caught.value.failure,
        caught.value.exchange,
    )
