// Predictions: a table of scores, and a card per target.
const CARDS = new Map();
let everyCard = false;
const mostCards = () => narrow() ? 3 : 6;

function drawScores(chosen) {
  byId("predicted-table").replaceChildren();
  byId("predicted-alike").textContent = "";
  if (!chosen.length) return;
  const headers = ["Target", "Kendall's tau", "Noise floor", "Median error", "RMSE", "Within 10 %", "In the 90 % interval", "Spearman's rho", "Trained on", "Held out", "Model"];
  const all = chosen.map((i) => {
    const t = TARGETS[i];
    const s = t.evaluation.scores;
    // Least squares leave next to nothing of a cost that is a sum over layers.
    const rmse = s.rmse < 1e-6 * t.high ? 0 : s.rmse;
    return [t.name, fixed(s.kendall_tau, 3), t.floor ? fixed(t.floor.kendall_tau, 3) : "unknown", percent(s.mdape), `${figure(rmse, 3)} ${t.unit}`,
      percent(s.within_10pct), percent(s.coverage_90), fixed(s.spearman_rho, 3), count(t.evaluation.n_train), count(t.evaluation.n), t.evaluation.model];
  });
  const [kept, alike] = unlike(headers, all, [2, 8, 9, 10]);
  byId("predicted-alike").textContent = alike;
  const names = labels(chosen, !narrow());
  const rows = all.map((row, place) => kept.map((k) => k === 0 ? names[place] : row[k]));
  const numeric = kept.flatMap((k, place) => k > 0 && k < 10 ? [place] : []);
  byId("predicted-table").append(table(kept.map((k) => headers[k]), rows, numeric, "Scores on held-out architectures"));
}

function makeCard(i) {
  const t = TARGETS[i];
  const s = t.evaluation.scores;
  const plot = el("div", { class: "plot" });
  const told = known(s.kendall_tau) ? `tau ${fixed(s.kendall_tau, 3)}` : "no rank score: costs or predictions are all the same";
  describe(plot, `Predicted against measured ${t.metric} on ${t.device}: ${told}, median error ${percent(s.mdape)}`);
  const card = el("article", { class: "card" }, el("h3", { text: `${t.name} (${t.unit})` }),
    el("p", { class: "muted", text: `${told}, median error ${percent(s.mdape)}` }), plot);
  CARDS.set(i, { card, plot, drawn: false });
  return card;
}
function drawCard(i) {
  const entry = CARDS.get(i);
  const t = TARGETS[i];
  const e = t.evaluation;
  const finite = [...e.measured, ...e.predicted].filter(known);
  const [least, most] = [Math.min(...finite), Math.max(...finite)];
  const log = least > 0 && most > 100 * least;
  const texts = e.measured.map((m, k) => {
    const bounds = known(e.low[k]) ? `<br>90 % interval ${figure(e.low[k])} to ${known(e.high[k]) ? figure(e.high[k]) : "∞"} ${plain(t.unit)}` : "";
    const index = e.index && known(e.index[k]) ? `, index ${e.index[k]}` : "";
    const arch = lines(archParts(DATA.held_out[e.archs[k]]), 48).map(plain).join("<br>");
    const noPath = HELD_OUT_CUT_OFF.has(e.archs[k]) ? `<br>${NO_PATH}` : "";
    return `measured ${figure(m)} ${plain(t.unit)}<br>predicted ${figure(e.predicted[k])} ${plain(t.unit)}${bounds}<br>${arch}${index}${noPath}`;
  });
  const bound = (upper) => e.predicted.map((p, k) => {
    const value = upper ? e.high[k] : e.low[k];
    return known(value) ? Math.max(0, upper ? value - p : p - value) : 0;
  });
  const type = log ? "log" : "linear";
  draw(entry.plot, [
    { type: "scatter", mode: "lines", x: [least, most], y: [least, most], line: { color: colour("muted"), width: 1 }, hoverinfo: "skip" },
    {
      type: "scatter", mode: "markers", x: e.measured, y: e.predicted, text: texts, hoverinfo: "text",
      marker: { color: colour("point"), size: 5 },
      error_y: { type: "data", symmetric: false, array: bound(true), arrayminus: bound(false), color: colour("interval"), thickness: 1, width: 0 },
    },
  ], {
    height: 300, hovermode: "closest", margin: { l: 50, r: 10, t: 5, b: 45 },
    xaxis: { type, title: { text: `measured (${plain(t.unit)})` }, nticks: 6 },
    yaxis: { type, title: { text: `predicted (${plain(t.unit)})` }, nticks: 6 },
  });
}
function drawPredicted() {
  const chosen = shown();
  const drawn = chosen.filter((i) => TARGETS[i].evaluation);
  notes("predicted-notes", [
    chosen.length ? "" : NOTHING,
    ...without("predictions", chosen.filter((i) => !TARGETS[i].evaluation), (t) => t.no_evaluation),
  ]);
  drawScores(drawn);
  const cards = everyCard ? drawn : drawn.slice(0, mostCards());
  for (const i of cards) if (!CARDS.has(i)) byId("predicted-cards").append(makeCard(i));
  for (const [i, entry] of CARDS) entry.card.hidden = !cards.includes(i);
  byId("every-card").hidden = everyCard || drawn.length <= mostCards();
  byId("every-card").textContent = `Show all ${drawn.length} charts`;
}
