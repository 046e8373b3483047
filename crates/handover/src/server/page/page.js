// Shows what the API returns, and decides nothing. All text becomes text nodes: nothing that the API returns is markup.
"use strict";

// The order in which a timeline shows phases; the API says which of them a rotation is in.
const FORWARD = ["stage", "apply", "verify", "publish", "propagate", "drain", "disable", "destroy"];
const BACK = ["release", "unpublish", "return", "quiet", "revoke"];

const TOKEN_KEY = "handover.token";
const ROWS_MAX = 500;
// Acknowledgements and waits come without an event, so a live rotation is looked at in between.
const LOOK_LIVE_MS = 2000;
const LOOK_REST_MS = 30000;
// Two and a half heartbeats of the stream.
const SILENCE_MS_MAX = 37500;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10000;

const main = document.getElementById("main");
const state = {
  token: sessionStorage.getItem(TOKEN_KEY),
  sort: { by: "group", descending: false },
  filter: "",
  shown: null, // what the view was last drawn from
  error: null,
  session: 0, // counts sign-ins and sign-outs: answers of an earlier session are dropped
};

start();

function start() {
  addEventListener("hashchange", () => {
    state.shown = null;
    state.error = null;
    draw();
    look().then(() => main.focus());
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());
  document.addEventListener("click", clicked);
  document.addEventListener("input", typed);
  document.addEventListener("submit", submitted);
  setInterval(() => state.shown && draw(), 10000); // ages grow
  if (state.token) open(); else draw();
}

// --- what people do -------------------------------------------------------------------------------------------------

function clicked(event) {
  if (event.target.closest("#skip")) {
    event.preventDefault(); // the fragment names a view
    main.focus();
    main.scrollIntoView();
  } else if (event.target.closest("#sign-out")) {
    leave(null);
  } else if (event.target.closest("[data-sort]")) {
    const by = event.target.closest("[data-sort]").dataset.sort;
    state.sort = { by, descending: state.sort.by === by && !state.sort.descending };
    draw();
  }
}

function typed(event) {
  if (event.target.id === "filter") {
    state.filter = event.target.value;
    draw();
  }
}

function submitted(event) {
  event.preventDefault();
  const field = document.getElementById("token");
  if (!field || !field.value.trim()) return;
  state.token = field.value.trim();
  state.error = null;
  open();
}

function open() {
  state.session += 1;
  state.shown = null;
  draw();
  look().then(() => {
    if (state.token) main.focus();
  });
  follow(state.session);
}

function leave(problem) {
  sessionStorage.removeItem(TOKEN_KEY);
  Object.assign(state, { token: null, shown: null, error: problem, session: state.session + 1, filter: "" });
  main.replaceChildren();
  draw();
  document.getElementById("token")?.focus();
}

// --- asking the API -------------------------------------------------------------------------------------------------

class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || `the server answered with ${status}`);
    this.status = status;
    this.code = body?.code;
    this.hint = body?.hint;
  }
}

