"""What the prefix cache saves, in words."""

from __future__ import annotations

import pytest

from pytest_llmperf.core.cache_saving import Saving
from pytest_llmperf.reports.cache_section import words


def saving(ratio, low, high):
    return Saving(
        metric="ttft", statistic="p50", cold_s=0.1, warm_s=0.1 * ratio, ratio=ratio, low=low, high=high, n=8
    )


@pytest.mark.parametrize(
    ("ratio", "low", "high", "said"),
    [
        (0.5, 0.4, 0.6, "saves 50 % of TTFT at p50: 100 ms cold, 50 ms warm (ratio 0.40-0.60, n=8)"),
        (1.5, 1.2, None, "costs 50 % of TTFT at p50: 100 ms cold, 150 ms warm (ratio 1.20-∞, n=8)"),
    ],
)
def test_a_proven_effect_is_said_with_its_size(ratio, low, high, said):
    assert words(saving(ratio, low, high)) == said


@pytest.mark.parametrize("ratio", [0.5, 1.5])
def test_an_effect_that_may_be_none_is_not_claimed(ratio):
    said = words(saving(ratio, 0.2, 1.9))
    assert said.startswith("has no proven effect on TTFT at p50: 100 ms cold")
    assert "(ratio 0.20-1.90, n=8)" in said
