"""How far a law can be trusted: predictions of mixtures it has not seen, and what they are worth.

Every split goes by mixture: repeats, checkpoints and other scales of one mixture stay on one side. A law is judged by
rank (does it order mixtures?), by regret (what does following it cost?) and by coverage (is it as sure as it may be?),
since these disagree. A law that spans scales is judged at the largest scale that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import LeagueRow, Objective, OutOfFold
from mixdesk.core.observations import Floats, Ints, Metric, Observations, Prediction
from mixdesk.core.protocols import CrossFits, Law, LawFit, SpansScales
from mixdesk.core.trial import FEW_AT_SCALE
from mixdesk.laws.rows import content_order

# The name under which the objective is scored beside the metrics, and that of the mean of the metrics' own scores.
OBJECTIVE, MEAN = "objective", "mean of metrics"
# What makes a scale: the covariates by which runs of one mixture differ in size.
SCALE = ("n_params", "n_tokens")
# Interval of an out-of-fold prediction, and the draws it comes from.
LEVEL, N_DRAWS = 0.9, 200
# Interval of a rank correlation on Fisher's scale, sd √(2 · 1.06 / (n − 3)) (Fieller for ranks), 95 % two-sided. The 2
# is for predictions that were made out of the other runs: in Σ y_i ŷ_i each pair of runs counts twice, which doubles
# the variance where there is no law. On pure noise, 12 to 512 mixtures, low > 0 in 0 to 2.1 % of cases (exponential,
# ridge, trees; without the 2 in up to 7 %) — if the fits of the parts know nothing of what is held out.
REACH, RANK_VARIANCE = 1.96, 2.0 * 1.06
# A law is behind the best where its squared error is larger by this many standard errors, paired (95 %, one-sided).
BEHIND = 1.645
# Of how many mixtures predicted best regret@5 takes the best.
N_BEST = 5
# Scores that are the same thing in every metric, so that their mean over metrics says something.
FREE = ("spearman", "kendall", "regret@1", "regret@5", "coverage", "width")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What a law said of runs it had not seen, what that is worth, and the seconds it took."""

    rows: tuple[OutOfFold, ...]
    scores: tuple[LeagueRow, ...]
    seconds: float


def evidence(
    law: Law, obs: Observations, objective: Objective, *, folds: int = 10, seed: int = 0
) -> tuple[LawFit, tuple[OutOfFold, ...]]:
    """The fit to all rows, and predictions of measured runs by the law fitted without their mixture.

    One row per run, metric and "objective", whose interval is that of the joint draws. `folds` parts of the mixtures,
    shuffled by `seed`; where the law cannot be fitted on what they leave, more and smaller parts, down to one mixture
    each. A law with `cross_fit` makes all the fits in one go. A law that spans scales answers for the runs of the
    largest scale measured, and never sees their mixture at any scale.

    Raises:
        NotEnoughEvidence: the mixtures are too few for the law, or to hold one of them out.
    """
    order = np.random.default_rng(seed).permutation(judged_groups(law, obs))
    if len(order) < 2:
        law.fit(obs)
        raise _too_few(len(order), "at least 2 mixtures", "run more trials")
    n_parts = min(folds, len(order))
    while True:
        parts = np.array_split(order, n_parts)
        try:
            fit, fits = _cross_fit(law, obs, parts)
            break
        except NotEnoughEvidence as error:
            if n_parts == len(order):
                law.fit(obs)  # where all mixtures are too few, the law says so better
                raise _too_few(len(order), error.bound, error.remedy) from None
            n_parts = min(2 * n_parts, len(order))
    found: dict[int, list[OutOfFold]] = {}
    is_judged_n = is_judged(law, obs)
    for part, without in zip(parts, fits, strict=True):
        rows = np.flatnonzero(is_judged_n & np.isin(obs.group_n, part))
        found |= predicted(without, obs.take(rows), objective, rows)
    return fit, tuple(row for i in sorted(found) for row in found[i])


def out_of_fold(
    law: Law, obs: Observations, objective: Objective, *, folds: int = 10, seed: int = 0
) -> tuple[OutOfFold, ...]:
    """The predictions of `evidence` alone.

    Raises:
        NotEnoughEvidence: the mixtures are too few for the law, or to hold one of them out.
    """
    return evidence(law, obs, objective, folds=folds, seed=seed)[1]


