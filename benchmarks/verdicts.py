"""Are verdicts right? Recipes made from swarms of worlds whose values are known, law and strategy as a user gets them.

    python benchmarks/verdicts.py [--law NAME] [--quick] [--show]

A case is a world, a swarm of n runs imported as a study, `mixdesk.make_recipe`, and the truth. Half of the studies have
natural, uniform and a swarm mixture run three times each, as a study that mixdesk designed has; the others are n
different mixtures, as imported ones mostly are. Half minimise the mean of four metrics, half one of them. Three kinds:

- *noise*: no law at all. Gate: ≥ 95 % "too weak".
- *small*: the best mixture is better than natural and uniform by at least 0.5, 1 or 2 sd of one run.
- *large*: by at least 4, 8 or 16 sd. Gate: ≥ 95 % not refused ("too weak"), where there are d + 2 mixtures at least:
  with fewer, refusing is the rule of `recipe/compose.py`.

Of the "better" verdicts of all kinds ≥ 90 % have to be true: the recipe's true value is better than that of natural and
of uniform. Beside the gates: how often the interval of a predicted comparison (95 %, difference of two runs) holds the
true difference, and the difference of two fresh runs. The full run (default) makes 360 recipes and writes
`benchmarks/results/verdicts_<law>_<machine class>_<yyyymm>.md`; `--quick` makes 22 and writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

import mixdesk as mx
from demo import machine_class
from mixdesk.core.objective import BEST_SEEN
from mixdesk.core.observations import Floats, Observations
from mixdesk.core.space import Constraints, Space
from mixdesk.testing.worlds import WORLDS, World, swarm

D, N = (5, 8, 17), (16, 32, 64, 128)
LAWFUL = tuple(name for name in WORLDS if name != "noise")
N_METRICS = 4
# True gain of the best mixture over the better of natural and uniform, in sd of one run's objective.
SMALL, LARGE = (0.5, 1.0, 2.0), (4.0, 8.0, 16.0)
# Mixtures run three times each, in studies with repeats.
N_REPEATED, N_REPLICATES = 3, 3
# Replicate of the fresh runs that a predicted difference is held against; no study has it.
FRESH = 7777
NAMES = ("too weak", "no different", "better", "worse")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question with a known answer: `gain` in sd of one run, 0 where there is no law."""

    world: str
    d: int
    n: int
    seed: int
    gain: float
    has_repeats: bool
    is_mean: bool

    @property
    def kind(self) -> str:
        """Noise, small or large."""
        return "noise" if self.gain == 0.0 else "small" if self.gain < LARGE[0] else "large"

    @property
    def n_mixtures(self) -> int:
        """Different mixtures among the n runs."""
        return self.n - N_REPEATED * (N_REPLICATES - 1) * self.has_repeats


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a case: verdict, whether the recipe truly beats both baselines, and its predicted differences."""

    case: Case
    verdict: str
    reason: str
    is_true: bool
    holds_true: tuple[bool, ...]
    holds_fresh: tuple[bool, ...]
    seconds: float


def cases(is_quick: bool) -> Iterator[Case]:
    """All cases, the same each time; seeds differ from case to case."""
    grid = list(itertools.product(D, N))
    lawful = list(itertools.product(LAWFUL, grid))
    plain = [("noise", cell) for cell in grid]
    if is_quick:  # one cell in eleven meets every world and most of the grid
        rounds = [((0.0,), plain[::2]), (SMALL, lawful[::11]), (LARGE, lawful[::11])]
    else:
        rounds = [((0.0,), plain * 9), (SMALL, lawful), (LARGE, lawful * 2)]
    asked = [(gains, world, d, n) for gains, cells in rounds for world, (d, n) in cells]
    for seed, (gains, world, d, n) in enumerate(asked):
        rng = np.random.default_rng(seed)
        yield Case(
            world=world,
            d=d,
            n=n,
            seed=seed,
            gain=float(rng.choice(gains)),
            has_repeats=bool(rng.integers(2)),
            is_mean=bool(rng.integers(2)),
        )


def build(case: Case) -> tuple[World, mx.Objective]:
    """The case's world, with the noise that makes the gain as large as it says, and the objective."""
    loud = WORLDS[case.world](case.d, N_METRICS, case.seed, 1.0)
    names = [metric.name for metric in loud.metrics]
    objective = mx.Objective(terms={name: 1.0 for name in (names if case.is_mean else names[:1])})
    if case.gain == 0.0:
        return loud, objective
    _, value = loud.optimum(objective, Space.build(Constraints(), loud.domains))
    rivals = objective.value(loud.value(baselines(loud)), loud.metrics)
    weights_m = objective.weights(loud.metrics) / objective.weights(loud.metrics).sum()
    sd = float(np.sqrt(((weights_m * loud.sd(swarm(loud, 256))) ** 2).sum(1).mean()))
    noise = (float(rivals.min()) - value) / (case.gain * sd)
    return WORLDS[case.world](case.d, N_METRICS, case.seed, noise), objective


