"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure, and a failure is the same for everybody.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
