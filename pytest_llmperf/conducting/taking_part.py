"""A test in a load run, from pytest's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_llmperf.measuring import Measuring


@dataclass(kw_only=True)
class TakingPart:
    """A test in a load run; alone, or as a member of a mix."""

    item: pytest.Function
    measuring: Measuring
    arguments: Mapping[str, Any] = field(default_factory=dict)  #: of its body; pytest gives the leader's
    failure: BaseException | None = None  #: what fails the test, once it is judged
