"use strict";
// What each domain does from here: the objective against its weight, the others making room. Drawn at rest, a piece at
// a time, so that a fader never waits for it.
(parts => {
  const { h, s, bdi, put, value, percent, csv, save, idle } = parts.atoms;
  const WIDE = 168, TALL = 86, POINTS = 13, MOST = 24, SLICE = 8;

  parts.effects = ({ DATA, DESK, TRIALS, store, channels, families, proxies }) => {
    const many = channels.length > MOST ? families : channels;
    const shown = many.slice().sort((a, b) => store.sumOf(b.members) - store.sumOf(a.members)).slice(0, MOST), order = many.filter(c => shown.includes(c));
    const weightOf = (row, members) => { let sum = 0; for (const i of members) sum += row[i]; return sum; };
    let round = 0, isNear = false, isStale = true;

    const plots = order.map(channel => {
      const { members } = channel, tried = proxies.map(n => weightOf(TRIALS.weights[n], members)), top = Math.min(1, 1.05 * Math.max(.02, tried.reduce((a, b) => Math.max(a, b), 0), ...store.presets.map(p => weightOf(p.weights, members))));
      const x = w => 4 + (WIDE - 8) * Math.min(w, top) / top, bins = new Array(42).fill(0);
      for (const w of tried) bins[Math.min(41, Math.floor(w / top * 42))]++;
      const most = Math.max(1, ...bins), band = s("path", { class: "eband" }), line = s("path", { class: "eline", stroke: `var(--d${channel.hue})` }), dot = s("circle", { class: "edot", r: 4 }), here = s("path", { class: "ehere" });
      const rug = s("path", { class: "erug", d: bins.map((n, k) => n ? `M${(4 + (k + .5) * (WIDE - 8) / 42).toFixed(1)} ${TALL}v${(-2 - 6 * n / most).toFixed(1)}` : "").join("") });
      const svg = s("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img" }, band, rug, here, line, dot), range = h("span");
      return { channel, top, x, band, line, dot, here, svg, rows: [], node: h("div", { class: "effect" }, h("div", {}, h("i", { class: "dot", style: { background: `var(--d${channel.hue})` } }), bdi(channel.label, 20), range), svg, h("div", { class: "ends" }, h("span", {}, "0"), h("span", {}, percent(top) + " %"))), range };
    });
    const foot = h("p", { class: "foot" }, [DESK.unit, "one vertical scale for all", `band: ${100 * DESK.level} % interval`, `marks: n = ${proxies.length} trials`, `law: ${DESK.law.name}${DESK.papers.length ? ", " + DESK.papers.join(", ") : ""}`].filter(Boolean).map(t => h("span", {}, t)));
    const card = h("div", { class: "card", id: "effects" }, h("h3", {}, many === families && channels.length > MOST ? "What each family does from here" : "What each domain does from here"), h("p", { class: "q" }, "The objective if only this one moves and the others make room. It follows the faders."), h("div", { class: "effectgrid", style: { "--n": Math.min(plots.length, 8) } }, plots.map(p => p.node)), foot);
    document.getElementById("console").after(card);

    // One curve after another, each slice of it no longer than 8 ms; a new mixture starts again.
    function* curves() {
      for (const p of plots) {
        const rows = [];
        for (let k = 0; k < POINTS; k++) {
          const next = store.moved(p.channel.members, p.top * k / (POINTS - 1));
          if (!Array.isArray(next)) break;
          const at = store.evaluate(next), centre = store.objective(at.mean), [low, high] = store.law.interval(at.draws.map(store.objective), centre);
          rows.push([weightOf(next, p.channel.members), centre, low, high]);
          yield;
        }
        p.rows = rows;
      }
    }
    function start() {
      if (!isNear) { isStale = true; return; }
      isStale = false;
      const mine = ++round, steps = curves();
      const go = () => {
        if (mine !== round) return;
        const end = performance.now() + SLICE; let done = false;
        while (!done && performance.now() < end) done = steps.next().done;
        done ? paint() : idle(go);
      };
      idle(go);
    }
    function paint() {
      const { now } = store; let low = now.mean, high = now.mean;
      for (const p of plots) for (const [, centre] of p.rows) { low = Math.min(low, centre); high = Math.max(high, centre); }
      if (!(high > low)) { low -= .005; high += .005; }
      const y = v => Math.max(2, Math.min(TALL - 10, 6 + (TALL - 20) * (high - v) / (high - low)));
      for (const p of plots) {
        const at = (r, v) => `${p.x(r[0]).toFixed(1)} ${y(v).toFixed(1)}`, w = store.sumOf(p.channel.members), known = p.rows.filter(r => Number.isFinite(r[3] - r[2]));
        put(p.line, "d", p.rows.length ? "M" + p.rows.map(r => at(r, r[1])).join("L") : "");
        put(p.band, "d", known.length ? "M" + known.map(r => at(r, r[3])).join("L") + "L" + known.map(r => at(r, r[2])).reverse().join("L") + "Z" : "");
        put(p.dot, "cx", p.x(w).toFixed(1)); put(p.dot, "cy", y(now.mean).toFixed(1)); put(p.range, "text", percent(w) + " %");
        const ends = p.rows.map(r => r[1]);
        put(p.svg, "aria-label", ends.length ? `${p.channel.name}: objective ${value(ends[0])} at 0 %, ${value(ends.at(-1))} at ${percent(p.top)} %, now ${value(now.mean)} at ${percent(w)} %` : `${p.channel.name}: locked`);
      }
    }
    function point() { for (const p of plots) put(p.here, "d", store.hot === null ? "" : `M${p.x(weightOf(TRIALS.weights[store.hot], p.channel.members)).toFixed(1)} ${TALL}v-12`); }
    parts.menu(card, "effects", () => csv([["domain", "weight", "objective", "low", "high"], ...plots.flatMap(p => p.rows.map(r => [p.channel.name, ...r]))]), () => {
      const rows = Math.ceil(plots.length / 6), all = s("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${6 * (WIDE + 12)} ${rows * (TALL + 28)}` });
      plots.forEach((p, k) => { const g = p.svg.cloneNode(true), source = [p.svg, ...p.svg.children], copies = [g, ...g.children]; source.forEach((one, i) => { const look = getComputedStyle(one); for (const key of ["fill", "stroke", "stroke-width", "opacity"]) copies[i].style.setProperty(key, look.getPropertyValue(key)); });
        for (const [key, v] of [["x", k % 6 * (WIDE + 12)], ["y", Math.floor(k / 6) * (TALL + 28) + 20], ["width", WIDE], ["height", TALL]]) g.setAttribute(key, v);
        const title = s("text", { x: k % 6 * (WIDE + 12) + 4, y: Math.floor(k / 6) * (TALL + 28) + 14, "font-size": 11, "font-family": "sans-serif" }); title.textContent = p.channel.name; all.append(title, g); });
      save("effects.svg", "image/svg+xml", new XMLSerializer().serializeToString(all));
    }, DATA.explain.effects);
    new IntersectionObserver(e => { isNear = e[e.length - 1].isIntersecting; if (isNear && isStale) start(); }, { rootMargin: "300px" }).observe(card);
    store.on("rest", start); store.on("locks", start); store.on("hot", point);
    store.on("moved", () => { round++; isStale = true; });
  };
})(window.mixdeskParts ||= {});
