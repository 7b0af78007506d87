// The Pareto explorer: of the networks with a path from input to output.
const PATHS = [
  CUT_OFF.size && `${plural(CUT_OFF.size, "network")} with ${NO_PATH} ${CUT_OFF.size === 1 ? "is" : "are"} left out.`,
  DATA.all_macs && "Live multiply-adds are those on such a path; a device may take time for the others too.",
].filter(Boolean).join(" ");
const LIVE = DATA.all_macs ? "live multiply-adds" : "multiply-adds";
function axis(key) {
  if (key === "macs") return { title: `${LIVE} (millions)`, unit: "millions", values: MACS(), better: 1, name: LIVE };
  if (key === "quality") return { title: DATA.quality.name, unit: "", values: QUALITY(), better: 1, name: DATA.quality.name };
  const t = TARGETS[Number(key)];
  return { title: `${t.metric.replace(/_/g, " ")} on ${t.device} (${t.unit})`, unit: t.unit, values: COSTS[Number(key)](), better: t.better, name: t.name };
}

// Rows that no other one dominates; exact, ties included: sorted by x, then y, one sweep.
function paretoFront(rows, x, y) {
  const order = rows.slice().sort((a, b) => x.better * (x.values[b] - x.values[a]) || y.better * (y.values[b] - y.values[a]) || a - b);
  const front = [];
  let best = null;
  for (const row of order) {
    const gain = best === null ? 1 : y.better * (y.values[row] - y.values[best]);
    if (gain > 0) { best = row; front.push(row); }
    else if (gain === 0 && x.values[row] === x.values[best]) front.push(row);
  }
  return front;
}

const SORTED = new Map();
function rank(i, value) {
  if (!SORTED.has(i)) SORTED.set(i, COSTS[i]().filter((cost, row) => !Number.isNaN(cost) && !CUT_OFF.has(row)).sort());
  const all = SORTED.get(i);
  let low = 0, high = all.length;
  while (low < high) { const middle = (low + high) >> 1; if (all[middle] < value) low = middle + 1; else high = middle; }
  return `rank ${count(low + 1)} of ${count(all.length)}`;
}

const numberOf = (row) => INDEX() ? INDEX()[row] : row;
const numberName = () => INDEX() ? "index" : "row of the table";
function detail(row) {
  const box = byId("pareto-detail");
  if (row === null) {
    box.replaceChildren(el("p", { class: "muted", text: "Point at an architecture to see it here." }));
    delete box.dataset.row;
    return;
  }
  const pairs = [[numberName(), numberOf(row)]];
  if (CONFIG()) pairs.push(["config", DATA.configs[CONFIG()[row]]]);
  pairs.push([LIVE, `${figure(MACS()[row])} million`]);
  if (ALL_MACS()) pairs.push(["multiply-adds of all edges", `${figure(ALL_MACS()[row])} million`]);
  if (QUALITY()) pairs.push([DATA.quality.name, figure(QUALITY()[row], 5)]);
  const names = labels(shown(), true);
  for (const [place, i] of shown().entries()) {
    const cost = COSTS[i]()[row];
    const t = TARGETS[i];
    pairs.push([names[place], Number.isNaN(cost) ? `none: ${DATA.reasons[REASONS[i]()[row]]}` : `${figure(cost, 5)} ${t.unit}, ${rank(i, cost)}`]);
  }
  box.replaceChildren(el("p", {}, archCode(archText(row))), facts(pairs));
  box.dataset.row = row;
}

