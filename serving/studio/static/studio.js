// Polls /studio/data.json and draws it. All text goes in by textContent: ids in the data are anybody's.

import { Chart } from "./chart.js";

const POLL_MS = 1500;
const PAGE = 6;
const MAX_SLOTS = 60;
const POLICIES = ["linucb", "random", "original"];
const FRAME_HEIGHT = 150;
const FRAME_MAX_WIDTH = 360;
const FRAME_MIN_WIDTH = 132;

const at = (id) => document.getElementById(id);
const chart = new Chart(at("chart"));
const state = { span: "total", limit: PAGE, held: false, picked: null, data: null, answered: 0 };

function make(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Keeps the elements of things that are still there, so that pictures and scroll places stay.
function keyed(parent, things, key, create, update) {
  const held = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = things.map((thing) => {
    const name = key(thing);
    const child = held.get(name) ?? create(thing);
    child.dataset.key = name;
    update(child, thing);
    return child;
  });
  const same = wanted.length === parent.children.length && wanted.every((child, index) => parent.children[index] === child);
  if (!same) parent.replaceChildren(...wanted);
}

const percent = (rate, digits = 2) => (rate === null || rate === undefined ? "–" : `${(rate * 100).toFixed(digits)} %`);
const count = (number) => Math.round(number).toLocaleString("en");
const few = (number) => (number >= 100 ? count(number) : number.toFixed(number >= 10 ? 0 : 1));

function duration(ms) {
  if (ms === null || ms === undefined) return ["–", ""];
  if (ms < 1000) return [String(Math.round(ms)), "ms"];
  if (ms < 90_000) return [(ms / 1000).toFixed(1), "s"];
  return ms < 5_400_000 ? [(ms / 60_000).toFixed(1), "min"] : [(ms / 3_600_000).toFixed(1), "h"];
}

function tiles(data) {
  const glance = data.tiles;
  const rows = [
    ["Decisions", few(glance.decisions_per_s), "/s"],
    ["Facts", few(glance.facts_per_s), "/s"],
    ["Shown", count(glance.shown), ""],
    ["Clicked", count(glance.clicked), ""],
    ["Behind the log", ...duration(glance.log_lag_ms)],
    ["Model age", ...duration(glance.model_age_ms)],
  ];
  keyed(at("tiles"), rows, (row) => row[0], (row) => {
    const tile = make("div");
    tile.append(make("dt", "", row[0]), make("dd"));
    return tile;
  }, (tile, [, value, unit]) => {
    const small = make("small", "", unit);
    tile.lastChild.replaceChildren(value, ...(unit ? [small] : []));
  });
  at("lineage").textContent = glance.lineage
    ? `lineage ${glance.lineage} · generation ${count(glance.generation ?? 0)} · ${glance.packs} packs`
    : "no model yet: choices are even draws";
}

function rates(data) {
  const series = data.series[state.span];
  const minutes = duration(data.series.trailing_ms).join(" ");
  at("ctr-note").textContent = state.span === "total"
    ? "Since the studio began to read. Bands are 95 % intervals."
    : `Over the last ${minutes} at each point. Bands are 95 % intervals.`;
  if (series.times_ms.length) chart.show(series, POLICIES);
  else at("chart").replaceChildren(empty("Nothing shown yet", "Ask POST /v1/decide, then load the impression URLs it answers."));
  at("policies").hidden = !data.policies.length;
  const by = Object.fromEntries(data.policies.map((row) => [row.policy, row]));
  const rows = POLICIES.filter((policy) => policy in by).map((policy) => by[policy]);
  keyed(at("policies").tBodies[0], rows, (row) => row.policy, (row) => {
    const line = make("tr");
    const name = make("th");
    name.scope = "row";
    name.append(make("i", `dot ${row.policy}`), row.policy);
    line.append(name, make("td"), make("td"), make("td", "rate"), make("td", "soft"), make("td"), make("td"));
    return line;
  }, (line, row) => {
    const [, shown, clicked, rate, interval, original, random] = line.children;
    shown.textContent = count(row.shown);
    clicked.textContent = count(row.clicked);
    rate.textContent = percent(row.ctr);
    interval.textContent = row.ctr === null ? "–" : `${percent(row.low)} – ${percent(row.high)}`;
    lift(original, row, by.original);
    lift(random, row, row.policy === "linucb" ? by.random : undefined);
  });
}

function lift(cell, row, base) {
  cell.className = "soft";
  cell.textContent = "–";
  if (!base || base === row || !base.ctr || row.ctr === null) return;
  const by = row.ctr / base.ctr - 1;
  // Intervals that do not meet: a plain reading, stricter than a test of the difference.
  const apart = row.low > base.high || row.high < base.low;
  cell.className = apart ? (by > 0 ? "up" : "down") : "soft";
  cell.textContent = `${by >= 0 ? "+" : "−"}${Math.abs(by * 100).toFixed(1)} %`;
  cell.title = apart ? "The intervals do not meet" : "The intervals still meet";
}

function empty(title, text) {
  const box = make("p", "empty");
  box.append(make("strong", "", title), text);
  return box;
}

function slots(data) {
  const parent = at("slots");
  if (!data.slots.length) {
    const filtered = new URLSearchParams(new FormData(at("filters"))).toString().replace(/\w+=(&|$)/g, "") !== "";
    parent.replaceChildren(filtered
      ? empty("No creatives match", "Take a filter away to see more.")
      : empty("No creatives shown yet", "They appear here with their first impression."));
    parent.firstChild.classList.add("card");
  } else {
    if (parent.firstChild?.classList.contains("empty")) parent.replaceChildren();
    keyed(parent, data.slots, (slot) => `${slot.item} ${slot.placement}`, slotElement, fillSlot);
  }
  at("more").hidden = data.slot_count <= data.slots.length || state.limit >= MAX_SLOTS;
  at("more").textContent = `Show more (${data.slot_count - data.slots.length} left)`;
}

function slotElement(slot) {
  const box = make("article", "slot card");
  box.setAttribute("aria-label", `${slot.item} in ${slot.placement}`);
  const head = make("header");
  head.append(make("h3", "", slot.item), make("span", "meta", `${slot.category} · ${slot.placement}`), make("span", "count"));
  box.append(head, make("div", "arms"));
  return box;
}

function fillSlot(box, slot) {
  box.querySelector(".count").textContent = `${count(slot.shown)} shown`;
  const leader = Math.max(...slot.arms.map((arm) => arm.share_linucb ?? 0));
  keyed(box.lastChild, slot.arms, (arm) => arm.arm, armElement, (figure, arm) => fillArm(figure, arm, leader));
}

function armElement() {
  const figure = make("figure", "arm");
  const track = make("div", "track");
  track.append(make("i"), make("b"));
  const share = make("div", "share");
  share.append(track, make("span"));
  const caption = make("figcaption");
  caption.append(make("div", "name"), share, make("div", "ctr"));
  figure.append(make("div", "frame"), caption);
  return figure;
}

function fillArm(figure, arm, leader) {
  const [frame, caption] = figure.children;
  const [name, share, ctr] = caption.children;
  const aspect = arm.width && arm.height ? arm.width / arm.height : 1;
  const width = Math.min(FRAME_MAX_WIDTH, Math.max(FRAME_MIN_WIDTH, FRAME_HEIGHT * aspect));
  const height = Math.min(FRAME_HEIGHT * 1.5, width / aspect);
  figure.style.width = `${width}px`;
  frame.style.height = `${height}px`;
  if (frame.dataset.url !== String(arm.url)) {
    frame.dataset.url = String(arm.url);
    frame.replaceChildren(arm.url ? picture(arm.url, arm.arm) : make("span", "none", "no picture"));
  }
  const led = arm.share_linucb !== null && arm.share_linucb === leader && leader > 0;
  figure.classList.toggle("leads", led);
  name.textContent = name.title = arm.arm;
  figure.classList.toggle("untouched", arm.arm === "original" && !arm.share_linucb);
  const [track, value] = share.children;
  value.textContent = arm.share_linucb === null ? "" : percent(arm.share_linucb, 0);
  track.firstChild.style.width = percent(arm.share_linucb ?? 0, 1).replace(" ", "");
  track.lastChild.style.left = percent(arm.share_random ?? 0, 1).replace(" ", "");
  track.lastChild.hidden = !arm.share_random;
  share.title = `linucb ${percent(arm.share_linucb, 1)} of its traffic, random ${percent(arm.share_random, 1)}`;
  const half = arm.ctr === null ? 0 : (arm.high - arm.low) / 2;
  ctr.replaceChildren(make("b", "", percent(arm.ctr)), arm.ctr === null ? " not shown yet" : ` ± ${(half * 100).toFixed(2)}`);
  figure.setAttribute("aria-label", `${arm.arm}: click-through rate ${percent(arm.ctr)}, ${count(arm.shown)} shown, `
    + `${percent(arm.share_linucb, 0)} of linucb’s traffic`);
}

function picture(url, name) {
  const image = make("img");
  image.src = url;
  image.alt = `Creative ${name}`;
  image.loading = "lazy";
  image.decoding = "async";
  image.addEventListener("error", () => image.replaceWith(make("span", "none", "picture not found")));
  return image;
}

function options(select, values) {
  if (select.options.length === values.length + 1) return;
  const kept = select.value;
  select.replaceChildren(new Option("All", ""), ...values.map((value) => new Option(value, value)));
  select.value = values.includes(kept) ? kept : "";
}

function decisions(data) {
  if (state.held) return;
  const list = at("decisions");
  if (!data.decisions.length) {
    list.replaceChildren();
    at("decision").replaceChildren(empty("No decisions yet", "This server has not been asked."));
    return;
  }
  const shown = data.decisions.find((each) => each.id === state.picked?.id) ?? state.picked
    ?? data.decisions.find((each) => each.scores) ?? data.decisions[0];
  keyed(list, data.decisions, (each) => each.id, decisionRow, (row, each) => {
    row.firstChild.setAttribute("aria-current", String(each.id === shown.id));
  });
  const panel = at("decision");
  if (panel.dataset.id !== shown.id) {
    panel.dataset.id = shown.id;
    panel.replaceChildren(...detail(shown));
  }
}

function decisionRow(each) {
  const row = make("li");
  const button = make("button", each.policy);
  button.type = "button";
  const time = new Date(each.time_ms).toLocaleTimeString("en-GB");
  const what = make("span", "where");
  what.append(make("b", "", each.item), ` ${each.placement}`);
  button.append(make("span", "time", time), make("span", "chip", each.policy), what, make("span", "arm-name", each.arm),
    make("span", "p", each.propensity.toFixed(2)));
  button.setAttribute("aria-label", `${time}, ${each.policy} chose ${each.arm} for ${each.item} in ${each.placement}`);
  button.addEventListener("click", () => {
    state.picked = each;
    decisions(state.data);
    pickRow(each.id);
  });
  row.append(button);
  return row;
}

function pickRow(id) {
  for (const row of at("decisions").children) row.firstChild.setAttribute("aria-current", String(row.dataset.key === id));
  const panel = at("decision");
  panel.dataset.id = id;
  panel.replaceChildren(...detail(state.picked));
}

const readable = (name) => name.replaceAll(/\b\w+:/g, "").replaceAll("_", " ").replaceAll("=", " = ");

function detail(each) {
  const title = make("h3", "", `${each.arm} for ${each.item}`);
  const who = make("p", "who", `user ${each.user} · ${each.category} · ${each.placement} · propensity ${each.propensity.toFixed(3)}`);
  const parts = [title, who];
  if (each.flags.length) {
    const flags = make("p", "flags");
    flags.append(...each.flags.map((flag) => make("span", "", flag.replaceAll("_", " "))));
    parts.push(flags);
  }
  if (each.url) {
    const image = picture(each.url, each.arm);
    image.className = "picture";
    parts.push(image);
  }
  parts.push(make("h4", "", "Scores"), each.scores ? scores(each) : make("p", "note", unscored(each)));
  parts.push(make("h4", "", "Context"), context(each.context));
  return parts;
}

function unscored(each) {
  if (each.policy === "original") return "This policy always shows the untouched photo.";
  return `An even draw from ${each.eligible.length} arms: nothing was scored.`;
}

function scores(each) {
  const box = make("div", "bars");
  const top = Math.max(...each.scores.map(({ score }) => Math.abs(score)), 1e-9);
  for (const { arm, score } of [...each.scores].sort((a, b) => b.score - a.score)) {
    const chosen = arm === each.arm ? " chosen" : "";
    const track = make("div", `track${chosen}`);
    const bar = make("i");
    bar.style.width = `${(Math.max(score, 0) / top) * 100}%`;
    track.append(bar);
    box.append(make("span", chosen.trim(), arm), track, make("span", `value${chosen}`, score.toFixed(4)));
  }
  return box;
}

function context(entries) {
  const box = make("div", "bars");
  for (const { name, value } of entries) {
    const track = make("div", "track signed");
    const bar = make("i");
    const half = Math.min(Math.abs(value), 1) * 50;
    bar.style.width = `${half}%`;
    bar.style.left = `${value < 0 ? 50 - half : 50}%`;
    track.append(bar);
    const label = make("span", "", readable(name));
    label.title = name;
    box.append(label, track, make("span", "value", value.toFixed(2)));
  }
  return box;
}

function live(on, text) {
  at("live").className = `live ${on ? "on" : "off"}`;
  if (at("live-text").textContent !== text) at("live-text").textContent = text;
}

function draw(data) {
  state.data = data;
  tiles(data);
  rates(data);
  options(at("filters").elements.category, data.categories);
  options(at("filters").elements.placement, data.placements);
  slots(data);
  decisions(data);
}

async function refresh() {
  const asked = ++state.answered;
  const query = new URLSearchParams(new FormData(at("filters")));
  query.set("limit", String(state.limit));
  try {
    const response = await fetch(`studio/data.json?${query}`, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const data = await response.json();
    // A slow answer to an old question must not overwrite a newer one.
    if (asked !== state.answered) return;
    live(true, "live");
    draw(data);
  } catch (error) {
    live(false, `no answer (${error.message}): trying again`);
  }
}

async function follow() {
  if (!document.hidden) await refresh();
  setTimeout(follow, POLL_MS);
}

for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    state.span = button.dataset.span;
    for (const each of document.querySelectorAll("[data-span]")) each.setAttribute("aria-pressed", String(each === button));
    if (state.data) rates(state.data);
  });
}
at("filters").addEventListener("input", () => {
  state.limit = PAGE;
  refresh();
});
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("more").addEventListener("click", () => {
  state.limit = Math.min(MAX_SLOTS, state.limit + 2 * PAGE);
  refresh();
});
at("pause").addEventListener("click", () => {
  state.held = !state.held;
  at("pause").setAttribute("aria-pressed", String(state.held));
  at("pause").textContent = state.held ? "Held" : "Hold";
});
follow();
