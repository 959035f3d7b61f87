"use strict";
// The console: the top bar, the faders of up to 24 channels side by side, and beyond it a list of families.
(parts => {
  const { h, sign, bdi, button, put, percent } = parts.atoms;
  // More upright faders cannot be told apart; a list of families takes their place.
  const MOST_STRIPS = 24, ROW = 68, FEW = 60, NARROW = 106;

  parts.console = context => {
    const { DESK, store, channels, families } = context, faders = parts.faders(context), master = parts.master(context);
    const isList = DESK.domains.length > MOST_STRIPS, box = document.getElementById("console");
    let shown = [], isByFamily = false, isLying = false, shares = [];
    const hasFamilies = families.length > 1 && families.some(f => f.members.length > 1);

    // ---------- strips ----------
    const strips = h("div", { class: "channels" });
    function build() {
      const groups = isByFamily ? [{ channels: families }] : families.map(f => ({ family: f, channels: channels.filter(c => c.family === f.family) }));
      shown = []; shares = [];
      strips.replaceChildren(...groups.map(({ family, channels: mine }) => {
        const made = mine.map(c => faders.fader(c)), share = h("span"); shown.push(...made);
        if (family && mine.length > 1) shares.push([share, family.members]);
        return h("div", { class: "fam", style: { flex: String(mine.length), borderTopColor: family ? `var(--d${family.hue})` : "var(--line2)" } },
          family && hasFamilies ? h("header", {}, bdi(family.label), share) : null, h("div", {}, made.map(f => f.node)));
      }));
      lie();
    }
    // Faders lie down where there is less than 106 px for each.
    function lie() {
      const room = box.clientWidth - (innerWidth > 1180 ? 420 : 32); isLying = isList || room / shown.length < NARROW;
      box.classList.toggle("rows", isLying); for (const f of shown) faders.orient(f, isLying);
    }

    // ---------- list ----------
    const list = isList ? parts.list(context, faders, ROW) : null;

    // ---------- top bar ----------
    const presets = store.presets.map(p => button([p.is_derived ? null : sign(p.name), " " + (p.name === "recipe" && DESK.is_refused ? "refused candidate" : p.name)], () => store.load(p.weights)));
    const undo = button("Undo", store.undoStep), redo = button("Redo", store.redoStep), unlock = button("Unlock all", () => store.lock(DESK.domains.map((_, i) => i), false));
    const views = !isList && hasFamilies ? [false, true].map(byFamily => button(byFamily ? `${families.length} families` : `${channels.length} domains`, () => {
      isByFamily = byFamily; views.forEach((b, i) => b.setAttribute("aria-pressed", String(!!i === byFamily))); build(); rest(); point();
    }, { "aria-pressed": String(!byFamily) })) : [];
    const top = h("div", { class: "bar2" }, views, h("span", { class: "lab" }, "start from"), presets, h("span", { class: "sp" }), undo, redo, unlock);
    const keys = h("div", { class: "key" }, store.presets.filter(p => !p.is_derived).map(p => h("span", {}, sign(p.name), " " + p.name)),
      h("span", {}, `in the track: ${context.proxies.length} trials`), DESK.epochs && DESK.epochs.limit ? h("span", {}, h("i", { class: "swatch" }), `more than ${DESK.epochs.limit} epochs`) : null,
      DESK.epochs ? null : h("span", {}, "token counts unknown: no epochs"), h("span", { class: "hint" }, "keys: arrows ±0.5, Shift ±0.1, Page ±5, Enter a number, L lock, Delete back, Ctrl+Z" + (isList ? ", Alt+arrows next fader" : "")));
    box.replaceChildren(top, h("div", { class: "left" }, list ? list.node : strips, parts.crossfader(context), keys), master.node); box.hidden = false;

    // ---------- painting ----------
    const visible = () => list ? list.visible() : shown;
    function frame() { for (const f of visible()) faders.paint(f, false); for (const [node, members] of shares) put(node, "text", percent(store.sumOf(members)) + " %"); master.paint(); }
    function rest() { for (const f of visible()) { faders.paint(f, true); faders.slope(f); } for (const [node, members] of shares) put(node, "text", percent(store.sumOf(members)) + " %"); master.rest(); }
    function point() { for (const f of visible()) faders.point(f); master.point(); }
    function buttons() { undo.disabled = !store.undo.length; redo.disabled = !store.redo.length; unlock.disabled = !store.locks.some(Boolean); }
    if (list) list.whenShown(made => { for (const f of made) { faders.orient(f, true); faders.paint(f, true); faders.point(f); faders.slope(f); } }); else build();
    store.on("frame", frame); store.on("rest", rest); store.on("hot", point); store.on("undo", buttons);
    store.on("locks", () => { for (const f of visible()) faders.paint(f, true); buttons(); });
    document.addEventListener("keydown", e => { if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z" && e.target.tagName !== "INPUT") { e.preventDefault(); e.shiftKey ? store.redoStep() : store.undoStep(); } });
    new ResizeObserver(() => { lie(); if (list) list.show(); }).observe(box);
    // ---------- sleep: not always, for a picture of the whole page would be blank where nobody looked ----------
    const page = document.querySelector("main"), explore = document.getElementById("explore");
    const height = n => { const { paddingTop, paddingBottom } = getComputedStyle(n); return n.getBoundingClientRect().height - (n.offsetHeight - n.clientHeight) - parseFloat(paddingTop) - parseFloat(paddingBottom); };
    explore.addEventListener("focusin", e => {
      if (explore.contains(e.relatedTarget)) return;
      const others = [...page.querySelectorAll(":scope > section:not(#explore), #doubt .card")].map(n => [n, height(n)]);
      for (const [n, tall] of others) { n.style.setProperty("--asleep", tall + "px"); n.classList.add("asleep"); }
    });
    explore.addEventListener("focusout", e => { if (!explore.contains(e.relatedTarget)) for (const n of page.querySelectorAll(".asleep")) n.classList.remove("asleep"); });
    store.now = store.state(store.mixture);
    lie(); buttons(); if (list) list.show(); frame(); rest(); master.dock(list ? list.node : strips);
  };

  // More than 24 domains: families that open to their domains; rows exist while they are in sight.
  parts.list = (context, faders, ROW) => {
    const { DESK, store, channels, families } = context, made = new Map();
    store.open = new Set(channels.length > FEW ? [] : families.map(f => f.family));
    const scroll = h("div", { class: "list", role: "group", "aria-label": "faders" }), inner = h("div", { class: "inner" }), count = h("span", { class: "u" });
    const search = h("input", { type: "search", class: "find", placeholder: "find: text, licence:text, epochs>3", "aria-label": "find domains", autocomplete: "off" });
    const licences = DESK.licences || [];
    let items = [], shown = [], tell = () => {};
    const active = new Map();  // family → the channel whose knob is the group's tab stop

    function matches(i, words) {
      return words.every(word => {
        const epochs = word.match(/^epochs([<>])([\d.]+)$/);
        if (epochs) { const e = store.epochsOf(i); return epochs[1] === ">" ? e > +epochs[2] : e < +epochs[2]; }
        const licence = word.match(/^licen[cs]e:(.+)$/);
        return licence ? (licences[i] || "").toLowerCase().includes(licence[1]) : DESK.domains[i].toLowerCase().includes(word);
      });
    }
    function fill() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = words.length ? new Set(channels.filter(c => matches(c.members[0], words)).map(c => c.members[0])) : null;
      items = [];
      for (const family of families) {
        const mine = channels.filter(c => c.family === family.family && (!found || found.has(c.members[0])));
        if (found && !mine.length) continue;
        items.push(family);
        if (family.members.length > 1 && (found || store.open.has(family.family))) items.push(...mine);
      }
      count.textContent = found ? `${found.size} of ${channels.length} domains` : `${channels.length} domains, ${families.length} families`;
      inner.style.height = items.length * ROW + "px"; scroll.style.setProperty("--h", items.length * ROW + 2 + "px"); scroll.scrollTop = Math.min(scroll.scrollTop, Math.max(0, items.length * ROW - scroll.clientHeight)); show();
    }
    function faderOf(item) {
      if (made.has(item)) return made.get(item);
      const isFamily = families.includes(item), has = isFamily && item.members.length > 1;
      const one = faders.fader(item, has ? { isOpen: store.open.has(item.family), toggle: () => toggle(item) } : {});
      one.look = isFamily ? "ch row" : "ch row inside"; one.node.className = one.look;
      one.input.tabIndex = -1; one.lock.tabIndex = -1;
      one.knob.addEventListener("keydown", e => {
        if (e.altKey && (e.key === "ArrowDown" || e.key === "ArrowUp")) { e.preventDefault(); step(item, e.key === "ArrowDown" ? 1 : -1); }
        else if (has && e.key === " ") { e.preventDefault(); toggle(item); }
      });
      one.knob.addEventListener("focus", () => { active.set(item.family, item); for (const f of shown) stop(f); });
      made.set(item, one);
      return one;
    }
    const stop = f => put(f.knob, "tabindex", (active.get(f.channel.family) || families.find(one => one.family === f.channel.family)) === f.channel ? "0" : "-1");
    function toggle(family) {
      store.open.has(family.family) ? store.open.delete(family.family) : store.open.add(family.family);
      if (!store.open.has(family.family)) active.delete(family.family);
      const arrow = made.get(family).node.querySelector(".open"); arrow.setAttribute("aria-expanded", String(store.open.has(family.family))); arrow.firstChild.textContent = store.open.has(family.family) ? "▾" : "▸";
      fill();
    }
    function step(item, by) {
      const at = items.indexOf(item) + by; if (at < 0 || at >= items.length) return;
      const top = at * ROW; if (top < scroll.scrollTop + ROW) scroll.scrollTop = Math.max(0, top - ROW); else if (top + ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + ROW - scroll.clientHeight;
      show(); faderOf(items[at]).knob.focus({ preventScroll: true });
    }
    // The rows in sight, and the family of the first of them held at the top.
    function show() {
      const first = Math.max(0, Math.floor(scroll.scrollTop / ROW)), last = Math.min(items.length, Math.ceil((scroll.scrollTop + (scroll.clientHeight || 600)) / ROW) + 1);
      const wanted = items.slice(first, last), held = items[first] && families.find(f => f.family === items[first].family);
      if (held && !wanted.includes(held)) wanted.unshift(held);
      const next = wanted.map(faderOf), fresh = next.filter(f => !f.node.isConnected);
      const kept = new Set(next.map(f => f.node)); for (const row of [...inner.children]) if (!kept.has(row) && !row.contains(document.activeElement)) row.remove();
      next.forEach((f, k) => { const own = items.indexOf(wanted[k]) * ROW; put(f.node, "style", `--hue:var(--d${f.channel.hue});top:${f.channel === held ? Math.max(own, scroll.scrollTop) : own}px;z-index:${f.channel === held ? 6 : 1}`); });
      for (const f of fresh) { inner.append(f.node); stop(f); }
      shown = next; tell(fresh);
    }
    search.addEventListener("input", fill);
    store.on("open", () => { made.clear(); fill(); });
    scroll.addEventListener("scroll", show, { passive: true });
    scroll.append(inner);
    const node = h("div", { class: "listbox" }, h("div", { class: "finder" }, search, count), scroll);
    return { node, show: () => items.length ? show() : fill(), visible: () => shown, whenShown: listen => { tell = listen; } };
  };
})(window.mixdeskParts ||= {});
