// The explorer's chart, on two canvases of our own: plotly takes a second to start, and as long to move its points. Below
// lie the axes, all networks and their front; above them the picks and the chosen network, which changes more often.
const PAD = { left: 64, right: 14, top: 10, bottom: 46 };
const LINE = 16;
const MOST_DIAMONDS = 500;
const CHART = { rows: [], x: null, y: null, inside: null, front: [], picks: [], chosen: null, zoom: null, width: 0, height: 0 };
const scaled = (a, value) => a.log ? Math.log10(value) : value;

function extent(a, rows) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) { const v = a.values[row]; if (v < low) low = v; if (v > high) high = v; }
  a.log = low > 0 && high > 100 * low;
  [low, high] = [scaled(a, low), scaled(a, high)];
  const room = high > low ? 0.03 * (high - low) : Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}
function ticks([low, high], log, most) {
  if (log && high - low > 0.7) {
    const digits = high - low > most / 2 ? [1] : high - low > most / 3 ? [1, 3] : [1, 2, 5];
    const made = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power++) for (const digit of digits) made.push(Math.log10(digit) + power);
    return made.filter((at) => at >= low && at <= high).map((at) => [at, 10 ** at]);
  }
  const [from, to] = log ? [10 ** low, 10 ** high] : [low, high];
  const rough = (to - from) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const made = [];
  for (let value = Math.ceil(from / step) * step; value <= to + step * 1e-9; value += step) made.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return made.map((value) => [log ? Math.log10(value) : value, value]);
}

// Where a network lies, in pixels of the chart.
const place = (row) => [acrossOf(scaled(CHART.x, CHART.x.values[row])), upOf(scaled(CHART.y, CHART.y.values[row]))];
const inner = () => [CHART.width - PAD.left - PAD.right, CHART.height - PAD.top - PAD.bottom];
const acrossOf = (at) => PAD.left + (inner()[0] * (at - CHART.view.x[0])) / (CHART.view.x[1] - CHART.view.x[0]);
const upOf = (at) => CHART.height - PAD.bottom - (inner()[1] * (at - CHART.view.y[0])) / (CHART.view.y[1] - CHART.view.y[0]);
const inFrame = (x, y) => x >= PAD.left - 1 && x <= CHART.width - PAD.right + 1 && y >= PAD.top - 1 && y <= CHART.height - PAD.bottom + 1;

