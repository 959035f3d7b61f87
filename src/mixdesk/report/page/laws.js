"use strict";
// Laws exactly as Python evaluates them (`LawFit.browser()` of laws/*.py). `mixlaws(data, at)` gives, for weights w in
// the order of data.domains and metrics in that of data.metrics: mean(w) -> [m], draws(w) -> [k][m], both as
// evaluate(w), and interval(values, centre) -> [low, high] from the draws of one number. `at` = {level, z, n_params,
// n_tokens}.
// What depends on the data alone is computed once, when a law is made. A draw left out of the data (null) is NaN.
window.mixlaws = (() => {
  const held = x => Math.max(-30, Math.min(30, x));
  const SIZES = ["n_params", "n_tokens"];
  const sumOf = list => list.reduce((sum, x) => sum + x, 0);

  // A row of numbers, which the page holds as [unit, whole numbers of it in base 64]; null stays.
  const numbers = row => row && Float64Array.from(new Int32Array(Uint8Array.from(atob(row[1]), c => c.charCodeAt(0)).buffer), x => x * row[0]);

  // ---------- formulas: at weights w, a function of one set of coefficients θ ----------
  const FORMULAS = {
    // c + Σ_h exp(min(t_h . w, 30)), θ = (c, t_1 …, t_2 …)
    exponential: w => θ => {
      let sum = θ[0];
      for (let i = 1; i < θ.length;) { let x = 0; for (let j = 0; j < w.length; j++) x += θ[i++] * w[j]; sum += Math.exp(Math.min(x, 30)); }
      return sum;
    },
    // E + A ÷ (1 + Σ_j exp(θ_j) max(w_j, 1e-9)^exp(g_j)), θ = (E, A, θ_1 …, g_1 …)
    power_sum(w) {
      const d = w.length, logs = w.map(x => Math.log(Math.max(x, 1e-9)));
      return θ => { let sum = 1; for (let j = 0; j < d; j++) sum += Math.exp(held(θ[2 + j]) + Math.exp(held(θ[2 + d + j])) * logs[j]); return θ[0] + θ[1] / sum; };
    },
    // E + Σ_j K_j (1 + w_j exp(−α_j))^(−exp(g_j)), θ = (E, K_1 …, α_1 …, g_1 …)
    additive(w) {
      const d = w.length;
      return θ => { let sum = θ[0]; for (let j = 0; j < d; j++) sum += θ[1 + j] * Math.exp(-Math.exp(held(θ[1 + 2 * d + j])) * Math.log1p(Math.max(w[j], 0) * Math.exp(-held(θ[1 + d + j])))); return sum; };
    },
    // E + Σ_j exp(φ_j) (max(w_j, .001) ÷ .001)^(−exp(α_j)), θ = (E, φ_1 …, α_1 …)
    bimix(w) {
      const d = w.length, logs = w.map(x => Math.log(Math.max(x, 1e-3) / 1e-3));
      return θ => { let sum = θ[0]; for (let j = 0; j < d; j++) sum += Math.exp(held(θ[1 + j]) - Math.exp(held(θ[1 + d + j])) * logs[j]); return sum; };
    },
    // Π_j max(w_j, .001)^(−max(α_j, 0)) · (exp(b) (D ÷ D₀)^(−exp(β)) + exp(c)), θ = (α_1 …, b, β, c)
    bimix_own(w, law, at) {
      const d = w.length, logs = w.map(x => Math.log(Math.max(x, 1e-3))), length = Math.log((at.n_tokens || law.n_tokens) / law.options.reference);
      return θ => { let x = 0; for (let j = 0; j < d; j++) x -= Math.max(θ[j], 0) * logs[j]; return Math.exp(x) * (Math.exp(held(θ[d]) - Math.exp(held(θ[d + 1])) * length) + Math.exp(held(θ[d + 2]))); };
    },
    // Σ_p θ_p φ_p(w), φ the blocks in turn
    features(w, law) {
      const pairs = x => x.flatMap((a, i) => x.slice(i + 1).map(b => a * b)), roots = w.map(Math.sqrt);
      const blocks = { weight: () => w, root: () => roots, log: () => w.map(x => Math.log1p(x / 0.01)), pairs: () => pairs(w), "root pairs": () => pairs(roots) };
      const φ = law.options.blocks.flatMap(name => blocks[name]());
      return θ => { let sum = 0; for (let p = 0; p < φ.length; p++) sum += θ[p] * φ[p]; return sum; };
    },
  };
  // c + exp(min(t . w, 30)) + Σ_e exp(min(a_e − exp(l_e) log(size_e ÷ at_e), 30)), θ = (c, t_1 …, a_1 …, l_1 …)
  FORMULAS.scaled_exponential = (w, law, at) => {
    const d = w.length, { terms, at: usual } = law.options, size = asked(at, law.sizes), logs = terms.map((name, e) => Math.log(size[SIZES.indexOf(name)] / usual[e]));
    return θ => {
      let x = 0; for (let j = 0; j < d; j++) x += θ[1 + j] * w[j];
      return θ[0] + Math.exp(Math.min(x, 30)) + sumOf(logs.map((log, e) => Math.exp(Math.min(θ[1 + d + e] - Math.exp(θ[1 + d + logs.length + e]) * log, 30))));
    };
  };
  // sign_m (shift_m + scale_m f(w; θ_m)); a metric with a weight below those fitted (`low`) has no draws.
  function formula(law, at) {
    const values = (w, shift, theta) => { const f = FORMULAS[law.form](w, law, at); return theta.map((θ, m) => law.sign[m] * (shift[m] + law.scale[m] * f(θ))); };
    const unknown = w => law.low ? law.low.map(row => row.some((low, j) => Math.max(w[j], 1e-3) < Math.max(low, 1e-3) - 1e-12)) : null;
    const draws = w => {
      const f = FORMULAS[law.form](w, law, at), hide = unknown(w);
      return law.draws.theta.map((theta, k) => theta.map((θ, m) => !θ || (hide && hide[m]) ? NaN : law.sign[m] * (law.draws.shift[k][m] + law.scale[m] * f(θ))));
    };
    return { mean: w => values(w, law.shift, law.theta), draws, interval: quantiles(at) };
  }

  // ---------- sizes of runs ----------
  // What is not given is that of the largest size seen which agrees with what is given; sizes are [n_params, n_tokens].
  function asked(at, sizes) {
    const given = SIZES.map(name => at[name] > 0 ? at[name] : null);
    const like = sizes.filter(size => size.every((x, i) => given[i] === null || given[i] === x)).at(-1) || sizes.at(-1);
    return given.map((x, i) => x === null ? like[i] : x);
  }
  function nearest(size, sizes) {
    const away = sizes.map(one => sumOf(one.map((x, i) => Math.abs(Math.log(size[i]) - Math.log(x))))), best = away.indexOf(Math.min(...away));
    return [best, size.every((x, i) => x === sizes[best][i])];
  }

  // ---------- forms ----------
  const FORMS = {
    // Mean over members of the sum of the member's trees; the members are the draws, and their spread the interval.
    trees(law, at) {
      const tree = (one, w) => { if (!one.f.length) return one.v[0]; let node = 0; while (node >= 0) node = w[one.f[node]] <= one.t[node] ? one.l[node] : one.r[node]; return one.v[-node - 1]; };
      const draws = w => law.members.map(metrics => metrics.map(trees => sumOf(trees.map(one => tree(one, w)))));
      const mean = w => { const all = draws(w); return all[0].map((_, m) => sumOf(all.map(row => row[m])) / all.length); };
      return { mean, draws, interval: normal(at) };
    },
    // A process per metric over u = w^p ÷ unit, its value on a bent scale; draws are functions of features and kernels.
    gp(law, at) {
      const d = law.domains.length, F = law.b.length, omega = Float64Array.from(law.omega.flat());
      const ready = law.processes.map(one => {
        const U = new Float64Array(one.rows.length * d);
        one.rows.forEach((row, i) => { for (let j = 0; j < d; j++) U[i * d + j] = (law.W[row][j] ** one.p - one.middle[j]) / one.unit[j]; });
        return { U, alpha: Float64Array.from(one.alpha), c: one.c.map(numbers), beta: one.beta.map(numbers), lines: one.lines.map(numbers), kernel: new Float64Array(one.rows.length), wave: new Float64Array(F) };
      });
      const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };
      const near = (one, { U, kernel }, u) => {
        for (let i = 0; i < kernel.length; i++) {
          let square = 0; for (let j = 0; j < d; j++) { const gap = u[j] - U[i * d + j]; square += gap * gap; }
          const r = Math.sqrt(5 * square); kernel[i] = one.v * (1 + r + r * r / 3) * Math.exp(-r);
        }
        return kernel;
      };
      const value = (one, z) => one.sign * (one.shift + one.scale * one.a * Math.expm1(Math.max(-50, Math.min(20, z / one.a))));
      const place = (one, w) => w.map((x, j) => (x ** one.p - one.middle[j]) / one.unit[j]);
      const centre = (one, mine, u) => one.mu + dot(one.line, u) + dot(near(one, mine, u), mine.alpha);
      const mean = w => law.processes.map((one, m) => value(one, centre(one, ready[m], place(one, w))));
      const draws = w => {
        const out = law.processes[0].c.map(() => []);
        law.processes.forEach((one, m) => {
          const mine = ready[m], u = place(one, w), z = centre(one, mine, u), size = Math.sqrt(2 * one.v / F);
          for (let f = 0; f < F; f++) { let x = law.b[f]; for (let j = 0; j < d; j++) x += omega[f * d + j] * u[j]; mine.wave[f] = size * Math.cos(x); }
          out.forEach((row, k) => row.push(!mine.c[k] ? NaN : value(one, z + one.stretch * (dot(mine.lines[k], u) + dot(mine.c[k], mine.wave) + dot(mine.beta[k], mine.kernel)))));
        });
        return out;
      };
      return { mean, draws, interval: normal(at) };
    },
    // Members held within limits and averaged by weights; draw k of a metric is that of the member picked, stretched.
    average(law, at) {
      const members = law.members.map(one => within(one, at, law.domains, law.metrics)), [least, most] = law.limits;
      const bound = (x, m) => Math.max(least[m], Math.min(most[m], x));
      const mean = w => { const said = members.map(one => one.mean(w)); return law.metrics.map((_, m) => sumOf(said.map((row, k) => law.weights[k][m] > 0 ? law.weights[k][m] * bound(row[m], m) : 0))); };
      const draws = w => {
        const centre = mean(w), said = members.map(one => one.draws(w));
        return law.picks.map((pick, k) => {
          const away = centre.map((c, m) => bound(said[pick[m]][k % said[pick[m]].length][m], m) - c);
          return centre.map((c, m) => c + law.stretch[m] * sumOf(away.map((x, l) => x * law.mix[l][m])));
        });
      };
      return { mean, draws, interval: normal(at) };
    },
    // The base law at the size `start`; elsewhere a line in the values of another size, and a smooth rest. Draws are
    // those of the base law at its own size: elsewhere the page knows no interval.
    transfer(law, at) {
      const base = within(law.base, at, law.domains, law.metrics), sizes = law.scales.map(one => SIZES.map(name => one[name]));
      const [here, isSeen] = nearest(asked(at, sizes), sizes), place = w => w.map((x, j) => x ** law.power / law.widths[j]);
      const rows = law.scales.map(one => one.rest ? one.rest.rows.map(place) : null);
      const bell = r => { const x = Math.sqrt(5) * r; return (1 + x + x * x / 3) * Math.exp(-x); };
      const said = (scale, w) => {
        if (scale === law.start) return base.mean(w);
        const link = law.scales[scale], out = said(link.source, w).map((z, m) => link.level[m] + link.slope[m] * z);
        if (link.rest) {
          const u = place(w), away = rows[scale].map(row => Math.hypot(...row.map((x, j) => x - u[j])));
          law.lengths.forEach((length, l) => away.forEach((r, i) => { const near = bell(r / length); link.rest.weights[l][i].forEach((x, m) => { out[m] += x * near; }); }));
        }
        return out;
      };
      return { mean: w => said(here, w), draws: w => here === law.start && isSeen ? base.draws(w) : [], interval: base.interval };
    },
    // The expert whose gate is best at this size; where the two best are in doubt both, by softmax, draws in turn.
    gated(law, at) {
      const experts = law.experts.map(one => within(one, at, law.domains, law.metrics)), { covariates, is_log, centre, width, weights } = law.gate;
      const context = covariates.map((name, c) => { const raw = at[name] > 0 ? at[name] : law.gate.default[c]; return ((is_log[c] ? Math.log(raw) : raw) - centre[c]) / width[c]; });
      const gate = experts.map((_, k) => sumOf([...context, 1].map((x, c) => x * weights[c][k])));
      const [best, second = -Infinity] = [...gate].sort((a, b) => b - a), kept = gate.map(x => x >= (best - second < law.doubt ? second : best) ? Math.exp(x - best) : 0), share = kept.map(x => x / sumOf(kept));
      const mean = w => { const all = experts.map(one => one.mean(w)); return law.metrics.map((_, m) => sumOf(all.map((row, k) => share[k] > 0 ? share[k] * row[m] : 0))); };
      // Multiples of the golden section fill the unit interval evenly, however many there are.
      const pick = k => { let u = (k * 0.6180339887498949) % 1, e = 0; while (e < share.length - 1 && u >= share[e]) u -= share[e++]; return e; };
      const draws = w => { const all = experts.map((one, k) => share[k] > 0 ? one.draws(w) : null), n = Math.min(...all.filter(Boolean).map(one => one.length)); return Array.from({ length: n }, (_, k) => all[pick(k)][k]); };
      return { mean, draws, interval: experts[0].interval };
    },
  };

  // ---------- intervals ----------
  // Linear interpolation between order statistics, as numpy.quantile does.
  function quantile(sorted, q) {
    const x = q * (sorted.length - 1), i = Math.floor(x), j = Math.min(i + 1, sorted.length - 1);
    return sorted[i] + (sorted[j] - sorted[i]) * (x - i);
  }
  const quantiles = at => (values, centre) => {
    if (!values.length || values.some(Number.isNaN)) return [NaN, NaN];
    const sorted = Float64Array.from(values).sort(), tail = (1 - at.level) / 2;
    return [Math.min(quantile(sorted, tail), centre), Math.max(quantile(sorted, 1 - tail), centre)];
  };
  // For few draws: as wide as a normal with their spread.
  const normal = at => (values, centre) => {
    if (values.length < 2) return [NaN, NaN];
    const middle = sumOf(values) / values.length, half = at.z * Math.sqrt(sumOf(values.map(x => (x - middle) ** 2)) / (values.length - 1));
    return [centre - half, centre + half];
  };

  // A law over other lists of domains and metrics; a metric that it does not know is NaN.
  function within(law, at, domains, metrics) {
    const make = FORMS[law.form] || (FORMULAS[law.form] && formula);
    if (!make) throw new Error(`no evaluator for the form ${law.form}`);
    const fit = make(law, at), from = law.domains.map(one => domains.indexOf(one)), column = metrics.map(one => law.metrics.indexOf(one));
    const inside = w => from.map(i => i < 0 ? 0 : w[i]), outside = row => column.map(c => c < 0 ? NaN : row[c]);
    const mean = w => outside(fit.mean(inside(w))), draws = w => fit.draws(inside(w)).map(outside);
    return { mean, draws, evaluate: w => ({ mean: mean(w), draws: draws(w) }), interval: fit.interval };
  }
  // Rows of numbers, and rows of weights: [unit, whole numbers of three digits in base 64].
  const PLACE = Uint8Array.from({ length: 128 }, (_, c) => Math.max(0, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".indexOf(String.fromCharCode(c))));
  within.numbers = numbers;
  within.weights = ([unit, text]) => { const out = []; for (let i = 0; i < text.length; i += 3) out.push(unit * (PLACE[text.charCodeAt(i)] << 12 | PLACE[text.charCodeAt(i + 1)] << 6 | PLACE[text.charCodeAt(i + 2)])); return out; };
  return within;
})();
