"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const { axes } = facts;
const points = facts.points.map((row) => Object.fromEntries(facts.names.map((name, at) => [name, row[at]])));
const NAMES = { float: "untouched", step: "a step", final: "result", rival: "another tool" };

/* Tables: a press on a heading sorts by it. */
const number = (text) => { const found = /-?\d+(\.\d+)?/.exec(text); return found ? Number(found[0]) : null; };
function order(table, column, rising) {
  const rows = [...table.tBodies[0].rows];
  const text = (row) => row.cells[column].textContent;
  const numeric = rows.some((row) => /^-?\d/.test(text(row)));
  rows.sort((a, b) => {
    if (!numeric) return rising * text(a).localeCompare(text(b));
    const [x, y] = [number(text(a)), number(text(b))];
    if (x === null || y === null) return (x === null) - (y === null); // what was not measured stands last
    return rising * (x - y);
  });
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const rising = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", rising > 0 ? "ascending" : "descending");
      order(table, column, rising);
    });
  });
}

/* The results: filtered by words, and copied as they are shown. */
const results = document.getElementById("results");
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  for (const row of results.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
});
const FORMS = {
  markdown: (rows) => {
    const lines = rows.map((row) => `| ${row.map((cell) => cell.replace(/[\\|`*<>[\]]/g, "\\$&")).join(" | ")} |`);
    lines.splice(1, 0, `| ${rows[0].map(() => "---").join(" | ")} |`);
    return lines.join("\n");
  },
  csv: (rows) => rows.map((row) => row.map((cell) => `"${cell.replace(/"/g, '""')}"`).join(",")).join("\n"),
};
function shown() {
  const rows = [results.tHead.rows[0], ...results.tBodies[0].rows].filter((row) => !row.hidden);
  return rows.map((row) => [...row.cells].map((cell) => cell.textContent));
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const said = document.getElementById("said");
    try {
      await navigator.clipboard.writeText(FORMS[button.dataset.copy](shown()) + "\n");
      said.textContent = "Copied.";
    } catch (refusal) {
      said.textContent = `The browser does not let this page copy (${refusal.name}).`;
    }
  });
}

/* Dark or light: the system's choice, until the reader makes one. */
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

