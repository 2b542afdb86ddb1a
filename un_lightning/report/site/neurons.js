// The table of neurons: typed columns, a cached order, and only the rows in sight as elements.
"use strict";

const LINE = 27;  // pixels, as the style sheet has it

class NeuronGrid {
  constructor(neurons, root, count, chooser, onOpen) {
    Object.assign(this, { neurons, root, count, onOpen });
    this.heads = root.querySelector(".heads");
    this.room = root.querySelector(".room");
    this.lines = root.querySelector(".rows");
    this.shown = neurons.catalogue.filter((column) => column.first).map((column) => column.name);
    this.sort = this.shown.includes("excess_corr") ? "excess_corr" : null;
    this.descending = true;
    this.model = 0;
    this.text = "";
    this.rows = new Uint32Array(0);
    this.orders = new Map();
    this.chosen = 0;
    root.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    window.addEventListener("resize", () => this.draw());
    this.lines.addEventListener("click", (event) => {
      const line = event.target.closest("[data-place]");
      if (line && !event.target.closest("a")) this.onOpen(this.rows[Number(line.dataset.place)]);
    });
    this.heads.addEventListener("click", (event) => {
      const name = event.target.closest("[data-name]")?.dataset.name;
      if (name) this.sortBy(name);
    });
    this.fillChooser(chooser);
  }

  fillChooser(box) {
    for (const column of this.neurons.catalogue) {
      const check = el("input", { type: "checkbox" });
      check.checked = this.shown.includes(column.name);
      check.addEventListener("change", async () => {
        this.shown = this.neurons.catalogue.map(({ name }) => name).filter((name) => (name === column.name ? check.checked : this.shown.includes(name)));
        await this.neurons.need(this.shown);
        this.draw(true);
      });
      box.append(el("label", { title: column.note }, check, ` ${column.name}`));
    }
  }

  sortBy(name) {
    this.descending = this.sort === name ? !this.descending : this.neurons.byName.get(name)?.kind !== "text" && name !== "neuron";
    this.sort = name;
    this.filter();
  }

  // All rows of the chosen model in the chosen order, without what is missing in between.
  order() {
    const key = `${this.model} ${this.sort} ${this.descending}`;
    if (!this.orders.has(key)) {
      if (this.orders.size > 12) this.orders.clear();
      const [start, end] = this.model === null ? [0, this.neurons.rows] : this.neurons.span[this.model];
      this.orders.set(key, sorted(this.neurons, this.sort, this.descending, start, end));
    }
    return this.orders.get(key);
  }

  // Returns what is wrong with the search, or nothing.
  async filter() {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const names = this.text.split(/\s+/).map((word) => word.replace(/^!/, "").replace(/(>=|<=|!=|=|>|<).*$/, ""));
    await this.neurons.need([...this.shown, ...names, ...(this.sort ? [this.sort] : [])]);
    if (turn !== this.turn) return null;
    let tests;
    try {
      tests = compileFilter(this.neurons, this.text);
    } catch (error) {
      return error.message;
    }
    const order = this.order();
    if (tests.length === 0) this.rows = order;
    else {
      const kept = new Uint32Array(order.length);
      let count = 0;
      for (const row of order) {
        let keep = true;
        for (const test of tests) if (!test(row)) { keep = false; break; }
        if (keep) kept[count++] = row;
      }
      this.rows = kept.subarray(0, count);
    }
    this.count.textContent = `${this.rows.length.toLocaleString("en")} of ${order.length.toLocaleString("en")} neurons`;
    this.chosen = 0;
    this.root.scrollTop = 0;
    this.draw(true);
    return null;
  }

  move(step) {
    this.chosen = Math.max(0, Math.min(this.rows.length - 1, this.chosen + step));
    this.reveal();
  }

  reveal() {
    const at = this.chosen * LINE, height = this.root.clientHeight - LINE;
    if (at < this.root.scrollTop) this.root.scrollTop = at;
    if (at + LINE > this.root.scrollTop + height) this.root.scrollTop = at + LINE - height;
    this.draw();
  }

  draw(heads = false) {
    if (!this.root.clientHeight) return;
    const columns = this.shown.map((name) => this.neurons.named.get(name));
    if (heads) {
      const wide = (column) => (column.kind === "text" ? (column.name.endsWith("label") ? 12.5 : 7) : Math.max(5.3, column.name.length * 0.56 + 1.9));
      const widths = [6, ...(this.model === null ? [7] : []), ...columns.map(wide)];
      this.root.style.setProperty("--columns", `${widths.map((width) => `${width}em`).join(" ")} 1fr`);
      this.root.style.setProperty("--width", `${widths.reduce((sum, width) => sum + width, 0)}em`);
      const place = [{ name: "neuron", kind: "text", note: "layer and number" }, ...(this.model === null ? [{ name: "model", kind: "text" }] : [])];
      this.heads.replaceChildren(...[...place, ...columns].map((column) => el(column.kind === "text" ? "button" : `button.${column.kind === "flag" ? "flag" : "number"}`,
        { type: "button", "data-name": column.name, title: column.note, "aria-sort": this.sort === column.name ? (this.descending ? "descending" : "ascending") : null },
        column.name + (this.sort === column.name ? (this.descending ? " ▾" : " ▴") : ""))));
      this.room.style.height = `${this.rows.length * LINE}px`;
    }
    const first = Math.max(0, Math.floor(this.root.scrollTop / LINE) - 6);
    const last = Math.min(this.rows.length, first + Math.ceil(this.root.clientHeight / LINE) + 12);
    this.lines.style.transform = `translateY(${first * LINE}px)`;
    const lines = [];
    for (let place = first; place < last; place++) {
      const row = this.rows[place];
      const cells = [el("span", {}, el("a", { href: this.neurons.address(row) }, this.neurons.name(row)))];
      if (this.model === null) cells.push(el("span", {}, this.neurons.models[this.neurons.model[row]]));
      for (const column of columns) {
        const text = cellText(this.neurons, column, row);
        cells.push(el(column.kind === "text" ? "span" : column.kind === "flag" ? "span.flag" : "span.number", { title: column.kind === "text" ? text : null }, text));
      }
      lines.push(el(place === this.chosen ? "div.line.chosen" : "div.line", { "data-place": place, role: "row" }, cells));
    }
    this.lines.replaceChildren(...lines);
  }
}

// Rows from start to end ordered by a column; what is missing comes last both ways, ties stay in order.
function sorted(neurons, name, descending, start, end) {
  const column = name === "neuron" || !name ? null : neurons.byName.get(name);
  const rows = Uint32Array.from({ length: end - start }, (_, i) => start + i);
  if (!column) return name === "neuron" && descending ? rows.reverse() : rows;
  let keys = column.values;
  if (column.kind === "text") {
    const place = new Uint32Array(column.names.length);
    column.names.map((text, i) => [text, i]).sort((a, b) => (a[0] < b[0] ? -1 : 1)).forEach(([, i], at) => { place[i] = at; });
    keys = column.values.map((code) => place[code]);
  }
  const missing = (row) => (column.kind === "text" ? column.names[column.values[row]] === "" : column.kind === "flag" ? keys[row] < 0 : Number.isNaN(keys[row]));
  const known = rows.filter((row) => !missing(row)), rest = rows.filter(missing);
  const sign = descending ? -1 : 1;
  known.sort((a, b) => sign * (keys[a] - keys[b]) || a - b);
  rows.set(known);
  rows.set(rest, known.length);
  return rows;
}
