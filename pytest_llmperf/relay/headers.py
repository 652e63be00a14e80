"""Which headers of a request and of an answer go through."""

from __future__ import annotations

from pytest_llmperf.client.encoding import readable
from pytest_llmperf.relay.watch import Headers

#: They speak of one connection, not of the message (RFC 9110, 7.6.1), and Expect was answered already.
_OF_THE_CONNECTION = {
    b"connection",
    b"expect",
    b"keep-alive",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"upgrade",
}
_FRAMING = {b"content-length", b"transfer-encoding", b"trailer", b"host"}


def request_head(
    first: tuple[str, list[tuple[str, str]]],
    headers: Headers,
    *,
    body_bytes: int | None,
    placeholder: str | None,
    authorization: list[tuple[str, str]],
) -> bytes:
    """The head that goes to the server.

    A header that holds *placeholder* gives way to *authorization*; of the accepted content codings
    those stay that can be read back.
    """
    line, own = first
    hidden = None if placeholder is None else placeholder.encode()
    lines = [line.encode("latin-1"), *_lines(own)]
    trusted = False
    for name, value in headers:
        lower = name.lower()
        if lower in _OF_THE_CONNECTION or lower in _FRAMING:
            continue
        if hidden is not None and hidden in value:
            trusted = True
        elif lower == b"accept-encoding":
            lines.append(name + b": " + readable(value.decode("latin-1")).encode("latin-1"))
        else:
            lines.append(name + b": " + value)
    if trusted:
        lines += _lines(authorization)
    if body_bytes is not None:
        lines.append(b"Content-Length: " + str(body_bytes).encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def answer_head(raw: bytes, *, close: bool) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The head that goes to the client, and its headers as they came.

    The framing of the body stays as it is, for the body does too.
    """
    first, *lines = raw.split(b"\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    kept = [
        line for line, (name, _) in zip(lines, headers, strict=True) if name.lower() not in _OF_THE_CONNECTION
    ]
    if close:
        kept.append(b"Connection: close")
    return b"\r\n".join([first, *kept]) + b"\r\n\r\n", headers


def _lines(headers: list[tuple[str, str]]) -> list[bytes]:
    return [f"{name}: {value}".encode("latin-1") for name, value in headers]
