// What a search found: its picks, each beside the most different network that is about as good. Figures are those of the
// search; a network that is on this page leads to its place in the explorer, and is marked there by a triangle.
const SEARCH = DATA.search;
const SOUGHT = new Map();
if (SEARCH) {
  SEARCH.picks.forEach(({ row, other }, k) => {
    if (other && other.row !== null && !SOUGHT.has(other.row)) SOUGHT.set(other.row, { text: `or ${k + 1}`, said: `alternative to pick ${k + 1} of the search`, own: false });
    if (row !== null) SOUGHT.set(row, { text: `${k + 1}`, said: `pick ${k + 1} of the search`, own: true });
  });
}
function soughtFacts({ facts }) {
  return facts.map(([title, value, low, high, kept]) => {
    const bounds = known(low) && high !== value ? ` (${figure(low, 3)}\u00a0to\u00a0${known(high) ? figure(high, 3) : "∞"})` : "";
    return [title, `${figure(value)}${bounds}${known(kept) ? `, within the budget with P\u00a0=\u00a0${figure(kept, 3)}` : ""}`];
  });
}
function soughtNetwork(one, label) {
  const { name, row } = one;
  const short = row === null || !NETWORKS.archs ? name : shortName(row);
  const go = () => { choose(row); byId("pareto-plot").scrollIntoView({ block: "center" }); };
  const title = row === null ? el("strong", {}, `${label} ${short}`) : el("button", { type: "button", class: "pick", onclick: go }, el("span", { class: "number", text: label }), ` ${short}`);
  const picture = row === null ? null : pictureOf(row, true);
  return el("div", {}, el("div", { class: "row" }, title, copyButton(name, short)), ...short === name ? [] : [archCode(name)], ...picture ? [picture] : [], facts(soughtFacts(one)));
}
function drawSearch() {
  byId("search").hidden = byId("to-search").hidden = !SEARCH;
  byId("search-legend").hidden = !SOUGHT.size;
  if (!SEARCH) return;
  byId("search-about").textContent = SEARCH.about;
  const away = SEARCH.picks.flatMap((pick) => [pick, pick.other]).filter((one) => one && one.row === null).length;
  notes("search-notes", [...SEARCH.notes.map((note) => `${note}.`.replace(/^./, (letter) => letter.toUpperCase())),
    away && `${count(away)} of these networks ${away === 1 ? "is" : "are"} not on this page, which shows the networks of the table: no drawing, and no mark in the explorer.`]);
  byId("search-picks").replaceChildren(...SEARCH.picks.map((pick, k) => el("li", {}, soughtNetwork(pick, `${k + 1}`),
    pick.other ? folded("Or, about as good and most different", !narrow(), () => [soughtNetwork(pick.other, "or")])
      : el("p", { class: "muted small", text: "No other network is about as good." }))));
}
