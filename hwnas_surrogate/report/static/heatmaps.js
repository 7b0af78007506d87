// Heatmaps are tables of coloured cells, so that they stand at once: plotly takes a second to start.
function shade(scale, part) {
  const k = Math.max(1, scale.findIndex(([at]) => at >= part));
  const [[low, from], [high, to]] = [scale[k - 1], scale[k]];
  return `color-mix(in srgb, ${to} ${(100 * (part - low)) / (high - low)}%, ${from})`;
}
function key(title, scale, ends) {
  const stops = scale.map(([at, look]) => `${look} ${100 * at}%`).join(", ");
  const strip = el("span", { class: "strip", style: `background: linear-gradient(to right, ${stops})` });
  return el("p", { class: "key" }, el("span", { text: title }), el("span", {}, ends[0], strip, ends[1]));
}
// `values` are rows of numbers or null between `low` and `high`; `write` is what stands in a cell that has room,
// `tell` the lines told of the one that is pointed at.
function heatmap(id, { title, rows, columns, values, low, high, ends, scale, ink, write, tell }) {
  const box = byId(id);
  const small = narrow();
  box.hidden = false;
  const letter = small ? 5.6 : 6.8;
  const longest = (names) => letter * Math.max(...names.map((name) => name.length)) + 12;
  const names = Math.min(longest(rows), small ? 130 : 260);
  const cell = Math.min((box.clientWidth - names) / columns.length, 120);
  const turned = longest(columns) > cell && columns.some((name) => name.length > 2);
  const shape = `width: ${names + cell * columns.length}px; --cell: ${Math.max(small ? 15 : 24, Math.min(36, cell))}px; border-spacing: ${cell > 10 ? 1 : 0}px`;
  const body = values.map((row, i) => el("tr", {}, el("th", { text: rows[i] }), ...row.map((value, j) => {
    const part = (Math.max(low, Math.min(high, value)) - low) / (high - low);
    const look = known(value) ? `background: ${shade(scale, part)}; color: ${ink}` : null;
    return el("td", { style: look, "data-row": i, "data-column": j, text: known(value) && cell > (small ? 24 : 31) ? write(value) : "" });
  })));
  const made = el("table", { class: `heat${turned ? " turned" : ""}`, style: shape, role: "img", "aria-label": `${title}: the table below lists the figures` },
    el("colgroup", {}, el("col", { style: `width: ${names}px` }), el("col", { span: columns.length })),
    el("thead", {}, el("tr", {}, el("td"), ...columns.map((text) => el("th", {}, el("span", { text }))))), el("tbody", {}, ...body));
  const tip = el("div", { class: "tip", hidden: true });
  made.addEventListener("pointerover", ({ target }) => {
    const at = target.closest("tbody td");
    tip.hidden = !at;
    if (!at) return;
    tip.replaceChildren(...tell(Number(at.dataset.row), Number(at.dataset.column)).map((text) => el("div", { text })));
    const left = at.offsetLeft + at.offsetWidth / 2 - tip.offsetWidth / 2;
    const above = at.offsetTop - tip.offsetHeight - 6;
    tip.style.left = `${Math.max(0, Math.min(left, box.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${above < 0 ? at.offsetTop + at.offsetHeight + 6 : above}px`;
  });
  made.addEventListener("pointerleave", ({ pointerType }) => { if (pointerType === "mouse") tip.hidden = true; });
  box.replaceChildren(key(title, scale, ends), made, tip);
}
// A finger leaves what it tapped: the tip goes with the next tap beside the heatmap, or with Escape.
const dismiss = () => { for (const tip of document.querySelectorAll(".tip")) tip.hidden = true; };
document.addEventListener("pointerdown", ({ target }) => { if (!target.closest(".heat")) dismiss(); });
document.addEventListener("keydown", ({ key }) => { if (key === "Escape") dismiss(); });
