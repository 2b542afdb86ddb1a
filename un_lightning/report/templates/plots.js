// Plotly in the page's own colours, light or dark.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const redraws = [];
dark.addEventListener("change", () => redraws.forEach((redraw) => redraw()));

// Plotly reads some tags in text, so text from runs must not hold any.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function layout(x, y) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = (title) => ({
    title: { text: plain(title) }, gridcolor: colour("--line"), zerolinecolor: colour("--line"),
    linecolor: colour("--line"), automargin: true,
  });
  return {
    paper_bgcolor: colour("--page"), plot_bgcolor: colour("--page"), font: { color: colour("--ink"), size: 13 },
    margin: { l: 60, r: 20, t: 20, b: 50 }, xaxis: axis(x), yaxis: axis(y), showlegend: false,
    hoverlabel: { align: "left" },
  };
}

function draw(element, traces, x, y, { logarithmic = false, ...more } = {}) {
  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const page = layout(x, y);
  page.xaxis.type = logarithmic ? "log" : "-";
  return Plotly.react(element, traces, { ...page, ...more }, options);
}

function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
}
