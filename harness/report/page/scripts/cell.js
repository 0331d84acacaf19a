// One cell: what became of it, why, whose fault, what to do, its numbers, and its history.

function showCell(chosen) {
  const table = tableById.get(chosen.get("table"));
  const cell = table && cellIn(table, chosen.get("cell") ?? "");
  if (!cell || cell.at === null) {
    show(...heading("No such cell", "This page does not have it."), absentTable(chosen, "table", ""), h("p", { class: "section" }, h("a", { href: href("list", { q: chosen.get("cell") ?? "" }) }, "Look for it")));
    return;
  }
  show(
    h("nav", { class: "crumbs", "aria-label": "Where this is" }, h("a", { href: href("grid", { table: table.id }), id: "up" }, `Grid of ${tableTitle(table)}`)),
    h("h1", { tabindex: "-1", class: "cell-id" }, h("span", { class: "dim" }, `${table.combination}/`), cell.model, h("span", { class: "dim" }, "/"), cell.strategy),
    h("div", { class: "cell-head" }, chip(cell), h("span", { class: "quiet small" }, `on ${table.device}, tier ${table.tier}, ${minute(table.started)} UTC`), neighbours(cell)),
    stageTrack(cell),
    whySection(cell),
    h("div", { class: "columns section" }, matchPanel(cell), nativePanel(cell)),
    historySection(cell),
    figuresSection(cell),
  );
  drawChart(cell);
}

/** The same cell in the newest tables of other combinations. */
function neighbours(cell) {
  const others = currentTables().filter((table) => table !== cell.table && table.device === cell.table.device && table.series === cell.table.series).map((table) => cellIn(table, cell.name)).filter((other) => other && other.at !== null);
  return others.map((other) => h("a", { class: "small", href: cellHref(other) }, `${other.table.combination}: ${signOf(other.outcome)} ${other.state}`));
}

function stageTrack(cell) {
  if (cell.outcome === "not-applicable") return "";
  const here = DATA.stages.indexOf(cell.stage);
  return h("ol", { class: "track", "aria-label": "How far it came" }, DATA.stages.map((name, at) => {
    const ended = at === here;
    const came = cell.outcome === "passed" ? at <= here : at < here;
    return h("li", { class: ended && cell.outcome !== "passed" ? `here ${cell.outcome}` : came ? "done" : null, "aria-current": ended ? "step" : null }, name);
  }));
}

function whySection(cell) {
  const error = cell.text("error");
  const difference = cell.text("difference");
  const reason = cell.reason;
  if (!reason && !cell.broken) return "";
  const blame = blameOf(cell);
  const alike = cell.get("fingerprint") === null ? [] : cellsOf(cell.table).filter((other) => other !== cell && other.get("fingerprint") === cell.get("fingerprint"));
  const instead = cell.broken ? cellsOf(cell.table).filter((other) => other.model === cell.model && other.outcome === "passed" && other.strategy !== DATA.baseline) : [];
  return h("section", { class: "section" },
    h("h2", null, cell.broken ? "Why" : "Why it cannot exist"),
    h("div", { class: "stack" },
      h("div", { class: `error ${cell.outcome}`, tabindex: "0", role: "group", "aria-label": "Error" }, reason || "No error was recorded."),
      difference && error && !error.includes(difference) && h("p", { class: "text small" }, difference),
      cell.broken && facts([
        ...knownOf(cell),
        ["operator", cell.text("operator")],
        ["place", cell.text("place")],
        ["fingerprint", cell.get("fingerprint") !== null && h("code", null, cell.text("fingerprint"))],
        ["passes instead", instead.length > 0 && cellTags(instead.map((other) => other.name), cell.table)],
        ["also here", alike.length > 0 && h("span", null, cellTags(alike.map((other) => other.name), cell.table))],
      ].filter(([, value]) => value)),
      blame.map(blameCard),
      cell.broken && !blame.length && h("p", { class: "note" }, "Which version did it is told by trials: ", h("code", null, "harness bump"), " makes them, and none is recorded beside this table for this cell."),
      cell.broken && cell.table.folder && commandsOf(cell)));
}

