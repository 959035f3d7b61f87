"""What cheap fidelities save: FLOPs until the same verdict, with full runs alone, successive halving, and merges.

    python benchmarks/cheap.py [FOLDER] [--seeds N] [--jobs N]

Text, model and question are the demo's: which mixture of the domains of this Python best teaches its manual, held out
whole. Three ways to spend a budget, counted in full runs (a demo proxy):

- *full*: the design in full runs (strategy `exact`).
- *halving*: the same in quarter-length runs, the better half again in full (`halving`).
- *merge*: a quarter-length base, a quarter-length part per domain from it, 32 mixtures by merging, the best in full
  runs, up to the budget (`merge`).

A verdict counts when the law predicts the recipe to be better than natural, the recipe is not "too weak", and fresh
full runs (5 pairs, replicates no proxy has) say better with an interval that excludes 0. Each way is given the budgets
`STEPS` in turn, as a study of its own, until its verdict counts; its price is what that study spent (training; for
merges, evaluation). The fresh runs cost all the same and are not in it.

Answers are kept by trial id under FOLDER/trials: a question that two studies ask is trained once, and a run that was
interrupted goes on. Writes `benchmarks/results/cheap_<machine class>_<yyyymm>.md`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import ClassVar

import numpy as np

import mixdesk as mx
from demo import machine_class
from mixdesk.api.corpora import installed_documents, manual_documents
from mixdesk.api.demo import HYPER, MANUAL, MODEL
from mixdesk.api.studies import make_strategy
from mixdesk.core.files import read_json, write_json
from mixdesk.core.plan import Plug, TrialSpec
from mixdesk.core.recipe import NATURAL, UNIFORM
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Event, Result
from mixdesk.recipe.confirm import confirmed, fresh_proposals
from mixdesk.search.merge import agreement
from mixdesk.study import local
from mixdesk.study.config import StudyConfig
from mixdesk.trainers.builtin import Builtin

# Budgets in full runs, one after the other.
STEPS = (4, 6, 8, 12, 16, 24, 38)
N_TOKENS = 160 * HYPER.batch_tokens
PAIRS = 5


def rung(label: str, part: int = 1) -> Rung:
    """A run of 1 / part of the length of a full one; domains are as scarce in it as in a target four times as long."""
    scale, share = Scale(n_tokens=N_TOKENS // part), 1 / (4 * part)
    return Rung(label=label, model=MODEL, hyper=HYPER, scale=scale, unique_share=share)


WAYS = {
    "full": (Plug(name="exact", options=(("kl", 0.001),)), (rung("full"),)),
    "halving": (Plug(name="halving"), (rung("quarter", 4), rung("full"))),
    "merge": (Plug(name="merge"), (rung("quarter", 4), rung("full"))),
}


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The built-in trainer with one folder of answers and models for all studies."""

    title: ClassVar[str] = "answers shared by trial id"
    reference: ClassVar[str] = ""

    folder: Path
    builtin: Builtin

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """The answer that is there, or a new one."""
        path = self.folder / spec.id / "answer.json"
        if not path.exists():
            write_json(path, self.builtin.train(spec, path.parent, report))
        return read_json(path, Result)

    def close(self) -> None:
        """End the workers."""
        self.builtin.close()


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a way paid for its verdict with one seed; `runs` is the price in full runs, infinite without a verdict."""

    seed: int
    way: str
    runs: float = np.inf
    trials: int = 0
    words: str = "no verdict within the largest budget"
    tried: list[str] = field(default_factory=list)


def study_of(folder: Path, way: str, seed: int, step: int) -> mx.Study:
    """The study of one way, seed and budget."""
    strategy, rungs = WAYS[way]
    config = StudyConfig(
        name=f"{way}, {step} runs, seed {seed}",
        corpus="../../corpus",
        objective=MANUAL,
        rungs=(*rungs, rung("target")),
        constraints=Constraints(max_epochs=1.0),
        strategy=strategy,
        law=Plug(name="exponential"),
        # A design of full runs is laid out for its number of trials; the others choose their numbers by price.
        budget=Budget(n_trials=step) if way == "full" else Budget(flops=step * MODEL.flops_per_token * N_TOKENS),
        trainer=Plug(name="builtin"),
        seed=seed,
    )
    place = folder / f"seed-{seed}" / f"{way}-{step}"
    place.mkdir(parents=True, exist_ok=True)
    return mx.new_study(place, config)


def verdict(study: mx.Study, trainer: Shared, jobs: int) -> tuple[bool, str]:
    """Whether a study's verdict counts, and what was found."""
    local.run(study, make_strategy(study.config), trainer, jobs=jobs)
    try:
        recipe = mx.make_recipe(study)
    except mx.NotEnoughEvidence as error:
        return False, str(error).split(";")[0]
    # A recipe that was confirmed before has trained comparisons too.
    said = next(c for c in recipe.comparisons if (c.rival, c.metric, c.basis) == (NATURAL, "objective", "predicted"))
    if recipe.verdict.name == "too weak" or said.verdict != "better":
        return False, f"predicted: {'too weak' if recipe.verdict.name == 'too weak' else said.verdict}"
    specs = study.ask(fresh_proposals(recipe, study.view(), PAIRS, (NATURAL, UNIFORM)))
    local.run_specs(study, trainer, specs, jobs=jobs)
    trained = confirmed(recipe, study.view()).against(NATURAL)
    assert trained is not None
    words = f"{trained.difference:+.3f} [{trained.low:+.3f}, {trained.high:+.3f}], predicted {said.difference:+.3f}"
    agreed = agreement(study.view())
    words += f"; merges: Spearman {agreed.rank:.2f} over {agreed.n}" if agreed.n else ""
    return trained.verdict == "better", words


