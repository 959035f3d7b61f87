"""The world with quality bins: what it promises of quality, repeats and domains."""

from __future__ import annotations

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.space import Constraints, Space
from mixdesk.testing.qualities import qualities
from mixdesk.testing.worlds import World

MEAN = Objective(terms={"*": 1.0})
WORLDS = [qualities(seed=seed) for seed in range(6)]


def mean_of(world: World, W_qd: np.ndarray) -> np.ndarray:
    return MEAN.value(world.value(W_qd), world.metrics)


def inner(world: World) -> np.ndarray:
    """Natural shares inside each domain, and which domain each leaf is in, (3, 12)."""
    member = np.repeat(np.eye(3), 4, axis=1)
    return member * world.natural_d / (member @ world.natural_d)[:, None]


def test_leaves_have_the_tokens_of_their_domain() -> None:
    world = qualities(n_domains=2, n_bins=3)
    assert world.domains == ("d00/q1", "d00/q2", "d00/q3", "d01/q1", "d01/q2", "d01/q3")
    tokens = [domain.n_tokens for domain in world.corpus.domains]
    assert len(set(tokens)) == 2
    assert max(tokens) / min(tokens) == pytest.approx(10.0, rel=1e-4)
    assert qualities(n_bins=1).domains == ("d00/q1", "d01/q1", "d02/q1")


@pytest.mark.parametrize("world", WORLDS)
def test_better_text_teaches_more_until_it_is_worn_out(world: World) -> None:
    shift = 0.01 * world.natural_d[0] * (np.eye(12)[0] - np.eye(12)[3])
    from_natural = world.value(world.natural_d + shift) - world.value(world.natural_d)
    assert (from_natural < 0.0).all()
    # The best bin of the smallest domain eight times over: now the worst one is worth more.
    best = 4 * int((world.natural_d[::4]).argmin())
    worn, n = world.natural_d.copy(), world.natural_d[best]
    worn[best : best + 4] = (8.0 * n, n, n, 0.5 * n)
    worn /= worn.sum()
    shift = 0.01 * n * (np.eye(12)[best] - np.eye(12)[best + 3])
    assert (world.value(worn + shift) > world.value(worn)).all()


@pytest.mark.parametrize("world", WORLDS)
def test_losses_are_convex(world: World) -> None:
    one, two = np.random.default_rng(0).dirichlet(np.full(12, 0.3), (2, 300))
    assert (world.value((one + two) / 2) <= (world.value(one) + world.value(two)) / 2 + 1e-12).all()


@pytest.mark.parametrize("world", WORLDS[:2])
def test_neither_quality_nor_mixture_alone_is_enough(world: World) -> None:
    rng = np.random.default_rng(1)
    _, best = world.optimum(MEAN, Space.build(Constraints(), world.domains))
    natural = float(mean_of(world, world.natural_d)[0])
    domains_g = np.repeat(np.eye(3), 4, axis=1) @ world.natural_d
    mixture = rng.dirichlet(np.ones(3), 1000) @ inner(world)
    quality = (rng.dirichlet(np.ones(4), (3000, 3)) * domains_g[:, None]).reshape(3000, 12)
    for alone in (mean_of(world, mixture).min(), mean_of(world, quality).min()):
        assert best + 0.05 * (natural - best) < alone < natural


def test_runs_are_noisy_as_promised_and_repeatable() -> None:
    world = qualities(seed=2, noise=0.2)
    spread = world.value(np.random.default_rng(5).dirichlet(np.ones(12), 4000)).std(axis=0)
    np.testing.assert_allclose(world.noise_m, 0.2 * spread, rtol=0.1)
    natural = Mixture.natural(world.corpus)
    assert world.measure(natural) == qualities(seed=2, noise=0.2).measure(natural)
    assert world.measure(natural) != world.measure(natural, 1)
    runs = np.array([list(world.measure(natural, r).values()) for r in range(400)])
    np.testing.assert_allclose(runs.std(axis=0), world.noise_m, rtol=0.15)


def test_a_world_has_two_domains_at_least() -> None:
    with pytest.raises(InputError, match="n_domains"):
        qualities(n_domains=1)