async function request(path, signal) {
  const headers = {};
  try {
    headers.authorization = `Bearer ${state.token}`;
    new Headers(headers);
  } catch {
    throw new Problem(401, { detail: "this is no token", hint: "make one with `handover token create`" });
  }
  let answer;
  try {
    answer = await fetch(path, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the server cannot be reached", hint: "this page tries again by itself" });
  }
  if (answer.ok) return answer;
  throw new Problem(answer.status, await answer.json().catch(() => null));
}

const ask = async (path) => (await request(path)).json();

async function allGroups() {
  const groups = [];
  let page = await ask("/v1/groups");
  groups.push(...page.groups);
  while (page.next && page.groups.length) {
    page = await ask(`/v1/groups?after=${encodeURIComponent(page.next)}`);
    groups.push(...page.groups);
  }
  return groups;
}

async function history(group) {
  try {
    return await ask(`/v1/groups/${encodeURIComponent(group)}/history`);
  } catch (error) {
    if (error.code === "no_such_path") return null;
    throw error;
  }
}

function view() {
  const [, name, group] = location.hash.split("/");
  if (name === "groups" && group) return { name: "group", group: decode(group) };
  if (name === "audit") return { name: "audit", group: group ? decode(group) : null };
  return { name: "fleet" };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function load(wanted) {
  if (wanted.name === "fleet") return { view: wanted, groups: await allGroups() };
  if (wanted.name === "group") {
    const path = `/v1/groups/${encodeURIComponent(wanted.group)}`;
    const [status, records] = await Promise.all([ask(path), history(wanted.group)]);
    return { view: wanted, status, records };
  }
  const groups = (await allGroups()).map((each) => each.group);
  const named = wanted.group ? [wanted.group] : groups;
  return { view: wanted, groups, histories: await Promise.all(named.map(async (group) => [group, await history(group)])) };
}

let looking = null;
let again = false;
let timer = 0;

// One look at a time; what happens meanwhile is looked at afterwards.
function look() {
  if (!state.token) return Promise.resolve();
  if (looking) {
    again = true;
    return looking;
  }
  looking = lookNow().finally(() => {
    looking = null;
  });
  return looking;
}

async function lookNow() {
  clearTimeout(timer);
  do {
    again = false;
    const session = state.session;
    const wanted = view();
    try {
      const shown = await load(wanted);
      if (session !== state.session) return;
      sessionStorage.setItem(TOKEN_KEY, state.token);
      Object.assign(state, { shown, error: null });
    } catch (error) {
      if (session !== state.session) return;
      if (error.status === 401) return leave(error);
      state.error = error;
    }
    if (JSON.stringify(wanted) !== JSON.stringify(view())) again = true;
  } while (again);
  draw();
  timer = setTimeout(() => document.hidden || look(), isLive() || state.error ? LOOK_LIVE_MS : LOOK_REST_MS);
}

function isLive() {
  const rotation = state.shown?.status?.rotation;
  return Boolean(rotation) && rotation.phase !== "done";
}

// Follows the watch stream as long as the session lasts. Its events are hints: they say when to look.
async function follow(session) {
  let wait = RETRY_MS_MIN;
  while (session === state.session && state.token) {
    const abort = new AbortController();
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
    };
    try {
      heard();
      const answer = await request("/v1/watch", abort.signal);
      wait = RETRY_MS_MIN;
      for await (const event of events(answer.body, heard)) {
        if (session !== state.session) break;
        connected(true);
        if (event.kind === "phase") announce(event);
        look();
      }
    } catch (error) {
      if (error.status === 401 || error.status === 403) break;
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
    if (session !== state.session) return;
    connected(false);
    look();
    await new Promise((resume) => setTimeout(resume, wait));
    wait = Math.min(wait * 2, RETRY_MS_MAX);
  }
}

async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length) yield JSON.parse(data.join("\n"));
    }
  }
}

function connected(is) {
  const link = document.getElementById("link");
  const words = is ? "Live" : "Connection lost, trying again";
  if (link.textContent !== words) link.textContent = words;
  link.dataset.live = is;
}

function announce(event) {
  const words = event.phase === "done" ? `ended: ${spaced(event.status)}` : `phase ${event.phase}`;
  const hold = event.hold ? `, held: ${spaced(event.hold)}` : "";
  document.getElementById("announce").textContent = `${event.group}: ${words}${hold}`;
}

// --- drawing --------------------------------------------------------------------------------------------------------

function draw() {
  const shown = state.shown;
  document.getElementById("nav").hidden = !state.token;
  document.getElementById("session").hidden = !state.token;
  const at = shown ? shown.view : view();
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.dataset.view === at.name;
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const title = at.name === "group" ? at.group : at.name === "audit" ? "Audit" : "Groups";
  document.title = state.token ? `${title} · Handover` : "Sign in · Handover";
  const drawn = element("main", {});
  if (!state.token) drawn.append(signIn());
  else drawn.append(...trouble(), ...(shown ? VIEWS[shown.view.name](shown) : state.error ? [] : [waitingLine()]));
  patch(main, drawn);
}

const VIEWS = { fleet, group, audit };

const waitingLine = () => element("p", { class: "quiet-text" }, "Asking the server…");

function trouble() {
  const error = state.error;
  if (!error) return [];
  const hint = error.hint ? element("p", {}, `Next: ${error.hint}`) : null;
  return [element("div", { class: "notice", role: "alert" }, element("p", {}, error.message), hint)];
}

