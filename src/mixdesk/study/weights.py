"""Rows of weights as mixtures: fractions, per cent or token counts, the same for all rows of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import SUM_TOLERANCE, Mixture
from mixdesk.study.sheets import Sheet

# A row's weights may miss one by this much: three decimals of 40 domains. More is another unit, or no mixture.
ROUNDING = 0.02
# Rows that sum to at least this many are token counts. Anything between 100 and here is no unit we know.
LEAST_TOKENS = 1000.0
# Sums this close to one are rounding in single precision, which nobody needs to be told of.
UNSAID = 1e-6
# Weights that agree to this many decimals are one mixture: what counts of tokens leave of equal shares.
DECIMALS = 6

FRACTIONS, PER_CENT, TOKENS = "fractions", "per cent", "token counts"
BOUND = {FRACTIONS: f"1 ± {ROUNDING:g}", PER_CENT: f"100 ± {100 * ROUNDING:g}", TOKENS: f"≥ {LEAST_TOKENS:g} tokens"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Rows of a table as mixtures: `mixtures` (None for a row without any cell), `totals` of the rows, their `unit`."""

    mixtures: tuple[Mixture | None, ...]
    totals: tuple[float, ...]
    unit: str
    notes: tuple[str, ...]


def is_share(total: float) -> str | None:
    """FRACTIONS or PER_CENT by a row's sum; None for another one."""
    if abs(total - 1.0) <= ROUNDING:
        return FRACTIONS
    return PER_CENT if abs(total - 100.0) <= 100.0 * ROUNDING else None


def read_weights(sheet: Sheet, ids: Sequence[str], domains: Sequence[str], *, may_be_empty: bool = False) -> Weights:
    """Every row as a mixture over `domains`; equal up to rounding are equal. `ids` name the rows in messages.

    `may_be_empty`: a row without any weight is passed over.

    Raises:
        InputError: a missing or negative weight, a sum of zero, of no known unit, or of another one than most rows.
    """
    columns = {name: sheet.numbers(name, ids) for name in domains}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    is_empty = [may_be_empty and all(value is None for value in row.values()) for row in rows]
    totals = [
        0.0 if empty else _total(row, f"`{sheet.source}`, row `{run}`")
        for run, row, empty in zip(ids, rows, is_empty, strict=True)
    ]
    unit = _unit(sheet, ids, [None if empty else total for total, empty in zip(totals, is_empty, strict=True)], domains)
    exact = [
        None if empty else Mixture.of({n: v or 0.0 for n, v in row.items()}, normalise=abs(total - 1.0) > SUM_TOLERANCE)
        for row, total, empty in zip(rows, totals, is_empty, strict=True)
    ]
    # Of rows that are equal up to rounding one stands for all: the smallest, whatever their order.
    best: dict[tuple[float, ...], Mixture] = {}
    for one in exact:
        if one is not None:
            key = _rounded(one)
            best[key] = min(best.get(key, one), one, key=lambda mixture: mixture.weights)
    mixtures = tuple(None if one is None else best[_rounded(one)] for one in exact)
    notes = tuple(_notes(sheet, unit, totals, is_empty))
    return Weights(mixtures=mixtures, totals=tuple(totals), unit=unit, notes=notes)


def _rounded(mixture: Mixture) -> tuple[float, ...]:
    return tuple(round(weight, DECIMALS) for weight in mixture.weights)


def _total(row: dict[str, float | None], where: str) -> float:
    for name, value in row.items():
        if value is None or value < 0.0:
            raise InputError(
                f"{where}, column `{name}`: " + ("no weight" if value is None else "a negative weight"),
                value="an empty cell" if value is None else value,
                bound="a share of the training tokens, ≥ 0",
                remedy="write 0 for a domain that was not used",
            )
    total = math.fsum(value or 0.0 for value in row.values())
    if total <= 0.0:
        raise InputError(
            f"{where}: the weights sum to zero",
            value=f"sum 0 of {len(row)} columns, {next(iter(row))} first",
            bound="a positive sum",
            remedy="correct the row, or take it out",
        )
    return total


def _unit(sheet: Sheet, ids: Sequence[str], totals: Sequence[float | None], domains: Sequence[str]) -> str:
    """The unit of most rows, which must be that of all."""
    units = [None if t is None else is_share(t) or (TOKENS if t >= LEAST_TOKENS else "none") for t in totals]
    count = Counter(unit for unit in units if unit not in (None, "none"))
    main = max((FRACTIONS, PER_CENT, TOKENS), key=lambda unit: count[unit])
    for run, unit, total in zip(ids, units, totals, strict=True):
        if unit not in (None, main):
            remedy = (
                "divide each row by its sum, and take out columns that are no domain (or name the domains: --domains)"
            )
            if unit == PER_CENT:
                remedy = "divide by 100"
            elif unit == FRACTIONS:
                remedy = f"give all rows as {FRACTIONS}"
            raise InputError(
                f"`{sheet.source}`, row `{run}`: the weights do not sum to "
                + ("one" if main == FRACTIONS else f"what {main} do, as in the other rows"),
                value=f"sum {total:.6g} of {', '.join(list(domains)[:5])}" + (", …" if len(domains) > 5 else ""),
                bound=BOUND[main] + ("" if count[main] else ", 100 ± 2, or ≥ 1000 tokens, the same in all rows"),
                remedy=remedy,
            )
    return main


def _notes(sheet: Sheet, unit: str, totals: Sequence[float], is_empty: Sequence[bool]) -> list[str]:
    there = [total for total, empty in zip(totals, is_empty, strict=True) if not empty]
    notes = []
    if len(there) < len(totals):
        notes.append(f"`{sheet.name}`: rows without any weight, left out: {len(totals) - len(there)}.")
    if not there:
        return notes
    if unit == TOKENS:
        notes.append(
            f"`{sheet.name}`: rows sum to {_span(there)}: read as token counts, each divided by its row's sum."
        )
    elif unit == PER_CENT:
        notes.append(f"`{sheet.name}`: rows sum to {_span(there)}: read as per cent.")
    else:
        mended = [total for total in there if abs(total - 1.0) > UNSAID]
        if mended:
            notes.append(
                f"`{sheet.name}`: {len(mended)} of {len(there)} rows sum to {_span(mended)}, "
                "not to one, and were divided by their sum (rounded weights)."
            )
    return notes


def _span(totals: Sequence[float]) -> str:
    """The smallest and the largest, or one where they look alike."""
    return " to ".join(dict.fromkeys(f"{end(totals):.4g}" for end in (min, max)))
