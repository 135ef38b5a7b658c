"use strict";
// Everything shown is set as text: titles, prompts and names come from strangers.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const CHUNK = 60;
const FILTERS = ["category", "item", "arm", "placement", "verdict", "reason"];
const LABELS = { item: "product", arm: "prompt" };
const pictures = data.pictures;
const tagNames = [...new Set(pictures.flatMap((picture) => Object.keys(picture.tags)))].sort();
const photos = new Map();
let state = { q: "", open: "", factor: "" };
let shown = [];
let drawn = 0;
let wasFocused = null;

for (const picture of pictures) {
  if (picture.verdict === "photo") photos.set(`${picture.item}\n${picture.placement}`, picture);
  picture.words = [picture.item, picture.title, picture.category, picture.arm, picture.placement, picture.text, ...picture.reasons]
    .join("\n").toLowerCase();
}
const photoOf = (picture) => (picture.verdict === "photo" ? null : photos.get(`${picture.item}\n${picture.placement}`) || null);
const names = () => [...FILTERS, ...tagNames.map((name) => `tag.${name}`)];

function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.includes("-") || name === "for" || name === "scope") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}
const count = (number) => number.toLocaleString("en");
const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

function valuesOf(picture, name) {
  if (name === "reason") return picture.reasons;
  if (name.startsWith("tag.")) return Object.hasOwn(picture.tags, name.slice(4)) ? [picture.tags[name.slice(4)]] : [];
  return [picture[name]];
}

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  state = { q: given.get("q") || "", open: given.get("open") || "", factor: given.get("factor") || "" };
  for (const name of names()) state[name] = given.get(name) || "";
}

function writeHash() {
  const kept = new URLSearchParams(Object.entries(state).filter(([, value]) => value));
  history.replaceState(null, "", `#${kept}`);
}

function change(values) {
  Object.assign(state, values);
  writeHash();
  draw();
}

function matches(picture) {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  return names().every((name) => !state[name] || valuesOf(picture, name).includes(state[name])) && words.every((word) => picture.words.includes(word));
}

function pictureOf(picture, lazy) {
  if (!picture.source) return make("span", { class: "broken", title: picture.problem }, picture.problem || "no picture");
  const image = make("img", { alt: `${picture.title || picture.item}, ${picture.arm}`, decoding: "async", loading: lazy ? "lazy" : "eager" });
  image.width = picture.width;
  image.height = picture.height;
  image.src = picture.source;
  return image;
}

function badge(picture) {
  const words = { passed: "passed", rejected: picture.reasons.join(", ") || "rejected", photo: "photo" };
  return make("span", { class: `badge ${picture.verdict}` }, words[picture.verdict]);
}

function card(picture) {
  const before = photoOf(picture);
  const frame = make("span", { class: "frame" }, pictureOf(picture, true));
  if (before && before.source) {
    frame.dataset.before = "";
    // The photo is fetched when a pointer first comes near: half the pictures need never be decoded.
    frame.addEventListener("pointerenter", () => {
      if (frame.dataset.before === "") {
        frame.dataset.before = "there";
        const image = pictureOf(before, false);
        image.className = "before";
        frame.append(image);
      }
    });
  }
  const button = make(
    "button",
    { class: `picture ${picture.verdict}`, type: "button", "data-id": picture.id },
    frame,
    make("span", { class: "caption" }, make("b", {}, picture.title || picture.item), badge(picture)),
    make("span", { class: "sub" }, `${picture.arm} · ${picture.placement}`),
  );
  button.addEventListener("click", () => change({ open: picture.id }));
  return button;
}

function drawMore() {
  const next = shown.slice(drawn, drawn + CHUNK);
  drawn += next.length;
  at("grid").append(...next.map(card));
  at("more").hidden = drawn >= shown.length;
}

function drawSelects() {
  const rows = names().map((name) => {
    const found = [...new Set(pictures.flatMap((picture) => valuesOf(picture, name)))].sort();
    if (found.length < 2 && name !== "reason") return null;
    if (!found.length) return null;
    const label = name.startsWith("tag.") ? name.slice(4) : LABELS[name] || name;
    const select = make("select", { name, "aria-label": label }, make("option", { value: "" }, `any ${label}`));
    select.append(...found.map((value) => make("option", { value }, value)));
    select.addEventListener("change", () => change({ [name]: select.value, open: "" }));
    return select;
  });
  at("selects").append(...rows.filter(Boolean));
}

