// --- what is coming -------------------------------------------------------------------------------------------------

const CALENDAR_DAYS = 30;

const SCHEDULE_TONES = { late: "warn", queued: "warn", refused: "bad", paused: "warn", rotating: "info" };

function calendar({ coming: { rotations, more }, schedules: { schedules, next } }) {
  const days = Map.groupBy(rotations, (each) => each.start_at.slice(0, 10));
  const linked = (group) => element("a", { href: `#/groups/${encodeURIComponent(group)}` }, group);
  const day = ([date, starts]) =>
    section(
      `day-${date}`,
      `${date} UTC`,
      element("ul", { class: "starts" }, ...starts.map((each) => element("li", {}, clock(each.start_at), " ", linked(each.group)))),
    );
  const heads = ["Group", "Repeats", "State", "What it says", "Windows", "Not on"].map((label) => ({ label, content: label }));
  const rows = schedules.slice(0, ROWS_MAX).map((each) => [
    linked(each.group),
    each.repeats,
    element("span", { class: `badge ${SCHEDULE_TONES[each.state] ?? ""}` }, spaced(each.state)),
    each.text,
    each.windows?.length ? `${each.windows.join(", ")}: ${each.open ? "open" : "closed"}` : "at any time",
    each.blackout?.join(", ") ?? "–",
  ]);
  return [
    element("h1", {}, "Calendar"),
    element("p", { class: "quiet-text" }, `What starts by schedule in the next ${CALENDAR_DAYS} days, as if each started when it may.`),
    ...[...days].map(day),
    rotations.length ? null : element("p", {}, "Nothing is planned."),
    more ? element("p", { class: "quiet-text" }, "There is more than is shown.") : null,
    section("schedules", "Schedules", rows.length ? table("Schedules", heads, rows) : element("p", {}, "No group has a schedule.")),
    next ? element("p", { class: "quiet-text" }, "There are more groups than are shown.") : null,
    commands("The same on the command line", ["handover schedule list", "handover schedule calendar --days 30"]),
  ].filter(Boolean);
}
