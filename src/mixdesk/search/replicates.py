"""When more runs of the same mixtures are worth more than new mixtures: where noise, not the law, leaves it open.

    noise = 2 σ² ÷ pairs       σ: spread of a run within its replicate; pairs: replicates that ran both mixtures
    law   = Var over joint draws of the law's mean of (candidate − rival)
    open  where |difference| ≤ 1.96 √(noise + law);   limited by noise where noise > law

σ is the objective's, from the crossed block of repeats where there is one, else what the law takes for the noise of a
run. The difference is the law's and, where pairs were run, theirs, weighted by precision. New runs are crossed with
those that are there: a replicate that the one mixture has and the other lacks comes first, as what all runs of a
replicate share cancels in a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, sqrt

import numpy as np

from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats, Metric
from mixdesk.core.plan import Proposal
from mixdesk.core.protocols import LawFit
from mixdesk.core.trial import StudyView

# Joint draws of the law: a variance is then known to 7 %.
N_DRAWS = 400
# Half-width of a 95 % interval in standard deviations.
SURE = 1.96
# Pairs after which two mixtures that are still not told apart may count as equal.
MOST_PAIRS = 12
# Mixtures nearer than this are one mixture.
SAME = 1e-9


def repeats(view: StudyView, fit: LawFit, mixtures: Mapping[str, Mixture], n: int) -> list[Proposal]:
    """Up to `n` more runs of a candidate and of those rivals against which noise leaves the verdict open.

    Args:
        view: of the study; runs at its standing rung count.
        fit: a law fitted on it.
        mixtures: name → mixture; the first is the candidate, the others its rivals.
        n: runs at most.

    Returns:
        Proposals with replicates below 12, pair by pair; none where the law is what is unsure, where every verdict
        stands, or where the law gives no draws.
    """
    names, rung = list(mixtures), view.standing
    mixtures = {name: _as_asked(view, mixture) for name, mixture in mixtures.items()}
    W_qd = np.array([mixture.over(view.domains) for mixture in mixtures.values()])
    means_q, law_q, within = _law(view, fit, W_qd)
    ran = [_values(view, mixture) for mixture in mixtures.values()]
    wanted: dict[str, tuple[int, str]] = {}
    for q, name in enumerate(names[1:], start=1):
        if not within > 0.0 or not np.isfinite(law_q[q]) or np.array_equal(W_qd[0], W_qd[q]):
            continue
        pairs = [ran[0][r] - ran[q][r] for r in ran[0].keys() & ran[q].keys()]
        noise, law = 2.0 * within**2 / max(len(pairs), 1), float(law_q[q])
        difference = float(means_q[0] - means_q[q])
        if pairs:
            share = noise / (noise + law)
            difference = share * difference + (1.0 - share) * float(np.mean(pairs))
        if abs(difference) > SURE * sqrt(noise + law) or noise <= law:
            continue
        why = (
            f"noise leaves {names[0]} against {name} open: difference {difference:+.3g}, "
            f"± {SURE * sqrt(noise):.2g} by noise ({len(pairs)} pairs of runs), ± {SURE * sqrt(law):.2g} by the law"
        )
        wanted[name] = (_pairs_needed(2.0 * within**2, law, difference), why)
    if not wanted:
        return []
    chosen = {names[0]: max(wanted.values()), **wanted}
    asked = {(trial.spec.mixture, trial.spec.replicate) for trial in view.at(rung.label)}
    return [
        Proposal(mixture=mixtures[name], rung=rung.label, replicate=replicate, why=f"repeat {replicate + 1}: {why}")
        for replicate in range(chosen[names[0]][0])
        for name, (pairs, why) in chosen.items()
        if replicate < pairs and (mixtures[name], replicate) not in asked
    ][:n]


def _as_asked(view: StudyView, mixture: Mixture) -> Mixture:
    """The mixture as a trial of the standing rung has it, to the last bit, where one is the same but for rounding."""
    wanted = np.array(mixture.over(view.domains))
    found = (trial.spec.mixture for trial in view.at(view.standing.label))
    return next((one for one in found if np.abs(np.array(one.over(view.domains)) - wanted).max() < SAME), mixture)


def _law(view: StudyView, fit: LawFit, W_qd: Floats) -> tuple[Floats, Floats, float]:
    """The law's mean objective of each row, the variance of its difference to row 0 (NaN: unknown), and σ."""
    inputs = view.inputs(W_qd)
    sure, run = (fit.predict(inputs, draws=N_DRAWS, level=0.0, sense=sense) for sense in ("mean", "run"))
    by_name = {metric.name: metric for metric in view.metrics}
    metrics = [by_name.get(name, Metric(name=name)) for name in sure.metrics]
    means_q = view.objective.value(sure.mean_qm, metrics)
    if sure.draws_kqm is None or run.draws_kqm is None:
        return means_q, np.full(len(W_qd), np.nan), 0.0
    draws_kq = view.objective.value(sure.draws_kqm, metrics)
    law_q = (draws_kq[:, :1] - draws_kq).var(axis=0)
    obs = view.observations(view.standing.label)
    value_n = view.objective.value(obs.Y_nm, obs.metrics)
    block = replace(obs, Y_nm=value_n[:, None], metrics=(Metric(name="objective", unit=""),)).noise()
    if block:
        return means_q, law_q, block[0].within
    run_kq = view.objective.value(run.draws_kqm, metrics)
    return means_q, law_q, sqrt(max(float((run_kq.var(axis=0) - draws_kq.var(axis=0)).mean()), 0.0))


def _values(view: StudyView, mixture: Mixture) -> dict[int, float]:
    """Replicate → objective of the finished runs of a mixture at the standing rung."""
    obs = view.observations(view.standing.label)
    value_n = view.objective.value(obs.Y_nm, obs.metrics)
    is_it_n = np.abs(obs.W_nd - np.array(mixture.over(view.domains))).max(axis=1) < SAME
    rows = np.flatnonzero(is_it_n & np.isfinite(value_n))
    return {int(obs.replicate_n[i]): float(value_n[i]) for i in rows}


def _pairs_needed(pair: float, law: float, difference: float) -> int:
    """Pairs after which noise no longer exceeds the law, or the difference is clear if it stays; the most at most."""
    enough = pair / law if law > 0.0 else float("inf")
    left = (difference / SURE) ** 2 - law
    clear = pair / left if left > 0.0 else float("inf")
    return max(ceil(min(enough, clear, MOST_PAIRS) * (1.0 - 1e-9)), 2)
