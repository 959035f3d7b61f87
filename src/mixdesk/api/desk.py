"""The desk: one page from a study and its recipes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import plotly.graph_objects as go

from mixdesk.api.corpora import read_overlap
from mixdesk.api.exports import snippets
from mixdesk.api.laws import Evidence, compare_laws, gather_evidence
from mixdesk.api.recipes import as_made, read_recipe
from mixdesk.core.errors import InputError
from mixdesk.core.files import write_text
from mixdesk.core.objective import LeagueRow
from mixdesk.core.plan import Plug
from mixdesk.core.recipe import Recipe
from mixdesk.core.trial import StudyView
from mixdesk.report import doubt, panels
from mixdesk.report.both import Beside
from mixdesk.report.desk import Answer, render
from mixdesk.report.figures import Shared
from mixdesk.study.study import Study

# Laws beside which the page shows that of the recipe: `law compare` has all of them, and takes its time.
QUICK = ("exponential", "quadratic", "ridge", "linear")


def write_desk(
    study: Study,
    out: Path | str | None = None,
    *,
    recipes: Sequence[Recipe] | None = None,
    evidence: Sequence[Evidence] | None = None,
    beside: Study | None = None,
) -> Path:
    """Write the study's page (`desk.html` in its folder, or `out`) and return its path.

    Args:
        study: the study.
        out: where to write.
        recipes: headline first; default: the study's `recipe.json`, then its other `recipe*.json`. One without a law
            (a formula's, of too few runs) has nothing that the page could draw and is left out.
        evidence: per recipe, as `gather_evidence` returns it; default: gathered now.
        beside: a second study, whose verdict and recipe are set beside this one's.

    Raises:
        InputError: a recipe is over other domains than the study.
    """
    path = Path(out) if out is not None else study.folder / "desk.html"
    view, other = study.view(), None if beside is None else _beside(beside)
    answers = _answers(study, recipes, evidence)
    if answers:
        view = as_made(view, answers[0].recipe)
    write_text(path, render(view, answers, _shared(study), tiers=_tiers(view), beside=other))
    return path


def figures(study: Study, *, recipes: Sequence[Recipe] | None = None) -> dict[str, go.Figure]:
    """The desk's figures by name (predict, learned, curves, confirm, overlap), as Plotly figures to restyle.

    There are those that the study has data for: without a recipe that is `curves`. They have no background and stand
    on light and dark; the `meta` of a trace is its role
    (trial, recipe, rival, line, band, heat).

    Args:
        study: the study.
        recipes: as for `write_desk`.

    Raises:
        InputError: a recipe is over other domains than the study.
    """
    _, specs = doubt.section(study.view(), _answers(study, recipes, None), _shared(study))
    return {name.removeprefix("fig-"): panels.painted(spec) for name, spec in specs.items()}


def _answers(study: Study, recipes: Sequence[Recipe] | None, evidence: Sequence[Evidence] | None) -> tuple[Answer, ...]:
    """The answers that the desk shows, headline first; arguments and errors as `write_desk`."""
    if recipes is None:
        paths = sorted(study.folder.glob("recipe*.json"), key=lambda found: (found.name != "recipe.json", found.name))
        recipes = [read_recipe(found) for found in paths]
    recipes = [recipe for recipe in recipes if recipe.provenance.law]
    domains = set(study.view().domains)
    for recipe in recipes:
        strange = sorted(set(recipe.plan.schedule.domains) ^ domains)
        if strange:
            raise InputError(
                "the recipe is of another study",
                value=f"a recipe of `{recipe.provenance.study}`, where domain `{strange[0]}` is on one side alone",
                bound="the domains of this study: " + ", ".join(sorted(domains)),
                remedy="make the recipe again with `mixdesk recipe make`",
            )
    if evidence is None:
        evidence = [gather_evidence(study, law=r.provenance.law, objective=r.objective) for r in recipes]
    # The headline stands beside published laws that take no time; the further answers show their own alone.
    league: tuple[LeagueRow, ...] = ()
    if recipes:
        own = evidence[0].law
        laws = [own, *(Plug(name=name) for name in QUICK if name != own.name)]
        league = compare_laws(study, laws, objective=recipes[0].objective)[0]
    return tuple(
        Answer(
            recipe=recipe,
            browser=found.fit.browser(),
            rows=found.rows,
            scores=league if i == 0 else found.scores,
            snippets=snippets(study, recipe) if i == 0 else {},
        )
        for i, (recipe, found) in enumerate(zip(recipes, evidence, strict=True))
    )


def _beside(study: Study) -> Beside:
    """A second study with its recipe, where it has one."""
    path = study.folder / "recipe.json"
    return Beside(view=study.view(), recipe=read_recipe(path) if path.exists() else None)


def _tiers(view: StudyView) -> dict[str, str]:
    """Domain → licence tier where the corpus states licences, and the extra that reads them is installed."""
    if view.corpus is None or not any(domain.licenses for domain in view.corpus.domains):
        return {}
    if find_spec("license_expression") is None:
        return {}
    from mixdesk.corpus import licenses

    return licenses.tiers(view.corpus)


def _shared(study: Study) -> Shared | None:
    """What the domains of the study's corpus share, where that was measured and the corpus is there."""
    found = read_overlap(study.folder / study.config.corpus) if study.config.corpus is not None else None
    if found is None:
        return None
    leaked = list(zip(*found["leaked"], strict=True)) if found["sets"] else [()] * len(found["names"])
    return Shared(
        domains=tuple(found["names"]),
        sets=tuple(found["sets"]),
        share=tuple((*row, *sets) for row, sets in zip(found["windows"], leaked, strict=True)),
        n_words=found["window_words"],
        warnings=tuple(found["warnings"]),
    )