function commandsOf(cell) {
  const reference = quoted(`${cell.table.folder}/${cell.name}`);
  return h("div", null, h("h3", null, cell.get("reproducible") ? "Reproduce it" : "Look into it"),
    cell.get("reproducible") && command(`harness reproduce ${reference}`),
    command(`harness explain ${reference}`));
}

// An id may begin with its combination: COMBINATION/MODEL/STRATEGY, of MODEL/STRATEGY.
function isOf(id, name) {
  return id === name || id.endsWith(`/${name}`);
}

function blameOf(cell) {
  return (cell.table.blame?.causes ?? []).filter(({ cells }) => cells.some((number) => isOf(textOf(number), cell.name)));
}

function matchPanel(cell) {
  const probes = cell.get("probes_total");
  const told = [];
  if (probes !== null) {
    const passed = cell.get("probes_passed");
    told.push(passed === null ? `${probes}, none was run` : `${passed} of ${probes} passed`);
    if (cell.get("probes_skipped")) told.push(`${cell.get("probes_skipped")} of another shape skipped`);
    if (cell.get("probes_derived")) told.push(`${cell.get("probes_derived")} made from the example`);
  }
  return h("div", { class: "panel" }, h("h2", null, "Against the native output"), facts([
    ["relative error", cell.get("relative_error") === null ? "" : `${exponent(cell.get("relative_error"))} (tolerance ${exponent(cell.get("tolerance"))})`],
    ["of the probes", exponent(cell.get("probes_relative_error"))],
    ["probes", told.join(", ")],
    ["grade", cell.text("grade")],
    ["accuracy", cell.get("accuracy_native") === null ? "" : `${figure(cell.get("accuracy_converted"))} (native ${figure(cell.get("accuracy_native"))})`],
    ["artifact", bytes(cell.get("artifact_bytes"))],
    ["served by", cell.text("provider")],
  ]), cell.get("relative_error") === null && probes === null && h("p", { class: "note" }, "It did not come so far."));
}

function nativePanel(cell) {
  const native = cellIn(cell.table, `${cell.model}/${DATA.baseline}`);
  const rows = [
    ["latency, ms", "latency_ms", figure],
    ["peak memory, MiB", "rss_peak_mb", figure],
    ["load, s", "load_s", figure],
  ].map(([label, column, shown]) => ({ label, value: cell.get(column), of: native?.get(column) ?? null, shown })).filter(({ value }) => value !== null);
  const doubts = cell.text("latency_quality").split(", ").filter(Boolean);
  return h("div", { class: "panel" }, h("h2", null, "Latency and memory"),
    rows.length === 0
      ? h("p", { class: "note" }, "Neither was measured.")
      : scrolling("Against native", h("table", { class: "list" },
        h("caption", { class: "unseen" }, "Figures of this cell and of the native one of the same run"),
        h("thead", null, h("tr", null, ["", "here", "native", "ratio"].map((name, at) => h(at ? "th" : "td", at ? { scope: "col", class: "number" } : null, name)))),
        h("tbody", null, rows.map(({ label, value, of, shown }) => h("tr", null, h("th", { scope: "row" }, label),
          h("td", { class: "number" }, label.startsWith("latency") ? care(cell) : "", shown(value)),
          h("td", { class: "number" }, shown(of)),
          h("td", { class: "number" }, typeof value === "number" && of > 0 ? `×${figure(value / of)}` : "")))))),
    launchStrip(cell, native),
    doubts.map((word) => h("p", { class: "note" }, sentence(`~ ${word}: ${DATA.doubts[word] ?? "to be taken with care"}.`))));
}

