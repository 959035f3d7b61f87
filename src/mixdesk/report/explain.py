"""What a figure's menu explains: its formula in one line, the law behind it, its papers, what we do differently.

Of a law: the first indented line of its module's docstring, its `title`, and the sentence there that begins with "What
we do differently". Of papers: their titles in `references.toml`.
"""

from __future__ import annotations

import re
import sys

from mixdesk.core import registry
from mixdesk.core.errors import MixdeskError
from mixdesk.core.paper import read_papers
from mixdesk.report.figures import Answer

Rows = list[tuple[str, str]]

# Figures of the law, by their elements, each with what it draws.
OF_THE_LAW = {
    "fig-predict": "predicted by a fit that had not seen the trial's mixture; error = √ mean (measured − predicted)²",
    "fig-residuals": "measured − predicted, by a fit that had not seen the trial's mixture",
    "fig-coverage": "share of trials with low ≤ measured ≤ high; grey: 2.5 % and 97.5 % points of a binomial of n",
    "fig-learned": "error out of fold over the number of mixtures fitted, and its forecast with more",
    "effects": "objective at ((1 − x) · the others in their proportions + x · this one), x from 0",
}
# Figures of the runs themselves.
OF_THE_RUNS = {
    "fig-curves": "the objective at each measured point, one line per run",
    "fig-confirm": "mean over replicates of (recipe − rival), interval by Student's t; pairs share their randomness",
    "fig-tried": "height = √weight per axis; the last axis is the objective, best on top",
    "fig-tradeoff": "the steps join trials that no other beats in both metrics",
    "fig-overlap": "windows of words of the row's text that the column has too ÷ windows of the row's text",
}
OURS = "what we do differently"


def explained(answer: Answer | None) -> dict[str, Rows]:
    """Figure's element → (term, text) pairs, plain text."""
    out: dict[str, Rows] = {
        figure: [("drawn", drawn), ("paper", "none: runs as they were measured")]
        for figure, drawn in OF_THE_RUNS.items()
    }
    if answer is not None:
        law = _law(answer.recipe.provenance.law) + [
            ("paper", _paper(key)) for key in answer.recipe.provenance.references
        ]
        out |= {figure: [("drawn", drawn), *law] for figure, drawn in OF_THE_LAW.items()}
    return out


def _law(name: str) -> Rows:
    """Title, formula and difference of a law; its name alone where the registry does not know it."""
    try:
        part = registry.part("laws", name)
    except MixdeskError:
        return [("law", name)]
    doc = sys.modules[part.__module__].__doc__ or ""
    formula = next((line.strip() for line in doc.splitlines() if line.startswith("    ")), "")
    formula = re.sub(",? {3,}", ", ", formula)
    prose = " ".join(doc.split())
    at = prose.lower().find(OURS + ":")
    rows = [("law", f"{name}: {part.title}"), ("formula", formula)]
    rows.append((OURS, prose[at + len(OURS) + 1 :].strip() if at >= 0 else ""))
    return [(term, text) for term, text in rows if text]


def _paper(key: str) -> str:
    """Title and arXiv id of a paper; its key where the catalogue does not hold it."""
    found = next((paper for paper in read_papers() if paper.key == key), None)
    if found is None:
        return key
    return found.title + (f", arXiv {found.arxiv}" if found.arxiv else "")
