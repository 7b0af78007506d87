// Learning curves: one chart if colours can distinguish the lines, otherwise a panel for each.
const stepsOf = (i, score) => TARGETS[i].curve.filter((step) => known(step[score]));
const scoreText = (score, value) => score === "mdape" ? percent(value) : fixed(value, 3);
const scoreName = (score) => score === "mdape" ? "median relative error" : "Kendall's tau";
const curveText = (i, score) => `${TARGETS[i].name}: ${scoreName(score)} ` +
  stepsOf(i, score).map((step) => `${scoreText(score, step[score])} with ${count(step.n_train)}`).join(", ") + " training architectures";

function drawCurve() {
  const score = byId("score").value;
  const chosen = shown().filter((i) => TARGETS[i].curve);
  const last = (i) => stepsOf(i, score).at(-1)?.[score];
  // In the order of the lines' right ends, the best first: the legend stands in it, and the panels.
  const better = score === "mdape" ? -1 : 1;
  const drawn = chosen.filter((i) => known(last(i))).sort((i, j) => better * (last(j) - last(i)) || i - j);
  notes("curve-notes", [
    shown().length ? "" : NOTHING,
    ...without("curve", shown().filter((i) => !TARGETS[i].curve), (t) => t.no_curve),
    ...without("such score", chosen.filter((i) => !known(last(i))), () => "its held-out costs are all the same."),
  ]);
  const panels = drawn.length > COLOURS.length;
  byId("curve-hint").textContent = panels ? "A panel shows one target before all the others in grey; the best last score comes first." : "";
  byId("curve-panels").replaceChildren(...panels ? curvePanels(drawn, score) : []);
  byId("curve-table").replaceChildren();
  if (panels || !drawn.length) clear("curve-plot");
  else drawCurveChart(drawn, score);
  const rows = drawn.flatMap((i) => TARGETS[i].curve.map((step) =>
    [TARGETS[i].name, count(step.n_train), fixed(step.kendall_tau, 3), percent(step.mdape), step.seeds]));
  asTable("curve-table", "The curves as a table", ["Target", "Training architectures", "Kendall's tau", "Median error", "Splits"], rows, [1, 2, 3, 4]);
}

function drawCurveChart(drawn, score) {
  const factor = score === "mdape" ? 100 : 1;
  const names = labels(drawn);
  const inOrder = drawn.slice().sort((i, j) => i - j);
  const traces = drawn.map((i, place) => {
    const steps = stepsOf(i, score);
    const look = COLOURS[inOrder.indexOf(i)];
    const trace = {
      type: "scatter", mode: "lines+markers", name: plain(names[place]), x: steps.map((step) => step.n_train), y: steps.map((step) => factor * step[score]),
      line: { color: look }, marker: { color: look, size: 6 },
      text: steps.map((step) => `${plain(TARGETS[i].name)}<br>${plural(step.n_train, "training architecture")}<br>` +
        `tau ${fixed(step.kendall_tau, 3)}, median error ${percent(step.mdape)}<br>mean of ${plural(step.seeds, "split")}`),
      hoverinfo: "text",
    };
    const deviations = steps.map((step) => step[`${score}_sd`]);
    if (deviations.some(known)) trace.error_y = { type: "data", array: deviations.map((d) => known(d) ? factor * d : 0), color: look, thickness: 1, width: 2 };
    return trace;
  });
  const sizes = [...new Set(drawn.flatMap((i) => TARGETS[i].curve.map((step) => step.n_train)))].sort((a, b) => a - b);
  const several = drawn.length > 1;
  const side = !narrow() && byId("curve").clientWidth > 800;
  const room = side || !several ? 0 : 22 * drawn.length;
  describe("curve-plot", drawn.map((i) => curveText(i, score)).join("; "));
  draw("curve-plot", traces, {
    height: side ? 400 : 380 + room, hovermode: "closest", showlegend: several,
    legend: side ? { x: 1.02, y: 1 } : { orientation: "h", x: 0, y: -70 / 330, yanchor: "top" }, margin: { l: 60, r: 15, t: 10, b: 50 + room },
    xaxis: { type: "log", title: { text: "training architectures" }, tickvals: sizes, ticktext: sizes.map(count) },
    yaxis: { title: { text: scoreName(score) + (score === "mdape" ? " (%)" : "") }, rangemode: score === "mdape" ? "tozero" : "normal" },
  });
}

// The panels, in SVG of our own: plotly takes long over so many axes. All have the same axes.
const PANEL = { width: 180, height: 110, left: 34, right: 8, top: 8, bottom: 18 };
function curvePanels(drawn, score) {
  const every = drawn.flatMap((i) => stepsOf(i, score));
  const sizes = every.map((step) => step.n_train);
  const [first, end] = [Math.min(...sizes), Math.max(...sizes)];
  const most = Math.max(...every.map((step) => step[score]));
  const least = score === "mdape" ? 0 : Math.min(...every.map((step) => step[score]));
  const x = (n) => PANEL.left + (PANEL.width - PANEL.left - PANEL.right) * (end > first ? Math.log(n / first) / Math.log(end / first) : 0.5);
  const y = (value) => PANEL.height - PANEL.bottom - (PANEL.height - PANEL.top - PANEL.bottom) * (most > least ? (value - least) / (most - least) : 0.5);
  const path = (i) => stepsOf(i, score).map((step, k) => `${k ? "L" : "M"}${x(step.n_train).toFixed(1)} ${y(step[score]).toFixed(1)}`).join("");
  const others = drawn.map(path).join("");
  const names = labels(drawn, true);
  return drawn.map((i, place) => {
    const own = stepsOf(i, score);
    const scale = [least, most].map((value) => [
      svg("path", { class: "grid", d: `M${PANEL.left} ${y(value)}H${PANEL.width - PANEL.right}` }),
      svg("text", { x: PANEL.left - 4, y: y(value) + 3, "text-anchor": "end", text: score === "mdape" ? percent(value, 0) : fixed(value, 2) })]);
    const ends = [...new Set([first, end])].map((n, k) => svg("text", { x: x(n), y: PANEL.height - 4, "text-anchor": k ? "end" : "start", text: count(n) }));
    const picture = svg("svg", { viewBox: `0 0 ${PANEL.width} ${PANEL.height}`, role: "img", "aria-label": curveText(i, score) },
      ...scale.flat(), ...ends, svg("path", { class: "others", d: others }), svg("path", { class: "own", d: path(i) }),
      ...own.map((step) => svg("circle", { class: "own", cx: x(step.n_train), cy: y(step[score]), r: 2.5 })));
    return el("figure", {}, el("figcaption", {}, el("span", { class: "name", text: names[place] }), " ",
      el("span", { class: "muted", text: scoreText(score, own.at(-1)[score]) })), picture);
  });
}
