"""What was measured, as lines while it runs, as tables for the documentation, and as panels of a plot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from tools import TOOLS

#: How the clients are called in the tables, in their order.
TITLES = {
    "async_llm": "**`async_llm` under `@llm_load`**",
    "llm": "**`llm`**, synchronous",
    "httptools": "bare httptools",
    "aiohttp": "bare aiohttp",
    "httpx": "bare httpx",
    "locust": "Locust",
    "locust iter_lines": "Locust, `iter_lines`",
    "vllm": "`vllm bench serve`",
    "aiperf": "AIPerf",
    "guidellm": "GuideLLM",
}
SERVER_TITLES = {"paced": "a small paced server", "mock": "the mock"}
#: What was aimed at, p50 and p99 in ms by client and streams.
AIMED = {("async_llm", 1): (0.4, 1.0), ("async_llm", 32): (0.25, 1.0), ("async_llm", 128): (0.25, 1.5)}
AIMED[("llm", 1)] = (0.6, 1.5)
AIMED_RATE = {False: 20_000, True: 5_500}
AIMED_CPU_MS = 0.55
OURS = "async_llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """One client in a paced load."""

    client: str
    server: str
    streams: int
    biases: list[float]  #: ascending, in seconds
    cpu_s: float | None  #: of processor per request

    @classmethod
    def pooled(cls, rows: Sequence[Paced]) -> Paced:
        """The rounds of one client: their biases together, the median of what a request costs."""
        costs = [row.cpu_s for row in rows if row.cpu_s is not None]
        return replace(
            rows[0],
            biases=sorted(one for row in rows for one in row.biases),
            cpu_s=median(costs) if costs else None,
        )

    def quantile_ms(self, q: float) -> float:
        """Of the bias."""
        return self.biases[min(int(q * len(self.biases)), len(self.biases) - 1)] * 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One client in a load of 64 connections with no pause."""

    client: str
    stream: bool
    per_core_s: float  #: requests per second of processor
    peak_mb: float | None

    @classmethod
    def pooled(cls, rows: Sequence[Rate]) -> Rate:
        """The rounds of one client: the median rate, the most memory."""
        peaks = [row.peak_mb for row in rows if row.peak_mb is not None]
        return replace(
            rows[0],
            per_core_s=median(row.per_core_s for row in rows),
            peak_mb=max(peaks) if peaks else None,
        )


@dataclass(slots=True)
class Results:
    """Of one run."""

    conditions: str = ""
    paced: list[Paced] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def paced_by(self, server: str) -> dict[tuple[str, int], Paced]:
        """By client and streams, the rounds of each together."""
        found: dict[tuple[str, int], list[Paced]] = {}
        for row in self.paced:
            if row.server == server:
                found.setdefault((row.client, row.streams), []).append(row)
        return {key: Paced.pooled(rows) for key, rows in found.items()}

    def rates_by(self) -> dict[tuple[str, bool], Rate]:
        """By client, and whether streamed; the rounds of each together."""
        found: dict[tuple[str, bool], list[Rate]] = {}
        for row in self.rates:
            found.setdefault((row.client, row.stream), []).append(row)
        return {key: Rate.pooled(rows) for key, rows in found.items()}


def text(row: Paced | Rate) -> str:
    """A line for whoever watches."""
    if isinstance(row, Rate):
        peak = "" if row.peak_mb is None else f"   peak {row.peak_mb:.0f} MB"
        kind = "32-chunk streams" if row.stream else "plain"
        aim = f"   aimed at {AIMED_RATE[row.stream]:,}" if row.client == OURS else ""
        return f"{kind:<17} {row.client:<18} {row.per_core_s:10,.0f} requests/s of a core{peak}{aim}"
    cpu = "" if row.cpu_s is None else f"   CPU {row.cpu_s * 1e3:.2f} ms"
    aimed = AIMED.get((row.client, row.streams))
    aim = f"   aimed at {aimed[0]} / {aimed[1]}" if aimed else ""
    return (
        f"{row.server:<6} {row.streams:3} streams  {row.client:<18} n={len(row.biases):<5} bias p50"
        f" {row.quantile_ms(0.5):.3f} p99 {row.quantile_ms(0.99):.3f} ms{cpu}{aim}"
    )


def markdown(results: Results) -> str:
    """The tables of the documentation, with the conditions they were taken under."""
    parts = [f"Taken on {results.conditions}."] if results.conditions else []
    parts += [
        _paced(results, server) for server in SERVER_TITLES if any(r.server == server for r in results.paced)
    ]
    if results.rates:
        parts.append(_rates(results))
    seen = {row.client for row in (*results.paced, *results.rates)}
    told = [f"- {TITLES[name]}: {tool.ttft}." for name, tool in TOOLS.items() if name in seen]
    if told:
        parts.append("How each tool comes to its time to the first token:\n\n" + "\n".join(told))
    if results.failures:
        parts.append(_failures(results.failures))
    return "\n\n".join(parts) + "\n"