def baselines(world: World) -> Floats:
    """Natural and uniform, (2, d)."""
    return np.vstack([world.natural_d, np.full(len(world.domains), 1.0 / len(world.domains))])


def runs(case: Case, world: World) -> Observations:
    """The n runs of a case."""
    W_nd = swarm(world, case.n_mixtures, case.seed)
    replicate_n = np.zeros(case.n, dtype=np.int64)
    if case.has_repeats:
        W_nd[: N_REPEATED - 1] = baselines(world)
        block = np.tile(W_nd[:N_REPEATED], (N_REPLICATES - 1, 1))
        replicate_n[case.n_mixtures :] = np.repeat(np.arange(1, N_REPLICATES), N_REPEATED)
        W_nd = np.vstack([W_nd, block])
    return world.observations(W_nd, replicate_n)


def study_of(case: Case, world: World, objective: mx.Objective, folder: Path) -> mx.Study:
    """The case's runs as two CSVs, imported."""
    obs = runs(case, world)
    ids = [f"run{i:03d}" for i in range(case.n)]
    weights = [
        [each, str(replicate), *map(repr, row)]
        for each, replicate, row in zip(ids, obs.replicate_n, obs.W_nd.tolist(), strict=True)
    ]
    measured = [[each, *map(repr, row)] for each, row in zip(ids, obs.Y_nm.tolist(), strict=True)]
    write(folder / "mixtures.csv", ["run", "replicate", *world.domains], weights)
    write(folder / "scores.csv", ["run", *(metric.name for metric in world.metrics)], measured)
    return mx.import_study(
        folder / "mixtures.csv",
        folder / "scores.csv",
        folder / "study",
        objective=objective,
        natural=dict(zip(world.domains, world.natural_d.tolist(), strict=True)),
        higher=[metric.name for metric in world.metrics if metric.better == "higher"],
    )


