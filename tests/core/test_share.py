from __future__ import annotations

import pytest

from pytest_llmperf.core.share import parse_regression, typed


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.10", 0.1), ("100 %", 1.0)])
def test_a_share_on_a_command_line_may_have_its_sign(text, share):
    assert parse_regression(typed(text)) == pytest.approx(share)


def test_a_word_is_no_share():
    with pytest.raises(ValueError, match=r"expected a share such as 10% or 0\.10"):
        typed("much")
