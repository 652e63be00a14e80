"""Reading a mapping that a user wrote, with an error that names the path of what is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pytest_llmperf.core.errors import LlmPerfUsageError


class Fields:
    """One mapping of the configuration, with its path for error texts."""

    __slots__ = ("values", "where")

    def __init__(self, values: object, *, where: str, allowed: Iterable[str]) -> None:
        if not isinstance(values, Mapping):
            raise LlmPerfUsageError(f"{where}: expected a mapping, not {_short(values)}")
        self.where = where
        self.values: dict[str, Any] = {str(key): value for key, value in values.items()}
        known = sorted(allowed)
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
                raise LlmPerfUsageError(f"{where}.{key} is not a key of the mock.{hint}")

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def require(self, key: str) -> None:
        """Raise LlmPerfUsageError when *key* is absent."""
        if key not in self:
            raise LlmPerfUsageError(f"{self.path(key)} is missing: without it this does nothing")

    def path(self, key: str) -> str:
        """The full path of *key*, as error texts name it."""
        return f"{self.where}.{key}"

    def text(self, key: str, default: str | None = None) -> str | None:
        """A string, or *default* when the key is absent."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise LlmPerfUsageError(f"{self.path(key)}: expected a text, not {_short(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A string or a list of strings; empty when the key is absent."""
        value = self.values.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [value]
        if (
            not isinstance(value, Sequence)
            or not all(isinstance(item, str) and item for item in value)
            or not value
        ):
            raise LlmPerfUsageError(
                f"{self.path(key)}: expected a text or a list of texts, not {_short(value)}"
            )
        return tuple(value)

    def one_of(self, key: str, choices: Collection[str], default: str) -> str:
        """One of *choices*; there is none by default where *default* is not among them."""
        value = self.values.get(key, default)
        if isinstance(value, str) and value in choices:
            return value
        found = f"not {_short(value)}" if key in self.values else "and there is none"
        near = get_close_matches(str(value), choices, n=1)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise LlmPerfUsageError(f"{self.path(key)}: expected one of {', '.join(choices)}, {found}{hint}")

    def whole(self, key: str, default: int, *, low: int = 0, high: int = 2**31) -> int:
        """A whole number from *low* to *high*."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise LlmPerfUsageError(
                f"{self.path(key)}: expected a whole number from {low} to {high}, not {_short(value)}"
            )
        return value

    def number(self, key: str, default: float, *, low: float = 0.0, high: float = 1e9) -> float:
        """A number from *low* to *high*; ``30%`` is accepted for 0.3."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.rstrip().endswith("%"):
            try:
                value = float(value.rstrip()[:-1]) / 100
            except ValueError:
                value = None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            hint = ", or a share as 30%" if high == 1 else ""
            raise LlmPerfUsageError(
                f"{self.path(key)}: expected a number from {low:g} to {high:g}{hint}, "
                f"not {_short(self.values[key])}"
            )
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise LlmPerfUsageError(f"{self.path(key)}: expected true or false, not {_short(value)}")
        return value

    def items(self, key: str) -> list[tuple[Any, str]]:
        """The entries of a list, each with its path; empty when the key is absent."""
        value = self.values.get(key)
        if value is None:
            return []
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise LlmPerfUsageError(f"{self.path(key)}: expected a list, not {_short(value)}")
        return [(item, f"{self.path(key)}[{index}]") for index, item in enumerate(value)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
