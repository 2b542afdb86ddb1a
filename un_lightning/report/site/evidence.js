// Sections of a neuron's page: each takes what is known and gives elements, or nothing.
"use strict";

function card(title, note, ...content) {
  const inside = content.flat().filter(Boolean);
  if (!inside.length) return null;
  return el("section", { id: title.toLowerCase().replace(/[^a-z]+/g, "-") }, el("h2", {}, title), note ? el("p.soft", {}, note) : null, inside);
}

function neuronLink(neurons, model, layer, neuron) {
  const name = `L${layer}.${neuron}`, row = model < 0 ? -1 : neurons.find(model, layer, neuron);
  return row < 0 ? el("span", {}, name) : el("a", { href: neurons.address(row) }, name);
}

// The best partner in each other model, side by side; what those partners do is filled in when it is loaded.
function matchSection(neurons, rows) {
  if (!rows) return null;
  const others = new Map();
  for (const [other, rank, layer, neuron, corr] of rows) {
    if (!others.has(other)) others.set(other, []);
    others.get(other).push({ rank, layer, neuron, corr });
  }
  const columns = [...others].map(([other, found]) => {
    const model = neurons.models.indexOf(other);
    const best = found.filter(({ rank }) => rank > 0).sort((a, b) => a.rank - b.rank);
    const worst = found.filter(({ rank }) => rank < 0).sort((a, b) => b.rank - a.rank)[0];
    if (!best.length) return null;
    const more = el("div.more");
    fillMatch(neurons, model, best[0], more);
    return el("div.match", {},
      el("h3", {}, `model ${other}`),
      el("p", {}, neuronLink(neurons, model, best[0].layer, best[0].neuron), el("b.corr", {}, number(best[0].corr))),
      meter(best[0].corr),
      more,
      el("ol.others", { start: 2 }, best.slice(1, 5).map((each) => el("li", {}, neuronLink(neurons, model, each.layer, each.neuron), ` ${number(each.corr)}`))),
      worst ? el("p.soft", {}, "most opposed: ", neuronLink(neurons, model, worst.layer, worst.neuron), ` ${number(worst.corr)}`) : null);
  });
  return card("Matches in the other models", "Correlation of activations; the best partners of each model.", el("div.side", {}, columns.filter(Boolean)));
}

async function fillMatch(neurons, model, { layer, neuron }, room) {
  const row = model < 0 ? -1 : neurons.find(model, layer, neuron);
  if (row < 0) return;
  await neurons.need(["excess_corr", "mean_corr", "family", "class"]);
  const facts = [["excess", neurons.value("excess_corr", row)]].filter(([, value]) => value !== null).map(([name, value]) => `${name} ${number(value)}`);
  for (const name of ["family", "class"]) {
    const value = neurons.value(name, row);
    if (value && value !== "other") facts.push(value);
  }
  room.append(el("p.soft", {}, facts.join(" · ")));
  const { top, tokens, cosines } = await neurons.details(row);
  const best = (tokens ?? []).filter(([by]) => by === "mean").slice(0, 6).map((each) => each[2]);
  const raised = (cosines ?? []).filter(([kind, rank]) => kind === "u_out" && rank > 0).slice(0, 6).map((each) => each[2]);
  if (best.length) room.append(el("p", {}, "fires at ", best.map((text) => [token(text), " "]).flat()));
  if (raised.length) room.append(el("p", {}, "raises ", raised.map((text) => [token(text), " "]).flat()));
  if (top?.length) room.append(example(top[0], await neurons.texts()));
}

function meter(value) {
  const bar = el("span.fill"), size = Math.min(100, Math.abs(value ?? 0) * 100);
  bar.style.width = `${size}%`;
  return el("span.meter", { role: "img", "aria-label": number(value) }, bar);
}

function histogramSection({ histogram: all, labelled, positions }) {
  const charts = [];
  if (all) charts.push(el("div", {}, el("h3", {}, "All tokens"), histogram(all, ["all"], "pre-activation")));
  if (labelled) charts.push(el("div", {}, el("h3", {}, "By its label ", label(labelled.label)), histogram(labelled, ["with", "without"], "pre-activation")));
  if (positions) {
    const points = positions.map((mean, place) => [place, mean]);
    charts.push(el("div", {}, el("h3", {}, "By position"), curve(points, "position in the block", "mean pre-activation")));
  }
  return card("Activation", null, charts.length ? el("div.charts", {}, charts) : null);
}

