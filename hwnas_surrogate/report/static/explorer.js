// The explorer: budgets, the best networks within them, the front, and how all of these are chosen and saved.
const PATHS = [
  CUT_OFF.size && `${plural(CUT_OFF.size, "network")} with ${NO_PATH} ${CUT_OFF.size === 1 ? "is" : "are"} left out.`,
  NETWORKS.all_macs && "Live multiply-adds are those on such a path; a device may take time for the others too.",
].filter(Boolean).join(" ");
const MOST_PICKS = 5;
const quantityKey = (id) => byId(id).value;

// Budgets. A slider goes through the networks in the order of their cost; at its end there is no budget.
const BUDGETS = new Map(SEARCH ? SEARCH.budgets : []);
const activeBudgets = () => shown().filter((i) => BUDGETS.has(i)).map((i) => [i, BUDGETS.get(i)]);
const STEPS_OF_SLIDER = 1000;
const isWithin = (i, value, budget) => TARGETS[i].better < 0 ? value <= budget : value >= budget;
const limit = (i, budget) => `${TARGETS[i].better < 0 ? "at most" : "at least"} ${figure(budget)}\u00a0${TARGETS[i].unit}`;
function budgetAt(i, step) {
  const all = sortedCosts(i);
  const at = Math.round((step / STEPS_OF_SLIDER) * (all.length - 1));
  return Number(all[TARGETS[i].better < 0 ? at : all.length - 1 - at].toPrecision(4));
}
function stepAt(i, budget) {
  const all = sortedCosts(i);
  const inside = all.reduce((n, cost) => n + isWithin(i, cost, budget), 0);
  return Math.round((STEPS_OF_SLIDER * Math.max(0, inside - 1)) / Math.max(1, all.length - 1));
}
function makeBudget(i) {
  const t = TARGETS[i];
  const slider = el("input", { type: "range", min: 0, max: STEPS_OF_SLIDER, "aria-label": `Budget: ${t.name}` });
  const box = el("input", { type: "number", min: 0, step: "any", placeholder: "none", "aria-label": `Budget: ${t.name}, in ${t.unit}` });
  const say = () => {
    const budget = BUDGETS.get(i);
    slider.setAttribute("aria-valuetext", budget === undefined ? "no budget" : limit(i, budget));
  };
  slider.value = BUDGETS.has(i) ? stepAt(i, BUDGETS.get(i)) : STEPS_OF_SLIDER;
  box.value = BUDGETS.get(i) ?? "";
  slider.addEventListener("input", () => {
    const step = Number(slider.value);
    if (step >= STEPS_OF_SLIDER) BUDGETS.delete(i); else BUDGETS.set(i, budgetAt(i, step));
    box.value = BUDGETS.get(i) ?? "";
    say();
    later();
  });
  box.addEventListener("input", () => {
    const budget = box.valueAsNumber;
    if (known(budget)) BUDGETS.set(i, budget); else BUDGETS.delete(i);
    slider.value = known(budget) ? stepAt(i, budget) : STEPS_OF_SLIDER;
    say();
    later();
  });
  say();
  return el("div", { class: "budget", "data-target": i }, el("span", { class: "name" }, ...broken(wordParts(t.name))), slider,
    el("span", { class: "typed" }, t.better < 0 ? "≤ " : "≥ ", box, ` ${t.unit}`));
}
function drawBudgetBoxes() {
  const costed = shown().filter((i) => TARGETS[i].known || NETWORKS.predicted[i].values);
  byId("budget-list").replaceChildren(...costed.map(makeBudget));
}
// One drawing a frame, however often a slider moves.
let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; update(); });
}

