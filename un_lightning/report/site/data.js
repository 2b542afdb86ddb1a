// Data files are scripts that call `receive`, because a page from a folder may load scripts and nothing else.
"use strict";

const waiting = new Map();  // file name -> { promise, resolve }
const KEPT = 24;  // files of details that are kept
const recent = [];

function receive(name, content) {
  waiting.get(name)?.resolve(content);
}

function load(name) {
  if (!waiting.has(name)) {
    const entry = {};
    entry.promise = new Promise((resolve, reject) => {
      entry.resolve = resolve;
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      script.onload = () => script.remove();
      script.onerror = () => {
        script.remove();
        waiting.delete(name);
        reject(new Error(`the file data/${name}.js cannot be read`));
      };
      document.head.append(script);
    });
    waiting.set(name, entry);
  }
  return waiting.get(name).promise;
}

// All neurons: model, layer and number of every row, and columns as they are asked for.
class Neurons {
  constructor(index) {
    Object.assign(this, index);
    this.rows = index.layers.reduce((sum, { count }) => sum + count, 0);
    const model = new Uint8Array(this.rows), layer = new Int32Array(this.rows), neuron = new Int32Array(this.rows);
    this.blocks = index.models.map(() => new Map());  // by model and layer
    this.span = index.models.map(() => [this.rows, 0]);  // rows of each model
    let row = 0;
    for (const each of index.layers) {
      each.first = row;
      this.blocks[each.model].set(each.layer, each);
      this.span[each.model] = [Math.min(this.span[each.model][0], row), row + each.count];
      for (let i = 0; i < each.count; i++, row++) {
        model[row] = each.model;
        layer[row] = each.layer;
        neuron[row] = each.neurons ? each.neurons[i] : i;
      }
    }
    this.columns = [
      { name: "model", kind: "text", values: model, names: index.models },
      { name: "layer", kind: "integer", values: layer },
      { name: "neuron", kind: "integer", values: neuron },
    ];
    this.catalogue = index.columns.map((column, place) => ({ ...column, file: `column-${place}` }));
    this.named = new Map(this.catalogue.map((column) => [column.name, column]));
    this.byName = new Map(this.columns.map((column) => [column.name, column]));
    [this.model, this.layer, this.neuron] = [model, layer, neuron];
  }

  // Load columns by name; those that are there already cost nothing.
  async need(names) {
    const missing = names.map((name) => this.named.get(name)).filter((column) => column && !column.values);
    const packed = await Promise.all(missing.map((column) => load(column.file)));
    missing.forEach((column, i) => {
      if (column.values) return;
      column.values = unbase64(packed[i].data, { number: Float32Array, integer: Int32Array, flag: Int8Array, text: Uint32Array }[column.kind]);
      column.names = packed[i].names;
      this.columns.push(column);
      this.byName.set(column.name, column);
    });
  }

  value(name, row) {
    const column = this.byName.get(name);
    if (!column) return null;
    const value = column.values[row];
    if (column.kind === "text") return column.names[value];
    if (column.kind === "flag") return value < 0 ? null : value === 1;
    return Number.isNaN(value) ? null : value;
  }

  name(row) {
    return `L${this.layer[row]}.${this.neuron[row]}`;
  }

  address(row) {
    return `#/${encodeURIComponent(this.models[this.model[row]])}/${this.name(row)}`;
  }

  // Row of a neuron, -1 where there is none.
  find(model, layer, neuron) {
    const block = this.blocks[model]?.get(layer);
    if (!block) return -1;
    const place = block.neurons ? block.neurons.indexOf(neuron) : neuron < block.count ? neuron : -1;
    return place < 0 ? -1 : block.first + place;
  }

  // What only the neuron's own page shows.
  async details(row) {
    const model = this.model[row], layer = this.layer[row], neuron = this.neuron[row];
    const chunk = Math.floor(neuron / this.chunk);
    if (!this.blocks[model].get(layer).chunks.includes(chunk)) return {};
    const name = `${model}-${layer}-${chunk}`;
    const found = await load(name);
    if (recent.includes(name)) recent.splice(recent.indexOf(name), 1);
    recent.push(name);
    while (recent.length > KEPT) waiting.delete(recent.shift());
    return found.find(([own]) => own === neuron)?.[1] ?? {};
  }

  async texts() {
    if (!this.tokens) {
      const { ids, texts } = await load("texts");
      this.tokens = new Map(ids.map((id, i) => [id, texts[i]]));
    }
    return this.tokens;
  }
}

function unbase64(text, type) {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return new type(bytes.buffer);
}
