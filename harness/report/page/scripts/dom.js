// Elements are made here, and nowhere by parsing HTML: what a tool or a user wrote can be nothing but text.

/** An element with attributes, listeners (`onclick`) and children; null and false leave one out. */
function h(name, attributes, ...children) {
  const made = document.createElement(name);
  return filled(made, attributes, children);
}

/** The same of SVG. */
function svg(name, attributes, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  append(made, children);
  return made;
}

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") parent.append(child);
  }
}

const main = document.getElementById("main");
const announcer = document.getElementById("announce");

/** Put parts under what the view shows already. */
function show(...parts) {
  append(main, parts);
}

function announce(message) {
  announcer.textContent = message;
}
