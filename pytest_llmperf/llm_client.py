"""The fixture ``llm_client``: the user's own client is measured, whatever it is."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pytest_llmperf.ab.arms import Arm, Switch
from pytest_llmperf.client.calls import authorization, without_credentials
from pytest_llmperf.client.counting import Counter
from pytest_llmperf.client.encoding import readable
from pytest_llmperf.client.observation import Observation
from pytest_llmperf.client.observed import Reading
from pytest_llmperf.client.proxy import proxy_for
from pytest_llmperf.client.transports import (
    CONNECTING,
    AsyncMeasuringTransport,
    MeasuringTransport,
    load,
)
from pytest_llmperf.core.backend import Backend
from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.iteration_log import IterationLog, OwnLog
from pytest_llmperf.relay.upstream import Upstream
from pytest_llmperf.sightings import Relaying, Sightings
from pytest_llmperf.wire.dialects import kind_of

# Any: the clients are of packages that need not be installed.

_PORTS = {"http": 80, "https": 443}


def new_key() -> str:
    """What stands in user code where a key is wanted: no secret of anybody, and of no use elsewhere."""
    return f"llmperf-{secrets.token_urlsafe(16)}"


def upstream_of(backend: Backend) -> Upstream:
    """*backend* as a relay sees it."""
    return Upstream(
        url=without_credentials(backend.url),
        authorization=authorization(backend),
        connect_s=backend.timeouts.connect_s,
    )


class LlmClient:
    """Measures a client that is not ours.

    Either through a URL (`base_url`: any client, in any process and language), or from inside a client
    that takes an HTTP client of httpx or httpx2 (`openai`, `http_client` and the asynchronous ones).
    """

    def __init__(
        self,
        log: IterationLog,
        switch: Switch,
        arms: Mapping[Arm, Backend],
        *,
        key: str,
        relay: Callable[[], Relaying],
        count: Counter,
    ) -> None:
        self.api_key = key  #: a placeholder: on the way to the server the backend's own key takes its place
        self._log = log
        self._switch = switch
        self._arms = dict(arms)
        self._relay = relay
        self._clients: list[Any] = []
        self._async_clients: list[Any] = []
        #: One each, however often a test's body asks.
        self._made: dict[tuple[Callable[..., Any], str], Any] = {}
        passwords = [urlsplit(backend.url).password for backend in arms.values()]
        keys = [backend.api_key for backend in arms.values()]
        self._sightings = Sightings(log, Reading(count, secrets=[key, *keys, *passwords]))
        self._book = _Book(
            sightings=self._sightings,
            switch=switch,
            upstreams={arm: upstream_of(backend) for arm, backend in arms.items()},
            key=key,
        )
        switch.listeners.append(self._turn)

    @property
    def backend(self) -> Backend:
        """The backend that is measured now."""
        return self._arms[self._switch.arm]

    @property
    def model(self) -> str:
        """The model to ask."""
        return self.backend.model or ""

    @property
    def url(self) -> str:
        """The server's own base URL, for a client that `http_client` is given to; it ends in its version."""
        return self._book.upstreams[self._switch.arm].url_of("/v1")

    @property
    def base_url(self) -> str:
        """A recording relay in front of the server, for any client; it ends in ``/v1``.

        Read it inside the test's body, in every iteration: it carries the iteration's token, by which
        requests of many iterations at once are told apart. Raises LlmPerfUsageError.
        """
        relay = self._relay()
        relay.aim(self._switch.everywhere)
        self._book.relay = relay.origin
        self._log.facts["client"] = "own, through the relay"
        self._log.facts["relay cost"] = str(relay.cost)
        return self._sightings.url(relay, self._switch.arm)

    def openai(self, **options: Any) -> Any:
        """An ``openai.OpenAI`` that is measured from inside; *options* are its own."""
        sdk = _openai()
        made = self._sync(sdk.DefaultHttpxClient, _library_of(sdk.DefaultHttpxClient))
        return sdk.OpenAI(**{"base_url": self.url, "api_key": self.api_key, "http_client": made, **options})

    def async_openai(self, **options: Any) -> Any:
        """An ``openai.AsyncOpenAI`` that is measured from inside; *options* are its own."""
        sdk = _openai()
        made = self._async(sdk.DefaultAsyncHttpxClient, _library_of(sdk.DefaultAsyncHttpxClient))
        return sdk.AsyncOpenAI(
            **{"base_url": self.url, "api_key": self.api_key, "http_client": made, **options}
        )

    def http_client(self, library: str = "httpx", **options: Any) -> Any:
        """A measuring ``Client`` of httpx or httpx2, for what takes one; *options* are its own."""
        return self._sync(
            load(library).Client, library, **{"base_url": self.url, "timeout": 600.0, **options}
        )

    def async_http_client(self, library: str = "httpx", **options: Any) -> Any:
        """A measuring ``AsyncClient`` of httpx or httpx2, for what takes one; *options* are its own."""
        return self._async(
            load(library).AsyncClient, library, **{"base_url": self.url, "timeout": 600.0, **options}
        )

    def close(self) -> None:
        """Close the synchronous clients, and record no more."""
        for client in self._clients:
            client.close()
        self._sightings.end()

    async def aclose(self) -> None:
        """Close the asynchronous clients, in the event loop that used them."""
        for client in self._async_clients:
            await client.aclose()
        self._async_clients.clear()
        self._made.clear()

    def _sync(self, make: Callable[..., Any], library: str, **options: Any) -> Any:
        if (known := self._known(make, options)) is not None:
            return known
        own, connecting = self._split(options)
        made = make(transport=MeasuringTransport(library, self._book, **connecting), **own)
        self._clients = [*_open(self._clients), made]
        return self._remembered(make, options, made)

    def _async(self, make: Callable[..., Any], library: str, **options: Any) -> Any:
        if (known := self._known(make, options)) is not None:
            return known
        own, connecting = self._split(options)
        made = make(transport=AsyncMeasuringTransport(library, self._book, **connecting), **own)
        self._async_clients = [*_open(self._async_clients), made]
        return self._remembered(make, options, made)

    def _split(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The client's options, and those of its connections, which its transport makes."""
        own = {name: value for name, value in options.items() if name not in CONNECTING}
        given = {name: value for name, value in options.items() if name in CONNECTING}
        return own, {"proxy": proxy_for(self.url), **given}

    def _known(self, make: Callable[..., Any], options: Mapping[str, Any]) -> Any:
        made = self._made.get((make, repr(sorted(options.items()))))
        return None if made is None or made.is_closed else made

    def _remembered(self, make: Callable[..., Any], options: Mapping[str, Any], made: Any) -> Any:
        self._log.facts.setdefault("client", "own, through a transport")
        self._made[make, repr(sorted(options.items()))] = made
        return made

    def _turn(self, arm: Arm) -> None:
        """The turn of *arm* begins: also for those who keep the URL."""
        if self._sightings.relay is not None:
            self._sightings.relay.aim(arm)


class _Sighted(Observation):
    """An observation that knows whose it is."""

    own: OwnLog


@dataclass(kw_only=True, eq=False)
class _Book:
    """Addresses what the measuring transports send, and takes what became of it."""

    sightings: Sightings
    switch: Switch
    upstreams: Mapping[Arm, Upstream]
    key: str
    relay: tuple[str, int] | None = field(default=None)

    def open(self, request: Any, body: bytes) -> Observation | None:
        """Send *request* to the server that is measured now, with its key."""
        to = _place(str(request.url))
        if to == self.relay:
            return None  # the relay sees it
        arm = next((arm for arm, one in self.upstreams.items() if _place(one.url) == to), None)
        if arm is None:
            return None  # another server of the user's
        self._readdress(request, arm)
        target = request.url.raw_path.decode("ascii")
        if request.method != "POST" or kind_of(target) is None:
            return None  # it asks no model
        seen = _Sighted(target=target, body=body, began_s=0.0)
        seen.own = self.sightings.here()
        return seen

    def close(self, seen: Observation) -> None:
        """An exchange is over."""
        assert isinstance(seen, _Sighted)
        self.sightings.add(seen.own, seen, "they were sent by threads that inherited no context")

    def _readdress(self, request: Any, arm: Arm) -> None:
        upstream = self.upstreams[self.switch.arm]
        if arm is not self.switch.arm:
            path, _, query = request.url.raw_path.decode("ascii").partition("?")
            root = urlsplit(self.upstreams[arm].url_of("/v1")).path
            below = f"/v1{path.removeprefix(root)}" if path.startswith(root) else path
            request.url = type(request.url)(upstream.url_of(f"{below}?{query}" if query else below))
            request.headers["Host"] = urlsplit(upstream.url).netloc
        for name, value in list(request.headers.items()):
            if self.key in value:
                del request.headers[name]
                request.headers.update(upstream.authorization)
        accepted = request.headers.get("accept-encoding")
        if accepted is not None:
            request.headers["accept-encoding"] = readable(accepted)


def _open(clients: Sequence[Any]) -> list[Any]:
    """Those that nobody has closed: a test's body may open one in every iteration."""
    return [client for client in clients if not client.is_closed]


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _openai() -> Any:
    try:
        return importlib.import_module("openai")
    except ImportError:
        raise LlmPerfUsageError("llm_client.openai() needs the OpenAI SDK: pip install openai") from None


def _library_of(made: type[Any]) -> str:
    """The library that the SDK's HTTP client belongs to: httpx2 from its version 3 on."""
    roots = {cls.__module__.partition(".")[0] for cls in made.__mro__}
    return "httpx2" if "httpx2" in roots else "httpx"
