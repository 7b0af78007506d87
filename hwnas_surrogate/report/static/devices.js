// The devices, and how they relate.
function missing(t) {
  if (!t.missing) return "0";
  if (t.reasons.length === 1) return `${count(t.missing)}: ${t.reasons[0][0]}`;
  return `${count(t.missing)} (${t.reasons.map(([why, n]) => `${why}: ${count(n)}`).join("; ")})`;
}
function range(t) {
  if (t.low === null) return "none";
  return t.low === t.high ? `${figure(t.low)}\u00a0${t.unit} (constant)` : `${figure(t.low)}\u00a0to\u00a0${figure(t.high)}\u00a0${t.unit}`;
}
const noise = (t) => t.floor
  ? `tau ${fixed(t.floor.kendall_tau, 3)}, ${percent(t.floor.median_relative_difference, 2)} apart` : "no repeated runs";

function drawDevices() {
  const chosen = shown();
  const headers = ["Target", "Range", "Costs", "Missing", "Noise floor", "Source", "Batch", "Runtime", "Hardware"];
  const all = chosen.map((i) => {
    const t = TARGETS[i];
    return [t.name, range(t), count(t.known), missing(t), noise(t), t.source, t.batch ?? "-", t.runtime || "not told", t.hardware || "not told"];
  });
  const [kept, alike] = unlike(headers, all, all.length > 1 ? [2, 3, 4, 5, 6, 7, 8] : []);
  byId("devices-alike").textContent = alike;
  byId("devices-range").textContent = !DATA.cut_off ? "" : `Ranges leave out ${plural(DATA.cut_off, "network")} with ${NO_PATH}: the output does not depend ` +
    "on the input, and a converter may leave nothing of them.";
  const rows = all.map((row) => kept.map((k) => row[k]));
  const names = kept.map((k) => headers[k]);
  let made;
  if (!rows.length) made = el("p", { class: "note", text: NOTHING });
  else if (narrow() && kept.length > 2) {
    made = el("div", { class: "folded" }, ...rows.map((row) => el("details", {},
      el("summary", {}, el("span", { class: "name", text: row[0] }), el("span", { class: "muted", text: row[1] })),
      facts(names.slice(2).map((name, k) => [name.toLowerCase(), row[k + 2]])))));
  } else made = table(names, rows, kept.flatMap((k, place) => k === 2 || k === 6 ? [place] : []), "Devices");
  made.classList.toggle("short", kept.length === 2);
  byId("devices-table").replaceChildren(made);
}

// Light enough for dark figures in every cell, in either theme.
const SIMILAR = [[0, "#ffffd9"], [0.4, "#c7e9b4"], [0.7, "#7fcdbb"], [0.85, "#41b6c4"], [1, "#2f9bc6"]];
// Of symmetric matrices, the page holds the lower triangle.
const lower = (name, Kind) => once(() => decode(DATA.correlation[name], Kind));
const CORRELATIONS = { kendall: lower("kendall", Float32Array), spearman: lower("spearman", Float32Array) };
const COMMON = lower("common", Uint32Array);
const pairOf = (triangle, i, j) => triangle[Math.max(i, j) * (Math.max(i, j) + 1) / 2 + Math.min(i, j)];
function correlationNotes(order, n, matrix) {
  const told = [];
  const common = (least, most) => order.length > 1 && order.some((i) => order.some((j) => { const n = pairOf(COMMON(), i, j); return n >= least && n < most; }));
  if (!order.length) told.push(NOTHING);
  else if (order.length === 1) told.push(`No heatmap: ${TARGETS[order[0]].name} is the only target shown, and a correlation needs two.`);
  told.push(...without("correlation", order.filter((i) => !known(pairOf(matrix, i, i))),
    (t) => t.known < 2 ? `${plural(t.known, "cost")}, 2 are needed.` : "its cost is the same for every architecture."));
  if (common(2, 30)) told.push("Some pairs have fewer than 30 architectures in common: their figures are rough (point at a cell for the number).");
  if (order.length < n) told.push(`The first ${order.length} of ${n} targets, in the order of similarity: choose fewer devices to see others.`);
  if (DATA.correlation.rows < DATA.n) told.push(`Over ${count(DATA.correlation.rows)} architectures drawn at random: the table has many targets.`);
  if (common(0, 2)) told.push("Empty cells: the two have fewer than two architectures in common.");
  notes("correlation-notes", told);
}
function drawClusters(order, cluster) {
  const names = labels(order, true);
  const groups = new Map();
  order.forEach((i, place) => { if (cluster[i] >= 0) groups.set(cluster[i], [...(groups.get(cluster[i]) || []), names[place]]); });
  byId("clusters").replaceChildren();
  if (order.length < 2) return;
  if (groups.size < 2) return byId("clusters").append(el("p", { class: "muted", text: "No clusters stand apart." }));
  byId("clusters").append(facts([...groups.values()].map((group, k) => [`cluster ${k + 1}`, group.join(", ")])));
}
// More cells than the square of this would take a browser many seconds.
const MOST_RELATED = 300;
function drawCorrelation() {
  const method = byId("method").value;
  const matrix = CORRELATIONS[method]();
  const chosen = new Set(shown());
  const every = DATA.correlation.order[method].filter((i) => chosen.has(i));
  const order = every.slice(0, MOST_RELATED);
  correlationNotes(order, every.length, matrix);
  drawClusters(order, DATA.correlation.cluster[method]);
  byId("correlation-table").replaceChildren();
  if (order.length < 2) return clear("correlation-plot");
  const names = labels(order);
  const z = order.map((i) => order.map((j) => { const r = pairOf(matrix, i, j); return known(r) ? r : null; }));
  const least = Math.min(0, ...z.flat().filter(known));
  const label = method === "kendall" ? "Kendall's tau" : "Spearman's rho";
  // On a phone, or over many columns, there is no room for names above: rows and columns are numbered, the names stand
  // at the rows.
  const numbered = narrow() || order.length > 60;
  const step = order.length > 60 ? 10 : order.length > 12 ? 5 : 1;
  const number = (k) => k === 0 || (k + 1) % step === 0 ? String(k + 1) : "";
  heatmap("correlation-plot", {
    title: label, rows: numbered ? names.map((name, k) => `${name} ${k + 1}`) : names, columns: numbered ? names.map((_, k) => number(k)) : names,
    values: z, low: least, high: 1, ends: [fixed(least, least < 0 ? 2 : 0), "1"], scale: SIMILAR, ink: "#111", write: (tau) => fixed(tau, 2),
    tell: (i, j) => [TARGETS[order[i]].name, TARGETS[order[j]].name, `${label} ${fixed(z[i][j], 3)}, ` +
      `${plural(pairOf(COMMON(), order[i], order[j]), "architecture")} in common`],
  });
  asTable("correlation-table", "The heatmap as a table", ["Target", ...order.map((i) => TARGETS[i].name)],
    order.map((i) => [TARGETS[i].name, ...order.map((j) => fixed(pairOf(matrix, i, j), 3))]), order.map((_, i) => i + 1));
}
