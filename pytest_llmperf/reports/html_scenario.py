"""One scenario on the page: why it was judged so, its plots, and what they say in numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from pytest_llmperf.core.measurement import Measurement
from pytest_llmperf.core.metric import METRICS, QUANTILES, STEP, Metric, Shape, metric_of
from pytest_llmperf.core.plain import plain
from pytest_llmperf.core.quantity import show
from pytest_llmperf.core.steps import names_in
from pytest_llmperf.core.verdict import CheckKind
from pytest_llmperf.reports import cache_section, connection_notes, cost_section, server_section
from pytest_llmperf.reports.check_cells import cells
from pytest_llmperf.reports.html_resources import resources_table
from pytest_llmperf.reports.load import sentence as load_sentence
from pytest_llmperf.reports.load import throughput
from pytest_llmperf.reports.notes import untold
from pytest_llmperf.reports.plots import DISTRIBUTIONS, POINTS, earlier
from pytest_llmperf.reports.summary import Summary, percentile
from pytest_llmperf.reports.wording import asked, words

_EXAMPLE = 2000  #: characters of an error message
_SHOWN_QUANTILES = ("p50", "p90", "p95", "p99")


def row_id(index: int) -> str:
    """The anchor of the scenario at *index*."""
    return f"s{index + 1}"


def details(row: Summary, index: int, *, unfolded: bool) -> Iterable[str]:
    """The scenario as one element that folds."""
    verdict = row.scenario.verdict
    yield f'<details class="scenario" id="{row_id(index)}" data-outcome="{row.outcome}"{" open" * unfolded}>'
    yield f"<summary><h2>{escape(plain(row.name))}</h2>"
    yield f'<span class="verdict {row.outcome}">{words(row.outcome)}</span></summary>'
    yield f"<p>{escape(plain(verdict.reason))}</p>"
    if row.scenario.explanation is not None:
        yield f"<p><b>Why:</b> {escape(plain(row.scenario.explanation))}</p>"
    yield f'<p class="quiet">{escape(_where(row.scenario.measurement))}</p>'
    if (loaded := row.scenario.measurement.load) is not None:
        told = load_sentence(loaded, throughput=throughput(row))
        yield f'<p class="quiet">load: {escape(told)}</p>'
    yield from (f'<p class="quiet">warning: {escape(plain(text))}</p>' for text in untold(row))
    yield from _plots(row, index)
    yield '<div class="tables">'
    for section in SECTIONS:
        yield from section(row)
    yield "</div></details>"


def _where(about: Measurement) -> str:
    place = f"{about.path}:{about.line}" if about.path else about.scenario
    parts = [place, asked(about)]
    parts.append(f"{about.iterations} iterations after {about.warmup} to warm up")
    parts.append(f"{about.sent} {'steps' if about.timed else 'requests'}, {about.failed} failed")
    if about.stopped:
        parts.append(f"stopped: {about.stopped}")
    return " · ".join(plain(part) for part in parts if part)


def _plots(row: Summary, index: int) -> Iterable[str]:
    series = row.scenario.measurement.series
    latencies = series.get("latency_s", ())
    if not latencies:
        return
    yield '<div class="plots">'
    for metric, text in DISTRIBUTIONS.items():
        if values := series.get(f"{metric}_s", ()):
            within = "answered within a time" if metric == "latency" else f"by {text}"
            caption = f"Share of {len(values)} requests {within}"
            yield from _figure(f"{row_id(index)}-{metric}", metric, caption, _told(row, metric, text))
        if metric == "latency":
            yield from _over_time(row, index)
    yield from _under_load(row, index)
    yield "</div>"


def _over_time(row: Summary, index: int) -> Iterable[str]:
    measured = row.scenario.measurement
    caption = "Latency, time to first token and between tokens, request by request"
    if measured.warmup_latency_s:
        caption += "; the warm-up is left of 1"
    if len(measured.series["latency_s"]) > POINTS:
        caption += f"; drawn with {POINTS} points that keep every extreme"
    said = f"{_told(row, 'latency', 'latency')}, in the order of the requests"
    yield from _figure(f"{row_id(index)}-time", None, caption, said)


def _under_load(row: Summary, index: int) -> Iterable[str]:
    loaded = row.scenario.measurement.load
    if loaded is None or not loaded.timeline.users:
        return
    told = load_sentence(loaded, throughput=throughput(row))
    said = f"of {plain(row.name)} second by second: {plain(told)}"
    yield from _place(
        f"{row_id(index)}-load", 'data-plot="load"', "Users; requests and failures a second", f"Load {said}"
    )
    told = _told(row, "latency", "latency")
    yield from _place(
        f"{row_id(index)}-waits", 'data-plot="waits"', "p95 under load, second by second", f"{told}, {said}"
    )


def _told(row: Summary, metric: str, text: str) -> str:
    """The plot in words."""
    values = row.scenario.measurement.series[f"{metric}_s"]
    origin, before = earlier(row.scenario, f"{metric}_s")
    numbers = ", ".join(
        f"{name} {show(percentile(values, QUANTILES[name]), 's')}" for name in ("p50", "p95", "p99")
    )
    against = f"; baseline {plain(origin)}: p95 {show(percentile(before, 0.95), 's')}" if before else ""
    return f"Distribution of the {text} of {plain(row.name)}: {numbers}{against}"


def _figure(name: str, metric: str | None, caption: str, description: str) -> Iterable[str]:
    """A place to draw in: the distribution of *metric*, or the time line for None."""
    kind = 'data-plot="time"' if metric is None else f'data-plot="distribution" data-metric="{metric}"'
    yield from _place(name, kind, caption, description)


def _place(name: str, kind: str, caption: str, description: str) -> Iterable[str]:
    yield f'<figure><figcaption id="{name}">{escape(caption)}</figcaption>'
    yield f'<div class="plot" {kind} tabindex="0" role="img"'
    yield f' aria-label="{escape(description)}"></div>'
    yield '<output class="reading" aria-live="polite"></output></figure>'


def _checks(row: Summary) -> Iterable[Sequence[str]]:
    for check in row.scenario.verdict.checks:
        what = "against the baseline" if check.kind is CheckKind.REGRESSION else "limit"
        told = cells(check)
        numbers = (told.now, told.limit, told.baseline, told.ratio, str(check.n))
        yield f"{check.label} {what}", *numbers, words(check.outcome)


def _distribution_heading(row: Summary) -> tuple[str, ...]:
    origin, before = earlier(row.scenario, "latency_s")
    heading = ("", "n", "mean", "min", *_SHOWN_QUANTILES, "max")
    return (*heading, f"p95 of {plain(origin)}") if before else heading


def _distribution(row: Summary) -> Iterable[Sequence[str]]:
    compares = bool(earlier(row.scenario, "latency_s")[1])
    for name, metric in {**METRICS, **_steps(row.scenario.measurement)}.items():
        values = row.scenario.measurement.series.get(f"{name}_s", ())
        if metric.shape is not Shape.TIME or not values:
            continue
        shown = [name, str(len(values)), show(sum(values) / len(values), "s"), show(min(values), "s")]
        shown += [show(percentile(values, QUANTILES[quantile]), "s") for quantile in _SHOWN_QUANTILES]
        shown.append(show(max(values), "s"))
        if compares:
            shown.append(show(percentile(earlier(row.scenario, f"{name}_s")[1], 0.95), "s"))
        yield shown


def _steps(about: Measurement) -> dict[str, Metric]:
    return {STEP + name: metric_of(STEP + name) for name in names_in(about.series)}


def _failures(about: Measurement) -> Iterable[Sequence[str]]:
    for failure in about.failures:
        yield failure.kind, str(failure.count), plain(failure.example, limit=_EXAMPLE)


def _named_checks(about: Measurement) -> Iterable[Sequence[str]]:
    for check in sorted(about.checks, key=lambda check: check.count.rate):
        count = check.count
        yield check.name, check.label or "-", str(count.successes), str(count.trials), show(count.rate, "")


def _tokens(about: Measurement) -> Iterable[Sequence[str]]:
    tokens = about.tokens
    if not tokens.sources:
        return
    yield "input", str(tokens.input)
    if tokens.cached is not None:
        yield "of these from the prefix cache", str(tokens.cached)
    yield "output", str(tokens.output)
    if tokens.reasoning is not None:
        yield "of these for reasoning", str(tokens.reasoning)
    if about.characters and about.busy_s:
        yield "characters per second", f"{about.characters / about.busy_s:.0f}"
    if about.same_read.trials:
        yield "chunks in the same read as the one before", show(about.same_read.rate, "")
    yield "counted by", ", ".join(source.value for source in tokens.sources)


def _table(
    title: str, heading: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "wide"
) -> Iterable[str]:
    lines = [
        f'<tr><th scope="row">{escape(plain(first))}</th>'
        + "".join(f"<td>{escape(plain(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    ]
    if not lines:
        return
    yield f'<div class="{kind}" tabindex="0" role="region" aria-label="{title}"><table>'
    yield f"<caption>{title}</caption>"
    if any(heading):
        cells = "".join(f'<th scope="col">{escape(cell)}</th>' if cell else "<td></td>" for cell in heading)
        yield f"<thead><tr>{cells}</tr></thead>"
    yield f"<tbody>{''.join(lines)}</tbody></table></div>"


def _facts(row: Summary) -> Iterable[Sequence[str]]:
    """The conditions of measuring, beside those of the newest run it was compared with."""
    facts = row.scenario.measurement.facts
    before = row.scenario.compared_with[-1].facts if row.scenario.compared_with else {}
    for name, value in facts.items():
        then = before.get(name, "-") if before else ""
        yield name, value, f"{then} (differs)" if before and then != value else then


#: What is told of a scenario below its plots, in order; each gives nothing where there is nothing to tell.
SECTIONS: tuple[Callable[[Summary], Iterable[str]], ...] = (
    lambda row: _table(
        "Checks", ("check", "now", "limit", "baseline", "ratio", "n", "verdict"), _checks(row)
    ),
    lambda row: _table("Distribution", _distribution_heading(row), _distribution(row)),
    lambda row: _table(
        "Failed requests",
        ("kind", "requests", "for example"),
        _failures(row.scenario.measurement),
        kind="wide texts",
    ),
    lambda row: _table(
        "Named checks",
        ("check", "label", "passed", "of", "share"),
        _named_checks(row.scenario.measurement),
    ),
    lambda row: _table(
        "Connections", connection_notes.HEADING, connection_notes.table(row.scenario.measurement)
    ),
    lambda row: _table("Tokens", ("", "tokens"), _tokens(row.scenario.measurement)),
    lambda row: resources_table(row.scenario.measurement.resources),
    lambda row: _table("Cost", ("", ""), cost_section.table(row)),
    lambda row: _table("Cold and warm prompts", cache_section.HEADING, cache_section.table(row)),
    lambda row: _table("At the server", ("", "now", "before"), server_section.table(row)),
    lambda row: _table("Facts", ("", "now", "baseline"), _facts(row)),
)
