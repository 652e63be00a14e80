"""Set-ups of connections, told apart from latencies."""

from __future__ import annotations

import pytest

from pytest_llmperf.core import connections
from pytest_llmperf.core.connections import ConnectionLog, Connections, SetUp


def test_a_set_up_before_measuring_is_not_late():
    log = ConnectionLog()
    log.add(SetUp(dns_s=0.003, tcp_s=0.001, tls_s=0.02))
    log.measuring()
    log.add(SetUp(tcp_s=0.002))
    assert log.so_far == Connections(opened=2, late=1, dns_s=(0.003,), tcp_s=(0.001, 0.002), tls_s=(0.02,))


def test_a_warm_up_that_was_never_over_opened_none_while_measuring():
    log = ConnectionLog()
    log.add(SetUp(tcp_s=0.001))
    assert (log.so_far.opened, log.so_far.late) == (1, 0)


def test_connections_of_two_parts_add_up():
    one = Connections(opened=2, late=1, dns_s=(0.1,), tcp_s=(0.2, 0.3), tls_s=(0.4,))
    other = Connections(opened=1, tcp_s=(0.5,))
    assert one + other == Connections(opened=3, late=1, dns_s=(0.1,), tcp_s=(0.2, 0.3, 0.5), tls_s=(0.4,))


def test_a_server_that_always_closes_fills_no_memory(monkeypatch):
    monkeypatch.setattr(connections, "MOST", 2)
    log = ConnectionLog()
    for number in range(5):
        log.add(SetUp(tcp_s=float(number)))
    assert (log.so_far.opened, log.so_far.tcp_s) == (5, (0.0, 1.0))
    both = log.so_far + log.so_far
    assert (both.opened, both.tcp_s) == (10, pytest.approx((0.0, 1.0)))
