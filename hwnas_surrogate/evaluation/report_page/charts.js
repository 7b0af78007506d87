// Residuals and learning curves.
const LEANING = [[0, "#74add1"], [0.5, "#f7f7f7"], [1, "#f4a25c"]];
const LEANING_DARK = [[0, "#1f6fa5"], [0.5, "#232c34"], [1, "#b4530f"]];
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
  const names = labels(chosen);
  heatmap("residuals-plot", {
    title: "mean relative residual (%)", rows: names, columns: ops, values: z, low: -limit, high: limit, ends: [signed(-limit), signed(limit)],
    scale: isDark() ? LEANING_DARK : LEANING, ink: colour("text"), write: (v) => signed(v).replace(" %", ""),
    tell: (i, j) => {
      const r = find(chosen[i], ops[j]);
      return [TARGETS[chosen[i]].name, ...(r ? [ops[j], `mean ${signed(100 * r.mean)}, median ${signed(100 * r.median)}`, plural(r.n, "architecture")]
        : [`${ops[j]}: in no held-out architecture`])];
    },
  });
  const rows = chosen.flatMap((i) => TARGETS[i].residuals.map((r) => [TARGETS[i].name, r.op, signed(100 * r.mean), signed(100 * r.median), count(r.n)]));
  asTable("residuals-table", "The errors as a table", ["Target", "Op", "Mean", "Median", "Architectures"], rows, [2, 3, 4]);
}

function drawCurve() {
  const score = byId("score").value;
  const factor = score === "mdape" ? 100 : 1;
  const chosen = shown().filter((i) => TARGETS[i].curve);
  const last = (i) => TARGETS[i].curve.filter((step) => known(step[score])).at(-1);
  const blank = chosen.filter((i) => !last(i));
  // The legend stands in the order of the lines' right ends.
  const drawn = chosen.filter(last).sort((i, j) => last(j)[score] - last(i)[score] || i - j);
  const legend = drawn.length > 1 && !(narrow() && drawn.length > 8);
  notes("curve-notes", [
    shown().length ? "" : NOTHING,
    ...without("curve", shown().filter((i) => !TARGETS[i].curve), (t) => t.no_curve),
    ...without("such score", blank, () => "its held-out costs are all the same."),
  ]);
  byId("curve-hint").textContent = drawn.length > 1 && !legend ? "Tap a line to see whose it is, or choose fewer devices above." : "";
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
  const sizes = [...new Set(drawn.flatMap((i) => TARGETS[i].curve.map((step) => step.n_train)))].sort((a, b) => a - b);
  const side = !narrow() && byId("curve-plot").parentElement.clientWidth > 800;
  const room = side || !legend ? 0 : 22 * drawn.length;
  const height = side ? Math.max(400, 60 + 21 * drawn.length) : 380 + room;
  draw("curve-plot", traces, {
    height, hovermode: "closest", showlegend: legend,
    legend: side ? { x: 1.02, y: 1 } : { orientation: "h", x: 0, y: -70 / 330, yanchor: "top" }, margin: { l: 60, r: 15, t: 10, b: 50 + room },
    xaxis: { type: "log", title: { text: "training architectures" }, tickvals: sizes, ticktext: sizes.map(count) },
    yaxis: { title: { text: score === "mdape" ? "median relative error (%)" : "Kendall's tau" }, rangemode: score === "mdape" ? "tozero" : "normal" },
  });
  const rows = drawn.flatMap((i) => TARGETS[i].curve.map((step) =>
    [TARGETS[i].name, count(step.n_train), fixed(step.kendall_tau, 3), percent(step.mdape), step.seeds]));
  asTable("curve-table", "The curves as a table", ["Target", "Training architectures", "Kendall's tau", "Median error", "Splits"], rows, [1, 2, 3, 4]);
}