def scores(name: str, rows: Sequence[OutOfFold], *, metrics: Sequence[Metric] = ()) -> tuple[LeagueRow, ...]:
    """The scores of a law called `name` from its out-of-fold rows: per metric, for "objective", and their mean.

    rmse, spearman (with spearman:low and spearman:high, 95 %), kendall and regret are over mixtures, repeats averaged;
    coverage is the share of runs inside their 90 % interval, width its mean in sd over mixtures. regret is the measured
    value of the mixture predicted best less the best measured, regret@1 the same in units of (mean over mixtures −
    best): 0 the best, 1 a random pick; regret@5 that of the best of the five mixtures predicted best. Regret needs a
    direction: it is there for "objective" and for the `metrics` given. "mean of metrics" has the mean over the metrics
    that vary of what has no unit, and of rmse where all `metrics` have one unit. A measure that cannot be computed is
    left out.
    """
    sign = {OBJECTIVE: 1.0, **{metric.name: metric.sign for metric in metrics}}
    by_metric: dict[str, list[OutOfFold]] = {}
    for row in rows:
        by_metric.setdefault(row.metric, []).append(row)
    out: list[LeagueRow] = []
    varied = set()
    for metric, mine in by_metric.items():
        measured_g, mean_g = _per_mixture(mine)
        if metric != OBJECTIVE and np.ptp(measured_g) > 0.0:
            varied.add(metric)
        found = {"rmse": float(np.sqrt(((measured_g - mean_g) ** 2).mean()))}
        found |= _rank(measured_g, mean_g)
        if metric in sign:
            found |= _regret(sign[metric] * measured_g, sign[metric] * mean_g)
        found |= _interval(mine, float(measured_g.std()))
        out += [
            LeagueRow(law=name, metric=metric, measure=measure, value=value, n=len(measured_g))
            for measure, value in found.items()
        ]
    return (*out, *_means(name, [row for row in out if row.metric in varied], metrics))


def league(judged: Mapping[str, Judged]) -> tuple[LeagueRow, ...]:
    """Laws by name side by side: their own scores and, for the objective, three more.

    seconds of the fit and its folds together; behind, the rmse less the smallest of the laws judged on the same runs
    (0: the best); behind:low, its paired 95 % lower bound (≤ 0: no worse than the best as far as these runs tell).
    """
    out: list[LeagueRow] = []
    of_objective: dict[str, tuple[OutOfFold, ...]] = {}
    for name, one in judged.items():
        of_objective[name] = tuple(row for row in one.rows if row.metric == OBJECTIVE)
        n = len({row.group for row in one.rows})
        seconds = LeagueRow(law=name, metric=OBJECTIVE, measure="seconds", value=one.seconds, n=n)
        out += [*one.scores, seconds]
    return (*out, *_behind(of_objective))


def ranking(league: Sequence[LeagueRow]) -> tuple[tuple[str, ...], ...]:
    """Laws best first, in one tuple per set of runs that laws were judged on, most mixtures first.

    The first is the one to use: of the laws that are not behind the best on the objective, the one that orders the
    mixtures best over all metrics. The others follow by their error.
    """
    value = {(row.law, row.metric, row.measure): row.value for row in league}
    sets: dict[int, list[str]] = {}
    for row in league:
        if row.measure == "behind":
            sets.setdefault(row.n, []).append(row.law)

    def rank(law: str) -> float:
        over_metrics = value.get((law, MEAN, "spearman"))
        return over_metrics if over_metrics is not None else value[law, OBJECTIVE, "spearman"]

    out = []
    for n in sorted(sets, reverse=True):
        names = sorted(sets[n], key=lambda law: value[law, OBJECTIVE, "rmse"])
        first = max((law for law in names if value[law, OBJECTIVE, "behind:low"] <= 0.0), key=rank)
        out.append((first, *(law for law in names if law != first)))
    return tuple(out)


def tied(league: Sequence[LeagueRow], laws: Sequence[str]) -> tuple[str, ...]:
    """Those of the `laws` whose error on the objective is no larger than the smallest, as far as the runs tell."""
    low = {row.law: row.value for row in league if row.measure == "behind:low"}
    return tuple(law for law in laws if low[law] <= 0.0)


def is_scale_aware(law: Law) -> bool:
    """Whether a law is to be fitted on the runs of every scale."""
    return isinstance(law, SpansScales) and law.spans_scales


