"""The errors a user can cause and can mend."""

from __future__ import annotations


class LlmPerfUsageError(Exception):
    """Something the user wrote cannot be used.

    The text says what is wrong, where, what was expected and what to do next; it becomes a
    clean pytest failure without a traceback.
    """
