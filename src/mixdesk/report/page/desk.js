"use strict";
// The desk: evaluates the fitted law at the faders' mixture, and draws the figures. It never decides: verdicts come from Python.
window.mixdesk = (() => {
  const DATA = JSON.parse(document.getElementById("data").textContent), DESK = DATA.console, TRIALS = DATA.trials;
  const $ = id => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";

  // ---------- elements: text enters as text nodes only ----------
  function h(tag, props = {}, ...kids) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (value == null || value === false) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "style") for (const [k, v] of Object.entries(value)) k.startsWith("--") ? node.style.setProperty(k, v) : node.style[k] = v;
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...kids.flat().filter(kid => kid != null));
    return node;
  }
  function s(tag, props = {}, ...kids) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(props)) node.setAttribute(key, value);
    node.append(...kids);
    return node;
  }
  const SIGNS = {
    "recipe": ["path", { d: "M6 .4L11.6 6 6 11.6.4 6Z", fill: "currentColor" }],
    "best seen": ["path", { d: "M6 1.4L11 10.6H1Z", fill: "none", stroke: "currentColor", "stroke-width": 1.5 }],
    "natural": ["circle", { cx: 6, cy: 6, r: 4.7, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }],
    "uniform": ["rect", { x: 1.4, y: 1.4, width: 9.2, height: 9.2, fill: "none", stroke: "currentColor", "stroke-width": 1.5 }],
  };
  const shape = name => s(...(SIGNS[name] || SIGNS.uniform));
  const sign = name => s("svg", { viewBox: "0 0 12 12", class: "sign", "aria-hidden": "true" }, shape(name));
  const bdi = (text, n = 28) => { const short = middle(text, n); return h("bdi", short === text ? {} : { title: text }, short); };
  const middle = (text, n) => { const c = [...text]; if (c.length <= n) return text; const a = (n - 1) >> 1; return c.slice(0, a).join("") + "…" + c.slice(a + 1 - n).join(""); };

  // ---------- numbers as the page prints them ----------
  const value = x => !Number.isFinite(x) ? "–" : x.toFixed(Math.abs(x) < 100 ? 4 : 2).replace("-", "−");
  const diff = x => { if (!Number.isFinite(x)) return "–"; const t = value(Math.abs(x)); return /[1-9]/.test(t) ? (x < 0 ? "−" : "+") + t : t; };
  const percent = w => (100 * w).toFixed(1);

  // ---------- the law and the objective ----------
  function objective(row) {
    let sum = 0, total = 0, worst = -Infinity;
    DESK.metrics.forEach((m, j) => { if (m.weight > 0) { sum += m.weight * m.sign * row[j]; total += m.weight; worst = Math.max(worst, m.sign * row[j]); } });
    return DESK.reduce === "worst" ? worst : sum / total;
  }
  const interval = (values, centre) => law.interval(values, centre);
  function leverage(w) {
    const { centre, inverse } = DESK.region, gap = w.map((x, j) => x - centre[j]);
    let sum = 0;
    for (let i = 0; i < gap.length; i++) { let row = 0; for (let j = 0; j < gap.length; j++) row += inverse[i][j] * gap[j]; sum += gap[i] * row; }
    return sum;
  }

  // Whether trials mixed with one another give these weights, to 1e-5: least squares with weights ≥ 0 (Lawson, Hanson).
  function isBetween(w, rows) {
    const dot = (a, b) => { let sum = 0; for (let j = 0; j < a.length; j++) sum += a[j] * b[j]; return sum; };
    let used = [], x = [];
    for (let round = 0; round < 6 * w.length; round++) {
      const rest = w.map((v, j) => v - used.reduce((sum, i, k) => sum + x[k] * rows[i][j], 0));
      if (Math.sqrt(dot(rest, rest)) <= 1e-5) return true;
      let best = -1, most = 1e-9;
      for (let i = 0; i < rows.length; i++) { const pull = dot(rows[i], rest); if (pull > most && !used.includes(i)) { best = i; most = pull; } }
      if (best < 0) return false;
      used.push(best); x.push(0);
      for (;;) {
        const z = solve(used.map(i => used.map(k => dot(rows[i], rows[k]) + (i === k ? 1e-12 : 0))), used.map(i => dot(rows[i], w)));
        const step = Math.min(1, ...z.map((v, k) => v > 0 ? 1 : x[k] / (x[k] - v)));
        x = x.map((v, k) => v + step * (z[k] - v));
        if (step === 1) break;
        const kept = x.map(v => v > 1e-12); used = used.filter((_, k) => kept[k]); x = x.filter(v => v > 1e-12);
      }
    }
    return false;
  }
  // Gauss with pivots.
  function solve(A, b) {
    const n = b.length, M = A.map((row, i) => [...row, b[i]]);
    for (let i = 0; i < n; i++) {
      let top = i; for (let k = i + 1; k < n; k++) if (Math.abs(M[k][i]) > Math.abs(M[top][i])) top = k;
      [M[i], M[top]] = [M[top], M[i]];
      for (let k = i + 1; k < n; k++) { const f = M[k][i] / M[i][i]; for (let j = i; j <= n; j++) M[k][j] -= f * M[i][j]; }
    }
    const x = new Array(n);
    for (let i = n - 1; i >= 0; i--) { x[i] = M[i][n]; for (let j = i + 1; j < n; j++) x[i] -= M[i][j] * x[j]; x[i] /= M[i][i]; }
    return x;
  }

  // ---------- the mixture: one list of weights that always sums to one ----------
  const D = DESK ? DESK.domains.length : 0;
  let W = [], locked = [], undo = [], redo = [], pending = null, law = null, base = null, tried = [];
  const guards = new Map();  // rival → what the law says of it
  const preset = name => DESK.presets.find(p => p.name === name);
  const freeOf = j => W.map((_, i) => i).filter(i => i !== j && !locked[i]);
  // The moved channel gets what is asked; the other unlocked ones keep their proportions; locked ones stand still.
  function move(j, asked) {
    const others = freeOf(j);
    if (locked[j]) return say(DESK.domains[j] + " is locked.");
    if (!others.length) return say("Everything else is locked, so this fader cannot move.");
    let held = 0; for (let i = 0; i < D; i++) if (locked[i]) held += W[i];
    const room = Math.max(0, 1 - held), x = Math.min(Math.max(asked, 0), room), rest = room - x;
    if (!Number.isFinite(x) || x === W[j]) return;
    keep();
    let sum = 0; for (const i of others) sum += W[i];
    const next = W.slice(); next[j] = x;
    for (const i of others) next[i] = sum > 1e-12 ? W[i] / sum * rest : rest / others.length;
    W = next; changed();
  }
  // A preset leaves locked channels alone and shares what is left in its own proportions.
  function load(weights) {
    let held = 0, sum = 0;
    for (let i = 0; i < D; i++) locked[i] ? held += W[i] : sum += weights[i];
    const n = locked.filter(x => !x).length;
    if (!n) return say("Every fader is locked.");
    settle(); keep(); const room = Math.max(0, 1 - held);
    W = W.map((w, i) => locked[i] ? w : sum > 1e-12 ? weights[i] / sum * room : room / n); changed(); settle();
  }
  // A drag or a burst of keys within 350 ms is one step to undo.
  function keep() { if (pending === null) { undo.push(W.slice()); redo = []; if (undo.length > 200) undo.shift(); } clearTimeout(pending); pending = setTimeout(settle, 350); }
  function settle() { clearTimeout(pending); pending = null; buttons(); }
  function step(from, to) { settle(); if (!from.length) return; to.push(W.slice()); W = from.pop(); changed(); buttons(); }
  const epochsOf = j => { const e = DESK.epochs; return e && e.unique[j] ? W[j] * e.run / e.unique[j] : NaN; };
  const capOf = j => { const e = DESK.epochs; return e && e.unique[j] && e.limit ? e.limit * e.unique[j] / e.run : Infinity; };

  // ---------- console ----------
  const taper = w => Math.sqrt(Math.max(0, w)), weightAt = p => p * p;  // 1 % is as easy to set as 40 %
  const LOCK = "M4 6V4.6a3 3 0 0 1 6 0V6M3 6h8v6H3z";
  let faders = [], lanes = [], nodes = {}, frame = 0, speech = 0, rest = 0, tab = "CLI";
  const proxies = !DESK ? [] : TRIALS.id.map((_, n) => n).filter(n => TRIALS.rung[n] === DESK.rung && TRIALS.state[n] === "done");
  const say = text => { if (nodes.live) nodes.live.textContent = text; };

  function channel(c) {
    const j = c.i, full = DESK.domains[j], hue = `var(--d${j})`;
    const knob = h("div", { class: "knob", role: "slider", tabindex: 0, "aria-label": full + ", share of training tokens", "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" });
    const seen = new Set(), rugs = [];
    for (const n of proxies) { const w = TRIALS.weights[n][j], spot = w.toFixed(4); if (seen.has(spot)) continue; seen.add(spot); rugs.push(h("i", { class: "rug", "data-t": TRIALS.id[n], style: { "--q": taper(w), background: hue } })); }
    const last = [9, 9, 9];  // the lowest sign so far in each of three columns: signs dodge each other
    const marks = DESK.presets.map(p => [p, taper(p.weights[j])]).sort((a, b) => b[1] - a[1]).map(([p, q]) => { const column = Math.max(0, last.findIndex(y => y - q > .036)); last[column] = q; return h("span", { class: "mk", style: { "--q": q, "--c": column }, title: p.name }, sign(p.name)); });
    const cap = capOf(j), over = cap < 1 ? h("div", { class: "over", style: { "--cap": taper(cap) } }) : null;
    const ticks = [0, 1, 5, 10, 20, 40, 70, 100].map(t => h("span", { class: "tk", style: { "--q": taper(t / 100) } }, String(t)));
    const track = h("div", { class: "fv" }, ticks, h("div", { class: "slot" }), over, h("div", { class: "fill", style: { background: hue } }), rugs, marks, knob);
    const input = h("input", { inputmode: "decimal", "aria-label": full + ", per cent", autocomplete: "off" });
    const lock = h("button", { type: "button", class: "lk", "aria-pressed": "false", "aria-label": "Lock " + full, onclick: () => toggle(j) }, s("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, s("path", { d: LOCK, fill: "none", stroke: "currentColor", "stroke-width": 1.4 })));
    const node = h("div", { class: "ch", style: { "--hue": hue } }, h("div", { class: "nm", title: full }, bdi(c.label)), h("div", { class: "val" }, input, h("i", {}, "%")), track, h("div", { class: "ep" }), h("div", { class: "ef" }), lock);
    const fader = { j, node, knob, track, input, lock, ep: node.querySelector(".ep"), ef: node.querySelector(".ef") };
    const at = event => { const r = track.getBoundingClientRect(); return weightAt(Math.min(1, Math.max(0, nodes.box.classList.contains("rows") ? (event.clientX - r.left) / r.width : (r.bottom - event.clientY) / r.height))); };
    track.addEventListener("pointerdown", e => { if (e.button) return; e.preventDefault(); knob.focus({ preventScroll: true }); track.setPointerCapture(e.pointerId); move(j, at(e)); });
    track.addEventListener("pointermove", e => { if (track.hasPointerCapture(e.pointerId)) move(j, at(e)); });
    track.addEventListener("pointerup", settle);
    knob.addEventListener("keydown", e => key(e, j, cap));
    input.addEventListener("change", () => { const x = parseFloat(input.value.replace(",", ".")) / 100; if (Number.isFinite(x)) { move(j, x); settle(); } paint(); });
    input.addEventListener("focus", () => input.select());
    return fader;
  }
  function key(event, j, cap) {
    const fine = event.shiftKey ? .001 : .005, recipe = preset("recipe") || preset(DESK.start);
    const to = { ArrowUp: W[j] + fine, ArrowRight: W[j] + fine, ArrowDown: W[j] - fine, ArrowLeft: W[j] - fine, PageUp: W[j] + .05, PageDown: W[j] - .05, Home: 0, End: Math.min(1, cap), Delete: recipe.weights[j] }[event.key];
    if (to !== undefined) { event.preventDefault(); move(j, to); } else if (event.key.toLowerCase() === "l" && !event.ctrlKey && !event.metaKey) toggle(j);
  }
  function toggle(j) { locked[j] = !locked[j]; paint(); buttons(); }

  function build() {
    law = mixlaws(DESK.law, { level: DESK.level, z: DESK.z, ...DESK.size }, DESK.domains, DESK.metrics.map(m => m.name)); W = preset(DESK.start).weights.slice(); locked = W.map(() => false);
    const reference = preset(DESK.reference); base = { draws: law.draws(reference.weights).map(objective), mean: objective(law.mean(reference.weights)) };
    for (const { than } of DESK.guards) if (than) guards.set(than, { mean: law.mean(preset(than).weights), draws: law.draws(preset(than).weights) });
    const seen = new Set(); tried = TRIALS.weights.filter((row, n) => TRIALS.rung[n] === DESK.runs && TRIALS.state[n] === "done" && !seen.has(String(row)) && seen.add(String(row)));
    const box = nodes.box = $("console"), families = new Map();
    faders = DESK.channels.map(c => { const f = channel(c); f.family = c.family; if (!families.has(c.family)) families.set(c.family, []); families.get(c.family).push(f); return f; });
    nodes.shares = [];
    const many = [...families.values()].some(list => list.length > 1);
    const groups = [...families].map(([family, list]) => {
      const share = h("span"); if (list.length > 1) nodes.shares.push([share, list]);
      return h("div", { class: "fam", style: { flex: String(list.length), borderTopColor: `var(--d${list[0].j})` } }, many ? h("header", {}, bdi(family), share) : null, h("div", {}, list.map(f => f.node)));
    });
    nodes.presets = DESK.presets.map(p => h("button", { type: "button", class: "tbtn", onclick: () => load(p.weights) }, sign(p.name), " " + (p.name === "recipe" && DESK.is_refused ? "refused candidate" : p.name)));
    nodes.undo = h("button", { type: "button", class: "tbtn", onclick: () => step(undo, redo) }, "Undo"); nodes.redo = h("button", { type: "button", class: "tbtn", onclick: () => step(redo, undo) }, "Redo");
    nodes.unlock = h("button", { type: "button", class: "tbtn", onclick: () => { locked.fill(false); paint(); buttons(); } }, "Unlock all");
    const top = h("div", { class: "bar2" }, h("span", { class: "lab" }, "start from"), nodes.presets, h("span", { class: "sp" }), nodes.undo, nodes.redo, nodes.unlock);
    const keys = h("div", { class: "key" }, DESK.presets.map(p => h("span", {}, sign(p.name), " " + p.name)), h("span", {}, "ticks in the track: trials"), DESK.epochs && DESK.epochs.limit ? h("span", {}, h("i", { class: "swatch" }), `more than ${DESK.epochs.limit} epochs`) : null, DESK.epochs ? null : h("span", {}, "token counts unknown: no epochs"));
    nodes.channels = h("div", { class: "channels" }, groups);
    box.replaceChildren(top, h("div", { class: "left" }, nodes.channels, keys), master()); box.hidden = false;
    document.addEventListener("keydown", e => { if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z" && e.target.tagName !== "INPUT") { e.preventDefault(); e.shiftKey ? step(redo, undo) : step(undo, redo); } });
    lie(); new ResizeObserver(lie).observe(box); dock(); buttons(); paint(); linger();
  }
  // Faders lie down where there is less than 106 px for each.
  function lie() { const room = nodes.box.clientWidth - (innerWidth > 1180 ? 420 : 32), rows = room / D < 106; nodes.box.classList.toggle("rows", rows); for (const f of faders) f.knob.setAttribute("aria-orientation", rows ? "horizontal" : "vertical"); }

  function master() {
    nodes.big = h("div", { class: "big" }); nodes.gap = h("p", { class: "u" }); nodes.notes = h("div"); nodes.code = h("pre", { class: "code", tabindex: 0 }); nodes.live = h("div", { class: "sr", "aria-live": "polite" });
    const order = DESK.metrics.map((_, j) => j).sort((a, b) => DESK.metrics[b].weight - DESK.metrics[a].weight || (DESK.metrics[a].name < DESK.metrics[b].name ? -1 : 1));
    const one = DESK.metrics.length === 1 && DESK.metrics[0].sign > 0;
    lanes = [lane("objective", -1), ...(one ? [] : order.map(j => lane(DESK.metrics[j].name, j)))];
    nodes.tabs = ["CLI", "JSON"].map(t => h("button", { type: "button", class: "tbtn", "aria-pressed": String(t === tab), onclick: () => { tab = t; nodes.place.hidden = t !== "CLI"; nodes.tabs.forEach(b => b.setAttribute("aria-pressed", String(b.textContent === t))); nodes.code.textContent = code(); } }, t));
    const copy = h("button", { type: "button", class: "tbtn", onclick: () => copyText(code(), copy) }, "Copy");
    nodes.place = h("span", { class: "u" }, "run it in the study's folder");
    const turned = DESK.better.split("`"), told = [DESK.unit ? `, ${DESK.unit}` : "", ", ", turned[0], ...(turned.length > 2 ? [bdi(turned.slice(1, -1).join("`"), 40), turned.at(-1)] : [])];
    return h("div", { class: "master", role: "region", "aria-label": "Live prediction" }, h("div", {}, h("p", { class: "u" }, `predicted objective at `, bdi(DESK.rung), told), nodes.big, nodes.gap, nodes.live), h("div", { class: "lanes", tabindex: lanes.length > 7 ? 0 : null, role: "group", "aria-label": "prediction per metric" }, lanes.map(l => l.node)), nodes.notes, h("div", {}, h("div", { class: "copy" }, nodes.tabs, nodes.place, h("span", { class: "sp" }), copy), nodes.code));
  }
  // One lane: trials as ticks, presets as signs, the live value as needle with its band; an arrow where it leaves the lane.
  function lane(name, j) {
    const pick = row => j < 0 ? objective(row) : row[j];
    const found = proxies.map(n => [TRIALS.id[n], pick(TRIALS.values[n].map(v => v == null ? NaN : v))]).filter(t => Number.isFinite(t[1]));
    const spots = DESK.presets.map(p => [p.name, pick(law.mean(p.weights))]);
    const all = found.map(t => t[1]).concat(spots.map(t => t[1]).filter(Number.isFinite)); let low = Math.min(...all), high = Math.max(...all); const pad = .06 * (high - low) || .01; low -= pad; high += pad;
    const x = v => 6 + 324 * (v - low) / (high - low);
    const band = s("rect", { class: "band2", y: 4, height: 16, rx: 2 }), needle = s("line", { class: "needle", y1: 2, y2: 22 }), arrow = s("path", { class: "arrow" });
    const svg = s("svg", { viewBox: "0 0 336 24", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "bg", width: 336, y: 4, height: 16, rx: 4 }));
    for (const [id, v] of found) svg.append(s("line", { class: "tick", "data-t": id, x1: x(v), x2: x(v), y1: 7, y2: 17 }));
    svg.append(band); for (const [who, v] of spots) if (Number.isFinite(v)) svg.append(s("g", { transform: `translate(${x(v) - 5} 7) scale(.83)` }, shape(who)));
    svg.append(needle, arrow); const text = h("span");
    const better = j >= 0 && DESK.metrics[j].sign < 0 ? " ↑" : "";
    return { j, x, band, needle, arrow, text, node: h("div", { class: "lane" + (j < 0 ? " first" : "") }, h("div", {}, h("bdi", { title: name }, middle(name, 30) + better), text), svg) };
  }

  function changed() { cancelAnimationFrame(frame); frame = requestAnimationFrame(paint); clearTimeout(rest); rest = setTimeout(linger, 70); clearTimeout(speech); speech = setTimeout(() => say(`Objective ${value(now.mean)}, against ${DESK.reference} ${diff(now.gap)}`), 500); }
  let now = {};
  function state(w) {
    const mean = law.mean(w), draws = law.draws(w), whole = draws.map(objective), centre = objective(mean), [low, high] = interval(whole, centre), gap = centre - base.mean;
    return { rows: mean, draws, mean: centre, low, high, half: (high - low) / 2, gap, span: interval(whole.map((v, k) => v - base.draws[k]), gap) };
  }
  function paint() {
    now = state(W);
    for (const f of faders) {
      const w = W[f.j], e = epochsOf(f.j), hot = e > (DESK.epochs && DESK.epochs.limit || Infinity) * (1 + 1e-6);
      f.track.style.setProperty("--p", taper(w)); if (document.activeElement !== f.input) f.input.value = percent(w);
      f.knob.setAttribute("aria-valuenow", percent(w)); f.knob.setAttribute("aria-valuetext", `${percent(w)} percent${Number.isFinite(e) ? `, ${e.toFixed(1)} epochs` : ""}${locked[f.j] ? ", locked" : ""}`);
      f.ep.textContent = Number.isFinite(e) ? `${e.toFixed(1)} epochs` : ""; f.ep.classList.toggle("hot", hot);
      f.node.classList.toggle("locked", locked[f.j]); f.lock.setAttribute("aria-pressed", String(locked[f.j]));
    }
    for (const [node, list] of nodes.shares) node.textContent = percent(list.reduce((a, f) => a + W[f.j], 0)) + " %";
    nodes.big.replaceChildren(value(now.mean), h("small", {}, Number.isFinite(now.half) ? ` ± ${value(now.half)}` : " no interval"));
    const whole = Number.isFinite(now.span[0]) ? ` (${100 * DESK.level} %: ${diff(now.span[0])} to ${diff(now.span[1])})` : "";
    nodes.gap.replaceChildren(`against ${DESK.reference} `, h("b", {}, diff(now.gap)), whole);
    for (const l of lanes) {
      const v = l.j < 0 ? now.mean : now.rows[l.j], [low, high] = l.j < 0 ? [now.low, now.high] : interval(now.draws.map(d => d[l.j]), v), hold = a => Math.max(3, Math.min(333, a));
      const x = l.x(v), at = hold(x); l.needle.setAttribute("x1", at); l.needle.setAttribute("x2", at);
      l.arrow.setAttribute("d", x < 3 ? "M0 12l8-6v12z" : x > 333 ? "M336 12l-8-6v12z" : "");
      const a = hold(l.x(low)), b = hold(l.x(high)); l.band.setAttribute("x", Number.isFinite(a) ? a : 0); l.band.setAttribute("width", Number.isFinite(b - a) ? Math.max(b - a, 0) : 0);
      l.text.textContent = value(v) + (Number.isFinite(high - low) ? ` ± ${value((high - low) / 2)}` : "");
    }
    notes(); if (nodes.dock) nodes.dock.replaceChildren(h("div", {}, h("span", {}, "objective"), h("br"), h("b", {}, value(now.mean))), h("span", {}, `against ${DESK.reference} ${diff(now.gap)}`, h("br"), whole.slice(2, -1)));
  }
  function note(mark, bold, text) { const glyph = { good: "✓", warn: "△", bad: "✕" }[mark]; return h("div", { class: "note " + mark }, h("span", { "aria-hidden": "true" }, glyph), h("span", {}, h("b", {}, bold + " "), text)); }
  // Guards that the law's mean breaks, or its interval does, the worst first.
  function guardsAt() {
    return DESK.guards.map(g => {
      const m = DESK.metrics.findIndex(one => one.name === g.metric), { sign } = DESK.metrics[m], rival = g.than && guards.get(g.than);
      const over = (v, base) => sign * (v - (base || 0)) - g.limit, excess = over(now.rows[m], rival && rival.mean[m]);
      const draws = now.draws.map((row, k) => over(row[m], rival && rival.draws[k][m]));
      // Between kept and broken by rounding of the search: a thousandth of the doubt.
      const [low, high] = draws.length ? interval(draws, excess) : [excess, excess];
      return { words: g.words, excess, high, room: (high - low) / 1000 };
    }).filter(g => g.excess > 0 || g.high > 0).sort((a, b) => b.excess - a.excess);
  }
  function notes() {
    const out = [], guarded = guardsAt();
    if (DESK.region) {
      const x = leverage(W), { inner, limit } = DESK.region, far = `Leverage ${(x / limit).toFixed(2)} of the farthest trial.`;
      out.push(x > limit * (1 + 1e-6) ? note("bad", "Outside the trials.", far + " No trial came this far: the interval is a guess.")
        : !isBetween(W, tried) ? note("warn", x <= inner ? "Near the trials, not between them." : "At the edge of the trials.", far + " Outside their hull the law extrapolates.")
        : x <= inner ? note("good", "Between the trials.", far) : note("warn", "At the edge of the trials.", far + " Few trials lie here."));
    }
    for (const g of guarded.slice(0, 3)) out.push(g.excess > g.room ? note("bad", "Guard broken:", [bdi(g.words, 40), ` by ${value(g.excess)}`]) : note("warn", "Guard in doubt:", [bdi(g.words, 40), g.excess > -g.room ? ", just at its limit" : `, kept by ${value(-g.excess)}`]));
    if (guarded.length > 3) out.push(note("warn", `${guarded.length - 3} more guards`, "are broken or in doubt."));
    if (DESK.guards.length && !guarded.length) out.push(note("good", DESK.guards.length > 1 ? `All ${DESK.guards.length} guards kept.` : "The guard is kept.", "By mean and interval of the law."));
    const hot = faders.filter(f => f.ep.classList.contains("hot"));
    if (hot.length) out.push(note("bad", `Over ${DESK.epochs.limit} epochs:`, [...hot.slice(0, 3).flatMap((f, i) => [i ? ", " : "", bdi(DESK.domains[f.j], 24)]), hot.length > 3 ? ` and ${hot.length - 3} more` : ""]));
    nodes.notes.replaceChildren(...out);
  }
  // After 70 ms of rest: what one more point of each domain would do, and the text to copy.
  function linger() {
    for (const f of faders) {
      const x = Math.min(1, W[f.j] + .01), left = 1 - W[f.j];
      const w = W.map((v, i) => i === f.j ? x : left > 1e-12 ? v * (1 - x) / left : 0);
      f.ef.textContent = left > 1e-9 ? `${diff(objective(law.mean(w)) - now.mean)} per +1 pt` : "";
    }
    nodes.code.textContent = code();
  }
  const quote = text => /^[\w./:=-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";
  function code() {
    const used = DESK.domains.map((d, j) => [d, W[j]]).filter(pair => pair[1] > 0);
    if (tab === "JSON") return JSON.stringify({ domains: used.map(p => p[0]), weights: used.map(p => p[1]) }, null, 1);
    return [`mixdesk law predict ${quote(`laws/${DESK.law.name}.json`)}`, ...used.map(([d, w]) => `  --weight ${quote(`${d}=${+w.toFixed(9)}`)}`)].join(" \\\n");
  }
  async function copyText(text, button) {
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch { const area = h("textarea", { style: { position: "fixed", opacity: "0" } }); area.value = text; document.body.append(area); area.select(); done = document.execCommand("copy"); area.remove(); }
    button.textContent = done ? "Copied" : "Press Ctrl+C"; setTimeout(() => button.textContent = "Copy", 1200);
  }
  function buttons() { nodes.undo.disabled = !undo.length; nodes.redo.disabled = !redo.length; nodes.unlock.disabled = !locked.some(Boolean); }
  // On a phone the prediction stays in sight while the faders are.
  function dock() {
    if (!matchMedia("(max-width:760px)").matches) return;
    nodes.dock = $("dock"); let on = false, seen = false; const show = () => { nodes.dock.hidden = !(on && !seen); document.body.classList.toggle("docked", on && !seen); };
    new IntersectionObserver(e => { on = e[e.length - 1].isIntersecting; show(); }).observe(nodes.channels);
    new IntersectionObserver(e => { seen = e[e.length - 1].isIntersecting; show(); }).observe(nodes.big);
  }

  // ---------- figures ----------
  const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function painted(spec) {
    const ink = token("--ink"), roles = { trial: ink, recipe: ink, rival: token("--ink2"), line: token("--ink3"), band: token("--line2") };
    const data = structuredClone(spec.data), layout = structuredClone(spec.layout);
    for (const t of data) { if (t.meta === "heat") { t.colorscale = [[0, token("--paper")], [1, ink]]; continue; } const c = roles[t.meta]; if (t.line) t.line.color = c; if (t.marker) { t.marker.color = c; if (t.marker.line) t.marker.line.color = c; } }
    const axis = { gridcolor: token("--line"), linecolor: token("--line2"), zerolinecolor: ink, tickcolor: token("--line2"), automargin: true };
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: token("--sans"), size: 12, color: token("--ink3") }, hoverlabel: { bgcolor: ink, bordercolor: ink, font: { color: token("--paper"), family: token("--sans"), size: 12 } } });
    layout.xaxis = { ...axis, ...layout.xaxis }; layout.yaxis = { ...axis, ...layout.yaxis };
    return [data, layout];
  }
  const drawn = new Set();
  function figure(id) {
    const node = $(id), [data, layout] = painted(DATA.specs[id]);
    Plotly.react(node, data, layout, { displayModeBar: false, responsive: true });
    if (!drawn.has(id) && node.on) { node.on("plotly_hover", e => hot(e.points[0].customdata)); node.on("plotly_unhover", () => hot(null)); }
    drawn.add(id);
  }
  function draw() {
    const near = new IntersectionObserver(list => { for (const e of list) if (e.isIntersecting) { near.unobserve(e.target); figure(e.target.id); } }, { rootMargin: "600px" });
    for (const id of Object.keys(DATA.specs)) near.observe($(id));
    // The rest when there is time, also in a window that nobody scrolls.
    const idle = window.requestIdleCallback ? go => requestIdleCallback(go, { timeout: 1000 }) : go => setTimeout(go, 200);
    const rest = () => { const id = Object.keys(DATA.specs).find(one => !drawn.has(one)); if (id) { near.unobserve($(id)); figure(id); idle(rest); } };
    idle(rest);
    addEventListener("beforeprint", () => Object.keys(DATA.specs).forEach(figure));
  }
  // A trial that is pointed at lights up in tracks, lanes and the table.
  function hot(id) { document.querySelectorAll(".on[data-t]").forEach(n => n.classList.remove("on")); if (typeof id === "string") document.querySelectorAll(`[data-t="${CSS.escape(id)}"]`).forEach(n => n.classList.add("on")); }

  // ---------- raw ----------
  function table() {
    const raw = $("raw"); if (!raw) return;
    const body = raw.tBodies[0], heads = [...raw.tHead.rows[0].cells], FEW = 12;
    const more = $("more"), fold = () => { [...body.rows].forEach((r, i) => r.classList.toggle("more", i >= FEW)); more.hidden = body.rows.length <= FEW; more.textContent = raw.classList.contains("all") ? `Show ${FEW}` : `Show all ${body.rows.length}`; };
    more.addEventListener("click", () => { raw.classList.toggle("all"); fold(); });
    heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1; heads.forEach(one => one.removeAttribute("aria-sort")); head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
      const of = row => { const cell = row.cells[i].dataset; return cell.n === undefined ? cell.v : cell.n === "" ? NaN : +cell.n; };
      const rows = [...body.rows].sort((a, b) => { const x = of(a), y = of(b); if (x !== x) return y !== y ? 0 : 1; if (y !== y) return -1; return (x > y ? 1 : x < y ? -1 : 0) * down; });
      body.append(...rows); fold();
    }));
    body.addEventListener("pointerover", e => { const row = e.target.closest("tr"); hot(row ? row.dataset.t : null); });
    body.addEventListener("pointerleave", () => hot(null));
    fold(); const csv = $("csv"); csv.hidden = false; csv.addEventListener("click", download);
  }
  function csvText() {
    const cell = v => v == null ? "" : /[",\r\n]/.test(String(v)) ? '"' + String(v).replaceAll('"', '""') + '"' : String(v);
    const head = ["trial", "run", "state", "rung", "replicate", ...TRIALS.domains.map(d => "weight:" + d), ...TRIALS.metrics];
    const rows = TRIALS.id.map((id, n) => [id, TRIALS.run[n], TRIALS.state[n], TRIALS.rung[n], TRIALS.replicate[n], ...TRIALS.weights[n], ...TRIALS.values[n]]);
    return [head, ...rows].map(r => r.map(cell).join(",")).join("\r\n") + "\r\n";
  }
  function download() { const url = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" })), a = h("a", { href: url, download: "trials.csv" }); document.body.append(a); a.click(); a.remove(); setTimeout(() => URL.revokeObjectURL(url), 1000); }

  // ---------- shell ----------
  function theme(name, save) {
    document.documentElement.dataset.theme = name; const button = $("theme"); button.hidden = false; button.textContent = name === "dark" ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to the ${name === "dark" ? "light" : "dark"} theme`);
    if (save) try { localStorage.setItem("desk-theme", name); } catch { /* a file may have no storage */ }
    for (const id of drawn) figure(id);
  }
  let stored = null; try { stored = localStorage.getItem("desk-theme"); } catch { /* a file may have no storage */ }
  theme(stored || (matchMedia("(prefers-color-scheme:dark)").matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true));
  if (DESK) build();
  table();

  return {
    draw, csvText,
    predict: w => { const at = state(w); return { metrics: Object.fromEntries(DESK.metrics.map((m, j) => [m.name, at.rows[j]])), objective: at.mean, low: at.low, high: at.high, difference: at.gap, difference_low: at.span[0], difference_high: at.span[1] }; },
    draws: w => law.draws(w), spans: w => { const at = state(w); return at.rows.map((v, m) => interval(at.draws.map(row => row[m]), v)); }, leverage, isBetween: w => isBetween(w, tried), weights: () => W.slice(), locked: () => locked.slice(), code,
    move, lock: toggle, preset: name => load(preset(name).weights), undo: () => step(undo, redo), redo: () => step(redo, undo), settle,
  };
})();