def predicted(fit: LawFit, held: Observations, objective: Objective, places: Ints) -> dict[int, list[OutOfFold]]:
    """What a fit says of runs it has not seen, beside what they measured: by place, each metric, then the objective."""
    prediction = fit.predict(held.inputs(), N_DRAWS, level=LEVEL, sense="run")
    mean_qm, low_qm, high_qm = _with_objective(prediction, held.metrics, objective)
    return {int(place): _rows(held, q, objective, mean_qm[q], low_qm[q], high_qm[q]) for q, place in enumerate(places)}


def is_judged(law: Law, obs: Observations) -> NDArray[np.bool_]:
    """Whether a law is judged on a row, (n,): always, but that one over scales answers for a single scale.

    That is the largest (by parameters, then tokens) at which four mixtures or more were measured.
    """
    columns = [np.nan_to_num(obs.covariates[name], nan=-1.0) for name in SCALE if name in obs.covariates]
    if not is_scale_aware(law) or not columns:
        return np.ones(len(obs.trials), dtype=np.bool_)
    size_ns = np.column_stack(columns)
    scales, scale_n = np.unique(size_ns, axis=0, return_inverse=True)
    scale_n = scale_n.reshape(-1)
    n_of = [len(np.unique(obs.group_n[scale_n == s])) for s in range(len(scales))]
    told = [s for s, n in enumerate(n_of) if n >= FEW_AT_SCALE] or [int(np.argmax(n_of))]
    is_largest_n: NDArray[np.bool_] = scale_n == told[-1]
    return is_largest_n


def judged_groups(law: Law, obs: Observations) -> Ints:
    """Group numbers of the mixtures that a law is judged on, in an order that only their weights decide."""
    rows, _ = content_order(obs)
    is_judged_n = is_judged(law, obs)
    return np.array(list(dict.fromkeys(obs.group_n[i] for i in rows if is_judged_n[i])), dtype=np.int64)


def _cross_fit(law: Law, obs: Observations, parts: Sequence[Ints]) -> tuple[LawFit, list[LawFit]]:
    """The fit to all rows, and one per part to the rows of the other groups."""
    if isinstance(law, CrossFits):
        return law.cross_fit(obs, parts)
    fits = [law.fit(obs.take(np.flatnonzero(~np.isin(obs.group_n, part)))) for part in parts]
    return law.fit(obs), fits


def _too_few(n: int, bound: str, remedy: str) -> NotEnoughEvidence:
    return NotEnoughEvidence(
        "too few mixtures to test a law on those it has not seen",
        value=f"{n} mixtures, {n - 1} of them to fit on",
        bound=bound,
        remedy=remedy,
    )


def _with_objective(
    prediction: Prediction, metrics: Sequence[Metric], objective: Objective
) -> tuple[Floats, Floats, Floats]:
    """Mean, low and high per metric in the order of `metrics`, the objective as one more column, (q, m + 1) each."""
    order = [prediction.metrics.index(metric.name) for metric in metrics]
    mean_qm, draws_kqm = prediction.mean_qm[:, order], prediction.draws_kqm
    if draws_kqm is None:
        low_q = high_q = np.full(len(mean_qm), np.nan)
    else:
        tail = (1.0 - LEVEL) / 2.0
        low_q, high_q = np.quantile(objective.value(draws_kqm[:, :, order], metrics), [tail, 1.0 - tail], axis=0)
    mean_q = objective.value(mean_qm, metrics)
    sides = ((mean_qm, mean_q), (prediction.low_qm[:, order], low_q), (prediction.high_qm[:, order], high_q))
    mean, low, high = (np.column_stack([each_qm, one_q]) for each_qm, one_q in sides)
    return mean, low, high


def _rows(
    obs: Observations, i: int, objective: Objective, mean_m: Floats, low_m: Floats, high_m: Floats
) -> list[OutOfFold]:
    """The out-of-fold rows of one run: each measured metric, then the objective."""
    names = [*(metric.name for metric in obs.metrics), OBJECTIVE]
    measured_m = np.append(obs.Y_nm[i], objective.value(obs.Y_nm[i], obs.metrics))
    return [
        OutOfFold(
            trial=obs.trials[i],
            metric=metric,
            measured=float(measured_m[j]),
            mean=float(mean_m[j]),
            low=float(low_m[j]),
            high=float(high_m[j]),
            group=int(obs.group_n[i]),
        )
        for j, metric in enumerate(names)
        if np.isfinite(measured_m[j])
    ]


