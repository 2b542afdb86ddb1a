// What is shown, by the address: `#` is the table, `#/model/L3.217` a neuron.
"use strict";

const at = (id) => document.getElementById(id);
const NAME = /^L(\d+)\.(\d+)$/i;

async function start() {
  const index = await load("index");
  const neurons = new Neurons(index);
  document.title = index.title;
  at("home").textContent = index.title;
  at("runs").append(...index.runs.map(([analysis, name]) => el("li", {}, `${analysis}: ${name}`)));
  const grid = new NeuronGrid(neurons, document.querySelector(".grid"), at("count"), document.querySelector(".columns"), (row) => { location.hash = neurons.address(row); });
  const choice = at("model");
  index.models.forEach((model, place) => choice.append(el("option", { value: place }, `model ${model}`)));
  if (index.models.length > 1) choice.append(el("option", { value: "" }, "all models"));
  choice.hidden = index.models.length < 2;
  let open = -1, turn = 0;

  const say = (message) => { at("problem").textContent = message ?? ""; };
  const guarded = (work) => async (...given) => { try { await work(...given); } catch (error) { say(error.message); } };

  const search = guarded(async () => say(await grid.filter()));

  async function show() {
    const own = ++turn;
    const [, model, name] = location.hash.split("/"), found = NAME.exec(name ?? "");
    const place = found ? neurons.models.indexOf(decodeURIComponent(model)) : -1;
    const row = place < 0 ? -1 : neurons.find(place, Number(found[1]), Number(found[2]));
    say(name && row < 0 ? `there is no neuron ${name}` : "");
    at("hover").hidden = true;
    if (row < 0) {
      [at("table").hidden, at("neuron").hidden] = [false, true];
      document.title = index.title;
      if (open >= 0 && grid.rows.indexOf(open) >= 0) grid.chosen = grid.rows.indexOf(open);
      open = -1;
      grid.draw(true);
      grid.reveal();
      return;
    }
    const found_at = grid.rows.indexOf(row), listed = found_at >= 0;
    const [rows, here] = listed ? [grid.rows, found_at] : [null, row];
    const near = (step) => {
      const there = here + step;
      if (rows) return there >= 0 && there < rows.length ? rows[there] : null;
      return there >= 0 && there < neurons.rows && neurons.model[there] === neurons.model[row] ? there : null;
    };
    const around = { place: listed ? found_at : null, count: grid.rows.length, previous: near(-1), next: near(1) };
    const page = await neuronPage(neurons, row, around);
    if (own !== turn) return;
    open = row;
    [show.previous, show.next] = [around.previous, around.next];
    document.title = `${neurons.name(row)} · ${index.title}`;
    at("neuron").replaceChildren(...page);
    [at("table").hidden, at("neuron").hidden] = [true, false];
    window.scrollTo(0, 0);
  }

  const input = at("search");
  input.addEventListener("input", () => {
    grid.text = input.value;
    if (open < 0) search();
  });
  input.addEventListener("keydown", guarded(async (event) => {
    if (event.key !== "Enter") return;
    grid.text = input.value;
    const problem = await grid.filter();
    say(problem ?? (grid.rows.length ? "" : "no neuron is like that"));
    if (problem || !grid.rows.length) return;
    input.blur();
    if (open >= 0 || NAME.test(input.value.trim())) location.hash = neurons.address(grid.rows[0]);
    else grid.root.focus();
  }));
  choice.addEventListener("change", () => {
    grid.model = choice.value === "" ? null : Number(choice.value);
    location.hash = "";
    search();
  });
  at("keys").addEventListener("click", () => at("help").showModal());
  window.addEventListener("hashchange", guarded(show));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    if (event.key === "Escape") {
      document.activeElement.blur();
      if (open >= 0) location.hash = "";
      return;
    }
    if (event.target.matches("input, select, textarea, summary")) return;
    const act = {
      "/": () => { input.focus(); input.select(); },
      "?": () => at("help").showModal(),
      n: () => go(show.next), ArrowRight: () => go(show.next), p: () => go(show.previous), ArrowLeft: () => go(show.previous),
      ArrowDown: () => grid.move(1), ArrowUp: () => grid.move(-1), PageDown: () => grid.move(15), PageUp: () => grid.move(-15),
      Enter: () => grid.rows.length && (location.hash = neurons.address(grid.rows[grid.chosen])),
    }[event.key];
    const forTable = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Enter"].includes(event.key);
    if (!act || (forTable && (open >= 0 || event.target.matches("a, button")))) return;
    event.preventDefault();
    act();
  });
  const go = (row) => { if (open >= 0 && row !== null) location.hash = neurons.address(row); };
  document.addEventListener("mouseover", (event) => {
    const mark = event.target.closest?.("[data-value]"), box = at("hover");
    box.hidden = !mark;
    if (!mark) return;
    box.replaceChildren(token(mark.dataset.token), ` ${number(Number(mark.dataset.value))}`);
    const { left, top, bottom } = mark.getBoundingClientRect();
    box.style.left = `${Math.min(left, innerWidth - box.offsetWidth - 12) + scrollX}px`;
    box.style.top = `${(top > 40 ? top - box.offsetHeight - 4 : bottom + 4) + scrollY}px`;
  });

  at("table").hidden = false;
  await grid.filter();
  document.documentElement.dataset.ready = "yes";
  await show();
}

start().catch((error) => { at("problem").textContent = error.message; });