/** The launches of the cell and of the native one on one axis: what varies within a run is seen beside the difference. */
function launchStrip(cell, native) {
  const here = cell.get("launched") ?? [];
  const there = native && native !== cell ? (native.get("launched") ?? []) : [];
  const all = [...here, ...there];
  if (here.length < 2) return "";
  const high = Math.max(...all) * 1.05;
  const x = (value) => 64 + (value / high) * 320;
  const row = (values, y, name, kind) => [svg("text", { x: 0, y: y + 4 }, name), svg("line", { class: "axis", x1: 64, x2: 390, y1: y, y2: y }), values.map((value) => svg("circle", { class: kind, cx: x(value).toFixed(1), cy: y, r: 4, "fill-opacity": "0.75" }))];
  const label = `Medians of launches in ms: here ${here.map(figure).join(", ")}${there.length ? `; native ${there.map(figure).join(", ")}` : ""}`;
  return h("figure", { class: "versus" },
    svg("svg", { viewBox: `0 0 400 ${there.length ? 70 : 46}`, role: "img", "aria-label": label },
      row(here, 14, "here", "this-dot"), there.length ? row(there, 38, "native", "native-dot") : [],
      svg("text", { x: 64, y: there.length ? 62 : 38 }, "0"), svg("text", { x: 390, y: there.length ? 62 : 38, "text-anchor": "end" }, `${figure(high)} ms`)),
    h("figcaption", { class: "small quiet" }, "The median of each launch."));
}

const labelOf = ({ title, unit }) => `${title}, ${unit}`;

function historySection(cell) {
  const seen = sightingsOf(cell);
  const changes = changesOf(cell);
  const newest = [...seen].reverse();
  const machines = [...new Set(seen.map((each) => textOf(each.table.machine)))];
  return section("History", "All runs on this page that had this cell, by version.",
    h("div", { class: "stack" }, DATA.combinations.filter((name) => seen.some((each) => each.table.combination === name)).map((name) => h("div", null,
      h("h3", { class: "small" }, name),
      h("ol", { class: "spark", "aria-label": `Outcomes under ${name}, the oldest first` }, seen.filter((each) => each.table.combination === name).map((each) => h("li", null,
        h("a", { class: each.outcome, href: cellHref(each), title: `${minute(each.table.started)}: ${each.state}`, "aria-label": `${minute(each.table.started)}, ${each.table.series}: ${each.state}`, "aria-current": each === cell ? "true" : null }, signOf(each.outcome)))))))),
    h("div", { class: "columns charts", id: "charts" }),
    changes.map(changeNote),
    DATA.no_changes !== null && h("p", { class: "note" }, textOf(DATA.no_changes)),
    scrolling("History", h("table", { class: "list" },
      h("caption", null, "The newest run first, with what had moved since the run before it under the same combination. Numbers of different machines do not stand for one another."),
      h("thead", null, h("tr", null, ["run (UTC)", "on", "table", "outcome", ...DATA.numbers.map(labelOf), "relative error", "what had moved"].map((name, at) => h("th", { scope: "col", class: at > 3 && at < 5 + DATA.numbers.length ? "number" : null }, name)))),
      h("tbody", null, newest.map((each) => h("tr", { "aria-current": each === cell ? "true" : null },
        h("th", { scope: "row", class: "nowrap" }, h("a", { href: cellHref(each) }, minute(each.table.started))),
        h("td", null, letterOf(machines.indexOf(textOf(each.table.machine)))),
        h("td", { class: "nowrap" }, tableTitle(each.table)),
        h("td", null, chip(each)),
        DATA.numbers.map(({ column }) => h("td", { class: "number" }, column === "latency_ms" && each.get(column) !== null ? care(each) : "", figure(each.get(column)))),
        h("td", { class: "number" }, exponent(each.get("relative_error"))),
        h("td", { class: "small moved-pins text" }, [each.text("moved"), each.get("carried_from") === null ? "" : `carried over from ${each.text("carried_from")}`].filter(Boolean).join("; "))))))),
    h("ul", { class: "legend", "aria-label": "Machines" }, machines.map((machine, at) => h("li", { class: "text" }, `${letterOf(at)}: ${machine}`))));
}

function changesOf(cell) {
  const id = `${cell.table.combination}/${cell.name}`;
  return DATA.changes.filter((change) => change.cell === id && change.device === cell.table.device);
}

/** What a machine is called in a table: A to Z, then A1. */
const letterOf = (at) => `${String.fromCharCode(65 + (at % 26))}${at < 26 ? "" : Math.floor(at / 26)}`;

function changeNote({ column, points }) {
  const label = labelOf(DATA.numbers.find((number) => number.column === column));
  const told = points.map(([place, before, after]) => `${figure(before)} → ${figure(after)} with the run of ${minute(TABLES[place].started)}`);
  return h("p", { class: "note" }, `Change point of ${label}: ${told.join("; ")}. It is of one machine, says where to look, and decides nothing.`);
}