def write(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A CSV."""
    path.write_text("\n".join(",".join(row) for row in (head, *rows)) + "\n")


def answer(case: Case, law: str | None) -> Answer:
    """Make the recipe of a case and hold it against the truth."""
    world, objective = build(case)
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(case, world, objective, Path(folder))
        start = time.perf_counter()
        try:
            recipe = mx.make_recipe(study, law=law)
        except mx.NotEnoughEvidence as error:
            seconds = time.perf_counter() - start
            return Answer(
                case=case,
                verdict="too weak",
                reason=str(error),
                is_true=False,
                holds_true=(),
                holds_fresh=(),
                seconds=seconds,
            )
        finally:
            study.close()
        seconds = time.perf_counter() - start
    mixtures = {rival.name: rival.mixture for rival in recipe.rivals}
    mixtures["recipe"] = recipe.mixture
    true, fresh = {}, {}
    for name, mixture in mixtures.items():
        weights = np.array([mixture.over(world.domains)])
        true[name] = float(objective.value(world.value(weights), world.metrics)[0])
        run = world.measure(mixture, FRESH)
        measured = np.array([run[metric.name] for metric in world.metrics])
        fresh[name] = float(objective.value(measured, world.metrics))
    said = [c for c in recipe.comparisons if c.metric == "objective" and mixtures[c.rival] != recipe.mixture]
    return Answer(
        case=case,
        verdict=recipe.verdict.name,
        reason=recipe.verdict.reason,
        is_true=all(true["recipe"] < true[name] for name in mixtures if name not in ("recipe", BEST_SEEN)),
        holds_true=tuple(c.low <= true["recipe"] - true[c.rival] <= c.high for c in said),
        holds_fresh=tuple(c.low <= fresh["recipe"] - fresh[c.rival] <= c.high for c in said),
        seconds=seconds,
    )


def table(title: str, groups: dict[str, list[Answer]]) -> list[str]:
    """One row per group: how many of each verdict, how many of the better ones true, coverage, seconds."""
    lines = [
        f"| {title} | n | {' | '.join(NAMES)} | and true | truly better | holds true | holds fresh | s |",
        "| --- |" + " ---: |" * (len(NAMES) + 6),
    ]
    for name, found in groups.items():
        count = [sum(a.verdict == verdict for a in found) for verdict in NAMES]
        right = sum(a.verdict == "better" and a.is_true for a in found)
        held = [
            f"{np.mean(part):.2f}" if (part := [x for a in found for x in getattr(a, side)]) else "–"
            for side in ("holds_true", "holds_fresh")
        ]
        truly = np.mean([a.is_true for a in found])
        seconds = np.median([a.seconds for a in found])
        cells = [len(found), *count, right, f"{truly:.2f}", *held, f"{seconds:.1f}"]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def grouped(answers: Sequence[Answer], key: str) -> dict[str, list[Answer]]:
    """Answers by a property of their case: names in order of appearance, numbers by size."""
    values = list(dict.fromkeys(getattr(each.case, key) for each in answers))
    values = values if any(isinstance(value, str) for value in values) else sorted(values)
    return {str(value): [each for each in answers if getattr(each.case, key) == value] for value in values}


def gate(what: str, hits: Sequence[bool], least: float) -> str:
    """A line with the share and PASS or FAIL."""
    if not hits:
        return f"- {what}: no case"
    share = float(np.mean(hits))
    word = "PASS" if share >= least else "FAIL"
    return f"- {word}: {what}: {share:.3f} ({sum(hits)} of {len(hits)}; gate ≥ {least:.2f})"


def report(answers: Sequence[Answer]) -> list[str]:
    """Tables and gates."""
    by_kind = grouped(answers, "kind")
    large = [a for a in by_kind.get("large", []) if a.case.n_mixtures >= a.case.d + 2]
    reasons: dict[str, int] = {}
    for each in large:
        if each.verdict == "too weak":
            words = " ".join(each.reason.split(":")[0].split()[:9])
            reasons[words] = reasons.get(words, 0) + 1
    return [
        *table("kind", by_kind),
        *table("large, d + 2 mixtures or more: world", grouped(large, "world")),
        *table("large: gain in sd", grouped(large, "gain")),
        *table("large: runs", grouped(large, "n")),
        *table("large: domains", grouped(large, "d")),
        *table("large: repeats", grouped(large, "has_repeats")),
        *table("noise: runs", grouped(by_kind.get("noise", []), "n")),
        *table("noise: repeats", grouped(by_kind.get("noise", []), "has_repeats")),
        *(f"Refused, large: {count} times “{words} …”" for words, count in sorted(reasons.items())),
        "",
        gate("pure noise is too weak", [a.verdict == "too weak" for a in by_kind.get("noise", [])], 0.95),
        gate("a gain of 4 sd or more is not refused", [a.verdict != "too weak" for a in large], 0.95),
        gate("of the better verdicts are true", [a.is_true for a in answers if a.verdict == "better"], 0.90),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--law", help="name of a law (default: the study's)")
    parser.add_argument("--quick", action="store_true", help="22 recipes, no results file")
    parser.add_argument("--show", action="store_true", help="one line per recipe")
    options = parser.parse_args()
    start, answers = time.perf_counter(), []
    for case in cases(options.quick):
        answers.append(answer(case, options.law))
        if options.show:
            a = answers[-1]
            print(f"{case} {a.verdict} {a.is_true} {a.holds_true} {a.seconds:.1f} s. {a.reason}", flush=True)
    law = options.law or mx.StudyConfig(name="default", objective=mx.Objective(terms={"*": 1.0})).law.name
    lines = [
        "# Are verdicts right?",
        "",
        f"Command: `python benchmarks/verdicts.py{f' --law {options.law}' if options.law else ''}`. {date.today()}, "
        f"{machine_class()}, {time.perf_counter() - start:.0f} s on the clock.",
        f"Versions: mixdesk {mx.__version__}, numpy {np.__version__}. Law {law}, strategy of a study that is imported.",
        "“And true”: “better” and truly better than natural and uniform; “truly better”: share of all recipes that "
        "are, whatever the verdict. “Holds true”, “holds fresh”: shares of 95 % intervals of predicted differences "
        "that hold the true difference, and that of two fresh runs. s: median seconds of `make_recipe`.",
        "",
        *report(answers),
    ]
    print("\n".join(lines))
    if not options.quick:
        out = Path(__file__).parent / "results" / f"verdicts_{law}_{machine_class()}_{date.today():%Y%m}.md"
        out.write_text("\n".join(lines) + "\n")
        print(out)


if __name__ == "__main__":
    main()
