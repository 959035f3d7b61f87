"""League of strategies: on worlds whose best mixture is known, who is nearest to it after what has been spent?

    python benchmarks/league.py --out /tmp/league [--cases smooth-5,moving-17] [--contestants "adaptive;exact"]

Every contestant plays every case of `mixdesk.testing.league` with every seed, at the same rungs, prices and budget, and
says its recommendation at some moments of it. Regret is the true objective at the target above the best allowed
mixture's, in standard deviations of the objective over a swarm of mixtures. A cell (case, contestant, seed) is a line
of a file under `--out`; what is there already is not played again. The summary goes to `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import subprocess
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from demo import machine_class
from mixdesk.core import registry
from mixdesk.core.errors import MixdeskError
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Budget
from mixdesk.core.trial import StudyView
from mixdesk.search.terrain import natural_weights, target_space
from mixdesk.testing.league import CASES, NOISE, PART, RATIO, Case, play

# Moments at which a contestant says what it would recommend, as shares of the largest budget.
MOMENTS, MOMENTS_OF_TWO = (1 / 3, 2 / 3, 1.0), (0.2, 0.4, 0.6, 0.8, 1.0)
# A difference of medians counts where the 90 % bootstrap interval of the paired difference excludes 0.
N_BOOTSTRAP = 2_000
# With two sizes: the part of the budget of who sees the target alone that all others have.
OF_FULL = 0.5
# Games of a case from which on a contestant is listed.
FEWEST = 5
# Regret that counts as arrived: one hundredth of the spread.
ARRIVED = 0.01


@dataclass(frozen=True)
class Contestant:
    """A strategy with its law in cases of one and of two sizes; `rungs` it sees of the two: both, or the target alone.

    `best_seen` answers by the best mixture measured in place of a law. `most` domains it is played with.
    """

    strategy: str
    law: str = "gp"
    law_of_two: str = "gp"
    options: tuple[tuple[str, Any], ...] = ()
    target_only: bool = False
    most: int = 100


CONTESTANTS = {
    "natural": Contestant("rule", options=(("rule", "natural"),)),
    "uniform": Contestant("rule", options=(("rule", "uniform"),)),
    "unimax": Contestant("rule", options=(("rule", "unimax"),)),
    "random": Contestant("design", options=(("method", "random"), ("anchors", False), ("n_replicates", 1))),
    "low discrepancy": Contestant(
        "design", options=(("method", "low_discrepancy"), ("anchors", False), ("n_replicates", 1))
    ),
    "farthest": Contestant("design", options=(("method", "farthest_point"), ("anchors", False), ("n_replicates", 1))),
    "chosen": Contestant("chosen"),
    "design": Contestant("design"),
    "regmix": Contestant("regmix", options=(("n_candidates", 20_000),)),
    "regmix, trees": Contestant("regmix", law="trees", law_of_two="trees", options=(("n_candidates", 20_000),)),
    "exact": Contestant("exact"),
    "exact, log-linear": Contestant("exact", law="exponential", law_of_two="exponential"),
    "climb": Contestant("climb"),
    "modomodo": Contestant("modomodo", law="quadratic", law_of_two="quadratic", most=17),
    "adaptive": Contestant("adaptive", law_of_two="fidelity_gp"),
    "adaptive, first rung": Contestant("adaptive"),
    "adaptive, target only": Contestant("adaptive", target_only=True),
    "adaptive, default law": Contestant("adaptive", law="average", law_of_two="transfer", most=17),
    "bayes": Contestant("bayes", options=(("batch", 8),), most=5),
    "bayes, target only": Contestant("bayes", options=(("batch", 8),), target_only=True, most=5),
    "halving": Contestant("halving", law_of_two="fidelity_gp"),
}
# Contestants with one size that play with two as well, at the first rung alone but for the first two.
OF_BOTH = ("adaptive", "bayes", "natural", "random", "regmix", "exact")
# Contestants that only differ from another where there are two sizes.
OF_TWO = ("adaptive, first rung", "adaptive, target only", "bayes, target only", "halving")


def cells(cases: list[str], contestants: list[str], n_seeds: int) -> Iterator[tuple[str, str, int]]:
    """What there is to play, seed by seed, so that a run that is broken off has as many seeds of everything."""
    for seed in range(n_seeds):
        for case in sorted(cases, key=lambda name: int(name.rsplit("-", 1)[1])):
            d, is_two = int(case.rsplit("-", 1)[1]), len(CASES[case](0).rungs) > 1
            for name in contestants:
                plays = name in (*OF_TWO, *OF_BOTH) if is_two else name not in OF_TWO
                if plays and d <= CONTESTANTS[name].most:
                    yield case, name, seed


def play_cell(cell: tuple[str, str, int]) -> dict[str, Any]:
    """One contestant's game: [spent in target runs or trials, regret] at each moment, and its seconds."""
    warnings.simplefilter("ignore")
    name, who, seed = cell
    start, curve, failed = time.perf_counter(), [], ""
    with threadpool_limits(1):
        try:
            case, one = CASES[name](seed), CONTESTANTS[who]
            law = registry.make("laws", Plug(name=one.law_of_two if len(case.rungs) > 1 else one.law))
            strategy = registry.make("strategies", Plug(name=one.strategy, options=one.options), law=law)
            view, budget = case.view(seed), case.budgets[-1]
            if one.target_only:
                view = replace(view, rungs=view.rungs[-1:])
            if budget.flops is not None:
                budget = Budget(flops=budget.flops * PART * (1.0 if one.target_only else OF_FULL))
            moments = iter(MOMENTS if len(case.rungs) == 1 else MOMENTS_OF_TWO)
            due = next(moments)
            batch = max(round((budget.n_trials or budget.flops or 0.0) / 10), 1)
            for after in play(strategy, view, case.answer, batch, budget):
                share = _spent(case, after) / _spent_of(case, budget)
                if share < due - 1e-9:
                    continue
                curve.append([_spent(case, after), case.regret(_answer(one, strategy, law, after))])
                due = next((moment for moment in moments if moment > share + 1e-9), 2.0)
        except Exception:
            failed = traceback.format_exc(limit=3)
    return {"cell": cell, "curve": curve, "seconds": time.perf_counter() - start, "failed": failed}


