from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from pytest_llmperf.core.plain import UNSAFE
from pytest_llmperf.reports.html import render

VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """Elements with their attributes; raises where one is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data)


@pytest.fixture(scope="module")
def everything(runs):
    return render(runs.everything())


def test_every_element_is_closed(everything):
    Page(everything)


def test_nothing_is_loaded_from_anywhere(everything):
    page = Page(everything)
    loading = [
        (tag, name)
        for tag, attributes in page.elements
        for name in attributes
        if name in {"src", "srcset", "data", "action"}
    ]
    links = [attributes.get("href", "") for tag, attributes in page.elements if tag in {"a", "link"}]
    assert (loading, [link for link in links if not link.startswith("#")]) == ([], [])


def test_every_link_leads_to_a_scenario_of_the_page(everything):
    page = Page(everything)
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {attributes["href"][1:] for tag, attributes in page.elements if tag == "a"} <= ids


def test_every_identifier_is_unique(everything):
    ids = [attributes["id"] for _, attributes in Page(everything).elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_names_are_shown_and_make_no_element(runs):
    page = Page(render(runs.of("hostile")))
    ours = {attributes.get("type") for tag, attributes in page.elements if tag == "script"}
    assert (ours, any("<script>alert(1)</script>" in text for text in page.text)) == (
        {"application/json", None},
        True,
    )


def test_an_event_handler_in_a_name_stays_text(runs):
    scenario = runs.judged(runs.measured('x" onmouseover="alert(1)'))
    page = Page(render(runs.run_of(scenario)))
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_data_cannot_end_the_script_that_holds_it(runs):
    scenario = runs.scenario("passed")
    stored = tuple(dataclasses.replace(run, label="</script><b>") for run in scenario.stored)
    page = Page(render(runs.run_of(dataclasses.replace(scenario, stored=stored))))
    assert "b" not in {tag for tag, _ in page.elements}


def test_the_policy_allows_exactly_the_scripts_of_the_page(everything):
    import base64
    import hashlib

    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', everything)[1])
    scripts = re.findall(r"<script>(.*?)</script>", everything, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.search(r"script-src ([^;]*)", policy)[1] == " ".join(f"'sha256-{each}'" for each in hashes)


def test_no_control_character_reaches_the_page(everything):
    assert not UNSAFE.search("".join(Page(everything).text).replace("\n", ""))


def test_the_verdict_of_every_scenario_is_text_and_not_only_colour(everything):
    assert len(re.findall(r'<span class="verdict [a-z_]+">[a-z ]+</span>', everything)) == 1 + 2 * 11


def test_a_warning_stands_in_its_scenario(runs):
    scenario = runs.judged(runs.measured(warnings=("first failing iteration: <b>AssertionError</b>",)))
    page = render(runs.run_of(scenario))
    section = page[page.index('<details class="scenario"') : page.index("</details>")]
    assert "warning: first failing iteration: &lt;b&gt;AssertionError&lt;/b&gt;" in section


def test_every_plot_says_in_words_what_it_shows(everything):
    plots = [attributes for _, attributes in Page(everything).elements if "data-plot" in attributes]
    assert plots
    assert all("p95" in attributes["aria-label"] for attributes in plots)


def test_a_failed_request_is_shown_with_its_example(everything):
    assert "connection refused (127.0.0.1:8000)" in "".join(Page(everything).text)


def test_the_worst_come_first_with_a_sentence_per_broken_gate(runs):
    page = render(runs.of("passed", "regressed", "failed"))
    section = page.partition('<section class="broken"')[2].partition("</section>")[0]
    assert re.findall(r'<a href="#s\d">(\w+)</a>', section) == ["test_router", "test_summary"]
    assert section.count("<p>") == 3  # the summary regressed in two ways
    assert re.findall(r'<details class="scenario" id="s\d" data-outcome="(\w+)"', page) == [
        "failed",
        "regressed",
        "passed",
    ]


def test_only_the_three_worst_are_told_at_the_top_and_the_others_counted(runs):
    scenarios = [runs.scenario("failed", f"test_{index}") for index in range(5)]
    section = (
        render(runs.run_of(*scenarios)).partition('<section class="broken"')[2].partition("</section>")[0]
    )
    assert (section.count("<li>"), "and 2 more below" in section) == (3, True)


def test_nothing_is_said_of_breaking_where_nothing_broke(runs):
    assert "What broke" not in render(runs.of("passed", "no_baseline"))


def test_what_differs_from_the_baseline_is_marked(runs):
    scenario = runs.scenario("passed")
    facts = {**scenario.measurement.facts, "server": "vllm 0.9"}
    stored = tuple(
        dataclasses.replace(run, facts={**run.facts, "server": "vllm 0.8"}) for run in scenario.stored
    )
    measurement = dataclasses.replace(scenario.measurement, facts=facts)
    page = render(runs.run_of(dataclasses.replace(scenario, measurement=measurement, stored=stored)))
    assert '<th scope="row">server</th><td>vllm 0.9</td><td>vllm 0.8 (differs)</td>' in page
    assert '<th scope="row">hardware</th><td>RTX 4060</td><td>RTX 4060</td>' in page


def test_the_page_says_when_it_draws_fewer_points_than_there_are(runs):
    assert "that keep every extreme" not in render(runs.of("passed"))
    assert "1000 points that keep every extreme" in render(runs.run_of(runs.judged(runs.measured(n=1500))))


def test_a_run_without_scenarios_is_a_page(runs):
    assert "no scenario was measured" in "".join(Page(render(runs.of())).text)


def big(runs):
    scenario = runs.judged(runs.measured(n=2000), runs.slo(p95_ms=150), runs.stored(n=1000, runs=5))
    return runs.run_of(
        *(
            dataclasses.replace(
                scenario, measurement=dataclasses.replace(scenario.measurement, name=f"test_{index}")
            )
            for index in range(50)
        )
    )


def test_fifty_scenarios_with_100_000_samples_take_less_than_two_megabytes(runs):
    assert len(render(big(runs)).encode()) < 2_000_000


# ---- in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=10000",
    "--dump-dom",
)
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Browser:
    """Opens a page, does something on it, and tells what it found."""

    def __init__(self, folder) -> None:
        self._folder = folder

    def opened(self, page: str) -> tuple[str, list[str]]:
        """The page as it stands after its scripts ran, and what the browser complained about."""
        path = self._folder / "report.html"
        path.write_text(page, encoding="utf-8")
        result = subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={self._folder / 'profile'}", path.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]

    def after(self, page: str, script: str):
        """What *script*, the body of a function, returns on the page."""
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        driver = f"<script>document.title = JSON.stringify((() => {{ {script} }})())</script></body>"
        dom, complaints = self.opened(page.replace("</body>", driver))
        assert not complaints
        return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]))


@pytest.fixture
def chromium(tmp_path):
    return Browser(tmp_path)


@browser
def test_the_page_opens_without_a_complaint_and_draws_what_is_open(chromium, everything):
    dom, complaints = chromium.opened(everything)
    assert (complaints, dom.count('data-drawn="yes"'), dom.count("<canvas")) == ([], 4, 4)


@browser
def test_a_script_that_got_into_the_page_does_not_run(chromium, everything):
    dom, complaints = chromium.opened(
        everything.replace("</main>", "<script>document.title='owned'</script></main>")
    )
    assert ("owned</title>" in dom, len(complaints)) == (False, 1)


@browser
def test_opening_all_draws_every_plot(chromium, everything):
    found = chromium.after(
        everything,
        """
        document.getElementById("unfold").click();
        dispatchEvent(new Event("beforeprint"));
        const drawn = document.querySelectorAll(".plot[data-drawn]").length;
        return [drawn, document.querySelectorAll(".plot").length];
        """,
    )
    assert found == [36, 36]


@browser
def test_what_was_folded_is_folded_again_after_printing(chromium, everything):
    found = chromium.after(
        everything,
        """
        const open = () => document.querySelectorAll(".scenario[open]").length;
        const before = open();
        dispatchEvent(new Event("beforeprint"));
        const printed = open();
        dispatchEvent(new Event("afterprint"));
        return [before === open(), printed === document.querySelectorAll(".scenario").length];
        """,
    )
    assert found == [True, True]


@browser
def test_a_plot_has_ink_on_it(chromium, everything):
    found = chromium.after(
        everything,
        """
        return [...document.querySelectorAll("canvas")].map((canvas) =>
          new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size > 20);
        """,
    )
    assert found == [True] * 4


SHOWN = """
const links = document.querySelectorAll("#scenarios tbody:not([hidden]) a");
return [...links].map((link) => link.textContent);
"""


@browser
def test_a_verdict_can_be_filtered_away(chromium, runs):
    script = f'document.querySelector("input[value=passed]").click(); {SHOWN}'
    assert chromium.after(render(runs.of("passed", "failed", "priced")), script) == [
        "test_router",
        "test_priced",
    ]


@browser
def test_what_is_filtered_away_is_hidden_below_too(chromium, runs):
    script = (
        'document.querySelector("input[value=passed]").click();'
        'return [...document.querySelectorAll(".scenario[hidden]")].map((each) => each.id);'
    )
    assert chromium.after(render(runs.of("passed", "failed")), script) == ["s2"]


@browser
def test_names_can_be_searched(chromium, runs):
    script = (
        """
    const box = document.getElementById("name");
    box.value = "ROUT";
    box.dispatchEvent(new Event("input"));
    """
        + SHOWN
    )
    assert chromium.after(render(runs.of("passed", "failed")), script) == ["test_router"]


@browser
@pytest.mark.parametrize(
    ("clicks", "order"),
    [(1, ["test_chat", "test_summary", "test_broken"]), (2, ["test_summary", "test_chat", "test_broken"])],
)
def test_a_click_on_a_heading_sorts_and_a_number_that_is_missing_goes_last(chromium, runs, clicks, order):
    script = """
    const headings = [...document.querySelectorAll("#scenarios thead th")];
    const button = headings.find((heading) => heading.textContent === "p95").querySelector("button");
    """
    page = render(runs.of("regressed", "unreachable", "passed"))
    assert chromium.after(page, script + "button.click();" * clicks + SHOWN) == order


@browser
def test_a_reason_follows_its_scenario_when_the_table_is_sorted(chromium, runs):
    found = chromium.after(
        render(runs.of("passed", "not_comparable", "no_baseline")),
        """
        document.querySelector("#scenarios thead th button").click();
        document.querySelector("#scenarios thead th button").click();
        return [...document.querySelectorAll("#scenarios tbody tr")].map((row) =>
          row.className || row.querySelector("a").textContent);
        """,
    )
    assert found == ["test_new", "why", "test_moved", "why", "test_chat"]


def test_a_reason_has_the_whole_width_of_the_table(runs):
    page = render(runs.of("not_comparable")).replace("\n", "")
    columns = page.count('<th scope="col"', page.index('id="scenarios"'), page.index("</thead>"))
    reason = re.search(r'<tr class="why"><td colspan="(\d+)">([^<]+)</td></tr></tbody>', page)
    assert int(reason[1]) == columns
    assert "hardware: L4 then" in reason[2]


def test_the_distribution_goes_from_the_fastest_to_the_slowest(runs):
    page = render(runs.of("passed"))
    table = page[page.index("<caption>Distribution</caption>") :]
    heads = re.findall(r'<th scope="col">([^<]*)</th>', table[: table.index("</thead>")])
    assert [head for head in heads if head in {"mean", "min", "p50", "p99", "max"}] == [
        *("mean", "min", "p50", "p99", "max")
    ]
    row = re.search(r'<th scope="row">latency</th>(.*?)</tr>', table, re.DOTALL)[1]
    numbers = [float(number) for number in re.findall(r"<td>([\d.]+) ms</td>", row)]
    assert numbers[1:7] == sorted(numbers[1:7])


def test_a_reason_is_told_once_at_the_top_and_not_again_in_the_table(runs):
    assert 'class="why"' not in render(runs.of("regressed", "unreachable", "passed"))


def test_a_reason_that_several_scenarios_share_is_told_once(runs):
    page = render(runs.run_of(runs.scenario("no_baseline", "test_a"), runs.scenario("no_baseline", "test_b")))
    table = page[page.index('id="scenarios"') : page.index("</section>", page.index('id="scenarios"'))]
    assert table.count("no baseline stored yet") == 1
    assert "test_a, test_b: no baseline stored yet" in table


@browser
def test_arrow_keys_read_a_plot_out(chromium, runs):
    found = chromium.after(
        render(runs.of("regressed")),
        """
        const plot = document.querySelector("[data-plot=time]");
        plot.dispatchEvent(new KeyboardEvent("keydown", {key: "End"}));
        plot.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
        return plot.parentElement.querySelector(".reading").textContent;
        """,
    )
    assert re.fullmatch(r"request 199, latency [\d.]+ ms, TTFT [\d.]+ ms, between tokens [\d.]+ ms", found)


@browser
def test_a_link_to_a_scenario_opens_it(chromium, runs):
    script = """
    location.hash = "#s1";
    dispatchEvent(new Event("hashchange"));
    return document.getElementById("s1").open;
    """
    assert chromium.after(render(runs.of("passed")), script) is True


def under_load(runs, seconds=10):
    from pytest_llmperf.core.load_report import LoadReport
    from pytest_llmperf.core.timeline import Timeline

    line = Timeline(
        started=(20,) * seconds,
        finished=(20,) * seconds,
        failed=(0, 3) * (seconds // 2),
        tokens=(400,) * seconds,
        p95_s=(None, *((0.2,) * (seconds - 2)), 0.9),
        in_flight=(4,) * seconds,
        users=tuple(range(seconds)),
        server_running=(None, *((8.0,) * (seconds - 1))),
        server_waiting=(None, *range(1, seconds)),
    )
    load = LoadReport(profile="20/s <b>", planned=200, started=200, peak=12, timeline=line)
    return runs.run_of(runs.judged(runs.measured(n=200, load=load), runs.slo(p95_ms=1)))


def test_the_time_line_of_a_load_profile_is_drawn_from_few_points_that_keep_the_worst(runs):
    from pytest_llmperf.reports.plots import plot_data

    drawn = plot_data(under_load(runs, seconds=3000).scenarios[0])["load"]
    assert {name: len(values) for name, values in drawn.items()} == dict.fromkeys(drawn, 300)
    assert (max(drawn["p95"]), max(drawn["users"]), max(drawn["server_waiting"])) == (900, 2999, 2999)
    assert drawn["requests"][0] == 20
    assert drawn["failed"][0] == 1.5


def test_how_a_load_was_carried_out_is_told_in_its_own_section(runs):
    assert '<p class="quiet">load: 20/s &lt;b&gt;, 200 of 200 arrivals, at most 12 at once, ' in render(
        under_load(runs)
    )


def test_the_last_second_of_a_load_is_not_a_whole_one_and_gives_no_rate(runs):
    from pytest_llmperf.reports.plots import plot_data

    drawn = plot_data(under_load(runs, seconds=6).scenarios[0])["load"]
    assert drawn["requests"][-2:] == [20, None]
    assert drawn["failed"][-1] is None
    assert drawn["users"][-1] == 5


@browser
def test_a_load_profile_has_plots_of_its_own(chromium, runs):
    page = render(under_load(runs))
    assert "Load of test_router second by second: 20/s &lt;b&gt;, 200 of 200 arrivals" in page
    dom, complaints = chromium.opened(page)
    assert (complaints, dom.count('data-drawn="yes"')) == ([], 6)


@browser
def test_the_servers_own_queue_is_drawn_beside_the_users(chromium, runs):
    script = """
    const labels = document.querySelectorAll("[data-plot=load] .u-legend .u-label");
    return [...labels].map((label) => label.textContent).join(", ");
    """
    shown = chromium.after(render(under_load(runs)), script)
    assert shown.endswith("users, requests/s, failed/s, running at the server, waiting at the server")