// What is within the budgets, the best of it, and its front.
function insideBudgets() {
  const inside = new Uint8Array(N).fill(1);
  for (const row of CUT_OFF) inside[row] = 0;
  for (const [i, budget] of activeBudgets()) {
    const costs = counted(i);
    for (let row = 0; row < N; row++) if (!isWithin(i, costs[row], budget)) inside[row] = 0;
  }
  return inside;
}
// What is compared with a budget: the costs, or, to be sure, the bounds of their intervals.
const surely = () => byId("surely").checked;
function counted(i) {
  const { values, low, high } = COSTED[i]();
  return !surely() ? values : TARGETS[i].better < 0 ? high : low;
}
// The targets whose interval reaches beyond their budget.
function crossed(row) {
  return activeBudgets().filter(([i, budget]) => {
    const { low, high } = COSTED[i]();
    const worst = TARGETS[i].better < 0 ? high[row] : low[row];
    return !isMeasured(i, row) && !isWithin(i, worst, budget);
  }).map(([i]) => i);
}
function bestOf(inside, a, n) {
  const best = [];
  const first = activeBudgets()[0]?.[0];
  const cheaper = (p, q) => first === undefined ? 0 : TARGETS[first].better * (COSTED[first]().values[q] - COSTED[first]().values[p]);
  const order = (p, q) => a.better * (a.values[q] - a.values[p]) || cheaper(p, q) || p - q;
  for (let row = 0; row < N; row++) {
    if (!inside[row] || Number.isNaN(a.values[row]) || (best.length === n && order(row, best[n - 1]) >= 0)) continue;
    best.push(row);
    best.sort(order);
    if (best.length > n) best.pop();
  }
  return best;
}
// Rows that no other one dominates; exact, ties included: sorted by x, then y, one sweep. The order is kept while axes are.
let sortedRows = { key: "", rows: [] };
function paretoFront(x, y, rows, inside) {
  const key = `${x.key} ${y.key}`;
  if (sortedRows.key !== key) {
    const order = (a, b) => x.better * (x.values[b] - x.values[a]) || y.better * (y.values[b] - y.values[a]) || a - b;
    sortedRows = { key, rows: rows.slice().sort(order) };
  }
  const front = [];
  let best = null;
  for (const row of sortedRows.rows) {
    if (!inside[row]) continue;
    const gain = best === null ? 1 : y.better * (y.values[row] - y.values[best]);
    if (gain > 0) { best = row; front.push(row); }
    else if (gain === 0 && x.values[row] === x.values[best]) front.push(row);
  }
  return front;
}
// The network that misses its budgets by the least, where none is within them.
function closest() {
  let best = null, least = Infinity;
  for (let row = 0; row < N; row++) {
    if (CUT_OFF.has(row)) continue;
    const excess = Math.max(...activeBudgets().map(([i, budget]) => {
      const ratio = counted(i)[row] / budget;
      return Number.isNaN(ratio) ? Infinity : TARGETS[i].better < 0 ? ratio : 1 / ratio;
    }));
    if (excess < least) { least = excess; best = row; }
  }
  return best;
}

// Of several budgets that no network is within: whether each can be kept by itself.
function eachAlone() {
  const budgets = activeBudgets();
  if (budgets.length < 2) return "";
  const never = budgets.filter(([i, budget]) => { const costs = counted(i); return !costs.some((cost, row) => !CUT_OFF.has(row) && isWithin(i, cost, budget)); });
  if (!never.length) return " Each budget can be kept by itself, but not all by one network.";
  return ` None has ${never.map(([i, budget]) => `${TARGETS[i].name} ${limit(i, budget)}`).join(", or ")}, even by itself.`;
}