def _answer(one: Contestant, strategy: Any, law: Any, view: StudyView) -> Any:
    """The recommendation; of a strategy that answers by itself, or before a law can be fitted, the best seen."""
    try:
        fit = law.fit(view.observations(view.fullest.label, every_scale=getattr(law, "spans_scales", False)))
    except MixdeskError:
        fit = None
    try:
        return strategy.recommend(view, fit).mixture
    except MixdeskError:
        return _nearest_allowed(view)


def _nearest_allowed(view: StudyView) -> Any:
    """The best mixture seen, moved inside the constraints."""
    space, best = target_space(view), view.best_seen()
    start = natural_weights(view) if best is None else np.array(best.spec.mixture.over(view.domains))
    return space.mixture(space.project(start)[0])


def _spent(case: Case, view: StudyView) -> float:
    """Trials where there is one size, else FLOPs in target runs."""
    if len(case.rungs) == 1:
        return float(len(view.trials))
    return sum(trial.flops or 0.0 for trial in view.trials) / RATIO


def _spent_of(case: Case, budget: Budget) -> float:
    return float(budget.n_trials) if budget.n_trials is not None else (budget.flops or 0.0) / RATIO


def median_interval(values: list[float], rng: np.random.Generator) -> tuple[float, float, float]:
    """Median with its 90 % bootstrap interval."""
    rows = np.array(values)
    drawn = np.median(rows[rng.integers(len(rows), size=(N_BOOTSTRAP, len(rows)))], axis=1)
    low, high = np.quantile(drawn, (0.05, 0.95))
    return float(np.median(rows)), float(low), float(high)


