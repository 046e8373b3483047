// The views: each makes elements from what the API returned and from what a person chose to see.

// The order in which a timeline shows phases; the API says which of them a rotation is in.
const FORWARD = ["stage", "apply", "verify", "publish", "propagate", "drain", "disable", "destroy"];
const BACK = ["release", "put_back", "unpublish", "return", "quiet", "revoke"];

const ROWS_MAX = 500;
// A phase that learns the same again and again keeps its newest lines; the audit has all.
const LINES_MAX = 20;

const VIEWS = { fleet, group, calendar, approvals, campaigns, audit };

const waitingLine = () => element("p", { class: "quiet-text" }, "Asking the server…");

function trouble(error) {
  if (!error) return [];
  const hint = error.hint ? element("p", {}, `Next: ${error.hint}`) : null;
  return [element("div", { class: "notice", role: "alert" }, element("p", {}, error.message), hint)];
}

function signIn({ error }) {
  return element(
    "section",
    { class: "sign-in", "aria-labelledby": "sign-in" },
    element("h1", { id: "sign-in" }, "Sign in"),
    ...trouble(error),
    element(
      "form",
      {},
      element("label", { for: "token" }, "Token of a viewer or operator"),
      element("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: "" }),
      element("p", { class: "quiet-text" }, "It is kept for this tab, and gone when the tab closes."),
      element("button", { type: "submit" }, "Sign in"),
    ),
    commands("Make a token", ["handover token create YOUR-NAME --role viewer --group '*'"]),
  );
}

// --- all groups -----------------------------------------------------------------------------------------------------

// What is sorted by; null is what nobody knows, and comes last either way.
const COLUMNS = [
  ["group", "Group", (each) => each.group],
  ["status", "State", (each) => `${each.status ?? ""} ${each.phase ?? ""}`],
  ["signs", "Signs", (each) => -signs(each).length || null],
  ["generation", "Generation", (each) => each.generation ?? null],
  ["age", "In force since", (each) => (each.current_since ? Date.parse(each.current_since) : null)],
  ["entered", "Stands since", (each) => (each.entered_at ? Date.parse(each.entered_at) : null)],
];

// What counts and narrows the fleet: each state that there is, and three signs.
const SIGNS = [
  ["held", (each) => Boolean(each.hold)],
  ["doubted", (each) => Boolean(each.doubt)],
  ["failing", (each) => Boolean(each.trouble)],
];

const standing = (each) => each.status ?? "never rotated";

function signs(each) {
  return [
    each.doubt ? sign("bad", "doubted", each.doubt) : null,
    each.hold ? sign("warn", "held", each.hold) : null,
    each.trouble ? sign("bad", "failing", each.trouble) : null,
  ].filter(Boolean);
}

const sign = (tone, word, why) => element("span", { class: `badge ${tone}` }, `${word}: ${spaced(why)}`);

// What rotations of the last 30 days came to. What is not known is a dash.
function figures(found) {
  if (!found?.ended) return null;
  const { success, rolled_back: back, failed, superseded } = found.ended;
  const rate = found.success_rate === undefined ? "–" : `${(found.success_rate * 100).toFixed(1)} %`;
  const took = found.duration ? `${span(found.duration.p50_ms)}, 95 of 100 within ${span(found.duration.p95_ms)}` : "–";
  const overdue = found.overdue ? `${found.overdue}: ${(found.overdue_groups ?? []).join(", ")}` : "0";
  return pairs([
    ["Ended in 30 days", `${success} success, ${back} rolled back, ${failed} failed, ${superseded} superseded`],
    ["Success rate", rate],
    ["Half took at most", took],
    ["Overdue", overdue],
  ]);
}

const ALERTS_MAX = 20;

function alerts(found) {
  const there = found?.alerts ?? [];
  const shown = there.slice(0, ALERTS_MAX).map(({ group: name, alert, since, text, hint }) =>
    element(
      "div",
      { class: "notice", role: "alert" },
      element("p", {}, `${spaced(alert)}: `, element("a", { href: `#/groups/${encodeURIComponent(name)}` }, name), `: ${text}, since `, moment(since), `. Next: ${hint}`),
    ),
  );
  const rest = there.length - shown.length;
  return rest > 0 ? [...shown, element("p", {}, `and ${rest} more alerts`)] : shown;
}

function fleet({ groups, unreadable, unconfigured, sinks: delivered, figures: lately, alerted }, chosen) {
  const choices = counts(groups, chosen);
  const only = choices.find(({ word }) => word === chosen.only);
  const text = chosen.filter.trim();
  const found = groups.filter((each) => each.group.includes(text) && (!only || only.holds(each)));
  const rows = sorted(found, chosen.sort).slice(0, ROWS_MAX).map((each) => {
    const shown = signs(each);
    const phase = each.phase && each.phase !== "done" ? ` ${each.phase}` : null;
    return [
      element("a", { href: `#/groups/${encodeURIComponent(each.group)}` }, each.group),
      element("span", {}, badge(standing(each)), phase),
      shown.length ? element("span", { class: "signs" }, ...shown) : "–",
      each.generation === undefined ? "none" : String(each.generation),
      each.current_since ? moment(each.current_since) : each.generation === undefined ? "–" : "unknown",
      each.entered_at ? moment(each.entered_at) : "–",
    ];
  });
  const heads = COLUMNS.map(([name, label]) => {
    const order = chosen.sort.by === name ? (chosen.sort.descending ? "descending" : "ascending") : null;
    return { label, sorted: order, content: element("button", { type: "button", "data-sort": name }, label) };
  });
  const counted = found.length > ROWS_MAX ? `${ROWS_MAX} of ${found.length} groups` : `${found.length} of ${groups.length} groups`;
  return [
    element("h1", {}, "Groups"),
    ...failing(delivered),
    ...alerts(alerted),
    figures(lately),
    ...(unreadable ?? []).map(({ group: name, code, detail }) =>
      element("div", { class: "notice", role: "alert" }, element("p", {}, `${name} cannot be read: ${detail} [${code}]`)),
    ),
    unconfigured?.length ? element("p", { class: "quiet-text" }, `Not configured any more: ${unconfigured.join(", ")}`) : null,
    element("div", { class: "counts", role: "group", "aria-label": "Show only" }, ...choices.map(({ button }) => button)),
    element(
      "div",
      { class: "tools" },
      element("label", { for: "filter" }, "Name contains"),
      element("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false" }),
      element("span", { class: "quiet-text", role: "status" }, counted),
    ),
    rows.length ? table("Groups", heads, rows) : element("p", {}, "No group to show."),
    commands("The same on the command line", ["handover status", "handover stats --since 30d", "handover audit sinks"]),
  ].filter(Boolean);
}

