// Mean errors by op.
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
