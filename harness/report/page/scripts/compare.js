// What changed between two tables, by category and cause.

function showCompare(chosen) {
  const [base, candidate] = chosenTables(chosen);
  const pair = base && candidate ? pairOf(base, candidate) : null;
  const withPairs = (fixed) => TABLES.filter((table) => pairOf(fixed, table));
  const other = pair ? `This is ${betweenText(base, candidate)}.` : "";
  const kept = { q: chosen.get("q") };
  show(
    ...heading("What changed", pair ? textOf(pair.headline) : "Two tables of one device, cell by cell."),
    absentTable(chosen, "base", other),
    absentTable(chosen, "candidate", other),
    h(
      "div",
      { class: "picks" },
      select("Base", base?.id ?? "", tableOptions(TABLES.filter((table) => table === base || withPairs(table).length)), (value) => {
        const of = tableById.get(value);
        const to = candidate && pairOf(of, candidate) ? candidate : withPairs(of)[0];
        go("compare", { ...kept, base: value, candidate: to.id });
      }),
      select("Candidate", candidate?.id ?? "", base ? tableOptions(TABLES.filter((table) => table === candidate || pairOf(base, table))) : [], (value) => go("compare", { ...kept, base: base.id, candidate: value })),
      base && candidate && pairOf(candidate, base) && h("button", { type: "button", class: "button", onclick: () => go("compare", { ...kept, base: candidate.id, candidate: base.id }) }, "Swap"),
    ),
  );
  if (!pair) {
    show(
      h("p", { class: "note section" }, base ? "This page does not have this comparison." : "There are no two tables here that can be compared."),
      base && compareCommand(base, candidate));
    return;
  }
  const counts = countsByKind(pair);
  show(
    h("div", { class: "tiles" },
      tile(counts.worse, "worse", counts.worse ? "worse" : ""),
      tile(counts.better, "better", counts.better ? "better" : ""),
      tile(counts.other, "different"),
      tile(counts.untold, "not compared"),
      tile(counts.unchanged, "unchanged")),
    changedSection(pair, base, candidate, chosen),
    blameSection(candidate, pair),
    versionsSection(pair),
    numbersSection(pair),
    pair.notes.length ? section("To know before believing it", null, bulleted(pair.notes)) : "",
    section("In the terminal", null, compareCommand(base, candidate)),
  );
}

function compareCommand(base, candidate) {
  return base.folder && candidate.folder ? command(`harness compare ${quoted(base.folder)} ${quoted(candidate.folder)}`) : "";
}

