"""How a core type is declared, and the checks its constructors share; each raises a four-part InputError."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from mixdesk.core.errors import InputError

T = TypeVar("T")


def _as_items(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, list) and any(isinstance(one, str) for one in value)):
        raise InputError(
            "a table of names is wanted",
            value=value,
            bound="such as { code = 0.5 }",
            remedy="write it so, a name with other signs than letters, digits, _ and - in quotes",
        )
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


# A mapping name → number: (name, number) pairs sorted by name in memory, a JSON object on disk.
Pairs = Annotated[
    tuple[tuple[str, float], ...],
    BeforeValidator(_as_items),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number"}}),
]
# The same for options of any JSON kind.
Options = Annotated[
    tuple[tuple[str, Any], ...],
    BeforeValidator(_as_items),
    PlainSerializer(dict),
    WithJsonSchema({"type": "object"}),
]


@dataclass_transform(frozen_default=True, kw_only_default=True)
def core_type(cls: type[T]) -> type[T]:
    """`@dataclass(frozen=True, kw_only=True, slots=True)` that refuses unknown keys when it is read from a file."""
    made: Any = dataclass(frozen=True, kw_only=True, slots=True)(cls)
    made.__pydantic_config__ = ConfigDict(extra="forbid")
    return made  # type: ignore[no-any-return]


def put(obj: object, **fields: object) -> None:
    """Set fields of a frozen dataclass from inside its `__post_init__`."""
    for name, value in fields.items():
        object.__setattr__(obj, name, value)


def finite(name: str, value: float, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False) -> float:
    """`value` as a Python float inside [low, high], or (low, high] when `open_low`.

    Raises:
        InputError: not a number, not finite, or outside the bounds.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < low or number > high or (open_low and number == low):
        is_bounded = math.isfinite(low) or math.isfinite(high)
        where = f" in {'(' if open_low else '['}{low:g}, {high:g}]" if is_bounded else ""
        raise InputError(
            f"`{name}` is out of range",
            value=value,
            bound=f"a finite number{where}",
            remedy=f"correct `{name}`",
        )
    return number


def count(name: str, value: int, low: int = 0) -> int:
    """`value` as a Python int ≥ low.

    Raises:
        InputError: not a whole number, or below the bound.
    """
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = low - 1
    if number < low or number != value:
        raise InputError(
            f"`{name}` is not a valid count", value=value, bound=f"a whole number ≥ {low}", remedy=f"correct `{name}`"
        )
    return number


def label(name: str, value: str) -> str:
    """`value` as a non-empty name without control characters or outer blanks.

    Raises:
        InputError: otherwise.
    """
    if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
        raise InputError(
            f"`{name}` cannot be used as a name",
            value=value,
            bound="printable text without blanks at its ends",
            remedy="rename it",
        )
    return value


def unique(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """`values` as a tuple of distinct names.

    Raises:
        InputError: a name that cannot be used, or that occurs twice.
    """
    names = tuple(label(name, value) for value in values)
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) != len(names) else []
    if twice:
        raise InputError(
            f"`{name}` has a name twice", value=twice[0], bound="distinct names", remedy="rename one of them"
        )
    return names


def floats(name: str, values: Iterable[float]) -> tuple[float, ...]:
    """`values` as a tuple of finite Python floats."""
    return tuple(finite(name, value) for value in values)


def pairs(name: str, values: Mapping[str, float] | Iterable[tuple[str, float]]) -> Pairs:
    """A mapping name → number as (name, number) pairs sorted by name.

    Raises:
        InputError: a name twice, or a number that is not finite.
    """
    items = [(k, v) for k, v in (values.items() if isinstance(values, Mapping) else values)]
    unique(name, (k for k, _ in items))
    return tuple((key, finite(f"{name}[{key}]", value)) for key, value in sorted(items))


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """`value` if it is one of the allowed words.

    Raises:
        InputError: otherwise, naming the nearest allowed word.
    """
    words = tuple(allowed)
    if value not in words:
        raise InputError(
            f"unknown {name} `{value}`", value=value, bound="one of " + ", ".join(words), remedy=nearest(value, words)
        )
    return value


def nearest(value: Any, words: Iterable[str]) -> str:
    """The remedy sentence for a misspelt name."""
    import difflib

    close = difflib.get_close_matches(str(value), list(words), n=1, cutoff=0.5)
    return f"did you mean `{close[0]}`?" if close else "choose one of these"