function signIn() {
  return element(
    "section",
    { class: "sign-in", "aria-labelledby": "sign-in" },
    element("h1", { id: "sign-in" }, "Sign in"),
    ...trouble(),
    element(
      "form",
      {},
      element("label", { for: "token" }, "Operator token"),
      element("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: "" }),
      element("p", { class: "quiet-text" }, "It is kept for this tab, and gone when the tab closes."),
      element("button", { type: "submit" }, "Sign in"),
    ),
    commands("Make a token", ["handover token create YOUR-NAME --role operator --group '*'"]),
  );
}

const COLUMNS = [
  ["group", "Group", (each) => each.group],
  ["status", "State", (each) => `${each.status ?? ""} ${each.phase ?? ""}`],
  ["hold", "Held", (each) => each.hold ?? ""],
  ["generation", "Generation", (each) => each.generation ?? -1],
  ["publication", "Publication", (each) => each.publication],
  ["age", "Since", (each) => (each.entered_at ? -Date.parse(each.entered_at) : -Infinity)],
];

function fleet({ groups }) {
  const key = COLUMNS.find(([name]) => name === state.sort.by)[2];
  const sign = state.sort.descending ? -1 : 1;
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const found = groups
    .filter((each) => each.group.includes(state.filter.trim()))
    .sort((a, b) => sign * order(key(a), key(b)) || order(a.group, b.group));
  const rows = found.slice(0, ROWS_MAX).map((each) => [
    element("a", { href: `#/groups/${encodeURIComponent(each.group)}` }, each.group),
    element("span", {}, badge(each.status ?? "never rotated"), each.phase && each.phase !== "done" ? ` ${each.phase}` : null),
    each.hold ? element("span", { class: "badge warn" }, spaced(each.hold)) : "–",
    each.generation === undefined ? "none" : String(each.generation),
    String(each.publication),
    each.entered_at ? moment(each.entered_at) : "–",
  ]);
  const heads = COLUMNS.map(([name, label]) => {
    const sorted = state.sort.by === name ? (state.sort.descending ? "descending" : "ascending") : null;
    return { label, sorted, content: element("button", { type: "button", "data-sort": name }, label) };
  });
  const counted = found.length > ROWS_MAX ? `${ROWS_MAX} of ${found.length} groups` : `${found.length} of ${groups.length} groups`;
  return [
    element("h1", {}, "Groups"),
    element(
      "div",
      { class: "tools" },
      element("label", { for: "filter" }, "Name contains"),
      element("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false" }),
      element("span", { class: "quiet-text", role: "status" }, counted),
    ),
    rows.length ? table("Groups", heads, rows) : element("p", {}, "No group to show."),
    commands("The same on the command line", ["handover status"]),
  ];
}

function group({ view: { group: name }, status, records }) {
  const current = status.current;
  const facts = [
    ["Target", status.target],
    ["In force", current ? `generation ${current.generation} in slot ${current.slot}` : "nothing yet"],
    ["Publication", String(status.publication)],
  ];
  return [
    element("p", { class: "crumb" }, element("a", { href: "#/" }, "Groups")),
    element("h1", {}, status.group),
    pairs(facts),
    ...(status.rotation ? rotation(status.rotation, records) : [element("p", {}, "It was never rotated.")]),
    section("consumers", "Consumers", consumers(status.consumers)),
    element("p", {}, element("a", { href: `#/audit/${encodeURIComponent(name)}` }, "Audit of this group")),
    commands("The same on the command line", [`handover status ${name}`, `handover plan ${name}`]),
  ];
}

function rotation(it, records) {
  const ended = it.phase === "done";
  const from = it.from ? `generation ${it.from.generation}` : "nothing";
  const facts = [
    ["Rotation", `${from} → generation ${it.to.generation}`],
    ["Status", badge(it.status)],
    ["Phase", ended ? "ended" : it.phase],
    ["Since", moment(it.entered_at)],
    ["Observed for", ended ? null : span(it.elapsed_ms)],
    ["Held", it.hold ? element("span", { class: "badge warn" }, spaced(it.hold)) : null],
    ["Trouble", it.trouble ? element("span", { class: "badge bad" }, it.trouble) : null],
    ["Rolled back", it.cause ? spaced(it.cause) : null],
    ["Also retires", it.owed?.length ? it.owed.map((each) => `generation ${each.generation}`).join(", ") : null],
  ];
  return [
    section("now", ended ? "Last rotation" : "Rotation", pairs(facts), ...waiting(it)),
    section("timeline", "Timeline", timeline(it, records), records ? null : element("p", { class: "quiet-text" }, NOT_SERVED)),
  ];
}

function waiting(it) {
  if (!it.waiting_for.length) return [];
  const lines = it.waiting_for.map((each) => {
    const rest = each.remaining_ms === undefined ? null : element("span", { class: "quiet-text" }, ` (${span(each.remaining_ms)} left)`);
    return element("li", {}, each.text, rest);
  });
  const since = element("span", { class: "quiet-text" }, "in this phase since ", moment(it.entered_at));
  return [
    element("div", { class: "waiting" }, element("h3", {}, "Waiting for"), element("ul", {}, ...lines), element("p", {}, since)),
  ];
}