function drawTiles() {
  const painted = pictures.filter((picture) => picture.verdict !== "photo");
  const all = (data.rates.all || [])[0];
  const entries = [
    ["products", count(new Set(pictures.map((picture) => picture.item)).size), ""],
    ["prompts", count(new Set(painted.map((picture) => `${picture.category}\n${picture.arm}`)).size), ""],
    ["pictures", count(painted.length), `and ${plural(pictures.length - painted.length, "photo")}`],
  ];
  if (all) {
    entries.push(["passed the gate", share(all.passed, all.made), `${count(all.made - all.passed)} refused`]);
    entries.push(["with the first seed", share(all.at_once, all.made), ""]);
  }
  at("tiles").append(...entries.map(([name, value, more]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, more)))));
  const left = data.total - pictures.length;
  at("summary").textContent = left > 0
    ? `${plural(pictures.length, "picture")} of ${count(data.total)}; the other ${count(left)} are left out. Rates are of all.`
    : data.linked ? "Full pictures, from the object store." : "Small copies of the pictures are in this file.";
}

function drawRates() {
  const order = ["category", "prompt", "placement", ...tagNames];
  const factors = order.filter((name) => data.rates[name]);
  at("rates").hidden = !factors.length;
  if (!factors.length) return;
  const chosen = factors.includes(state.factor) ? state.factor : factors[0];
  at("factors").replaceChildren(...factors.map((name) => {
    const button = make("button", { type: "button", "aria-pressed": String(name === chosen) }, name);
    button.addEventListener("click", () => change({ factor: name }));
    return button;
  }));
  at("factor").textContent = chosen;
  const filter = { prompt: "arm", category: "category", placement: "placement" }[chosen] || `tag.${chosen}`;
  at("values").replaceChildren(...data.rates[chosen].map((row) => {
    const pick = make("button", { type: "button", class: "pick" }, row.value);
    pick.addEventListener("click", () => { change({ [filter]: row.value, open: "" }); at("pictures").scrollIntoView(); });
    const meter = make("meter", { min: 0, max: 1, value: row.passed / row.made, "aria-label": `passed ${share(row.passed, row.made)}` });
    return make(
      "tr", {},
      make("th", { scope: "row" }, pick),
      make("td", {}, count(row.made)),
      make("td", { class: "rate" }, meter, share(row.passed, row.made)),
      make("td", {}, share(row.at_once, row.made)),
      make("td", { class: "why" }, row.reasons.map(([name, times]) => `${name} ${count(times)}`).join(" · ") || "–"),
    );
  }));
}

function numbersOf(picture) {
  const rows = Object.entries(picture.numbers).map(([name, value]) => {
    const limits = data.limits[name];
    const bad = picture.reasons.includes(name);
    const low = limits && limits[0] > -999 ? limits[0] : null;
    const high = limits && limits[1] < 999 ? limits[1] : null;
    const rule = !limits ? "" : low === null ? `up to ${high}` : high === null ? `from ${low}` : low === 0 ? `up to ${high}` : `${low} to ${high}`;
    return make("tr", bad ? { class: "bad" } : {}, make("th", { scope: "row" }, name), make("td", {}, String(value)), make("td", {}, rule));
  });
  return rows.length ? make("table", { class: "numbers" }, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "number"), make("th", { scope: "col" }, "measured"), make("th", { scope: "col" }, "passes"))), make("tbody", {}, ...rows)) : null;
}