function options(id, entries, wish) {
  const select = byId(id);
  const before = select.value;
  select.replaceChildren(...entries.map(([value, text]) => el("option", { value, text })));
  const values = entries.map(([value]) => value);
  if (values.includes(before)) select.value = before;
  else if (values.includes(wish)) select.value = wish;
  select.disabled = !values.length;
}
function drawPareto() {
  const targets = shown().map((i) => [String(i), `${TARGETS[i].name} (${TARGETS[i].unit})`]);
  const extra = [];
  if (NETWORKS.quality) extra.push(["quality", `${NETWORKS.quality.name} (more is better)`]);
  extra.push(["macs", `${LIVE} (more is better)`]);
  const wish = NETWORKS.quality ? "quality" : "macs";
  options("axis-x", targets, "");
  options("axis-y", targets.length ? [...targets, ...extra] : [], wish);
  options("best-by", targets.length ? [...extra, ...targets] : [], wish);
  drawBudgetBoxes();
  const plot = byId("pareto-plot");
  plot.style.height = `${narrow() ? 420 : 560}px`;
  CHART.rows = [];
  byId("explorer").hidden = true;
  byId("pareto-about").textContent = aboutNetworks();
  if (!targets.length) return notes("pareto-notes", [NOTHING]);
  const [x, y] = [quantity(quantityKey("axis-x")), quantity(quantityKey("axis-y"))];
  for (let row = 0; row < N; row++) if (!CUT_OFF.has(row) && !Number.isNaN(x.values[row]) && !Number.isNaN(y.values[row])) CHART.rows.push(row);
  notes("pareto-notes", axisNotes(x, y));
  if (!CHART.rows.length) return;
  byId("explorer").hidden = false;
  if (CHART.x?.key !== x.key || CHART.y?.key !== y.key) [CHART.zoom, byId("zoom-whole").disabled] = [null, true];
  [CHART.x, CHART.y] = [x, y];
  CHART.whole = { x: extent(x, CHART.rows), y: extent(y, CHART.rows) };
  CHART.places = null;
  update();
  layOut();
}
function aboutNetworks() {
  const named = shown().filter((i) => NETWORKS.predicted[i].values);
  const trained = [...new Set(named.map((i) => NETWORKS.predicted[i].trained))];
  const from = trained.length === 1 ? count(trained[0]) : trained.length ? `${count(Math.min(...trained))} to ${count(Math.max(...trained))}` : "";
  const how = from && `Predictions are those of surrogates trained on ${from} networks, with ${percent(NETWORKS.coverage, 0)} intervals. ` +
    "A pick may cost more than its budget: measure it before you rely on it.";
  return [`${plural(NETWORKS.measured, "network")} of the table.`, NETWORKS.about, how, PATHS].filter(Boolean).join(" ");
}
function axisNotes(x, y) {
  const told = [];
  const drawn = CHART.rows, connected = N - CUT_OFF.size;
  if (!drawn.length) told.push("Nothing to draw: no network has a value on both axes.");
  if (drawn.length < connected) told.push(`${count(connected - drawn.length)} of ${plural(connected, "network")} are not drawn: they have no value on an axis.`);
  if (x.key === y.key) told.push("Both axes are the same: choose another for a front of more than the cheapest.");
  const best = quantity(quantityKey("best-by"));
  for (const a of [x, y, ...[x.key, y.key].includes(best.key) ? [] : [best]]) if (drawn.length > 1 && drawn.every((row) => a.values[row] === a.values[drawn[0]])) told.push(`${a.name} is the same for all networks drawn.`);
  told.push(...without("predictions", shown().filter((i) => NETWORKS.predicted[i].why), (t) => NETWORKS.predicted[TARGETS.indexOf(t)].why));
  return told;
}
// After a budget has moved.
function update() {
  if (!CHART.rows.length) return;
  const best = quantity(quantityKey("best-by"));
  CHART.inside = insideBudgets();
  CHART.front = paretoFront(CHART.x, CHART.y, CHART.rows, CHART.inside);
  CHART.picks = bestOf(CHART.inside, best, MOST_PICKS);
  byId("pareto-tip").hidden = true;
  drawCloud();
  drawPicks(best);
  drawFrontTable();
  detail(CHART.chosen ?? CHART.picks[0] ?? null);
  byId("pareto-plot").setAttribute("aria-label", `${CHART.x.title} across, ${CHART.y.title} up, ${plural(CHART.rows.length, "network")}, ` +
    `${count(CHART.front.length)} on the front. The left and right arrow keys step along the front.`);
}
function drawPicks(best) {
  const n = CHART.inside.reduce((sum, within) => sum + within, 0);
  const limits = activeBudgets().map(([i, budget]) => `${TARGETS[i].name} ${limit(i, budget)}`).join(" and ");
  const miss = n || !limits ? null : closest();
  byId("picks-title").textContent = limits ? `The best within the budgets` : "The best networks";
  byId("picks-said").textContent = !limits ? `By ${best.name}, without a budget.`
    : n ? `${count(n)} of ${plural(N - CUT_OFF.size, "network")} have ${limits}${surely() ? ", with their whole intervals" : ""}. The best by ${best.name}:`
      : `No network has ${limits}${surely() ? ", with its whole interval" : ""}.${eachAlone()}${miss === null ? "" : ` The nearest is ${shortName(miss)}: ${activeBudgets().map(([i]) => `${TARGETS[i].name} ${costText(i, miss)}`).join("; ")}.`}`;
  byId("picks").replaceChildren(...CHART.picks.map((row, k) => pickCard(row, k, best)));
  byId("save-picks").disabled = !CHART.picks.length;
  byId("save-inside").disabled = !n;
  byId("save-inside").textContent = `Save ${limits ? `the ${count(n)} within the budgets` : `all ${count(n)}`} as CSV`;
}
function pickCard(row, k, best) {
  const told = activeBudgets().map(([i]) => i);
  if (!told.length && CHART.x.target !== undefined) told.push(CHART.x.target);
  const beyond = crossed(row);
  const title = el("button", { type: "button", class: "pick", onclick: () => { choose(row); byId("pareto-detail").scrollIntoView({ block: "nearest" }); } },
    el("span", { class: "number", text: k + 1 }), ` ${shortName(row)}`);
  const pairs = [[best.name, best.target === undefined ? inUnit(best, best.values[row], 5) : costText(best.target, row)],
    ...told.filter((i) => i !== best.target).map((i) => [TARGETS[i].name, costText(i, row)])];
  const warning = beyond.map((i) => el("p", { class: "beyond", text: `▲ May exceed the budget: the interval of ${TARGETS[i].name} crosses it.` }));
  const picture = pictureOf(row, true);
  return el("li", {}, el("div", { class: "row" }, title, copyButton(archText(row), shortName(row))), ...picture ? [picture] : [], facts(pairs), ...warning);
}
function drawFrontTable() {
  const { x, y, front } = CHART;
  const listed = front.slice(0, 200);
  const text = (a, row) => a.target === undefined ? figure(a.values[row], 5) : costText(a.target, row, 5);
  asTable("pareto-table", `The ${plural(front.length, "network")} of the front${front.length > 200 ? " (the first 200)" : ""}`,
    [NETWORKS.archs ? (INDEX() ? "Index" : "No.") : "Network", ...[x, y].map((a) => `${a.name}${a.unit && a.target === undefined ? ` (${a.unit})` : ""}`)],
    listed.map((row) => [
      el("button", { type: "button", text: NETWORKS.archs ? numberOf(row) : archText(row), onclick: () => { choose(row); byId("pareto-detail").scrollIntoView({ block: "nearest" }); } }),
      text(x, row), text(y, row),
    ]), [1, 2], false);
}

