"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const { axes, plans } = facts;
const points = facts.points.map((row) => Object.fromEntries(facts.names.map((name, at) => [name, row[at]])));

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

/* Paper has no folds. */
const folded = new Set();
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) { folded.add(one); one.open = true; }
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
  folded.clear();
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
function say(point, axis) {
  const cost = point[axis].toFixed(2);
  return `${point.run}: ${point.artifact} on ${point.runtime}, ${point.top1.toFixed(2)} %, ${cost} ${axes[axis]}`;
}
function mark(parent, kind, [x, y], attributes) {
  return draw(parent, "path", { d: facts.marks[kind], transform: `translate(${x} ${y})`, ...attributes });
}
const colour = (point) => `var(--c${facts.colours.indexOf(point[facts.by]) % facts.shades})`;
function chart() {
  const axis = document.getElementById("axis").value;
  const place = document.getElementById("chart");
  const [all, near] = plans[axis];
  const plan = (document.getElementById("near").checked && near) || all;
  document.getElementById("nearby").hidden = !near;
  place.replaceChildren();
  if (!plan) {
    place.textContent = facts.nothing[axis];
    return;
  }
  const there = plan.shown.map((at) => points[at]);
  const narrow = innerWidth < 600;
  const [width, height, left, bottom] = narrow ? [420, 380, 44, 44] : [1000, 460, 56, 48];
  const right = 24; // holds the half of the last number that stands over the edge
  const svg = draw(place, "svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Accuracy against ${axes[axis]}` });
  const share = ({ low, high }, value) => (value - low) / (high - low);
  const X = (value) => left + share(plan.across, value) * (width - left - right);
  const Y = (value) => height - bottom - share(plan.up, value) * (height - bottom - 10);
  const line = (on) => on.map((point) => `${X(point[axis])},${Y(point.top1)}`).join(" ");
  plan.across.ticks.forEach((at, number) => {
    draw(svg, "line", { class: "grid", x1: X(at), x2: X(at), y1: 10, y2: height - bottom });
    if (!narrow || number % 2 === 0) draw(svg, "text", { x: X(at), y: height - bottom + 18, "text-anchor": "middle" }, at);
  });
  for (const at of plan.up.ticks) {
    draw(svg, "line", { class: "grid", x1: left, x2: width - right, y1: Y(at), y2: Y(at) });
    draw(svg, "text", { x: left - 6, y: Y(at) + 4, "text-anchor": "end" }, at);
  }
  draw(svg, "text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, axes[axis]);
  draw(svg, "text", { x: 14, y: height / 2, transform: `rotate(-90 14 ${height / 2})`, "text-anchor": "middle" }, facts.up);
  const paths = {};
  for (const point of there) (paths[point.path] ??= []).push(point);
  for (const on of Object.values(paths)) {
    if (on.length > 1) draw(svg, "polyline", { class: "path", points: line(on), stroke: colour(on[0]) });
  }
  draw(svg, "polyline", { class: "front", points: line(plan.front.map((at) => points[at])) });
  const tip = document.createElement("p");
  tip.id = "tip";
  const marks = [];
  tip.setAttribute("aria-hidden", "true"); // the points' own names say the same
  for (const point of there) {
    const [x, y] = [X(point[axis]), Y(point.top1)];
    const interval = point[`${axis}_ci`];
    if (interval) {
      const [x1, x2] = interval.map(X);
      draw(svg, "line", { class: "bar", stroke: colour(point), x1, x2, y1: y, y2: y });
    }
    if (point.top1_ci) {
      const [y1, y2] = point.top1_ci.map(Y);
      draw(svg, "line", { class: "bar", stroke: colour(point), x1: x, x2: x, y1, y2 });
    }
    const text = say(point, axis);
    const made = mark(svg, point.kind, [x, y], { class: "point", fill: colour(point), tabindex: -1, role: "img", "aria-label": text });
    for (const event of ["focus", "mouseenter"]) made.addEventListener(event, () => { tip.textContent = text; });
    marks.push([point[axis], made]);
  }
  walk(svg, marks.sort(([one], [other]) => one - other).map(([, made]) => made));
  const lost = document.createElement("p");
  lost.className = "note";
  lost.textContent = plan.lost;
  place.append(tip, key(there), lost);
}
/* One stop of the Tab key; the arrows go from point to point, by cost. */
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
function walk(svg, marks) {
  marks[0].setAttribute("tabindex", 0);
  svg.addEventListener("keydown", (event) => {
    const next = marks[marks.indexOf(event.target) + STEPS[event.key]];
    if (!next) return;
    event.preventDefault();
    event.target.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}
function key(there) {
  const list = document.createElement("ul");
  list.className = "key";
  const entries = [
    ...facts.colours.map((name, at) => [name, "final", `var(--c${at % facts.shades})`])
      .filter(([name]) => there.some((point) => point[facts.by] === name)).slice(0, facts.named),
    ...Object.keys(facts.kinds).filter((kind) => there.some((point) => point.kind === kind)).map((kind) => [facts.kinds[kind], kind, "var(--soft)"]),
  ];
  for (const [name, kind, fill] of entries) {
    const item = document.createElement("li");
    mark(draw(item, "svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }), kind, [8, 8], { fill });
    item.append(name);
    list.append(item);
  }
  return list;
}
for (const control of ["axis", "near"]) document.getElementById(control).addEventListener("change", chart);
addEventListener("resize", chart);
chart();
