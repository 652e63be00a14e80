from __future__ import annotations

import math

import pytest

from pytest_llmperf.core.decision import looks, ratio


@pytest.mark.parametrize(
    ("iterations", "maximum", "expected"),
    [
        (30, 480, (30, 60, 120, 240, 480)),
        (30, 500, (30, 60, 120, 240, 480, 500)),
        (30, 40, (30, 40)),
        (30, 60, (30, 60)),
        (30, 30, (30,)),
        (200, 100, (200,)),
        (1, 3, (1, 2, 3)),
    ],
)
def test_looks_double_up_to_the_maximum(iterations, maximum, expected):
    assert looks(iterations, maximum) == expected


@pytest.mark.parametrize(
    ("observed", "baseline", "expected"),
    [(3.0, 2.0, 1.5), (0.0, 2.0, 0.0), (0.0, 0.0, 1.0), (2.0, 0.0, math.inf)],
)
def test_a_ratio_to_nothing_is_still_a_number(observed, baseline, expected):
    assert ratio(observed, baseline) == expected
