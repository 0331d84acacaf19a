// All cells as a list, over the newest tables or all of them.

const AT_ONCE = 100;

function showList(chosen) {
  const all = chosen.get("of") === "all";
  const one = tableById.get(chosen.get("table"));
  const tables = one ? [one] : all ? TABLES : currentTables();
  const cells = tables.flatMap(cellsOf);
  const body = h("tbody");
  const more = h("button", { type: "button", class: "button", onclick: () => extend() });
  let left = cells;
  const bar = filterBar("list", chosen, cells, (test) => {
    left = test ? cells.filter(test) : cells;
    body.replaceChildren();
    extend();
    return left.length;
  });

  function extend() {
    const from = body.childElementCount;
    body.append(...left.slice(from, from + AT_ONCE).map(listRow));
    const rest = left.length - body.childElementCount;
    more.hidden = rest <= 0;
    more.textContent = `Show ${Math.min(rest, AT_ONCE)} more of ${rest}`;
  }

  const where = one ? "table" : all ? "all" : "";
  show(
    ...heading("All cells", "Every cell with its outcome and, where it does not pass, the cause."),
    absentTable(chosen, "table", "These are the cells of other tables."),
    h("div", { class: "picks" }, select("Of", where, [{ value: "", label: `the newest tables (${currentTables().length})` }, { value: "all", label: `all tables (${TABLES.length})` }, ...(one ? [{ value: "table", label: tableOption(one) }] : [])], (value) => go("list", { ...Object.fromEntries(chosen), table: value === "table" ? one.id : "", of: value === "all" ? "all" : "" }))),
    bar.form,
    scrolling("Cells", h("table", { class: "list" },
      h("caption", { class: "unseen" }, "Cells"),
      h("thead", null, h("tr", null, ["outcome", "cell", "table", "why"].map((name) => h("th", { scope: "col" }, name)))),
      body)),
    h("p", { class: "section" }, more),
  );
  bar.start();
}

/** The cause where a rule knows it, else the error itself. */
function whyOf(cell) {
  const cause = DATA.causes[cell.get("cause")];
  return cause?.rule ? textOf(cause.label) : cell.reason;
}

function listRow(cell) {
  const name = `${cell.model}/${cell.strategy}`;
  return h("tr", null,
    h("td", null, chip(cell)),
    h("th", { scope: "row", class: "mono" }, cell.at === null ? name : h("a", { href: cellHref(cell) }, name)),
    h("td", { class: "small nowrap" }, `${tableTitle(cell.table)}${cell.table.current ? "" : `, ${minute(cell.table.started)}`}`),
    h("td", { class: "small text roomy" }, sentence(shortened(whyOf(cell), 200))));
}
