"""How far a law can be trusted: predictions of mixtures it has not seen, and what they are worth.

Every split goes by mixture: repeats of one mixture stay on one side. A law is judged by rank (does it order mixtures?),
by regret (what does following it cost?) and by coverage (is it as sure as it may be?), since these disagree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import LeagueRow, Objective, OutOfFold
from mixdesk.core.observations import Floats, Inputs, Ints, Metric, Observations, Prediction
from mixdesk.core.protocols import Law

# The name under which the objective is scored beside the metrics.
OBJECTIVE = "objective"
# Interval of an out-of-fold prediction, and the draws it comes from.
LEVEL, N_DRAWS = 0.9, 200
# Resamples of the mixtures for the interval of the rank correlation, and its tails: 95 %, two-sided.
N_RESAMPLES, TAILS = 2_000, (0.025, 0.975)


def out_of_fold(
    law: Law, obs: Observations, objective: Objective, *, folds: int = 10, seed: int = 0
) -> tuple[OutOfFold, ...]:
    """Predictions of every measured run by the law fitted without its mixture, per metric and for "objective".

    `folds` parts of the mixtures at most; `seed` shuffles them. The objective's interval is that of the joint draws.

    Raises:
        NotEnoughEvidence: the rest of the mixtures is too small a record for the law.
    """
    groups = np.unique(obs.group_n)
    parts = np.array_split(np.random.default_rng(seed).permutation(groups), min(folds, len(groups)))
    found: dict[int, list[OutOfFold]] = {}
    for part in parts:
        is_out_n = np.isin(obs.group_n, part)
        try:
            fit = law.fit(obs.take(np.flatnonzero(~is_out_n)))
        except NotEnoughEvidence as error:
            raise NotEnoughEvidence(
                "too few mixtures to test a law on those it has not seen",
                value=f"{len(groups)} mixtures, {len(groups) - len(part)} of them to fit on",
                bound=error.bound,
                remedy=error.remedy,
            ) from None
        rows = np.array([np.flatnonzero(obs.group_n == group)[0] for group in part], dtype=np.int64)
        held = obs.take(rows)
        inputs = Inputs(domains=held.domains, W_qsd=held.W_nsd, until_qs=held.until_ns, covariates=held.covariates)
        prediction = fit.predict(inputs, N_DRAWS, level=LEVEL, sense="run")
        mean_qm, low_qm, high_qm = _with_objective(prediction, obs.metrics, objective)
        where = {int(group): q for q, group in enumerate(part)}
        for i in np.flatnonzero(is_out_n):
            q = where[int(obs.group_n[i])]
            found[int(i)] = _rows(obs, int(i), objective, mean_qm[q], low_qm[q], high_qm[q])
    return tuple(row for i in sorted(found) for row in found[i])


def scores(
    name: str, rows: Sequence[OutOfFold], seed: int = 0, *, metrics: Sequence[Metric] = ()
) -> tuple[LeagueRow, ...]:
    """The scores of a law called `name` from its out-of-fold rows, per metric and for "objective".

    rmse, spearman (with spearman:low and spearman:high, 95 % by resampling mixtures) and regret are over mixtures,
    repeats averaged; coverage is the share of runs inside their 90 % interval, width its mean in sd over mixtures.
    regret is the measured value of the mixture predicted best less the best measured, regret:spread the same in units
    of (mean over mixtures − best): 0 the best, 1 a random pick. It needs a direction: it is there for "objective" and
    for the `metrics` given. A measure that cannot be computed is left out.
    """
    sign = {OBJECTIVE: 1.0, **{metric.name: metric.sign for metric in metrics}}
    out: list[LeagueRow] = []
    for metric in dict.fromkeys(row.metric for row in rows):
        mine = [row for row in rows if row.metric == metric]
        measured_g, mean_g = _per_mixture(mine)
        found = {"rmse": float(np.sqrt(((measured_g - mean_g) ** 2).mean()))}
        found |= _rank(measured_g, mean_g, seed)
        if metric in sign:
            found |= _regret(sign[metric] * measured_g, sign[metric] * mean_g)
        found |= _interval(mine, float(measured_g.std()))
        out += [
            LeagueRow(law=name, metric=metric, measure=measure, value=value, n=len(measured_g))
            for measure, value in found.items()
        ]
    return tuple(out)


def compare(
    laws: Mapping[str, Law], obs: Observations, objective: Objective, *, folds: int = 10, seed: int = 0
) -> tuple[tuple[LeagueRow, ...], dict[str, str]]:
    """Scores of several laws on the same folds with the seconds they took, and why a law was skipped."""
    league: list[LeagueRow] = []
    skipped: dict[str, str] = {}
    for name, law in laws.items():
        start = time.perf_counter()
        try:
            rows = out_of_fold(law, obs, objective, folds=folds, seed=seed)
        except NotEnoughEvidence as error:
            skipped[name] = str(error)
            continue
        seconds = time.perf_counter() - start
        league += scores(name, rows, seed, metrics=obs.metrics)
        league.append(LeagueRow(law=name, metric=OBJECTIVE, measure="seconds", value=seconds, n=obs.n_groups))
    return tuple(league), skipped


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


def _rank(measured_g: Floats, mean_g: Floats, seed: int) -> dict[str, float]:
    """Spearman's rank correlation with its bootstrap interval; 0 where all predictions are the same."""
    rng = np.random.default_rng(seed)
    pick: Ints = rng.integers(0, len(measured_g), (N_RESAMPLES, len(measured_g)))
    low, high = np.quantile(_spearman(measured_g[pick], mean_g[pick]), TAILS)
    value = float(_spearman(measured_g[None], mean_g[None])[0])
    return {"spearman": value, "spearman:low": float(low), "spearman:high": float(high)}


def _spearman(A_kg: Floats, B_kg: Floats) -> Floats:
    """Rank correlation of each row, (k,)."""
    ranks = [rankdata(x, axis=1) for x in (A_kg, B_kg)]
    a, b = (x - x.mean(1, keepdims=True) for x in ranks)
    length = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    rho: Floats = np.where(length > 0.0, (a * b).sum(1) / np.where(length > 0.0, length, 1.0), 0.0)
    return rho


def _regret(measured_g: Floats, mean_g: Floats) -> dict[str, float]:
    """What following the law costs among the mixtures tried, smaller values being better."""
    best = float(measured_g.min())
    regret = float(measured_g[int(mean_g.argmin())]) - best
    spread = float(measured_g.mean()) - best
    return {"regret": regret, "regret:spread": regret / spread if spread > 0.0 else 0.0}


def _interval(rows: Sequence[OutOfFold], spread: float) -> dict[str, float]:
    """Coverage and width of the intervals; nothing where a law gives none."""
    known = [row for row in rows if np.isfinite(row.low) and np.isfinite(row.high)]
    if not known:
        return {}
    found = {"coverage": float(np.mean([row.low <= row.measured <= row.high for row in known]))}
    if spread > 0.0:
        found["width"] = float(np.mean([row.high - row.low for row in known])) / spread
    return found
