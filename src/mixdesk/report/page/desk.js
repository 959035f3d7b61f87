"use strict";
// The desk: reads the page's data, starts the parts, and answers from outside. It never decides: verdicts come from Python.
window.mixdesk = (parts => {
  const DATA = JSON.parse(document.getElementById("data").textContent), DESK = DATA.console, TRIALS = DATA.trials;
  const $ = id => document.getElementById(id);
  // Many trials come packed.
  TRIALS.weights = TRIALS.weights.map(row => typeof row[1] === "string" ? mixlaws.weights(row) : row);

  // A page without a law still points at trials.
  function pointer() {
    const listeners = {}, tell = kind => (listeners[kind] || []).forEach(listen => listen());
    const store = { hot: null, pinned: null, brush: null, tell, on: (kind, listen) => (listeners[kind] ||= []).push(listen) };
    store.point = n => { const next = store.pinned !== null ? store.pinned : n; if (next !== store.hot) { store.hot = next; tell("hot"); } };
    store.pin = n => { store.pinned = n === store.pinned ? null : n; store.hot = store.pinned; tell("hot"); };
    return store;
  }
  const store = DESK ? parts.mixture({ DESK, TRIALS }) : pointer(), context = { DATA, DESK, TRIALS, store };
  if (DESK) {
    context.proxies = TRIALS.id.map((_, n) => n).filter(n => TRIALS.rung[n] === DESK.rung && TRIALS.state[n] === "done");
    context.channels = DESK.channels.map(c => ({ name: DESK.domains[c.i], label: c.label, family: c.family, members: [c.i], hue: c.i }));
    context.families = [...new Set(context.channels.map(c => c.family))].map(family => { const mine = context.channels.filter(c => c.family === family); return { name: family, label: family, family, members: mine.map(c => c.members[0]), hue: mine[0].hue }; });
    parts.console(context); parts.effects(context);
  }
  const figures = parts.figures(context), trials = parts.trials(context); parts.brush(context);

  for (const table of document.querySelectorAll("table.sorts")) parts.atoms.sorts(table);
  function theme(name, save) {
    document.documentElement.dataset.theme = name; const toggle = $("theme"); toggle.hidden = false; toggle.textContent = name === "dark" ? "Light" : "Dark"; toggle.setAttribute("aria-label", `Switch to the ${name === "dark" ? "light" : "dark"} theme`);
    if (save) try { localStorage.setItem("desk-theme", name); } catch { /* a file may have no storage */ }
    figures.repaint();
  }
  let stored = null; try { stored = localStorage.getItem("desk-theme"); } catch { /* a file may have no storage */ }
  theme(stored || (matchMedia("(prefers-color-scheme:dark)").matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true));

  const outside = { draw: figures.draw, csvText: trials.csvText, numbers: figures.numbers, store };
  if (!DESK) return outside;
  const { law } = store;
  return {
    ...outside,
    predict: w => { const at = store.state(w); return { metrics: Object.fromEntries(DESK.metrics.map((m, j) => [m.name, at.rows[j]])), objective: at.mean, low: at.low, high: at.high, difference: at.gap, difference_low: at.span[0], difference_high: at.span[1] }; },
    draws: law.draws, spans: w => { const at = store.state(w); return at.rows.map((v, m) => law.interval(at.draws.map(row => row[m]), v)); },
    leverage: store.leverage, isBetween: store.isBetween, weights: () => store.mixture.slice(), locked: () => store.locks.slice(), code: parts.code, evaluations: store.evaluations,
    move: (channel, w) => store.move(Array.isArray(channel) ? channel : [channel], w), lock: j => store.lock([j], !store.locks[j]), preset: name => store.load(store.preset(name).weights),
    fade: t => store.fade(store.preset(DESK.reference).weights, store.preset("recipe").weights, t), undo: store.undoStep, redo: store.redoStep, settle: store.settle,
  };
})(window.mixdeskParts);
