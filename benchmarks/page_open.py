"""How large the HTML report of 50 scenarios with 100 000 samples is, and how long Chromium takes to open it.

    python benchmarks/page_open.py

Times are the page's own: navigation start to the load event, and to the end of its scripts' first drawing.
Needs Chromium; take the figures on a quiet machine.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pytest_llmperf.core.baseline import History, StoredRun
from pytest_llmperf.core.judge import judge
from pytest_llmperf.core.measurement import Count, Measurement
from pytest_llmperf.core.run import Run, Scenario
from pytest_llmperf.core.slo import build, parse_arguments
from pytest_llmperf.reports.html import render

SCENARIOS, SAMPLES = 50, 2000
REPORT = """<script>addEventListener("load", () => setTimeout(() => {
  const [entry] = performance.getEntriesByType("navigation");
  const drawn = document.querySelectorAll("canvas").length;
  document.title = JSON.stringify({load_ms: entry.loadEventEnd, drawn});
}));</script></body>"""


def times(n: int, seed: int) -> tuple[float, ...]:
    rng = random.Random(seed)
    return tuple(0.1 * rng.lognormvariate(0, 0.3) for _ in range(n))


def scenario(index: int) -> Scenario:
    latency = times(SAMPLES, index)
    series = {
        "latency_s": latency,
        "ttft_s": tuple(value / 2 for value in latency),
        "itl_s": tuple(value / 99 for value in latency),
    }
    measured = Measurement(
        scenario=f"tests/test_{index}.py::test_{index}",
        name=f"test_{index}",
        series=series,
        proportions={"success_rate": Count(successes=SAMPLES, trials=SAMPLES)},
        sent=SAMPLES,
    )
    stored = tuple(
        StoredRun(scenario="any", saved="2026-05-04", series={"latency_s": times(1000, 100 + run)})
        for run in range(3)
    )
    slo = build(parse_arguments({"p95_ms": 120}, where="benchmark"))
    return Scenario(
        measurement=measured, slo=slo, verdict=judge(measured, slo, History(runs=stored)), stored=stored
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    page = render(Run(started="2026-05-05T08:00:00+00:00", scenarios=tuple(map(scenario, range(SCENARIOS)))))
    print(f"{len(page.encode()) / 1e6:.2f} MB, {SCENARIOS} scenarios, {SCENARIOS * SAMPLES} samples")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium: the time was not taken")
        return
    timed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", REPORT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(timed, encoding="utf-8")
        for _ in range(5):
            shown = subprocess.run(
                [
                    chromium,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    f"--user-data-dir={folder}/profile",
                    "--timeout=10000",
                    "--dump-dom",
                    path.as_uri(),
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
            title = re.search(r"<title>(.*?)</title>", shown, re.DOTALL)[1]
            found = json.loads(html.unescape(title))
            print(f"loaded in {found['load_ms']:.0f} ms, {found['drawn']} canvases drawn")


if __name__ == "__main__":
    main()
