"""Whose certificates are believed: those of SSL_CERT_FILE or SSL_CERT_DIR, else certifi's."""

from __future__ import annotations

import ssl
from typing import Literal
from urllib.parse import urlsplit

import httpx


def trust(url: str) -> ssl.SSLContext | Literal[False]:
    """What checks the certificate of *url*; False where there is none, which saves reading the authorities.

    For httpx's ``verify=``, which looks at the environment only where it also takes proxies from there.
    """
    return httpx.create_ssl_context() if urlsplit(url).scheme == "https" else False
