// A neuron's page: its name, what stands out, and all that the runs say of it.
"use strict";

const HEADLINE = ["excess_corr", "mean_corr", "vr", "skew", "kurt", "sparsity", "vocab_kurt"];

async function neuronPage(neurons, row, around) {
  const [details, texts] = await Promise.all([neurons.details(row), neurons.texts(), neurons.need([...HEADLINE, "universal", "family", "label", "class", "valid"])]);
  const examples = exampleSections(details, texts);
  return [
    heading(neurons, row, around),
    matchSection(neurons, details.matches),
    histogramSection(details),
    el("div.columns2", {}, el("div", {}, examples), el("div", {},
      logitSections(details),
      tokenSection(details))),
    familySection(neurons, row, details),
    predictionSection(neurons, row, details),
    interventionSection(details),
    neighbourSection(neurons, row, details),
    await statisticsSection(neurons, row),
  ].flat().filter(Boolean).map(dropEmpty);
}

function dropEmpty(node) {
  node.querySelectorAll?.(":scope > div:empty").forEach((each) => each.remove());
  return node;
}

function heading(neurons, row, { place, count, previous, next }) {
  const badges = [];
  if (neurons.value("universal", row)) badges.push(el("span.badge.universal", {}, "universal"));
  if (neurons.value("valid", row) === false) badges.push(el("span.badge", {}, "invalid"));
  const family = neurons.value("family", row), name = neurons.value("label", row), kind = neurons.value("class", row);
  if (family) badges.push(el("span.badge", {}, family, name && family !== "unexplained" ? [" ", label(name)] : ""));
  if (kind && kind !== "other") badges.push(el("span.badge", {}, kind));
  const step = (target, sign, title) => (target === null ? el("span.step.off", {}, sign) : el("a.step", { href: neurons.address(target), title }, sign));
  return el("div.top", {},
    el("div.name", {}, step(previous, "‹", "previous neuron (p)"), el("h1", {}, neurons.name(row)), step(next, "›", "next neuron (n)"),
      el("span.soft", {}, `model ${neurons.models[neurons.model[row]]}`, place === null ? "" : ` · ${(place + 1).toLocaleString("en")} of ${count.toLocaleString("en")}`), badges),
    el("dl.figures", {}, HEADLINE.filter((each) => neurons.value(each, row) !== null).map((each) =>
      el("div", { title: neurons.named.get(each).note }, el("dt", {}, each), el("dd", {}, number(neurons.value(each, row)))))));
}

// Every column of the table; those that are not loaded come when the section is opened.
async function statisticsSection(neurons, row) {
  const box = el("details", {}, el("summary", {}, `All ${neurons.catalogue.length} columns of the table`));
  box.addEventListener("toggle", async () => {
    if (!box.open || box.querySelector("div")) return;
    await neurons.need(neurons.catalogue.map(({ name }) => name));
    const groups = new Map();
    for (const column of neurons.catalogue) {
      if (!groups.has(column.from)) groups.set(column.from, []);
      groups.get(column.from).push(column);
    }
    box.append(el("div.groups", {}, [...groups].map(([from, columns]) => el("div", {}, el("h3", {}, from.replace(/_/g, " ")),
      el("dl.list", {}, columns.map((column) => el("div", { title: column.note }, el("dt", {}, column.name), el("dd", {}, cellText(neurons, column, row) || "–"))))))));
  });
  return card("Statistics", null, box);
}
