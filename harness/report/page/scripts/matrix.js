// Models over combinations: which version broke which model.

function showMatrix(chosen) {
  const series = seriesNames();
  const of = series.includes(chosen.get("series")) ? chosen.get("series") : series[0];
  const tables = currentTables().filter((table) => table.series === of);
  const there = new Set(tables.flatMap(cellsOf).map((cell) => cell.strategy));
  const strategy = there.has(chosen.get("strategy")) ? chosen.get("strategy") : "";
  const kept = Object.fromEntries(chosen);
  const models = DATA.models.filter((name) => tables.some((table) => cellsOf(table).some((cell) => cell.model === name && (!strategy || cell.strategy === strategy))));
  const uncounted = strategy ? "" : ", and is not among the n of n: these are the cells that passed, of those that can exist and have a record";
  show(
    ...heading("Which version broke which model", `Combinations in their order. ▼ counts the cells that are worse than in the combination to the left, ▲ those that are better. A cell that passed there and cannot exist here counts as worse, too${uncounted}.`),
    absentSeries(chosen),
    chosen.get("strategy") && !strategy ? absent(`No cell of these tables has the strategy ${chosen.get("strategy")}.`, "All strategies are shown.") : "",
    h(
      "div",
      { class: "picks" },
      select("Series", of, series.map((name) => ({ value: name, label: name })), (value) => go("matrix", { ...kept, series: value })),
      select("Strategy", strategy, [{ value: "", label: "all strategies" }, ...named(DATA.strategies, [...there]).slice(1)], (value) => go("matrix", { ...kept, strategy: value })),
    ),
    tables.length > 1 ? "" : h("p", { class: "note" }, "There is one combination of this series, so that nothing stands beside it."),
    scrolling("Models over combinations", matrixTable(tables, models, strategy), "grid-scroll"),
    strategy ? legend(countsByOutcome(tables.flatMap(cellsOf).filter((cell) => cell.strategy === strategy)).map(([name]) => name)) : "",
  );
}

function matrixTable(tables, models, strategy) {
  const varying = varyingPins(tables);
  const moves = tables.map((table, at) => (at ? movesBetween(tables[at - 1], table) : null));
  return h(
    "table",
    { class: "grid matrix" },
    h("caption", { class: "unseen" }, strategy ? `Outcome of ${strategy} by model and combination` : "Passed cells by model and combination"),
    h("thead", null, h("tr", null, h("th", { class: "corner", scope: "col" }, "model"), tables.map((table) =>
      h("th", { scope: "col", class: "combination" }, h("a", { href: href("grid", { table: table.id }) }, table.combination), varying.map((name) => h("span", { class: "pins" }, `${name} ${pinOf(table, name)}`)))))),
    h("tbody", null, models.map((model) => h("tr", null, h("th", { scope: "row", title: model }, model), tables.map((table, at) =>
      strategy ? matrixOne(table, tables[at - 1], model, strategy, moves[at]) : matrixAll(table, tables[at - 1], model, moves[at]))))),
  );
}

const pinOf = (table, name) => (Object.hasOwn(table.pins, name) ? table.pins[name] : "absent");

/** Pins that differ between the combinations, the first few. */
function varyingPins(tables) {
  const names = [...new Set(tables.flatMap((table) => Object.keys(table.pins)))];
  const order = ["torch", "tensorflow", "onnx", "onnxruntime"];
  const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  return names
    .filter((name) => new Set(tables.map((table) => pinOf(table, name))).size > 1)
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .slice(0, 3);
}

/** Of each model the cells that got worse or better, by a comparison's word. */
function movesBetween(base, candidate) {
  const pair = pairOf(base, candidate);
  if (!pair) return null;
  const moves = new Map();
  for (const group of pair.groups) {
    for (const number of group.cells) {
      const name = textOf(number);
      const kind = kindOf(group.category);
      if (kind === "worse" || kind === "better") moves.set(name, kind);
    }
  }
  return moves;
}

function movedMark(count, kind) {
  return count > 0 && h("span", { class: `moved ${kind}` }, h("span", { "aria-hidden": "true" }, kind === "worse" ? "▼" : "▲"), `${count}`, h("span", { class: "unseen" }, ` ${kind} than before`));
}

function matrixAll(table, before, model, moves) {
  const cells = cellsOf(table).filter((cell) => cell.model === model);
  if (!cells.length) return h("td", null, h("span", { class: "unseen" }, "not planned"));
  const rate = successOf(cells);
  const kind = rate.applicable === 0 ? "not-applicable" : rate.passed === rate.applicable ? "passed" : rate.passed === 0 ? "failed" : "some";
  const count = (wanted) => (moves ? cells.filter((cell) => moves.get(cell.name) === wanted).length : 0);
  const to = before && (count("worse") || count("better"))
    ? href("compare", { base: before.id, candidate: table.id, q: model })
    : href("grid", { table: table.id, model });
  return h("td", { class: `cell ${kind}` }, h("a", { href: to },
    h("span", null, rateText(rate), " ", movedMark(count("worse"), "worse"), " ", movedMark(count("better"), "better")), outcomeBar(cells)));
}

function matrixOne(table, before, model, strategy, moves) {
  const cell = cellIn(table, `${model}/${strategy}`);
  if (!cell) return h("td", null, h("span", { class: "unseen" }, "not planned"));
  const field = gridField(cell, SHOWN_AS.outcome);
  const moved = moves?.get(cell.name);
  if (moved) {
    field.firstChild.append(h("span", { class: `moved ${moved}`, "aria-hidden": "true" }, moved === "worse" ? "▼" : "▲"));
    field.firstChild.setAttribute("aria-label", `${field.firstChild.getAttribute("aria-label")}, ${moved} than before`);
  }
  field.firstChild.removeAttribute("tabindex");
  return field;
}
