"""Which member of a weighted mix is next: exact shares, in random order."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from fractions import Fraction
from random import Random

#: Cards in a deck, at least: a short one would make the order regular, which independent people are not.
FEWEST = 20
#: Cards in a deck, at most.
_MOST = 1000


class Deck:
    """Deals the members' numbers; every deck holds each as often as its weight says, and is shuffled.

    So shares are exact after each whole deck, and off by less than one deck at any time, where
    independent draws of 100 at 75 % would give 67 to 83.
    """

    def __init__(self, weights: Sequence[float], rng: Random) -> None:
        self._counts = counts(weights)
        self._rng = rng
        self._left: list[int] = []
        self._lock = threading.Lock()

    def deal(self) -> int:
        """The number of the member whose turn it is; from any thread."""
        with self._lock:
            if not self._left:
                self._left = [number for number, count in enumerate(self._counts) for _ in range(count)]
                self._rng.shuffle(self._left)
            return self._left.pop()


def counts(weights: Sequence[float]) -> list[int]:
    """How often each member is in one deck: 75 and 25 are 15 and 5."""
    exact = [Fraction(str(weight)) for weight in weights]
    whole = math.lcm(*(one.denominator for one in exact))
    cards = [int(one * whole) for one in exact]
    cards = [count // math.gcd(*cards) for count in cards]
    if sum(cards) > _MOST:  # odd weights: what is lost of a share is less than one in so many
        cards = [max(1, round(_MOST * one / sum(exact))) for one in exact]
    times = math.ceil(FEWEST / sum(cards))
    return [count * times for count in cards]
