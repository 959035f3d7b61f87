"""Objects that show themselves in Jupyter: formatters for an IPython that runs; nothing is imported where none does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mixdesk.core.errors import MixdeskError
from mixdesk.core.observations import Inputs
from mixdesk.core.protocols import LawFit
from mixdesk.report import notebook

if TYPE_CHECKING:
    from mixdesk.api.laws import Evidence
    from mixdesk.study.study import Study


def show_in_notebooks() -> None:
    """Tell a running IPython how a study, a recipe, a corpus and a scored law look."""
    formatter = _formatter()
    if formatter is None:
        return
    for module, kind, draw in (
        ("mixdesk.study.study", "Study", _study),
        ("mixdesk.core.trial", "StudyView", notebook.study),
        ("mixdesk.core.recipe", "Recipe", notebook.recipe),
        ("mixdesk.core.corpus", "Corpus", notebook.corpus),
        ("mixdesk.api.laws", "Evidence", _evidence),
    ):
        formatter.for_type_by_name(module, kind, _guarded(draw))


def show_fit(fit: LawFit) -> None:
    """The same for the type of a fitted law, of which outsiders may bring their own."""
    formatter = _formatter()
    if formatter is not None:
        formatter.for_type(type(fit), _guarded(_fit))


def _formatter() -> Any:
    """IPython's formatter of HTML; None where no IPython runs."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return None if shell is None else shell.display_formatter.formatters["text/html"]


def _guarded(draw: Callable[[Any], str]) -> Callable[[Any], str | None]:
    """None, which IPython takes for no HTML, where the object has nothing to show, such as a closed study."""

    def drawn(thing: Any) -> str | None:
        try:
            return draw(thing)
        except MixdeskError:
            return None

    return drawn


def _study(study: Study) -> str:
    return notebook.study(study.view())


def _evidence(evidence: Evidence) -> str:
    return notebook.scores(evidence.law.name, evidence.scores, evidence.fit.domains)


def _fit(fit: LawFit) -> str:
    d = len(fit.domains)
    said = fit.predict(Inputs.of(fit.domains, np.full((1, d), 1.0 / d), {}))
    return notebook.fit(str(fit.browser()["form"]), sorted(fit.domains), said)
