// What draws when: tables and heatmaps at once, the charts when plotly is there and they come near.
function drawAll(again = false) {
  const chosen = shown();
  byId("device-count").textContent = `Devices: ${state.devices.size} of ${new Set(TARGETS.map((t) => t.device)).size}`;
  byId("shown").textContent = `${plural(chosen.length, "target")} shown`;
  drawDevices();
  drawPredicted(again);
  for (const id of SEEN) drawPart(id);
}

// What needs plotly is drawn when it comes near, each by itself, so that the page stays quick.
const PARTS = { correlation: drawCorrelation, residuals: drawResiduals, curve: drawCurve, pareto: drawPareto };
const HEATMAPS = ["correlation", "residuals"];
const SEEN = new Set(HEATMAPS);
function drawPart(id) {
  // Each by itself: what one can't draw must not keep the others from being drawn.
  try { PARTS[id](); } catch (error) { console.error(error); }
}
function seePart(id) {
  if (SEEN.has(id)) return;
  SEEN.add(id);
  drawPart(id);
}
const redraw = (id) => () => { if (SEEN.has(id)) drawPart(id); };
const coming = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) setTimeout(() => seePart(entry.target.id));
}, { rootMargin: "500px" });

// plotly takes a second to start, so that it comes, unpacked, after what needs no charts.
async function loadCharts() {
  const packed = new Blob([decode(byId("plotly").textContent, Uint8Array)]);
  const code = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).text();
  document.head.append(el("script", { text: code }));
  document.documentElement.dataset.charts = "yes";
  for (const { card } of CARDS.values()) waiting.observe(card);
  for (const id of Object.keys(PARTS)) coming.observe(byId(id));
}
function startCharts() {
  loadCharts().catch((error) => {
    console.error(error);
    notes("page-notes", ["The charts can't be drawn: they need a browser of 2023 or later. What is told in tables is complete."]);
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

function start() {
  byId("about").textContent = DATA.about;
  byId("foot").textContent = DATA.foot;
  prose("predicted-about", DATA.evaluated);
  prose("curve-about", DATA.learned);
  const metrics = [...new Set(TARGETS.map((t) => t.metric))];
  byId("metric-choice").hidden = metrics.length < 2;
  byId("metric").append(el("option", { value: "all", text: "all" }), ...metrics.map((metric) => el("option", { value: metric, text: metric.replace(/_/g, " ") })));
  for (const device of new Set(TARGETS.map((t) => t.device))) {
    const box = el("input", { type: "checkbox", checked: true });
    box.value = device;
    byId("devices-choice").append(el("label", {}, box, el("span", { text: device })));
  }
  const boxes = [...byId("devices-choice").querySelectorAll("input")];
  const read = () => { state.devices = new Set(boxes.filter((box) => box.checked).map((box) => box.value)); drawAll(); };
  const set = (checked) => { for (const box of boxes) box.checked = checked; read(); };
  byId("devices-choice").addEventListener("change", read);
  byId("all").addEventListener("click", () => set(true));
  byId("none").addEventListener("click", () => set(false));
  byId("metric").addEventListener("change", (event) => { state.metric = event.target.value; drawAll(); });
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("every-card").addEventListener("click", () => { everyCard = true; drawPredicted(); });
  byId("method").addEventListener("change", redraw("correlation"));
  byId("score").addEventListener("change", redraw("curve"));
  byId("axis-x").addEventListener("change", redraw("pareto"));
  byId("axis-y").addEventListener("change", redraw("pareto"));
  const list = byId("device-list");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && list.open) { list.open = false; list.querySelector("summary").focus(); }
  });
  document.addEventListener("click", (event) => { if (list.open && !list.contains(event.target)) list.open = false; });
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
    drawAll(true);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { nameTheme(); drawAll(true); });
  NARROW.addEventListener("change", () => {
    // Drawn afresh: plotly leaves pieces behind where a heatmap's key turns.
    if (charts()) for (const plot of document.querySelectorAll(".js-plotly-plot")) purge(plot);
    drawAll(true);
  });
  // plotly's charts follow the window's width by themselves.
  let resized;
  window.addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => HEATMAPS.forEach(drawPart), 150);
  });
  window.addEventListener("beforeprint", () => { if (charts()) Object.keys(PARTS).forEach(seePart); for (const i of shown()) drawCard(i); });
  nameTheme();
  drawAll();
  document.documentElement.dataset.ready = "yes";
  // After the first picture, and when the rest of the file is there.
  document.addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(startCharts)));
}
start();