def _per_mixture(rows: Sequence[OutOfFold]) -> tuple[Floats, Floats]:
    """Measured and predicted value of each mixture, repeats averaged, (g,) each."""
    keys: dict[object, int] = {}
    group_n = np.array([keys.setdefault(row.trial if row.group is None else row.group, len(keys)) for row in rows])
    n_of = np.bincount(group_n)
    measured = np.bincount(group_n, weights=[row.measured for row in rows]) / n_of
    mean = np.bincount(group_n, weights=[row.mean for row in rows]) / n_of
    return measured, mean


def _rank(measured_g: Floats, mean_g: Floats) -> dict[str, float]:
    """Spearman's rank correlation with its interval, and Kendall's; 0 where all predictions are the same."""
    value, n = spearman(measured_g, mean_g), len(measured_g)
    low, high = -1.0, 1.0
    if n > 3:
        # A perfect order counts as half a step below it, the next value there is.
        most = 1.0 - 6.0 / (n**3 - n)
        centre, reach = math.atanh(min(max(value, -most), most)), REACH * math.sqrt(RANK_VARIANCE / (n - 3))
        low, high = math.tanh(centre - reach), max(math.tanh(centre + reach), value)
    tau = 0.0 if np.ptp(measured_g) == 0.0 or np.ptp(mean_g) == 0.0 else float(kendalltau(measured_g, mean_g).statistic)
    return {"spearman": value, "spearman:low": min(low, value), "spearman:high": high, "kendall": tau}


def spearman(a_g: Floats, b_g: Floats) -> float:
    """Rank correlation of two columns; 0 where one of them is constant."""
    ranks = [rankdata(x) for x in (a_g, b_g)]
    a, b = (x - x.mean() for x in ranks)
    length = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / length if length > 0.0 else 0.0


def _regret(measured_g: Floats, mean_g: Floats) -> dict[str, float]:
    """What following the law costs among the mixtures tried, smaller values being better."""
    best = float(measured_g.min())
    chosen = measured_g[np.argsort(mean_g, kind="stable")[:N_BEST]]
    regret, of_several = float(chosen[0]) - best, float(chosen.min()) - best
    spread = float(measured_g.mean()) - best
    share = 1.0 / spread if spread > 0.0 else 0.0
    return {"regret": regret, "regret@1": regret * share, f"regret@{N_BEST}": of_several * share}


def _interval(rows: Sequence[OutOfFold], spread: float) -> dict[str, float]:
    """Coverage and width of the intervals; nothing where a law gives none."""
    known = [row for row in rows if np.isfinite(row.low) and np.isfinite(row.high)]
    if not known:
        return {}
    found = {"coverage": float(np.mean([row.low <= row.measured <= row.high for row in known]))}
    if spread > 0.0:
        found["width"] = float(np.mean([row.high - row.low for row in known])) / spread
    return found


def _means(name: str, mine: Sequence[LeagueRow], metrics: Sequence[Metric]) -> list[LeagueRow]:
    """Means over the metrics of a law's own scores, where there are two metrics or more."""
    n_metrics = len({row.metric for row in mine})
    is_one_unit = len({metric.unit for metric in metrics}) == 1
    out = []
    for measure in (*(("rmse",) if is_one_unit else ()), *FREE):
        found = [row for row in mine if row.measure == measure]
        if n_metrics > 1 and len(found) == n_metrics:
            value = float(np.mean([row.value for row in found]))
            out.append(LeagueRow(law=name, metric=MEAN, measure=measure, value=value, n=min(row.n for row in found)))
    return out


def _behind(judged: Mapping[str, Sequence[OutOfFold]]) -> list[LeagueRow]:
    """How far each law's error on the objective is behind the best of those judged on the same runs."""
    sets: dict[tuple[str, ...], dict[str, Floats]] = {}
    for name, rows in judged.items():
        inorder = sorted(rows, key=lambda row: row.trial)
        measured_g, mean_g = _per_mixture(inorder)
        sets.setdefault(tuple(row.trial for row in inorder), {})[name] = (measured_g - mean_g) ** 2
    out = []
    for squares in sets.values():
        best_g = min(squares.values(), key=lambda found: float(found.mean()))
        base = float(best_g.mean())
        for name, found_g in squares.items():
            gap_g, n = found_g - best_g, len(found_g)
            error = float(gap_g.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
            low = float(gap_g.mean()) - BEHIND * error if found_g is not best_g else 0.0
            for measure, square in (("behind", float(gap_g.mean())), ("behind:low", low)):
                value = math.sqrt(max(base + square, 0.0)) - math.sqrt(base)
                out.append(LeagueRow(law=name, metric=OBJECTIVE, measure=measure, value=value, n=n))
    return out
