"""Strategies on recorded runs: the runs are a finite pool, an answer is looked up, and the best run is known.

    OMP_NUM_THREADS=1 MIXDESK_TABLES=<folder with regmix/> python benchmarks/replay.py [--seeds 50] [--jobs 2]

The pool is RegMix's 512 training runs of one size. A strategy asks up to 64 of them and says after 16, 32, 48 and 64
which run it would take; regret is that run's measured objective above the best of the pool, in standard deviations over
the pool. Objectives: the loss on Pile-CC, and the mean loss over 13 domains. A second table: the mixture GP and the
default law learned from 64 chosen and 64 random runs, by rank correlation on the runs of the test file, which nothing
here was tuned on. Writes `benchmarks/results/replay_<machine class>_<yyyymm>.md`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from chosen import at_random, chosen
from demo import machine_class
from fidelity import table
from mixdesk.core import registry
from mixdesk.core.errors import MixdeskError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Inputs
from mixdesk.core.plan import Plug, TrialSpec
from mixdesk.core.scale import Budget, Rung
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.testing.league import play

MOMENTS = (16, 32, 48, 64)
PLAIN = (("anchors", False), ("n_replicates", 1))
CONTESTANTS: dict[str, Plug] = {
    "random": Plug(name="design", options=(*PLAIN, ("method", "random"))),
    "farthest": Plug(name="design", options=(*PLAIN, ("method", "farthest_point"))),
    "chosen": Plug(name="chosen"),
    "regmix": Plug(name="regmix"),
    "exact": Plug(name="exact"),
    "climb": Plug(name="climb"),
    "adaptive": Plug(name="adaptive"),
}
OBJECTIVES = {"Pile-CC": "*pile_cc_val_loss", "mean of 13": "*"}


def view_of(objective: str, seed: int) -> tuple[StudyView, dict[tuple[float, ...], dict[str, float]]]:
    """A study of the pool in an order of the seed's, and the answers by weights."""
    obs = table("train", "1m")
    order = np.random.default_rng(seed).permutation(len(obs.trials))
    pool = [Mixture.of(dict(zip(obs.domains, w, strict=True)), normalise=True) for w in obs.W_nd[order].tolist()]
    names = [metric.name for metric in obs.metrics]
    answers = {
        mixture.weights: dict(zip(names, y, strict=True))
        for mixture, y in zip(pool, obs.Y_nm[order].tolist(), strict=True)
    }
    goal = Objective(terms=((OBJECTIVES[objective], 1.0),))
    wanted = goal.weights(obs.metrics) > 0.0
    return StudyView(
        name="replay",
        domains=obs.domains,
        objective=goal,
        constraints=Constraints(pool=tuple(pool)),
        rungs=(Rung(label="1M"),),
        metrics=tuple(metric for metric, is_in in zip(obs.metrics, wanted, strict=True) if is_in),
        trials=(),
        seed=seed,
    ), answers


def game(cell: tuple[str, str, int]) -> tuple[tuple[str, str, int], list[float]]:
    """Regret at each moment, in sd over the pool."""
    warnings.simplefilter("ignore")
    objective, who, seed = cell
    with threadpool_limits(1):
        view, answers = view_of(objective, seed)
        names = [metric.name for metric in view.metrics]
        Y_nm = np.array([[answer[name] for name in names] for answer in answers.values()])
        value_n = view.objective.value(Y_nm, view.metrics)
        value_of = dict(zip(answers, value_n.tolist(), strict=True))

        def answer(spec: TrialSpec, rung: str) -> Trial:
            known = answers[nearest(view, spec.mixture).weights]
            point = Point(n_tokens=1, metrics=tuple((name, known[name]) for name in names))
            return Trial(spec=spec, state="done", rung=rung, points=(point,))

        law = registry.make("laws", Plug(name="gp"))
        strategy = registry.make("strategies", CONTESTANTS[who], law=law)
        regrets: list[float] = []
        for after in play(strategy, view, answer, 8, Budget(n_trials=MOMENTS[-1])):
            if len(after.trials) >= MOMENTS[len(regrets)]:
                said = best_of(strategy, law, after)
                regrets.append((value_of[said.weights] - value_n.min()) / value_n.std())
            if len(regrets) == len(MOMENTS):
                break
    return cell, regrets


