"use strict";
// Brushing: a range on one axis of all trials, drawn with the mouse or typed. Trials outside it are dim in every figure
// and gone from the table, until Escape.
(parts => {
  const { h, middle } = parts.atoms;
  const NEAR = 16;  // pixels from an axis within which a drag is on it

  parts.brush = ({ DATA, TRIALS, store }) => {
    const id = "fig-tried", node = document.getElementById(id), range = node && DATA.specs[id].brush; if (!range) return;
    const { bands } = DATA, last = bands.length, span = range.high - range.low || 1, box = h("div", { class: "brushbox", hidden: true });
    const share = (n, members) => { let sum = 0; for (const i of members) sum += TRIALS.weights[n][i]; return sum; };
    // What a trial has on an axis, as it is typed: per cent, or the objective.
    const valueOf = (n, k) => k === last ? TRIALS.objective[n] ?? NaN : 100 * share(n, bands[k].members);
    const heightOf = (v, k) => k === last ? 1 - (v - range.low) / span : Math.sqrt(Math.max(0, v) / 100), valueAt = (y, k) => k === last ? range.low + (1 - y) * span : 100 * y * y;

    const axis = h("select", { class: "pick", "aria-label": "brush on" }, h("option", { value: "" }, "brush: none"), bands.map((b, k) => h("option", { value: k }, middle(b.label, 24) + ", %")), h("option", { value: last }, "objective"));
    const field = name => h("input", { class: "find end", inputmode: "decimal", autocomplete: "off", placeholder: name, "aria-label": `brush ${name}` });
    const [from, to] = [field("from"), field("to")], said = h("span", { class: "u", role: "status" });
    const number = (input, otherwise) => { const x = Number.parseFloat(input.value.replace(",", ".").replace("−", "-")); return Number.isFinite(x) ? x : otherwise; };
    function apply() {
      from.hidden = to.hidden = axis.value === "";
      const k = +axis.value, low = number(from, -Infinity), high = number(to, Infinity);
      const found = axis.value === "" || low === -Infinity && high === Infinity ? null : new Set(TRIALS.id.map((_, n) => n).filter(n => { const v = valueOf(n, k); return v >= low && v <= high; }));
      said.textContent = found ? `${found.size} of ${TRIALS.id.length} trials, Escape clears` : "";
      store.brush = found; store.tell("brush"); place();
    }
    function clear() { axis.value = from.value = to.value = ""; apply(); }
    for (const one of [from, to]) one.addEventListener("input", apply);
    axis.addEventListener("change", apply);
    document.addEventListener("keydown", e => { if (e.key === "Escape" && axis.value !== "") clear(); });

    // ---------- with the mouse: up or down along an axis ----------
    const layout = () => node._fullLayout, x = k => layout().xaxis._offset + layout().xaxis.d2p(k), y = v => layout().yaxis._offset + layout().yaxis.d2p(v);
    function place() {
      box.hidden = !store.brush || !layout(); if (box.hidden) return;
      if (box.parentNode !== node) node.append(box);
      const k = +axis.value, clamp = v => Math.min(1, Math.max(0, v)), ends = [heightOf(number(from, k === last ? range.low : 0), k), heightOf(number(to, k === last ? range.high : 100), k)].map(v => y(clamp(v)));
      Object.assign(box.style, { left: `${x(k) - 7}px`, top: `${Math.min(...ends)}px`, height: `${Math.abs(ends[1] - ends[0])}px` });
    }
    let start = null, frame = 0;
    const at = e => { const r = node.getBoundingClientRect(); return [e.clientX - r.left, e.clientY - r.top]; };
    node.addEventListener("pointerdown", e => {
      if (!layout() || e.button) return;
      const [px, py] = at(e), k = Math.min(last, Math.max(0, Math.round(layout().xaxis.p2d(px - layout().xaxis._offset))));
      if (Math.abs(px - x(k)) > NEAR || py < y(1.04) || py > y(-.04)) return;
      start = [k, py]; node.setPointerCapture(e.pointerId);
    }, true);
    node.addEventListener("pointermove", e => {
      if (!start || Math.abs(at(e)[1] - start[1]) < 4) return;
      const [k, py] = start, ends = [py, at(e)[1]].map(p => valueAt(Math.min(1, Math.max(0, layout().yaxis.p2d(p - layout().yaxis._offset))), k)).sort((a, b) => a - b);
      axis.value = k; [from.value, to.value] = ends.map(v => v.toFixed(k === last ? 4 : 1)); frame ||= requestAnimationFrame(() => { frame = 0; apply(); });
    });
    for (const kind of ["pointerup", "pointercancel"]) node.addEventListener(kind, () => { if (start && axis.value !== "") apply(); start = null; });
    store.on("drawn", place);
    const card = node.closest(".card"); card.insertBefore(h("p", { class: "picks" }, axis, from, to, said), card.querySelector(".sideways"));
    apply();
  };
})(window.mixdeskParts ||= {});
