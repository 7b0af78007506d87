// One network: its drawing, its costs with their ranks, and what one changed op costs and gains.
const NODES = [20, 93, 167, 240].map((x) => [x, 84]);
// How each edge of the cell is drawn: along the line of nodes, or in a bow that has its label at its middle.
const EDGES = [
  { from: 0, to: 1, bow: 0 }, { from: 0, to: 2, bow: -62 }, { from: 1, to: 2, bow: 0 },
  { from: 0, to: 3, bow: -136 }, { from: 1, to: 3, bow: 64 }, { from: 2, to: 3, bow: 0 },
];
const STROKES = {
  nor_conv_3x3: { label: "3×3", width: 4 }, nor_conv_1x1: { label: "1×1", width: 1.8 },
  avg_pool_3x3: { label: "pool", width: 1.8, dash: "7 4" }, skip_connect: { label: "skip", width: 1.8, dash: "1.5 3.5" },
};
function drawCell(row) {
  const ops = EDGES.map((_, e) => NETWORKS.ops_at[e][ARCHS()[row * POSITIONS + e]]);
  const shapes = EDGES.flatMap(({ from, to, bow }, e) => {
    const look = STROKES[ops[e]];
    if (!look) return [];
    const [[x0, y], [x1]] = [NODES[from], NODES[to]];
    const line = svg("path", { d: `M${x0} ${y}Q${(x0 + x1) / 2} ${y + bow} ${x1} ${y}`, "stroke-width": look.width, "stroke-dasharray": look.dash ?? null });
    const label = svg("text", { x: (x0 + x1) / 2, y: y + bow / 2 + (bow > 0 ? 17 : -7), "text-anchor": "middle", text: look.label });
    return [line, label];
  });
  const told = EDGES.map(({ from, to }, e) => `${to} from ${from} by ${ops[e]}`).filter((_, e) => STROKES[ops[e]]).join(", ");
  const nodes = NODES.flatMap(([x, y], k) => [svg("circle", { cx: x, cy: y, r: 10 }),
    svg("text", { class: "node", x, y: y + 4, "text-anchor": "middle", text: ["in", "1", "2", "out"][k] })]);
  return svg("svg", { class: "cell", viewBox: "0 -9 260 147", role: "img", "aria-label": `Cell, node 0 is the input and 3 the output: ${told || "no edges"}` }, ...shapes, ...nodes);
}

// A bar of where the cost goes: parts are told apart by the gaps and the names below, largest first.
const MOST_PARTS = 6;
function drawBar(row, few = false) {
  const i = [Number(quantityKey("axis-x")), ...shown()].find((k) => NETWORKS.effects[k] || Object.keys(NETWORKS.shares[k] ?? {}).length);
  if (i === undefined) return null;
  const all = partsOf(row, i);
  if (!all) return el("p", { class: "muted small", text: `Where its cost goes is not on this page: it is for the ${Object.keys(NETWORKS.shares[i]).length} networks most likely taken.` });
  const parts = all.filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1]);
  const named = parts.slice(0, few ? 3 : MOST_PARTS);
  const rest = 1 - named.reduce((sum, [, share]) => sum + share, 0);
  if (rest > 0.005) named.push([parts.length > named.length ? `${plural(parts.length - named.length, "other")}` : "others", rest]);
  const about = `${TARGETS[i].metric.replace(/_/g, " ")} on ${TARGETS[i].device}`;
  const bar = el("div", { class: "parts", "aria-hidden": "true" }, ...named.map(([, share], k) => el("span", { style: `flex-grow: ${share}`, text: share > 0.12 ? k + 1 : "" })));
  const list = el("ol", { class: "part-names" }, ...named.map(([name, share]) => el("li", { text: `${name}, ${percent(share, 0)}` })));
  return el("div", {}, el("p", { class: "muted small", text: `Where the ${about} goes:` }), bar, list);
}
const pictureOf = (row, few) => NETWORKS.cell ? drawCell(row) : drawBar(row, few);

