// The charts of the page that compares runs.
"use strict";

function drawScalars() {
  const source = document.getElementById("chart-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const scalars = Object.keys(data.scalars), keys = Object.keys(data.keys);
  const y = document.getElementById("chart-y"), x = document.getElementById("chart-x");
  const wanted = ["universal/count", "excess/mean", "loss"].find((name) => scalars.includes(name)) ?? scalars[0];
  const numbers = keys.filter((key) => data.keys[key].every((value) => typeof value === "number"));
  const many = (key) => new Set(data.keys[key]).size;
  const numeric = numbers.sort((a, b) => many(b) - many(a))[0];
  fill(y, scalars, wanted);
  fill(x, ["run", ...keys, ...scalars], numeric && data.labels.length > 4 ? numeric : "run");
  const redraw = () => {
    const over = x.value === "run" ? data.labels : data.keys[x.value] ?? data.scalars[x.value];
    const text = data.labels.map((label, i) => `${label} ${plain(data.names[i])}`);
    const trace = { x: over.map((v) => (typeof v === "string" ? plain(v) : v)), y: data.scalars[y.value], text };
    trace.hovertemplate = "%{text}<br>%{x}: %{y}<extra></extra>";
    trace.type = x.value === "run" ? "bar" : "scatter";
    if (trace.type === "scatter") trace.mode = "markers";
    trace.textposition = "none";
    trace.marker = { color: data.hues, size: 11 };
    const positive = over.every((value) => typeof value === "number" && value > 0);
    const logarithmic = positive && Math.max(...over) > 30 * Math.min(...over);
    draw(document.getElementById("chart"), [trace], x.value, y.value, { bargap: 0.5, logarithmic });
  };
  x.addEventListener("change", redraw);
  y.addEventListener("change", redraw);
  redraws.push(redraw);
  redraw();
}

function drawNeurons(section) {
  const packed = JSON.parse(section.querySelector("script[type='application/json']").textContent);
  const across = section.querySelector(".across"), up = section.querySelector(".up"), hue = section.querySelector(".hue");
  const plot = section.querySelector(".plot");
  const names = packed.columns.filter((column) => column.kind !== "text").map((column) => column.name);
  const starts = (...wanted) =>
    wanted.map((part) => names.find((name) => name.split("·")[0] === part)).find(Boolean);
  const own = names.filter((name) => !["layer", "neuron", "valid"].includes(name));
  fill(up, names, starts("excess_corr", "max_corr") ?? own[0] ?? names[0]);
  const twin = names.find((name) => name !== up.value && name.split("·")[0] === up.value.split("·")[0]);
  fill(across, names, twin ?? starts("mean_baseline", "kurt", "w_in_norm") ?? own[1] ?? names[0]);
  fill(hue, ["(none)", ...names], names.includes("layer") ? "layer" : "(none)");
  let table = null;

  const redraw = () => {
    if (!table) return;
    const values = (select) => {
      const column = table.table.byName.get(select.value);
      return Float32Array.from(table.rows, (row) => column.values[row]);
    };
    const id = ["model", "layer", "neuron"].map((name) => table.table.byName.get(name));
    const text = table.rows.map((row) => `${plain(shown(id[0], row))} L${shown(id[1], row)}.${shown(id[2], row)}`);
    const marker = { size: 5, opacity: 0.75, color: "#0072B2" };
    if (hue.value !== "(none)") {
      Object.assign(marker, { color: values(hue), colorscale: "Viridis", showscale: true });
      marker.colorbar = { title: { text: plain(hue.value) }, thickness: 12 };
    }
    const trace = { type: "scattergl", mode: "markers", x: values(across), y: values(up), text, marker };
    trace.hovertemplate = "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>";
    draw(plot, [trace], across.value, up.value).then(() => {
      plot.removeAllListeners("plotly_click");
      plot.on("plotly_click", (event) => table.choose(table.rows[event.points[0].pointIndex]));
    });
  };
  for (const select of [across, up, hue]) select.addEventListener("change", redraw);
  redraws.push(redraw);
  table = new NeuronTable(section, packed, (changed) => { table = changed; redraw(); });
}

drawScalars();
document.querySelectorAll("section.neurons").forEach(drawNeurons);
