// Devices, correlation, predictions, residuals and learning curves.
function drawDevices() {
  const headers = ["Target", "Unit", "Costs", "Missing", "Noise floor", "Source", "Runtime", "Hardware", "Batch"];
  const rows = shown().map((i) => {
    const t = TARGETS[i];
    const missing = t.missing ? `${count(t.missing)} (${t.reasons.map(([why, n]) => `${why}: ${count(n)}`).join("; ")})` : "0";
    const floor = t.floor
      ? `tau ${fixed(t.floor.kendall_tau, 3)}, halves differ by ${percent(t.floor.median_relative_difference, 2)} (median)`
      : "unknown: no repeated runs";
    const range = t.low === null ? "none" : `${count(t.known)}, ${figure(t.low)} to ${figure(t.high)} ${t.unit}${t.low === t.high ? " (constant)" : ""}`;
    return [t.name, t.unit, range, missing, floor, t.source, t.runtime || "not told", t.hardware || "not told", t.batch];
  });
  const made = table(headers, rows, [8], "Devices");
  made.className = "stack";
  for (const row of made.tBodies[0].rows) [...row.cells].forEach((cell, i) => { cell.dataset.label = headers[i]; });
  if (rows.length) byId("devices-table").replaceChildren(made);
  else byId("devices-table").replaceChildren(el("p", { class: "note", text: NOTHING }));
}

// Light enough for dark figures in every cell, in either theme.
const SIMILAR = [[0, "#ffffd9"], [0.4, "#c7e9b4"], [0.7, "#7fcdbb"], [0.85, "#41b6c4"], [1, "#2f9bc6"]];
function drawCorrelation() {
  const method = byId("method").value;
  const matrix = DATA.correlation[method];
  const chosen = new Set(shown());
  const order = DATA.correlation.order[method].filter((i) => chosen.has(i));
  const told = [];
  const cluster = DATA.correlation.cluster[method];
  const groups = new Map();
  for (const i of order) if (cluster[i] >= 0) groups.set(cluster[i], [...(groups.get(cluster[i]) || []), TARGETS[i].name]);
  byId("clusters").textContent = groups.size > 1
    ? `Clusters: ${[...groups].map(([number, names]) => `${number + 1}: ${names.join(", ")}`).join("; ")}.`
    : order.length > 1 ? "No clusters stand apart." : "";
  const blank = order.filter((i) => matrix[i][i] === null);
  if (chosen.size === 0) told.push(NOTHING);
  else if (order.length === 1) told.push(`No heatmap: ${TARGETS[order[0]].name} is the only target shown, and a correlation needs two.`);
  for (const i of blank) {
    const t = TARGETS[i];
    told.push(`${t.name} correlates with nothing: ${t.known < 2 ? `it has ${plural(t.known, "cost")}` : "its cost is the same for every architecture"}.`);
  }
  if (order.length > 1 && order.some((i) => order.some((j) => DATA.correlation.common[i][j] >= 2 && DATA.correlation.common[i][j] < 30)))
    told.push("Some pairs have fewer than 30 architectures in common: their figures are rough (point at a cell for the number).");
  if (order.length > 1 && order.some((i) => order.some((j) => DATA.correlation.common[i][j] < 2)))
    told.push("Empty cells: the two have fewer than two architectures in common.");
  notes("correlation-notes", told);
  byId("correlation-table").replaceChildren();
  if (order.length < 2) return clear("correlation-plot");
  const names = labels(order);
  const z = order.map((i) => order.map((j) => matrix[i][j]));
  const values = z.flat().filter(known);
  const least = values.length ? Math.min(...values) : 0;
  const label = method === "kendall" ? "Kendall's tau" : "Spearman's rho";
  const hover = order.map((i) => order.map((j) => `${plain(TARGETS[i].name)}<br>${plain(TARGETS[j].name)}<br>${label} ${fixed(matrix[i][j], 3)}, ` +
    `${plural(DATA.correlation.common[i][j], "architecture")} in common`));
  const width = byId("correlation-plot").parentElement.clientWidth;
  const height = Math.max(320, Math.min(width * 0.8, 150 + order.length * (order.length > 12 ? 22 : 44)) + (narrow() ? 40 : 0));
  const cell = (Math.min(width, 900) - 260) / order.length;
  draw("correlation-plot", [{
    type: "heatmap", z, x: names.map(plain), y: names.map(plain), text: hover, hoverinfo: "text", colorscale: SIMILAR, textfont: { color: "#111" },
    zmin: Math.min(0, least), zmax: 1, hoverongaps: false, xgap: 1, ygap: 1,
    texttemplate: cell > 38 ? "%{z:.2f}" : "",
    colorbar: { title: { text: narrow() ? "" : label, side: "right" }, thickness: 12, len: 0.9 },
  }], {
    height, margin: { l: 20, r: 10, t: 10, b: 20 },
    xaxis: { tickangle: -45, type: "category", showgrid: false, dtick: 1, tickfont: { size: narrow() ? 9.5 : 12 } },
    yaxis: { type: "category", autorange: "reversed", showgrid: false, dtick: 1, tickfont: { size: narrow() ? 9.5 : 12 } },
  });
  asTable("correlation-table", "The heatmap as a table", ["Target", ...order.map((i) => TARGETS[i].name)],
    order.map((i) => [TARGETS[i].name, ...order.map((j) => fixed(matrix[i][j], 3))]), order.map((_, i) => i + 1));
}

