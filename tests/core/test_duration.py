from __future__ import annotations

import pytest

from pytest_llmperf.core.duration import parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(5, 5), (0.5, 0.5), ("7", 7), ("5s", 5), ("300ms", 0.3), (" 10 m ", 600), ("1h", 3600), ("1.5h", 5400)],
)
def test_a_duration_is_a_number_with_or_without_a_unit(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 days", "1h30m", "inf", "nan", "1e3", ".5s", None, True])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration such as 30s, 10m or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (45.4, "45 s"),
        (89, "89 s"),
        (90, "2 min"),
        (240, "4 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
    ],
)
def test_a_duration_is_shown_roughly(seconds, text):
    assert show_duration(seconds) == text
