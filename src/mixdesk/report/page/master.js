"use strict";
// The master: what the law says of the mixture at the faders, one lane per metric, warnings, and the text to copy.
(parts => {
  const { h, s, shape, middle, bdi, button, put, value, diff, copy } = parts.atoms;
  const MOST_TICKS = 400, BINS = 56, WIDE = 336;
  const quote = text => /^[\w./:=-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'";
  // A weight as Python writes it, always with a point: 1.0, 0.25, 5.0e-05.
  const digits = w => { if (w >= 1e-4) return Number.isInteger(w) ? w + ".0" : String(w); const [m, e] = w.toExponential().split("e-"); return `${m.includes(".") ? m : m + ".0"}e-${e.padStart(2, "0")}`; };

  parts.master = ({ DESK, TRIALS, store, proxies }) => {
    const big = h("span"), half = h("small"), gap = h("b"), span = h("span"), live = h("div", { class: "sr", "aria-live": "polite" });
    store.say = text => { live.textContent = text; };

    // ---------- lanes ----------
    const order = DESK.metrics.map((_, j) => j).sort((a, b) => DESK.metrics[b].weight - DESK.metrics[a].weight || (DESK.metrics[a].name < DESK.metrics[b].name ? -1 : 1));
    const isOne = DESK.metrics.length === 1 && DESK.metrics[0].sign > 0;
    const told = store.presets.filter(p => !p.is_derived).map(p => [p.name, store.law.mean(p.weights)]);
    const lanes = [lane("objective", -1), ...(isOne ? [] : order.map(j => lane(DESK.metrics[j].name, j)))];
    // One lane: trials as ticks, presets as signs, the live value as needle with its band; an arrow where it leaves.
    function lane(name, j) {
      const pick = row => j < 0 ? store.objective(row) : row[j], of = n => pick(TRIALS.values[n].map(v => v == null ? NaN : v));
      const found = proxies.map(of).filter(Number.isFinite), spots = told.map(([who, row]) => [who, pick(row)]).filter(t => Number.isFinite(t[1]));
      let low = Infinity, high = -Infinity; for (const v of [...found, ...spots.map(t => t[1])]) { low = Math.min(low, v); high = Math.max(high, v); }
      const pad = .06 * (high - low) || .01; low -= pad; high += pad;
      const x = v => 6 + (WIDE - 12) * (v - low) / (high - low);
      const band = s("path", { class: "band2" }), needle = s("path", { class: "needle" }), arrow = s("path", { class: "arrow" }), hot = s("path", { class: "tick on" });
      const svg = s("svg", { viewBox: `0 0 ${WIDE} 24`, preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "bg", width: WIDE, y: 4, height: 16, rx: 4 }));
      if (found.length <= MOST_TICKS) svg.append(s("path", { class: "tick", d: found.map(v => `M${x(v).toFixed(1)} 7V17`).join("") }));
      else {
        const bins = new Array(BINS).fill(0); for (const v of found) bins[Math.min(BINS - 1, Math.floor(x(v) * BINS / WIDE))]++;
        const most = Math.sqrt(Math.max(...bins)), at = bins.map((n, k) => [((k + .5) * WIDE / BINS).toFixed(1), 8 * Math.sqrt(n) / most]);
        svg.append(s("path", { class: "dense", d: "M" + at.map(([a, y]) => `${a} ${(12 - y).toFixed(1)}`).join("L") + "L" + at.map(([a, y]) => `${a} ${(12 + y).toFixed(1)}`).reverse().join("L") + "Z" }));
      }
      svg.append(band); for (const [who, v] of spots) svg.append(s("g", { transform: `translate(${x(v) - 5} 7) scale(.83)` }, shape(who)));
      svg.append(hot, needle, arrow); const text = h("span"), better = j >= 0 && DESK.metrics[j].sign < 0 ? " ↑" : "";
      return { j, x, of, band, needle, arrow, hot, text, node: h("div", { class: "lane" + (j < 0 ? " first" : "") }, h("div", {}, h("bdi", { title: name }, middle(name, 30) + better), text), svg) };
    }
    const hold = a => Math.max(3, Math.min(WIDE - 3, a)).toFixed(1);
    function paintLane(l) {
      const { now } = store, v = l.j < 0 ? now.mean : now.rows[l.j], [low, high] = l.j < 0 ? [now.low, now.high] : store.law.interval(now.draws.map(d => d[l.j]), v), x = l.x(v);
      put(l.needle, "d", Number.isFinite(x) ? `M${hold(x)} 2V22` : ""); put(l.arrow, "d", x < 3 ? "M0 12l8-6v12z" : x > WIDE - 3 ? `M${WIDE} 12l-8-6v12z` : "");
      put(l.band, "d", Number.isFinite(high - low) ? `M${hold(l.x(low))} 4H${hold(l.x(high))}V20H${hold(l.x(low))}Z` : "");
      put(l.text, "text", value(v) + (Number.isFinite(high - low) ? ` ± ${value((high - low) / 2)}` : ""));
    }

    // ---------- warnings: nodes stay, what they say changes ----------
    const notes = h("div", { class: "notes" }), kept = [];
    function say(found) {
      found.forEach(([mark, bold, rest], k) => {
        const one = kept[k] ||= (() => { const glyph = h("span", { "aria-hidden": "true" }), strong = h("b"), text = h("bdi"), node = h("div", { class: "note" }, glyph, h("span", {}, strong, " ", text)); notes.append(node); return { glyph, strong, text, node }; })();
        put(one.node, "class", "note " + mark); put(one.glyph, "text", { good: "✓", warn: "△", bad: "✕" }[mark]); put(one.strong, "text", bold); put(one.text, "text", rest); put(one.node, "hidden", null);
      });
      for (const one of kept.slice(found.length)) put(one.node, "hidden", "");
    }
    // Between the trials or not is looked up at rest: it takes a search.
    let between = null;
    const regionClass = () => { if (!DESK.region) return "inside"; const x = store.leverage(store.mixture); return x <= DESK.region.inner ? "inside" : x <= DESK.region.limit * (1 + 1e-6) ? "edge" : "outside"; };
    function regionNote() {
      const x = store.leverage(store.mixture), { inner, limit } = DESK.region, far = `Leverage ${(x / limit).toFixed(2)} of the farthest trial.`;
      if (x > limit * (1 + 1e-6)) return ["bad", "Outside the trials.", far + " No trial came this far: the interval is a guess."];
      if (between === false) return ["warn", x <= inner ? "Near the trials, not between them." : "At the edge of the trials.", far + " Outside their hull the law extrapolates."];
      if (x > inner) return ["warn", "At the edge of the trials.", far + " Few trials lie here."];
      return ["good", between ? "Between the trials." : "Inside the region of the trials.", far];
    }
    function warn() {
      const out = DESK.region ? [regionNote()] : [], broken = store.guards();
      for (const g of broken.slice(0, 3)) out.push(g.excess > g.room ? ["bad", "Guard broken:", `${middle(g.words, 40)} by ${value(g.excess)}`] : ["warn", "Guard in doubt:", middle(g.words, 40) + (g.excess > -g.room ? ", just at its limit" : `, kept by ${value(-g.excess)}`)]);
      if (broken.length > 3) out.push(["warn", `${broken.length - 3} more guards`, "are broken or in doubt."]);
      if (DESK.guards.length && !broken.length) out.push(["good", DESK.guards.length > 1 ? `All ${DESK.guards.length} guards kept.` : "The guard is kept.", "By mean and interval of the law."]);
      const over = DESK.domains.map((_, i) => i).filter(store.isOver).sort((a, b) => store.epochsOf(b) - store.epochsOf(a));
      if (over.length) out.push(["bad", `Over ${store.limit} epochs:`, over.slice(0, 3).map(i => middle(DESK.domains[i], 24)).join(", ") + (over.length > 3 ? ` and ${over.length - 3} more` : "")]);
      say(out);
    }

    // ---------- copy as ----------
    // A command, a recipe file and, by `exports` of the page's data, trainers' own files: parts that are texts, or pieces
    // of each domain with weight, between which its number goes.
    const used = () => DESK.domains.map((d, i) => [d, store.mixture[i]]).filter(pair => pair[1] > 0);
    const targets = {
      "CLI": () => [`mixdesk law predict ${quote(`laws/${DESK.law.name}.json`)}`, ...used().map(([d, w]) => `  --weight ${quote(`${d}=${+w.toFixed(9)}`)}`)].join(" \\\n"),
      "JSON": () => JSON.stringify(recipe(), null, 1),
    };
    const trainers = Object.keys(DESK.exports);
    for (const target of trainers) targets[target] = () => filled(DESK.exports[target]);
    function filled({ domains, parts }) {
      const weights = new Map(used()), held = domains.map((d, i) => [i, weights.get(d)]).filter(pair => pair[1]);
      return parts.map(part => typeof part === "string" ? part : held.map(([i, w]) => part.pieces[i].join(digits(w))).join(part.between)).join("");
    }
    // A recipe file as Python reads it: set by hand, judged by nobody.
    function recipe() {
      const { now } = store, out = structuredClone(DESK.draft), pairs = used();
      out.plan.schedule.stages[0].mixture = { domains: pairs.map(p => p[0]), weights: pairs.map(p => p[1]) };
      if (Number.isFinite(now.half)) out.expected = [{ metric: "objective", mean: now.mean, low: now.low, high: now.high, rung: DESK.rung }];
      out.epochs = Object.fromEntries(DESK.domains.map((d, i) => [d, store.epochsOf(i)]).filter(pair => Number.isFinite(pair[1])));
      out.region = regionClass(); out.leverage = DESK.region ? store.leverage(store.mixture) / DESK.region.limit : 0; out.is_in_hull = between === true;
      return out;
    }
    let tab = "CLI";
    const place = h("span", { class: "u" }), code = h("pre", { class: "code", tabindex: 0 }), text = () => targets[tab]();
    const says = { CLI: "run it in the study's folder", JSON: "a recipe file, without a verdict" };
    const choose = t => { tab = t; tabs.forEach(b => b.setAttribute("aria-pressed", String(b.textContent === t))); if (says[t]) menu.selectedIndex = 0; show(); };
    const tabs = Object.keys(says).map(t => button(t, () => choose(t), { "aria-pressed": String(t === tab) }));
    const menu = h("select", { class: "pick", "aria-label": "copy for a trainer", hidden: !trainers.length, onchange: () => choose(menu.value) }, h("option", { value: "CLI" }, "trainer …"), trainers.map(t => h("option", { value: t }, t)));
    function show() {
      const one = DESK.exports[tab], low = one ? used().filter(pair => pair[1] < one.least).map(pair => pair[0]) : [];
      place.replaceChildren(one ? `${one.file}. ${one.sentence}` : says[tab], ...(low.length ? [` △ An export refuses a weight under ${one.least.toPrecision(3)}: `, bdi(low[0]), low.length > 1 ? ` and ${low.length - 1} more` : ""] : []));
      code.textContent = text();
    }
    const copier = button("Copy", () => copy(text(), copier));

    // ---------- the whole ----------
    const turned = DESK.better.split("`"), unit = [DESK.unit ? `, ${DESK.unit}` : "", ", ", turned[0], ...(turned.length > 2 ? [bdi(turned.slice(1, -1).join("`"), 40), turned.at(-1)] : [])];
    const node = h("div", { class: "master", role: "region", "aria-label": "Live prediction" },
      h("div", {}, h("p", { class: "u" }, "predicted objective at ", bdi(DESK.rung), unit), h("div", { class: "big" }, big, half), h("p", { class: "u" }, `against ${DESK.reference} `, gap, span), live),
      h("div", { class: "lanes", tabindex: lanes.length > 7 ? 0 : null, role: "group", "aria-label": "prediction per metric" }, lanes.map(l => l.node)),
      notes, h("div", {}, h("div", { class: "copy" }, tabs, menu, h("span", { class: "sp" }), copier), place, code));
    let docked = null;
    function paint() {
      const { now } = store, whole = Number.isFinite(now.span[0]) ? ` (${100 * DESK.level} %: ${diff(now.span[0])} to ${diff(now.span[1])})` : "";
      put(big, "text", value(now.mean)); put(half, "text", Number.isFinite(now.half) ? ` ± ${value(now.half)}` : " no interval");
      put(gap, "text", diff(now.gap)); put(span, "text", whole);
      lanes.forEach(paintLane); warn();
      if (docked) { put(docked.big, "text", value(now.mean)); put(docked.gap, "text", `against ${DESK.reference} ${diff(now.gap)}`); put(docked.span, "text", whole.slice(2, -1)); }
    }
    function rest() { between = DESK.region ? store.isBetween(store.mixture) : null; warn(); show(); }
    function point() {
      for (const l of lanes) { const v = store.hot === null ? NaN : l.of(store.hot); put(l.hot, "d", Number.isFinite(v) ? `M${hold(l.x(v))} 4V20` : ""); }
    }
    // On a phone the prediction stays in sight while the faders are.
    function dock(faders) {
      if (!matchMedia("(max-width:760px)").matches) return;
      const bar = document.getElementById("dock"); docked = { big: h("b"), gap: h("span"), span: h("span") };
      bar.append(h("div", {}, h("span", {}, "objective"), h("br"), docked.big), h("span", {}, docked.gap, h("br"), docked.span)); paint();
      let on = false, seen = false; const show = () => { bar.hidden = !(on && !seen); document.body.classList.toggle("docked", on && !seen); };
      new IntersectionObserver(e => { on = e[e.length - 1].isIntersecting; show(); }).observe(faders);
      new IntersectionObserver(e => { seen = e[e.length - 1].isIntersecting; show(); }).observe(big);
    }
    parts.code = text;
    return { node, paint, rest, point, dock };
  };
})(window.mixdeskParts ||= {});
