// Where the reader is: the view and its choices stand in the address, so that they can be sent, reloaded and gone back to.

function parsedHash() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { view: path || "overview", chosen: new URLSearchParams(query) };
}

function href(view, choices = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(choices)) if (value) query.set(key, value);
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return `#/${view === "overview" ? "" : view}${text ? `?${text}` : ""}`;
}

const cellHref = (cell) => href("cell", { table: cell.table.id, cell: cell.name });

/** Go to another place, which the back button undoes. */
function go(view, choices) {
  location.hash = href(view, choices);
}

/** Write changed choices of the same view into the address: typing makes no history. */
function noteChoices(view, choices) {
  history.replaceState(null, "", href(view, choices));
}
