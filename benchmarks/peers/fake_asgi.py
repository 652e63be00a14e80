"""`fake_openai` under any ASGI server, without a framework: faster than with one."""

from __future__ import annotations

from typing import Any

from fake_openai import answer


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """One request."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    given = answer(body)
    if isinstance(given, bytes):
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(given))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": given})
        return
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for chunk in given:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