// One card per target, drawn when it comes into sight.
const CARDS = new Map();
const waiting = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawCard(Number(entry.target.dataset.target));
}, { rootMargin: "400px" });
function makeCard(i) {
  const t = TARGETS[i];
  const s = t.evaluation.scores;
  const plot = el("div", { class: "plot", role: "img", "aria-label": `Predicted against measured ${t.metric} on ${t.device}` });
  const card = el("article", { class: "card", "data-target": i }, el("h3", { text: `${t.name} (${t.unit})` }), plot);
  const pairs = [
    ["trained on, held out", `${count(t.evaluation.n_train)} and ${count(t.evaluation.n)} architectures`],
    ["Kendall's tau", fixed(s.kendall_tau, 3) + (t.floor ? ` (noise floor ${fixed(t.floor.kendall_tau, 3)})` : " (no noise floor: no repeated runs)")],
    ["Spearman's rho", fixed(s.spearman_rho, 3)],
    ["median error", `${percent(s.mdape)} (root mean square ${figure(s.rmse < 1e-9 * t.high ? 0 : s.rmse, 3)} ${t.unit})`],
    ["within 10 %", percent(s.within_10pct)],
    ["in the 90 % interval", known(s.coverage_90) ? percent(s.coverage_90) : "no intervals: the model was not calibrated"],
    ["model", t.evaluation.model],
  ];
  if (!known(s.kendall_tau)) pairs.push(["no rank score", "the held-out costs, or the predictions, are all the same"]);
  card.append(facts(pairs));
  CARDS.set(i, { card, plot, drawn: false });
  waiting.observe(card);
  return card;
}
function drawCard(i, again = false) {
  const entry = CARDS.get(i);
  if (!entry || (entry.drawn && !again) || (again && !entry.drawn)) return;
  entry.drawn = true;
  const t = TARGETS[i];
  const e = t.evaluation;
  const finite = [...e.measured, ...e.predicted].filter(known);
  const [least, most] = [Math.min(...finite), Math.max(...finite)];
  const log = least > 0 && most > 100 * least;
  const texts = e.measured.map((m, k) => {
    const bounds = known(e.low[k]) ? `<br>90 % interval ${figure(e.low[k])} to ${known(e.high[k]) ? figure(e.high[k]) : "∞"} ${plain(t.unit)}` : "";
    const index = e.index && known(e.index[k]) ? `, index ${e.index[k]}` : "";
    const arch = plain(DATA.held_out[e.archs[k]]).replace(/(.{44})/g, "$1<br>");
    return `measured ${figure(m)} ${plain(t.unit)}<br>predicted ${figure(e.predicted[k])} ${plain(t.unit)}${bounds}<br>${arch}${index}`;
  });
  const bar = (upper) => e.predicted.map((p, k) => {
    const bound = upper ? e.high[k] : e.low[k];
    return known(bound) ? Math.max(0, upper ? bound - p : p - bound) : 0;
  });
  const type = log ? "log" : "linear";
  draw(entry.plot, [
    { type: "scatter", mode: "lines", x: [least, most], y: [least, most], line: { color: colour("muted"), width: 1 }, hoverinfo: "skip" },
    {
      type: "scatter", mode: "markers", x: e.measured, y: e.predicted, text: texts, hoverinfo: "text",
      marker: { color: colour("point"), size: 5 },
      error_y: { type: "data", symmetric: false, array: bar(true), arrayminus: bar(false), color: colour("interval"), thickness: 1, width: 0 },
    },
  ], {
    height: 320, hovermode: "closest", margin: { l: 50, r: 10, t: 10, b: 45 },
    xaxis: { type, title: { text: `measured (${plain(t.unit)})` }, nticks: 6 },
    yaxis: { type, title: { text: `predicted (${plain(t.unit)})` }, nticks: 6 },
  });
}
function drawPredicted(again = false) {
  const chosen = shown();
  const without = chosen.filter((i) => !TARGETS[i].evaluation);
  notes("predicted-notes", [
    chosen.length ? "" : NOTHING,
    ...without.map((i) => `${TARGETS[i].name} is not drawn: ${TARGETS[i].no_evaluation}`),
  ]);
  for (const i of chosen) if (TARGETS[i].evaluation && !CARDS.has(i)) byId("predicted-cards").append(makeCard(i));
  for (const [i, entry] of CARDS) entry.card.hidden = !chosen.includes(i);
  if (again) for (const i of chosen) drawCard(i, true);
}

