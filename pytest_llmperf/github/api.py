"""GitHub's REST API, as little of it as the gate needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from pytest_llmperf.client.redact import redact
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.plain import plain
from pytest_llmperf.github.context import Context

_PAGES = 50  #: of a hundred things each, before we stop asking
_TIMEOUT_S = 30.0


class Api:
    """One repository's API. Every method raises LlmPerfUsageError for what GitHub refuses."""

    def __init__(self, context: Context) -> None:
        self._root = context.api_url.rstrip("/")
        self._secret = context.token
        self._repository = f"{self._root}/repos/{context.repository}"
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if context.token:
            headers["Authorization"] = f"Bearer {context.token}"
        # A redirect to another host, as for an artifact's content, loses the token: httpx sees to that.
        self._client = httpx.Client(headers=headers, timeout=_TIMEOUT_S, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def listed(self, path: str, *, key: str | None = None, **params: str) -> Iterator[Mapping[str, Any]]:
        """Every object of the list at *path* (under *key*, where it is an object), page after page."""
        url: str | None = f"{self._repository}/{path}"
        query: dict[str, str] | None = {**params, "per_page": "100"}
        for _ in range(_PAGES):
            if url is None:
                return
            response = self._send("GET", url, params=query)
            content = response.json()
            yield from content[key] if key else content
            url, query = response.links.get("next", {}).get("url"), None
            if url is not None and not url.startswith(f"{self._root}/"):
                raise LlmPerfUsageError(f"GitHub's next page is elsewhere: {plain(url, limit=200)}")

    def send(self, method: str, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """The answer to *body*."""
        answer: Mapping[str, Any] = self._send(method, f"{self._repository}/{path}", json=body).json()
        return answer

    def download(self, path: str, *, limit: int) -> bytes:
        """The content at *path*, of at most *limit* bytes."""
        content = bytearray()
        try:
            with self._client.stream("GET", f"{self._repository}/{path}") as response:
                if response.is_error:
                    response.read()
                    raise self._refused(response)
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > limit:
                        raise LlmPerfUsageError(f"{path} has more than {limit} bytes and was not read.")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        return bytes(content)

    def _send(self, method: str, url: str, **more: Any) -> httpx.Response:  # httpx's own arguments
        try:
            response = self._client.request(method, url, **more)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if response.is_error:
            raise self._refused(response)
        return response

    def _refused(self, response: httpx.Response) -> RefusedError:
        request = response.request
        try:
            message = str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = response.text
        said = redact(plain(message, limit=200), [self._secret])
        what = f"GitHub answered {response.status_code} to {request.method} {request.url.path}: {said}"
        return RefusedError(f"{what}{_advice(response.status_code)}", status=response.status_code)

    def _unreachable(self, error: httpx.HTTPError) -> LlmPerfUsageError:
        return LlmPerfUsageError(redact(f"GitHub's API at {self._root}: {error}", [self._secret]))


class RefusedError(LlmPerfUsageError):
    """GitHub answered with an error status."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status


def _advice(status: int) -> str:
    if status in {401, 403}:
        return (
            ". The job's token may not do this: look at `permissions:` in the workflow. A fork's pull "
            "request has a token that only reads, so comment from a workflow on workflow_run"
        )
    return ""