// By keyboard, list or click: the chosen network is marked, described in the card, and said.
function choose(row) {
  CHART.chosen = row;
  const { front, x, y } = CHART;
  drawMarks();
  detail(row);
  const value = (a) => a.target === undefined ? `${a.name} ${inUnit(a, a.values[row], 5)}` : `${a.name} ${costText(a.target, row)}`;
  const at = front.indexOf(row);
  byId("pareto-said").textContent = `${at < 0 ? "" : `${at + 1} of ${front.length} on the front: `}${value(x)}; ${value(y)}; ` +
    `${NETWORKS.archs ? `${numberName} ${numberOf(row)}, ` : ""}${archText(row)}`;
}
const STEPS = {
  ArrowRight: (at, n) => Math.min(at + 1, n - 1), ArrowLeft: (at) => Math.max(at - 1, 0), Home: () => 0, End: (_, n) => n - 1,
};
const ZOOMS = { "+": () => zoomBy(0.6), "-": () => zoomBy(1 / 0.6), 0: () => zoomTo(null), Escape: () => { byId("pareto-tip").hidden = true; } };
function stepAlong(event) {
  const { front, chosen } = CHART;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (ZOOMS[event.key]) { event.preventDefault(); return ZOOMS[event.key](); }
  const step = STEPS[event.key];
  if (!step || !front.length) return;
  event.preventDefault();
  choose(front[step(front.indexOf(chosen), front.length)]);
}

