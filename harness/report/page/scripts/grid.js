// The grid of one table: models x strategies, each cell a sign, a colour and how far it came.

const SHOWN_AS = {
  outcome: { label: "outcome and stage", of: (cell) => cell.get("mark") ?? cell.ended },
  latency: { label: "latency, ms", of: (cell) => (cell.get("latency_ms") === null ? "" : care(cell) + figure(cell.get("latency_ms"))) },
  ratio: { label: "latency against native", of: (cell) => (cell.get("latency_ratio") === null ? "" : `${care(cell)}×${figure(cell.get("latency_ratio"))}`) },
  memory: { label: "peak memory, MiB", of: (cell) => figure(cell.get("rss_peak_mb")) },
  error: { label: "relative error", of: (cell) => exponent(cell.get("relative_error")) },
};

function showGrid(chosen) {
  const table = tableById.get(chosen.get("table")) ?? newestTable();
  const shows = Object.hasOwn(SHOWN_AS, chosen.get("show")) ? chosen.get("show") : "outcome";
  const cells = cellsOf(table);
  const models = DATA.models.filter((name) => cells.some((cell) => cell.model === name));
  const strategies = DATA.strategies.filter((name) => cells.some((cell) => cell.strategy === name));
  const made = gridTable(table, models, strategies, cells, SHOWN_AS[shows]);
  const bar = filterBar("grid", chosen, cells, made.apply);
  show(
    ...heading(tableTitle(table), gridLede(table, cells)),
    absentTable(chosen, "table", `This is the newest table, ${tableOption(table)}.`),
    h(
      "div",
      { class: "picks" },
      select("Table", table.id, tableOptions(TABLES), (value) => go("grid", { ...Object.fromEntries(chosen), table: value })),
      select("In each cell", shows, Object.entries(SHOWN_AS).map(([value, { label }]) => ({ value, label })), (value) => go("grid", { ...Object.fromEntries(chosen), show: value === "outcome" ? "" : value })),
    ),
    bar.form,
    scrolling(`Grid of ${tableTitle(table)}`, made.element, "grid-scroll"),
    legend(countsByOutcome(cells).map(([name]) => name)),
    marksNote(cells),
    section("What it is of", null, h("div", { class: "panel" }, facts([
      ["started", `${table.started}${table.ended ? `, ended ${table.ended}` : ", and never ended"}`],
      ["machine", textOf(table.machine)],
      ["Python", table.python],
      ["pins", Object.entries(table.pins).map(([name, version]) => `${name} ${version}`).join(", ")],
      ["lock", table.lock],
      ["harness", table.harness],
      ["cells", textOf(table.carried)],
      ["folder", table.folder && h("code", null, table.folder)],
    ]), table.unsteady.length > 0 && [h("h3", null, "Not reproducible"), bulleted(table.unsteady)])),
  );
  bar.start();
}

const newestTable = () => [...currentTables()].sort((a, b) => b.started.localeCompare(a.started) || b.place - a.place)[0];

function gridLede(table, cells) {
  const counts = countsByOutcome(cells).map(([name, count]) => `${count} ${words(name)}`).join(", ");
  const older = table.current ? "" : " A newer table of this series is there.";
  const part = table.complete ? "" : ` It is not complete: ${cells.length - table.missing.length} of ${table.planned} cells.`;
  return `${plural(cells.length, "cell")}: ${counts}.${part}${older}`;
}

function marksNote(cells) {
  const marks = [...new Set(cells.map((cell) => cell.get("mark")).filter(Boolean))].map((name) => `${name}: ${DATA.marks[name]}.`);
  if (cells.some((cell) => care(cell))) marks.push("~ before a latency: something speaks against it; the cell says what.");
  return h("div", { class: "stack" }, marks.map((mark) => h("p", { class: "note" }, mark)));
}