def _failures(failures: Sequence[str]) -> str:
    """Who was not measured, by the reason."""
    clients: dict[str, list[str]] = {}
    for one in failures:
        client, _, why = one.partition(": ")
        clients.setdefault(_plain(why), []).append(client)
    lines = (f"- `{why}`: {'; '.join(them)}" for why, them in clients.items())
    return "Not measured:\n\n" + "\n".join(lines)


def _plain(words: str) -> str:
    """Foreign words on one line, without paths of this machine, and nothing that Markdown would act on."""
    kept = re.sub(r"(?<!\w)/[\w./-]+", "PATH", " ".join(words.split()))
    return kept[:200].replace("`", "'").replace("<", "(").replace("{", "(")


def _paced(results: Results, server: str) -> str:
    by = results.paced_by(server)
    streams = sorted({count for _, count in by})
    most = streams[-1]
    ours = by.get((OURS, most))
    head = [f"bias at {count}, ms" for count in streams]
    lines = [
        f"Against {SERVER_TITLES[server]}: p50 / p99 of the bias; processor time of a request at {most}.",
        "",
        "| client | " + " | ".join(head) + " | CPU, ms | of ours |",
        "|---|" + "---:|" * (len(streams) + 2),
    ]
    for client, title in TITLES.items():
        found = [by.get((client, count)) for count in streams]
        if not any(found):
            continue
        cells = [
            "" if row is None else f"{_ms(row.quantile_ms(0.5))} / {_ms(row.quantile_ms(0.99))}"
            for row in found
        ]
        last = found[-1]
        if last is None or last.cpu_s is None:
            cells += ["", ""]
        else:
            cells.append(_ms(last.cpu_s * 1e3))
            cells.append(f"{last.cpu_s / ours.cpu_s:.1f} x" if ours and ours.cpu_s else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    aims = [AIMED[(OURS, count)] for count in streams if (OURS, count) in AIMED]
    if aims:
        told = [f"≤ {p50} / {p99}" for p50, p99 in aims]
        lines.append("| aimed at for `async_llm` | " + " | ".join(told) + f" | ≤ {AIMED_CPU_MS} | |")
    return "\n".join(lines)


def _rates(results: Results) -> str:
    by = results.rates_by()
    ours = {stream: by.get((OURS, stream)) for stream in (False, True)}
    lines = [
        "64 connections with no pause: requests per second of the client's processor, and its memory.",
        "",
        "| client | plain | of ours | 32 chunks | of ours | peak memory, MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for client, title in TITLES.items():
        found = {stream: by.get((client, stream)) for stream in (False, True)}
        if not any(found.values()):
            continue
        cells = []
        for stream, row in found.items():
            own = ours[stream]
            cells.append("" if row is None else _count(row.per_core_s))
            cells.append("" if row is None or own is None else f"{row.per_core_s / own.per_core_s:.2f} x")
        streamed = found[True]
        cells.append("" if streamed is None or streamed.peak_mb is None else f"{streamed.peak_mb:,.0f}")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines.append(
        f"| aimed at for `async_llm` | ≥ {_count(AIMED_RATE[False])} | | ≥ {_count(AIMED_RATE[True])} | | |"
    )
    return "\n".join(lines)


def _count(value: float) -> str:
    return f"{float(f'{value:.2g}'):,.0f}".replace(",", " ")


def _ms(value: float) -> str:
    """Two figures, as many as such a run can stand for."""
    return f"{float(f'{value:.2g}'):,g}".replace(",", " ") if abs(value) >= 10 else f"{value:.2g}"


def panels(results: Results) -> dict[str, dict[str, tuple[float, float | None]]]:
    """By title and client: a value, and another up to which a thin line goes on."""
    found: dict[str, dict[str, tuple[float, float | None]]] = {}
    servers = sorted({row.server for row in results.paced}, key=list(SERVER_TITLES).index)
    by = results.paced_by(servers[0]) if servers else {}
    most = max((count for _, count in by), default=0)
    for (client, count), row in sorted(by.items(), key=lambda item: item[0][1]):
        title = f"TTFT bias at {count} stream{'s'[: count > 1]}, ms: p50, and up to p99"
        found.setdefault(title, {})[client] = (row.quantile_ms(0.5), row.quantile_ms(0.99))
    for (client, count), row in by.items():
        if count == most and row.cpu_s is not None:
            title = f"CPU per request at {most} streams, ms"
            found.setdefault(title, {})[client] = (row.cpu_s * 1e3, None)
    for (client, stream), rate in results.rates_by().items():
        kind = "32-chunk streams" if stream else "plain"
        found.setdefault(f"requests/s of a core, {kind}", {})[client] = (rate.per_core_s, None)
        if rate.peak_mb is not None:
            found.setdefault("peak memory, MB", {})[client] = (rate.peak_mb, None)
    return {title: _best_first(title, values) for title, values in found.items()}


def _best_first(
    title: str, values: dict[str, tuple[float, float | None]]
) -> dict[str, tuple[float, float | None]]:
    more_is_better = title.startswith("requests/s")
    return dict(sorted(values.items(), key=lambda item: item[1][0], reverse=more_is_better))