// One example: its tokens shaded by activation, each with its value for the pointer.
function example(found, texts, scale) {
  const line = el("p.context");
  if (found.parts) {
    const [before, own, behind] = found.parts;
    line.append(inContext(before), el("mark.own", { "data-value": found.v, "data-token": own }, inContext(own)), inContext(behind));
    return line;
  }
  const most = scale ?? Math.max(Math.abs(found.v), 1e-9);
  found.ids.forEach((id, i) => {
    const text = texts.get(id), value = i === found.at ? found.v : found.values ? found.values[i] * found.unit : null;
    const own = i === found.at;
    if (value === null) return line.append(inContext(text));
    const mark = el(own ? "mark.own" : "mark", { "data-value": value, "data-token": text }, inContext(text));
    const share = Math.min(1, Math.abs(value) / most);
    if (share >= 0.02) {
      mark.classList.add(value > 0 ? "up" : "down");
      mark.style.setProperty("--share", `${Math.round(share * 100)}%`);
    }
    line.append(mark);
  });
  return line;
}

function exampleSections({ top, sample }, texts) {
  const shaded = [...(top ?? []), ...(sample ?? [])].some(({ values }) => values);
  const note = shaded ? "Tokens are shaded by the neuron's activation; point at one for its value." : "Only the marked token's activation is known: analysis.example_values=true reads those around it.";
  const list = (rows, name) => rows.map((row) => el("div.example", {},
    el("div.facts", {}, el("b", {}, number(row.v)), el("span.soft", {}, name(row))),
    example(row, texts, Math.max(...[...(top ?? []), ...rows].map(({ v }) => Math.abs(v)), 1e-9))));
  const place = ({ where: [subset, document, at] }) => `${subset}${document >= 0 ? ` · document ${document}, token ${number(at)}` : ""}`;
  return [
    top ? card("Largest activations", note, list(top, place)) : null,
    sample ? card("Across its range", "A sample of tokens by their place among all tokens.", list([...sample].sort((a, b) => b.q - a.q), (row) => `${number(100 * row.q, 1)} % of tokens lie below · ${row.where[0]}`)) : null,
  ];
}

function tokenSection({ tokens }) {
  if (!tokens) return null;
  const side = (by, title) => {
    const rows = tokens.filter(([own]) => own === by).slice(0, 12).map(([, , text, count, mean, max]) => [token(text), count, mean, max]);
    return rows.length ? el("div", {}, el("h3", {}, title), rowsTable(["token", "times", "mean", "max"], rows)) : null;
  };
  return card("Tokens", "Activation by current token.", el("div.pair", {}, side("mean", "Largest mean"), side("max", "Largest maximum")));
}

const KINDS = {
  u_out: ["Logits", "Cosine of the output weights with the unembedding: which next tokens the neuron raises and lowers.", "raised", "lowered"],
  e_in: ["Input tokens", "Cosine of the input weights with the embedding: which tokens drive it directly.", "most", "least"],
  e_out: ["Output and embedding", "Cosine of the output weights with the embedding.", "most", "least"],
  u_in: ["Input and unembedding", "Cosine of the input weights with the unembedding.", "most", "least"],
};

function barTable(rows, most) {
  return el("table.bars", {}, el("tbody", {}, rows.map(([text, value]) => {
    const bar = el(value < 0 ? "span.bar.down" : "span.bar.up");
    bar.style.width = `${(100 * Math.abs(value)) / most}%`;
    return el("tr", {}, el("td", {}, token(text)), el("td.number", {}, number(value)), el("td.fill", {}, bar));
  })));
}

function logitSections({ cosines, predicted }) {
  const rows = cosines ?? (predicted ?? []).map((row) => ["u_out", ...row]);
  const cards = Object.entries(KINDS).map(([kind, [title, note, up, down]]) => {
    const own = rows.filter((row) => row[0] === kind);
    if (!own.length) return null;
    const pick = (sign) => own.filter(([, rank]) => rank * sign > 0).sort((a, b) => Math.abs(a[1]) - Math.abs(b[1])).slice(0, 10).map((row) => [row[2], row[3]]);
    const most = Math.max(...own.map((row) => Math.abs(row[3])), 1e-9);
    const pair = el("div.pair", {}, el("div", {}, el("h3", {}, up), barTable(pick(1), most)), el("div", {}, el("h3", {}, down), barTable(pick(-1), most)));
    return [title, note, pair];
  }).filter(Boolean);
  if (!cards.length) return [];
  const [first, ...rest] = cards;
  return [card(first[0], first[1], first[2], rest.length ? el("details", {}, el("summary", {}, "Embedding and input weights"), rest.map(([title, note, pair]) => el("div", {}, el("h3", {}, title), el("p.soft", {}, note), pair))) : null)];
}

