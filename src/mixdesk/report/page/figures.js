"use strict";
// The figures: drawn by Plotly when they come near, painted from the theme's tokens, each with a menu. A trial that is
// pointed at is marked on a layer over each figure; the traces are never touched.
(parts => {
  const { h, s, button, csv, save, idle } = parts.atoms;
  const UNREAD = 2000;  // milliseconds for the first screen alone
  const PAPER = 660;  // pixels of a figure on A4: nothing tells a script how wide the paper is

  parts.figures = ({ DATA, DESK, TRIALS, store }) => {
    const $ = id => document.getElementById(id), specs = DATA.specs, drawn = new Set(), places = new Map(), chosen = new Map(), layers = new Map();
    const index = new Map(TRIALS.id.map((id, n) => [id, n]));
    const token = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

    function painted(id) {
      const spec = specs[id], ink = token("--ink"), you = token("--you"), roles = { trial: ink, recipe: ink, rival: token("--ink2"), line: token("--ink3"), band: token("--line2"), faint: token("--ink3") };
      const data = structuredClone(chosen.get(id) || spec.data), layout = structuredClone(spec.layout);
      for (const t of data) {
        if (t.meta === "heat") { t.colorscale = [[0, token("--paper")], [1, ink]]; continue; }
        const c = roles[t.meta];
        if (t.line) t.line.color = c;
        if (t.marker) { t.marker.color = c; if (t.marker.line) t.marker.line.color = c; }
        if (t.fill) t.fillcolor = token("--sunk");
        if (t.textfont) t.textfont.color = c;
      }
      if (spec.overlay && spec.overlay.type === "scatterternary") data.push({ meta: "hot", hoverinfo: "skip", showlegend: false, mode: "markers", ...spec.overlay, marker: { size: 12, color: you, symbol: "circle" }, line: { color: you, width: 2.5 } });
      const axis = { gridcolor: token("--line"), linecolor: token("--line2"), zerolinecolor: ink, tickcolor: token("--line2"), automargin: true };
      Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: token("--sans"), size: 12, color: token("--ink3") }, hoverlabel: { bgcolor: ink, bordercolor: ink, font: { color: token("--paper"), family: token("--sans"), size: 12 } } });
      for (const key of Object.keys(layout)) if (/^[xy]axis\d*$/.test(key)) layout[key] = { ...axis, ...layout[key] };
      if (layout.ternary) for (const side of ["aaxis", "baxis", "caxis"]) layout.ternary[side] = { ...axis, automargin: undefined, ...layout.ternary[side] };
      if (layout.ternary) layout.ternary.bgcolor = "rgba(0,0,0,0)";
      if (layout.shapes) for (const one of layout.shapes) one.line = { ...one.line, color: roles[one.name] || roles.band };
      return [data, layout];
    }
    function figure(id) {
      const node = $(id), [data, layout] = painted(id), isNew = !drawn.has(id);
      Plotly.react(node, data, layout, { displayModeBar: false, responsive: true });
      drawn.add(id); brushed(id);
      if (isNew && node.on) {
        const trial = e => index.get(e.points[0].customdata);
        node.on("plotly_hover", e => { const n = trial(e); if (n !== undefined) store.point(n); });
        node.on("plotly_afterplot", () => { if (store.brush) brushed(id); if (store.hot !== null && specs[id].overlay && specs[id].overlay.type !== "scatterternary") point(id); });
        node.on("plotly_unhover", () => store.point(null));
        node.on("plotly_click", e => { const n = trial(e); if (n !== undefined) store.pin(n); });
        if (store.hot !== null) point(id);
      }
    }

    // Where a trial is in a figure: the points of trace "trial" that name it, in their order.
    function placesOf(id) {
      if (places.has(id)) return places.get(id);
      const found = new Map(), keys = specs[id].data.some(t => t.a) ? ["a", "b", "c"] : ["x", "y"];
      for (const t of chosen.get(id) || specs[id].data) {
        if (!t.customdata) continue;
        t.customdata.forEach((trial, i) => { if (trial == null) return; const at = found.get(trial) || found.set(trial, Object.fromEntries(keys.map(k => [k, []]))).get(trial); for (const k of keys) at[k].push(t[k][i]); });
      }
      places.set(id, found);
      return found;
    }
    // A layer over the figure holds the trial's mark: Plotly would draw all of a figure anew for one point of it.
    function point(id) {
      if (!specs[id].overlay) return;
      const node = $(id), at = store.hot === null ? null : placesOf(id).get(TRIALS.id[store.hot]);
      if (specs[id].overlay.type === "scatterternary") { Plotly.restyle(node, Object.fromEntries(["a", "b", "c"].map(k => [k, [at ? at[k] : []]])), [node.data.length - 1]); return; }
      const mark = layerOf(id).lastChild;
      mark.setAttribute("d", at ? trace(node, at, 6) : ""); mark.setAttribute("class", at && at.x.length > 1 ? "line" : "spot");
    }
    function layerOf(id) {
      const node = $(id), layer = layers.get(id) || layers.set(id, s("svg", { class: "hotlayer", "aria-hidden": "true" }, s("path", {}), s("path", {}))).get(id);
      if (layer.parentNode !== node) node.append(layer);
      layer.setAttribute("viewBox", `0 0 ${node._fullLayout.width} ${node._fullLayout.height}`);
      return layer;
    }
    // One trial in a figure as a path: a line, or a circle of radius r.
    function trace(node, at, r) {
      const { xaxis, yaxis } = node._fullLayout, px = at.x.map((x, i) => [xaxis._offset + xaxis.d2p(x), yaxis._offset + yaxis.d2p(at.y[i])]);
      return px.length > 1 ? "M" + px.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L") : px.map(([x, y]) => `M${(x - r).toFixed(1)} ${y.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0-${2 * r} 0`).join("");
    }
    // Under a brush a figure is dim, and the trials in the brush are drawn over it.
    function brushed(id) {
      const { overlay } = specs[id]; if (!overlay || overlay.type === "scatterternary") return;
      const node = $(id); node.classList.toggle("brushed", Boolean(store.brush)); if (!store.brush && !layers.has(id)) return;
      const all = placesOf(id), found = store.brush ? [...store.brush].map(n => all.get(TRIALS.id[n])).filter(Boolean) : [], kept = layerOf(id).firstChild;
      kept.setAttribute("d", found.map(at => trace(node, at, 3.5)).join("")); kept.setAttribute("class", found.length && found[0].x.length > 1 ? "kept line" : "kept");
      store.tell("drawn");
    }

    // ---------- what a figure may show instead: residuals over another axis, two other metrics ----------
    function choices(id) {
      const { choice } = specs[id]; if (!choice) return null;
      const select = (label, names, at, change) => { const node = h("select", { "aria-label": label, class: "pick" }, names.map((name, k) => h("option", { value: k, selected: k === at }, name))); node.addEventListener("change", () => change(+node.value)); return node; };
      const axis = (letter, title) => { specs[id].layout[letter + "axis"].title.text = title.replace(/[<>&]/g, c => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[c]); };
      function redraw(data) { chosen.set(id, data); places.delete(id); if (drawn.has(id)) figure(id); }
      if (choice.kind === "residuals") return [select("over", ["order asked", ...DATA.bands.map(b => b.label)], 0, k => {
        const data = structuredClone(specs[id].data);
        for (const t of data) if (t.meta === "trial") t.x = t.customdata.map((trial, i) => k ? 100 * sum(TRIALS.weights[index.get(trial)], DATA.bands[k - 1].members) : specs[id].data.find(one => one.meta === "trial").x[i]);
        const xs = data.find(t => t.meta === "trial").x; for (const t of data) if (t.meta === "band") t.x = xs.flatMap(x => [x, x, null]);
        axis("x", k ? `${DATA.bands[k - 1].label}, % of training tokens` : choice.title); redraw(data);
      })];
      const at = choice.at.slice(), names = TRIALS.metrics, named = new Map(DESK ? store.presets.map(p => [p.name, store.law.mean(p.weights)]) : []);
      const change = () => {
        const data = structuredClone(specs[id].data), signs = at.map(m => choice.signs[m]);
        for (const t of data) {
          if (t.meta === "trial") [t.x, t.y] = at.map(m => t.customdata.map(trial => TRIALS.values[index.get(trial)][m]));
          if (t.meta === "recipe" || t.meta === "rival") [t.x, t.y] = at.map(m => [named.get(t.name)[m]]);
        }
        const dots = data.find(t => t.meta === "trial"), line = data.find(t => t.meta === "line");
        [line.x, line.y] = staircase(dots.x, dots.y, signs);
        at.forEach((m, k) => axis("xy"[k], choice.titles[m])); redraw(data);
      };
      change();
      return [0, 1].map(k => select(k ? "down the side" : "along the bottom", names, at[k], m => { at[k] = m; change(); }));
    }
    const sum = (row, members) => { let x = 0; for (const i of members) x += row[i]; return x; };
    // Trials that no other beats in both, joined as steps.
    function staircase(x, y, [a, b]) {
      const order = x.map((_, i) => i).filter(i => x[i] != null && y[i] != null).sort((i, k) => a * (x[i] - x[k]) || b * (y[i] - y[k])), xs = [], ys = [];
      let best = Infinity;
      for (const i of order) if (b * y[i] < best) { if (xs.length) { xs.push(x[i]); ys.push(ys.at(-1)); } xs.push(x[i]); ys.push(y[i]); best = b * y[i]; }
      return [xs, ys];
    }

    // ---------- menus ----------
    function numbers(id) {
      const rows = [], given = chosen.get(id) || specs[id].data, flat = given.filter(t => t.meta !== "heat");
      for (const t of given) if (t.meta === "heat") { rows.push(["row", "column", "value"]); t.y.forEach((y, i) => t.x.forEach((x, j) => rows.push([y, x, t.z[i][j]]))); }
      if (!flat.length) return csv(rows);
      const keys = flat.some(t => t.a) ? ["a", "b", "c"] : ["x", "y"];
      rows.push(["part", "name", "trial", ...keys]);
      for (const t of flat) (t[keys[0]] || []).forEach((_, i) => { if (t[keys[0]][i] != null) rows.push([t.meta, t.name, t.customdata ? t.customdata[i] : "", ...keys.map(k => t[k][i])]); });
      return csv(rows);
    }
    async function picture(id) { await plotly(); if (!drawn.has(id)) figure(id); const url = await Plotly.toImage($(id), { format: "svg", width: $(id).clientWidth, height: $(id).clientHeight }); save(id + ".svg", "image/svg+xml", decodeURIComponent(url.slice(url.indexOf(",") + 1))); }
    function menus() {
      for (const id of Object.keys(specs)) {
        const card = $(id).closest(".card"), extra = choices(id);
        parts.menu(card, id, () => numbers(id), () => picture(id), DATA.explain[id]);
        if (extra) card.insertBefore(h("p", { class: "picks" }, extra), $(id));
      }
    }

    // Plotly lies deflated in the page: inflated when the page has a moment, run when the reader starts to scroll, or has read for a while.
    let library = null;
    function inflate() {
      return parts.inflated ||= (async () => {
        const packed = $("plotly").textContent, bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(packed) : Uint8Array.from(atob(packed), c => c.charCodeAt(0));
        return parts.plotly = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
      })();
    }
    function run(code) { if (window.Plotly) return; const script = document.createElement("script"); script.textContent = code; document.head.append(script); }
    function plotly() {
      return library ||= window.Plotly ? Promise.resolve() : inflate().then(run).catch(() => { for (const id of Object.keys(specs)) $(id).textContent = "This browser is too old to draw the figure. Its numbers are in the menu."; });
    }
    function draw() {
      const ids = Object.keys(specs), near = new IntersectionObserver(async list => {
        const mine = list.filter(e => e.isIntersecting).map(e => e.target.id); if (!mine.length) return;
        mine.forEach(id => near.unobserve($(id)));
        await plotly(); if (window.Plotly) for (const id of mine) { figure(id); await new Promise(go => setTimeout(go)); }
      }, { rootMargin: "500px" });
      for (const id of ids) near.observe($(id));
      if (ids.length && !window.Plotly) {
        idle(() => inflate().catch(() => {})); addEventListener("scroll", plotly, { once: true, passive: true }); setTimeout(() => idle(plotly), UNREAD);
      }
      addEventListener("beforeprint", () => { if (parts.plotly) run(parts.plotly); if (window.Plotly) for (const id of ids) { if (!drawn.has(id)) figure(id); Plotly.relayout($(id), { autosize: false, width: PAPER, height: parseInt($(id).style.minHeight) }); } });
      addEventListener("afterprint", () => { for (const id of drawn) { delete $(id).layout.width; delete $(id).layout.height; figure(id); } });
    }
    store.on("hot", () => drawn.forEach(point));
    store.on("brush", () => drawn.forEach(brushed));
    menus();
    return { draw, repaint: () => drawn.forEach(figure), numbers };
  };

  // The menu of a card: the numbers as CSV, the picture as SVG, and what it is: formula, paper, what we do differently.
  parts.menu = (card, name, numbers, picture, explained) => {
    const told = h("dl", { class: "told", hidden: true, tabindex: -1 }, explained.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)]));
    card.insertBefore(told, card.querySelector(":scope > .foot"));
    const menu = h("details", { class: "figmenu" }, h("summary", { "aria-label": "Menu of this figure" }, "⋯"),
      h("div", {}, button("CSV of its numbers", () => { save(name + ".csv", "text/csv", numbers()); menu.open = false; }), button("SVG", () => { picture(); menu.open = false; }),
        button("Explain", () => { told.hidden = !told.hidden; menu.open = false; if (!told.hidden) told.focus(); })));
    card.classList.add("has-menu"); card.append(menu);
    menu.addEventListener("keydown", e => { if (e.key === "Escape") { menu.open = false; menu.firstChild.focus(); } });
    document.addEventListener("click", e => { if (!menu.contains(e.target)) menu.open = false; });
  };
})(window.mixdeskParts ||= {});
