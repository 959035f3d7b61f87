"""What more trials are worth: the gain left falls with trials, follows the true regret, and noise buys nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import spearmanr
from search_worlds import Quadratic, corners, law_of, names, view_of

from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Observations
from mixdesk.core.protocols import Law
from mixdesk.core.trial import StudyView
from mixdesk.laws.exponential import Exponential
from mixdesk.laws.gp import MixtureGP
from mixdesk.search.simulate import candidates
from mixdesk.search.terrain import Terrain
from mixdesk.search.worth import Left, Worth, _gains, _projected, weigh
from mixdesk.testing.worlds import World, loglinear, power, quadratic, swarm

MEAN = Objective(terms={"*": 1.0})
LAW = law_of([[-2.0, 0.0, 0.3], [0.0, -2.0, 0.3]], doubt=0.3)


def imported(world: World, n: int, seed: int = 0) -> StudyView:
    """A study of n mixtures as people run them, each once."""
    obs = world.observations(swarm(world, n, seed))
    return view_of(len(world.domains), obs.W_nd, obs.Y_nm)


class Fixed:
    """A law that has one fit whatever the runs are, and none below `least` rows."""

    title, reference = "fixed", ""

    def __init__(self, fit: object, least: int = 0) -> None:
        self.fitted, self.least = fit, least

    def fit(self, obs: Observations) -> object:
        if len(obs.trials) < self.least:
            raise NotEnoughEvidence("too few", value=0, bound="more", remedy="run more")
        return self.fitted

    def restore(self, data: dict[str, object]) -> object:
        return self.fitted


def weighed(view: StudyView, law: Law, **more: object) -> Worth:
    obs = view.observations()
    return weigh(view, law, obs, law.fit(obs), **{"n_more": 32, **more})


def true_regret(world: World, view: StudyView, law: Law) -> float:
    """What the mixture predicted best among many loses against the best of them."""
    obs = view.observations()
    terrain = Terrain.of(view, law.fit(obs))
    rows = np.vstack([*candidates(terrain, 4_000, np.random.default_rng(1)), obs.W_nd])
    true = MEAN.value(world.value(rows), world.metrics)
    return float(true[terrain.value(rows).argmin()] - true.min())


def test_the_gain_left_falls_with_trials() -> None:
    worlds = [loglinear(4, 2, seed=seed, noise=0.3) for seed in range(2)]
    few, many = ([weighed(imported(w, n), Exponential(n_draws=50)).left for w in worlds] for n in (8, 24))
    assert np.mean(many) < 0.7 * np.mean(few)


@pytest.mark.slow
def test_the_gain_left_follows_the_true_regret() -> None:
    """Measured: Spearman .75, half of the true regret seen, what 16 more were to leave 1.26 times what they left."""
    kinds = ((loglinear, 0.05), (loglinear, 0.3), (power, 0.1), (quadratic, 0.3))
    left, true, projected = [], [], []
    for i in range(14):
        make, noise = kinds[i % len(kinds)]
        world = make(4, 3, seed=i, noise=noise)
        for n in (8, 24):
            view = imported(world, n, i)
            found = weighed(view, MixtureGP(), n_more=16)
            left.append(found.left)
            projected.append(found.left - found.bought)
            true.append(true_regret(world, view, MixtureGP()))
    assert spearmanr(left, true).statistic > 0.5
    assert np.mean(left[1::2]) < np.mean(left[::2])
    assert 0.2 < np.mean(left) / np.mean(true) < 2.0
    assert 0.5 < np.mean(projected[::2]) / np.mean(left[1::2]) < 2.0  # what 16 more were to leave, and left


def test_a_law_without_doubt_has_nothing_left_to_buy() -> None:
    view = view_of(3, corners(3), law=LAW)
    sure = weighed(view, Fixed(dataclasses.replace(LAW, doubt=0.0)), matters=0.01)
    assert sure.left == pytest.approx(0.0, abs=1e-12)
    assert sure.verdict == "stop"
    doubtful = weighed(view, Fixed(LAW), matters=1e-4)
    assert doubtful.left > 1e-3
    assert doubtful.verdict == "go on"
    assert doubtful.left_low <= doubtful.left <= doubtful.left_high


def test_few_candidates_see_nearly_as_much_as_many() -> None:
    terrain = Terrain.of(view_of(3, corners(3), law=LAW), LAW)
    few, many = (np.random.default_rng(0).dirichlet(np.ones(3), n) for n in (30, 5_000))
    found = [_gains(terrain, rows, np.random.default_rng(0))[0].mean() for rows in (few, many)]
    assert found[0] == pytest.approx(found[1], rel=0.15)


def test_more_trials_buy_more_but_never_more_than_is_left() -> None:
    view = view_of(3, corners(3), law=LAW)
    few, many = (weighed(view, Fixed(LAW), n_more=n) for n in (4, 400))
    assert 0.0 < few.bought < many.bought < many.left == few.left


def test_the_rate_is_that_of_the_history() -> None:
    def rate(b: float, n_points: int = 4) -> float:
        history = [Left(n=n, gain=0.3 * n**-b) for n in (10, 20, 40, 80)[:n_points]]
        return _projected(np.full(5, 0.3 * 80.0**-b), history, 2.0)[3]

    slow, usual, fast = rate(0.3), rate(0.5, n_points=1), rate(1.5)
    assert slow < usual < fast
    assert fast == pytest.approx(1.5, abs=0.35)


def test_twice_the_mixtures_at_the_usual_rate_leave_seven_tenths() -> None:
    bought = _projected(np.ones(5), [Left(n=10, gain=1.0)], 2.0)
    assert bought[0] == pytest.approx(1.0 - 2.0**-0.5, abs=0.06)
    assert bought[1] < bought[0] < bought[2]


def test_parts_too_small_for_the_law_leave_no_history() -> None:
    view = view_of(3, np.random.default_rng(0).dirichlet(np.ones(3), 20), law=LAW)
    whole, short = (weighed(view, Fixed(LAW, least)) for least in (0, 20))
    assert [one.n for one in whole.history] == [7, 10, 14, 20]
    assert [one.n for one in short.history] == [20]
    assert "too short to show" in short.basis
    assert "20 mixtures, a fall with" in whole.basis


def test_only_allowed_mixtures_count() -> None:
    view = view_of(3, corners(3), law=LAW)
    held = dataclasses.replace(view, constraints=dataclasses.replace(view.constraints, lower=(("d*", 0.33),)))
    assert weighed(held, Fixed(LAW)).left < 0.1 * weighed(view, Fixed(LAW)).left


def test_noise_is_measured_by_repeats_where_there_are_any() -> None:
    world = loglinear(3, 1, seed=1, noise=0.2)
    rows = np.repeat(swarm(world, 12, 3), 3, axis=0)
    obs = world.observations(rows, np.tile(np.arange(3), 12))
    alone = view_of(3, obs.W_nd, obs.Y_nm)
    trials = [
        dataclasses.replace(t, spec=dataclasses.replace(t.spec, replicate=i % 3)) for i, t in enumerate(alone.trials)
    ]
    view = dataclasses.replace(alone, trials=tuple(trials))
    found = weighed(view, MixtureGP())
    assert found.is_noise_measured
    assert found.noise == pytest.approx(view.noise()[0].within)
    assert found.matters == found.noise
    once = weighed(view_of(3, obs.W_nd[::3], obs.Y_nm[::3]), MixtureGP())
    assert not once.is_noise_measured
    assert "as the law sees it" in once.sentence
    assert once.noise == pytest.approx(float(world.noise_m[0]), rel=0.7)


def test_the_words() -> None:
    numbers = {"left": 0.01, "left_low": 0.0, "left_high": 0.02, "bought_low": 0.001, "bought_high": 0.009}
    said = Worth(
        n=64, n_more=32, unit="bits per byte", bought=0.004, noise=0.012, is_noise_measured=True, matters=0.012,
        confirmation=0.008, rate=0.5, error=0.05, flops=3.2e15, **numbers,
    )  # fmt: skip
    assert said.verdict == "stop"
    assert said.sentence == (
        "Another 32 trials (3.2e+15 FLOPs) would buy about 0.004 (0.001 to 0.009) bits per byte of the 0.01 that is "
        "left to gain; the noise of one run is 0.012: not worth it."
    )
    assert "4.2 times the noise" in said.doubt
    assert dataclasses.replace(said, error=0.02).doubt == ""
    finer = dataclasses.replace(said, matters=0.003)
    assert finer.verdict == "go on"
    assert finer.sentence.endswith("the smallest gain that matters 0.003: worth it.")
    weak = Worth(n=64, n_more=32, weak="It does not rank. Run more.")
    assert weak.verdict == "cannot tell"
    assert weak.sentence == "What another 32 trials would buy cannot be told. It does not rank. Run more."
    early = dataclasses.replace(weak, is_early=True)
    assert early.verdict == "go on"
    assert early.sentence.startswith("Go on: 64 mixtures are too few")


def test_what_cannot_be_weighed_is_refused() -> None:
    view = view_of(3, corners(3), law=LAW)
    with pytest.raises(InputError, match="n_more"):
        weighed(view, Fixed(LAW), n_more=0)
    with pytest.raises(NotEnoughEvidence, match="how sure it is"):
        weighed(view_of(3, corners(3)), Fixed(Quadratic(domains=names(3), star_d=np.full(3, 1 / 3))))
