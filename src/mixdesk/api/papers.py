"""The offline catalogue: paper, parts, modules, tests and what was measured."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError
from mixdesk.core.files import from_data
from mixdesk.core.paper import CatalogueEntry, Method, read_papers

# `scripts/papers.py` makes it of the part tables and result files.
METHODS = "methods.json"


def read_methods() -> tuple[Method, ...]:
    """Every part that ships, with its measured figures, in the order of the part tables."""
    rows = json.loads((files("mixdesk") / METHODS).read_text(encoding="utf-8"))["methods"]
    return tuple(from_data(Method, row, METHODS) for row in rows)


def find_papers(search: str = "") -> tuple[CatalogueEntry, ...]:
    """Entries that hold every word of `search` in a name, title, author or module; all of them without a word.

    Papers come first, each with the parts that cite it or are made of its modules, then parts without a paper.

    >>> find_papers("knowles")[0].name
    'ParEGO'

    Raises:
        InputError: nothing has all the words; names the nearest word.
    """
    papers, methods = read_papers(), read_methods()
    entries = [
        CatalogueEntry(
            paper=paper, methods=tuple(m for m in methods if m.paper == paper.key or m.module in paper.modules)
        )
        for paper in papers
    ]
    shown = {(method.kind, method.name) for entry in entries for method in entry.methods}
    entries += [CatalogueEntry(paper=None, methods=(m,)) for m in methods if (m.kind, m.name) not in shown]
    wanted = search.casefold().split()
    found = tuple(e for e in entries if all(word in "\n".join(e.texts()).casefold() for word in wanted))
    if found:
        return found
    text = "\n".join(text for entry in entries for text in entry.texts()).casefold()
    missing = next((word for word in wanted if word not in text), None)
    words = dict.fromkeys(re.findall(r"\w{3,}", text))
    raise InputError(
        "nothing found in the catalogue",
        value=search,
        bound=f"words of a name, title, author or module of its {len(entries)} entries",
        remedy="each word is there, but not together" if missing is None else nearest(missing, words),
    )
