// Signs in, asks the API, follows the watch stream and says when to draw. It decides nothing.

const TOKEN_KEY = "handover.token";
const GROUPS_AT_ONCE = 1000;
const RECORDS_AT_ONCE = 100;
// How many pages of a history one look reads to close a gap, or to find where a rotation started.
const PAGES_MAX = 10;
// Acknowledgements and waits come without an event, so a live rotation is looked at in between.
const LOOK_LIVE_MS = 2000;
const LOOK_REST_MS = 30000;
// Many events at once are one look.
const LOOK_GAP_MS = 250;
// Two and a half heartbeats of the stream.
const SILENCE_MS_MAX = 37500;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10000;

const main = document.getElementById("main");
const state = {
  token: sessionStorage.getItem(TOKEN_KEY),
  sort: { by: "age", descending: false },
  filter: "",
  only: "", // the sign that the fleet is narrowed to
  event: "",
  actor: "",
  shown: null, // what the view was last drawn from
  error: null,
  books: new Map(), // pages of histories, by the path they come from
  older: false, // whether the next look reads an older page of the audit
  session: 0, // counts sign-ins and sign-outs: answers of an earlier session are dropped
};

function start() {
  addEventListener("hashchange", () => {
    Object.assign(state, { shown: null, error: null, older: false, event: "", actor: "" });
    draw();
    look().then(() => main.focus());
  });
  document.addEventListener("visibilitychange", () => document.hidden || look());
  document.addEventListener("click", clicked);
  document.addEventListener("input", typed);
  document.addEventListener("submit", submitted);
  let ticks = 0;
  setInterval(() => {
    ticks += 1;
    // Ages grow: those of a live rotation by seconds.
    if (state.shown && !document.hidden && (isLive() || ticks % 10 === 0)) draw();
  }, 1000);
  if (state.token) open(); else draw();
}

// --- what people do -------------------------------------------------------------------------------------------------

function clicked(event) {
  const at = (selector) => event.target.closest(selector);
  if (at("#skip")) {
    event.preventDefault(); // the fragment names a view
    main.focus();
    main.scrollIntoView();
  } else if (at("#sign-out")) {
    leave(null);
  } else if (at("[data-sort]")) {
    const by = at("[data-sort]").dataset.sort;
    state.sort = { by, descending: state.sort.by === by && !state.sort.descending };
    draw();
  } else if (at("[data-only]")) {
    const only = at("[data-only]").dataset.only;
    state.only = state.only === only ? "" : only;
    draw();
  } else if (at("#older")) {
    state.older = true;
    look();
  }
}

