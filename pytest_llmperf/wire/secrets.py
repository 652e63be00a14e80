"""What must not be written down of an exchange: keys, cookies, passwords, and their echoes."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, quote, unquote_plus

from pytest_llmperf.wire.json_value import loads

HIDDEN = "***"
Headers = Sequence[tuple[str, str]]

_SECRET_PARTS = ("auth", "cookie", "credential", "key", "passw", "secret", "token")
_HARMLESS_HEADERS = frozenset(
    {"sec-websocket-key", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens"}
)
_SECRET_NAMES = frozenset(
    {
        "access_key",
        "access_token",
        "api_key",
        "api_token",
        "apikey",
        "auth",
        "auth_token",
        "authorization",
        "bearer",
        "client_secret",
        "cookie",
        "credential",
        "credentials",
        "hf_token",
        "id_token",
        "key",
        "passwd",
        "password",
        "private_key",
        "refresh_token",
        "secret",
        "session_token",
        "sig",
        "signature",
        "token",
        "x_api_key",
    }
)
_SAID = re.compile(
    rb'"(?:arguments|content|reasoning|reasoning_content|response|text|thinking)"\s*:\s*"((?:[^"\\]|\\.)*)"'
)
_SHORTEST = 8  #: a shorter value ("EMPTY", "test") is an ordinary word too, and is not looked for elsewhere


def is_secret_header(name: str) -> bool:
    """Whether the value of a header of that name may be a secret."""
    lower = name.lower()
    return lower not in _HARMLESS_HEADERS and any(part in lower for part in _SECRET_PARTS)


def is_secret_name(name: str) -> bool:
    """Whether a query parameter or a field of a request body of that name holds a secret."""
    return name.lower().replace("-", "_") in _SECRET_NAMES


def without_secret_headers(headers: Headers) -> list[tuple[str, str]]:
    """*headers* but those that may hold a secret."""
    return [(name, value) for name, value in headers if not is_secret_header(name)]


def hide_in_target(target: str, known: Iterable[str] = ()) -> str:
    """The path and query of a request, the values of secret parameters and *known* secrets hidden."""
    path, mark, query = target.partition("?")
    shown = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        shown.append(f"{name}={HIDDEN}" if equals and is_secret_name(unquote_plus(name)) else part)
    hidden = f"{path}{mark}{'&'.join(shown)}"
    for secret in known:
        hidden = hidden.replace(secret, HIDDEN)
    return hidden


def hide_in_body(body: bytes, known: Iterable[str] = ()) -> bytes:
    """A request's body with secret fields hidden, and the *known* secrets wherever they stand.

    A body without a secret comes back as it is, to the byte.
    """
    if (value := _json(body)) is not None and any(True for _ in _fields(value)):
        body = json.dumps(_hidden(value), ensure_ascii=False).encode("utf-8", "surrogatepass")
    for secret in known:
        body = body.replace(secret.encode("utf-8", "surrogatepass"), HIDDEN.encode())
    return body


def mask_echoes(pieces: Sequence[bytes], known: Iterable[str]) -> list[bytes]:
    """*pieces* of one answer with the *known* secrets overwritten by asterisks of the same length.

    A secret that is split between pieces is found too, and so is one that a model says token by token;
    all lengths stay.
    """
    whole = b"".join(pieces)
    if hidden := [secret.encode("utf-8", "surrogatepass") for secret in known]:
        whole = _masked(whole, hidden)
        whole = _mask_said(whole, hidden)
    masked = []
    at = 0
    for piece in pieces:
        masked.append(whole[at : at + len(piece)])
        at += len(piece)
    return masked


def secrets_in(target: str, headers: Headers, body: bytes = b"") -> tuple[str, ...]:
    """The secret values that an exchange shows, in every form in which they may come back.

    Longest first, so that hiding one does not leave the rest of another.
    """
    found: set[str] = set()
    for name, value in headers:
        if is_secret_header(name):
            found |= _header_secrets(name, value)
    for name, value in parse_qsl(target.partition("?")[2]):
        if is_secret_name(name):
            found.add(value)
    if body and (parsed := _json(body)) is not None:
        found.update(_fields(parsed))
    long = {secret for secret in found if len(secret) >= _SHORTEST}
    return tuple(
        sorted({form for secret in long for form in _forms(secret)}, key=lambda one: (-len(one), one))
    )


def _masked(data: bytes, secrets: Iterable[bytes]) -> bytes:
    for secret in secrets:
        data = data.replace(secret, b"*" * len(secret))
    return data


def _mask_said(body: bytes, secrets: Iterable[bytes]) -> bytes:
    """*body* with the secrets hidden in the texts of its events as if these were one text."""
    spans = [found.span(1) for found in _SAID.finditer(body)]
    said = b"".join(body[start:end] for start, end in spans)
    hidden = _masked(said, secrets)
    if hidden == said:
        return body
    out, at = bytearray(body), 0
    for start, end in spans:
        out[start:end] = hidden[at : at + end - start]
        at += end - start
    return bytes(out)


def _header_secrets(name: str, value: str) -> set[str]:
    if "cookie" in name.lower():
        return {part.partition("=")[2].strip() for part in value.split(";")}
    scheme, _, rest = value.strip().partition(" ")
    secrets = {rest.strip() or scheme}
    if scheme.lower() == "basic":
        try:
            user_and_password = b64decode(rest, validate=True).decode()
        except ValueError:
            return secrets
        secrets |= {user_and_password, user_and_password.partition(":")[2]}
    return secrets


def _forms(secret: str) -> set[str]:
    as_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    encoded = b64encode(secret.encode("utf-8", "surrogatepass")).decode()
    return {secret, as_json, json.dumps(secret)[1:-1], quote(secret, safe="", errors="replace"), encoded}


def _json(body: bytes) -> object:
    try:
        return loads(body)
    except ValueError:
        return None


def _fields(value: object) -> Iterable[str]:
    """The values of secret fields anywhere in *value*."""
    if isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, str) and is_secret_name(name):
                yield one
            else:
                yield from _fields(one)
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one)


def _hidden(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: HIDDEN if isinstance(one, str) and is_secret_name(name) else _hidden(one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    return value