function prepared(id) {
  const canvas = byId(id);
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(CHART.width * ratio), Math.round(CHART.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, CHART.width, CHART.height);
  pen.font = "12.5px system-ui, 'Liberation Sans', sans-serif";
  return pen;
}
function drawAxes(pen) {
  const { x, y, view, width, height } = CHART;
  const [across, up] = inner();
  pen.strokeStyle = colour("line");
  pen.fillStyle = colour("text");
  pen.lineWidth = 1;
  pen.beginPath();
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const [at, value] of ticks(view.x, x.log, Math.max(2, across / 80))) {
    const px = Math.round(acrossOf(at)) + 0.5;
    pen.moveTo(px, PAD.top);
    pen.lineTo(px, height - PAD.bottom);
    pen.fillText(figure(value), px, height - PAD.bottom + 5);
  }
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const [at, value] of ticks(view.y, y.log, Math.max(2, up / 50))) {
    const py = Math.round(upOf(at)) + 0.5;
    pen.moveTo(PAD.left, py);
    pen.lineTo(width - PAD.right, py);
    pen.fillText(figure(value), PAD.left - 5, py);
  }
  pen.stroke();
  pen.textAlign = "center";
  pen.textBaseline = "alphabetic";
  CHART.titles[0].forEach((text, k) => pen.fillText(text, PAD.left + across / 2, height - 7 - LINE * (CHART.titles[0].length - 1 - k)));
  pen.save();
  pen.translate(16, PAD.top + up / 2);
  pen.rotate(-Math.PI / 2);
  CHART.titles[1].forEach((text, k) => pen.fillText(text, 0, LINE * k));
  pen.restore();
}
// The axes' titles, in as many lines as they need, and the room for them.
function titled() {
  const broad = (a, pixels) => lines([...wordParts(`${a.title}, `), a.better < 0 ? "less is better" : "more is better"], Math.max(12, Math.floor(pixels / 7)));
  CHART.titles = [broad(CHART.x, CHART.width - 90), broad(CHART.y, CHART.height - 80)];
  PAD.bottom = 30 + LINE * CHART.titles[0].length;
  PAD.left = 48 + LINE * CHART.titles[1].length;
}
// Where all networks lie, and which of them are measured, after the axes, the zoom or the size have changed.
function layOut() {
  const box = byId("pareto-plot");
  if (!CHART.x || !box.clientWidth) return;
  [CHART.width, CHART.height] = [box.clientWidth, box.clientHeight];
  CHART.view = CHART.zoom ?? CHART.whole;
  titled();
  const { rows, x, y } = CHART;
  const places = new Float32Array(2 * rows.length);
  const squares = new Uint8Array(rows.length);
  const axes = [x, y].filter((a) => a.target !== undefined).map((a) => a.target);
  let n = 0;
  rows.forEach((row, k) => {
    [places[2 * k], places[2 * k + 1]] = place(row);
    n += squares[k] = axes.every((i) => isMeasured(i, row));
  });
  CHART.places = places;
  // Thousands of squares would hide each other.
  CHART.squares = n <= 1000 ? squares : new Uint8Array(rows.length);
  drawCloud();
}
// Shapes tell what colours tell: measured networks are squares, predicted ones dots; those beyond a budget are faint.
function drawCloud() {
  if (!CHART.places) return;
  const pen = prepared("pareto-cloud");
  drawAxes(pen);
  pen.save();
  pen.beginPath();
  pen.rect(PAD.left, PAD.top, ...inner());
  pen.clip();
  const { rows, places, squares, inside } = CHART;
  const many = rows.length > 3000, size = many ? 3 : 5;
  pen.lineWidth = 1.2;
  for (const within of [0, 1]) {
    pen.globalAlpha = within ? (many ? 0.55 : 0.8) : 0.16;
    pen.fillStyle = colour("point");
    for (let k = 0; k < rows.length; k++) if (inside[rows[k]] === within && !squares[k]) pen.fillRect(places[2 * k] - size / 2, places[2 * k + 1] - size / 2, size, size);
    pen.globalAlpha = within ? 1 : 0.35;
    pen.strokeStyle = colour("text");
    for (let k = 0; k < rows.length; k++) if (inside[rows[k]] === within && squares[k]) pen.strokeRect(places[2 * k] - 3.5, places[2 * k + 1] - 3.5, 7, 7);
  }
  drawBudgets(pen);
  drawFront(pen);
  pen.restore();
  drawMarks();
}
function drawBudgets(pen) {
  pen.setLineDash([7, 4]);
  pen.strokeStyle = colour("text");
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const [i, budget] of activeBudgets()) {
    if (CHART.x.target === i) { const px = acrossOf(scaled(CHART.x, budget)); pen.moveTo(px, PAD.top); pen.lineTo(px, CHART.height - PAD.bottom); }
    if (CHART.y.target === i) { const py = upOf(scaled(CHART.y, budget)); pen.moveTo(PAD.left, py); pen.lineTo(CHART.width - PAD.right, py); }
  }
  pen.stroke();
  pen.setLineDash([]);
}
function drawFront(pen) {
  pen.strokeStyle = pen.fillStyle = colour("front");
  pen.lineWidth = 1.5;
  pen.beginPath();
  let before = null;
  for (const row of CHART.front) {
    const [px, py] = place(row);
    if (before === null) pen.moveTo(px, py);
    else { pen.lineTo(px, before); pen.lineTo(px, py); }
    before = py;
  }
  pen.stroke();
  const step = Math.ceil(CHART.front.length / MOST_DIAMONDS);
  for (let k = 0; k < CHART.front.length; k += step) {
    const [px, py] = place(CHART.front[k]);
    pen.beginPath();
    pen.moveTo(px, py - 5); pen.lineTo(px + 5, py); pen.lineTo(px, py + 5); pen.lineTo(px - 5, py);
    pen.fill();
  }
}
function drawIntervals(pen, row) {
  const [px, py] = place(row);
  pen.strokeStyle = colour("text");
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const [a, across] of [[CHART.x, true], [CHART.y, false]]) {
    if (!a.bounds || Number.isNaN(a.bounds.low[row]) || isMeasured(a.target, row)) continue;
    const least = (across ? CHART.view.x : CHART.view.y)[0];
    const low = a.bounds.low[row] > 0 || !a.log ? scaled(a, a.bounds.low[row]) : least;
    const high = scaled(a, Math.min(a.bounds.high[row], 1e30));
    if (across) { pen.moveTo(acrossOf(low), py); pen.lineTo(acrossOf(high), py); }
    else { pen.moveTo(px, upOf(low)); pen.lineTo(px, upOf(high)); }
  }
  pen.stroke();
}
function drawPick(pen, row, number) {
  const [px, py] = place(row);
  if (!inFrame(px, py)) return;
  pen.beginPath();
  pen.arc(px, py, 9, 0, 2 * Math.PI);
  pen.fillStyle = colour("card");
  pen.fill();
  pen.strokeStyle = colour("text");
  pen.setLineDash(crossed(row).length ? [3, 2] : []);
  pen.lineWidth = 1.8;
  pen.stroke();
  pen.setLineDash([]);
  pen.fillStyle = colour("text");
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(String(number), px, py + 0.5);
}
// What a search found: triangles with their tip at the network, full above a pick, hollow below an alternative.
function drawSought(pen, row, { text, own }) {
  const [px, py] = place(row), up = own ? -1 : 1;
  if (!inFrame(px, py)) return;
  pen.beginPath();
  pen.moveTo(px, py); pen.lineTo(px - 8, py + 14 * up); pen.lineTo(px + 8, py + 14 * up);
  pen.closePath();
  pen.fillStyle = colour(own ? "text" : "card");
  pen.fill();
  pen.strokeStyle = colour(own ? "card" : "text");
  pen.lineWidth = 1.5;
  pen.stroke();
  pen.fillStyle = colour("text");
  pen.strokeStyle = colour("card");
  pen.lineWidth = 3;
  pen.textAlign = "center";
  pen.textBaseline = own ? "bottom" : "top";
  pen.strokeText(text, px, py + 15 * up);
  pen.fillText(text, px, py + 15 * up);
}
function drawChosen(pen, row) {
  const [px, py] = place(row);
  if (!inFrame(px, py)) return;
  pen.strokeStyle = colour("text");
  pen.lineWidth = 2.5;
  pen.beginPath();
  pen.arc(px, py, 13, 0, 2 * Math.PI);
  pen.stroke();
  const text = shortName(row).slice(0, 40);
  const wide = pen.measureText(text).width + 10;
  const left = px + 18 + wide > CHART.width ? px - 18 - wide : px + 18;
  pen.fillStyle = colour("card");
  pen.strokeStyle = colour("muted");
  pen.lineWidth = 1;
  pen.fillRect(left, py - 11, wide, 22);
  pen.strokeRect(left + 0.5, py - 10.5, wide, 21);
  pen.fillStyle = colour("text");
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 5, py + 0.5);
}
function drawMarks() {
  if (!CHART.x || !CHART.width) return;
  const pen = prepared("pareto-marks");
  pen.save();
  pen.beginPath();
  pen.rect(PAD.left, PAD.top, ...inner());
  pen.clip();
  const has = (row) => !Number.isNaN(CHART.x.values[row]) && !Number.isNaN(CHART.y.values[row]);
  const picks = CHART.picks.map((row, k) => [row, k + 1]).filter(([row]) => has(row));
  const chosen = CHART.chosen !== null && has(CHART.chosen) ? CHART.chosen : null;
  for (const [row] of picks) drawIntervals(pen, row);
  if (chosen !== null) drawIntervals(pen, chosen);
  pen.restore();
  for (const [row, number] of picks.reverse()) drawPick(pen, row, number);
  for (const [row, sought] of [...SOUGHT].reverse()) if (has(row)) drawSought(pen, row, sought);
  if (chosen !== null) drawChosen(pen, chosen);
}

