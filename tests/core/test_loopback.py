from __future__ import annotations

import pytest

from pytest_llmperf.core.errors import LlmPerfUsageError
from pytest_llmperf.core.loopback import check_host, check_port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_taken(host):
    check_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_another_address_is_refused_with_the_reason_and_the_way_out(host):
    with pytest.raises(
        LlmPerfUsageError, match=r"alone, because it serves whoever reaches it .*forward a port"
    ):
        check_host(host)


@pytest.mark.parametrize("port", [0, 8000, 65535])
def test_a_port_is_taken(port):
    check_port(port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(LlmPerfUsageError, match=f"--port {port} is no port; expected 0 to 65535"):
        check_port(port)
