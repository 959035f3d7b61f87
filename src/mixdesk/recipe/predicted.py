"""What is known of a mixture and its rivals before it is trained, as joint draws.

Differences come from joint draws of the law, each side with the error of a run the law had not seen: a law is as wrong
at a new mixture as it was at those it could not fit, and draws of its coefficients alone would not say so.

A rival that was run itself is known better than that. There the law's prediction μ and the mean ȳ of its n runs (less
what all runs of their replicates share) are two witnesses, weighted by precision:

    value = a μ + (1 − a) ȳ    a = (σ² ÷ n) ÷ (σ² ÷ n + τ²)

σ is the noise of a run and τ the law's own error. Where a block of repeats measured σ, τ² is the variance of the law's
answer for one run less σ², and ȳ has Student draws with the block's degrees of freedom. Else σ is what the law takes
for noise and τ the whole. The law as a prior is also what keeps the best mixture seen, which was chosen for its luck,
from being taken at its word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixdesk.core.objective import Comparison, Objective
from mixdesk.core.observations import Floats, Metric, Noise, Observations
from mixdesk.core.protocols import LawFit
from mixdesk.core.recipe import Expected, GuardCheck, Rival
from mixdesk.core.scale import Rung
from mixdesk.core.trial import StudyView

# Joint draws behind a predicted difference: the 95 % interval's ends are then known to about a tenth of its width.
N_DRAWS = 400
# Levels of differences, and of values and guards; and how sure a guard should be.
LEVEL, LEVEL_OF_VALUES, SURE = 0.95, 0.9, 0.9
# Mixtures nearer than this are one mixture.
SAME = 1e-9
# Turns in which what mixtures and replicates add is told apart; each about halves what is left.
N_TURNS = 30
# The objective, as the first of the columns of `Sides`.
OBJECTIVE = Metric(name="objective", unit="")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sides:
    """A mixture (row 0) and its rivals (the other rows): `mean_qc` and joint `draws_kqc`, None where the law has none.

    Columns c: the objective, then the law's metrics, named by `columns`. `law_mean_qc` and `law_draws_kqc` are what the
    law alone says. `rung` is where that holds.
    """

    columns: tuple[Metric, ...]
    W_qd: Floats
    mean_qc: Floats
    draws_kqc: Floats | None
    law_mean_qc: Floats
    law_draws_kqc: Floats | None
    rung: Rung

    def difference(self, q: int, column: int) -> Floats:
        """Draws of mixture − rival q in one column, (k,); one mixture has one error."""
        assert self.draws_kqc is not None
        if np.abs(self.W_qd[0] - self.W_qd[q]).max() < SAME:
            return np.zeros(len(self.draws_kqc))
        found: Floats = self.draws_kqc[:, 0, column] - self.draws_kqc[:, q, column]
        return found


def sides(view: StudyView, fit: LawFit, W_qd: Floats) -> Sides:
    """What law and runs say of the rows of `W_qd` (q, d) over the study's domains; row 0 is the new mixture."""
    rung = rung_of(view, fit, W_qd)
    inputs = view.inputs(W_qd)
    run = fit.predict(inputs, draws=N_DRAWS, level=0.0, sense="run")
    by_name = {metric.name: metric for metric in view.metrics}
    metrics = [by_name[name] for name in run.metrics]
    mean_qc, draws_kqc = _with_objective(view, run.mean_qm, metrics), None
    law_draws_kqc = None
    mixed_qc = mean_qc
    if run.draws_kqm is not None:
        law_draws_kqc = _with_objective(view, run.draws_kqm, metrics)
        sure = fit.predict(inputs, draws=N_DRAWS, level=0.0, sense="mean").draws_kqm
        assert sure is not None
        sure_qc = _with_objective(view, sure, metrics).var(axis=0)
        mixed_qc, draws_kqc = _with_runs(view, fit, rung, metrics, (W_qd, mean_qc, law_draws_kqc, sure_qc))
    return Sides(
        columns=(OBJECTIVE, *metrics),
        W_qd=W_qd,
        mean_qc=mixed_qc,
        draws_kqc=draws_kqc,
        law_mean_qc=mean_qc,
        law_draws_kqc=law_draws_kqc,
        rung=rung,
    )


