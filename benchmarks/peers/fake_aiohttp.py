"""`fake_openai` under aiohttp's own server: ``python fake_aiohttp.py PORT``."""

from __future__ import annotations

import sys

from aiohttp import web
from fake_openai import answer


async def handle(request: web.Request) -> web.StreamResponse:
    """One request."""
    given = answer(await request.read())
    if isinstance(given, bytes):
        return web.Response(body=given, content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for chunk in given:
        await response.write(chunk)
    await response.write_eof()
    return response


if __name__ == "__main__":
    application = web.Application()
    application.router.add_post("/v1/chat/completions", handle)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