def best_of(strategy: object, law: object, view: StudyView) -> Mixture:
    """The recommendation, as the pool has it; the best seen where no law can be fitted."""
    try:
        fit = law.fit(view.observations())  # type: ignore[attr-defined]
        found = strategy.recommend(view, fit).mixture  # type: ignore[attr-defined]
    except MixdeskError:
        found = registry.make("strategies", Plug(name="design")).recommend(view, None).mixture
    return nearest(view, found)


def nearest(view: StudyView, mixture: Mixture) -> Mixture:
    """The mixture of the pool that this one is, but for rounding."""
    pool = view.constraints.pool
    W_nd = np.array([one.over(view.domains) for one in pool])
    return pool[int(np.abs(W_nd - np.array(mixture.over(view.domains))).sum(axis=1).argmin())]


def learned(cell: tuple[str, str, int]) -> tuple[tuple[str, str, int], float]:
    """Mean rank correlation over metrics on the test file, of a law learned from 64 runs."""
    way, law, first = cell
    with threadpool_limits(1):
        obs, unseen = table("train", "1m"), table("test", "1m")
        places = (chosen if way == "chosen" else at_random)(obs.W_nd, 64, first)
        fit = registry.make("laws", Plug(name=law)).fit(obs.take(np.array(places)))
        said = fit.predict(Inputs.of(obs.domains, unseen.W_nd), level=0.0).mean_qm
        ranks = [spearmanr(a, b)[0] for a, b in zip(said.T, unseen.Y_nm.T, strict=True)]
    return cell, float(np.mean(ranks))


def lines_of(found: dict[tuple[str, str, int], list[float]], n_seeds: int) -> Iterator[str]:
    for objective in OBJECTIVES:
        yield f"\n## {objective}: mean regret ± standard error over {n_seeds} seeds; share that names the best run\n"
        yield "| strategy | " + " | ".join(f"{n} runs" for n in MOMENTS) + " | best run named after 64 |"
        yield "| --- |" + " ---: |" * (len(MOMENTS) + 1)
        for who in CONTESTANTS:
            rows = np.array([regrets for (o, w, _), regrets in found.items() if (o, w) == (objective, who)])
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(rows.mean(0), rows.std(0) / len(rows) ** 0.5, strict=True)]
            yield f"| {who} | " + " | ".join(cells) + f" | {(rows[:, -1] < 1e-9).mean():.2f} |"


def main() -> None:
    """Play, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--starts", type=int, default=10, help="first runs of the second table")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    games = [(o, w, s) for s in range(options.seeds) for o in OBJECTIVES for w in CONTESTANTS]
    firsts = np.random.default_rng(0).permutation(512)[: options.starts].tolist()
    fits = [(way, law, first) for law in ("gp", "average") for way in ("random", "chosen") for first in firsts]
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        ranks = dict(pool.imap_unordered(learned, fits))
        found = dict(pool.imap_unordered(game, games))
    out = [
        "# Strategies on recorded runs",
        "",
        f"{date.today():%Y-%m-%d}, {machine_class()}. Command: `python benchmarks/replay.py --seeds {options.seeds}`.",
        *lines_of(found, options.seeds),
        "\n## Laws from 64 of the 512 runs: mean Spearman over 13 metrics on the test runs\n",
        "| law | random | chosen | difference in its standard errors |",
        "| --- | ---: | ---: | ---: |",
    ]
    for law in ("gp", "average"):
        way = {w: np.array([ranks[w, law, first] for first in firsts]) for w in ("random", "chosen")}
        error = {w: x.std(ddof=1) / len(x) ** 0.5 for w, x in way.items()}
        gap = (way["chosen"].mean() - way["random"].mean()) / np.hypot(*error.values())
        cells = " | ".join(f"{way[w].mean():.4f} ± {error[w]:.4f}" for w in ("random", "chosen"))
        out.append(f"| {law} | {cells} | {gap:.1f} |")
    text = "\n".join(out) + "\n"
    print(text)
    (Path(__file__).parent / "results" / f"replay_{machine_class()}_{date.today():%Y%m}.md").write_text(text)


if __name__ == "__main__":
    main()
