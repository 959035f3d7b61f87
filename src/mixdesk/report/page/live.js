"use strict";
// The desk while a study runs. Asks once a second how far it is; when trials have ended it fetches the page anew, puts its
// parts into the open page and runs the desk's script again on the new data. What the reader has moved, locked, sorted,
// opened, found, pinned or focused is as before. In the hands of the desk's script: window.mixdesk (weights, locked, store,
// draw), #data, #console, #raw. This script stands before it, so as to know what it listens to.
(() => {
  const own = document.currentScript;  // the desk's script is the next element
  const $ = id => document.getElementById(id);
  const SECOND = 1000, CALM = 800;  // milliseconds; the second: without key or pointer, before the page is touched

  // ---------- what an earlier round of the desk's script listens to must not outlive it ----------
  let round = new AbortController();
  for (const target of [window, document]) {
    const add = target.addEventListener.bind(target);
    // Figures that stay listen to the window's size themselves.
    target.addEventListener = (type, told, options) => add(type, told, type === "resize" ? options : { ...(typeof options === "object" ? options : { capture: !!options }), signal: round.signal });
    target.listen = add;
  }
  if (window.requestIdleCallback) {
    const idle = window.requestIdleCallback.bind(window);
    window.requestIdleCallback = (told, options) => { const mine = round; return idle(time => { if (mine === round) told(time); }, options); };
  }

  // ---------- the bar ----------
  const part = (tag, name, text = "") => { const node = document.createElement(tag); node.className = name; node.textContent = text; return node; };
  const bar = part("div", "livebar"), count = part("b", ""), age = part("span", ""), spoken = part("div", "sr");
  bar.setAttribute("role", "status"); bar.setAttribute("aria-live", "off"); spoken.setAttribute("aria-live", "polite");
  const row = part("div", "wrap"); row.append(part("i", ""), count, age); bar.append(row);
  const ago = s => s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;

  let stamp = +own.dataset.stamp, seen = null, heard = 0, misses = 0, isOver = false, headline = "";
  function show() {
    if (!seen) return;
    const { n_done, n_failed, n_asked, n_planned } = seen, out = n_asked - n_done - n_failed;
    count.textContent = `${n_done} of ${n_planned} trials in`;
    const parts = [n_failed ? `${n_failed} failed` : "", !isOver && out > 0 ? `${out} out` : "", `updated ${ago(seen.seconds + (performance.now() - heard) / SECOND)} ago`];
    age.textContent = (isOver ? ["the run has ended", ...parts] : parts).filter(Boolean).join(", ");
    if (seen.headline && seen.headline !== headline) { headline = seen.headline; spoken.textContent = headline; }
  }
  async function look() {
    try {
      const answer = await fetch("state", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      seen = await answer.json(); heard = performance.now(); misses = 0; isOver = !seen.is_running;
      const { stamp: newest } = seen;
      if (newest !== stamp && isCalm() && await patch()) stamp = newest;
    } catch { misses += 1; isOver = isOver || misses > 3; }
    show();
    if (isOver) end(); else setTimeout(look, SECOND);
  }
  function end() { bar.classList.add("over"); const button = $("try-next"); if (button) button.disabled = true; show(); }

  // ---------- the reader ----------
  let last = -CALM, isDown = false;
  const stir = () => { last = performance.now(); };
  for (const type of ["keydown", "pointermove", "wheel", "touchmove", "scroll"]) document.listen(type, e => { if (type !== "pointermove" || isDown) stir(e); }, { passive: true, capture: true });
  document.listen("pointerdown", () => { isDown = true; stir(); }, true);
  for (const type of ["pointerup", "pointercancel"]) document.listen(type, () => { isDown = false; stir(); }, true);
  const isTyping = () => document.activeElement instanceof HTMLInputElement;
  function isCalm() {
    const chosen = getSelection();
    return !isDown && !isTyping() && performance.now() - last > CALM && !(chosen && chosen.type === "Range");
  }

  // ---------- what the reader did to the page, and doing it again ----------
  const same = (a, b) => a.every((x, i) => Math.abs(x - b[i]) < 1e-9);
  const data = () => JSON.parse($("data").textContent);
  const all = (found, root = document) => [...root.querySelectorAll(found)];
  const PRESSED = "#console .tbtn[aria-pressed]", SCROLLED = ".tablewrap, .channels, .list, .lanes";
  // What tells a part of the page from its like: the card or section that it is in, and its own name.
  const nameOf = node => { const card = node.closest(".card, section"), title = card.querySelector("h3, h2"); return [card.id, title ? title.textContent : "", node.getAttribute("aria-label") || (node.tagName === "DETAILS" ? node.querySelector("summary").textContent : "")].join(); };
  const named = (found, of) => new Map(all(found).map(node => [nameOf(node), of(node)]));
  // What is remembered of the faders: without `mixture` where they stand as the page set them.
  function faders({ console: desk }) {
    if (!desk) return null;
    const { mixture, locks, undo, redo, open } = window.mixdesk.store, start = desk.presets.find(one => one.name === desk.start).weights;
    return { mixture: locks.some(Boolean) || !same(mixture, start) ? mixture : null, locks, undo, redo, open };
  }
  function kept() {
    const known = data(), raw = $("raw"), head = raw && raw.querySelector("[aria-sort]"), focus = document.activeElement, { pinned } = window.mixdesk.store;
    const places = spots(), isSeen = node => { const { top, bottom } = node.getBoundingClientRect(); return bottom > 90 && top < innerHeight; };
    const held = places.findIndex(node => node.contains(focus) && isSeen(node)), at = held >= 0 ? held : places.findIndex(isSeen);
    return {
      faders: faders(known), pinned: pinned === null ? null : known.trials.id[pinned],
      pressed: all(PRESSED).filter(node => node.getAttribute("aria-pressed") === "true").map(node => node.textContent),
      sort: head ? [head.cellIndex, head.getAttribute("aria-sort")] : null,
      found: named("main .find", node => node.value), picked: named("main .pick", node => node.selectedOptions[0].textContent), open: named("main details", node => node.open),
      scrolled: named(SCROLLED, node => [node.scrollLeft, node.scrollTop]),
      focus: focus && focus.closest("main, header") ? [focus.tagName, focus.getAttribute("aria-label"), focus.id, focus.textContent] : null,
      place: at >= 0 && scrollY > 0 ? [at, places.length, places[at].closest("section").id, topOf(places[at]), topOf(places[at].closest("section"))] : null,
      theme: document.documentElement.dataset.theme,
    };
  }
  // Where the reader may be: what has the focus, else what is seen first; where their number changed, its section.
  const topOf = node => node.getBoundingClientRect().top;
  const spots = () => all("main .front, main .card, main .console");
  function again(was) {
    if (document.documentElement.dataset.theme !== was.theme) $("theme").click();
    const { store } = window.mixdesk, known = data();
    if (was.faders && known.console) store.take(was.faders);
    const raw = $("raw");
    if (raw && was.sort) { const head = raw.tHead.rows[0].cells[was.sort[0]]; for (let i = 0; i < 2 && head.getAttribute("aria-sort") !== was.sort[1]; i++) head.querySelector("button").click(); }
    for (const node of all(PRESSED)) if (was.pressed.includes(node.textContent) && node.getAttribute("aria-pressed") === "false") node.click();
    for (const node of all("main .find")) { const text = was.found.get(nameOf(node)); if (text) { node.value = text; node.dispatchEvent(new Event("input")); } }
    for (const node of all("main .pick")) { const at = [...node.options].findIndex(one => one.textContent === was.picked.get(nameOf(node))); if (at >= 0 && at !== node.selectedIndex) { node.selectedIndex = at; node.dispatchEvent(new Event("change")); } }
    for (const node of all("main details")) node.open = was.open.get(nameOf(node)) ?? node.open;
    for (const node of all(SCROLLED)) [node.scrollLeft, node.scrollTop] = was.scrolled.get(nameOf(node)) || [0, 0];
    if (was.pinned !== null && known.trials.id.includes(was.pinned)) store.pin(known.trials.id.indexOf(was.pinned));
    if (was.focus) {
      const [tag, label, id, text] = was.focus;
      const found = id ? $(id) : all(`main ${tag}, header ${tag}`).find(node => node.getAttribute("aria-label") === label && (label || node.textContent === text));
      if (found) found.focus({ preventScroll: true });
    }
    if (was.place) {
      const [i, n, section, y, sectionY] = was.place, places = spots(), isSame = places.length === n;
      scrollBy({ top: isSame ? topOf(places[i]) - y : topOf($(section)) - sectionY, behavior: "instant" });
    }
  }

  // ---------- the page of the newest trials ----------
  // Whether the page is now as new as that.
  // Sections stay and get new contents: the browser knows how tall those out of sight are.
  const PLACES = ["header.top", ...["decide", "proof", "explore", "doubt", "raw-section"].map(id => "#" + id), "#dock"];
  async function patch() {
    const answer = await fetch("news", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const news = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!isCalm()) return false;
    const was = kept();
    round.abort(); round = new AbortController();
    document.querySelector("head style").textContent = news.querySelector("head style").textContent;
    document.title = news.title;
    $("data").textContent = news.getElementById("data").textContent;
    for (const node of all("body > .hotcard")) node.remove();
    document.body.classList.remove("docked");
    // A figure that is drawn stays, so that it does not flicker; the desk's script then changes it in place.
    for (const node of all(".fig", news)) {
      const old = $(node.id);
      if (!old || !old.classList.contains("js-plotly-plot")) continue;
      for (const type of ["plotly_hover", "plotly_unhover", "plotly_click", "plotly_afterplot"]) old.removeAllListeners(type);
      for (const layer of all(".hotlayer", old)) layer.remove();
      old.setAttribute("aria-label", node.getAttribute("aria-label")); old.style.minHeight = node.style.minHeight;
      node.replaceWith(old);
    }
    for (const place of PLACES) document.querySelector(place).replaceChildren(...news.querySelector(place).childNodes);
    const script = document.createElement("script");
    script.textContent = own.nextElementSibling.textContent;
    document.body.append(script); script.remove();
    document.querySelector("header.top").append(bar); button(); again(was);
    window.mixdesk.draw();
    return true;
  }

  // ---------- asking ----------
  let said = null;  // [sentence, whether it is bad]
  function tell(text, isBad) {
    said = [text, isBad];
    const line = $("try-said"); line.textContent = text; line.classList.toggle("bad", isBad);
  }
  function button() {
    const top = document.querySelector("#console .bar2");
    if (!top) return;
    const node = part("button", "tbtn", "Try this mixture next"), line = part("p", "tried");
    node.type = "button"; node.id = "try-next"; node.disabled = isOver; line.id = "try-said"; line.setAttribute("role", "status");
    node.addEventListener("click", ask); top.append(node, line);
    if (said) tell(...said);
  }
  async function ask() {
    const { domains } = data().console, weights = window.mixdesk.weights();
    $("try-next").disabled = true;
    try {
      const body = JSON.stringify({ mixture: Object.fromEntries(domains.map((name, j) => [name, weights[j]])) });
      const answer = await fetch("try", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const found = await answer.json();
      tell(found.said || found.error, !answer.ok);
    } catch { tell("The run could not be reached: it has ended.", true); }
    const node = $("try-next"); if (node) node.disabled = isOver;
  }

  document.listen("DOMContentLoaded", () => { document.querySelector("header.top").append(bar); document.body.append(spoken); button(); look(); });
})();