function drawResiduals() {
  const chosen = shown().filter((i) => TARGETS[i].residuals);
  const large = chosen.some((i) => TARGETS[i].residuals.some((r) => Math.abs(r.mean) > 0.25));
  notes("residuals-notes", [
    shown().length === 0 ? NOTHING : chosen.length ? "" : "Nothing to draw: no target shown has held-out predictions.",
    large ? "Colours end at ±25 %. Means this large often come from a few architectures that cost next to nothing; medians are in the table." : "",
  ]);
  byId("residuals-table").replaceChildren();
  if (!chosen.length) return clear("residuals-plot");
  const ops = DATA.ops;
  const find = (i, op) => TARGETS[i].residuals.find((r) => r.op === op);
  const value = (i, op) => { const r = find(i, op); return r ? Math.round(1000 * r.mean) / 10 + 0 : null; };
  const z = chosen.map((i) => ops.map((op) => value(i, op)));
  const limit = Math.min(25, Math.max(1, ...z.flat().filter(known).map(Math.abs)));
  const hover = chosen.map((i) => ops.map((op) => {
    const r = find(i, op);
    return r ? `${plain(TARGETS[i].name)}<br>${plain(op)}<br>mean ${signed(100 * r.mean)}, median ${signed(100 * r.median)}<br>${plural(r.n, "architecture")}`
      : `${plain(TARGETS[i].name)}<br>${plain(op)}: in no held-out architecture`;
  }));
  const dark = colour("back") === "#12171c";
  const names = labels(chosen);
  const wide = byId("residuals-plot").parentElement.clientWidth / ops.length > 80;
  draw("residuals-plot", [{
    type: "heatmap", z, x: ops.map(plain), y: names.map(plain), text: hover, hoverinfo: "text", zmin: -limit, zmax: limit, xgap: 1, ygap: 1,
    colorscale: [[0, dark ? "#4aa3df" : "#2c7fb8"], [0.5, dark ? "#232c34" : "#f7f7f7"], [1, dark ? "#f0863a" : "#d95f0e"]],
    texttemplate: wide ? "%{z:+.1f} %" : "",
    colorbar: { title: { text: narrow() ? "" : "mean relative residual (%)", side: "right" }, thickness: 12, len: 0.9 },
  }], {
    height: 130 + Math.max(4, chosen.length) * (chosen.length > 10 ? 24 : 36), margin: { l: 20, r: 10, t: 10, b: 20 },
    xaxis: { type: "category", showgrid: false, tickangle: narrow() || ops.length > 6 ? -35 : 0, dtick: 1 },
    yaxis: { type: "category", autorange: "reversed", showgrid: false, dtick: 1, tickfont: { size: narrow() ? 9.5 : 12 } },
  });
  const rows = chosen.flatMap((i) => TARGETS[i].residuals.map((r) => [TARGETS[i].name, r.op, signed(100 * r.mean), signed(100 * r.median), count(r.n)]));
  asTable("residuals-table", "The errors as a table", ["Target", "Op", "Mean", "Median", "Architectures"], rows, [2, 3, 4]);
}

