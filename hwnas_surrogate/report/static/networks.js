// The explorer's networks: those of the table first, then others of the space; their costs, measured or predicted.
const NETWORKS = DATA.networks;
const N = NETWORKS.n;
const ARCHS = once(() => NETWORKS.archs ? decode(NETWORKS.archs, Int8Array) : null);
const INDEX = once(() => NETWORKS.index ? decode(NETWORKS.index, Int32Array) : null);
const CONFIG = once(() => NETWORKS.config_number ? decode(NETWORKS.config_number, Int32Array) : null);
const MACS = once(() => decode(NETWORKS.macs, Float32Array));
const ALL_MACS = once(() => NETWORKS.all_macs ? decode(NETWORKS.all_macs, Float32Array) : null);
const QUALITY = once(() => NETWORKS.quality ? decode(NETWORKS.quality.values, Float32Array) : null);
// Networks without a path from input to output: nothing that they compute depends on what they are given.
const CUT_OFF = new Set(NETWORKS.cut_off);
const POSITIONS = NETWORKS.ops_at.length;

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024));
}
// A target's costs, with the bounds of their intervals: those of a measured cost are the cost itself.
const COSTED = TARGETS.map((_, i) => once(() => {
  const values = new Float32Array(N).fill(NaN);
  values.set(COSTS[i]());
  const low = values.slice(), high = values.slice();
  const made = NETWORKS.predicted[i];
  if (made.values) {
    const [predicted, below, above] = [decode(made.values, Float32Array), decode(made.low, Uint16Array), decode(made.high, Uint16Array)];
    const rows = made.rows ? decode(made.rows, Int32Array) : null;
    for (let k = 0; k < predicted.length; k++) {
      const row = rows ? rows[k] : NETWORKS.measured + k;
      values[row] = predicted[k];
      low[row] = predicted[k] * half(below[k]);
      high[row] = predicted[k] * half(above[k]);
    }
  }
  return { values, low, high };
}));
const isMeasured = (i, row) => row < NETWORKS.measured && !Number.isNaN(COSTS[i]()[row]);
function whyNone(i, row) {
  const reason = row < NETWORKS.measured && REASONS[i]() ? DATA.reasons[REASONS[i]()[row]] : "";
  if (reason && reason !== DATA.reasons[1]) return reason;
  if (NETWORKS.predicted[i].values) return "predicted not to run on the device";
  return `not measured, and not predicted${NETWORKS.predicted[i].why ? `: ${NETWORKS.predicted[i].why}` : ""}`;
}
function costText(i, row, digits = 4) {
  const { values, low, high } = COSTED[i]();
  if (Number.isNaN(values[row])) return `none: ${whyNone(i, row)}`;
  const unit = `\u00a0${TARGETS[i].unit}`;
  if (isMeasured(i, row)) return `${figure(values[row], digits)}${unit}, measured`;
  const bounds = Number.isNaN(low[row]) ? "" : ` (${figure(low[row], 3)}\u00a0to\u00a0${high[row] === Infinity ? "∞" : figure(high[row], 3)})`;
  return `${figure(values[row], digits)}${unit}${bounds}, predicted`;
}

// What an axis shows, or what the best network is best by.
const LIVE = NETWORKS.all_macs ? "live multiply-adds" : "multiply-adds";
function quantity(key) {
  if (key === "macs") return { key, title: `${LIVE} (millions)`, unit: "million", values: MACS(), better: 1, name: LIVE };
  if (key === "quality") return { key, title: NETWORKS.quality.name, unit: "", values: QUALITY(), better: 1, name: NETWORKS.quality.name };
  const t = TARGETS[Number(key)];
  const bounds = COSTED[Number(key)]();
  return { key, title: `${t.metric.replace(/_/g, " ")} on ${t.device} (${t.unit})`, unit: t.unit, values: bounds.values, better: t.better, name: t.name, target: Number(key), bounds };
}
const inUnit = (a, value, digits = 4) => `${figure(value, digits)}${a.unit ? `\u00a0${a.unit}` : ""}`;

// Names and numbers.
function archText(row) {
  if (NETWORKS.texts) return NETWORKS.texts[row];
  let text = NETWORKS.pieces[0];
  for (let i = 0; i < POSITIONS; i++) text += NETWORKS.ops_at[i][ARCHS()[row * POSITIONS + i]] + NETWORKS.pieces[i + 1];
  return text;
}
const numberOf = (row) => INDEX() ? INDEX()[row] : row;
const numberName = INDEX() ? "index" : "number on this page";
const shortName = (row) => NETWORKS.archs ? `${INDEX() ? "index" : "no."} ${numberOf(row)}` : archText(row);
const configText = (row) => CONFIG() ? NETWORKS.configs[CONFIG()[row]] : "";

// All rows that a text stands for: an index (or the number of a row), a string, or a part of strings.
const TEXTS = once(() => Array.from({ length: N }, (_, row) => archText(row)));
function found(wanted) {
  const text = wanted.trim().toLowerCase();
  if (!text) return [];
  const rows = [];
  if (/^\d+$/.test(text) && NETWORKS.archs) for (let row = 0; row < N; row++) if (numberOf(row) === Number(text)) rows.push(row);
  if (rows.length) return rows;
  const texts = TEXTS();
  for (let row = 0; row < N; row++) if (texts[row].toLowerCase() === text) rows.push(row);
  if (!rows.length) for (let row = 0; row < N; row++) if (texts[row].toLowerCase().includes(text)) rows.push(row);
  return rows;
}

// Networks that differ in one op: their rows, or undefined where they are not on this page.
const rowKey = (archs, start, config) => `${archs.slice(start, start + POSITIONS).join()};${config}`;
const ROW_OF = once(() => {
  const rows = new Map();
  for (let row = 0; row < N; row++) rows.set(rowKey(ARCHS(), row * POSITIONS, configText(row)), row);
  return rows;
});
function neighbour(row, position, op) {
  const ops = ARCHS().slice(row * POSITIONS, (row + 1) * POSITIONS);
  ops[position] = op;
  return ROW_OF().get(rowKey(ops, 0, configText(row)));
}
// What a changed op adds to a cost: exact where the neighbour is on this page, otherwise by the ops' mean effects.
function change(row, position, op, a) {
  const other = neighbour(row, position, op);
  if (other !== undefined) return { by: a.values[other] - a.values[row], other, exact: true };
  const own = NETWORKS.effects[a.key]?.ops[position];
  return { by: own ? (own[op] ?? NaN) - (own[ARCHS()[row * POSITIONS + position]] ?? NaN) : NaN, exact: false };
}

// Where the cost of a network comes from: pairs of a name and a share, or null.
function partsOf(row, i) {
  const shares = NETWORKS.shares[i]?.[row];
  if (shares) return shares;
  const effects = NETWORKS.effects[i];
  if (!effects) return null;
  const ops = ARCHS().slice(row * POSITIONS, (row + 1) * POSITIONS);
  const parts = [["fixed part", Math.max(0, effects.fixed)]];
  ops.forEach((op, p) => parts.push([`${NETWORKS.positions[p]}: ${NETWORKS.ops_at[p][op]}`, effects.ops[p][op] ?? 0]));
  const total = parts.reduce((sum, [, cost]) => sum + cost, 0);
  return total > 0 ? parts.map(([name, cost]) => [name, cost / total]) : null;
}
