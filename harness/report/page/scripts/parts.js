// Parts that several views are made of.

const sign = (outcome) => h("span", { class: "sign", "aria-hidden": "true" }, signOf(outcome));

function chip(cell) {
  return h("span", { class: `chip ${cell.outcome}` }, sign(cell.outcome), cell.state);
}

/** A chip of a state in words, as comparisons have it: `failed at load`. */
function stateChip(state) {
  const name = state.split(" at ")[0].replaceAll(" ", "-");
  return h("span", { class: `chip ${Object.hasOwn(SIGNS, name) ? name : "no-record"}` }, sign(name), state);
}

function legend(outcomes) {
  return h(
    "ul",
    { class: "legend", "aria-label": "What the signs mean" },
    outcomes.map((name) => h("li", null, h("span", { class: `chip ${name}` }, sign(name), words(name)))),
  );
}

/** How cells ended, as a bar; the numbers stand in its label. */
function outcomeBar(cells) {
  const counts = countsByOutcome(cells);
  const label = counts.map(([name, count]) => `${count} ${words(name)}`).join(", ");
  const bar = h("div", { class: "bar", role: "img", "aria-label": label, title: label });
  for (const [name, count] of counts) {
    const fill = h("span", { class: `fill ${name}` });
    fill.style.flex = `${count} 0 0`;
    bar.append(fill);
  }
  return bar;
}

/** A region that scrolls by itself, so that the page never does sideways; it can be reached by keyboard. */
function scrolling(label, table, extra = "") {
  return h("div", { class: `scroll ${extra}`, tabindex: "0", role: "region", "aria-label": label }, table);
}

function select(label, value, options, onchange, attributes = {}) {
  const made = h(
    "select",
    { onchange: (event) => onchange(event.target.value), ...attributes },
    options.map((option) =>
      option.group
        ? h("optgroup", { label: option.group }, option.options.map((each) => optionOf(each, value)))
        : optionOf(option, value),
    ),
  );
  return h("label", null, label, made);
}

function optionOf({ value, label }, chosen) {
  return h("option", { value, selected: value === chosen }, label);
}

/** The tables to choose from, by combination, the newest first. */
function tableOptions(tables) {
  return DATA.combinations
    .map((combination) => ({
      group: combination,
      options: tables
        .filter((table) => table.combination === combination)
        .sort((a, b) => b.started.localeCompare(a.started))
        .map((table) => ({ value: table.id, label: tableOption(table) })),
    }))
    .filter(({ options }) => options.length);
}

function tableOption(table) {
  const marks = [table.current ? "newest" : "", table.complete ? "" : "incomplete", minute(table.started)].filter(Boolean);
  return `${table.combination} · ${table.series} · ${marks.join(", ")}`;
}

function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs.filter(([, value]) => value !== "" && value !== null).map(([label, value]) => [h("dt", null, label), h("dd", { class: "text" }, value)]),
  );
}

function command(text) {
  const button = h("button", {
    class: "button copy",
    type: "button",
    "aria-label": `Copy ${text}`,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "copied";
        announce("Copied.");
      } catch {
        getSelection().selectAllChildren(code); // a file has no clipboard in some browsers
        announce("Selected, to be copied.");
      }
    },
  }, "copy");
  const code = h("code", null, text);
  return h("div", { class: "command" }, code, button);
}

/** A text of ours with commands between backticks. */
function sentence(text) {
  return text.split("`").map((part, at) => (at % 2 ? h("code", null, part) : part));
}

function section(title, lede, ...children) {
  return h("section", { class: "section" }, h("h2", null, title), lede && h("p", { class: "lede" }, lede), children);
}

function heading(title, lede) {
  return [h("h1", { tabindex: "-1" }, title), lede && h("p", { class: "lede" }, lede)];
}

function bulleted(numbers) {
  return h("ul", { class: "stack" }, numbers.map((number) => h("li", { class: "text small" }, sentence(textOf(number)))));
}

/** What an address names and this page does not have: whoever was sent it sees something else, and is told. */
function absent(what, instead) {
  return h("p", { class: "note absent text" }, sentence(`${what} ${instead}`));
}

function absentTable(chosen, name, instead) {
  const id = chosen.get(name);
  if (!id || tableById.has(id)) return "";
  const folder = DATA.left_out.find((each) => each.endsWith(`/${id}`));
  const why = folder
    ? `The table ${id} was left out of this page, which stays below a size: \`harness report ${quoted(folder)}\` shows it.`
    : `This page has no table ${id}: it may be on another page, or newer than this one. \`harness report ${folderOf(id)}\` shows it.`;
  return absent(why, instead);
}

/** Where a table that is not here would be, beside those that are; an address may say anything. */
function folderOf(id) {
  const beside = TABLES.find((table) => table.folder.endsWith(`/${table.id}`));
  return beside && /^\w[\w.+-]*(\/\w[\w.+-]*){2}$/.test(id) ? quoted(beside.folder.slice(0, -beside.id.length) + id) : "TABLE";
}

function absentSeries(chosen) {
  const name = chosen.get("series");
  return !name || seriesNames().includes(name) ? "" : absent(`No newest table is of the series ${name}.`, `This is ${seriesNames()[0]}.`);
}

/** Links to cells of a table, a few of them shown and the rest folded. */
function cellTags(names, table, fallback) {
  const shown = 12;
  const tag = (name) => {
    const cell = cellIn(table, name) ?? (fallback && cellIn(fallback, name));
    return h("li", null, cell ? h("a", { class: "tag", href: cellHref(cell) }, name) : h("span", { class: "tag mono" }, name));
  };
  const rest = names.slice(shown);
  return [
    h("ul", { class: "tags" }, names.slice(0, shown).map(tag)),
    rest.length > 0 && h("details", null, h("summary", null, `${rest.length} more`), h("ul", { class: "tags" }, rest.map(tag))),
  ];
}

/** What rules say of a broken cell: label and text, the issues as links. */
function knownOf(cell) {
  const told = cell.get("told");
  const cause = cell.get("cause") === null ? null : DATA.causes[cell.get("cause")];
  const issues = new Map(cause?.issues ?? []);
  const pairs = told === null ? [] : DATA.told[told].map(([label, text]) => [textOf(label), textOf(label) === "known as" ? linked(textOf(text), issues) : sentence(textOf(text))]);
  if (cause?.rule) pairs.push(["rule", h("code", null, cause.rule)]);
  return pairs;
}

/** A text of ours with each issue that it names as a link; `issues` are addresses by name. */
function linked(text, issues) {
  return text.split(/([\w.-]+#\d+)/).map((part) => (issues.has(part) ? h("a", { href: issues.get(part), rel: "noreferrer" }, part) : sentence(part)));
}
