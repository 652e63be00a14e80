"""Iterations reduced to numbers as they end, so that a hundred thousand of them fit in little memory."""

from __future__ import annotations

import bisect
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from pytest_llmperf.core.exchange import Exchange, TokenSource
from pytest_llmperf.core.iteration import Iteration
from pytest_llmperf.core.measurement import CheckCount, Count, FailureCount, Measurement, TokenTotals
from pytest_llmperf.core.metric import METRICS, Shape, series_name
from pytest_llmperf.core.price import Price
from pytest_llmperf.core.slo import Slo
