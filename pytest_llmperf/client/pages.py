"""Pages of a server that are read again and again, on one connection that stays open."""

from __future__ import annotations

import time

import httpx

from pytest_llmperf.client.aside import ask, client_for, why_unanswered
from pytest_llmperf.client.calls import without_credentials
from pytest_llmperf.client.redact import redact, safe_url, secrets_of
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.wire.endpoint import root_url

#: Statuses of a page that is there, and not now.
_NOT_NOW = {408, 429, 500, 502, 503, 504}


class UnreadableError(Exception):
    """A page could not be read this time. The text says why, without secrets."""


class Pages:
    """The pages of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._base_url = without_credentials(backend.url)
        self._http = client_for(backend)
        # To compress a page takes a server longer than to send it.
        self._http.headers["Accept-Encoding"] = "identity"

    def read(self, path: str, *, within_s: float) -> str | None:
        """The text at *path*, with its query, of the server; None where it has no such page.

        Raises UnreadableError where it may have one, and it did not come.
        """
        url = root_url(self._base_url, path)
        where = safe_url(url)
        try:
            answer = ask(self._http, "GET", url, until_s=time.perf_counter() + within_s)
        except httpx.HTTPError as error:
            why = why_unanswered(error, where, within_s=within_s)
            secrets = secrets_of(self._backend.url, self._backend.api_key)
            raise UnreadableError(redact(why, secrets)) from None
        if answer.status in _NOT_NOW:
            raise UnreadableError(f"{where}: HTTP status {answer.status}")
        return answer.body.decode("utf-8", errors="replace") if answer.status == 200 else None

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