/** The numbers of a cell over the runs of its combination, a line for each condition; drawn where there are two. */
function drawChart(cell) {
  const holder = document.getElementById("charts");
  if (!holder) return;
  const seen = sightingsOf(cell).filter((each) => each.table.combination === cell.table.combination && each.get("carried_from") === null);
  const charts = DATA.numbers.map((number) => ({ number, points: seen.filter((each) => typeof each.get(number.column) === "number") })).filter(({ points }) => points.length > 1);
  holder.hidden = charts.length === 0;
  for (const { number, points } of charts) chartOf(holder, cell, number, points);
}

/** What a number of a run holds under: one line of a chart is of one such. */
const conditionOf = (cell, { by }) => [textOf(cell.table.machine), ...by.map((column) => cell.text(column))].filter(Boolean).join("; ");

function chartOf(holder, cell, number, points) {
  const { column } = number;
  const label = labelOf(number);
  const conditions = [...new Set(points.map((each) => conditionOf(each, number)))];
  const times = [...new Set(points.map((each) => Date.parse(each.table.started) / 1000))].sort((a, b) => a - b);
  const lines = conditions.map((condition) => times.map((time) => {
    const at = points.find((each) => conditionOf(each, number) === condition && Date.parse(each.table.started) / 1000 === time);
    return at ? at.get(column) : null;
  }));
  const marks = changesOf(cell).filter((change) => change.column === column).flatMap((change) => change.points.map(([place]) => Date.parse(TABLES[place].started) / 1000));
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const strokes = ["--accent", "--mismatched-bar", "--timed-out-bar", "--passed-bar"];
  const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: `12px ${colour("--sans")}` };
  const figure_ = h("figure", { role: "img", "aria-label": `${label} over ${plural(points.length, "run")}: ${points.map((each) => figure(each.get(column))).join(", ")}` });
  holder.append(h("div", { class: "panel" }, h("h3", null, label), figure_));
  const plot = new uPlot({
    width: Math.max(figure_.clientWidth, 260),
    height: 190,
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    cursor: { drag: { setScale: false } },
    legend: { show: conditions.length > 1, live: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.15, 1e-6)] } },
    series: [{}, ...conditions.map((condition, at) => ({ label: condition, stroke: colour(strokes[at % strokes.length]), width: 2, spanGaps: true, dash: at ? [6, 3 + at] : undefined, points: { show: true, size: 7 } }))],
    axes: [{ ...axis, space: 90, values: (_, splits) => splits.map((time) => new Date(time * 1000).toISOString().slice(5, 16).replace("T", " ")) }, { ...axis, size: 56, values: (_, splits) => splits.map(figure) }],
    hooks: { draw: [(drawn) => drawMarks(drawn, marks, colour("--failed-bar"))] },
  }, [times, ...lines], figure_);
  shownCharts.push({ plot, figure: figure_ });
}

/** What is drawn now, so that it follows the width of the window. */
const shownCharts = [];

function drawMarks(plot, marks, stroke) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = devicePixelRatio * 1.5;
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const mark of marks) {
    const x = plot.valToPos(mark, "x", true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function figuresSection(cell) {
  const known = Object.entries(DATA.columns).map(([name, [unit, meaning]]) => [name, cell.get(name), unit, meaning]).filter(([, value]) => value !== null);
  if (!known.length) return "";
  return section("All figures", null, h("details", null, h("summary", null, plural(known.length, "figure")), scrolling("All figures", h("table", { class: "list" },
    h("caption", { class: "unseen" }, "Every figure of the cell, with its unit and meaning"),
    h("thead", null, h("tr", null, ["figure", "value", "meaning"].map((name, at) => h("th", { scope: "col", class: at === 1 ? "number" : null }, name)))),
    h("tbody", null, known.map(([name, value, unit, meaning]) => h("tr", null, h("th", { scope: "row", class: "mono" }, name), h("td", { class: "number" }, `${value}${unit ? ` ${unit}` : ""}`), h("td", { class: "small roomy" }, sentence(meaning)))))))));
}