function counts(groups, { only }) {
  const states = [...new Set(groups.map(standing))].sort();
  const all = [...states.map((word) => [word, (each) => standing(each) === word]), ...SIGNS];
  // What is chosen stays to be unchosen, also when its last group is gone.
  if (only && !all.some(([word]) => word === only)) all.push([only, (each) => standing(each) === only]);
  return all.map(([word, holds]) => {
    const count = groups.filter(holds).length;
    const attributes = { type: "button", class: "quiet", "data-only": word, "aria-pressed": String(word === only) };
    return { word, holds, button: element("button", attributes, `${spaced(word)} ${count}`) };
  });
}

function sorted(groups, { by, descending }) {
  const key = COLUMNS.find(([name]) => name === by)[2];
  const turn = descending ? -1 : 1;
  const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return groups
    .map((each) => [key(each), each])
    .sort(([a, first], [b, second]) => {
      const unknown = (a === null) - (b === null);
      return unknown || (a === null ? 0 : turn * order(a, b)) || order(first.group, second.group);
    })
    .map(([, each]) => each);
}

function failing(delivered) {
  const there = (delivered?.sinks ?? []).filter((each) => each.failing);
  return there.map(({ sink, waiting, failing: { since, code, detail } }) =>
    element(
      "div",
      { class: "notice", role: "alert" },
      element("p", {}, `Sink ${sink} takes no records: ${detail} (`, explained(code), `). ${waiting} wait, since `, moment(since)),
    ),
  );
}

// --- one group ------------------------------------------------------------------------------------------------------

function group({ view: { group: name }, status, explanation, records }) {
  const current = status.current;
  const since = status.current_since ? moment(status.current_since) : current ? "unknown" : null;
  const facts = [
    ["Target", status.target],
    ["In force", current ? `generation ${current.generation} in slot ${current.slot}` : "nothing yet"],
    ["In force since", since],
    ["Publication", String(status.publication)],
  ];
  return [
    element("p", { class: "crumb" }, element("a", { href: "#/" }, "Groups")),
    element("h1", {}, status.group),
    element("p", { class: "summary" }, explanation.summary),
    ...notices(explanation),
    ...waiting(explanation),
    next(explanation),
    pairs(facts),
    ...(status.rotation ? rotation(status.rotation, explanation, records) : [element("p", {}, "It was never rotated.")]),
    section("consumers", "Consumers", consumers(status.consumers)),
    element("p", {}, element("a", { href: `#/audit/${encodeURIComponent(name)}` }, "Audit of this group")),
    commands("The same on the command line", [`handover explain ${name}`, `handover status ${name}`, `handover history ${name}`]),
  ].filter(Boolean);
}