function gridTable(table, models, strategies, cells, shows) {
  const rows = models.map((model) => ({ model, fields: [], element: null }));
  const body = h("tbody");
  const made = [];
  const heads = strategies.map((name) =>
    h("th", { scope: "col", class: "strategy" }, h("span", null, name)));
  const feet = strategies.map((name) =>
    h("td", null, rateText(successOf(cells.filter((cell) => cell.strategy === name)))));
  for (const row of rows) {
    row.element = h("tr", null, h("th", { scope: "row", title: row.model }, row.model));
    strategies.forEach((strategy, column) => {
      const cell = table.byName.get(`${row.model}/${strategy}`);
      const field = cell ? gridField(cell, shows) : h("td", null, h("span", { class: "unseen" }, "not planned"));
      if (cell) made.push({ cell, field, row, column, off: false });
      row.fields.push(field);
      row.element.append(field);
    });
    body.append(row.element);
  }
  const element = h(
    "table",
    { class: "grid fixed", onkeydown: (event) => moveInGrid(event, rows) },
    h("caption", { class: "unseen" }, `Models by strategies of ${tableTitle(table)}`),
    h("colgroup", null, h("col", { class: "names" })),
    h("thead", null, h("tr", null, h("th", { class: "corner", scope: "col" }, "model"), heads)),
    body,
    h("tfoot", null, h("tr", null, h("th", { scope: "row" }, "passed"), feet)),
  );
  const longest = Math.max(...models.map((name) => name.length), 8);
  element.style.setProperty("--names", `${Math.min(longest, 34) + 4}ch`);
  const hidden = new Set();
  const apply = (test) => {
    const left = applyToGrid(test, made, rows, { heads, feet, hidden });
    element.style.setProperty("--shown", strategies.length - hidden.size);
    return left;
  };
  return { element, apply };
}

function gridField(cell, shows) {
  const under = shows.of(cell);
  const label = `${cell.model}, ${cell.strategy}: ${cell.state}${under && under !== cell.stage ? `, ${under}` : ""}`;
  // Of thousands of cells each element counts: the sign is bare text.
  const inside = [signOf(cell.outcome), under && h("span", { class: "under" }, under)];
  return h("td", { class: `cell ${cell.outcome}` },
    cell.at === null
      ? h("span", { title: label }, h("span", { class: "unseen" }, "no record"), inside)
      : h("a", { href: cellHref(cell), title: label, "aria-label": label, tabindex: "-1" }, inside));
}

/** Show what is left of the grid; only what changes is touched. */
function applyToGrid(test, made, rows, columns) {
  const left = { rows: new Set(), columns: new Set(), count: 0 };
  for (const each of made) {
    const on = !test || test(each.cell);
    if (on) {
      left.rows.add(each.row);
      left.columns.add(each.column);
      left.count += 1;
    }
    if (each.off === on) {
      each.off = !on;
      each.field.classList.toggle("off", each.off);
    }
  }
  for (const row of rows) {
    const hidden = Boolean(test) && !left.rows.has(row);
    if (row.element.hidden !== hidden) row.element.hidden = hidden;
  }
  columns.heads.forEach((head, column) => {
    const hidden = Boolean(test) && !left.columns.has(column);
    if (columns.hidden.has(column) === hidden) return;
    columns.hidden[hidden ? "add" : "delete"](column);
    for (const field of [head, columns.feet[column], ...rows.map((row) => row.fields[column])]) field.hidden = hidden;
  });
  const first = made.find((each) => !each.off && each.cell.at !== null);
  for (const link of rows.tabbable ?? []) link.tabIndex = -1;
  rows.tabbable = first ? [first.field.firstChild] : [];
  for (const link of rows.tabbable) link.tabIndex = 0;
  return left.count;
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Arrows go to the next cell that is shown; one cell of the grid can be tabbed to. */
function moveInGrid(event, rows) {
  const step = STEPS[event.key];
  const field = event.target.closest("td");
  if (!step || !field || event.altKey || event.ctrlKey || event.metaKey) return;
  let row = rows.findIndex((each) => each.fields.includes(field));
  let column = rows[row].fields.indexOf(field);
  for (;;) {
    row += step[0];
    column += step[1];
    const next = rows[row]?.fields[column];
    if (!next) return;
    const link = next.querySelector("a");
    if (link && !next.hidden && !next.classList.contains("off") && !rows[row].element.hidden) {
      event.preventDefault();
      event.target.tabIndex = -1;
      link.tabIndex = 0;
      rows.tabbable = [link];
      link.focus();
      return;
    }
  }
}
