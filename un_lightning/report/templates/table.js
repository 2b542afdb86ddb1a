// A table of neurons: packed columns, sorted and filtered here, of which only the rows in sight are drawn.
"use strict";

const ROW = 26;  // pixels, as the style sheet has it

function unpack(packed) {
  const types = { number: Float32Array, integer: Int32Array, flag: Int8Array, text: Uint16Array };
  const columns = packed.columns.map(({ name, kind, data, names }) => {
    const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
    return { name, kind, names, values: new types[kind](bytes.buffer) };
  });
  return { rows: packed.rows, columns, byName: new Map(columns.map((column) => [column.name, column])) };
}

function shown(column, row) {
  const value = column.values[row];
  if (column.kind === "text") return column.names[value];
  if (column.kind === "flag") return value < 0 ? "" : value ? "yes" : "no";
  if (column.kind === "integer") return String(value);
  return Number.isNaN(value) ? "" : Number(value.toPrecision(5)).toString();
}

// What a filter asks for: `L3.217`, `L3`, `column>0.5`, `column=text`, `flag`, `!flag`, or words in a text column.
function compileFilter(table, text) {
  const tests = [];
  for (const word of text.trim().split(/\s+/).filter(Boolean)) {
    const place = /^L(\d+)(?:\.(\d+))?$/i.exec(word);
    const compared = /^(.+?)(>=|<=|!=|=|>|<)(.*)$/.exec(word);
    if (place && table.byName.has("layer")) {
      const layer = table.byName.get("layer").values, neuron = table.byName.get("neuron").values;
      const wanted = Number(place[1]), unit = place[2] === undefined ? null : Number(place[2]);
      tests.push((row) => layer[row] === wanted && (unit === null || neuron[row] === unit));
    } else if (compared) {
      tests.push(comparison(table, compared[1], compared[2], compared[3]));
    } else if (table.byName.get(word.replace(/^!/, ""))?.kind === "flag") {
      const { values } = table.byName.get(word.replace(/^!/, "")), wanted = word.startsWith("!") ? 0 : 1;
      tests.push((row) => values[row] === wanted);
    } else {
      const texts = table.columns.filter((column) => column.kind === "text");
      const part = word.toLowerCase();
      const hits = texts.map((column) => column.names.map((name) => name.toLowerCase().includes(part)));
      if (!hits.some((names) => names.some(Boolean))) throw new Error(`nothing is called "${word}"`);
      tests.push((row) => texts.some((column, i) => hits[i][column.values[row]]));
    }
  }
  return tests;
}

function comparison(table, name, sign, text) {
  const column = table.byName.get(name);
  if (!column) throw new Error(`there is no column "${name}"`);
  const { values } = column;
  if (column.kind === "text") {
    if (sign !== "=" && sign !== "!=") throw new Error(`"${name}" holds text: use = or !=`);
    const wanted = column.names.map((each) => (each === text) === (sign === "="));
    return (row) => wanted[values[row]];
  }
  const bound = { yes: 1, true: 1, no: 0, false: 0 }[text.toLowerCase()] ?? Number(text);
  if (text === "" || Number.isNaN(bound)) throw new Error(`"${text}" is no number`);
  const tests = {
    ">": (row) => values[row] > bound, "<": (row) => values[row] < bound,
    ">=": (row) => values[row] >= bound, "<=": (row) => values[row] <= bound,
    "=": (row) => values[row] === Math.fround(bound), "!=": (row) => values[row] !== Math.fround(bound),
  };
  return tests[sign];
}

function sortRows(rows, column, descending) {
  const { values } = column;
  const rank = column.kind === "text"
    ? column.names.map((name, i) => [name, i]).sort((a, b) => (a[0] < b[0] ? -1 : 1)).reduce((r, [, i], at) => ((r[i] = at), r), [])
    : null;
  const sign = descending ? -1 : 1;
  const missing = (value) => Number.isNaN(value) || (column.kind === "flag" && value < 0);
  return rows.sort((a, b) => {
    const x = rank ? rank[values[a]] : values[a], y = rank ? rank[values[b]] : values[b];
    if (missing(x) || missing(y)) return missing(x) - missing(y) || a - b;  // the empty ones come last both ways
    return x === y ? a - b : sign * (x < y ? -1 : 1);
  });
}

