// Campaigns and where each of their groups stands. Changing one needs the command line: the page changes nothing.

const CAMPAIGN_TONES = { running: "info", held: "bad", undoing: "warn", cancelling: "warn", success: "good", partly: "warn", undone: "warn", cancelled: "" };
const LEG_TONES = { started: "info", starting: "info", through: "good", succeeded: "good", failed: "bad", returning: "bad", undoing: "warn", going_back: "warn", kept: "warn" };

function campaigns({ campaigns: found, next }) {
  const linked = (group) => element("a", { href: `#/groups/${encodeURIComponent(group)}` }, group);
  const heads = ["Layer", "Group", "State", "What it says", "After"].map((label) => ({ label, content: label }));
  const one = (each) => {
    const legs = each.layers.flatMap((layer, index) => layer.map((leg) => [
      String(index + 1),
      linked(leg.group),
      element("span", { class: `badge ${LEG_TONES[leg.state] ?? ""}` }, spaced(leg.state)),
      leg.text,
      leg.after?.length ? leg.after.join(", ") : "–",
    ]));
    const asked = element("p", { class: "quiet-text" }, `Asked for by ${each.asked_by}, `, moment(each.asked_at), each.reason ? `: ${each.reason}` : "");
    const says = element("p", {}, element("span", { class: `badge ${CAMPAIGN_TONES[each.state] ?? ""}` }, each.state), ` ${each.text}`);
    const able = (each.actions ?? []).map((action) => `handover campaign ${action} ${each.campaign}`);
    return section(
      `campaign-${each.campaign}`,
      `Campaign ${each.campaign}`,
      ...[says, asked, table(`Groups of campaign ${each.campaign}`, heads, legs.slice(0, ROWS_MAX)), able.length ? commands("You can", able) : null].filter(Boolean),
    );
  };
  return [
    element("h1", {}, "Campaigns"),
    ...(found.length ? found.map(one) : [element("p", {}, "There is no campaign.")]),
    next ? element("p", { class: "quiet-text" }, "There are older ones than are shown.") : null,
    commands("The same on the command line", ["handover campaign list"]),
  ].filter(Boolean);
}