def rung_of(view: StudyView, fit: LawFit, W_qd: Floats) -> Rung:
    """Where a law's answers hold: at the standing rung if its answer depends on the size, else where it was fitted."""
    if view.standing == view.fullest:
        return view.fullest
    here, there = (fit.predict(view.inputs(W_qd, rung), level=0.0) for rung in (view.standing, view.fullest))
    return view.fullest if np.array_equal(here.mean_qm, there.mean_qm) else view.standing


def comparisons(found: Sides, rivals: Sequence[Rival], plan: str) -> tuple[Comparison, ...]:
    """Predicted differences to each rival (rows 1, 2, … of `found`) in the objective and every metric."""
    if found.draws_kqc is None:
        return ()
    out = []
    for q, rival in enumerate(rivals, start=1):
        for c, metric in enumerate(found.columns):
            difference_k = found.difference(q, c)
            if not np.isfinite(difference_k).all():
                continue
            low, high = np.quantile(difference_k, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
            out.append(
                Comparison(
                    plan=plan,
                    rival=rival.name,
                    metric=metric.name,
                    difference=float(found.mean_qc[0, c] - found.mean_qc[q, c]) if difference_k.any() else 0.0,
                    low=low,
                    high=high,
                    level=LEVEL,
                    n_pairs=len(difference_k),
                    basis="predicted",
                    rung=found.rung.label,
                    verdict=word(low, high, metric),
                )
            )
    return tuple(out)


def expected(view: StudyView, fit: LawFit, found: Sides) -> tuple[Expected, ...]:
    """The law's value of one new run of row 0: the objective where there are draws, then every metric."""
    said = fit.predict(view.inputs(found.W_qd[:1]), draws=N_DRAWS, level=LEVEL_OF_VALUES, sense="run")
    rung = found.rung.label
    rows = [
        Expected(metric=name, mean=float(mean), low=float(low), high=float(high), rung=rung)
        for name, mean, low, high in zip(said.metrics, said.mean_qm[0], said.low_qm[0], said.high_qm[0], strict=True)
    ]
    if found.law_draws_kqc is not None:
        tail = (1.0 - LEVEL_OF_VALUES) / 2.0
        low, high = np.quantile(found.law_draws_kqc[:, 0, 0], [tail, 1.0 - tail]).tolist()
        mean = float(found.law_mean_qc[0, 0])
        rows.insert(0, Expected(metric=OBJECTIVE.name, mean=mean, low=low, high=high, rung=rung))
    return tuple(rows)


def guard_checks(objective: Objective, found: Sides, rivals: Sequence[Rival]) -> tuple[GuardCheck, ...]:
    """Every guard of the objective at row 0, metric by metric; empty where the law gives no draws."""
    if found.draws_kqc is None:
        return ()
    row_of = {rival.name: q for q, rival in enumerate(rivals, start=1)}
    out: dict[str, GuardCheck] = {}
    for guard in objective.guards:
        for j in guard.over(found.columns[1:]):
            metric, c = found.columns[j + 1], j + 1
            words = guard.words(metric)
            if words in out:  # said twice
                continue
            if guard.than is None:
                limit = guard.limit(metric)
                excess_k = metric.sign * found.draws_kqc[:, 0, c] - limit
                excess = metric.sign * float(found.mean_qc[0, c]) - limit
            else:
                q = row_of[guard.than]
                excess_k = metric.sign * found.difference(q, c) - guard.slack
                excess = metric.sign * float(found.mean_qc[0, c] - found.mean_qc[q, c]) - guard.slack
            tail = (1.0 - LEVEL_OF_VALUES) / 2.0
            low, high, needed = np.quantile(excess_k, [tail, 1.0 - tail, SURE]).tolist()
            out[words] = GuardCheck(
                guard=words,
                metric=metric.name,
                excess=excess,
                low=low,
                high=high,
                probability=float((excess_k <= 0.0).mean()),
                missing=max(needed, 0.0),
                basis="predicted",
                rung=found.rung.label,
            )
    return tuple(out.values())


def word(low: float, high: float, metric: Metric) -> str:
    """Better / worse where the interval excludes 0 (in the metric's own direction), else no different."""
    if low <= 0.0 <= high:
        return "no different"
    return "better" if high * metric.sign < 0.0 else "worse"


def _with_objective(view: StudyView, Y: Floats, metrics: Sequence[Metric]) -> Floats:
    """Values (…, m) with the objective as first column, (…, 1 + m)."""
    return np.concatenate([view.objective.value(Y, metrics)[..., None], Y], axis=-1)


def _with_runs(
    view: StudyView, fit: LawFit, rung: Rung, metrics: Sequence[Metric], said: tuple[Floats, Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Means and draws of all rows, those of rivals that were run at the rung mixed with what their runs measured.

    `said`: weights, the law's means, its draws for one run, and the variance of its draws for the mean.
    """
    W_qd, mean_qc, law_kqc, sure_qc = said
    mean_qc, draws_kqc = mean_qc.copy(), law_kqc.copy()
    obs = view.observations(rung.label)
    Y_nc = _with_objective(view, obs.Y_nm[:, _order(obs, metrics)], metrics)
    obs = replace(obs, Y_nm=Y_nc, metrics=(OBJECTIVE, *metrics))
    law_nm = _with_objective(view, fit.predict(view.inputs(obs.W_nd, rung), level=0.0).mean_qm, metrics)
    rest_nc = _without_replicates(obs, Y_nc - law_nm)
    noise = {one.metric: one for one in obs.noise()}
    rng = np.random.default_rng(view.seed)
    for q in range(1, len(W_qd)):
        is_run_n = np.abs(obs.W_nd - W_qd[q]).max(axis=1) < SAME
        twin = int((np.abs(W_qd[1:] - W_qd[q]).max(axis=1) < SAME).argmax()) + 1
        if twin < q:  # one mixture under two names
            draws_kqc[:, q], mean_qc[q] = draws_kqc[:, twin], mean_qc[twin]
            continue
        for c, metric in enumerate(obs.metrics):
            rest_r = rest_nc[is_run_n & np.isfinite(rest_nc[:, c]), c]
            deviation_k = law_kqc[:, q, c] - mean_qc[q, c]
            variance = float(deviation_k.var())
            if not len(rest_r) or not variance > 0.0:
                continue
            law2, run2, luck_k = _witnesses(variance, float(sure_qc[q, c]), noise.get(metric.name), rng, len(law_kqc))
            share = (run2 / len(rest_r)) / (run2 / len(rest_r) + law2)
            mean_qc[q, c] += (1.0 - share) * float(rest_r.mean())
            from_law_k = share * np.sqrt(law2 / variance) * deviation_k
            draws_kqc[:, q, c] = mean_qc[q, c] + from_law_k + (1.0 - share) * luck_k / np.sqrt(len(rest_r))
    return mean_qc, draws_kqc


def _witnesses(
    variance: float, sure: float, noise: Noise | None, rng: np.random.Generator, n: int
) -> tuple[float, float, Floats]:
    """Variance of the law's own error and of one run, and n draws of a run's luck."""
    if noise is None:
        run2 = max(variance - sure, 0.0)
        return variance, run2, np.sqrt(run2) * rng.standard_normal(n)
    freedom = (noise.n_mixtures - 1) * (noise.n_replicates - 1)
    law2 = max(variance - noise.within**2, sure, SAME * variance)
    # Student's variance; with one or two degrees of freedom there is none, and three stand in.
    run2 = noise.within**2 * max(freedom, 3) / (max(freedom, 3) - 2)
    return law2, run2, noise.within * rng.standard_t(max(freedom, 3), n)


def _without_replicates(obs: Observations, rest_nc: Floats) -> Floats:
    """Rests of the law less what all runs of a replicate share: rest = mixture + replicate, fitted turn by turn.

    A mixture's part is pulled to 0 as if one more run of it had met the law, so that where a replicate has one mixture
    only both get their share.
    """
    _, group_n = np.unique(obs.group_n, return_inverse=True)
    _, replicate_n = np.unique(obs.replicate_n, return_inverse=True)
    out = rest_nc.copy()
    for c in range(rest_nc.shape[1]):
        known = np.flatnonzero(np.isfinite(rest_nc[:, c]))
        rest, of_g, of_r = rest_nc[known, c], group_n[known], replicate_n[known]
        n_g, n_r = np.bincount(of_g), np.maximum(np.bincount(of_r), 1)
        mixture_g, replicate_r = np.zeros(len(n_g)), np.zeros(len(n_r))
        for _ in range(N_TURNS):
            replicate_r = np.bincount(of_r, weights=rest - mixture_g[of_g]) / n_r
            mixture_g = np.bincount(of_g, weights=rest - replicate_r[of_r]) / (n_g + 1)
        out[known, c] -= replicate_r[of_r]
    return out


def _order(obs: Observations, metrics: Sequence[Metric]) -> list[int]:
    names = [metric.name for metric in obs.metrics]
    return [names.index(metric.name) for metric in metrics]