/** The tables that the address names; else the last two combinations of the first series that has two. */
function chosenTables(chosen) {
  const named = [tableById.get(chosen.get("base")), tableById.get(chosen.get("candidate"))];
  if (named[0] && named[1]) return named;
  const first = transitions().find(({ base, candidate }) => base.combination !== candidate.combination) ?? transitions()[0];
  if (first) return [first.base, first.candidate];
  const some = Object.keys(DATA.pairs)[0]?.split(">").map((place) => TABLES[Number(place)]);
  return some ?? [null, null];
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

function changedSection(pair, base, candidate, chosen) {
  const entries = pair.groups.map((group) => ({ group, names: group.cells.map(textOf) }));
  const holder = h("div", { class: "changes" });
  const count = h("p", { class: "small quiet" });
  const renew = (aloud) => {
    const wanted = (chosen.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const left = entries
      .map(({ group, names }) => ({ group, names: names.filter((name) => wanted.every((word) => name.toLowerCase().includes(word))) }))
      .filter(({ names }) => names.length);
    holder.replaceChildren(...left.map(({ group, names }) => groupCard(group, names, base, candidate)));
    const cells = left.reduce((sum, { names }) => sum + names.length, 0);
    count.textContent = `${plural(cells, "changed cell")} in ${plural(left.length, "group")}`;
    if (aloud) announce(count.textContent);
  };
  const search = h("input", { type: "search", autocomplete: "off", value: chosen.get("q"), placeholder: "model or strategy…", oninput: (event) => {
    if (event.target.value) chosen.set("q", event.target.value);
    else chosen.delete("q");
    noteChoices("compare", { base: base.id, candidate: candidate.id, q: chosen.get("q") });
    renew(true);
  } });
  renew(false);
  return section("Cells that changed", entries.length ? null : "None: each came to the same as before.",
    entries.length > 0 && h("form", { class: "filters", role: "search", "aria-label": "Changed cells", onsubmit: (event) => event.preventDefault() }, h("label", { class: "wide" }, "Search", search), count),
    holder,
    h("p", { class: "note" }, textOf(pair.unchanged)));
}

function groupCard(group, names, base, candidate) {
  const { words: title, meaning, kind } = DATA.categories[group.category];
  const cell = cellIn(candidate, names[0]) ?? cellIn(base, names[0]);
  const before = cellIn(base, names[0]);
  const shows = cell?.broken ? cell : before?.broken ? before : cell;
  const known = cell?.broken && kind !== "untold" ? knownOf(cell) : [];
  return h("article", { class: `change ${kind}` },
    h("div", { class: "change-head" }, h("h3", null, `${title} (${plural(names.length, "cell")})`), h("span", { class: "quiet small" }, meaning)),
    h("p", { class: "change-head" }, stateChip(textOf(group.was)), h("span", { class: "arrow", "aria-label": "to" }, "→"), stateChip(textOf(group.now))),
    group.why !== null && h("p", { class: "text small" }, textOf(group.why)),
    shows?.reason && kind !== "untold" && h("div", { class: `error ${shows.outcome}`, tabindex: "0", role: "group", "aria-label": "Error" }, shows === cell ? shows.reason : `before: ${shows.reason}`),
    known.length > 0 && facts(known),
    cellTags(names, candidate, base));
}

function blameSection(table, pair) {
  const title = "Who is to blame, and the way out";
  if (!table.blame) {
    return pair.blame_command !== null && section(title, "Two tables say what moved, and not which of it did this: trials do, and none are recorded beside the candidate's table. This makes them:", command(textOf(pair.blame_command)));
  }
  const { causes, effort } = table.blame;
  return section(title, `From trials that were run, from ${textOf(table.blame.base)} to ${textOf(table.blame.candidate)}. ${textOf(effort)}`, h("div", { class: "changes" }, causes.map(blameCard)));
}

function blameCard(cause) {
  const pairs = (numbers) => numbers.map(([label, text]) => [textOf(label), sentence(textOf(text))]);
  return h("article", { class: "change" }, h("h3", { class: "text" }, textOf(cause.heading)), facts(pairs(cause.blame)), cause.ways.length > 0 && [h("h3", null, "Way out"), facts(pairs(cause.ways))]);
}

function versionsSection(pair) {
  return section("Versions", null, h("div", { class: "columns" },
    h("div", { class: "panel" }, h("h3", null, "Bumped"), pair.bumped.length ? bulleted(pair.bumped) : h("p", { class: "note" }, "No pin differs.")),
    h("div", { class: "panel" }, h("h3", null, textOf(pair.also_title)), bulleted(pair.also))));
}

function numbersSection(pair) {
  const { header, rows, more } = pair.figures;
  return section("Numbers", "Of cells that pass on both sides. Latency between two runs is no evidence: a duel tells.",
    h("div", { class: "columns" },
      pair.memory.length > 0 && h("div", { class: "panel" }, h("h3", null, "Memory"), bulleted(pair.memory)),
      pair.latency.length > 0 && h("div", { class: "panel" }, h("h3", null, "Latency: not evidence"), bulleted(pair.latency)),
      pair.moved.length > 0 && h("div", { class: "panel" }, h("h3", null, "Moved native outputs"), bulleted(pair.moved))),
    rows.length > 0 && scrolling("Numbers that moved", h("table", { class: "list" },
      h("caption", null, `Cells whose size, error or memory moved${more ? `; ${more} more moved less` : ""}`),
      h("thead", null, h("tr", null, header.map((number) => h("th", { scope: "col" }, textOf(number))))),
      h("tbody", null, rows.map((row) => h("tr", null, row.map((number, at) => h(at ? "td" : "th", at ? { class: "nowrap" } : { scope: "row", class: "mono nowrap" }, textOf(number)))))))));
}