function drawCurve() {
  const score = byId("score").value;
  const factor = score === "mdape" ? 100 : 1;
  const chosen = shown().filter((i) => TARGETS[i].curve);
  const without = shown().filter((i) => !TARGETS[i].curve);
  const drawn = chosen.filter((i) => TARGETS[i].curve.some((step) => known(step[score])));
  const blank = chosen.filter((i) => !drawn.includes(i));
  notes("curve-notes", [
    shown().length ? "" : NOTHING,
    ...without.map((i) => `${TARGETS[i].name} has no curve: ${TARGETS[i].no_curve}`),
    ...blank.map((i) => `${TARGETS[i].name} has no such score: its held-out costs are all the same.`),
  ]);
  byId("curve-table").replaceChildren();
  if (!drawn.length) return clear("curve-plot");
  const names = labels(drawn);
  const traces = drawn.map((i, place) => {
    const steps = TARGETS[i].curve.filter((step) => known(step[score]));
    const look = COLOURS[i % COLOURS.length];
    const trace = {
      type: "scatter", mode: "lines+markers", name: plain(names[place]), x: steps.map((step) => step.n_train), y: steps.map((step) => factor * step[score]),
      line: { color: look, dash: DASHES[Math.floor(i / COLOURS.length) % DASHES.length] }, marker: { color: look, size: 6 },
      text: steps.map((step) => `${plain(TARGETS[i].name)}<br>${plural(step.n_train, "training architecture")}<br>` +
        `tau ${fixed(step.kendall_tau, 3)}, median error ${percent(step.mdape)}<br>mean of ${plural(step.seeds, "split")}`),
      hoverinfo: "text",
    };
    const deviations = steps.map((step) => step[`${score}_sd`]);
    if (deviations.some(known)) trace.error_y = { type: "data", array: deviations.map((d) => known(d) ? factor * d : 0), color: look, thickness: 1, width: 2 };
    return trace;
  });
  const legend = drawn.length > 1 && !(narrow() && drawn.length > 8);
  const sizes = [...new Set(drawn.flatMap((i) => TARGETS[i].curve.map((step) => step.n_train)))].sort((a, b) => a - b);
  const side = !narrow() && byId("curve-plot").parentElement.clientWidth > 800;
  draw("curve-plot", traces, {
    height: side ? Math.max(400, 60 + 21 * drawn.length) : 400 + (legend ? 22 * drawn.length : 0), hovermode: "closest", showlegend: legend,
    legend: side ? { x: 1.02, y: 1 } : { orientation: "h", x: 0, y: -0.25, yanchor: "top" },
    xaxis: { type: "log", title: { text: "training architectures" }, tickvals: sizes, ticktext: sizes.map(count) },
    yaxis: { title: { text: score === "mdape" ? "median relative error (%)" : "Kendall's tau" }, rangemode: score === "mdape" ? "tozero" : "normal" },
  });
  const rows = drawn.flatMap((i) => TARGETS[i].curve.map((step) =>
    [TARGETS[i].name, count(step.n_train), fixed(step.kendall_tau, 3), percent(step.mdape), step.seeds]));
  asTable("curve-table", "The curves as a table", ["Target", "Training architectures", "Kendall's tau", "Median error", "Splits"], rows, [1, 2, 3, 4]);
}