class NeuronTable {
  constructor(root, packed, onChange = () => {}) {
    this.root = root;
    this.table = unpack(packed);
    this.onChange = onChange;
    this.order = null;
    this.descending = true;
    this.chosen = null;
    this.hidden = new Set();
    this.input = root.querySelector("input[type=search]");
    this.viewport = root.querySelector(".viewport");
    this.head = this.viewport.querySelector("thead tr");
    this.body = this.viewport.querySelector("tbody");
    this.input.addEventListener("input", () => this.filter());
    this.viewport.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    this.chooser();
    this.heading();
    this.filter();
  }

  get columns() {
    return this.table.columns.filter((column) => !this.hidden.has(column.name));
  }

  chooser() {
    const box = this.root.querySelector(".columns");
    for (const column of this.table.columns) {
      const label = document.createElement("label"), check = document.createElement("input");
      check.type = "checkbox";
      check.checked = true;
      check.addEventListener("change", () => {
        check.checked ? this.hidden.delete(column.name) : this.hidden.add(column.name);
        this.heading();
        this.draw();
      });
      label.append(check, ` ${column.name}`);
      box.append(label);
    }
  }

  heading() {
    this.head.replaceChildren(...this.columns.map((column) => {
      const cell = document.createElement("th");
      const sign = this.order === column.name ? (this.descending ? " ▾" : " ▴") : "";
      cell.textContent = column.name + sign;
      cell.title = `sort by ${column.name}`;
      cell.tabIndex = 0;
      if (column.kind !== "text") cell.className = "number";
      cell.style.width = `${Math.max(70, Math.min(230, 22 + 8.2 * (column.name.length + 2)))}px`;
      const sort = () => this.sortBy(column.name);
      cell.addEventListener("click", sort);
      cell.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
      return cell;
    }));
    const width = [...this.head.children].reduce((sum, cell) => sum + parseFloat(cell.style.width), 0);
    this.viewport.querySelector("table").style.width = `${width}px`;
  }

  sortBy(name) {
    this.descending = this.order === name ? !this.descending : true;
    this.order = name;
    this.heading();
    this.filter();
  }

  filter() {
    const problem = this.root.querySelector(".problem");
    let tests = [];
    problem.textContent = "";
    try {
      tests = compileFilter(this.table, this.input.value);
    } catch (error) {
      problem.textContent = error.message;
      return;
    }
    const rows = [];
    for (let row = 0; row < this.table.rows; row++) {
      if (tests.every((test) => test(row))) rows.push(row);
    }
    this.rows = this.order ? sortRows(rows, this.table.byName.get(this.order), this.descending) : rows;
    this.root.querySelector(".count").textContent =
      `${rows.length.toLocaleString("en")} of ${this.table.rows.toLocaleString("en")} neurons`;
    this.viewport.scrollTop = 0;
    this.draw();
    this.onChange(this);
  }

  choose(row) {
    this.chosen = row;
    const place = this.rows.indexOf(row);
    if (place >= 0) this.viewport.scrollTop = Math.max(0, (place - 5) * ROW);
    this.draw();
  }

  draw() {
    const columns = this.columns;
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / ROW) - 8);
    const last = Math.min(this.rows.length, first + Math.ceil(this.viewport.clientHeight / ROW) + 18);
    const lines = [this.spacer(first)];
    for (const row of this.rows.slice(first, last)) {
      const line = document.createElement("tr");
      if (row === this.chosen) line.className = "chosen";
      line.dataset.row = row;
      for (const column of columns) {
        const cell = document.createElement("td");
        cell.textContent = shown(column, row);
        if (column.kind !== "text") cell.className = "number";
        line.append(cell);
      }
      lines.push(line);
    }
    lines.push(this.spacer(this.rows.length - last));
    this.body.replaceChildren(...lines);
  }

  spacer(rows) {
    const line = document.createElement("tr"), cell = document.createElement("td");
    cell.colSpan = Math.max(1, this.columns.length);
    cell.style.cssText = `height:${rows * ROW}px;padding:0;border:0`;
    line.append(cell);
    return line;
  }
}
