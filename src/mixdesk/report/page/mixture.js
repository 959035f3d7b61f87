"use strict";
// The store: one mixture whose weights always sum to one, locks, undo, and the trial that is pointed at. Panels
// subscribe to "moved", "frame" (the one that shows it), "rest" (70 ms later), "locks", "undo", "open", "hot", "brush" and "drawn" (a figure).
(parts => {
  const { diff, value } = parts.atoms;
  const BURST = 350, REST = 70, SPEECH = 500, MOST_STEPS = 200;
  // Weights × trials up to which the page looks for the hull of the trials: beyond it, it knows the leverage alone.
  const MOST_HULL = 60000;
  // The least weight on a geometric path: a domain that only one end has comes and goes gradually.
  const LEAST = 1e-6;

  parts.mixture = ({ DESK, TRIALS }) => {
    const D = DESK.domains.length, listeners = {};
    const law = mixlaws(DESK.law, { level: DESK.level, z: DESK.z, ...DESK.size }, DESK.domains, DESK.metrics.map(m => m.name));
    let evaluations = 0, frame = 0, rest = 0, speech = 0, pending = null;
    const evaluate = w => { evaluations++; return law.evaluate(w); };
    const mean = w => { evaluations++; return law.mean(w); };
    const on = (kind, listen) => (listeners[kind] ||= []).push(listen);
    const tell = kind => (listeners[kind] || []).forEach(listen => listen());

    // ---------- presets ----------
    const presets = DESK.presets.slice(), natural = presets.find(p => p.name === "natural");
    if (natural) {
      const raised = natural.weights.map(w => w > 0 ? w ** .7 : 0), sum = raised.reduce((a, b) => a + b, 0);
      presets.push({ name: "natural^0.7", weights: raised.map(w => w / sum), is_derived: true });
    }
    const preset = name => presets.find(p => p.name === name);
    const store = { hot: null, pinned: null, brush: null, mixture: preset(DESK.start).weights.slice(), locks: DESK.domains.map(() => false), undo: [], redo: [], now: null, open: new Set(), say: () => {} };

    // ---------- objective, interval, region ----------
    function objective(row) {
      let sum = 0, total = 0, worst = -Infinity;
      DESK.metrics.forEach((m, j) => { if (m.weight > 0) { sum += m.weight * m.sign * row[j]; total += m.weight; worst = Math.max(worst, m.sign * row[j]); } });
      return DESK.reduce === "worst" ? worst : sum / total;
    }
    const reference = law.evaluate(preset(DESK.reference).weights), base = { mean: objective(reference.mean), draws: reference.draws.map(objective) };
    const guarded = new Map(DESK.guards.filter(g => g.than).map(g => [g.than, law.evaluate(preset(g.than).weights)]));
    function state(w) {
      const { mean: rows, draws } = evaluate(w), whole = draws.map(objective), centre = objective(rows), gap = centre - base.mean;
      const [low, high] = law.interval(whole, centre);
      return { rows, draws, mean: centre, low, high, half: (high - low) / 2, gap, span: law.interval(whole.map((v, k) => v - base.draws[k]), gap) };
    }
    const inverse = DESK.region && DESK.region.inverse.map(mixlaws.numbers);
    function leverage(w) {
      const { centre } = DESK.region, gap = w.map((x, j) => x - centre[j]);
      let sum = 0;
      for (let i = 0; i < gap.length; i++) { const line = inverse[i]; let row = 0; for (let j = 0; j < gap.length; j++) row += line[j] * gap[j]; sum += gap[i] * row; }
      return sum;
    }
    // Guards that the law's mean breaks, or its interval does, the worst first.
    function guards() {
      const { rows, draws } = store.now;
      return DESK.guards.map(g => {
        const m = DESK.metrics.findIndex(one => one.name === g.metric), { sign } = DESK.metrics[m], rival = g.than && guarded.get(g.than);
        const over = (v, than) => sign * (v - (than || 0)) - g.limit, excess = over(rows[m], rival && rival.mean[m]);
        const drawn = draws.map((row, k) => over(row[m], rival && rival.draws[k][m])), [low, high] = drawn.length ? law.interval(drawn, excess) : [excess, excess];
        // Between kept and broken by rounding of the search: a thousandth of the doubt.
        return { words: g.words, excess, high, room: (high - low) / 1000 };
      }).filter(g => g.excess > 0 || g.high > 0).sort((a, b) => b.excess - a.excess);
    }

    // ---------- moves ----------
    const sumOf = members => { let sum = 0; for (const i of members) sum += store.mixture[i]; return sum; };
    function share(next, members, total) {
      const sum = sumOf(members);
      for (const i of members) next[i] = sum > 1e-12 ? store.mixture[i] / sum * total : total / members.length;
    }
    // What a channel of domains asks, or the reason why it cannot be: its free members keep their proportions among
    // themselves, so do the free ones outside, and locked ones stand still.
    function moved(members, asked) {
      const { mixture, locks } = store, mine = members.filter(i => !locks[i]), inside = new Set(members);
      if (!mine.length) return "This fader is locked.";
      const others = []; let held = 0, within = 0;
      for (let i = 0; i < D; i++) { if (locks[i]) { held += mixture[i]; if (inside.has(i)) within += mixture[i]; } else if (!inside.has(i)) others.push(i); }
      if (!others.length) return "Everything else is locked, so this fader cannot move.";
      const room = Math.max(0, 1 - held), x = Math.min(Math.max(asked - within, 0), room);
      if (!Number.isFinite(x)) return null;
      const next = mixture.slice();
      share(next, mine, x); share(next, others, room - x);
      return next;
    }
    function move(members, asked) {
      const next = moved(members, asked);
      if (typeof next === "string") return store.say(next);
      if (next && next.some((w, i) => w !== store.mixture[i])) { keep(); store.mixture = next; changed(); }
    }
    // A preset leaves locked channels alone and shares what is left in its own proportions.
    function load(weights) {
      const { mixture, locks } = store, free = locks.filter(locked => !locked).length;
      if (!free) return store.say("Every fader is locked.");
      let held = 0, sum = 0;
      for (let i = 0; i < D; i++) locks[i] ? held += mixture[i] : sum += weights[i];
      const room = Math.max(0, 1 - held), isWhole = free === D;
      settle(); keep();
      store.mixture = mixture.map((w, i) => locks[i] ? w : isWhole ? weights[i] : sum > 1e-12 ? weights[i] / sum * room : room / free);
      changed(); settle();
    }
    // The normalised geometric path between two mixtures, weights ∝ from^(1 − t) to^t, t from 0 to 1 and beyond. Locked
    // channels stand still; between its ends no domain passes its limit of repeats while the others have room.
    function faded(from, to, t) {
      const next = store.mixture.slice(), isEnd = t === 0 || t === 1, log = w => Math.log(Math.max(w, LEAST));
      const path = next.map((_, i) => isEnd ? (t ? to : from)[i] : Math.exp((1 - t) * log(from[i]) + t * log(to[i])));
      let open = next.map((_, i) => i).filter(i => !store.locks[i]), room = 1;
      if (open.length === next.length && isEnd) return path;
      if (open.length < 2) return "Everything else is locked, so nothing can move.";
      next.forEach((w, i) => { if (store.locks[i]) room -= w; });
      room = Math.max(0, room);
      for (;;) {
        const sum = open.reduce((all, i) => all + path[i], 0), part = i => sum > 0 ? path[i] / sum * room : room / open.length;
        const over = isEnd ? [] : open.filter(i => part(i) > capOf(i));
        if (!over.length || over.length === open.length) { for (const i of open) next[i] = part(i); return next; }
        for (const i of over) { next[i] = capOf(i); room -= next[i]; }
        open = open.filter(i => !over.includes(i));
      }
    }
    function fade(from, to, t) {
      const next = faded(from, to, t);
      if (typeof next === "string") return store.say(next);
      keep(); store.mixture = next; changed();
    }
    function lock(members, isLocked) { for (const i of members) store.locks[i] = isLocked; tell("locks"); }

    // ---------- undo: a drag or a burst of keys is one step ----------
    function keep() {
      if (pending === null) { store.undo.push(store.mixture.slice()); store.redo = []; if (store.undo.length > MOST_STEPS) store.undo.shift(); tell("undo"); }
      clearTimeout(pending); pending = setTimeout(settle, BURST);
    }
    function settle() { clearTimeout(pending); pending = null; }
    function step(from, to) { settle(); if (!store[from].length) return; store[to].push(store.mixture.slice()); store.mixture = store[from].pop(); changed(); tell("undo"); }

    // Stand as another store of the same domains stood; without `mixture` at the start.
    function take({ mixture, locks, undo, redo, open }) {
      if (mixture) store.mixture = mixture.slice();
      Object.assign(store, { locks: locks.slice(), undo: undo.slice(), redo: redo.slice(), open: new Set(open) });
      paint(); for (const kind of ["locks", "undo", "open"]) tell(kind);
    }

    // ---------- one frame for however many events ----------
    function paint() { frame = 0; store.now = state(store.mixture); tell("frame"); rest = setTimeout(() => tell("rest"), REST); }
    function changed() {
      tell("moved"); clearTimeout(rest);
      if (!frame) frame = requestAnimationFrame(paint);
      clearTimeout(speech); speech = setTimeout(() => store.say(`Objective ${value(store.now.mean)}, against ${DESK.reference} ${diff(store.now.gap)}`), SPEECH);
    }

    // ---------- epochs ----------
    const { epochs } = DESK;
    const epochsOf = i => epochs && epochs.unique[i] ? store.mixture[i] * epochs.run / epochs.unique[i] : NaN;
    const capOf = i => epochs && epochs.unique[i] && epochs.limit ? epochs.limit * epochs.unique[i] / epochs.run : Infinity;
    const limit = epochs && epochs.limit || Infinity;
    const isOver = i => epochsOf(i) > limit * (1 + 1e-6);

    // ---------- the trial pointed at; a pinned one stays until another is pinned or Escape ----------
    function point(n) { const next = store.pinned !== null ? store.pinned : n; if (next !== store.hot) { store.hot = next; tell("hot"); } }
    function pin(n) { store.pinned = n === store.pinned ? null : n; store.hot = store.pinned; tell("hot"); }

    const seen = new Set(), tried = [];
    TRIALS.weights.forEach((row, n) => { if (TRIALS.rung[n] !== DESK.runs || TRIALS.state[n] !== "done") return; const key = row.join(); if (!seen.has(key)) { seen.add(key); tried.push(row); } });
    const isBetween = w => tried.length * D > MOST_HULL ? null : parts.isBetween(w, tried);
    return Object.assign(store, {
      D, law, presets, preset, mean, evaluate, objective, state, leverage, isBetween, guards, sumOf, moved, move, load, fade, lock, settle, take, on, tell, paint, epochsOf, capOf, limit, isOver, point, pin,
      undoStep: () => step("undo", "redo"), redoStep: () => step("redo", "undo"), evaluations: () => evaluations,
    });
  };

  // Whether trials mixed with one another give these weights, to 1e-5: least squares with weights ≥ 0 (Lawson, Hanson).
  parts.isBetween = (w, rows) => {
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
  };
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
})(window.mixdeskParts ||= {});
