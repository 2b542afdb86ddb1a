// Numbers, tokens and elements. Text from data only ever becomes a text node or an attribute.
"use strict";

function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (value === 0) text = "0";
  else if (Number.isInteger(value) && size < 1e9) text = size < 10000 ? String(value) : value.toLocaleString("en");
  else if (size >= 1e6 || size < 0.5 * 10 ** -digits) text = value.toExponential(1).replace("e", " · 10^");
  else if (size >= 1000) text = Math.round(value).toLocaleString("en");
  else text = value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : digits);
  return text.replace("10^+", "10^").replace(/10\^(-?\d+)/, (_, power) => `10${[...power].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`).replace(/^-/, "−");
}

function cellText(neurons, column, row) {
  const value = neurons.value(column.name, row);
  if (value === null || value === "") return "";
  if (column.kind === "flag") return value ? "yes" : "no";
  if (column.kind === "text") return value;
  return number(value);
}

// An element with classes (`tag.one.two`), attributes and children; strings become text nodes.
function el(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// A table with headings; cells are strings, numbers (formatted, to the right) or elements.
function rowsTable(heads, rows, notes = []) {
  const numeric = heads.map((_, i) => rows.some((row) => typeof row[i] === "number"));
  return el("div.scroll", {}, el("table", {},
    el("thead", {}, el("tr", {}, heads.map((head, i) => el(numeric[i] ? "th.number" : "th", { title: notes[i] }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) =>
      el(numeric[i] ? "td.number" : "td", {}, typeof cell === "number" || cell === null ? number(cell) : cell)))))));
}

// A token on its own, its spaces and line ends made visible.
function visible(text) {
  return text.replace(/ /g, "·").replace(/\n/g, "↵").replace(/\t/g, "⇥").replace(/\r/g, "␍") || "∅";
}

function token(text) {
  return el("code.token", {}, visible(text));
}

function label(text) {
  return el("code", {}, text);
}

// Texts of a context keep their spaces; line ends are shown and kept short.
function inContext(text) {
  return text.replace(/\n+/g, (ends) => "↵".repeat(ends.length)).replace(/\t/g, "⇥");
}
