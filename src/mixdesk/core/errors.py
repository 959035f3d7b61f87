"""The error tree.

    MixdeskError                     exit code 1
    ├── InputError (ValueError)      what a person gave cannot be used
    ├── Infeasible                   constraints clash; exit code 3
    ├── NotEnoughEvidence            a law or verdict cannot be had from this record; exit code 3
    ├── RecordError                  the study's record is locked, damaged or of another schema
    ├── WorkerError                  a trainer's process broke its contract, crashed or ran out of time
    └── MissingExtra                 an optional dependency is not installed

Every message has four parts: what is wrong, the value, the bound, what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class MixdeskError(Exception):
    """An error a person can act on.

    Args:
        wrong: what is wrong, as the start of a sentence.
        value: what was found.
        bound: what would have been right.
        remedy: what to do about it, as an imperative.

    >>> print(InputError("`lr` is negative", value=-0.1, bound="a number > 0", remedy="give a positive rate"))
    `lr` is negative: found -0.1, expected a number > 0; give a positive rate.
    """

    exit_code = 1

    def __init__(self, wrong: str, *, value: object, bound: str, remedy: str) -> None:
        self.wrong = wrong
        self.value = value
        self.bound = bound
        self.remedy = remedy
        shown = value if isinstance(value, str) else repr(value)
        if len(shown) > 300:
            shown = shown[:297] + "..."
        end = "" if remedy.endswith("?") else "."
        super().__init__(f"{wrong}: found {shown}, expected {bound}; {remedy}{end}")

    def __reduce__(self) -> tuple[Callable[..., MixdeskError], tuple[Any, ...]]:
        """How it goes to another process and back: as its text and parts."""
        return _again, (type(self), self.args, vars(self))

    def within(self, place: str) -> MixdeskError:
        """The same error, its first part prefixed by where it was met (a file, a line, a key)."""
        return type(self)(f"{place}: {self.wrong}", value=self.value, bound=self.bound, remedy=self.remedy)


class InputError(MixdeskError, ValueError):
    """What a person gave (a file, a key, a number) cannot be used."""


class Infeasible(MixdeskError):
    """No mixture satisfies the constraints; the message names the clash and the smallest relaxation."""

    exit_code = 3


class NotEnoughEvidence(MixdeskError):
    """The record holds too little for what was asked."""

    exit_code = 3


class RecordError(MixdeskError):
    """The study's record cannot be opened, is held by another run, or is damaged."""


class WorkerError(MixdeskError):
    """A trainer's process crashed, ran out of time or broke the contract."""


class MissingExtra(MixdeskError):
    """An optional dependency is not installed.

    Args:
        package: the import that failed.
        extra: the extra of mixdesk that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"`{package}` is not installed",
            value="no such module",
            bound=f"the extra `{extra}` of mixdesk",
            remedy=f"run: pip install -c constraints.txt 'mixdesk[{extra}]'",
        )


def _again(cls: type[MixdeskError], args: tuple[Any, ...], parts: dict[str, Any]) -> MixdeskError:
    error = cls.__new__(cls, *args)
    vars(error).update(parts)
    return error