// The network nearest to a point of the chart, within a finger's breadth; marked ones first.
function nearest(px, py) {
  let best = null, least = 14 * 14;
  const { rows, places } = CHART;
  for (let k = 0; k < rows.length; k++) {
    const apart = (places[2 * k] - px) ** 2 + (places[2 * k + 1] - py) ** 2;
    if (apart < least && inFrame(places[2 * k], places[2 * k + 1])) { least = apart; best = rows[k]; }
  }
  for (const row of [...CHART.front, ...SOUGHT.keys(), ...CHART.picks]) {
    const [x, y] = place(row);
    if ((x - px) ** 2 + (y - py) ** 2 < 81 && inFrame(x, y)) best = row;
  }
  return best;
}

// Zooming: by dragging a box, by the buttons, or by the keys + - 0.
function zoomTo(view) {
  CHART.zoom = view;
  byId("zoom-whole").disabled = view === null;
  layOut();
}
function zoomBy(factor) {
  const { view, whole, chosen } = CHART;
  const about = (range, a) => chosen !== null && !Number.isNaN(a.values[chosen]) ? scaled(a, a.values[chosen]) : (range[0] + range[1]) / 2;
  const around = (range, middle) => range.map((end) => middle + (end - middle) * factor);
  const next = { x: around(view.x, about(view.x, CHART.x)), y: around(view.y, about(view.y, CHART.y)) };
  zoomTo(next.x[1] - next.x[0] >= whole.x[1] - whole.x[0] ? null : next);
}
const pointIn = (event) => { const box = byId("pareto-plot").getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
function listenToChart() {
  const plot = byId("pareto-plot"), tip = byId("pareto-tip"), box = byId("pareto-box");
  let from = null;
  const frame = (to) => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
  plot.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse" && event.button === 0) from = pointIn(event); });
  plot.addEventListener("pointermove", (event) => {
    const at = pointIn(event);
    if (from && Math.hypot(at[0] - from[0], at[1] - from[1]) > 6) {
      const [left, top, width, height] = frame(at);
      box.hidden = false;
      Object.assign(box.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
      tip.hidden = true;
      return;
    }
    if (event.pointerType === "mouse") tell(tip, nearest(...at));
  });
  plot.addEventListener("pointerleave", () => { tip.hidden = true; box.hidden = true; from = null; });
  plot.addEventListener("pointerup", (event) => {
    const start = from;
    box.hidden = true;
    if (start) {
      const [left, top, width, height] = frame(pointIn(event));
      from = null;
      if (width > 12 && height > 12) {
        const { view } = CHART, [across, up] = inner();
        const x = (px) => view.x[0] + ((px - PAD.left) / across) * (view.x[1] - view.x[0]);
        const y = (py) => view.y[0] + ((CHART.height - PAD.bottom - py) / up) * (view.y[1] - view.y[0]);
        return zoomTo({ x: [x(left), x(left + width)], y: [y(top + height), y(top)] });
      }
    }
    const row = nearest(...pointIn(event));
    if (row !== null) choose(row);
  });
  plot.addEventListener("dblclick", () => zoomTo(null));
  byId("zoom-in").addEventListener("click", () => zoomBy(0.6));
  byId("zoom-out").addEventListener("click", () => zoomBy(1 / 0.6));
  byId("zoom-whole").addEventListener("click", () => zoomTo(null));
  byId("save-picture").addEventListener("click", savePicture);
}
function tell(tip, row) {
  tip.hidden = row === null;
  if (row === null) return;
  const text = (a) => a.target === undefined ? `${a.name} ${inUnit(a, a.values[row], 5)}` : `${a.name} ${costText(a.target, row)}`;
  tip.replaceChildren(...[shortName(row), SOUGHT.get(row)?.said, configText(row), text(CHART.x), text(CHART.y)].filter(Boolean).map((line) => el("div", { text: line })));
  const [px, py] = place(row);
  tip.style.left = `${Math.max(0, Math.min(px - tip.offsetWidth / 2, CHART.width - tip.offsetWidth))}px`;
  tip.style.top = `${py - tip.offsetHeight - 12 < 0 ? py + 12 : py - tip.offsetHeight - 12}px`;
}
function savePicture() {
  const [cloud, marks] = [byId("pareto-cloud"), byId("pareto-marks")];
  const both = el("canvas", { width: cloud.width, height: cloud.height });
  const pen = both.getContext("2d");
  pen.fillStyle = colour("back");
  pen.fillRect(0, 0, both.width, both.height);
  for (const canvas of [cloud, marks]) pen.drawImage(canvas, 0, 0);
  both.toBlob((blob) => save(blob, "networks.png"));
}
function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
