"""More runs of the same mixtures: only where noise, not the law, leaves a verdict open, and crossed with the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from search_worlds import Quadratic, law_of, names, trial, view_of

from mixdesk.core.mixture import Mixture
from mixdesk.core.plan import Proposal
from mixdesk.core.trial import StudyView
from mixdesk.search.replicates import repeats

D = 4
T = np.array([[-1.0, -0.2, 0.1, 0.3]])
CANDIDATE = Mixture.of(dict(zip(names(D), (0.4, 0.3, 0.2, 0.1), strict=True)))
NEAR = Mixture.of(dict(zip(names(D), (0.39, 0.31, 0.2, 0.1), strict=True)))
FAR = Mixture.of(dict(zip(names(D), (0.1, 0.1, 0.1, 0.7), strict=True)))
PAIR = {"recipe": CANDIDATE, "best seen": NEAR}


def world(runs: dict[Mixture, range], sigma: float = 0.05, seed: int = 0) -> StudyView:
    """Runs of mixtures in replicates: the law's value, a part shared by the replicate, and noise."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(scale=0.2, size=64)
    law = law_of(T)
    trials = []
    for mixture, replicates in runs.items():
        value = float(law.mean(np.array([mixture.over(names(D))]))[0, 0])
        trials += [trial(mixture, [value + shared[r] + sigma * rng.normal()], r) for r in replicates]
    return view_of(D, law=law, trials=tuple(trials))


RUNS = {
    Mixture.uniform(names(D)): range(3),
    Mixture.of({"d000": 0.7, "d001": 0.3}): range(3),
    FAR: range(3),
    NEAR: range(3),
    CANDIDATE: range(1),
}


def test_a_sure_law_and_noisy_runs_ask_for_repeats_crossed_with_those_there() -> None:
    view = world(RUNS)
    asked = repeats(view, law_of(T, doubt=0.05), PAIR, 6)
    pairs = [(proposal.mixture, proposal.replicate) for proposal in asked]
    assert pairs == [(CANDIDATE, 1), (CANDIDATE, 2), (CANDIDATE, 3), (NEAR, 3), (CANDIDATE, 4), (NEAR, 4)]
    assert {proposal.rung for proposal in asked} == {"proxy"}
    assert asked[0].why.startswith("repeat 2: noise leaves recipe against best seen open: difference ")
    assert "by noise (1 pairs of runs" in asked[0].why
    assert asked == repeats(view, law_of(T, doubt=0.05), PAIR, 6)


def test_what_was_asked_is_not_asked_again_and_enough_is_enough() -> None:
    view = world(RUNS)
    law = law_of(T, doubt=0.05)
    everything = repeats(view, law, PAIR, 999)
    out = tuple(trial(p.mixture, [], p.replicate, "waiting") for p in everything)
    assert repeats(replace(view, trials=view.trials + out), law, PAIR, 6) == []
    assert [p.replicate for p in everything if p.mixture == NEAR] == list(range(3, 12))
    answered = world({**RUNS, CANDIDATE: range(12), NEAR: range(12)})
    assert repeats(answered, law, PAIR, 6) == []


def test_a_clearer_difference_takes_fewer_pairs() -> None:
    law = law_of(T, doubt=0.02)
    other = Mixture.of(dict(zip(names(D), (0.3, 0.3, 0.2, 0.2), strict=True)))
    asked = repeats(world({**RUNS, other: range(1)}), law, {"recipe": CANDIDATE, "rival": other}, 99)
    assert 2 <= 1 + max(proposal.replicate for proposal in asked) < 12


@pytest.mark.parametrize(
    ("doubt", "pair", "sigma"),
    [
        (6.0, PAIR, 0.05),  # the law itself does not know
        (0.05, {"recipe": CANDIDATE, "natural": FAR}, 0.05),  # the verdict stands
        (0.05, PAIR, 0.0),  # there is no noise
        (0.05, {"recipe": CANDIDATE, "best seen": CANDIDATE}, 0.05),  # one mixture under two names
        (0.05, {"recipe": CANDIDATE}, 0.05),  # no rival
    ],
)
def test_where_noise_is_not_what_limits_nothing_is_asked(doubt: float, pair: dict[str, Mixture], sigma: float) -> None:
    assert repeats(world(RUNS, sigma), law_of(T, doubt=doubt), pair, 6) == []


def test_only_open_rivals_are_repeated_and_rounding_is_no_new_mixture() -> None:
    rounded = Mixture.of({name: w * (1.0 + 1e-13) for name, w in NEAR.as_dict().items()}, normalise=True)
    asked = repeats(world(RUNS), law_of(T, doubt=0.05), {**PAIR, "best seen": rounded, "natural": FAR}, 20)
    assert {proposal.mixture for proposal in asked} == {CANDIDATE, NEAR}


def test_a_law_without_draws_asks_for_nothing() -> None:
    law = Quadratic(domains=names(D), star_d=np.full(D, 0.25))
    assert repeats(world(RUNS), law, PAIR, 6) == []


def test_without_a_block_the_law_s_own_noise_counts() -> None:
    class Noisy(type(law_of(T))):
        """The law, with noise of a run."""

        def predict(self, inputs, draws=0, *, level=0.9, sense="mean"):
            found = super().predict(inputs, draws, level=level, sense=sense)
            if not draws or sense == "mean":
                return found
            luck = np.random.default_rng(1).normal(scale=0.05, size=found.draws_kqm.shape)
            return replace(found, draws_kqm=found.draws_kqm + luck)

    plain = law_of(T, doubt=0.01)
    law = Noisy(domains=plain.domains, c_m=plain.c_m, t_md=plain.t_md, sign_m=plain.sign_m, doubt=0.01)
    view = world({mixture: range(1) for mixture in RUNS})
    asked = repeats(view, law, PAIR, 2)
    assert asked == [
        Proposal(mixture=CANDIDATE, rung="proxy", replicate=1, why=asked[0].why),
        Proposal(mixture=NEAR, rung="proxy", replicate=1, why=asked[1].why),
    ]
    assert repeats(view, plain, PAIR, 2) == []
