"use strict";
// The desk while a study runs. Asks once a second how far it is; when trials have ended it fetches the page anew, puts its
// parts into the open page and runs the desk's script again on the new data. What the reader has moved, locked, sorted,
// opened or focused is as before. In the hands of the desk's script: window.mixdesk (weights, locked, move, lock, settle,
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
  for (const type of ["keydown", "pointermove", "wheel", "touchmove"]) document.listen(type, e => { if (type !== "pointermove" || isDown) stir(e); }, { passive: true, capture: true });
  document.listen("pointerdown", () => { isDown = true; stir(); }, true);
  for (const type of ["pointerup", "pointercancel"]) document.listen(type, () => { isDown = false; stir(); }, true);
  const isTyping = () => document.activeElement instanceof HTMLInputElement;
  function isCalm() {
    const chosen = getSelection();
    return !isDown && !isTyping() && performance.now() - last > CALM && !(chosen && chosen.type === "Range");
  }

  // ---------- what the reader did to the page, and doing it again ----------
  const same = (a, b) => a.length === b.length && a.every((x, i) => Math.abs(x - b[i]) < 1e-9);
  const desk = () => JSON.parse($("data").textContent).console;
  const start = data => data.presets.find(one => one.name === data.start).weights;
  function kept() {
    const data = desk(), weights = data ? window.mixdesk.weights() : [], locked = data ? window.mixdesk.locked() : [];
    const isMoved = data && (locked.some(Boolean) || !same(weights, start(data)));
    const raw = $("raw"), head = raw && raw.querySelector("[aria-sort]"), focus = document.activeElement;
    const places = spots(), isSeen = node => { const { top, bottom } = node.getBoundingClientRect(); return bottom > 90 && top < innerHeight; };
    const held = places.findIndex(node => node.contains(focus) && isSeen(node)), at = held >= 0 ? held : places.findIndex(isSeen);
    return {
      desk: isMoved ? { weights, locked } : null,
      tab: [...document.querySelectorAll("#console .copy [aria-pressed=true]")].map(node => node.textContent)[0],
      sort: head ? [head.cellIndex, head.getAttribute("aria-sort")] : null, isLong: Boolean(raw && raw.classList.contains("all")),
      open: [...document.querySelectorAll("main details")].map(node => node.open),
      across: [...document.querySelectorAll(".tablewrap, .channels")].map(node => node.scrollLeft),
      focus: focus && focus.closest("main, header") ? [focus.tagName, focus.getAttribute("aria-label"), focus.id, focus.textContent] : null,
      place: at >= 0 && scrollY > 0 ? [at, places.length, places[at].closest("section").id, topOf(places[at]), topOf(places[at].closest("section"))] : null,
      theme: document.documentElement.dataset.theme,
    };
  }
  // Where the reader may be: what has the focus, else what is seen first; where their number changed, its section.
  const topOf = node => node.getBoundingClientRect().top;
  const spots = () => [...document.querySelectorAll("main .verdict, main .card, main .console")];
  function again(was) {
    if (document.documentElement.dataset.theme !== was.theme) $("theme").click();
    if (was.desk && desk()) {
      const { move, lock, settle, weights } = window.mixdesk, to = was.desk;
      to.weights.forEach((w, j) => { if (!same(weights(), to.weights)) move(j, w); lock(j); });
      window.mixdesk.locked().forEach((isLocked, j) => { if (isLocked !== to.locked[j]) lock(j); });
      settle();
    }
    const raw = $("raw");
    if (raw && was.sort) { const head = raw.tHead.rows[0].cells[was.sort[0]]; for (let i = 0; i < 2 && head.getAttribute("aria-sort") !== was.sort[1]; i++) head.querySelector("button").click(); }
    if (raw && was.isLong && $("more")) $("more").click();
    for (const node of document.querySelectorAll("#console .copy button")) if (node.textContent === was.tab && node.getAttribute("aria-pressed") === "false") node.click();
    document.querySelectorAll("main details").forEach((node, i) => { if (was.open[i] !== undefined) node.open = was.open[i]; });
    document.querySelectorAll(".tablewrap, .channels").forEach((node, i) => { node.scrollLeft = was.across[i] || 0; });
    if (was.focus) {
      const [tag, label, id, text] = was.focus;
      const found = id ? $(id) : [...document.querySelectorAll(`main ${tag}, header ${tag}`)].find(node => node.getAttribute("aria-label") === label && (label || node.textContent === text));
      if (found) found.focus({ preventScroll: true });
    }
    if (was.place) {
      const [i, n, section, y, sectionY] = was.place, places = spots(), isSame = places.length === n;
      scrollBy({ top: isSame ? topOf(places[i]) - y : topOf($(section)) - sectionY, behavior: "instant" });
    }
  }

  // ---------- the page of the newest trials ----------
  // Whether the page is now as new as that.
  const PARTS = ["header.top", "main", "#dock"];
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
    for (const name of PARTS) {
      const fresh = document.adoptNode(news.querySelector(name));
      // A figure that is drawn stays, so that it does not flicker; the desk's script then changes it in place.
      for (const node of fresh.querySelectorAll(".fig")) {
        const old = $(node.id);
        if (!old || !old.classList.contains("js-plotly-plot")) continue;
        for (const type of ["plotly_hover", "plotly_unhover", "plotly_click"]) old.removeAllListeners(type);
        old.setAttribute("aria-label", node.getAttribute("aria-label")); old.style.minHeight = node.style.minHeight;
        node.replaceWith(old);
      }
      document.querySelector(name).replaceWith(fresh);
    }
    const script = document.createElement("script");
    script.textContent = own.nextElementSibling.textContent;
    document.body.append(script); script.remove();
    document.querySelector("header.top").append(bar); button(); again(was);
    if (window.Plotly) window.mixdesk.draw();
    return true;
  }

  // ---------- asking ----------
  let said = null;  // [sentence, whether it is bad]
  function tell(text, isBad) {
    said = [text, isBad];
    const line = $("tried"); line.textContent = text; line.classList.toggle("bad", isBad);
  }
  function button() {
    const top = document.querySelector("#console .bar2");
    if (!top) return;
    const node = part("button", "tbtn", "Try this mixture next"), line = part("p", "tried");
    node.type = "button"; node.id = "try-next"; node.disabled = isOver; line.id = "tried"; line.setAttribute("role", "status");
    node.addEventListener("click", ask); top.append(node, line);
    if (said) tell(...said);
  }
  async function ask() {
    const { domains } = desk(), weights = window.mixdesk.weights();
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
