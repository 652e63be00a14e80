"""The console that is tested: your own, or the small one that is here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


def pytest_addoption(parser):
    parser.addoption("--console-url", help="a console that runs already")
    parser.addoption("--console-slow", default="0", help="seconds that a simulation waits in the one here")


@pytest.fixture(scope="session")
def console(pytestconfig):
    """An HTTP client of the console; threads share its connections."""
    url, server = pytestconfig.getoption("console_url"), None
    if url is None:
        program = [sys.executable, Path(__file__).with_name("console.py")]
        slow = ["--slow", pytestconfig.getoption("console_slow")]
        server = subprocess.Popen([*program, *slow], stdout=subprocess.PIPE, text=True)
        url = server.stdout.readline().strip()
    with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:
        yield client
    if server is not None:
        server.terminate()
        server.communicate()


@pytest.fixture(scope="session")
def key():
    return os.environ.get("QUANTUM_API_TOKEN", "dev-quantum")


@pytest.fixture
def token(console, key):
    """A token for flows of which the login is no part."""
    return console.post("/login", json={"key": key}).raise_for_status().json()["token"]