function familySection(neurons, row, { labels }) {
  if (!labels) return null;
  const rows = [...labels].sort((a, b) => (b[3] ** 2 || 0) - (a[3] ** 2 || 0)).slice(0, 8).map(([, name, family, corr, vr, low, high, auroc, f1, q]) =>
    [label(name), family, vr, low === null ? "" : `${number(low)} … ${number(high)}`, corr, auroc, f1, q]);
  return card("Family", "Labels that explain most of the activation's variance (VR), the best of each kind.",
    rowsTable(["label", "family", "VR", "95 %", "correlation", "AUROC", "F1", "q"], rows,
      ["", "", "share of variance explained", "interval of VR", "", "of the pre-activation", "of the best threshold", "false-discovery rate"]));
}

function predictionSection(neurons, row, { explanations, next_token: next }) {
  if (!explanations && !next) return null;
  const sets = { label: "tokens of its label", extreme: "tokens that it moves most" };
  return card("Prediction", `${neurons.value("class", row) ?? ""} neuron, by what its output does to the vocabulary.`,
    explanations ? [el("h3", {}, "Labels of the tokens that it speaks of"), rowsTable(["label", "tokens", "VR", "difference of cosines", "Welch t"], explanations.map(([name, , tokens, difference, t, vr]) => [label(name), tokens, vr, difference, t]))] : null,
    next ? [el("h3", {}, "Does it fire before them?"), rowsTable(["next token is one of", "times", "activation then", "otherwise", "difference (σ)", "95 %", "AUROC"],
      next.map(([set, name, inside, own, other, difference, low, high, auroc]) => [name ? el("span", {}, `${sets[set] ?? set}: `, label(name)) : sets[set] ?? set, inside, own, other, difference, `${number(low)} … ${number(high)}`, auroc]))] : null);
}

const METRICS = { loss: "loss (nats)", entropy: "entropy (nats)", scale: "final norm's scale", reciprocal_rank: "reciprocal rank", kl: "KL (nats)" };

function interventionSection({ curves, effects, sets, heads, points }) {
  const charts = [];
  const metrics = new Map();
  for (const [metric, ...point] of curves ?? []) {
    if (!metrics.has(metric)) metrics.set(metric, []);
    metrics.get(metric).push(point);
  }
  for (const [metric, own] of metrics) charts.push(curve(own, "activation is set to", `change of ${METRICS[metric] ?? metric.replace(/_/g, " ")}`));
  const parts = [charts.length ? el("div.charts", {}, charts) : null];
  if (effects) parts.push(el("h3", {}, "Effects of the neuron"), rowsTable(["effect", "mean", "standard error"], effects.map(([name, ...values]) => [name.replace(/_/g, " "), ...values])));
  if (sets) parts.push(el("h3", {}, "Removed together with others"), rowsTable(["set", "neurons", "metric", "change", "random set", "difference", "95 %"],
    sets.map(([set, size, metric, change, random, difference, low, high]) => [set, size, METRICS[metric] ?? metric.replace(/_/g, " "), change, random, difference, `${number(low)} … ${number(high)}`])));
  if (heads) {
    parts.push(el("h3", {}, "Attention heads: the path from this neuron to the query is cut"), rowsTable(["head", "score", "attention to BOS", "change by the neuron", "correlation with activation"],
      heads.map(([layer, head, score, change, attention, r]) => [`L${layer}.H${head}`, score, attention, change, r])));
    parts.push(el("div.charts", {}, heads.map(([layer, head]) => {
      const own = (points ?? []).filter(([l, h, x, y]) => l === layer && h === head && x !== null && y !== null).map(([, , x, y]) => [x, y]);
      return own.length ? scatter(own, "activation", `change of attention, L${layer}.H${head}`) : null;
    }).filter(Boolean)));
  }
  return card("Interventions", null, parts);
}

const NEIGHBOURS = { in_in: "reads alike", out_out: "writes alike", in_out: "writes what this one reads", out_in: "reads what this one writes" };

function neighbourSection(neurons, row, { neighbours }) {
  if (!neighbours) return null;
  const model = neurons.model[row];
  return card("Neighbours in the model", "Cosines of weights.", el("div.side", {}, Object.entries(NEIGHBOURS).map(([kind, title]) => {
    const own = neighbours.filter(([which, rank]) => which === kind && rank > 0).slice(0, 5);
    return own.length ? el("div", {}, el("h3", {}, title), el("ol.others", {}, own.map(([, , layer, neuron, cosine]) => el("li", {}, neuronLink(neurons, model, layer, neuron), ` ${number(cosine)}`)))) : null;
  }).filter(Boolean)));
}
