"""What a shell completes beside files: names from the tables of parts, without loading a part."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mixdesk.core import registry

Complete = Callable[[str], list[str]]


def parts(kind: str) -> Complete:
    """Completes the name of a part of a kind."""

    def complete(incomplete: str) -> list[str]:
        return _begun(registry.names(kind), incomplete)

    return complete


def several(kind: str) -> Complete:
    """Completes the last of several names with commas between."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + name for name in _begun(registry.names(kind), last)]

    return complete


def words(*known: str) -> Complete:
    """Completes one of some words."""

    def complete(incomplete: str) -> list[str]:
        return _begun(known, incomplete)

    return complete


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


LAWS, SEVERAL_LAWS, STRATEGIES = parts("laws"), several("laws"), parts("strategies")
SPLITTERS, STEPS, FORMATS = parts("splitters"), parts("steps"), parts("formats")
EXPORTERS = parts("exporters")
KINDS, RUNNERS, TOKENIZERS = words(*registry.ROOMS), words("local", "ray"), words("bpe", "bytes")
