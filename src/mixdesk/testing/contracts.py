"""Conformance suites: what every law and every strategy must do, ours or a plug-in's.

Plain functions that raise AssertionError with what was broken; call them from any test runner:

    def test_my_law():
        check_law(MyLaw)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.files import from_data, to_data
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Inputs, Observations
from mixdesk.core.plan import Recommendation, TrialSpec, complete
from mixdesk.core.protocols import Law, LawFit, Strategy
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.testing.worlds import World, loglinear

# What a law that draws random numbers may differ by when rows, columns or names change: this part of a metric's sd.
SAME = 1e-2
# Trials asked at a time, and in all, when a strategy is tried.
BATCH, N_TRIALS = 4, 20


def check_law(make: Callable[[], Law]) -> None:
    """Everything a law must do, on a log-linear world of five domains."""
    world = loglinear(d=5, m=2, seed=3, noise=0.05)
    rng = np.random.default_rng(0)
    obs = world.observations(rng.dirichlet(np.ones(5), 40))
    fit = make().fit(obs)
    W_qd = np.vstack([np.eye(5), np.full((1, 5), 0.2), rng.dirichlet(np.ones(5), 40)])
    _check_shape(fit, obs, W_qd)
    _check_order(make, fit, obs, W_qd, rng)
    _check_round_trip(make, fit, obs, W_qd)
    _check_directions(make, fit, obs, W_qd)
    _check_missing(make, obs, W_qd)
    _check_too_few(make, obs)
    _check_recovery(make, world, W_qd[5:])


def _values(fit: LawFit, domains: Sequence[str], W_qd: Floats) -> Floats:
    return fit.predict(Inputs.of(domains, W_qd)).mean_qm


def _check_shape(fit: LawFit, obs: Observations, W_qd: Floats) -> None:
    inputs = Inputs.of(obs.domains, W_qd)
    found = fit.predict(inputs, 7, level=0.8)
    assert found.metrics == tuple(metric.name for metric in obs.metrics), "metrics come in the order of the rows"
    assert np.isfinite(found.mean_qm).all(), "finite at the vertices and inside"
    assert found.draws_kqm is not None, "draws come when they are asked for"
    assert found.draws_kqm.shape == (7, *found.mean_qm.shape), "as many draws as asked for"
    assert fit.predict(inputs).draws_kqm is None, "no draws unless asked for"
    is_said = np.isfinite(found.low_qm) & np.isfinite(found.high_qm)
    assert (is_said == (np.isfinite(found.low_qm) | np.isfinite(found.high_qm))).all(), "both ends are NaN, or none"
    assert (found.low_qm <= found.mean_qm)[is_said].all(), "the interval holds the mean"
    assert (found.high_qm >= found.mean_qm)[is_said].all(), "the interval holds the mean"
    run = fit.predict(inputs, level=0.8, sense="run")
    assert ((run.high_qm - run.low_qm) >= 0.7 * (found.high_qm - found.low_qm))[is_said].all(), (
        "one run is no surer than the mean of seeds"
    )
    browser = fit.browser()
    assert isinstance(browser["form"], str), "the page is told the form"
    json.dumps(browser, allow_nan=False)


def _check_order(
    make: Callable[[], Law], fit: LawFit, obs: Observations, W_qd: Floats, rng: np.random.Generator
) -> None:
    wanted = _values(fit, obs.domains, W_qd)
    limit = SAME * np.nanstd(obs.Y_nm, axis=0)
    again = _values(make().fit(obs), obs.domains, W_qd)
    assert np.array_equal(again, wanted), "same data, same fit"
    shuffled = obs.take(rng.permutation(len(obs.trials)))
    assert (np.abs(_values(make().fit(shuffled), obs.domains, W_qd) - wanted) <= limit).all(), (
        "row order does not matter"
    )
    columns = rng.permutation(len(obs.domains))
    names = tuple(obs.domains[j] for j in columns)
    turned = replace(obs, domains=names, W_nsd=obs.W_nsd[:, :, columns])
    assert (np.abs(_values(make().fit(turned), obs.domains, W_qd) - wanted) <= limit).all(), (
        "column order does not matter"
    )
    assert (np.abs(_values(fit, names, W_qd[:, columns]) - wanted) <= 1e-9).all(), "candidates are joined by name"
    renamed = replace(obs, domains=tuple(f"another/{9 - j}" for j in range(len(obs.domains))))
    found = _values(make().fit(renamed), renamed.domains, W_qd)
    assert (np.abs(found - wanted) <= limit).all(), "names do not matter"


def _check_round_trip(make: Callable[[], Law], fit: LawFit, obs: Observations, W_qd: Floats) -> None:
    copy = make().restore(json.loads(json.dumps(fit.to_dict(), allow_nan=False)))
    inputs = Inputs.of(obs.domains, W_qd)
    for sense in ("mean", "run"):
        one, two = (each.predict(inputs, 5, sense=sense) for each in (fit, copy))
        for name in ("mean_qm", "low_qm", "high_qm", "draws_kqm"):
            equal = np.array_equal(getattr(one, name), getattr(two, name), equal_nan=True)
            assert equal, f"a restored fit predicts the same {name}"


def _check_directions(make: Callable[[], Law], fit: LawFit, obs: Observations, W_qd: Floats) -> None:
    wanted, spread = _values(fit, obs.domains, W_qd), np.nanstd(obs.Y_nm, axis=0)
    higher = tuple(replace(metric, better="higher") for metric in obs.metrics)
    mirrored = replace(obs, metrics=higher, Y_nm=-obs.Y_nm)
    found = _values(make().fit(mirrored), obs.domains, W_qd)
    assert (np.abs(found + wanted) <= SAME * spread).all(), "a metric that is better higher is the mirror image"
    for Y_nm in (np.full_like(obs.Y_nm, 3.0), -1e3 - obs.Y_nm, 1e-6 * obs.Y_nm):
        odd = _values(make().fit(replace(obs, Y_nm=Y_nm)), obs.domains, W_qd)
        assert np.isfinite(odd).all(), "constant, negative and tiny metrics have a fit"
    flat = _values(make().fit(replace(obs, Y_nm=np.full_like(obs.Y_nm, 3.0))), obs.domains, W_qd)
    assert np.allclose(flat, 3.0, atol=1e-3), "a constant metric is predicted as it is"


def _check_missing(make: Callable[[], Law], obs: Observations, W_qd: Floats) -> None:
    Y_nm = obs.Y_nm.copy()
    Y_nm[:5, 0] = np.nan
    found = _values(make().fit(replace(obs, Y_nm=Y_nm)), obs.domains, W_qd)
    assert np.isfinite(found).all(), "rows without a value are passed over"
    alone = make().fit(replace(obs.take(np.arange(5, len(Y_nm))), metrics=obs.metrics[:1], Y_nm=Y_nm[5:, :1]))
    gap = np.abs(_values(alone, obs.domains, W_qd)[:, 0] - found[:, 0])
    assert np.median(gap) <= np.nanstd(Y_nm[:, 0]), "a missing value is not taken for a number"


def _check_too_few(make: Callable[[], Law], obs: Observations) -> None:
    try:
        make().fit(obs.take(np.arange(3)))
    except NotEnoughEvidence:
        return
    raise AssertionError("three trials are NotEnoughEvidence")


def _check_recovery(make: Callable[[], Law], world: World, W_qd: Floats) -> None:
    quiet = replace(world, noise_m=np.zeros_like(world.noise_m))
    fit = make().fit(quiet.observations(np.random.default_rng(1).dirichlet(np.ones(len(world.domains)), 80)))
    found, true = _values(fit, world.domains, W_qd), world.value(W_qd)
    for j, metric in enumerate(world.metrics):
        assert np.corrcoef(found[:, j], true[:, j])[0, 1] >= 0.8, f"orders the mixtures of its world by {metric.name}"


def check_strategy(make: Callable[[], Strategy], law: Law | None) -> None:
    """Everything a strategy must do, on a log-linear world of five domains with bounds; `law` where it needs one."""
    world = loglinear(d=5, m=2, seed=1, noise=0.1)
    view = _empty_view(world)
    space = Space.build(view.constraints, view.domains)
    straight = _run(make(), view, world)
    asked = [trial.spec for trial in straight.trials]
    assert len(asked) == N_TRIALS, f"asks until the budget is spent: {len(asked)} of {N_TRIALS} trials"
    assert len({spec.id for spec in asked}) == len(asked), "asks no question twice"
    assert make().ask(straight, BATCH) == [], "asks nothing beyond the budget"
    assert make().eager in (True, False), "says whether it may be asked while trials are out"
    for spec in asked:
        assert space.contains(np.array(spec.mixture.over(world.domains)))[0], "asks inside the bounds"
    for n_done in (0, BATCH, 2 * BATCH):
        prefix = replace(straight, trials=straight.trials[:n_done])
        assert make().ask(prefix, BATCH) == make().ask(prefix, BATCH), "same view, same answer"
        resumed = [trial.spec for trial in _run(make(), prefix, world).trials]
        assert resumed == asked, f"resumed after {n_done} trials, the study goes on as if undisturbed"
    assert len(make().ask(view, 1)) == 1, "asks no more than it is asked for"
    _check_recommend(make, law, straight, space)
    _check_faults(make, law, view, world, space)
    if law is not None:
        _check_worst(make, law)


def _check_recommend(make: Callable[[], Strategy], law: Law | None, view: StudyView, space: Space) -> None:
    one, two = (_recommend(make, law, view) for _ in range(2))
    assert one == two, "same view, same recommendation"
    assert space.contains(np.array(one.mixture.over(view.domains)))[0], "recommends inside the bounds"
    assert one.why, "says why"
    assert from_data(Recommendation, json.loads(json.dumps(to_data(one)))) == one, "a recommendation survives JSON"


def _check_faults(make: Callable[[], Strategy], law: Law | None, view: StudyView, world: World, space: Space) -> None:
    """Failed, diverged and half-measured trials among the good ones."""

    def answer(i: int, spec: TrialSpec) -> Trial:
        trial = _answer(world, spec)
        if i % 6 == 1:
            return replace(trial, state="failed", points=(), message="worker died")
        if i % 6 == 3:
            return replace(trial, state="diverged", points=())
        if i == 5:
            half = Point(n_tokens=1000, metrics=trial.points[-1].metrics[:1])
            return replace(trial, points=(half,))
        return trial

    faulty = _run(make(), view, world, answer)
    assert len(faulty.trials) == N_TRIALS, "goes on after failed, diverged and half-measured trials"
    found = _recommend(make, law, faulty)
    assert space.contains(np.array(found.mixture.over(world.domains)))[0], "recommends in spite of faults"


def _check_worst(make: Callable[[], Strategy], law: Law) -> None:
    """Where the best mean ruins a metric, an objective of the worst metric must not end there."""
    world = _torn()
    view = _empty_view(world)
    view = replace(view, objective=replace(view.objective, reduce="worst"))
    space = Space.build(view.constraints, view.domains)
    played = _run(make(), view, world)
    for trial in played.trials:
        inside = space.contains(np.array(trial.spec.mixture.over(world.domains)))[0]
        assert inside, "asks inside the bounds under an objective of the worst metric"
    found = _recommend(make, law, played).mixture.over(world.domains)
    worst, natural = (float(world.value(np.array(w_d)).max()) for w_d in (found, world.natural_d))
    assert worst <= natural + 1e-9, f"its worst metric is no worse than natural's: {worst:.4g}, natural {natural:.4g}"


def _torn() -> World:
    """d02 helps one metric, harms the other and is best for their mean at about half; d03 helps the other.

    y_0 = exp(1 − 4 w_2);  y_1 = 1.5 + exp(1.5 w_2 − w_3 − 1). The worst metric is 2.01 at the best mean, 1.84 at
    natural and 1.68 at its own best.
    """

    def law(W_qd: Floats) -> Floats:
        return np.stack([np.exp(1.0 - 4.0 * W_qd[:, 2]), 1.5 + np.exp(1.5 * W_qd[:, 2] - W_qd[:, 3] - 1.0)], axis=1)

    return replace(loglinear(d=5, m=2, seed=3), name="torn", law=law, noise_m=np.full(2, 0.02))


def _recommend(make: Callable[[], Strategy], law: Law | None, view: StudyView) -> Recommendation:
    try:
        fit = None if law is None else law.fit(view.observations())
    except NotEnoughEvidence:
        # A strategy that asks one mixture only leaves a law nothing to learn.
        fit = None
    return make().recommend(view, fit)


def _empty_view(world: World) -> StudyView:
    return StudyView(
        name="contract",
        domains=world.domains,
        objective=Objective(terms=(("bpb/domain/*", 1.0),)),
        constraints=Constraints(lower=((world.domains[0], 0.05),), upper=((world.domains[1], 0.6),)),
        rungs=(Rung(label="proxy", scale=Scale(n_tokens=1000)), Rung(label="target", scale=Scale(n_tokens=10_000))),
        metrics=world.metrics,
        trials=(),
        seed=5,
        corpus=world.corpus,
        natural=Mixture.natural(world.corpus),
        budget=Budget(n_trials=N_TRIALS),
    )


def _answer(world: World, spec: TrialSpec) -> Trial:
    measured = world.measure(spec.mixture, spec.replicate)
    point = Point(n_tokens=spec.plan.scale.n_tokens or 1, metrics=tuple(measured.items()))
    return Trial(spec=spec, state="done", rung="proxy", points=(point,))


def _run(
    strategy: Strategy,
    view: StudyView,
    world: World,
    answer: Callable[[int, TrialSpec], Trial] | None = None,
) -> StudyView:
    """Ask and answer in batches until the strategy is done; the view with all trials."""
    reply = answer or (lambda _, spec: _answer(world, spec))
    for _ in range(2 * N_TRIALS):
        proposals = strategy.ask(view, BATCH)
        if not proposals:
            return view
        assert len(proposals) <= BATCH, "asks no more than it is asked for"
        start = len(view.trials)
        specs = [complete(proposal, view.rungs, world.corpus.fingerprint) for proposal in proposals]
        trials = tuple(
            replace(reply(start + i, spec), rung=proposal.rung, why=proposal.why)
            for i, (spec, proposal) in enumerate(zip(specs, proposals, strict=True))
        )
        view = replace(view, trials=view.trials + trials)
    raise AssertionError("asks without end")
