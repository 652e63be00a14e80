"""What the fixtures ``llm`` and ``async_llm`` give: a backend, with roles and named checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from pytest_llmperf.client.aio import AsyncClient
from pytest_llmperf.client.reply import Reply
from pytest_llmperf.client.sync import Client
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.cold import marked_messages
from pytest_llmperf.core.iteration import NamedCheck

#: A prompt, or messages such as ``[{"role": "user", "content": "merhaba"}]``.
Prompt = str | Sequence[Mapping[str, Any]]

#: Gives the request fields of a role; None is the scenario's own.
Roles = Callable[[str | None], Mapping[str, Any]]

#: Takes what was asked and what came back, for --llm-show-replies.
Show = Callable[[Prompt, Reply], None]


AnyClient = TypeVar("AnyClient", Client, AsyncClient)


class _Backend(Generic[AnyClient]):
    """What both share: names, roles and checks.

    *current* gives the client of the arm that is measured right now, see ``--llm-ab``; *mark* what the
    next prompt has to begin with, see ``--llm-cache``.
    """

    def __init__(
        self,
        current: Callable[[], AnyClient],
        *,
        roles: Roles,
        check: Callable[[NamedCheck], None],
        show: Show | None,
        mark: Callable[[], str] = str,
    ) -> None:
        self._current: Callable[[], AnyClient] = current
        self._roles = roles
        self._check = check
        self._show = show
        self._mark = mark

    @property
    def model(self) -> str:
        """The model that is asked."""
        backend: Backend = self._current().backend
        return backend.model or ""

    @property
    def url(self) -> str:
        """The server's base URL, without credentials."""
        url: str = self._current().url
        return url

    @property
    def backend(self) -> str:
        """The backend's name, as selected with ``--llm-backend``."""
        backend: Backend = self._current().backend
        return backend.name

    def check(self, name: str, passed: object, *, label: object = None) -> bool:
        """Count a named check, without failing the iteration; limits are ``accuracy={name: 0.95}``.

        Results are shown apart per *label*. Returns the truth of *passed*.
        """
        result = bool(passed)
        self._check(NamedCheck(name=name, passed=result, label=None if label is None else str(label)))
        return result

    def _marked(self, prompt: Prompt, system: str | None) -> tuple[Prompt, str | None]:
        """The prompt and the system prompt to send: the first of them with the mark at its head."""
        mark = self._mark()
        if not mark:
            return prompt, system
        if system is not None:
            return prompt, mark + system
        return mark + prompt if isinstance(prompt, str) else marked_messages(prompt, mark), None

    def _params(self, role: str | None, params: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._roles(role), **params}

    def _shown(self, prompt: Prompt, reply: Reply) -> Reply:
        if self._show is not None:
            self._show(prompt, reply)
        return reply


class Llm(_Backend[Client]):
    """The selected backend, synchronous. Threads may share it."""

    def chat(
        self,
        prompt: Prompt,
        *,
        system: str | None = None,
        schema: object = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        stream: bool = True,
        role: str | None = None,
        **params: Any,
    ) -> Reply:
        """Ask, and wait for the whole answer.

        *prompt* is a text or a list of messages, *schema* a JSON Schema that the reply must match,
        *role* one of slo.yaml (default: the scenario's); *params* such as ``temperature=0.2`` go to
        the server as they are and win over the role's. Raises RequestFailed, after it was counted.
        """
        fields = self._params(role, params)
        sent, system = self._marked(prompt, system)
        reply = self._current().chat(sent, system=system, schema=schema, tools=tools, stream=stream, **fields)
        return self._shown(prompt, reply)

    def complete(self, prompt: str, *, stream: bool = True, role: str | None = None, **params: Any) -> Reply:
        """Let the model continue *prompt*. Arguments and errors as in `chat`."""
        reply = self._current().complete(self._mark() + prompt, stream=stream, **self._params(role, params))
        return self._shown(prompt, reply)


class AsyncLlm(_Backend[AsyncClient]):
    """The selected backend, awaitable.

    *keeps_connections* leaves them open for the next call; who asks for it closes them.
    """

    def __init__(self, current: Callable[[], AsyncClient], *, keeps_connections: bool, **shared: Any) -> None:
        super().__init__(current, **shared)
        self._keeps_connections = keeps_connections

    async def chat(
        self,
        prompt: Prompt,
        *,
        system: str | None = None,
        schema: object = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        stream: bool = True,
        role: str | None = None,
        **params: Any,
    ) -> Reply:
        """Ask, and wait for the whole answer. Arguments and errors as in `Llm.chat`."""
        fields = self._params(role, params)
        sent, system = self._marked(prompt, system)
        client = self._current()
        try:
            reply = await client.chat(
                sent, system=system, schema=schema, tools=tools, stream=stream, **fields
            )
        finally:
            if not self._keeps_connections:
                await _leave(client)
        return self._shown(prompt, reply)

    async def complete(
        self, prompt: str, *, stream: bool = True, role: str | None = None, **params: Any
    ) -> Reply:
        """Let the model continue *prompt*. Arguments and errors as in `Llm.chat`."""
        client, fields = self._current(), self._params(role, params)
        try:
            reply = await client.complete(self._mark() + prompt, stream=stream, **fields)
        finally:
            if not self._keeps_connections:
                await _leave(client)
        return self._shown(prompt, reply)


async def _leave(client: AsyncClient) -> None:
    client.close()
    await asyncio.sleep(0)  # lets the transports close
