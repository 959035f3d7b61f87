"""The catalogue of methods: papers, the parts that realise them, and what was measured of each."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from mixdesk.core.checks import core_type, finite
from mixdesk.core.files import from_data

# Written by hand.
REFERENCES = "references.toml"


@core_type
class Paper:
    """One paper that mixdesk realises, cites, or means to realise: a table of `references.toml`."""

    key: str
    """What code cites it by."""
    name: str
    """What people call it."""
    title: str
    number: int = 0
    """Place in the reading list that started the project; 0: not in it."""
    authors: str = ""
    """Only where they were looked up."""
    arxiv: str = ""
    id_status: Literal["", "printed", "verified", "memory"] = ""
    """How the id is known: printed in the list, verified by look-up, or from memory."""
    link: str = ""
    """Its code or page, or the journal."""
    figures: str = ""
    """What its abstract claims, as it says it."""
    status: Literal["built", "not built"]
    note: str = ""
    """Why it is not built."""
    modules: tuple[str, ...] = ()
    """Where it is built."""
    tests: tuple[str, ...] = ()
    """What proves it: paths in the repository."""
    results: tuple[str, ...] = ()
    """Files of ours that show it beside its baselines: paths in the repository."""
    deviation: str = ""
    """What we do differently."""


@core_type
class Measured:
    """One number of a benchmark's result file, taken out by a script."""

    quantity: str
    """What was measured, with its unit."""
    on: str
    """What it was measured on."""
    value: float
    source: str
    """The result file: a path in the repository."""

    def __post_init__(self) -> None:
        finite("value", self.value)


@core_type
class Method:
    """One part that ships: a row of a part table, with what the benchmarks say of it."""

    kind: str
    name: str
    title: str
    module: str
    paper: str = ""
    """Key of the paper it cites; empty: ours, or nobody's."""
    measured: tuple[Measured, ...] = ()


@core_type
class CatalogueEntry:
    """A paper with the parts that realise it, or a part without a paper."""

    paper: Paper | None
    methods: tuple[Method, ...]

    @property
    def name(self) -> str:
        """What the entry is called."""
        return self.paper.name if self.paper is not None else self.methods[0].name

    def texts(self) -> tuple[str, ...]:
        """Every name, title, author and module that a search looks at."""
        paper = self.paper
        said = () if paper is None else (paper.key, paper.name, paper.title, paper.authors, paper.arxiv, *paper.modules)
        return (*said, *(text for one in self.methods for text in (one.kind, one.name, one.title, one.module)))


@cache
def read_papers() -> tuple[Paper, ...]:
    """Every paper of the catalogue, in the order of `references.toml`."""
    tables = tomllib.loads((files("mixdesk") / REFERENCES).read_text(encoding="utf-8"))
    return tuple(from_data(Paper, {"key": key, **table}, f"{REFERENCES}: {key}") for key, table in tables.items())
