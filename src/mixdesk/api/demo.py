"""`mixdesk demo`: the whole spine on text found on this machine. Every step is a public call; see docs/demo.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mixdesk.api.corpora import build_corpus, installed_documents, manual_documents
from mixdesk.api.desk import write_desk
from mixdesk.api.laws import Evidence, gather_evidence
from mixdesk.api.recipes import confirm_recipe, make_recipe
from mixdesk.api.studies import new_study, run_study
from mixdesk.core import registry
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Progress
from mixdesk.core.recipe import NATURAL, RIVALS, UNIFORM, Recipe
from mixdesk.core.scale import Budget, Hyper, ModelSpec, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.study.config import StudyConfig
from mixdesk.study.study import Study

# The smallest width at which matrix products are efficient on a CPU; the vocabulary suits 0.2 MB of text a trial.
MODEL = ModelSpec(n_layers=2, d_model=64, n_heads=2, vocab_size=2048, seq_len=128)
# Small batches: at this budget the number of steps is what is short.
HYPER = Hyper(lr=0.02, batch_tokens=512)
# The target run has this many times the proxies' FLOPs (the same model on as many times the tokens).
TARGET_RATIO = 4
MANUAL = Objective(terms=(("bpb/set/manual", 1.0),))
MEAN = Objective(terms=(("bpb/domain/*", 1.0),))
QUICK_DOMAINS = ("code/library", "meta/record", "prose/docstrings", "tables/decimal")


def demo(
    out: Path | str = "demo",
    *,
    quick: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Which mixture of eight domains best teaches the Python language manual, held out whole? Returns the desk's path.

    Args:
        out: folder to write; a demo that was interrupted there goes on.
        quick: four domains, 16 mixtures, one objective, 3 replicates.
        jobs: workers of one thread each; default: all cores.
        progress: called with (what, done, total).
        say: prints a line.
    """
    registry.require("tokenizers", "torch", "safetensors")
    out, start = Path(out), time.monotonic()
    say("1  Text: domains of this Python and its packages; the language manual is held out whole.")
    documents = installed_documents(QUICK_DOMAINS if quick else None)
    corpus = build_corpus(
        documents, out / "corpus", vocab_size=MODEL.vocab_size, evals={"manual": manual_documents()}, progress=progress
    )
    for domain in corpus.domains:
        say(f"   {domain.name:18} {domain.n_tokens or 0:9,} tokens")
    study = new_study(out, demo_config(quick))
    n_trials = study.config.budget.n_trials if study.config.budget is not None else 0
    say(f"2  Population: {n_trials} proxies of {MODEL.n_params:,} parameters on sampled mixtures.")
    run_study(study, jobs=jobs, progress=progress)
    for noise in study.view().noise():
        say(f"   {noise.metric:28} spread {noise.spread:.3f}, noise {noise.within:.3f}, ratio {noise.ratio:.1f}")
    say("3  Law, recipe, confirmation.")
    evidence = [gather_evidence(study, objective=objective) for objective in ([MANUAL] if quick else [MANUAL, MEAN])]
    answers = [_answer(study, found, quick, jobs, progress, say) for found in evidence]
    page = write_desk(study, recipes=answers, evidence=evidence)
    say(f"4  Done in {time.monotonic() - start:.0f} s. For people: {page}. For programs: {out / 'recipe.json'}.")
    return page


def demo_config(quick: bool = False) -> StudyConfig:
    """The demo's study: proxies at simulated epochs, a target of four times their FLOPs, max 4 epochs there."""
    n_tokens = HYPER.batch_tokens * (80 if quick else 160)
    return StudyConfig(
        name="quick demo" if quick else "demo",
        corpus="corpus",
        objective=MANUAL,
        rungs=(
            Rung(
                label="proxy",
                model=MODEL,
                hyper=HYPER,
                scale=Scale(n_tokens=n_tokens),
                unique_share=1 / TARGET_RATIO,
            ),
            Rung(
                label="target",
                model=MODEL,
                hyper=HYPER,
                scale=Scale(n_tokens=TARGET_RATIO * n_tokens),
            ),
        ),
        constraints=Constraints(max_epochs=4.0),
        # One question about one held-out set is worth moving far for: the pull to natural only breaks ties.
        strategy=Plug(name="exact", options=(("kl", 0.001),)),
        budget=Budget(n_trials=22 if quick else 38),
        trainer=Plug(name="builtin"),
    )


def _answer(
    study: Study,
    evidence: Evidence,
    quick: bool,
    jobs: int | None,
    progress: Progress | None,
    say: Callable[[str], None],
) -> Recipe:
    """Make and confirm the recipe of one objective; the headline's is the study's `recipe.json`."""
    objective = evidence.objective
    out = study.folder / ("recipe.json" if objective == MANUAL else "recipe-mean.json")
    recipe = make_recipe(study, evidence=evidence, out=out)
    # The best mixture seen is trained for the headline only: the second question asks about the baselines.
    rivals = RIVALS if objective == MANUAL else (NATURAL, UNIFORM)
    replicates = 3 if quick else 5
    recipe = confirm_recipe(study, recipe, replicates=replicates, rivals=rivals, jobs=jobs, progress=progress, out=out)
    say(f"   Objective: {objective.title}")
    epochs = dict(recipe.epochs)
    natural = next(rival.mixture for rival in recipe.rivals if rival.name == NATURAL).as_dict()
    for name, weight in sorted(recipe.mixture.as_dict().items(), key=lambda item: -item[1]):
        say(f"      {name:18} {weight:6.1%}   natural {natural[name]:6.1%}   {epochs[name]:.1f} epochs")
    for c in sorted(recipe.comparisons, key=lambda c: c.rival):
        if c.metric == "objective" and c.rival in (NATURAL, UNIFORM):
            interval = f"{c.difference:+.4f}  [{c.low:+.4f}, {c.high:+.4f}]"
            say(f"      {c.basis:9} against {c.rival:8} {interval}  {c.verdict}")
    say(f"      {recipe.verdict.headline}")
    return recipe