async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); }
  catch { // no permission, as in a page of a file in some browsers
    const field = el("textarea", { class: "hidden" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  byId("pareto-said").textContent = `Copied ${text}`;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
function copyButton(text, name = text) {
  const button = el("button", { type: "button", text: "Copy", "aria-label": `Copy ${name}` });
  button.addEventListener("click", () => copy(text, button));
  return button;
}

const SORTED = new Map();
function sortedCosts(i) {
  if (!SORTED.has(i)) SORTED.set(i, COSTED[i]().values.filter((cost, row) => !Number.isNaN(cost) && !CUT_OFF.has(row)).sort());
  return SORTED.get(i);
}
function rank(i, value) {
  const all = sortedCosts(i);
  let low = 0, high = all.length;
  while (low < high) { const middle = (low + high) >> 1; if (all[middle] < value) low = middle + 1; else high = middle; }
  return `rank ${count(low + 1)} of ${count(all.length)}`;
}

// Of many targets, those on an axis or with a budget come first.
const MOST_FACTS = 8;
function leading() {
  const numbers = shown();
  if (numbers.length <= MOST_FACTS) return numbers;
  const asked = new Set([...["axis-x", "axis-y", "best-by"].map((id) => Number(quantityKey(id))), ...activeBudgets().map(([i]) => i)]);
  return numbers.filter((i) => asked.has(i));
}
function costsOf(row, numbers) {
  const names = labels(numbers, true);
  return numbers.map((i, at) => {
    const cost = COSTED[i]().values[row];
    return [names[at], costText(i, row, 5) + (Number.isNaN(cost) ? "" : `, ${rank(i, cost)}`)];
  });
}
function factsOf(row) {
  const pairs = [];
  if (NETWORKS.archs) pairs.push([numberName, numberOf(row)]);
  if (CONFIG()) pairs.push(["config", configText(row)]);
  pairs.push([LIVE, `${figure(MACS()[row])} million`]);
  if (ALL_MACS()) pairs.push(["multiply-adds of all edges", `${figure(ALL_MACS()[row])} million`]);
  if (QUALITY()) pairs.push([NETWORKS.quality.name, figure(QUALITY()[row], 5)]);
  return facts([...pairs, ...costsOf(row, leading())]);
}
// What takes time to make is made when it is looked at. What is open stays open for the next network.
const UNFOLDED = new Map();
function folded(title, open, make) {
  const made = el("details", { class: "data", open: UNFOLDED.get(title) ?? open }, el("summary", { text: title }));
  const fill = () => { if (made.open && made.childElementCount === 1) made.append(...make()); };
  made.addEventListener("toggle", () => { UNFOLDED.set(title, made.open); fill(); });
  fill();
  return made;
}
function detail(row) {
  const box = byId("pareto-detail");
  delete box.dataset.row;
  if (row === null) return box.replaceChildren(el("p", { class: "muted", text: "Choose a network, in the chart or a list, to see it here." }));
  const picked = CHART.picks.indexOf(row);
  const name = NETWORKS.archs ? shortName(row).replace(/^./, (letter) => letter.toUpperCase()) : "Network";
  const sought = SOUGHT.get(row);
  const made = [el("h3", { text: `${name}${picked < 0 ? "" : `, pick ${picked + 1}`}${sought ? `, ${sought.said}` : ""}` }),
    el("p", { class: "copied" }, copyButton(archText(row), shortName(row)), archCode(archText(row)))];
  if (CUT_OFF.has(row)) made.push(el("p", { class: "note", text: `This network has ${NO_PATH}: it is on no front and among no picks.` }));
  made.push(pictureOf(row, false), factsOf(row));
  const others = shown().length - leading().length;
  if (others) made.push(folded(`Costs on ${plural(others, "other target")}`, false, () => [facts(costsOf(row, shown().filter((i) => !leading().includes(i))))]));
  if (NETWORKS.archs) made.push(folded("What one changed op costs and gains", !narrow(), () => changesOf(row)));
  box.replaceChildren(...made.filter(Boolean));
  box.dataset.row = row;
}

// A row for each position, a column for each op: the change of the cost across, and of what is best.
function changesOf(row) {
  const x = quantity(quantityKey("axis-x")), best = quantity(quantityKey("best-by"));
  const other = best.key === x.key ? quantity(quantityKey("axis-y")) : best;
  const both = other.key === x.key ? [x] : [x, other];
  const sign = (value) => !known(value) ? "?" : `${value > 0 ? "+" : value < 0 ? "−" : "±"}${figure(Math.abs(value), 3)}`;
  const widest = Math.max(...NETWORKS.ops_at.map((ops) => ops.length));
  const alike = NETWORKS.ops_at.every((ops) => ops.join() === NETWORKS.ops_at[0].join());
  let estimated = false;
  const cell = (position, op) => {
    const name = NETWORKS.ops_at[position][op];
    if (name === undefined) return "";
    const label = alike ? [] : [el("span", { class: "op", text: name })];
    if (ARCHS()[row * POSITIONS + position] === op) return el("div", { class: "now" }, ...label, "now");
    const changes = both.map((a) => change(row, position, op, a));
    const lines = changes.map(({ by, exact }) => el("span", { text: `${exact || !known(by) ? "" : "≈ "}${sign(by)}` }));
    const { other: changed, exact } = changes[0];
    estimated ||= !exact;
    if (changed === undefined) return el("div", {}, ...label, ...lines);
    const said = both.map((a, k) => `${a.name} ${sign(changes[k].by)} ${a.unit}`).join(", ");
    return el("button", { type: "button", "aria-label": `${NETWORKS.positions[position]} ${name}: ${said}`, onclick: () => choose(changed) }, ...label, ...lines);
  };
  const rows = NETWORKS.positions.map((name, position) => [name, ...Array.from({ length: widest }, (_, op) => cell(position, op))]);
  const headers = ["", ...Array.from({ length: widest }, (_, op) => alike ? NETWORKS.ops_at[0][op].replaceAll("_", "_\u200b") : "")];
  const title = `${both.map((a) => `${a.name}${a.unit ? ` (${a.unit})` : ""}`).join("; below it ")}.`;
  const off = both.map((a) => NETWORKS.effects[a.key]).filter(Boolean).map((effects) => percent(effects.off)).join(" and ");
  const how = !estimated ? "" : off ? ` ≈: this neighbour is not on this page; the ops' mean effects, whose sums are ${off} off (median).` : " ?: this neighbour is not on this page.";
  return [el("p", { class: "muted small", text: title + how }),
    el("div", { class: "scroll changes", tabindex: "0", role: "region", "aria-label": "Changes" }, table(headers, rows, [], "What one changed op costs and gains"))];
}