function notices({ hold, last_fault: fault }) {
  const held = hold && element("div", { class: "notice held" }, element("p", {}, `Held: ${hold.text}`));
  const at = fault?.at ? [", at ", moment(fault.at)] : [];
  const failed = fault && element("div", { class: "notice" }, element("p", {}, explained(fault.code), ` ${fault.text}`, ...at));
  return [held, failed].filter(Boolean);
}

function waiting({ waiting_for: awaited }) {
  if (!awaited.length) return [];
  const lines = awaited.map((each) => {
    const reach = each.reach ? `, ${each.reach}` : "";
    const publication = each.publication === undefined ? "" : ` publication ${each.publication}`;
    const left = each.remaining_ms === undefined ? "" : `, ${span(each.remaining_ms)} left`;
    const rest = element("span", { class: "quiet-text" }, `${reach}${publication}${left}, since `, moment(each.since));
    return element("li", {}, each.text, rest);
  });
  return [element("div", { class: "waiting" }, element("h2", {}, "Waiting for"), element("ul", {}, ...lines))];
}

function next({ next: coming, actions }) {
  const deadline = coming.deadline_ms === undefined ? null : `If that takes longer than another ${span(coming.deadline_ms)}: ${coming.then}.`;
  const obstacles = (coming.obstacles ?? []).map((each) => element("li", {}, each.text, element("span", { class: "quiet-text" }, ` ${each.hint}`)));
  const choices = actions.map((each) => element("li", {}, element("code", { class: "command" }, each.command), ` ${each.text}`));
  return section(
    "next",
    "Next",
    element("p", {}, coming.text, deadline ? element("span", { class: "quiet-text" }, ` ${deadline}`) : null),
    obstacles.length ? element("ul", { class: "plain" }, ...obstacles) : null,
    choices.length ? element("h3", {}, "What can be done") : null,
    choices.length ? element("ul", { class: "plain actions" }, ...choices) : null,
  );
}

function rotation(it, explanation, records) {
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
  const evidence = explanation.evidence.map((each) => element("li", {}, each.text));
  const cut = records.whole ? null : element("p", { class: "quiet-text" }, "What is loaded of the history does not reach back to its start.");
  return [
    section("now", ended ? "Last rotation" : "Rotation", pairs(facts)),
    evidence.length ? section("evidence", "Evidence now", element("ul", { class: "plain" }, ...evidence)) : null,
    section("timeline", "Timeline", cut, timeline(it, records)),
  ].filter(Boolean);
}

// The phases that the history tells of, the present one, and those that a rotation on its way forward has before it.
function timeline(it, records) {
  const steps = past(it, records);
  if (steps.at(-1)?.phase !== it.phase) steps.push({ phase: it.phase, at: it.entered_at, lines: [] });
  steps.forEach((step, index) => Object.assign(step, { until: steps[index + 1]?.at, mark: "past" }));
  steps.at(-1).mark = it.phase === "done" ? "past" : "present";
  const ahead = FORWARD.slice(FORWARD.indexOf(it.phase) + 1).map((phase) => ({ phase, mark: "ahead", lines: [] }));
  if (FORWARD.includes(it.phase)) steps.push(...ahead);
  return element("ol", { class: "timeline" }, ...steps.map((step) => stepLine(step, it)));
}

function past(it, records) {
  const steps = [];
  for (const record of during(it, records)) {
    const entered = { started: "stage", advanced: record.fields.phase, ended: "done" }[record.event];
    const why = record.event === "advanced" || record.event === "ended" ? record.fields.evidence : null;
    if (why && steps.length) steps.at(-1).lines.push({ at: record.at, text: why });
    if (entered) steps.push({ phase: entered, at: record.at, lines: [] });
    if (!why && steps.length) steps.at(-1).lines.push({ at: record.at, text: toldBy(record) });
  }
  return steps;
}