// What is drawn: the front's rows, and both axes.
let drawnFront = { rows: [], x: null, y: null };
// The chosen architecture has its number in the chart; it is in the card, and said.
function mark(row) {
  if (row === null) return [];
  const { x, y } = drawnFront;
  const at = (a) => a.type === "log" ? Math.log10(a.values[row]) : a.values[row];
  return [{
    x: at(x), y: at(y), text: `${INDEX() ? "index" : "row"} ${numberOf(row)}`, ax: 28, ay: 28, arrowhead: 6, arrowsize: 1, arrowwidth: 1.5,
    arrowcolor: colour("text"), bgcolor: colour("card"), bordercolor: colour("muted"), borderpad: 3, font: { color: colour("text") },
  }];
}
function point(row) {
  detail(row);
  Plotly.relayout("pareto-plot", { annotations: mark(row) });
}
// By keyboard it is said too; a mouse would say too much.
let chosenAt = 0;
function choose(row) {
  const { rows, x, y } = drawnFront;
  chosenAt = performance.now();
  point(row);
  const value = (a) => `${a.name} ${figure(a.values[row], 5)} ${a.unit}`.trim();
  byId("pareto-said").textContent = `${rows.indexOf(row) + 1} of ${rows.length} on the front: ${value(x)}, ${value(y)}, ` +
    `${numberName()} ${numberOf(row)}, ${archText(row)}`;
}
const STEPS = {
  ArrowRight: (at, n) => Math.min(at + 1, n - 1), ArrowLeft: (at) => Math.max(at - 1, 0), Home: () => 0, End: (_, n) => n - 1,
};
function stepAlong(event) {
  const { rows } = drawnFront;
  const step = STEPS[event.key];
  if (!step || !rows.length || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  choose(rows[step(rows.indexOf(Number(byId("pareto-detail").dataset.row ?? NaN)), rows.length)]);
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

const WEBGL = once(() => {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl") || canvas.getContext("experimental-webgl"));
});
const MOST_SVG = 1000;

function drawPareto() {
  const targets = shown().map((i) => [String(i), `${TARGETS[i].name} (${TARGETS[i].unit})`]);
  const extra = [];
  if (DATA.quality) extra.push(["quality", `${DATA.quality.name} (more is better)`]);
  extra.push(["macs", `${LIVE} (more is better)`]);
  options("axis-x", targets, "");
  options("axis-y", targets.length ? [...targets, ...extra] : [], DATA.quality ? "quality" : "macs");
  byId("pareto-table").replaceChildren();
  if (!targets.length) { notes("pareto-notes", [NOTHING]); detail(null); return clear("pareto-plot"); }
  const [keyX, keyY] = [byId("axis-x").value, byId("axis-y").value];
  const [x, y] = [axis(keyX), axis(keyY)];
  const rows = [];
  const connected = DATA.n - CUT_OFF.size;
  for (let row = 0; row < DATA.n; row++) if (!CUT_OFF.has(row) && !Number.isNaN(x.values[row]) && !Number.isNaN(y.values[row])) rows.push(row);
  const told = [];
  if (rows.length < connected) told.push(`${count(connected - rows.length)} of ${plural(connected, "architecture")} are not drawn: they have no value on an axis.`);
  if (keyX === keyY) told.push("Both axes are the same cost: choose another for a front of more than the cheapest.");
  for (const [key, a] of [[keyX, x], [keyY, y]])
    if (rows.length > 1 && rows.every((row) => a.values[row] === a.values[rows[0]])) told.push(`${a.name} is the same for all architectures drawn.`);
  if (!rows.length) {
    notes("pareto-notes", ["Nothing to draw: no architecture has a value on both axes.", ...told]);
    detail(null);
    return clear("pareto-plot");
  }
  const front = paretoFront(rows, x, y);
  const on = new Set(front);
  let rest = rows.filter((row) => !on.has(row));
  if (!WEBGL() && rest.length > MOST_SVG) {
    const step = Math.ceil(rest.length / MOST_SVG);
    told.push(`This browser has no WebGL: one in ${step} of the architectures off the front is drawn. The front is that of all.`);
    rest = rest.filter((_, place) => place % step === 0);
  }
  notes("pareto-notes", told);
  // One type for both: WebGL's points lie above all that is SVG.
  const type = rest.length > MOST_SVG ? "scattergl" : "scatter";
  const take = (list, a) => list.map((row) => a.values[row]);
  drawnFront = { rows: front, x, y };
  const spread = (a) => { let low = Infinity, high = -Infinity; for (const row of rows) { const v = a.values[row]; if (v < low) low = v; if (v > high) high = v; } return low > 0 && high > 100 * low ? "log" : "linear"; };
  const better = (a) => a.better < 0 ? "less is better" : "more is better";
  const height = narrow() ? 420 : 560;
  const plot = byId("pareto-plot");
  for (const a of [x, y]) a.type = spread(a);
  const title = (a, pixels) => titleLines(`${a.title}, `, better(a), pixels);
  const before = Number(byId("pareto-detail").dataset.row ?? NaN);
  const chosen = on.has(before) ? before : null;
  detail(chosen);
  plot.setAttribute("aria-label", `${x.title} across, ${y.title} up, ${plural(rows.length, "architecture")}, ` +
    `${count(front.length)} on the front. The left and right arrow keys step along the front.`);
  draw("pareto-plot", [
    {
      type, mode: "markers", name: `${plural(rows.length - front.length, "architecture")}`, x: take(rest, x), y: take(rest, y), customdata: rest, hoverinfo: "none",
      marker: { color: colour("point"), size: rows.length > 3000 ? 4 : 6, opacity: rows.length > 3000 ? 0.45 : 0.75 },
    },
    {
      type, mode: "lines+markers", name: `front: ${plural(front.length, "architecture")}`, x: take(front, x), y: take(front, y), customdata: front, hoverinfo: "none",
      line: { color: colour("front"), width: 1.5, shape: "hv" }, marker: { color: colour("front"), size: 8, line: { color: colour("back"), width: 1 } },
    },
  ], {
    height, hovermode: "closest", showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 60, r: 10, t: 40, b: 50 },
    xaxis: { title: { text: title(x, plot.clientWidth - 80) }, type: x.type }, yaxis: { title: { text: title(y, height - 100) }, type: y.type },
    annotations: mark(chosen),
  }, { ...CONFIGURATION, displayModeBar: COARSE ? false : "hover", modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]] });
  if (!plot.dataset.listens) {
    plot.dataset.listens = "yes";
    // plotly hovers anew, where the mouse rests, whenever it draws: that must not undo a step of the keyboard.
    const see = (event) => {
      if (event.event?.timeStamp < chosenAt) return;
      const at = event.points.find(({ customdata }) => known(customdata));
      if (at && String(at.customdata) !== byId("pareto-detail").dataset.row) point(at.customdata);
    };
    plot.on("plotly_hover", see);
    plot.on("plotly_click", see);
  }
  plot.dataset.front = front.length;
  const listed = front.slice(0, 200);
  asTable("pareto-table", `The ${plural(front.length, "architecture")} of the front${front.length > 200 ? " (the first 200)" : ""}`,
    [INDEX() ? "Index" : "Row", `${x.name}${x.unit ? ` (${x.unit})` : ""}`, `${y.name}${y.unit ? ` (${y.unit})` : ""}`],
    listed.map((row) => [
      el("button", { type: "button", text: numberOf(row), onclick: () => { choose(row); byId("pareto-detail").scrollIntoView({ block: "nearest" }); } }),
      figure(x.values[row], 5), figure(y.values[row], 5),
    ]), [1, 2], !narrow());
}