function typed(event) {
  if (["filter", "event", "actor"].includes(event.target.id)) {
    state[event.target.id] = event.target.value;
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
  const forgotten = { token: null, shown: null, filter: "", only: "", event: "", actor: "", older: false };
  Object.assign(state, { ...forgotten, error: problem, session: state.session + 1 });
  state.books.clear();
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
  let page = await ask(`/v1/groups?limit=${GROUPS_AT_ONCE}`);
  const { unconfigured } = page;
  const groups = [...page.groups];
  const unreadable = [...(page.unreadable ?? [])];
  while (page.next && (page.groups.length || page.unreadable?.length)) {
    page = await ask(`/v1/groups?limit=${GROUPS_AT_ONCE}&after=${encodeURIComponent(page.next)}`);
    groups.push(...page.groups);
    unreadable.push(...(page.unreadable ?? []));
  }
  return { groups, unreadable, unconfigured };
}

// A refusal of what is beside a view is a part of the view, and not its end.
const sinks = () => beside("/v1/sinks");

async function beside(path) {
  try {
    return await ask(path);
  } catch (error) {
    if (error.status === 403 || error.status === 404) return { refused: error.message };
    throw error;
  }
}

const pageOf = (path, before) => ask(`${path}?limit=${RECORDS_AT_ONCE}${before ? `&before=${before}` : ""}`);

// The records of a history that are loaded, the newest first: what is new is read, what is known is kept.
async function book(path) {
  const known = state.books.get(path);
  const newest = known?.records[0]?.position ?? 0;
  let page = await pageOf(path);
  const fresh = [...page.records];
  // A state that was set back has another history.
  const another = newest > (fresh[0]?.position ?? 0);
  const joined = () => !page.next || (known && !another && page.next <= newest);
  for (let pages = 1; pages < PAGES_MAX && !joined() && (known || !fresh.length); pages += 1) {
    page = await pageOf(path, page.next);
    fresh.push(...page.records);
  }
  const old = known && !another && joined() ? known : { records: [], next: page.next };
  const kept = old.records.length ? fresh.filter((each) => each.position > newest) : fresh;
  const found = { records: [...kept, ...old.records], next: old.next };
  state.books.set(path, found);
  return found;
}

async function older(path, found) {
  if (!found.next) return found;
  const page = await pageOf(path, found.next);
  const more = { records: [...found.records, ...page.records], next: page.next };
  state.books.set(path, more);
  return more;
}

// The records of a group back to where its rotation started.
async function story(group, rotation) {
  const path = `/v1/groups/${encodeURIComponent(group)}/history`;
  let found = await book(path);
  if (!rotation) return found;
  const started = () => found.records.some((each) => each.event === "started" && isOf(each, rotation));
  for (let pages = 1; pages < PAGES_MAX && found.next && !started(); pages += 1) found = await older(path, found);
  return { ...found, whole: started() };
}

const isOf = (record, rotation) => record.fields.generation === String(rotation.to.generation);

function view() {
  const [, name, group] = location.hash.split("/");
  if (name === "groups" && group) return { name: "group", group: decode(group) };
  if (name === "calendar") return { name: "calendar" };
  if (name === "approvals") return { name: "approvals" };
  if (name === "campaigns") return { name: "campaigns" };
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
  if (wanted.name === "fleet") {
    const asked = [allGroups(), sinks(), beside("/v1/stats?since=30d"), beside("/v1/alerts")];
    const [found, delivered, figures, alerted] = await Promise.all(asked);
    return { view: wanted, ...found, sinks: delivered, figures, alerted };
  }
  if (wanted.name === "group") {
    const path = `/v1/groups/${encodeURIComponent(wanted.group)}`;
    const [status, explanation] = await Promise.all([ask(path), ask(`${path}/explain`)]);
    return { view: wanted, status, explanation, records: await story(wanted.group, status.rotation) };
  }
  if (wanted.name === "approvals") return { view: wanted, ...(await ask(`/v1/approvals?limit=${ROWS_MAX}`)) };
  if (wanted.name === "campaigns") return { view: wanted, ...(await ask("/v1/campaigns?limit=20")) };
  if (wanted.name === "calendar") {
    const asked = [`/v1/calendar?days=${CALENDAR_DAYS}&limit=1000`, `/v1/schedules?limit=${ROWS_MAX}`];
    const [coming, schedules] = await Promise.all(asked.map(ask));
    return { view: wanted, coming, schedules };
  }
  const path = wanted.group ? `/v1/groups/${encodeURIComponent(wanted.group)}/history` : "/v1/audit";
  let [found, delivered] = await Promise.all([book(path), wanted.group ? null : sinks()]);
  if (state.older) found = await older(path, found);
  state.older = false;
  return { view: wanted, records: found, sinks: delivered };
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
      if (session === state.session) {
        sessionStorage.setItem(TOKEN_KEY, state.token);
        if (isAt(wanted)) Object.assign(state, { shown, error: null });
      }
    } catch (error) {
      if (session === state.session && error.status === 401) leave(error);
      else if (session === state.session && isAt(wanted)) {
        // What the server will not show is not shown any longer; what it cannot show now stays.
        if (error.status === 403 || error.status === 404) state.shown = null;
        state.error = error;
      }
    }
    if (!state.token) return;
    if (session !== state.session || !isAt(wanted)) again = true;
    else if (again) {
      draw();
      await pause(LOOK_GAP_MS);
    }
  } while (again);
  draw();
  timer = setTimeout(() => document.hidden || look(), isLive() || state.error ? LOOK_LIVE_MS : LOOK_REST_MS);
}

const isAt = (wanted) => JSON.stringify(wanted) === JSON.stringify(view());

const pause = (duration_ms) => new Promise((resume) => setTimeout(resume, duration_ms));

function isLive() {
  const rotation = state.shown?.status?.rotation;
  return Boolean(rotation) && rotation.phase !== "done";
}

// Follows the watch stream as long as the session lasts. Its events are hints: they say when to look.
async function follow(session) {
  let wait_ms = RETRY_MS_MIN;
  while (session === state.session && state.token) {
    const abort = new AbortController();
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS_MAX);
    };
    let refused = null;
    try {
      heard();
      const answer = await request("/v1/watch", abort.signal);
      wait_ms = RETRY_MS_MIN;
      for await (const event of events(answer.body, heard)) {
        if (session !== state.session) break;
        connected("Live", true);
        if (event.kind === "phase") announce(event);
        look();
      }
    } catch (error) {
      if (error.status === 403) refused = error;
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
    if (session !== state.session) return;
    connected(refused ? "Not live: this token may not watch" : "Connection lost, trying again", false);
    // Whatever comes next may have another history.
    state.books.clear();
    look();
    await pause(wait_ms);
    wait_ms = Math.min(wait_ms * 2, RETRY_MS_MAX);
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

function connected(words, is) {
  const link = document.getElementById("link");
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
  const title = at.name === "group" ? at.group : { audit: "Audit", calendar: "Calendar", approvals: "Approvals", campaigns: "Campaigns" }[at.name] ?? "Groups";
  document.title = state.token ? `${title} · Handover` : "Sign in · Handover";
  const drawn = element("main", {});
  if (!state.token) drawn.append(signIn(state));
  else drawn.append(...trouble(state.error), ...(shown ? VIEWS[shown.view.name](shown, state) : state.error ? [] : [waitingLine()]));
  patch(main, drawn);
  // Which choice is made is no attribute, so it is not patched.
  const choice = document.getElementById("event");
  if (choice && choice.value !== state.event) choice.value = state.event;
}

// Last, when everything above is there.
start();
