// The approvals that rotations wait for, and who gave what. Giving one needs the command line: the page changes nothing.

function approvals({ approvals: found, next }) {
  const rows = found.map((each) => {
    const missing = each.missing ? badge(`${each.missing} missing`) : element("span", { class: "badge good" }, "approved");
    const given = (each.given ?? []).map(({ by, at, expires_at: end }) => element("li", {}, `${by}, `, moment(at), ", counts until ", moment(end)));
    const who = each.approvers?.length ? each.approvers.join(", ") : "any approver";
    const command = element("code", { class: "command" }, `handover approve ${each.group} --gate ${each.gate} --plan ${each.plan.slice(0, 16)}`);
    return [
      element("a", { href: `#/groups/${encodeURIComponent(each.group)}` }, each.group),
      element("span", {}, `before ${each.gate}: ${each.text}`),
      element("span", {}, missing, ` of ${each.quorum}, from ${who}`),
      given.length ? element("ul", { class: "plain" }, ...given) : "nobody yet",
      element("span", {}, each.asked_by ?? "a schedule", ", ", moment(each.since)),
      each.missing && each.may_approve ? command : "–",
    ];
  });
  const heads = ["Group", "What waits", "Missing", "Given", "Asked by", "You can"].map((label) => ({ label, content: label }));
  return [
    element("h1", {}, "Approvals"),
    rows.length ? table("Approvals", heads, rows) : element("p", {}, "No rotation waits for an approval."),
    next ? element("p", { class: "quiet-text" }, "There are more than are shown.") : null,
    commands("The same on the command line", ["handover approvals"]),
  ].filter(Boolean);
}
