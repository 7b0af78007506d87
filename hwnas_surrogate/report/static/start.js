// What draws when: tables, heatmaps and the explorer at once, plotly's charts in idle time when plotly is there.
let drawnNarrow;
function drawAll() {
  drawnNarrow = narrow();
  const chosen = shown();
  byId("device-count").textContent = `Devices: ${state.devices.size} of ${new Set(TARGETS.map((t) => t.device)).size}`;
  byId("shown").textContent = `${plural(chosen.length, "target")} shown`;
  drawDevices();
  drawPredicted();
  drawHeatmaps();
  safely(drawPareto);
  safely(drawSearch);
  for (const entry of CARDS.values()) entry.drawn = false;
  DRAWN.clear();
  drawCharts();
}
// Each by itself: what one can't draw must not keep the others from being drawn.
function safely(draw) {
  try { draw(); } catch (error) { console.error(error); }
}
const drawHeatmaps = () => [drawCorrelation, drawResiduals].forEach(safely);

// A chart takes a tenth of a second. They are drawn one at a time, what is nearest to the window first, until all stand:
// a picture or a print of the whole page must not depend on how far someone scrolled.
const CHARTS = { curve: drawCurve };
const DRAWN = new Set();
const away = (node) => Math.abs(node.getBoundingClientRect().top - window.innerHeight / 2);
function nextChart() {
  const parts = Object.keys(CHARTS).filter((id) => !DRAWN.has(id)).map((id) => [byId(id), () => { DRAWN.add(id); safely(CHARTS[id]); }]);
  const cards = [...CARDS].filter(([, entry]) => !entry.drawn && !entry.card.hidden)
    .map(([i, entry]) => [entry.card, () => { entry.drawn = true; safely(() => drawCard(i)); }]);
  const all = [...parts, ...cards].map(([node, draw]) => [away(node), draw]).sort(([a], [b]) => a - b);
  return all.length ? all[0][1] : null;
}
const idle = window.requestIdleCallback ? (task) => requestIdleCallback(task, { timeout: 300 }) : (task) => setTimeout(task, 20);
let drawing = false;
function drawCharts() {
  document.documentElement.dataset.drawn = "no";
  if (drawing || !charts()) return;
  drawing = true;
  const step = () => {
    const next = nextChart();
    drawing = next !== null;
    if (!drawing) document.documentElement.dataset.drawn = "yes";
    else { next(); idle(step); }
  };
  idle(step);
}
function redraw(id) {
  DRAWN.delete(id);
  drawCharts();
}

// plotly takes a second to start, so that it comes, unpacked, after what needs no charts.
async function loadCharts() {
  const packed = new Blob([decode(byId("plotly").textContent, Uint8Array)]);
  const code = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(el("script", { text: code }));
  document.documentElement.dataset.charts = "yes";
  drawCharts();
}
function startCharts() {
  loadCharts().catch((error) => {
    console.error(error);
    notes("page-notes", ["The charts can't be drawn: they need a browser of 2023 or later. The tables are complete."]);
  });
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}
function nameTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
  byId("theme").setAttribute("aria-pressed", String(isDark()));
}

const MANY_DEVICES = 20;
function start() {
  byId("about").textContent = DATA.about;
  byId("foot").textContent = DATA.foot;
  prose("predicted-about", DATA.evaluated);
  prose("curve-about", DATA.learned);
  const metrics = [...new Set(TARGETS.map((t) => t.metric))];
  byId("metric-choice").hidden = metrics.length < 2;
  byId("metric").append(el("option", { value: "all", text: "all" }), ...metrics.map((metric) => el("option", { value: metric, text: metric.replace(/_/g, " ") })));
  for (const device of new Set(TARGETS.map((t) => t.device))) {
    const box = el("input", { type: "checkbox", checked: state.devices.has(device) });
    box.value = device;
    byId("devices-choice").append(el("label", {}, box, el("span", { text: device })));
  }
  const boxes = [...byId("devices-choice").querySelectorAll("input")];
  const read = () => { state.devices = new Set(boxes.filter((box) => box.checked).map((box) => box.value)); drawAll(); };
  // Of many devices, those whose name holds what is typed are listed; All and None tick these.
  byId("device-search").hidden = boxes.length <= MANY_DEVICES;
  byId("device-find").addEventListener("input", (event) => {
    const text = event.target.value.trim().toLowerCase();
    for (const box of boxes) box.parentElement.hidden = !box.value.toLowerCase().includes(text);
  });
  const set = (checked) => { for (const box of boxes) if (!box.parentElement.hidden) box.checked = checked; read(); };
  byId("devices-choice").addEventListener("change", read);
  byId("all").addEventListener("click", () => set(true));
  byId("none").addEventListener("click", () => set(false));
  byId("metric").addEventListener("change", (event) => { state.metric = event.target.value; drawAll(); });
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("every-card").addEventListener("click", () => { everyCard = true; drawPredicted(); drawCharts(); });
  byId("method").addEventListener("change", drawHeatmaps);
  byId("score").addEventListener("change", () => redraw("curve"));
  startExplorer();
  const list = byId("device-list");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && list.open) { list.open = false; list.querySelector("summary").focus(); }
  });
  document.addEventListener("click", (event) => { if (list.open && !list.contains(event.target)) list.open = false; });
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
    drawAll();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { nameTheme(); drawAll(); });
  // plotly's charts follow the window's width by themselves. What takes a picture of the whole page makes the window tiny
  // for a moment: what stands then must stay.
  let resized;
  window.addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => {
      if (narrow() !== drawnNarrow) return drawAll();
      drawHeatmaps();
      safely(layOut);
    }, 150);
  });
  window.addEventListener("beforeprint", () => { if (charts()) for (let next = nextChart(); next; next = nextChart()) next(); });
  nameTheme();
  drawAll();
  document.documentElement.dataset.ready = "yes";
  // When the rest of the file is there, and after the first picture: a frame has time to be painted. No frame is waited
  // for, since one that nobody looks at may never come.
  document.addEventListener("DOMContentLoaded", () => setTimeout(startCharts, 50));
}
start();
