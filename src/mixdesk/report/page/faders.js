"use strict";
// Faders: one per channel (a domain, or a family of them), upright or lying, with the trials' weights in the track.
(parts => {
  const { h, s, sign, bdi, put, percent } = parts.atoms;
  const LOCK = "M4 6V4.6a3 3 0 0 1 6 0V6M3 6h8v6H3z";
  // Above this many trials their ticks become a strip as wide as they are dense.
  const MOST_TICKS = 400, BINS = 48;
  const taper = w => Math.sqrt(Math.max(0, w)), weightAt = p => p * p;  // 1 % is as easy to set as 40 %

  parts.faders = ({ DESK, TRIALS, store, proxies }) => {
    const shareOf = (row, members) => { let sum = 0; for (const i of members) sum += row[i]; return sum; };
    const epochsOf = c => c.members.length === 1 ? store.epochsOf(c.members[0]) : Math.max(...c.members.map(store.epochsOf).filter(Number.isFinite), -Infinity);

    // The trials' weights as one path in a box of 100 × 14, along the track.
    function ticks(members, isLying) {
      const spots = proxies.map(n => 100 * taper(shareOf(TRIALS.weights[n], members))), at = (a, b) => isLying ? `${a.toFixed(2)} ${b.toFixed(1)}` : `${b.toFixed(1)} ${(100 - a).toFixed(2)}`;
      if (spots.length <= MOST_TICKS) return [...new Set(spots.map(x => x.toFixed(1)))].map(x => `M${at(+x, 0)}L${at(+x, 14)}`).join("");
      const bins = new Array(BINS).fill(0);
      for (const x of spots) bins[Math.min(BINS - 1, Math.floor(x * BINS / 100))]++;
      const most = Math.sqrt(Math.max(...bins)), half = bins.map(n => 7 * Math.sqrt(n) / most), place = k => (k + .5) * 100 / BINS;
      return "M" + half.map((y, k) => at(place(k), 7 - y)).join("L") + "L" + half.map((y, k) => at(place(k), 7 + y)).reverse().join("L") + "Z";
    }

    // A fader and its nodes; `options` = {isRow, isOpen, toggle} for the families of a list.
    function fader(channel, options = {}) {
      const { members, name } = channel, hue = `var(--d${channel.hue})`, isDense = proxies.length > MOST_TICKS;
      const knob = h("div", { class: "knob", role: "slider", tabindex: 0, "aria-label": name + ", share of training tokens", "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" });
      const path = s("path", {}), rugs = s("svg", { class: isDense ? "rugs dense" : "rugs", preserveAspectRatio: "none", "aria-hidden": "true" }, path);
      const last = [9, 9, 9];  // the lowest sign so far in each of three columns: signs dodge each other
      const marks = store.presets.filter(p => !p.is_derived).map(p => [p, taper(shareOf(p.weights, members))]).sort((a, b) => b[1] - a[1]).map(([p, q]) => { const column = Math.max(0, last.findIndex(y => y - q > .036)); last[column] = q; return h("span", { class: "mk", style: { "--q": q, "--c": column }, title: p.name }, sign(p.name)); });
      const cap = members.length === 1 ? store.capOf(members[0]) : Infinity, over = cap < 1 ? h("div", { class: "over", style: { "--cap": taper(cap) } }) : null;
      const scale = [0, 1, 5, 10, 20, 40, 70, 100].map(t => h("span", { class: "tk", style: { "--q": taper(t / 100) } }, String(t)));
      const hot = h("i", { class: "rug on", hidden: true });
      const fill = h("div", { class: "fill" }), track = h("div", { class: "fv" }, scale, h("div", { class: "slot" }), over, fill, rugs, marks, hot, knob);
      const input = h("input", { inputmode: "decimal", "aria-label": name + ", per cent", autocomplete: "off" });
      const lock = h("button", { type: "button", class: "lk", "aria-pressed": "false", "aria-label": "Lock " + name, onclick: () => toggle(channel) }, s("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, s("path", { d: LOCK, fill: "none", stroke: "currentColor", "stroke-width": 1.4 })));
      const title = h("div", { class: "nm", title: name }, options.toggle ? h("button", { type: "button", class: "open", "aria-expanded": String(options.isOpen), onclick: options.toggle }, h("span", { "aria-hidden": "true" }, options.isOpen ? "▾" : "▸"), bdi(channel.label, 22), h("small", {}, String(members.length))) : bdi(channel.label));
      const ep = h("div", { class: "ep" }), ef = h("div", { class: "ef" });
      const node = h("div", { class: "ch", style: { "--hue": hue } }, title, h("div", { class: "val" }, input, h("i", {}, "%")), track, ep, ef, lock);
      const made = { channel, node, knob, fill, input, lock, ep, ef, hot, rugs, path, cap, look: "ch", isLying: null };
      const at = event => { const r = track.getBoundingClientRect(); return weightAt(Math.min(1, Math.max(0, made.isLying ? (event.clientX - r.left) / r.width : (r.bottom - event.clientY) / r.height))); };
      track.addEventListener("pointerdown", e => { if (e.button) return; e.preventDefault(); knob.focus({ preventScroll: true }); track.setPointerCapture(e.pointerId); store.move(members, at(e)); });
      track.addEventListener("pointermove", e => { if (track.hasPointerCapture(e.pointerId)) store.move(members, at(e)); });
      track.addEventListener("pointerup", store.settle);
      knob.addEventListener("keydown", e => key(e, made));
      input.addEventListener("change", () => { const x = parseFloat(input.value.replace(",", ".")) / 100; if (Number.isFinite(x)) { store.move(members, x); store.settle(); } else refresh(made); });
      input.addEventListener("focus", () => input.select());
      input.addEventListener("blur", () => refresh(made));
      input.addEventListener("keydown", e => { if (e.key === "Escape" || e.key === "Enter") knob.focus(); });
      return made;
    }
    function key(event, fader) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { members } = fader.channel, fine = event.shiftKey ? .001 : .005, home = store.preset("recipe") || store.preset(DESK.start), w = store.sumOf(members);
      const to = { ArrowUp: w + fine, ArrowRight: w + fine, ArrowDown: w - fine, ArrowLeft: w - fine, PageUp: w + .05, PageDown: w - .05, Home: 0, End: Math.min(1, fader.cap), Delete: shareOf(home.weights, members) }[event.key];
      if (to !== undefined) { event.preventDefault(); store.move(members, to); }
      else if (event.key.toLowerCase() === "l") toggle(fader.channel);
      else if (event.key === "Enter") { event.preventDefault(); fader.input.focus(); }
    }
    const isLocked = c => c.members.every(i => store.locks[i]);
    function toggle(channel) { store.lock(channel.members, !isLocked(channel)); }

    function orient(fader, isLying) {
      if (fader.isLying === isLying) return;
      fader.isLying = isLying;
      put(fader.knob, "aria-orientation", isLying ? "horizontal" : "vertical");
      fader.rugs.setAttribute("viewBox", isLying ? "0 0 100 14" : "0 0 14 100"); fader.path.setAttribute("d", ticks(fader.channel.members, isLying));
    }
    function refresh(fader) { if (document.activeElement !== fader.input) { const shown = percent(store.sumOf(fader.channel.members)); if (fader.input.value !== shown) fader.input.value = shown; } }
    // In the frame: where the knob stands, its number and its epochs. At rest: what a screen reader is told.
    function paint(fader, isResting) {
      const { channel } = fader, w = store.sumOf(channel.members), e = epochsOf(channel), isMany = channel.members.length > 1;
      // On the two that move: on the track it would be inherited by all that stands in it, and each styled anew.
      const place = `--p:${taper(w).toFixed(5)}`; put(fader.fill, "style", place); put(fader.knob, "style", place); refresh(fader);
      put(fader.ep, "text", Number.isFinite(e) ? `${isMany ? "≤ " : ""}${e.toFixed(1)} epochs` : "");
      put(fader.ep, "class", e > store.limit * (1 + 1e-6) ? "ep hot" : "ep");
      if (isResting || document.activeElement === fader.knob) {
        const locked = isLocked(channel);
        put(fader.knob, "aria-valuenow", percent(w)); put(fader.knob, "aria-valuetext", `${percent(w)} percent${Number.isFinite(e) ? `, ${isMany ? "at most " : ""}${e.toFixed(1)} epochs` : ""}${locked ? ", locked" : ""}`);
        put(fader.node, "class", fader.look + (locked ? " locked" : "")); put(fader.lock, "aria-pressed", String(locked));
      }
    }
    // What one more point would do, others making room.
    function slope(fader) {
      const next = store.moved(fader.channel.members, store.sumOf(fader.channel.members) + .01);
      const said = Array.isArray(next) ? parts.atoms.diff(store.objective(store.mean(next)) - store.now.mean) : "";
      put(fader.ef, "text", said && `${said} per +1 pt`);
    }
    function point(fader) {
      const n = store.hot;
      put(fader.hot, "hidden", n === null ? "" : null);
      if (n !== null) put(fader.hot, "style", `--q:${taper(shareOf(TRIALS.weights[n], fader.channel.members)).toFixed(4)}`);
    }
    return { fader, orient, paint, slope, point, shareOf, toggle };
  };
})(window.mixdeskParts ||= {});
