// What the page knows, what is chosen, and the helpers that draw elements. Everything from the table becomes text
// through textContent; plotly reads a little HTML in its texts, so that those go through `plain`.
const DATA = JSON.parse(document.getElementById("data").textContent);
const TARGETS = DATA.targets;
const byId = (id) => document.getElementById(id);

function decode(text, Kind) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Kind(bytes.buffer);
}
const once = (make) => { let made; let done = false; return () => { if (!done) { made = make(); done = true; } return made; }; };
const COSTS = TARGETS.map((target) => once(() => decode(target.costs, Float32Array)));
const REASONS = TARGETS.map((target) => once(() => target.why ? decode(target.why, Uint8Array) : null));
const HELD_OUT_CUT_OFF = new Set(DATA.held_out_cut_off);
const NO_PATH = "no path from input to output";

// A long text breaks where its parts meet: an architecture's after + and |, others after blanks, / and - as well.
const archParts = (text) => text.split(/(?<=[+,])|(?<=[^|+]\|)(?=[^|+])/);
const wordParts = (text) => text.split(/(?<=[ /_|+,-])/);
function lines(parts, width) {
  const made = [];
  let line = "";
  for (const part of parts.flatMap((part) => part.match(new RegExp(`.{1,${width}}`, "gsu")) ?? [])) {
    if (line && (line + part).trimEnd().length > width) { made.push(line); line = ""; }
    line += part;
  }
  return [...made, line];
}
const broken = (parts) => parts.flatMap((part, k) => k ? [el("wbr"), part] : [part]);
// What ends with + stays on one line where there is room.
const archCode = (text) => el("code", { class: "arch" }, ...text.split(/(?<=\+)/).map((part) => el("span", {}, ...broken(archParts(part)))));

const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const count = (n) => n.toLocaleString("en-US");
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
function figure(value, digits = 4) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4) return value.toExponential(digits - 1);
  if (size >= 10 ** digits) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(digits)));
}
const fixed = (value, digits) => known(value) ? value.toFixed(digits) : "–";
const percent = (part, digits = 1) => known(part) ? `${(100 * part).toFixed(digits)} %` : "–";
const signed = (value) => !known(value) ? "–" : Math.abs(value) < 0.05 ? "0.0 %" : `${value > 0 ? "+" : ""}${value.toFixed(Math.abs(value) < 10 ? 1 : 0)} %`;

const el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
function filled(node, attributes = {}, children = []) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (name === "onclick") node.addEventListener("click", value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
function table(headers, rows, numeric = [], caption = "") {
  const kind = (i) => numeric.includes(i) ? "number" : null;
  const head = el("tr", {}, ...headers.map((text, i) => el("th", { scope: "col", class: kind(i), text })));
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, i) => {
    const node = i === 0 ? el("th", { scope: "row", class: kind(i) }) : el("td", { class: kind(i) });
    node.append(cell instanceof Node ? cell : String(cell));
    return node;
  })));
  const made = el("table", {}, el("thead", {}, head), el("tbody", {}, ...body));
  if (caption) made.prepend(el("caption", { class: "hidden", text: caption }));
  return made;
}
function asTable(id, title, headers, rows, numeric, unfolded = false) {
  const box = byId(id);
  const open = box.querySelector("details")?.open;
  box.replaceChildren();
  if (!rows.length) return;
  const inside = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title });
  inside.append(table(headers, rows, numeric, title));
  const made = el("details", { class: "data", open: open ?? unfolded }, el("summary", { text: title }), inside);
  box.append(made);
}
// Of the columns that may be alike, those that are go into a sentence. Returns the other columns, and the sentence.
function unlike(headers, rows, may) {
  const same = may.filter((k) => rows.length && rows.every((row) => row[k] === rows[0][k]));
  const told = same.map((k) => `${headers[k].toLowerCase()}: ${rows[0][k]}`).join("; ");
  const kept = headers.map((_, k) => k).filter((k) => !same.includes(k));
  return [kept, told && `${rows.length > 1 ? "For all: " : ""}${told}.`.replace(/^./, (letter) => letter.toUpperCase())];
}
// A text of ours, in which `what is typed` stands between backticks.
function prose(id, text) {
  byId(id).replaceChildren(...text.split("`").map((part, k) => k % 2 ? el("code", { text: part }) : part));
}
function notes(id, texts) {
  byId(id).replaceChildren(...texts.filter(Boolean).map((text) => el("p", { class: "note", text })));
}
// One note for all targets that lack something for the same reason.
const MOST_NAMED = 12;
function without(what, numbers, reason) {
  const groups = new Map();
  for (const i of numbers) groups.set(reason(TARGETS[i]), [...(groups.get(reason(TARGETS[i])) || []), TARGETS[i].name]);
  const few = (names) => names.length > MOST_NAMED ? `${names.slice(0, MOST_NAMED).join(", ")} and ${names.length - MOST_NAMED} more` : names.join(", ");
  return [...groups].map(([why, names]) => `No ${what} for ${few(names)}: ${why}`);
}
function facts(pairs) {
  const list = el("dl");
  for (const [name, value] of pairs) list.append(el("dt", {}, ...broken(wordParts(name))), el("dd", {}, value instanceof Node ? value : String(value)));
  return list;
}