// The group's records from the rotation's start to its end, the oldest first.
function during(it, { records }) {
  const first = records.findIndex((each) => each.event === "started" && isOf(each, it));
  const last = records.findIndex((each) => each.event === "ended" && isOf(each, it));
  const ours = records.slice(Math.max(last, 0), first < 0 ? undefined : first + 1);
  return (first < 0 ? ours.filter((each) => isOf(each, it)) : ours).reverse();
}

// What the engine learns by itself bears no name; what a person ordered does.
function toldBy(record) {
  const by = record.actor === "engine" ? "" : ` by ${record.actor}`;
  return told({ ...record, event: `${record.event}${by}` }, ["generation", "phase"]);
}

function stepLine({ phase, at, until, mark, lines }, it) {
  const present = mark === "present";
  const words = phase === "done" ? spaced(it.status) : phase;
  const took = at && until ? ` · took ${span(Date.parse(until) - Date.parse(at))}` : "";
  const when = at ? element("span", { class: "when" }, moment(at), took) : element("span", { class: "when" }, "to come");
  const back = BACK.includes(phase) ? element("span", { class: "badge warn" }, "way back") : null;
  const now = present ? element("span", { class: "badge info" }, "now") : null;
  const left = lines.length > LINES_MAX ? element("li", {}, `${lines.length - LINES_MAX} earlier lines are in the audit`) : null;
  const shown = lines.slice(-LINES_MAX).map((line) => element("li", {}, clock(line.at), ` ${line.text}`));
  const evidence = lines.length ? element("ul", { class: "evidence" }, left, ...shown) : null;
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

// --- audit ----------------------------------------------------------------------------------------------------------

function audit({ view: { group: only }, records: { records, next: more }, sinks: delivered }, chosen) {
  const events = [...new Set([...records.map((each) => each.event), ...(chosen.event ? [chosen.event] : [])])].sort();
  const actor = chosen.actor.trim();
  const found = records.filter((each) => (!chosen.event || each.event === chosen.event) && each.actor.includes(actor));
  const rows = found.map((each) => [
    String(each.position),
    moment(each.at),
    element("a", { href: `#/groups/${encodeURIComponent(each.group)}` }, each.group),
    each.event,
    each.actor,
    told({ ...each, event: "" }, []),
  ]);
  const heads = ["Position", "At", "Group", "Event", "Actor", "Details"].map((label) => ({ label, content: label }));
  const option = (value, words) => element("option", { value }, words);
  return [
    only ? element("p", { class: "crumb" }, element("a", { href: "#/audit" }, "Audit of all groups")) : null,
    element("h1", {}, only ? `Audit of ${only}` : "Audit"),
    element(
      "div",
      { class: "tools" },
      element("label", { for: "event" }, "Event"),
      element("select", { id: "event" }, option("", "all"), ...events.map((event) => option(event, spaced(event)))),
      element("label", { for: "actor" }, "Actor contains"),
      element("input", { id: "actor", type: "search", autocomplete: "off", spellcheck: "false" }),
      element("span", { class: "quiet-text", role: "status" }, `${found.length} of ${records.length} loaded records`),
    ),
    rows.length ? table("Records, newest first", heads, rows) : element("p", {}, "No record to show."),
    more
      ? element("p", {}, element("button", { type: "button", class: "quiet", id: "older" }, "Load older records"))
      : element("p", { class: "quiet-text" }, "These are all records."),
    delivered ? section("sinks", "Sinks", ...deliveries(delivered)) : null,
    commands("The same on the command line", ["handover audit tail", "handover audit verify"]),
  ].filter(Boolean);
}

function deliveries(delivered) {
  if (delivered.refused) return [element("p", {}, delivered.refused)];
  if (!delivered.sinks.length) return [element("p", {}, "No sink is configured.")];
  const rows = delivered.sinks.map((each) => [
    each.sink,
    String(each.position),
    String(each.waiting),
    each.failing ? element("span", { class: "badge bad" }, "failing") : element("span", { class: "badge good" }, "takes records"),
  ]);
  const heads = ["Sink", "Delivered up to", "Waiting", "State"].map((label) => ({ label, content: label }));
  return [...failing(delivered), table("Sinks", heads, rows)];
}

// A record's fields as `name text`, the event first.
function told({ event, fields }, without) {
  const parts = Object.entries(fields).filter(([name]) => !without.includes(name));
  const words = parts.map(([name, text]) => (name === "evidence" ? text : `${spaced(name)} ${text}`)).join(", ");
  return [event, words].filter(Boolean).join(": ");
}