def summary(found: dict[tuple[str, str, int], dict[str, Any]]) -> list[str]:
    """Tables per case: median final regret, at half the budget, difference to the best, wins, cost to arrive."""
    out = []
    for case in dict.fromkeys(name for name, _, _ in found):
        rows = {
            who: {s: found[c, w, s] for c, w, s in found if c == case and w == who and found[c, w, s]["curve"]}
            for who in dict.fromkeys(w for c, w, _ in found if c == case)
        }
        rows = {who: games for who, games in rows.items() if len(games) >= FEWEST}
        if not rows:
            continue
        final = {who: {s: game["curve"][-1][1] for s, game in games.items()} for who, games in rows.items()}
        best = min(final, key=lambda who: float(np.median(list(final[who].values()))))
        seeds = set.intersection(*(set(games) for games in final.values()))
        n_wins = dict.fromkeys(final, 0)
        for s in seeds:
            n_wins[min(final, key=lambda who: final[who][s])] += 1
        out += [
            f"### {case}",
            "",
            "| contestant | regret at ½ budget | at the end | 90 % interval | against the best, paired | wins "
            "| median cost to 0.01 | seeds | s a game |",
            "| --- | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for who in sorted(final, key=lambda who: float(np.median(list(final[who].values())))):
            rng, games = np.random.default_rng(0), rows[who]
            middle, low, high = median_interval(list(final[who].values()), rng)
            half = float(np.median([_at_half(game["curve"]) for game in games.values()]))
            pairs = [final[who][s] - final[best][s] for s in sorted(set(final[who]) & set(final[best]))]
            pair, pair_low, pair_high = median_interval(pairs, rng)
            word = "tie" if pair_low <= 0.0 <= pair_high else "behind" if pair_low > 0.0 else "ahead"
            word = "best" if who == best else word
            costs = [next((x for x, y in game["curve"] if y <= ARRIVED), np.inf) for game in games.values()]
            cost = float(np.median(costs))
            out.append(
                f"| {who} | {half:.3f} | {middle:.3f} | {low:.3f} – {high:.3f} | {word} {pair:+.3f} "
                f"({pair_low:+.3f} to {pair_high:+.3f}) | {n_wins[who]} | "
                f"{'–' if not np.isfinite(cost) else f'{cost:.0f}'} | {len(games)} | "
                f"{np.median([game['seconds'] for game in games.values()]):.1f} |"
            )
        out.append("")
    return out


def _at_half(curve: list[list[float]]) -> float:
    return next((y for x, y in reversed(curve) if x <= 0.55 * curve[-1][0]), curve[0][1])


def cheaper(found: dict[tuple[str, str, int], dict[str, Any]], many: str, single: str) -> list[str]:
    """Cost at which `many` (rungs) reaches the final regret of `single` (target alone), over the latter's cost."""
    out = []
    for case in dict.fromkeys(name for name, _, _ in found):
        both = {
            who: {s: found[c, w, s] for c, w, s in found if c == case and w == who and found[c, w, s]["curve"]}
            for who in (many, single)
        }
        seeds = sorted(set(both[many]) & set(both[single]))
        if len(seeds) < 3:
            continue
        goal = float(np.median([both[single][s]["curve"][-1][1] for s in seeds]))
        full = float(np.median([both[single][s]["curve"][-1][0] for s in seeds]))
        moments = sorted({x for s in seeds for x, _ in both[many][s]["curve"]})
        reached = next(
            (x for x in moments if np.median([_upto(both[many][s]["curve"], x) for s in seeds]) <= goal), None
        )
        ratio = "not reached" if reached is None else f"{reached:.1f} = {reached / full:.2f} of it"
        out.append(f"- {case}: {single} ends at {goal:.3f} after {full:.0f} target runs; {many}: {ratio}")
    return out


def _upto(curve: list[list[float]], spent: float) -> float:
    return next((y for x, y in reversed(curve) if x <= spent + 1e-9), np.inf)


def main() -> None:
    """Play what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the games")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--contestants", default=";".join(CONTESTANTS), help="separated by ;")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--summary", action="store_true", help="play nothing")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "games.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    found = {tuple(line["cell"]): line for line in lines}
    wanted = list(cells(options.cases.split(","), options.contestants.split(";"), options.seeds))
    missing = [cell for cell in wanted if cell not in found]
    if missing and not options.summary:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool, path.open("a") as handle:
            for i, game in enumerate(pool.imap_unordered(play_cell, missing)):
                handle.write(json.dumps(game) + "\n")
                handle.flush()
                found[tuple(game["cell"])] = game
                if (i + 1) % 20 == 0 or game["failed"]:
                    print(f"{i + 1} of {len(missing)} {game['cell']} {game['failed'][-300:]}", flush=True)
    found = {cell: found[cell] for cell in wanted if cell in found}
    n_failed = sum(bool(game["failed"]) for game in found.values())
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    head = [
        "# League of strategies",
        "",
        f"{date.today():%Y-%m-%d}, commit {told.stdout.strip()}, {machine_class()}, Python "
        f"{platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}.",
        f"Command: `python benchmarks/league.py --out DIR`; {options.seeds} seeds, {len(found)} games, of which "
        f"{n_failed} broke.",
        "",
        "Regret in sd of the true objective at the target over a swarm. Budgets: 4 (d + 1) trials of one size; with "
        f"two sizes the FLOPs of 2 (d + 1) target runs, {RATIO:g} proxies each (4 (d + 1) where the target alone is "
        "seen). Laws: `gp`, over two sizes `fidelity_gp`, unless the name says another. Noise of a run "
        f"is {NOISE:g} of the spread.",
        "",
        "## Several sizes against the target alone",
        "",
        *cheaper(found, "adaptive", "adaptive, target only"),
        *cheaper(found, "adaptive", "bayes, target only"),
        *cheaper(found, "bayes", "bayes, target only"),
        "",
        "## Cases",
        "",
        *summary(found),
    ]
    target = Path(__file__).parent / "results" / f"league_{machine_class()}_{date.today():%Y%m}.md"
    target.write_text("\n".join(head) + "\n")
    print("\n".join(head))
    print(target)


if __name__ == "__main__":
    main()
