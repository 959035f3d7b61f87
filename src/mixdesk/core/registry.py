"""Part tables and outside plug-ins: the one dynamic door between rooms.

Each room of parts has a table `PARTS = {name: "module:Class"}` in its `__init__`; nothing is imported until a part is
asked for by name. Outsiders register entry points in the group `mixdesk.<kind>`.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import MISSING, fields
from importlib.metadata import entry_points
from typing import Any

from mixdesk.core.checks import nearest, one_of
from mixdesk.core.errors import InputError, MissingExtra
from mixdesk.core.plan import Plug

# kind → room. The kind's name is also the entry-point group, `mixdesk.laws` and so on.
ROOMS = {
    "laws": "laws",
    "strategies": "search",
    "trainers": "trainers",
    "splitters": "domains",
    "scorers": "domains.scores",
    "steps": "corpus.steps",
    "formats": "corpus.formats",
    "exporters": "export",
}
# Third-party modules that a part or runner may need → the extra that brings them.
EXTRAS = {
    "torch": "train",
    "safetensors": "train",
    "tokenizers": "corpus",
    "tiktoken": "corpus",
    "rensa": "corpus",
    "sklearn": "corpus",
    "ftfy": "corpus",
    "py3langid": "corpus",
    "license_expression": "corpus",
    "joblib": "corpus",
    "resiliparse": "corpus",
    "fastwarc": "corpus",
    "botorch": "bayes",
    "gpytorch": "bayes",
    "ray": "cluster",
    "yaml": "export",
}


def names(kind: str, *, outside: bool = False) -> tuple[str, ...]:
    """Names of the parts of a kind in table order; with `outside`, installed plug-ins too (a slow scan)."""
    table = _table(kind)
    found = tuple(table)
    if outside:
        found += tuple(sorted(e.name for e in entry_points(group=f"mixdesk.{kind}") if e.name not in table))
    return found


def part(kind: str, name: str) -> Any:
    """The class of a part.

    Raises:
        InputError: no such part, here or outside.
        MissingExtra: the part needs a package that is not installed.
    """
    table = _table(kind)
    try:
        if name in table:
            module, _, attribute = table[name].partition(":")
            return getattr(importlib.import_module(f"mixdesk.{ROOMS[kind]}.{module}"), attribute)
        for entry in entry_points(group=f"mixdesk.{kind}"):
            if entry.name == name:
                return entry.load()
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in EXTRAS:
            raise MissingExtra(package, EXTRAS[package]) from error
        raise
    raise InputError(
        f"unknown part `{name}` of kind {kind}",
        value=name,
        bound="one of " + ", ".join(table),
        remedy=nearest(name, table),
    )


def require(*packages: str) -> None:
    """Check that optional packages are installed, without importing them.

    Raises:
        MissingExtra: one is not; names the extra that brings it.
    """
    for package in packages:
        try:
            is_there = importlib.util.find_spec(package) is not None
        except ModuleNotFoundError:
            is_there = False
        if not is_there:
            raise MissingExtra(package, EXTRAS[package])


def make(kind: str, plug: Plug, **context: Any) -> Any:
    """An instance of the part that `plug` names; `context` adds constructor fields that configuration cannot hold.

    Raises:
        InputError: an option the part does not have, one that it needs and is not given, or a value it refuses.
    """
    cls = part(kind, plug.name)
    known = [f.name for f in fields(cls) if f.init]
    for key, _ in plug.options:
        if key not in known:
            raise InputError(
                f"`{plug.name}` has no option `{key}`",
                value=key,
                bound="one of " + (", ".join(known) or "none at all"),
                remedy=nearest(key, known),
            )
    given = {**dict(plug.options), **{k: v for k, v in context.items() if k in known}}
    for one in fields(cls):
        if one.init and one.name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise InputError(
                f"`{plug.name}` needs the option `{one.name}`",
                value=", ".join(given) or "no option",
                bound=f"a value for `{one.name}`",
                remedy=f"add `{one.name}`",
            )
    return cls(**given)


def _table(kind: str) -> dict[str, str]:
    one_of("kind", kind, ROOMS)
    table: dict[str, str] = importlib.import_module(f"mixdesk.{ROOMS[kind]}").PARTS
    return table
