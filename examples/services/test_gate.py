"""What the console refuses: certain answers, nothing measured."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("path", ["/chsh", "/jobs"])
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer made-up"}], ids=["no token", "a made-up token"]
)
def test_nothing_runs_without_a_token(console, path, headers):
    assert console.post(path, json={}, headers=headers).status_code == 401


def test_a_wrong_key_gives_no_token(console):
    assert console.post("/login", json={"key": "guess"}).status_code == 403
