"""Holds what people said of the assistant to what was promised. The scores are theirs, in scores.yaml."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
SCORES = yaml.safe_load((HERE / "scores.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("quality", SCORES["least"])
def test_the_plan_in_use_was_rated_well_enough(quality):
    assert SCORES["plans"][SCORES["in_use"]][quality] >= SCORES["least"][quality]


def test_the_plan_in_use_was_rated_best():
    overall = {plan: scores["overall"] for plan, scores in SCORES["plans"].items()}
    assert SCORES["in_use"] == max(overall, key=overall.get)


def test_the_persona_is_the_one_that_was_rated():
    persona = (HERE / "prompts" / "chat.txt").read_bytes()
    assert hashlib.sha256(persona).hexdigest()[:12] == str(SCORES["persona"]), "rate it again, see README.md"
