// Which view is shown, and what the keyboard does everywhere.

const VIEWS = {
  overview: { title: "Overview", show: showOverview, key: "o" },
  grid: { title: "Grid", show: showGrid, key: "g" },
  matrix: { title: "Matrix", show: showMatrix, key: "m" },
  compare: { title: "Compare", show: showCompare, key: "c" },
  list: { title: "Cells", show: showList, key: "l" },
  cell: { title: "Cell", show: showCell },
};

const links = Object.entries(VIEWS).filter(([, { key }]) => key).map(([name, { title }]) => {
  const link = h("a", { href: href(name) }, title);
  document.getElementById("views").append(h("li", null, link));
  return [name, link];
});

function showView(moved) {
  const { view, chosen } = parsedHash();
  const known = Object.hasOwn(VIEWS, view) ? view : "overview";
  shownCharts.splice(0).forEach(({ plot }) => plot.destroy());
  main.replaceChildren();
  if (TABLES.length) VIEWS[known].show(chosen);
  if (known !== view) main.querySelector("h1")?.after(absent(`This page has no view ${view}.`, "This is the overview."));
  for (const [name, link] of links) {
    const here = name === known || (known === "cell" && name === "grid");
    if (here) link.setAttribute("aria-current", name === known ? "page" : "true");
    else link.removeAttribute("aria-current");
  }
  const title = main.querySelector("h1");
  document.title = `${title ? title.textContent : VIEWS[known].title} · conversion harness`;
  if (moved && title) {
    scrollTo(0, 0);
    title.focus({ preventScroll: true });
  }
}

let waiting = false;

addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else document.getElementById("up")?.click();
    return;
  }
  if (typing) return;
  if (event.key === "/") {
    const search = main.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  } else if (waiting) {
    const found = Object.entries(VIEWS).find(([, { key }]) => key === event.key);
    if (found) go(found[0]);
  }
  waiting = event.key === "g" && !waiting;
});

addEventListener("hashchange", () => showView(true));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  main.focus();
});
addEventListener("resize", () => {
  for (const { plot, figure: holder } of shownCharts) plot.setSize({ width: Math.max(holder.clientWidth, 260), height: 190 });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shownCharts.length && showView(false));

showView(false);