// The phases that the history tells of, the present one, and those that a rotation on its way forward has before it.
function timeline(it, records) {
  const steps = past(it, records);
  const last = steps.at(-1);
  if (last?.phase !== it.phase) steps.push({ phase: it.phase, at: it.entered_at, lines: [] });
  steps.forEach((step, index) => Object.assign(step, { until: steps[index + 1]?.at, mark: "past" }));
  steps.at(-1).mark = it.phase === "done" ? "past" : "present";
  const ahead = FORWARD.slice(FORWARD.indexOf(it.phase) + 1).map((phase) => ({ phase, mark: "ahead", lines: [] }));
  if (FORWARD.includes(it.phase)) steps.push(...ahead);
  return element("ol", { class: "timeline" }, ...steps.map((step) => stepLine(step, it)));
}

function past(it, records) {
  const steps = [];
  const ours = list(records).filter((each) => each.fields.generation === String(it.to.generation));
  for (const record of ours) {
    const entered = { started: "stage", advanced: record.fields.phase, ended: "done" }[record.event];
    const why = record.event === "advanced" || record.event === "ended" ? record.fields.evidence : null;
    if (why && steps.length) steps.at(-1).lines.push({ at: record.at, text: why });
    if (entered) steps.push({ phase: entered, at: record.at, lines: [] });
    else if (steps.length) steps.at(-1).lines.push({ at: record.at, text: told(record, ["generation", "phase"]) });
  }
  return steps;
}

function stepLine({ phase, at, until, mark, lines }, it) {
  const present = mark === "present";
  const words = phase === "done" ? spaced(it.status) : phase;
  const took = at && until ? ` · took ${span(Date.parse(until) - Date.parse(at))}` : "";
  const when = at ? element("span", { class: "when" }, moment(at), took) : element("span", { class: "when" }, "to come");
  const back = BACK.includes(phase) ? element("span", { class: "badge warn" }, "way back") : null;
  const now = present ? element("span", { class: "badge info" }, "now") : null;
  const evidence = lines.length
    ? element("ul", { class: "evidence" }, ...lines.map((line) => element("li", {}, clock(line.at), ` ${line.text}`)))
    : null;
  const attributes = { class: `step ${mark}`, "data-phase": phase, ...(present ? { "aria-current": "step" } : {}) };
  return element("li", attributes, element("h3", {}, words), now, back, when, evidence);
}

function consumers(members) {
  if (!members.length) return element("p", {}, "Nobody is expected to acknowledge.");
  const rows = members.map((each) => [
    each.consumer,
    each.role,
    element("span", { class: `reach ${each.reach}` }, each.reach),
    each.publication === undefined ? "none" : String(each.publication),
  ]);
  const heads = ["Consumer", "Role", "Reach", "Publication"].map((label) => ({ label, content: label }));
  return table("Consumers", heads, rows);
}

function audit({ view: { group: only }, groups, histories }) {
  const records = histories.flatMap(([name, found]) => list(found).map((each) => ({ group: name, ...each })));
  const served = histories.every(([, found]) => found !== null);
  records.sort((a, b) => b.position - a.position);
  const rows = records.slice(0, ROWS_MAX).map((each) => [
    String(each.position),
    moment(each.at),
    element("a", { href: `#/groups/${encodeURIComponent(each.group)}` }, each.group),
    each.event,
    each.actor,
    told({ ...each, event: "" }, []),
  ]);
  const heads = ["Position", "At", "Group", "Event", "Actor", "Details"].map((label) => ({ label, content: label }));
  const choices = [null, ...groups].map((name) => {
    const here = name === only ? { "aria-current": "page" } : {};
    return element("li", {}, element("a", { href: name ? `#/audit/${encodeURIComponent(name)}` : "#/audit", ...here }, name ?? "All"));
  });
  return [
    element("h1", {}, only ? `Audit of ${only}` : "Audit"),
    groups.length > 1 ? element("nav", { "aria-label": "Groups" }, element("ul", { class: "choices" }, ...choices.slice(0, ROWS_MAX))) : null,
    rows.length ? table("Records, newest first", heads, rows) : element("p", {}, served ? "No record yet." : NOT_SERVED),
    commands("The same on the command line", ["handover audit verify"]),
  ].filter(Boolean);
}

// Nothing known is not nothing there.
const NOT_SERVED = "This server does not serve records over its API.";

// A record's fields as `name text`, the event first.
function told({ event, fields }, without) {
  const parts = Object.entries(fields).filter(([name]) => !without.includes(name));
  const words = parts.map(([name, text]) => (name === "evidence" ? text : `${spaced(name)} ${text}`)).join(", ");
  return [event, words].filter(Boolean).join(": ");
}

// Records in their order; none where the server has no such route.
function list(found) {
  return [...(found?.records ?? [])].sort((a, b) => a.position - b.position);
}

// --- parts ----------------------------------------------------------------------------------------------------------

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
