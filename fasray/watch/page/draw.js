// Elements, and the learning curves of a cell. Text goes into a page as text only, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";
export const MOST_CURVES = 80;

/** Make an element. `traits`: `text`, `on` (handlers by event), or attributes; what is null or false is left out. */
export function el(tag, traits = {}, ...children) {
  return fill(document.createElement(tag), traits, children);
}

function svg(tag, traits = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), traits, children);
}

function fill(node, traits, children) {
  for (const [name, value] of Object.entries(traits)) {
    if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Say a text, if it is another than before: what is the same is left alone, so that a selection stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  return node;
}

/** Make the children of a node those of `items`, by key: nodes of items that are still there stay the same. */
export function reconcile(parent, items, key, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = known.get(name);
    if (node) known.delete(name);
    else {
      node = make(item);
      node.dataset.key = name;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const node of known.values()) node.remove();
}

export function percent(value, digits = 1) {
  return value === null ? "-" : `${(100 * value).toFixed(digits)} %`;
}

export function duration(seconds) {
  if (seconds === null) return "-";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** The class of a curve: confirming runs, and search trials by what became of them. */
export function look(trial) {
  if (trial.status === "failed" || trial.status === "diverged") return "bad";
  if (trial.stage !== "search") return trial.status === "running" ? "confirm-running" : "confirm";
  return trial.status === "stopped" ? "stopped" : `search-${trial.status}`;
}

/** Draw source-dev AUC over steps; `trials` are those of one cell, the most important last, on top; `width` in pixels. */
export function curves(trials, rungs, label, width) {
  const [height, left, right, top, bottom] = [Math.max(210, width * 0.45), 34, 8, 10, 34];
  const points = trials.map((trial) => pairs(trial.curve));
  const all = points.flat();
  const most = Math.max(1, ...trials.map((trial) => trial.total));
  const values = all.map(([, value]) => value);
  const [low, high] = range(values);
  const x = (step) => left + ((width - left - right) * step) / most;
  const y = (value) => height - bottom - ((height - top - bottom) * (value - low)) / (high - low);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  for (let n = 0; n <= 4; n += 1) {
    const value = low + ((high - low) * n) / 4;
    drawn.append(
      svg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end", text: (100 * value).toFixed(high - low < 0.08 ? 1 : 0) }),
    );
  }
  for (let n = 0; n <= 4; n += 1) {
    const step = Math.round((most * n) / 4);
    drawn.append(svg("text", { x: x(step), y: height - bottom + 16, "text-anchor": n === 4 ? "end" : n ? "middle" : "start", text: step }));
  }
  drawn.append(svg("text", { x: width - right, y: height - 3, "text-anchor": "end", text: "optimizer steps" }));
  for (const rung of rungs) drawn.append(svg("line", { class: "rung", x1: x(rung), x2: x(rung), y1: top, y2: height - bottom }));
  trials.forEach((trial, n) => {
    if (!points[n].length) return;
    const line = points[n].map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    const [step, value] = points[n].at(-1);
    const title = `trial ${trial.number}, ${trial.stage}, ${trial.status}: ${percent(value, 2)} at step ${step}`;
    drawn.append(
      svg("polyline", { class: look(trial), points: line.join(" ") }, svg("title", { text: title })),
      svg("circle", { class: look(trial), cx: x(step), cy: y(value), r: 2.6 }, svg("title", { text: title })),
    );
  });
  return drawn;
}

function pairs(curve) {
  const found = [];
  for (let n = 0; n < curve.length; n += 2) if (curve[n + 1] !== null) found.push([curve[n], curve[n + 1]]);
  return found;
}

function range(values) {
  if (!values.length) return [0.5, 1];
  const low = values.reduce((one, other) => Math.min(one, other));
  const high = values.reduce((one, other) => Math.max(one, other));
  const pad = Math.max(0.01, (high - low) * 0.06);
  return [Math.max(0, low - pad), Math.min(1, high + pad)];
}