def row_of(folder: Path, way: str, seed: int, trainer: Shared, jobs: int) -> Row:
    """Go through the budgets until the verdict counts."""
    tried: list[str] = []
    for step in STEPS:
        with study_of(folder, way, seed, step) as study:
            counts, words = verdict(study, trainer, jobs)
            tried.append(f"{step}: {words}")
            proxies = study.view().proxies
            spent = sum(trial.flops or 0.0 for trial in proxies) / (MODEL.flops_per_token * N_TOKENS)
            if counts:
                return Row(seed=seed, way=way, runs=spent, trials=len(proxies), words=words, tried=tried)
    return Row(seed=seed, way=way, tried=tried)


def report(rows: list[Row]) -> list[str]:
    """The table and the ratios."""
    lines = [
        "| seed | way | full runs paid | trials | recipe − natural, trained |",
        "| ---: | --- | ---: | ---: | --- |",
    ]
    lines += [f"| {r.seed} | {r.way} | {r.runs:.2f} | {r.trials} | {r.words} |" for r in rows]
    paid = {way: {r.seed: r.runs for r in rows if r.way == way} for way in WAYS}
    lines.append("")
    for way in list(WAYS)[1:]:
        ratios = [paid["full"][seed] / paid[way][seed] for seed in paid[way] if np.isfinite(paid[way][seed])]
        median = f"{np.median(ratios):.2f}" if ratios else "–"
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"- {way}: full runs alone pay {median} times as much (median of {len(ratios)} seeds: {each})")
    lines += ["", *(f"- seed {r.seed}, {r.way}: {' · '.join(r.tried)}" for r in rows)]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("cheap"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    start, folder = time.perf_counter(), options.folder
    evals = {"manual": manual_documents()}
    mx.build_corpus(installed_documents(), folder / "corpus", vocab_size=MODEL.vocab_size, evals=evals)
    builtin = Builtin(corpus=str(folder / "corpus"), keep=True)
    trainer, rows = Shared(folder=folder / "trials", builtin=builtin), []
    try:
        for seed in range(options.seeds):
            for way in WAYS:
                rows.append(row_of(folder, way, seed, trainer, options.jobs))
                r, seconds = rows[-1], time.perf_counter() - start
                print(f"seed {seed} {way}: {r.runs:.2f} full runs, {r.words} ({seconds:.0f} s)", flush=True)
    finally:
        trainer.close()
    lines = [
        "# What cheap fidelities save",
        "",
        f"Command: `python benchmarks/cheap.py --seeds {options.seeds}`. {date.today()}, {machine_class()}, "
        f"{time.perf_counter() - start:.0f} s on the clock (answers that were there already were not trained again).",
        f"Version: mixdesk {mx.__version__}. Law exponential; budgets in full runs: {', '.join(map(str, STEPS))}; bits "
        f"per byte of the manual, {PAIRS} fresh pairs, negative favours the recipe.",
        "",
        *report(rows),
    ]
    print("\n".join(lines))
    out = Path(__file__).parent / "results" / f"cheap_{machine_class()}_{date.today():%Y%m}.md"
    out.write_text("\n".join(lines) + "\n")
    print(out)


if __name__ == "__main__":
    main()
