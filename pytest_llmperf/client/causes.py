"""From an exception of the network to a kind of failure."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from pytest_llmperf.core.exchange import FailureKind

#: OpenSSL's codes: nobody known has signed it (18 to 21: by itself, or by an authority that is not at hand).
_UNKNOWN_AUTHORITY = {18, 19, 20, 21}


def connect_failure(error: BaseException, where: str) -> tuple[FailureKind, str]:
    """Why there is no connection to *where*: the kind, and one line for people."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            return FailureKind.TLS, f"{where}: TLS: {reason}{_remedy(cause)}"
        if isinstance(cause, socket.gaierror):
            return FailureKind.DNS, f"{where}: the host name does not resolve"
        if isinstance(cause, ConnectionRefusedError):
            return FailureKind.CONNECT, f"{where}: connection refused, is the server running?"
    return FailureKind.CONNECT, f"{where}: {_innermost(error)}"


def _remedy(error: ssl.SSLError) -> str:
    unknown = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _UNKNOWN_AUTHORITY
    return "; SSL_CERT_FILE names the certificates of authorities to trust" if unknown else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            yield from error.exceptions
        error = error.__cause__ or error.__context__


def _innermost(error: BaseException) -> str:
    last = list(_chain(error))[-1]
    return str(last) or type(last).__name__
