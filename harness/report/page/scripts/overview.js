// What broke most recently, the newest tables, what breaks most cells, and how far strategies come.

/** Transitions that people ask about: a run and the one before it, a combination and the one before it. */
function transitions() {
  const found = [];
  const last = new Map();
  for (const table of TABLES) {
    const key = `${table.combination}/${table.series}`;
    if (last.has(key)) found.push([last.get(key), table]);
    last.set(key, table);
  }
  const newest = new Map();
  for (const table of currentTables()) {
    if (newest.has(table.series)) found.push([newest.get(table.series), table]);
    newest.set(table.series, table);
  }
  return found
    .map(([base, candidate]) => ({ base, candidate, pair: pairOf(base, candidate) }))
    .filter(({ pair }) => pair)
    .sort((a, b) => b.candidate.started.localeCompare(a.candidate.started) || (a.base.combination === a.candidate.combination) - (b.base.combination === b.candidate.combination));
}

const betweenText = (base, candidate) =>
  base.combination === candidate.combination
    ? `${candidate.combination}, ${candidate.series}: ${minute(base.started)} → ${minute(candidate.started)}`
    : `${base.combination} → ${candidate.combination}, ${candidate.series}`;

function showOverview(chosen) {
  const tables = currentTables();
  const cells = tables.flatMap(cellsOf);
  const all = transitions();
  const broke = all.filter(({ pair }) => countsByKind(pair).worse);
  const { passed, applicable } = successOf(cells);
  show(
    ...heading("What breaks, and since when", `Models converted from PyTorch, by every strategy, under ${plural(DATA.combinations.length, "combination")} of pinned versions: the newest table of each, ${DATA.newest ? `the last from ${minute(DATA.newest)} UTC.` : ""}`),
    absentSeries(chosen),
    h(
      "div",
      { class: "tiles" },
      tile(cells.length, "cells in the newest tables"),
      tile(`${passed}/${applicable}`, "passed, of those that can"),
      tile(broke.length ? countsByKind(broke[0].pair).worse : 0, "worse in the last change that broke any", broke.length ? "worse" : ""),
      tile(TABLES.length, "tables"),
    ),
    section(
      "What broke most recently",
      "Each table against the one before it, and against the combination before it.",
      broke.length
        ? h("div", { class: "changes" }, broke.slice(0, 4).map(changeCard))
        : h("p", { class: "note" }, "Nothing got worse between any of these tables."),
      broke.length > 4 && h("details", { class: "section" }, h("summary", null, `${broke.length - 4} earlier ones`), h("div", { class: "changes" }, broke.slice(4).map(changeCard))),
    ),
    section("The newest tables", null, newestTables(tables)),
    topCauses(cells),
    strategiesSection(chosen),
    leftOut(),
  );
}

function tile(number, label, kind = "") {
  return h("div", { class: `tile ${kind}` }, h("strong", null, String(number)), h("span", null, label));
}

function changeCard({ base, candidate, pair }) {
  const counts = countsByKind(pair);
  const worse = pair.groups.filter((group) => kindOf(group.category) === "worse");
  return h(
    "article",
    { class: "change worse" },
    h("div", { class: "change-head" },
      h("h3", null, h("a", { href: href("compare", { base: base.id, candidate: candidate.id }) }, betweenText(base, candidate))),
      h("span", { class: "quiet small" }, `${counts.worse} worse, ${counts.better} better, ${counts.unchanged} unchanged`)),
    worse.slice(0, 3).map((group) => [
      h("p", { class: "change-head small" }, stateChip(textOf(group.was)), h("span", { class: "arrow", "aria-label": "to" }, "→"), stateChip(textOf(group.now)), causeText(candidate, group)),
      cellTags(group.cells.map(textOf), candidate, base),
    ]),
    worse.length > 3 && h("p", { class: "small quiet" }, `and ${plural(worse.length - 3, "further cause")}`),
  );
}

function causeText(table, group) {
  const cell = cellIn(table, textOf(group.cells[0]));
  const cause = cell?.get("cause") ?? null;
  return cause !== null && h("span", { class: "text" }, sentence(shortened(textOf(DATA.causes[cause].label), 220)));
}

