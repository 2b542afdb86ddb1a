// Small charts in SVG, coloured by the style sheet.
"use strict";

const WIDTH = 400, HEIGHT = 180, LEFT = 46, BOTTOM = 34, TOP = 10, RIGHT = 12;

function svg(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted || 1, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

function tickText(value) {
  return Number(value.toPrecision(6)).toString().replace(/^-/, "−");
}

// Axes over ranges, with functions that place values.
function frame(xs, ys, xTitle, yTitle, describe) {
  const spread = ([low, high]) => (high > low ? [low, high] : [low - 0.5, high + 0.5]);
  const [x0, x1] = spread(xs), [y0, y1] = spread(ys);
  const x = (value) => LEFT + ((value - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - BOTTOM - TOP);
  const root = svg("svg.chart", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe ?? `${yTitle} over ${xTitle}` });
  for (const at of ticks(y0, y1, 4)) {
    root.append(svg("line.gridline", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(at), y2: y(at) }),
      svg("text.tick", { x: LEFT - 5, y: y(at) + 3.5, "text-anchor": "end" }, tickText(at)));
  }
  for (const at of ticks(x0, x1)) root.append(svg("text.tick", { x: x(at), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, tickText(at)));
  root.append(svg("line.axis", { x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }),
    svg("text.title", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, xTitle),
    svg("text.title", { x: -(TOP + HEIGHT - BOTTOM) / 2, y: 11, transform: "rotate(-90)", "text-anchor": "middle" }, yTitle));
  return { root, x, y };
}

// Histograms over the same bins, each as a share of its own total.
function histogram({ range: [low, high], counts, outside }, names, xTitle) {
  const width = (high - low) / counts[0].length;
  const totals = counts.map((own, i) => own.reduce((a, b) => a + b, 0) + outside[i][0] + outside[i][1]);
  const shares = counts.map((own, i) => own.map((count) => (totals[i] ? (100 * count) / totals[i] : 0)));
  const top = Math.max(...shares.flat(), 1e-9);
  const { root, x, y } = frame([low, high], [0, top], xTitle, "% of tokens");
  shares.forEach((own, i) => {
    const path = own.map((share, bin) => `L${x(low + bin * width)},${y(share)}L${x(low + (bin + 1) * width)},${y(share)}`).join("");
    root.append(svg(`path.area.series${i}`, { d: `M${x(low)},${y(0)}${path}L${x(high)},${y(0)}Z` }));
  });
  if (low < 0 && high > 0) root.append(svg("line.zero", { x1: x(0), x2: x(0), y1: TOP, y2: HEIGHT - BOTTOM }));
  return el("figure", {}, root, names.length > 1 ? legend(names.map((name, i) => `${name}: ${totals[i].toLocaleString("en")} tokens`)) : el("figcaption", {}, `${totals[0].toLocaleString("en")} tokens`));
}

function legend(names) {
  return el("figcaption", {}, names.map((name, i) => el("span.key", {}, el(`i.series${i}`), name)));
}

// A curve with an interval: points [x, y, low, high].
function curve(points, xTitle, yTitle) {
  const known = points.filter((point) => point.every((value) => value !== null));
  if (!known.length) return null;
  const ys = known.flatMap((point) => point.slice(1));
  const { root, x, y } = frame([Math.min(...known.map((p) => p[0])), Math.max(...known.map((p) => p[0]))], [Math.min(0, ...ys), Math.max(0, ...ys)], xTitle, yTitle);
  const line = (side) => known.map((point) => `${x(point[0])},${y(point[side])}`);
  if (known[0].length > 2) root.append(svg("polygon.band", { points: [...line(2), ...line(3).reverse()].join(" ") }));
  root.append(svg("line.zero", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(0), y2: y(0) }), svg("polyline.curve", { points: line(1).join(" ") }));
  if (known.length < 40) root.append(...known.map((point) => svg("circle.dot", { cx: x(point[0]), cy: y(point[1]), r: 2.6 })));
  return el("figure", {}, root);
}

function scatter(points, xTitle, yTitle) {
  const range = (side) => [Math.min(...points.map((p) => p[side])), Math.max(...points.map((p) => p[side]))];
  const { root, x, y } = frame(range(0), range(1), xTitle, yTitle);
  root.append(...points.map((point) => svg("circle.point", { cx: x(point[0]), cy: y(point[1]), r: 1.7 })));
  return el("figure", {}, root);
}
