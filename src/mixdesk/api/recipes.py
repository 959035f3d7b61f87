"""Recipes: make, confirm, read."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mixdesk import __version__
from mixdesk.api.laws import Evidence, gather_evidence, plug_of, save_fit
from mixdesk.api.studies import make_trainer
from mixdesk.core import registry
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.files import read_json, write_json
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Progress
from mixdesk.core.recipe import RIVALS, Recipe
from mixdesk.recipe import compose
from mixdesk.study import local
from mixdesk.study.study import Study


def make_recipe(
    study: Study,
    *,
    objective: Objective | None = None,
    law: Plug | str | None = None,
    strategy: Plug | str | None = None,
    evidence: Evidence | None = None,
    out: Path | str | None = None,
) -> Recipe:
    """The recipe of a study: fit a law, search it under the constraints, compare with every rival, judge.

    Writes `recipe.json` into the study (or to `out`), and the law beside it as `laws/<name>.json`. A refusal is a
    recipe too: read `recipe.verdict`.

    Raises:
        NotEnoughEvidence: too few finished trials to fit the law at all.
        Infeasible: no mixture satisfies the constraints.
    """
    found = evidence or gather_evidence(study, law=law, objective=objective)
    plug = plug_of(strategy, study.config.strategy)
    chooser = registry.make("strategies", plug)
    view = dataclasses.replace(study.view(), objective=found.objective)
    recipe = compose.compose(
        view,
        found.fit,
        chooser.recommend(view, found.fit),
        found.scores,
        law=found.law.name,
        strategy=plug.name,
        version=__version__,
        references=tuple(key for key in (chooser.reference, registry.part("laws", found.law.name).reference) if key),
    )
    with contextlib.suppress(NotEnoughEvidence):  # the plan may have been trained by an earlier confirmation
        recipe = compose.confirmed(recipe, view)
    save_fit(study, found.fit, found.law)
    write_json(Path(out) if out is not None else study.folder / "recipe.json", recipe)
    return recipe


def confirm_recipe(
    study: Study,
    recipe: Recipe,
    *,
    replicates: int = compose.FIRM_PAIRS,
    rivals: Sequence[str] = RIVALS,
    jobs: int | None = None,
    progress: Progress | None = None,
    out: Path | str | None = None,
) -> Recipe:
    """Train the recipe and its rivals at the target rung with fresh replicates, compare in pairs, judge again.

    `rivals` names those to train; the baselines natural and uniform are needed for a verdict.
    What was trained already is not trained again; an interrupted confirmation goes on where it stopped.
    Writes `recipe.json` into the study (or to `out`).

    Raises:
        InputError: the study has no trainer or no size to train at, or fewer than 2 replicates are asked.
        NotEnoughEvidence: fewer than 2 replicates of the recipe and of some baseline came to an end.
    """
    view = dataclasses.replace(study.view(), objective=recipe.objective)
    proposals = compose.fresh_proposals(recipe, view, replicates, rivals)
    trainer = make_trainer(study)
    try:
        specs = study.ask(proposals)
        local.run_specs(study, trainer, specs, jobs=jobs, progress=progress)
    finally:
        trainer.close()
    recipe = compose.confirmed(recipe, dataclasses.replace(study.view(), objective=recipe.objective))
    write_json(Path(out) if out is not None else study.folder / "recipe.json", recipe)
    return recipe


def read_recipe(path: Path | str) -> Recipe:
    """A recipe from its file, or from the study folder that holds it.

    Raises:
        InputError: there is none, or it is not a recipe.
    """
    path = Path(path) / "recipe.json" if Path(path).is_dir() else Path(path)
    if not path.exists():
        raise InputError(
            f"there is no recipe at `{path}`",
            value="no such file",
            bound="a recipe.json",
            remedy="make one with `mixdesk recipe make`",
        )
    return read_json(path, Recipe)