function newestTables(tables) {
  return scrolling(
    "The newest tables",
    h(
      "table",
      { class: "list" },
      h("caption", null, "The newest table of each combination, device and tier"),
      h("thead", null, h("tr", null, ["table", "started (UTC)", "passed", "how cells ended", "machine"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", null, [...tables].sort((a, b) => b.started.localeCompare(a.started)).map((table) => {
        const cells = cellsOf(table);
        return h("tr", null,
          h("th", { scope: "row", class: "nowrap" }, h("a", { href: href("grid", { table: table.id }) }, tableTitle(table)), table.complete ? null : " (incomplete)"),
          h("td", { class: "nowrap" }, minute(table.started)),
          h("td", { class: "nowrap" }, rateText(successOf(cells))),
          h("td", null, outcomeBar(cells)),
          h("td", { class: "small quiet roomy" }, textOf(table.machine)));
      })),
    ),
  );
}

function topCauses(cells) {
  const counts = new Map();
  for (const cell of cells) {
    const cause = cell.get("cause");
    if (cause !== null) counts.set(cause, (counts.get(cause) ?? 0) + 1);
  }
  const top = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 10);
  if (!top.length) return null;
  return section(
    "What breaks most cells",
    "In the newest tables. A cause is a known rule where one fits, else the failure's fingerprint.",
    scrolling("Causes", h("table", { class: "list" },
      h("caption", null, `The ${top.length} causes that break most cells, of ${counts.size}`),
      h("thead", null, h("tr", null, h("th", { scope: "col", class: "number" }, "cells"), h("th", { scope: "col" }, "cause"), h("th", { scope: "col" }, "known as"))),
      h("tbody", null, top.map(([number, count]) => {
        const cause = DATA.causes[number];
        return h("tr", null,
          h("td", { class: "number" }, String(count)),
          h("th", { scope: "row", class: "roomy" }, h("a", { class: "text", href: href("list", { cause: cause.key }) }, textOf(cause.label).replaceAll("`", ""))),
          h("td", { class: "small" }, cause.rule ? h("code", null, cause.rule) : h("code", { class: "quiet" }, textOf(cause.fingerprint))));
      })))),
  );
}

function strategiesSection(chosen) {
  const series = seriesNames();
  if (!series.length) return null;
  const of = series.includes(chosen.get("series")) ? chosen.get("series") : series[0];
  const tables = currentTables().filter((table) => table.series === of);
  const strategies = DATA.strategies.filter((name) => tables.some((table) => cellsOf(table).some((cell) => cell.strategy === name)));
  return section(
    "Success of strategies",
    "Passed cells among those that can exist.",
    h("div", { class: "picks" }, select("Series", of, series.map((name) => ({ value: name, label: name })), (value) => go("overview", { series: value }))),
    scrolling("Success of strategies", h("table", { class: "list" },
      h("caption", null, `Success of each strategy, ${of}`),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "strategy"), tables.map((table) => h("th", { scope: "col" }, table.combination)))),
      h("tbody", null, strategies.map((name) => h("tr", null,
        h("th", { scope: "row", class: "nowrap mono" }, name),
        tables.map((table) => {
          const cells = cellsOf(table).filter((cell) => cell.strategy === name);
          return h("td", null, cells.length > 0 && [h("a", { class: "small", href: href("grid", { table: table.id, strategy: name }) }, rateText(successOf(cells))), outcomeBar(cells)]);
        })))))),
  );
}

function leftOut() {
  if (!DATA.unread.length && !DATA.left_out.length && !DATA.pages.length) return null;
  return section(
    "What is not on this page",
    null,
    DATA.unread.map(([folder, reason]) => h("p", { class: "note text" }, `${folder} cannot be read: ${textOf(reason)}`)),
    DATA.left_out.length > 0 && [
      h("p", { class: "note" }, `${plural(DATA.left_out.length, "older table")} had no room. `, h("code", null, "harness report TABLE"), " says which to take."),
      h("details", null, h("summary", null, "Which"), h("ul", { class: "stack" }, DATA.left_out.map((folder) => h("li", { class: "text small" }, folder)))),
    ],
    DATA.pages.length > 0 && h("p", { class: "note" }, "Further pages: ", DATA.pages.map(([title, file], at) => [at ? ", " : "", h("a", { href: file }, title)])),
  );
}
