// What views are made of. All text becomes text nodes: nothing that the API returns is markup.
"use strict";

const TONES = { success: "good", failed: "bad", rolled_back: "warn", pending: "info", in_progress: "info", verifying: "info" };

const badge = (word) => element("span", { class: `badge ${TONES[word] ?? ""}` }, spaced(word));

const spaced = (word) => String(word).replaceAll("_", " ");

function section(id, title, ...content) {
  return element("section", { "aria-labelledby": id }, element("h2", { id }, title), ...content);
}

function pairs(facts) {
  const there = facts.filter(([, value]) => value !== null && value !== undefined);
  return element("dl", {}, ...there.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

// Small screens show rows as blocks, which takes the meaning from table elements: so it is given as roles, too.
function table(name, heads, rows) {
  const columns = heads.map(({ content, sorted }) =>
    element("th", { scope: "col", role: "columnheader", ...(sorted ? { "aria-sort": sorted } : {}) }, content),
  );
  const lines = rows.map((cells) => {
    const filled = cells.map((cell, index) => {
      const content = cell instanceof Node ? cell : element("span", {}, cell);
      return element("td", { role: "cell", "data-label": heads[index].label }, content);
    });
    return element("tr", { role: "row" }, ...filled);
  });
  return element(
    "table",
    { role: "table", "aria-label": name },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...columns)),
    element("tbody", { role: "rowgroup" }, ...lines),
  );
}

function commands(title, lines) {
  const shown = lines.map((line) => element("li", {}, element("code", { class: "command" }, line)));
  return element("aside", { class: "commands", "aria-label": title }, element("h2", {}, title), element("ul", {}, ...shown));
}

// A code, with the page that says what it means.
const explained = (code) => element("a", { href: `/v1/errors/${encodeURIComponent(code)}` }, code);

// A time with its age, by the clock of this machine.
function moment(at) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return element("span", {}, String(at));
  const age = Date.now() - time.getTime();
  const ago = age >= 0 ? ` (${span(age)} ago)` : "";
  const words = time.toISOString().replace("T", " ").slice(0, 19);
  return element("time", { datetime: at }, `${words} UTC${ago}`);
}

function clock(at) {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? String(at) : element("time", { datetime: at }, time.toISOString().slice(11, 19));
}

function span(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 1) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  return units
    .slice(first, first + 2)
    .map(([unit, size], index) => [unit, Math.floor(index ? (seconds % units[first][1]) / size : seconds / size)])
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count} ${unit}`)
    .join(" ");
}

// The one place that makes elements. A child that is text becomes a text node.
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Makes `there` look like `wanted` and touches nothing else, so that focus, selection and scroll position stay.
function patch(there, wanted) {
  if (there !== main) {
    for (const { name } of [...there.attributes]) if (!wanted.hasAttribute(name)) there.removeAttribute(name);
    for (const { name, value } of wanted.attributes) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
  }
  const old = [...there.childNodes];
  const fresh = [...wanted.childNodes];
  fresh.forEach((node, index) => {
    const present = old[index];
    if (!present) there.append(node);
    else if (present.nodeName !== node.nodeName) present.replaceWith(node);
    else if (node.nodeType !== Node.TEXT_NODE) patch(present, node);
    else if (present.data !== node.data) present.data = node.data;
  });
  old.slice(fresh.length).forEach((node) => node.remove());
}