// Finding a network; again, the next one that matches.
let lastFound = { text: "", at: 0 };
function find() {
  const text = byId("find").value;
  const rows = found(text);
  lastFound = { text, at: lastFound.text === text && rows.length ? (lastFound.at + 1) % rows.length : 0 };
  if (!text.trim()) byId("find-said").textContent = "";
  else if (!rows.length) byId("find-said").textContent = `No network on this page matches ${text.trim()}.`;
  else {
    byId("find-said").textContent = rows.length > 1 ? `${lastFound.at + 1} of ${count(rows.length)} matches; Find again shows the next.` : "Found.";
    choose(rows[lastFound.at]);
  }
}

function saveCsv(rows, name) {
  const quoted = (value) => /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const number = (value) => known(value) ? String(Number(value.toPrecision(7))) : value === Infinity ? "inf" : "";
  const headers = [NETWORKS.archs ? "architecture" : "model"];
  if (INDEX()) headers.push("index");
  if (CONFIG()) headers.push("config");
  headers.push(`${LIVE} (millions)`);
  if (QUALITY()) headers.push(NETWORKS.quality.name);
  for (const i of shown()) headers.push(`${TARGETS[i].name} (${TARGETS[i].unit})`, `${TARGETS[i].name} low`, `${TARGETS[i].name} high`, `${TARGETS[i].name} source`);
  const body = rows.map((row) => {
    const cells = [archText(row)];
    if (INDEX()) cells.push(INDEX()[row]);
    if (CONFIG()) cells.push(configText(row));
    cells.push(number(MACS()[row]));
    if (QUALITY()) cells.push(number(QUALITY()[row]));
    for (const i of shown()) {
      const { values, low, high } = COSTED[i]();
      cells.push(number(values[row]), number(low[row]), number(high[row]), Number.isNaN(values[row]) ? "" : isMeasured(i, row) ? "measured" : "predicted");
    }
    return cells.map(quoted).join(",");
  });
  save(new Blob([[headers.map(quoted).join(","), ...body].join("\n") + "\n"], { type: "text/csv" }), name);
}
function startExplorer() {
  for (const id of ["axis-x", "axis-y", "best-by"]) byId(id).addEventListener("change", drawPareto);
  byId("pareto-plot").addEventListener("keydown", stepAlong);
  byId("find").placeholder = !NETWORKS.archs ? "name" : INDEX() ? "string or index" : "string or number";
  byId("find-form").addEventListener("submit", (event) => { event.preventDefault(); find(); });
  byId("surely").checked = Boolean(SEARCH?.certainty);
  byId("surely").addEventListener("change", update);
  byId("no-budgets").addEventListener("click", () => { BUDGETS.clear(); drawBudgetBoxes(); update(); });
  byId("save-picks").addEventListener("click", () => saveCsv(CHART.picks, "picks.csv"));
  byId("save-front").addEventListener("click", () => saveCsv(CHART.front, "front.csv"));
  byId("save-inside").addEventListener("click", () => saveCsv(Array.from({ length: N }, (_, row) => row).filter((row) => CHART.inside[row]), "networks.csv"));
  listenToChart();
}
