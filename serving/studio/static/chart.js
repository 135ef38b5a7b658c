// Lines with interval bands over time, drawn as SVG.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 14, right: 118, bottom: 30, left: 52 };
const HEIGHT = 290;
const LABEL_GAP = 16;

const percent = (rate, digits = 2) => `${(rate * 100).toFixed(digits)} %`;

function node(name, attributes = {}, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function niceStep(top, ticks) {
  const rough = top / ticks;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

// Early intervals span everything: the scale follows where the rates have settled, the rest is clipped.
function scaleTop(lines) {
  let top = 0;
  for (const line of lines) {
    const settled = line.ctr.slice(Math.floor(line.ctr.length / 4)).filter((rate) => rate !== null);
    const last = line.high.findLast((rate) => rate !== null) ?? 0;
    top = Math.max(top, Math.min(last, 1), ...settled.map((rate) => rate * 1.06));
  }
  return top > 0 ? Math.min(top * 1.12, 1) : 0.05;
}

const clock = (ms, seconds) => new Date(ms).toLocaleTimeString("en-GB").slice(0, seconds ? 8 : 5);

export class Chart {
  constructor(holder) {
    this.holder = holder;
    this.tip = document.createElement("div");
    this.tip.className = "tip";
    this.tip.hidden = true;
    new ResizeObserver(() => this.draw()).observe(holder);
    holder.addEventListener("pointermove", (event) => this.point(event));
    holder.addEventListener("pointerleave", () => this.leave());
  }

  show(series, policies) {
    this.series = series;
    this.policies = policies;
    this.draw();
  }

  draw() {
    if (!this.series) return;
    const times = this.series.times_ms;
    const names = this.policies.filter((policy) => policy in this.series.policies);
    const lines = names.map((policy) => ({ policy, ...this.series.policies[policy] }));
    const width = Math.max(320, this.holder.clientWidth - 16);
    const right = width < 560 ? 76 : MARGIN.right;
    const top = scaleTop(lines);
    const begin = times[0] - (times[1] - times[0] || 1000);
    const span = Math.max(1, times.at(-1) - begin);
    const x = (ms) => MARGIN.left + ((ms - begin) / span) * (width - MARGIN.left - right);
    const y = (rate) => HEIGHT - MARGIN.bottom - (Math.min(rate, 2) / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const svg = node("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": this.summary(lines) });
    svg.append(this.clip(width, right));
    this.grid(svg, { x, y, top, begin, span, width, right });
    const plot = node("g", { "clip-path": "url(#plot)" });
    for (const line of lines) plot.append(...this.shapes(line, times, x, y));
    svg.append(plot);
    this.labels(svg, lines, y, width - right + 8);
    this.cross = node("line", { class: "cross", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    svg.append(this.cross);
    this.scales = { x, times, lines, width };
    this.holder.replaceChildren(svg, this.tip);
  }

  clip(width, right) {
    const defs = node("defs");
    const path = node("clipPath", { id: "plot" });
    const high = HEIGHT - MARGIN.top - MARGIN.bottom + 2;
    path.append(node("rect", { x: MARGIN.left, y: MARGIN.top - 1, width: width - MARGIN.left - right + 1, height: high }));
    defs.append(path);
    return defs;
  }

  grid(svg, { x, y, top, begin, span, width, right }) {
    const step = niceStep(top, 4);
    const digits = step * 100 < 1 ? (step * 1000 < 1 ? 2 : 1) : 0;
    for (let rate = 0; rate <= top * 1.0001; rate += step) {
      svg.append(node("line", { class: rate ? "grid" : "axis", x1: MARGIN.left, x2: width - right, y1: y(rate), y2: y(rate) }));
      svg.append(node("text", { x: MARGIN.left - 10, y: y(rate) + 4, "text-anchor": "end" }, percent(rate, digits)));
    }
    const places = Math.max(2, Math.min(6, Math.floor((width - MARGIN.left - right) / 120)));
    for (let place = 0; place <= places; place++) {
      const ms = begin + (span * place) / places;
      const anchor = place === 0 ? "start" : place === places ? "end" : "middle";
      svg.append(node("text", { x: x(ms), y: HEIGHT - 8, "text-anchor": anchor }, clock(ms, span < 1_200_000)));
    }
  }

  shapes(line, times, x, y) {
    const kept = times.map((ms, at) => ({ ms, at })).filter(({ at }) => line.ctr[at] !== null);
    const path = (values, points) => points.map(({ ms, at }) => `${x(ms).toFixed(1)},${y(values[at]).toFixed(1)}`).join("L");
    if (!kept.length) return [];
    const band = `M${path(line.high, kept)}L${path(line.low, [...kept].reverse())}Z`;
    return [
      node("path", { class: `band ${line.policy}`, d: band }),
      node("path", { class: `line ${line.policy}`, d: `M${path(line.ctr, kept)}` }),
    ];
  }

  labels(svg, lines, y, at) {
    const ends = lines
      .map((line) => ({ policy: line.policy, rate: line.ctr.findLast((rate) => rate !== null) }))
      .filter(({ rate }) => rate !== undefined)
      .map((end) => ({ ...end, place: y(end.rate) + 4 }))
      .sort((a, b) => a.place - b.place);
    ends.forEach((end, index) => {
      if (index) end.place = Math.max(end.place, ends[index - 1].place + LABEL_GAP);
    });
    for (const { policy, rate, place } of ends) {
      const text = at + 110 > this.holder.clientWidth ? policy : `${policy} ${percent(rate)}`;
      svg.append(node("text", { class: `label ${policy}`, x: at, y: place }, text));
    }
  }

  summary(lines) {
    const parts = lines.map((line) => {
      const at = line.ctr.findLastIndex((rate) => rate !== null);
      return at < 0 ? `${line.policy}: nothing shown`
        : `${line.policy} ${percent(line.ctr[at])} (95 % interval ${percent(line.low[at])} to ${percent(line.high[at])})`;
    });
    return `Click-through rate over time. Now: ${parts.join("; ")}.`;
  }

  point(event) {
    if (!this.scales) return;
    const { x, times, lines, width } = this.scales;
    const box = this.holder.getBoundingClientRect();
    const at = event.clientX - box.left - 8;
    let nearest = 0;
    times.forEach((ms, index) => {
      if (Math.abs(x(ms) - at) < Math.abs(x(times[nearest]) - at)) nearest = index;
    });
    const place = x(times[nearest]);
    this.cross.setAttribute("x1", place);
    this.cross.setAttribute("x2", place);
    this.cross.setAttribute("visibility", "visible");
    this.tip.replaceChildren(this.table(times[nearest], nearest, lines));
    this.tip.hidden = false;
    this.tip.style.top = "22px";
    this.tip.style.left = place > width / 2 ? `${place - this.tip.offsetWidth - 6}px` : `${place + 22}px`;
  }

  table(ms, at, lines) {
    const holder = document.createElement("div");
    const title = document.createElement("b");
    title.textContent = clock(ms, true);
    const table = document.createElement("table");
    for (const line of lines) {
      if (line.ctr[at] === null || line.ctr[at] === undefined) continue;
      const row = table.insertRow();
      const name = row.insertCell();
      const dot = document.createElement("i");
      dot.className = `dot ${line.policy}`;
      name.append(dot, line.policy);
      row.insertCell().textContent = percent(line.ctr[at]);
      row.insertCell().textContent = `${percent(line.low[at])} – ${percent(line.high[at])}`;
    }
    holder.append(title, table);
    return holder;
  }

  leave() {
    this.tip.hidden = true;
    this.cross?.setAttribute("visibility", "hidden");
  }
}