// What is chosen.
const state = { devices: new Set(DATA.shown), metric: "all" };
const shown = () => TARGETS.map((_, i) => i).filter(
  (i) => state.devices.has(TARGETS[i].device) && (state.metric === "all" || TARGETS[i].metric === state.metric));
const NOTHING = "Nothing is chosen: tick a device that has this metric.";
const NARROW = window.matchMedia("(max-width: 619px)");
const narrow = () => NARROW.matches;
const oneMetric = (numbers) => new Set(numbers.map((i) => TARGETS[i].metric)).size === 1;
// Labels: the device alone where the metric is the same everywhere. On a phone long ones lose their middle, and the unit
// tells a device's targets apart; plain names stand where a point or a cell is pointed at.
function labels(numbers, whole = !narrow()) {
  const one = oneMetric(numbers);
  if (whole) return numbers.map((i) => one ? TARGETS[i].device : TARGETS[i].name);
  const cut = (text) => text.length <= 16 ? text : `${text.slice(0, 5)}…${text.slice(-10)}`;
  const names = numbers.map((i) => {
    const alone = numbers.filter((j) => TARGETS[j].device === TARGETS[i].device).length === 1;
    return cut(TARGETS[i].device) + (alone ? "" : ` ${TARGETS[i].unit}`);
  });
  return names.map((text, i) => names.indexOf(text) === names.lastIndexOf(text) ? text : `${text} ${i + 1}`);
}

// How plots look.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8a6fd1", "#7a7a7a"];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// plotly breaks no line by itself: a title gets as many as the axis, of so many pixels, needs.
const titleLines = (text, end, pixels) => lines([...wordParts(text), end], Math.max(12, Math.floor(pixels / 7.2))).map(plain).join("<br>");
const COARSE = window.matchMedia("(pointer: coarse)").matches;
function layout(more) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("muted"), automargin: true };
  const { xaxis, yaxis, ...rest } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("text"), size: 12.5 },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("muted"), font: { color: colour("text") }, align: "left", namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("text") },
    margin: { l: 60, r: 15, t: 10, b: 50 }, dragmode: COARSE ? false : "zoom", autosize: true, showlegend: false,
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}
const charts = () => document.documentElement.dataset.charts === "yes";
const CONFIGURATION = { displaylogo: false, responsive: true, displayModeBar: false };
function draw(id, traces, look, configuration = CONFIGURATION) {
  const node = typeof id === "string" ? byId(id) : id;
  // Drawn afresh on the other side of the threshold: plotly leaves pieces of a legend behind.
  if (node.data && node.dataset.narrow !== String(narrow())) purge(node);
  node.dataset.narrow = narrow();
  node.hidden = false;
  node.style.height = `${look.height || node.clientHeight || 320}px`;
  return Plotly.react(node, traces, layout(look), configuration);
}
// What a chart shows, for those who don't see it.
function describe(node, text) {
  if (typeof node === "string") node = byId(node);
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", text);
}
// Purging takes a plot's listeners along.
function purge(node) {
  Plotly.purge(node);
  delete node.dataset.listens;
}
function clear(id) {
  const node = byId(id);
  if (node.data) purge(node);
  node.hidden = true;
}
