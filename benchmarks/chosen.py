"""Do laws learn more from chosen runs than from random ones? The mixture GP on subsets of runs that were made anyway.

    OMP_NUM_THREADS=1 MIXDESK_TABLES=<folder with regmix/> python benchmarks/chosen.py

RegMix's 512 training runs and swarms of synthetic worlds; n of the runs are taken at random, as the farthest from all
before, or chosen; each from ten different first runs. Prints the mean Spearman correlation over metrics on the other
runs, with its standard error over the ten.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import spearmanr

from fidelity import TRIED, table
from mixdesk.core.observations import Floats, Inputs, Observations
from mixdesk.laws.gp import MixtureGP
from mixdesk.search.design import ROOT
from mixdesk.search.informative import choose
from mixdesk.testing.worlds import WORLDS, swarm

N_STARTS, SWARM = 10, 400


def at_random(W_nd: Floats, n: int, first: int) -> list[int]:
    return np.random.default_rng(first).permutation(len(W_nd))[:n].tolist()


def farthest(W_nd: Floats, n: int, first: int) -> list[int]:
    spread, places = W_nd**ROOT, [first]
    nearest = np.linalg.norm(spread - spread[first], axis=1)
    while len(places) < n:
        places.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(spread - spread[places[-1]], axis=1))
    return places


def chosen(W_nd: Floats, n: int, first: int) -> list[int]:
    return [first, *choose(W_nd, n - 1, [first])]


def spearman(obs: Observations, true_nm: Floats, places: list[int]) -> float:
    rest = np.setdiff1d(np.arange(len(true_nm)), places)
    said = MixtureGP().fit(obs.take(np.array(places))).predict(Inputs.of(obs.domains, obs.W_nd[rest]), level=0.0)
    return float(np.mean([spearmanr(a, b)[0] for a, b in zip(said.mean_qm.T, true_nm[rest].T, strict=True)]))


def compare(where: str, obs: Observations, true_nm: Floats, sizes: tuple[int, ...]) -> None:
    firsts = np.random.default_rng(0).permutation(len(true_nm))[:N_STARTS].tolist()
    ways: tuple[Callable[[Floats, int, int], list[int]], ...] = (at_random, farthest, chosen)
    for n in sizes:
        found = [[spearman(obs, true_nm, way(obs.W_nd, n, first)) for first in firsts] for way in ways]
        text = "  ".join(
            f"{way.__name__} {np.mean(each):.4f} ± {np.std(each, ddof=1) / np.sqrt(N_STARTS):.4f}"
            for way, each in zip(ways, found, strict=True)
        )
        print(f"{where:16s} n={n:3d}  {text}", flush=True)


def main() -> None:
    """Everything; under two minutes on one core."""
    regmix = table("train", "1m")
    compare("regmix", regmix, regmix.Y_nm, (32, 64, 128))
    for name, (d, m, noise) in TRIED.items():
        world = WORLDS[name](d, m, 0, noise)
        W_nd = swarm(world, SWARM)
        compare(name, world.observations(W_nd), world.value(W_nd), (32, 64))


if __name__ == "__main__":
    main()
