"use strict";
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const scenarios = [...document.querySelectorAll(".scenario")];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const short = (value) => (value == null ? "" : `${Number(value.toPrecision(3))} ms`);

  // ---- plots

  const range = (shares) => shares.map((_, index) => ((index + 1) / shares.length) * 100);

  /** Several lines with x of their own as the one table that uPlot wants. */
  const joined = (lines) => uPlot.join(lines.map((line) => [line.x, line.y]));

  /** Points of equal x: the highest share counts. uPlot's x must grow. */
  const risen = (values) => {
    const shares = range(values);
    const last = values.map((value, index) => value !== values[index + 1]);
    return { x: values.filter((_, index) => last[index]), y: shares.filter((_, index) => last[index]) };
  };

  const verticals = (marks) => ({
    hooks: {
      draw: [(plot) => {
        const { ctx, bbox } = plot;
        const pixel = devicePixelRatio || 1;
        ctx.save();
        ctx.font = `${11 * pixel}px system-ui, sans-serif`;
        ctx.textAlign = "left";
        marks.forEach(({ label, x, name, dash }, index) => {
          const left = Math.round(plot.valToPos(x, "x", true));
          if (left < bbox.left - 1 || left > bbox.left + bbox.width + 1) return;
          ctx.strokeStyle = ctx.fillStyle = colour(name);
          ctx.lineWidth = pixel;
          ctx.setLineDash(dash ? [4 * pixel, 3 * pixel] : []);
          ctx.beginPath();
          ctx.moveTo(left, bbox.top);
          ctx.lineTo(left, bbox.top + bbox.height);
          ctx.stroke();
          const width = ctx.measureText(label).width + 4 * pixel;
          const beside = left + width > bbox.left + bbox.width ? left - width : left + 3 * pixel;
          ctx.fillText(label, beside, bbox.top + (12 + 13 * (index % 6)) * pixel);
        });
        ctx.restore();
      }],
    },
  });

  const options = (place, series, { unit, low, marks = [], value, xLabel }) => ({
    width: Math.max(place.clientWidth, 240),
    height: 256,
    plugins: [verticals(marks)],
    legend: { live: true },
    cursor: { y: false, drag: { x: true, y: false } },
    scales: { x: { time: false, range: low }, y: { range: (_, min, max) => [0, unit === "%" ? 100 : max * 1.05 || 1] } },
    axes: [
      { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, label: xLabel, labelSize: 20, size: 36 },
      { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") }, size: 62,
        values: (_, ticks) => ticks.map((tick) => `${tick}${unit === "%" ? " %" : ""}`), label: unit === "%" ? undefined : unit, labelSize: 20 },
    ],
    series: [{ label: value.label, value: (_, x) => value.show(x) }, ...series],
  });

  const drawings = {
    distribution(place, data) {
      const stepped = uPlot.paths.stepped({ align: 1 });
      const line = (label, name, dash) => ({
        label, stroke: colour(name), width: 2, dash, paths: stepped, spanGaps: true, points: { show: false },
        value: (_, share) => (share == null ? "" : `${Number(share.toFixed(1))} %`),
      });
      const series = [line("now", "now")];
      const lines = [risen(data.now)];
      if (data.before.length) {
        series.push(line(`baseline ${data.origin}`, "before", [6, 4]));
        lines.push(risen(data.before));
      }
      const marks = [
        ...data.marks.map((mark) => ({ ...mark, name: "mark" })),
        ...data.limits.map((mark) => ({ ...mark, name: "limit", dash: true })),
      ];
      const ends = [...data.now, ...data.before];
      const least = Math.min(...ends);
      const most = Math.max(...ends);
      // A limit far away would squeeze the curve: it is shown when it is near.
      const far = 2 * (most - least);
      const near = data.limits.map((limit) => limit.x).filter((x) => x > least - far && x < most + far);
      const bottom = Math.min(least, ...near);
      const top = Math.max(most, ...near);
      const margin = 0.04 * (top - bottom) || 1;
      return new uPlot(options(place, series, {
        unit: "%", marks, xLabel: "ms",
        low: (plot, min, max) => (plot.zoomed ? [min, max] : [bottom - margin, top + margin]),
        value: { label: "within", show: short },
      }), joined(lines), place);
    },
    time(place, data) {
      const names = { latency: "now", ttft: "second", itl: "third", "warm-up": "before" };
      const words = { ttft: "TTFT", itl: "between tokens" };
      const series = data.lines.map((line) => ({
        label: words[line.label] ?? line.label, stroke: colour(names[line.label]), width: 1, spanGaps: true,
        points: { show: line.x.length <= 200, size: 4 }, value: (_, value) => short(value),
      }));
      return new uPlot(options(place, series, {
        unit: "ms", xLabel: "request", value: { label: "request", show: (x) => x ?? "" },
      }), joined(data.lines), place);
    },
  };

  /** Lines over the seconds of a load profile. */
  const seconds = (place, x, lines, unit, shown) => new uPlot(options(place, lines.map(({ label, name }) => ({
    label, stroke: colour(name), width: 1.5, spanGaps: false, points: { show: x.length <= 60, size: 4 }, value: (_, value) => shown(value),
  })), { unit, xLabel: "s", value: { label: "second", show: (value) => value ?? "" } }), [x, ...lines.map((line) => line.y)], place);

  drawings.load = (place, { load }) => seconds(place, load.x, [
    { label: "users", name: "now", y: load.users },
    { label: "requests/s", name: "second", y: load.requests },
    { label: "failed/s", name: "limit", y: load.failed },
    // Due, and not sent yet: the generator's own queue, that is drawn where there ever was one.
    ...(Math.max(0, ...load.queued) ? [{ label: "not sent yet", name: "before", y: load.queued }] : []),
    // What the server says of itself, where it does.
    ...(Math.max(0, ...load.server_running) ? [{ label: "running at the server", name: "third", y: load.server_running }] : []),
    ...(Math.max(0, ...load.server_waiting) ? [{ label: "waiting at the server", name: "mark", y: load.server_waiting }] : []),
  ], "", (value) => (value == null ? "" : Number(value.toPrecision(3))));

  drawings.waits = (place, { load }) => seconds(place, load.x, [{ label: "p95", name: "now", y: load.p95 }], "ms", short);

  const drawn = new Map();

  const draw = (place) => {
    drawn.get(place)?.destroy();
    const all = plots[place.closest(".scenario").id];
    const data = place.dataset.metric ? all.distributions[place.dataset.metric] : all;
    const plot = drawings[place.dataset.plot](place, data);
    plot.hooks.setSelect = [() => { plot.zoomed = true; }];
    plot.over.addEventListener("dblclick", () => { plot.zoomed = false; });
    drawn.set(place, plot);
    place.dataset.drawn = "yes";
  };

  const places = (scenario) => [...scenario.querySelectorAll(".plot")];
  const drawOpen = (scenario) => {
    if (scenario.open) places(scenario).filter((place) => !drawn.has(place)).forEach(draw);
  };
  const redraw = () => [...drawn.keys()].forEach((place) => { if (place.clientWidth) draw(place); });

  /** Arrow keys read the plot out, point by point. */
  const read = (event) => {
    const place = event.currentTarget;
    const plot = drawn.get(place);
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity, PageUp: -20, PageDown: 20 }[event.key];
    if (!plot || !step) return;
    event.preventDefault();
    const last = plot.data[0].length - 1;
    const from = Number(place.dataset.index ?? (step > 0 ? -1 : last + 1));
    const index = Math.min(last, Math.max(0, from + step));
    place.dataset.index = index;
    plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 0 });
    const parts = plot.series.map((series, number) => {
      const value = plot.data[number][index];
      return value == null ? "" : `${series.label} ${series.value(plot, value)}`;
    });
    place.parentElement.querySelector(".reading").textContent = parts.filter(Boolean).join(", ");
  };

  scenarios.forEach((scenario) => {
    scenario.addEventListener("toggle", () => drawOpen(scenario));
    places(scenario).forEach((place) => place.addEventListener("keydown", read));
  });
  // Few are open at first, so a long page opens at once.
  scenarios.forEach(drawOpen);

  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = scenarios.filter((scenario) => !scenario.open);
    scenarios.forEach((scenario) => { scenario.open = true; drawOpen(scenario); });
    redraw();
  });
  addEventListener("afterprint", () => folded.forEach((scenario) => { scenario.open = false; }));

  const show = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", show);
  show();

  // ---- filter and order

  const table = document.getElementById("scenarios");
  if (!table) return;
  const rows = [...table.tBodies]; // a scenario's numbers, and its reason
  const boxes = [...document.querySelectorAll("input[name=outcome]")];
  const name = document.getElementById("name");
  const count = document.getElementById("count");

  const filter = () => {
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const text = name.value.trim().toLowerCase();
    rows.forEach((row) => {
      const shown = wanted.has(row.dataset.outcome) && row.querySelector("a").textContent.toLowerCase().includes(text);
      row.hidden = !shown;
      document.querySelector(row.querySelector("a").hash).hidden = !shown;
    });
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = left === rows.length ? "" : `${left} of ${rows.length} shown`;
  };
  boxes.forEach((box) => box.addEventListener("change", filter));
  name.addEventListener("input", filter);
  document.querySelector(".filter").addEventListener("submit", (event) => event.preventDefault());
  filter();

  document.getElementById("unfold").addEventListener("click", (event) => {
    const open = scenarios.some((scenario) => !scenario.open);
    scenarios.forEach((scenario) => { scenario.open = open; });
    event.currentTarget.textContent = open ? "Close all" : "Open all";
  });

  const key = (row, index) => {
    const cell = row.rows[0].cells[index];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const before = (one, other, direction) => {
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1; // "-" goes last, either way
    return direction * (typeof one === "number" ? one - other : one.localeCompare(other));
  };
  [...table.tHead.rows[0].cells].forEach((heading, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      [...table.tHead.rows[0].cells].forEach((cell) => cell.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const ordered = [...rows].sort((a, b) => before(key(a, index), key(b, index), down ? -1 : 1));
      table.append(...ordered);
    });
  });
})();
