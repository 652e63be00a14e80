"""Samples at eight bytes each, where a tuple of floats takes thirty-two."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray


class Column(Sequence[float]):
    """Numbers in the order in which they were measured; immutable, and equal to a tuple of the same numbers.

    numpy reads it in place.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._values: array[float] = array("d", values)

    @classmethod
    def of_bytes(cls, content: bytes) -> Self:
        """The inverse of `to_bytes`."""
        column = cls()
        column._values.frombytes(content)
        if sys.byteorder == "big":  # pragma: no cover - no such machine runs the tests
            column._values.byteswap()
        return column

    def to_bytes(self) -> bytes:
        """Every bit of every number, the same on all machines: little-endian doubles."""
        if sys.byteorder == "big":  # pragma: no cover - no such machine runs the tests
            swapped = self._values[:]
            swapped.byteswap()
            return swapped.tobytes()
        return self._values.tobytes()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> Column: ...

    def __getitem__(self, index: int | slice) -> float | Column:
        return Column(self._values[index]) if isinstance(index, slice) else self._values[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Column):
            return self._values == other._values
        if isinstance(other, (tuple, list)):
            return len(self) == len(other) and all(
                mine == its for mine, its in zip(self._values, other, strict=True)
            )
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._values))

    def __repr__(self) -> str:
        return repr(tuple(self._values))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.float64]:  # noqa: FBT001 - numpy's protocol
        """What `numpy.asarray` takes: a view that cannot be written to."""
        import numpy as np  # noqa: PLC0415 - heavy, and not everything with samples judges them

        view = np.asarray(self._values)
        view.flags.writeable = False
        return np.array(view, dtype=dtype, copy=copy)


#: Values of a scenario by the name that run.json uses, such as ``latency_s``.
Series = Mapping[str, Sequence[float]]
