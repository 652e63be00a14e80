"""Whether requests were served from the server's prefix cache, and what that does to a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_llmperf.core.exchange import Exchange
from pytest_llmperf.core.quantity import show

if TYPE_CHECKING:
    from pytest_llmperf.core.measurement import Measurement


class CacheMode(StrEnum):
    """What ``--llm-cache`` may be."""

    AS_IS = "as-is"  #: prompts as they are; the server's cache does what it does
    COLD = "cold"  #: every prompt begins with a number of its own, so that no prefix of it is cached
    WARM = "warm"  #: every prompt was served once, unmeasured, before it is measured
    BOTH = "both"  #: warm prompts are judged; cold ones are measured in turns with them, for the saving


#: A chat template's own opening words may be cached, whatever follows: a hit has more tokens ...
_FEW_TOKENS = 8
#: ... and a larger share of the prompt.
_FEW = 0.1

_SILENT = (
    "the server does not say how many prompt tokens came from its prefix cache (vLLM says with "
    "--enable-prompt-tokens-details), so nobody knows whether {mode} prompts were {mode}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """Successful requests of one measurement, as the prefix cache saw them."""

    told: int = 0  #: requests for which the server said how much was cached
    hits: int = 0  #: of them, requests of which a substantial part was
    repeated: int = 0  #: requests whose prompt had been sent before in the same measurement
    repeated_hits: int = 0  #: of the hits, those

    def __add__(self, other: CacheUse) -> CacheUse:
        return CacheUse(
            told=self.told + other.told,
            hits=self.hits + other.hits,
            repeated=self.repeated + other.repeated,
            repeated_hits=self.repeated_hits + other.repeated_hits,
        )


def cache_use(succeeded: Sequence[Exchange]) -> CacheUse:
    """What the prefix cache did for *succeeded*, in time order."""
    seen: set[str] = set()
    told = hits = repeated = repeated_hits = 0
    for exchange in succeeded:
        again = exchange.prompt != "" and exchange.prompt in seen
        seen.add(exchange.prompt)
        hit = _is_hit(exchange)
        told += exchange.tokens is not None and exchange.tokens.cached is not None
        hits += hit
        repeated += again
        repeated_hits += again and hit
    return CacheUse(told=told, hits=hits, repeated=repeated, repeated_hits=repeated_hits)


def _is_hit(exchange: Exchange) -> bool:
    tokens = exchange.tokens
    if tokens is None or tokens.cached is None or not tokens.input:
        return False
    return tokens.cached > _FEW_TOKENS and tokens.cached > _FEW * tokens.input


def cache_remark(measurement: Measurement, mode: CacheMode) -> str | None:
    """What contradicts *mode*, or what repeated prompts mean where they are sent as they are."""
    use = measurement.cache
    if not measurement.sent:
        return None
    if mode is CacheMode.AS_IS:
        return _repeated(measurement)
    if not use.told:
        return _by_counters(measurement, mode)
    if mode is CacheMode.COLD and use.hits:
        return (
            f"{use.hits} of {use.told} cold requests were partly served from the server's prefix cache: "
            "what its chat template puts before the prompt, such as tool definitions, is always the same"
        )
    if mode is not CacheMode.COLD and use.hits < use.told:
        return (
            f"{use.told - use.hits} of {use.told} warm requests found nothing in the server's prefix cache: "
            "it is off or too small, prompts are shorter than its blocks, or the test makes up new ones"
        )
    return None


def _repeated(measurement: Measurement) -> str | None:
    use, rate = measurement.cache, _counted_rate(measurement)
    if use.repeated_hits:
        served = f"{use.repeated_hits} of them"
    elif use.repeated and not use.told and rate is not None and rate > _FEW:
        served = f"{show(rate, '')} of all prompt tokens"
    else:
        return None
    return (
        f"{use.repeated} requests repeated a prompt, and {served} came from the server's prefix cache: this "
        "measures the cache. Vary the prompt (cases=), or choose --llm-cache=cold or --llm-cache=warm"
    )


def _by_counters(measurement: Measurement, mode: CacheMode) -> str | None:
    """The same where only the sums of /metrics tell what was cached, or nothing does."""
    rate, word = _counted_rate(measurement), "cold" if mode is CacheMode.COLD else "warm"
    if rate is None:
        return _SILENT.format(mode=word)
    if (rate > _FEW) is (mode is CacheMode.COLD):
        return f"{show(rate, '')} of the tokens of {word} prompts came from the server's prefix cache"
    return None


def _counted_rate(measurement: Measurement) -> float | None:
    return None if measurement.server is None else measurement.server.cache_hit_rate
