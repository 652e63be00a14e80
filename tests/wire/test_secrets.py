from __future__ import annotations

import base64

import pytest

from pytest_llmperf.wire import secrets

KEY = "sk-live-0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "api-key", "X-Goog-Api-Key",
     "X-Auth-Token", "x-amz-security-token", "X-My-Password", "openai-credential"],
)  # fmt: skip
def test_a_header_that_may_hold_a_secret_is_not_kept(name):
    assert secrets.without_secret_headers([(name, KEY), ("accept", "*/*")]) == [("accept", "*/*")]


@pytest.mark.parametrize("name", ["content-type", "x-request-id", "x-ratelimit-remaining-tokens"])
def test_a_harmless_header_is_kept(name):
    assert secrets.without_secret_headers([(name, "1")]) == [(name, "1")]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models?", "/v1/models?"),
        (f"/v1/x?a=1&api_key={KEY}&b=2", "/v1/x?a=1&api_key=***&b=2"),
        (f"/v1/x?KEY={KEY}", "/v1/x?KEY=***"),
        (f"/v1/x?api%5Fkey={KEY}", "/v1/x?api%5Fkey=***"),
        ("/v1/x?token", "/v1/x?token"),
    ],
)
def test_secret_parameters_of_a_query_are_hidden(target, shown):
    assert secrets.hide_in_target(target) == shown


def test_a_known_secret_is_hidden_in_a_path_too():
    assert secrets.hide_in_target(f"/u/{KEY}/v1", [KEY]) == "/u/***/v1"


def test_secret_fields_of_a_body_are_hidden_at_any_depth():
    body = b'{"model":"m","extra":[{"api_key":"abc"},{"Password":"def"}],"max_tokens":3}'
    assert secrets.hide_in_body(body) == (
        b'{"model": "m", "extra": [{"api_key": "***"}, {"Password": "***"}], "max_tokens": 3}'
    )


@pytest.mark.parametrize(
    "body",
    [b'{"model":"m",  "tools":[{"password":{"type":"string"}}]}', b"not json", b"", b'{"max_tokens": 5}'],
)
def test_a_body_without_a_secret_stays_as_it_is(body):
    assert secrets.hide_in_body(body) == body


def test_a_known_secret_is_hidden_in_a_body_that_is_not_json():
    assert secrets.hide_in_body(b"key " + KEY.encode(), [KEY]) == b"key ***"


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        ("/", [("Authorization", f"Bearer {KEY}")], b""),
        ("/", [("authorization", KEY)], b""),
        ("/", [("X-Api-Key", KEY)], b""),
        ("/", [("Cookie", f"a=b; session={KEY}")], b""),
        ("/", [("Set-Cookie", f"session={KEY}; Path=/")], b""),
        (f"/?api_key={KEY}", [], b""),
        ("/", [], b'{"api_key": "%s"}' % KEY.encode()),
        ("/", [], b'{"a": [{"api_key": "%s"}]}' % KEY.encode()),
        ("/", [("Authorization", f"Basic {base64.b64encode(f'user:{KEY}'.encode()).decode()}")], b""),
    ],
)
def test_a_secret_is_found_wherever_it_is_sent(target, headers, body):
    assert KEY in secrets.secrets_in(target, headers, body)


def test_a_basic_header_that_is_none_is_a_secret_as_a_whole():
    assert "no-base64-!" in secrets.secrets_in("/", [("Authorization", "Basic no-base64-!")])


def test_a_short_value_is_not_looked_for_in_other_places():
    assert (
        secrets.secrets_in("/?key=abc", [("Authorization", "Bearer EMPTY"), ("accept", "*/*")], b"{}") == ()
    )


def test_a_secret_is_known_in_every_form_in_which_it_comes_back():
    found = secrets.secrets_in("/", [("X-Api-Key", 'pass"word/ğü')])
    assert {'pass"word/ğü', 'pass\\"word/ğü', 'pass\\"word/\\u011f\\u00fc'} <= set(found)
    assert "pass%22word%2F%C4%9F%C3%BC" in found
    assert base64.b64encode('pass"word/ğü'.encode()).decode() in found


def test_the_longest_secret_comes_first():
    found = secrets.secrets_in("/", [("x-api-key", KEY), ("x-auth-token", f"{KEY}-and-more")])
    assert [len(one) for one in found] == sorted(map(len, found), reverse=True)


def test_an_echo_is_overwritten_in_place_also_between_two_pieces():
    masked = secrets.mask_echoes([b"your key sk-live-012", b"3456789abcdef is wrong"], [KEY])
    assert masked == [b"your key ***********", b"************* is wrong"]


def test_a_secret_that_a_model_says_token_by_token_is_overwritten():
    pieces = [
        b'data: {"delta":{"content":"key sk-"}}\n\n',
        b'data: {"delta":{"content": "live-0123456789abcdef!"}}\n\n',
    ]
    masked = secrets.mask_echoes(pieces, [KEY])
    assert masked == [
        b'data: {"delta":{"content":"key ***"}}\n\n',
        b'data: {"delta":{"content": "*********************!"}}\n\n',
    ]


def test_an_answer_without_an_echo_stays_as_it_is():
    pieces = [b'data: {"delta":{"content":"sk-"}}\n\n', b"data: [DONE]\n\n"]
    assert secrets.mask_echoes(pieces, [KEY]) == pieces
    assert secrets.mask_echoes(pieces, []) == pieces
