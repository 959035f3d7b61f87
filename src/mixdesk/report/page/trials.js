"use strict";
// The trials as a table that sorts, finds and downloads, with rows made as they come into sight; and the card of the
// trial that is pointed at.
(parts => {
  const { h, bdi, button, csv, save, value, percent } = parts.atoms;
  const ROW = 31, ALL = 200;

  parts.trials = ({ DATA, TRIALS, store }) => {
    const N = TRIALS.id.length, { bands } = DATA, share = (n, members) => { let sum = 0; for (const i of members) sum += TRIALS.weights[n][i]; return sum; };
    const column = [
      n => TRIALS.run[n] || TRIALS.id[n], n => TRIALS.state[n], n => TRIALS.rung[n], n => TRIALS.replicate[n], n => TRIALS.objective[n], n => TRIALS.predicted[n],
      ...bands.map(b => n => share(n, b.members)), ...TRIALS.metrics.map((_, j) => n => TRIALS.values[n][j]),
    ];
    const FIRST = 6, isWeight = k => k >= FIRST && k < FIRST + bands.length;
    const shown = (k, v) => v == null ? "–" : typeof v === "string" ? bdi(v, 18) : k === 3 ? String(v) : isWeight(k) ? percent(v) : value(v);

    function table() {
      const raw = document.getElementById("raw"); if (!raw) return;
      const body = raw.tBodies[0], heads = [...raw.tHead.rows[0].cells], wrap = raw.parentNode, nodes = new Map();
      let order = TRIALS.id.map((_, n) => n), sorted = null, first = -1;
      const above = h("tr", { "aria-hidden": "true", class: "gap" }, h("td", { colspan: column.length })), below = h("tr", { "aria-hidden": "true", class: "gap" }, h("td", { colspan: column.length }));
      const row = n => nodes.get(n) || nodes.set(n, h("tr", { "data-t": TRIALS.id[n], "data-n": n, class: n === store.hot ? "on" : null }, column.map((of, k) => { const v = of(n); return h("td", { class: k < 3 ? null : "r", "data-v": v == null ? "" : v }, shown(k, v)); }))).get(n);
      function show(isFresh) {
        const from = order.length <= ALL ? 0 : Math.max(0, Math.floor(wrap.scrollTop / ROW) - 8), upto = order.length <= ALL ? order.length : Math.min(order.length, from + Math.ceil(wrap.clientHeight / ROW) + 18);
        if (!isFresh && from === first) return;
        first = from;
        above.firstChild.style.height = from * ROW + "px"; below.firstChild.style.height = (order.length - upto) * ROW + "px";
        body.replaceChildren(...(from ? [above] : []), ...order.slice(from, upto).map(row), ...(upto < order.length ? [below] : []));
      }
      const find = h("input", { type: "search", class: "find", placeholder: "find a trial, a state, a rung", "aria-label": "find trials", autocomplete: "off" }), count = h("span", { class: "u" });
      function fill() {
        const words = find.value.toLowerCase().split(/\s+/).filter(Boolean), text = n => `${TRIALS.id[n]} ${TRIALS.run[n]} ${TRIALS.state[n]} ${TRIALS.rung[n]}`.toLowerCase();
        order = TRIALS.id.map((_, n) => n).filter(n => (!store.brush || store.brush.has(n)) && words.every(word => text(n).includes(word)));
        if (sorted) {
          const { k, down } = sorted, of = column[k], key = new Map(order.map(n => [n, of(n)]));
          order.sort((a, b) => { const x = key.get(a), y = key.get(b); if (x == null || y == null) return (x == null) - (y == null); return (x > y ? 1 : x < y ? -1 : 0) * down; });
        }
        count.textContent = order.length < N ? `${order.length} of ${N}` : ""; wrap.scrollTop = 0; show(true);
      }
      heads.forEach((head, k) => head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1; heads.forEach(one => one.removeAttribute("aria-sort")); head.setAttribute("aria-sort", down > 0 ? "ascending" : "descending");
        sorted = { k, down }; fill();
      }));
      find.addEventListener("input", fill); store.on("brush", fill);
      wrap.classList.add("virtual"); wrap.addEventListener("scroll", () => show(false), { passive: true });
      const at = event => { const one = event.target.closest("tr[data-n]"); return one ? +one.dataset.n : null; };
      body.addEventListener("pointerover", e => store.point(at(e)));
      body.addEventListener("pointerleave", () => store.point(null));
      body.addEventListener("click", e => { const n = at(e); if (n !== null) store.pin(n); });
      let lit = null;
      store.on("hot", () => { if (lit) lit.classList.remove("on"); lit = store.hot === null ? null : nodes.get(store.hot) || null; if (lit) lit.classList.add("on"); });
      const acts = document.getElementById("csv").parentNode, save_ = document.getElementById("csv");
      save_.hidden = false; save_.addEventListener("click", () => save("trials.csv", "text/csv", csvText())); acts.prepend(find, count);
      addEventListener("beforeprint", () => { body.replaceChildren(...order.slice(0, 40).map(row)); first = -1; }); addEventListener("afterprint", () => show(true));
      show(true);
    }
    function csvText() {
      const head = ["trial", "run", "state", "rung", "replicate", ...TRIALS.domains.map(d => "weight:" + d), ...TRIALS.metrics];
      return csv([head, ...TRIALS.id.map((id, n) => [id, TRIALS.run[n], TRIALS.state[n], TRIALS.rung[n], TRIALS.replicate[n], ...TRIALS.weights[n], ...TRIALS.values[n]])]);
    }

    // ---------- the trial pointed at ----------
    const name = h("b"), said = h("span"), mostly = h("span", { class: "u" }), acts = h("span", { class: "pinned", hidden: true }, button("Load on the faders", () => { if (store.pinned !== null) store.load(TRIALS.weights[store.pinned]); }), button("Unpin", () => store.pin(store.pinned)));
    const box = h("div", { class: "hotcard", hidden: true }, h("div", {}, name, said), mostly, acts);
    document.body.append(box);
    store.on("hot", () => {
      const n = store.hot; box.hidden = n === null; if (n === null) return;
      name.replaceChildren(bdi(TRIALS.run[n] || TRIALS.id[n], 26));
      said.textContent = ` measured ${value(TRIALS.objective[n] ?? NaN)}` + (TRIALS.predicted[n] == null ? "" : `, predicted ${value(TRIALS.predicted[n])} out of fold`);
      const top = bands.map(b => [b.label, share(n, b.members)]).sort((a, b) => b[1] - a[1]).slice(0, 3);
      mostly.replaceChildren(...top.flatMap(([label, w], k) => [k ? ", " : "", bdi(label, 20), ` ${percent(w)} %`]));
      acts.hidden = store.pinned === null || !store.load; box.classList.toggle("is-pinned", store.pinned !== null);
    });
    document.addEventListener("keydown", e => { if (e.key === "Escape" && store.pinned !== null) store.pin(store.pinned); });
    table();
    return { csvText };
  };
})(window.mixdeskParts ||= {});
