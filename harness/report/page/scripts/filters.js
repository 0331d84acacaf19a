// Search and filters over cells: what is chosen stands in the address, and how many cells are left is told.

const FILTERS = ["q", "outcome", "strategy", "model", "cause"];

/** A test of cells by what is chosen; null where nothing is. */
function chosenTest(chosen) {
  const [q, outcome, strategy, model, cause] = FILTERS.map((name) => chosen.get(name) ?? "");
  const number = causeByKey.get(cause);
  if (!q && !outcome && !strategy && !model && !cause) return null;
  const wanted = q.toLowerCase().split(/\s+/).filter(Boolean);
  return (cell) =>
    (!outcome || (outcome === "broken" ? cell.broken : cell.outcome === outcome)) &&
    (!strategy || cell.strategy === strategy) &&
    (!model || cell.model === model) &&
    (!cause || (number !== undefined && cell.get("cause") === number)) &&
    wanted.every((word) => cell.haystack.includes(word));
}

/** The form over `cells`; `apply(test)` shows what is left and returns how many that are. */
function filterBar(view, chosen, cells, apply) {
  const count = h("span");
  const clear = h("button", { type: "button", class: "plain-button", hidden: true, onclick: () => reset() }, "Show all");
  const present = (values) => [...new Set(values)];
  const causes = present(cells.map((cell) => cell.get("cause")).filter((cause) => cause !== null));
  const outcomes = countsByOutcome(cells);
  const fields = {
    q: h("input", { type: "search", autocomplete: "off", spellcheck: "false", placeholder: "model, strategy, error…", value: chosen.get("q"), oninput: (event) => change("q", event.target.value) }),
    outcome: choice("outcome", [
      { value: "", label: "any" },
      { value: "broken", label: `broken (${cells.filter((cell) => cell.broken).length})` },
      ...outcomes.map(([name, number]) => ({ value: name, label: `${words(name)} (${number})` })),
    ]),
    strategy: choice("strategy", named(DATA.strategies, present(cells.map((cell) => cell.strategy)))),
    model: choice("model", named(DATA.models, present(cells.map((cell) => cell.model)))),
    cause: choice("cause", [
      { value: "", label: "any" },
      ...causes.map((number) => ({ value: DATA.causes[number].key, label: shortened(textOf(DATA.causes[number].label), 70) })),
    ]),
  };
  const titles = { q: "Search", outcome: "Outcome", strategy: "Strategy", model: "Model", cause: "Cause" };

  function choice(name, options) {
    const value = chosen.get(name);
    // What an address asks for and no cell here has is told, and leaves none.
    if (value && !options.some((option) => option.value === value)) options.push({ value, label: `${shortened(value, 70)} (no cell here)` });
    return h(
      "select",
      { onchange: (event) => change(name, event.target.value) },
      options.map((option) => optionOf(option, chosen.get(name) ?? "")),
    );
  }

  function change(name, value) {
    if (value) chosen.set(name, value);
    else chosen.delete(name);
    noteChoices(view, Object.fromEntries(chosen));
    run(true);
  }

  function reset() {
    for (const name of FILTERS) {
      chosen.delete(name);
      fields[name].value = "";
    }
    noteChoices(view, Object.fromEntries(chosen));
    run(true);
    fields.q.focus();
  }

  function run(aloud) {
    const test = chosenTest(chosen);
    const left = apply(test);
    count.textContent = `${left} of ${plural(cells.length, "cell")}`;
    clear.hidden = !test;
    if (aloud) announce(count.textContent);
  }

  const form = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Cells", onsubmit: (event) => event.preventDefault() },
    FILTERS.map((name) => h("label", { class: name === "q" ? "wide" : null }, titles[name], fields[name])),
    h("p", { class: "count" }, count, clear),
  );
  return { form, start: () => run(false) };
}

function named(order, there) {
  const known = new Set(there);
  return [{ value: "", label: "any" }, ...order.filter((name) => known.has(name)).map((name) => ({ value: name, label: name }))];
}

const shortened = (text, length) => (text.length > length ? `${text.slice(0, length - 1).trimEnd()}…` : text);