function factsOf(picture) {
  const facts = [
    ["prompt", picture.text], ["negative", picture.negative],
    ["tags", Object.entries(picture.tags).map(([name, value]) => `${name}: ${value}`).join(" · ")],
    ["product", picture.title ? `${picture.title} (${picture.item})` : picture.item],
    ["placement", `${picture.placement}, ${picture.width} × ${picture.height} px, ${count(Math.round(picture.bytes / 1024))} KiB`],
    ["attempt", picture.verdict === "photo" ? "" : `${picture.attempt + 1}, seed ${picture.seed}`],
    ["painted by", picture.backend], ["recipe", picture.recipe], ["creative", picture.id], ["photo SHA-256", picture.photo],
  ];
  const list = make("dl", {});
  for (const [name, value] of facts) if (value) list.append(make("dt", {}, name), make("dd", {}, value));
  return list;
}

function drawView() {
  const view = at("view");
  const picture = pictures.find((entry) => entry.id === state.open);
  if (!picture) {
    if (view.open) {
      view.close();
      if (wasFocused) document.querySelector(`[data-id="${wasFocused}"]`)?.focus();
    }
    return;
  }
  wasFocused = picture.id;
  const before = photoOf(picture);
  const frame = at("frame");
  frame.replaceChildren(pictureOf(picture, false));
  frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
  at("wipe").hidden = !before || !before.source;
  if (!at("wipe").hidden) {
    const image = pictureOf(before, false);
    image.className = "before";
    frame.append(image);
  }
  at("slider").value = "0";
  wipe();
  at("view-title").textContent = picture.title || picture.item;
  at("view-sub").replaceChildren(`${picture.arm} · ${picture.placement} `, badge(picture));
  at("view-body").replaceChildren(...[numbersOf(picture), factsOf(picture)].filter(Boolean));
  const place = shown.indexOf(picture);
  at("place").textContent = place < 0 ? "" : `${count(place + 1)} of ${count(shown.length)}`;
  at("previous").disabled = place <= 0;
  at("next").disabled = place < 0 || place >= shown.length - 1;
  if (!view.open) view.showModal();
}

function wipe() {
  const image = at("frame").querySelector(".before");
  if (image) image.style.clipPath = `inset(0 ${100 - Number(at("slider").value)}% 0 0)`;
}

function step(by) {
  const place = shown.findIndex((picture) => picture.id === state.open) + by;
  if (state.open && place >= 0 && place < shown.length) change({ open: shown[place].id });
}

let drawnFor = null;
function draw() {
  drawRates();
  at("q").value = state.q;
  for (const select of at("selects").children) select.value = state[select.name];
  const filters = JSON.stringify([state.q, ...names().map((name) => state[name])]);
  if (filters !== drawnFor) {
    drawnFor = filters;
    shown = pictures.filter(matches);
    drawn = 0;
    at("grid").replaceChildren();
    at("count").textContent = shown.length ? plural(shown.length, "picture") : "No picture is like that.";
    at("reset").hidden = shown.length === pictures.length;
    drawMore();
  }
  drawView();
}

at("filters").addEventListener("submit", (event) => event.preventDefault());
at("q").addEventListener("input", () => change({ q: at("q").value, open: "" }));
at("reset").addEventListener("click", () => change({ q: "", open: "", ...Object.fromEntries(names().map((name) => [name, ""])) }));
at("close").addEventListener("click", () => change({ open: "" }));
at("view").addEventListener("cancel", (event) => { event.preventDefault(); change({ open: "" }); });
at("view").addEventListener("click", (event) => { if (event.target === at("view")) change({ open: "" }); });
at("previous").addEventListener("click", () => step(-1));
at("next").addEventListener("click", () => step(1));
at("slider").addEventListener("input", wipe);
addEventListener("hashchange", () => { readHash(); draw(); });
addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") && event.key !== "Escape") return;
  if (at("view").open) {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
    if (event.key === "b" && !at("wipe").hidden) { at("slider").value = at("slider").value === "0" ? "100" : "0"; wipe(); }
    return;
  }
  if (event.key === "/") { event.preventDefault(); at("q").focus(); return; }
  const cards = [...at("grid").children];
  const place = cards.indexOf(document.activeElement);
  const across = cards.filter((entry) => entry.offsetTop === cards[0].offsetTop).length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
  if (by && place >= 0 && cards[place + by]) { event.preventDefault(); cards[place + by].focus(); }
});

readHash();
drawSelects();
drawTiles();
draw();
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) drawMore();
}, { rootMargin: "1200px" }).observe(at("more"));