/* The chart. */
const SVG = "http://www.w3.org/2000/svg";
function draw(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + 1e-9; at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}
function range(values, least) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * 0.06, least);
  return [low - room, high + room];
}
function say(point, axis) {
  const cost = point[axis].toFixed(2);
  return `${point.run}: ${point.artifact} on ${point.runtime}, ${point.top1.toFixed(2)} %, ${cost} ${axes[axis]}`;
}
function mark(parent, point, x, y, attributes) {
  const shapes = {
    float: ["rect", { x: x - 5, y: y - 5, width: 10, height: 10 }],
    step: ["circle", { cx: x, cy: y, r: 4 }],
    final: ["circle", { cx: x, cy: y, r: 7 }],
    rival: ["path", { d: `M${x} ${y - 7}L${x + 7} ${y + 6}L${x - 7} ${y + 6}Z` }],
  };
  const [name, own] = shapes[point.kind];
  return draw(parent, name, { ...own, class: "point", ...attributes });
}
function front(shownPoints, axis) {
  const sorted = [...shownPoints].sort((a, b) => a[axis] - b[axis] || b.top1 - a.top1);
  let best = -Infinity;
  return sorted.filter((point) => (point.top1 > best ? ((best = point.top1), true) : false));
}
function chart() {
  const axis = document.getElementById("axis").value;
  const place = document.getElementById("chart");
  place.replaceChildren();
  const there = points.filter((point) => point.top1 !== null && point[axis] !== null);
  if (!there.length) {
    place.textContent = `Nothing to draw: no artifact has both accuracy and ${axes[axis]}.`;
    return;
  }
  const narrow = innerWidth < 600;
  const [width, height, left, bottom] = narrow ? [420, 380, 44, 44] : [1000, 460, 56, 48];
  const svg = draw(place, "svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Accuracy against ${axes[axis]}` });
  const spans = (point) => (axis === "latency" && point.latency_ci) || [point[axis], point[axis]];
  const [x0, x1] = range(there.flatMap(spans), 1e-3);
  const [y0, y1] = range(there.flatMap((point) => point.top1_ci || [point.top1]), 0.5);
  const X = (value) => left + ((value - x0) / (x1 - x0)) * (width - left - 10);
  const Y = (value) => height - bottom - ((value - y0) / (y1 - y0)) * (height - bottom - 10);
  for (const at of ticks(x0, x1, narrow ? 4 : 8)) {
    draw(svg, "line", { class: "grid", x1: X(at), x2: X(at), y1: 10, y2: height - bottom });
    draw(svg, "text", { x: X(at), y: height - bottom + 18, "text-anchor": "middle" }, at);
  }
  for (const at of ticks(y0, y1, 6)) {
    draw(svg, "line", { class: "grid", x1: left, x2: width - 10, y1: Y(at), y2: Y(at) });
    draw(svg, "text", { x: left - 6, y: Y(at) + 4, "text-anchor": "end" }, at);
  }
  draw(svg, "text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, axes[axis]);
  draw(svg, "text", { x: 14, y: height / 2, transform: `rotate(-90 14 ${height / 2})`, "text-anchor": "middle" }, "top-1 (%)");
  const runtimes = [...new Set(there.map((point) => point.runtime))];
  const runs = [...new Set(there.map((point) => point.run))];
  const colours = runs.length > 1 ? runs : runtimes;
  const colour = (point) => `var(--c${colours.indexOf(runs.length > 1 ? point.run : point.runtime) % 8})`;
  for (const path of new Set(there.map((point) => point.path))) {
    const on = there.filter((point) => point.path === path);
    const line = on.map((point) => `${X(point[axis])},${Y(point.top1)}`).join(" ");
    if (on.length > 1) draw(svg, "polyline", { class: "path", points: line, stroke: colour(on[0]) });
  }
  const best = front(there, axis).map((point) => `${X(point[axis])},${Y(point.top1)}`).join(" ");
  draw(svg, "polyline", { class: "front", points: best });
  const tip = document.createElement("p");
  tip.id = "tip";
  tip.setAttribute("aria-hidden", "true"); // the points' own names say the same
  for (const point of there) {
    const [x, y] = [X(point[axis]), Y(point.top1)];
    const [low, high] = spans(point).map(X);
    draw(svg, "line", { class: "bar", stroke: colour(point), x1: low, x2: high, y1: y, y2: y });
    if (point.top1_ci) {
      const [bottomY, topY] = point.top1_ci.map(Y);
      draw(svg, "line", { class: "bar", stroke: colour(point), x1: x, x2: x, y1: bottomY, y2: topY });
    }
    const text = say(point, axis);
    const made = mark(svg, point, x, y, { fill: colour(point), tabindex: 0, role: "img", "aria-label": text });
    draw(made, "title", {}, text);
    for (const event of ["focus", "mouseenter"]) made.addEventListener(event, () => { tip.textContent = text; });
  }
  place.append(tip, key(there, colours, colour, runs.length > 1 ? "run" : "runtime"));
}
function key(there, colours, colour, by) {
  const list = document.createElement("ul");
  list.className = "key";
  const entries = [
    ...colours.slice(0, 24).map((name) => [name, { kind: "final" }, colour(there.find((point) => point[by] === name))]),
    ...[...new Set(there.map((point) => point.kind))].map((kind) => [NAMES[kind], { kind }, "var(--soft)"]),
  ];
  for (const [name, point, fill] of entries) {
    const item = document.createElement("li");
    mark(draw(item, "svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }), point, 8, 8, { fill, class: "sign" });
    item.append(name);
    list.append(item);
  }
  return list;
}
document.getElementById("axis").addEventListener("change", chart);
addEventListener("resize", chart);
chart();
