// Draws each chart of a page in the place of the drawing that came with it, and keeps it up to date.
"use strict";

const SIGNS = { anomaly: "triangle-up", shift: "diamond", act: "square" };
const observed = "observed";
const LABEL_PX = 18;
const MOST_BEYOND = 1; // as a share of the height of all else

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faded = (color, share) => `${color}${Math.round(share * 255).toString(16).padStart(2, "0")}`;

// Plotly knows no zones: moments are handed over as the viewer's clock shows them.
function local(seconds) {
  const at = new Date(seconds * 1000);
  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, -1);
}
const utc = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;

const formats = { ratio: [".1%", ""], bytes: [".4~s", "B"], "bytes/s": [".4~s", "B/s"], ms: [".4~r", " ms"], s: [".4~r", " s"], "%": [".4~r", " %"] };

function line(at, y, more) {
  return { type: "scatter", mode: "lines", x: at.map(local), y, customdata: at.map(utc), ...more };
}

// Plotly reads a few tags in texts; a name may hold anything.
function escaped(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

// The steps after an act that were judged, and the two means that were compared.
function judgedShapes(judged) {
  if (!judged) return [];
  const ends = { x0: local(judged.from_s), x1: local(judged.to_s) };
  const mean = (y, color) => ({ type: "line", ...ends, y0: y, y1: y, line: { color: style(color), width: 2 } });
  const shade = { type: "rect", ...ends, yref: "paper", y0: 0, y1: 1, line: { width: 0 }, fillcolor: faded(style("--muted"), 0.1) };
  return [shade, mean(judged.expected, "--accent"), mean(judged.actual, "--ink")];
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };

// One chart: what it is about stands at its place; `shown` is what it shows.
function chart(place) {
  const shown = { version: "", at: [], value: [], context: null, now: 0, since: 0, isAlive: false };
  const { foreseen, unit } = place.dataset;
  const [format, suffix] = formats[unit] || [",.5~r", unit ? ` ${unit}` : ""];
  let chosen = null;

  function fan(found) {
    if (!found || !found.at_s.length) return [];
    const traces = [];
    const accent = style("--accent");
    for (let low = 0, high = found.levels.length - 1; low < high; low++, high--) {
      const share = Math.round(100 * (found.levels[high] - found.levels[low]));
      const plain = { line: { width: 0 }, hoverinfo: "skip", showlegend: false };
      traces.push(line(found.at_s, found.quantiles[low], plain));
      traces.push(line(found.at_s, found.quantiles[high], { ...plain, fill: "tonexty", fillcolor: faded(accent, 0.16), name: `${share} %` }));
    }
    const ends = [found.quantiles[0] || [], found.quantiles.at(-1) || []];
    const said = found.at_s.map((at, i) => [utc(at), ends[0][i], ends[1][i]]);
    traces.push(line(found.at_s, found.point, {
      name: foreseen, customdata: said, line: { color: accent, dash: "dash", width: 2 },
      hovertemplate: `%{y:${format}}${suffix}, 90 %: %{customdata[1]:${format}} to %{customdata[2]:${format}}<br>%{customdata[0]}<extra>${foreseen}</extra>`,
    }));
    return traces;
  }

  function valueAt(at) {
    let near = null;
    shown.at.forEach((each, i) => { if (shown.value[i] !== null && (near === null || Math.abs(each - at) < Math.abs(shown.at[near] - at))) near = i; });
    return near === null ? null : shown.value[near];
  }

  // The first and the last moment of what is shown, in epoch seconds.
  function ends() {
    const ahead = shown.context.fan?.at_s || [], judged = shown.context.judged;
    const all = [shown.at[0], shown.at.at(-1), ahead[0], ahead.at(-1), judged?.from_s, judged?.to_s].filter((each) => each !== undefined);
    return all.length ? [Math.min(...all), Math.max(...all)] : [shown.since, shown.now || shown.since + 1];
  }

  // How high the chart reaches. Where little is known yet the 90 % interval may be many times what was seen: then it is
  // cut, so that the rest can be read, and the chart says so; null where all of it is shown.
  function heights() {
    const found = shown.context.fan;
    if (!found || !found.quantiles.length) return null;
    const inner = found.levels.length > 3 ? [found.quantiles[1], found.quantiles.at(-2)] : [];
    const near = [shown.value, found.point, ...inner, shown.context.objectives.filter((one) => one.is_line).map((one) => one.bound)].flat().filter(Number.isFinite);
    const outer = [...found.quantiles[0], ...found.quantiles.at(-1)].filter(Number.isFinite);
    const [low, high] = [Math.min(...near), Math.max(...near)], reach = MOST_BEYOND * (high - low);
    const [least, most] = [Math.min(...outer), Math.max(...outer)];
    if (!(reach > 0) || (least >= low - reach && most <= high + reach)) return null;
    const range = [Math.max(least, low - reach), Math.min(most, high + reach)];
    const pad = 0.05 * (range[1] - range[0]);
    return { range: [Math.min(range[0], low) - pad, Math.max(range[1], high) + pad], said: `90 % interval, cut here: ${amount(least)} to ${amount(most)}` };
  }

  function marks(events) {
    return Object.keys(SIGNS).map((kind) => {
      const those = events.filter((each) => each.kind === kind);
      return line(those.map((each) => each.at_s), those.map((each) => valueAt(each.at_s)), {
        mode: "markers", name: kind, showlegend: false, text: those.map((each) => escaped(each.text)), hoverinfo: "text", hovertemplate: "%{text}<br>%{customdata[0]}<extra></extra>",
        customdata: those.map((each) => [utc(each.at_s), each.text]),
        marker: { symbol: SIGNS[kind], size: 11, color: style(kind === "act" ? "--accent" : "--warn"), line: { width: 1.5, color: style("--card") } },
      });
    });
  }

  function bounds(objectives) {
    const bad = style("--bad");
    const shapes = [], notes = [];
    const small = { showarrow: false, font: { size: 12, color: bad }, bgcolor: faded(style("--card"), 0.7), borderpad: 0 };
    let breaches = 0;
    for (const each of objectives.filter((one) => one.is_line)) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: each.bound, y1: each.bound, line: { color: bad, dash: "dot", width: 1.5 } });
      notes.push({ ...small, xref: "paper", x: 0, xanchor: "left", y: each.bound, yanchor: "bottom", text: escaped(each.name), name: "bound" });
      if (!each.expected_s || each.is_breached_now) continue;
      const risk = `${Math.round(100 * each.probability)} %`;
      shapes.push({ type: "line", x0: local(each.expected_s), x1: local(each.expected_s), yref: "paper", y0: 0, y1: 1, line: { color: bad, width: 1 } });
      if (each.earliest_s && each.latest_s) shapes.push({ type: "rect", x0: local(each.earliest_s), x1: local(each.latest_s), yref: "paper", y0: 0, y1: 1, line: { width: 0 }, fillcolor: faded(bad, 0.08) });
      // Beside its line, on the side that has more room; plotly would widen the picture for one that goes beyond.
      const [first, last] = ends(), isLate = each.expected_s - first > (last - first) / 2;
      notes.push({ ...small, x: local(each.expected_s), xanchor: isLate ? "right" : "left", yref: "paper", y: 0, yanchor: "bottom", yshift: LABEL_PX * breaches++, text: `${escaped(each.name)} breaks (${risk})` });
    }
    if (shown.now !== null) {
      const now = local(shown.now);
      shapes.push({ type: "line", x0: now, x1: now, yref: "paper", y0: 0, y1: 1, line: { color: style("--muted"), dash: "dot", width: 1 } });
    }
    return { shapes: [...shapes, ...judgedShapes(shown.context.judged)], annotations: notes };
  }

  // Names of lines that lie near each other stand one above the other; how near they lie changes as one zooms.
  async function standApart() {
    const notes = place.layout.annotations, moved = {};
    const lines = notes.map((each, number) => ({ each, number, at: place._fullLayout.yaxis.l2p(each.y) })).filter(({ each }) => each.name === "bound");
    let highest = Infinity;
    for (const { each, number, at } of lines.sort((a, b) => b.at - a.at)) {
      highest = Math.min(at, highest - LABEL_PX);
      const shift = Math.round(at - highest);
      if (shift !== (each.yshift || 0)) moved[`annotations[${number}].yshift`] = shift;
    }
    if (Object.keys(moved).length) await Plotly.relayout(place, moved);
  }

  function amount(value) {
    if (unit === "ratio") return `${(100 * value).toFixed(1)} %`;
    return `${Number(value.toPrecision(4)).toLocaleString()}${suffix}`;
  }

  // Each moment of the chart, in order, with its points: what was seen, what is foreseen, or both.
  function moments() {
    const found = new Map();
    place.data.forEach((trace, curveNumber) => {
      if (trace.name !== observed && trace.name !== foreseen) return;
      trace.x.forEach((x, pointNumber) => {
        if (trace.y[pointNumber] === null) return;
        if (!found.has(x)) found.set(x, []);
        found.get(x).push({ curveNumber, pointNumber });
      });
    });
    return [...found].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map((each) => each[1]);
  }

  // Say in words what is under the pointer, or was chosen by a key.
  function tell(points) {
    const said = points.map(({ curveNumber, pointNumber }) => {
      const trace = place.data[curveNumber], [, low, high] = [].concat(trace.customdata[pointNumber]);
      if (trace.name in SIGNS) return `${trace.name}: ${low}`;
      const band = low === undefined || low === null ? "" : `, 90 %: ${amount(low)} to ${amount(high)}`;
      return `${trace.name} ${amount(trace.y[pointNumber])}${band}`;
    });
    const at = place.data[points[0].curveNumber].x[points[0].pointNumber];
    const reading = document.getElementById(`${place.id}-reading`), text = `${calendar.format(new Date(at))}: ${said.join("; ")}`;
    if (reading.textContent !== text) reading.textContent = text;
  }

  function move(event) {
    const step = STEPS[event.key];
    if (step === undefined || event.target !== place) return;
    event.preventDefault();
    const all = moments();
    if (!all.length) return;
    const at = (each) => place.data[each[0].curveNumber].x[each[0].pointNumber];
    const newest = all.findLastIndex((each) => each.some((point) => place.data[point.curveNumber].name === observed));
    const before = chosen === null ? -1 : all.findIndex((each) => at(each) >= chosen);
    const next = before < 0 ? Math.max(0, newest) : Math.min(all.length - 1, Math.max(0, before + step));
    chosen = at(all[next]);
    Plotly.Fx.hover(place, all[next]);
    tell(all[next]);
  }

  function layout() {
    const cut = heights(), drawn = bounds(shown.context.objectives);
    if (cut) drawn.annotations.push({ xref: "paper", x: 1, xanchor: "right", yref: "paper", y: 1, yanchor: "top", showarrow: false, text: cut.said, font: { size: 12, color: style("--muted") }, bgcolor: faded(style("--card"), 0.7) });
    const axis = { gridcolor: style("--line"), zeroline: false, color: style("--muted"), automargin: true };
    return {
      uirevision: "kept", height: 420, margin: { l: 8, r: 12, t: 30, b: 8 }, showlegend: false, dragmode: matchMedia("(pointer: coarse)").matches ? "pan" : "zoom",
      hovermode: "x", hoverlabel: { align: "left" }, paper_bgcolor: style("--card"), plot_bgcolor: style("--card"),
      font: { family: "system-ui, sans-serif", size: 13, color: style("--ink") },
      xaxis: { ...axis, type: "date", range: ends().map(local), tickangle: 0, nticks: Math.max(3, Math.round(place.clientWidth / 110)) }, yaxis: { ...axis, tickformat: format, ticksuffix: suffix, fixedrange: false, ...(cut ? { range: cut.range } : {}) }, ...drawn,
    };
  }

  async function draw() {
    const seen = line(shown.at, shown.value, {
      name: observed, line: { color: style("--ink"), width: 1.6 },
      hovertemplate: `%{y:${format}}${suffix}<br>%{customdata}<extra>${observed}</extra>`,
    });
    if (!place.classList.contains("js-plotly-plot")) place.replaceChildren();
    await Plotly.react(place, [...fan(shown.context.fan), seen, ...marks(shown.context.events)], layout(), { responsive: true, displaylogo: false, scrollZoom: false, modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] });
    await standApart();
  }

  // Take in what is new; what has left the range goes.
  function take(fresh) {
    const values = new Map(shown.at.map((at, i) => [at, shown.value[i]]));
    fresh.at_s.forEach((at, i) => values.set(at, fresh.value[i]));
    const kept = [...values].filter(([at]) => at > fresh.since_s).sort((a, b) => a[0] - b[0]);
    Object.assign(shown, { at: kept.map((each) => each[0]), value: kept.map((each) => each[1]), version: fresh.version, now: fresh.now_s, since: fresh.since_s });
    if (fresh.context) shown.context = fresh.context;
  }

  async function load() {
    if (document.hidden) return;
    const asked = new URLSearchParams();
    if (shown.context) {
      asked.set("known", shown.version);
      if (shown.at.length) asked.set("after", shown.at.at(-1));
    }
    const away = document.getElementById("away");
    try {
      const answer = await fetch(`${place.dataset.source}&${asked}`);
      if (!answer.ok) throw new Error(answer.status);
      away.hidden = true;
      if (answer.status === 204) return;
      take(await answer.json());
    } catch {
      away.hidden = false;
      return;
    }
    await draw();
    if (!shown.isAlive) enliven();
  }

  // What can be done with a chart that is drawn.
  function enliven() {
    shown.isAlive = true;
    const picture = document.querySelector(`[data-png="${place.id}"]`);
    picture.disabled = false;
    picture.addEventListener("click", () => Plotly.downloadImage(place, { format: "png", width: 1400, height: 700, filename: place.dataset.file }));
    place.on("plotly_click", ({ points }) => {
      const event = shown.context.events.find((each) => points.some((point) => point.data.name === each.kind && point.x.startsWith(local(each.at_s).slice(0, 19))));
      if (event) location.href = event.href;
    });
    place.on("plotly_relayout", standApart);
    place.on("plotly_hover", ({ points }) => tell(points));
    place.addEventListener("keydown", move);
    document.addEventListener("themechange", draw);
  }

  // A chart that nobody sees, further down or in another tab, is drawn when it comes near.
  async function begin() {
    await new Promise((seen) => {
      const watch = new IntersectionObserver((all) => { if (all.some((each) => each.isIntersecting)) { watch.disconnect(); seen(); } }, { rootMargin: "50%" });
      watch.observe(place);
    });
    await load();
    if (Number(place.dataset.every)) setInterval(load, Number(place.dataset.every));
  }

  place.shown = shown;
  begin();
}

// The two ends of a range are the viewer's here, and UTC in the address.
function between(form) {
  const ends = [...form.querySelectorAll("input")];
  for (const each of ends) each.value = local(Date.parse(`${each.defaultValue}Z`) / 1000).slice(0, 16);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.search = new URLSearchParams(ends.map((each) => [each.name, new Date(each.value).toISOString()]));
  });
}

const range = document.getElementById("between");
if (range) between(range);
document.querySelectorAll(".plot").forEach(chart);
