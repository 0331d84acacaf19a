// The data, and how views ask for it. Texts of records are only ever shown by `textContent`.

const DATA = JSON.parse(document.getElementById("data").textContent);

/** How an outcome looks without colour: a sign, and its name in words. */
const SIGNS = {
  passed: "✓",
  failed: "✗",
  mismatched: "≠",
  crashed: "!!",
  "timed-out": "⧗",
  "out-of-memory": "⊠",
  unresolvable: "∅",
  "not-applicable": "·",
  "no-record": "?",
};
const NO_RECORD = { name: "no-record", broken: false, applicable: false, staged: false };
const OUTCOMES = new Map([...DATA.outcomes, NO_RECORD].map((outcome) => [outcome.name, outcome]));

const textOf = (number) => (number === null || number === undefined ? "" : DATA.texts[number]);
const words = (name) => name.replaceAll("-", " ");
const signOf = (outcome) => (Object.hasOwn(SIGNS, outcome) ? SIGNS[outcome] : "?");

/** One cell of one table; whatever is not asked for stays in its column. */
class Cell {
  constructor(table, at, model, strategy, outcome, stage) {
    Object.assign(this, { table, at, model, strategy, outcome, stage });
  }

  get(column) {
    return this.at === null ? null : (this.table.cells[column]?.[this.at] ?? null);
  }

  text(column) {
    return textOf(this.get(column));
  }

  get broken() {
    return OUTCOMES.get(this.outcome).broken;
  }

  get name() {
    return `${this.model}/${this.strategy}`;
  }

  /** The stage that it ended at, where that says how far it came. */
  get ended() {
    return OUTCOMES.get(this.outcome).staged ? this.stage : "";
  }

  get state() {
    return [words(this.outcome), this.ended].filter(Boolean).join(" at ");
  }

  get reason() {
    return [this.outcome === "not-applicable" ? "" : this.text("error_type"), this.text("error") || this.text("difference")]
      .filter(Boolean)
      .join(": ");
  }

  /** What a search looks through, made once. */
  get haystack() {
    this.searched ??= [this.name, this.table.combination, this.state, this.reason, this.text("fingerprint")]
      .join(" ")
      .toLowerCase();
    return this.searched;
  }
}

const TABLES = DATA.tables;
const tableById = new Map(TABLES.map((table) => [table.id, table]));
const causeByKey = new Map(DATA.causes.map((cause, number) => [cause.key, number]));

TABLES.forEach((table, place) => {
  table.place = place;
});

/** The cells of a table in its order, those without a record last. */
function cellsOf(table) {
  if (!table.made) {
    const { model, strategy, outcome, stage } = table.cells;
    table.made = model.map(
      (number, at) =>
        new Cell(
          table, at, DATA.models[number], DATA.strategies[strategy[at]], DATA.outcomes[outcome[at]].name, DATA.stages[stage[at]],
        ),
    );
    for (const [missing, of] of table.missing) {
      table.made.push(new Cell(table, null, DATA.models[missing], DATA.strategies[of], "no-record", ""));
    }
    table.byName = new Map(table.made.map((cell) => [cell.name, cell]));
  }
  return table.made;
}

function cellIn(table, name) {
  cellsOf(table);
  return table.byName.get(name) ?? null;
}

const currentTables = () => TABLES.filter((table) => table.current);
const tableTitle = (table) => `${table.combination}, ${table.series}`;
const day = (moment) => moment.slice(0, 10);
const minute = (moment) => `${moment.slice(0, 10)} ${moment.slice(11, 16)}`;

/** The series that most tables are of, and all of them; each by its name without a combination. */
function seriesNames() {
  const counts = new Map();
  for (const table of currentTables()) counts.set(table.series, (counts.get(table.series) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name]) => name);
}

const pairOf = (base, candidate) => DATA.pairs[`${base.place}>${candidate.place}`] ?? null;
const kindOf = (category) => DATA.categories[category].kind;

function countsByKind(pair) {
  const counts = { worse: 0, better: 0, other: 0, untold: 0, unchanged: 0 };
  for (const [category, count] of Object.entries(pair.counts)) {
    counts[category === "unchanged" ? "unchanged" : kindOf(category)] += count;
  }
  return counts;
}

/** How many cells passed, of those that can exist and have a record. */
function successOf(cells) {
  const tried = cells.filter((cell) => OUTCOMES.get(cell.outcome).applicable);
  return { passed: tried.filter((cell) => cell.outcome === "passed").length, applicable: tried.length };
}

const rateText = ({ passed, applicable }) => (applicable ? `${passed}/${applicable}` : "n/a");

function countsByOutcome(cells) {
  const counts = new Map();
  for (const cell of cells) counts.set(cell.outcome, (counts.get(cell.outcome) ?? 0) + 1);
  return [...OUTCOMES.keys()].filter((name) => counts.has(name)).map((name) => [name, counts.get(name)]);
}

/** The sightings of a cell in all tables of its device, the oldest first. */
function sightingsOf(cell) {
  return TABLES.filter((table) => table.device === cell.table.device)
    .map((table) => cellIn(table, cell.name))
    .filter((found) => found && found.at !== null)
    .sort((a, b) => a.table.started.localeCompare(b.table.started) || a.table.place - b.table.place);
}

/** About three significant digits, never with an exponent, as reports write numbers. */
function figure(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

const exponent = (value) => (typeof value === "number" && value ? value.toExponential(1) : figure(value));

function bytes(value) {
  if (value === null) return "";
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  let left = value;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return at ? `${figure(left)} ${units[at]}` : `${left} B`;
}

/** A sign before a latency that something speaks against. */
const care = (cell) => (cell.get("latency_quality") === null ? "" : "~");
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
