"""Numbers as the page prints them: fixed decimals, real minus signs, thin spaces; NaN and None are a dash."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

MINUS, THIN, HARD, DASH = "\u2212", "\u202f", "\u00a0", "\u2013"
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
# A beginning that names share and that is shorter costs no room.
SHORT_START = 8
_STEPS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def value(x: float | None) -> str:
    """A measured or predicted value: four decimals, two from 100 on.

    >>> value(0.7)
    '0.7000'
    """
    if x is None or not math.isfinite(x):
        return DASH
    return f"{x:.{4 if abs(x) < 100.0 else 2}f}".replace("-", MINUS)


def difference(x: float | None) -> str:
    """A difference with its sign; what rounds to zero has none.

    >>> difference(-0.0641), difference(0.00001)
    ('−0.0641', '0.0000')
    """
    if x is None or not math.isfinite(x):
        return DASH
    text = value(abs(x))
    if not text.strip("0."):
        return text
    return (MINUS if x < 0.0 else "+") + text


def interval(low: float, high: float) -> str:
    """An interval of differences: `−0.0721 to −0.0562`."""
    return f"{difference(low)} to {difference(high)}"


def percent(weight: float) -> str:
    """A weight: whole per cent from 10 %, one decimal below, `<0.1 %` under 0.05 %."""
    if weight == 0.0:
        return f"0{THIN}%"
    if weight < 0.0005:
        return f"<0.1{THIN}%"
    return f"{100.0 * weight:.{0 if weight >= 0.0995 else 1}f}{THIN}%"


def chance(probability: float) -> str:
    """A probability in per cent; never 0 or 100, which draws cannot know.

    >>> chance(0.874).replace(THIN, " "), chance(1.0).replace(THIN, " ")
    ('87 %', '>99 %')
    """
    whole = round(100.0 * probability)
    return f"{'<1' if whole < 1 else '>99' if whole > 99 else whole}{THIN}%"


def points(change: float) -> str:
    """A change of weight in percentage points with its sign, one decimal.

    >>> points(0.034), points(0.0)
    ('+3.4', '0.0')
    """
    text = f"{abs(100.0 * change):.1f}"
    return text if text == "0.0" else (MINUS if change < 0.0 else "+") + text


def amount(x: float | None) -> str:
    """A count of tokens or parameters in three digits: `12.0 B`, `764 M`.

    >>> amount(1_234_567).replace(HARD, " ")
    '1.23 M'
    """
    if x is None or not math.isfinite(x):
        return DASH
    for step, letter in _STEPS:
        if abs(x) >= 0.9995 * step:
            scaled = x / step
            return f"{scaled:.{max(0, 2 - int(math.log10(max(abs(scaled), 1.0)) + 1e-4))}f}{HARD}{letter}"
    return f"{x:.0f}"


def power(x: float | None) -> str:
    """FLOPs as `4.5 × 10¹⁸`."""
    if x is None or not math.isfinite(x) or x <= 0.0:
        return DASH
    exponent = math.floor(math.log10(x))
    mantissa = x / 10.0**exponent
    if f"{mantissa:.1f}" == "10.0":
        mantissa, exponent = 1.0, exponent + 1
    return f"{mantissa:.1f}{HARD}×{HARD}10" + str(exponent).translate(_SUPERSCRIPT)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    for step, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= step:
            return f"{seconds / step:.1f}{HARD}{name}"
    return f"{seconds:.0f}{HARD}s"


def factor(x: float) -> str:
    """A ratio in two digits, whole from ten on."""
    return f"{x:,.0f}" if x >= 9.95 else f"{x:.1f}"


def plural(n: int, noun: str) -> str:
    """`1 trial`, `40 trials`."""
    return f"{n:,}{HARD}{noun}" + ("" if n == 1 else "s")


def level(x: float) -> str:
    """The level of an interval: `90 %`, `97.5 %`."""
    return f"{100.0 * x:.3g}{THIN}%"


def listed(*parts: str) -> str:
    """What is not empty, between commas: an imported metric may have no unit.

    >>> listed("recipe − rival", ""), listed("recipe − rival", "accuracy")
    ('recipe − rival', 'recipe − rival, accuracy')
    """
    return ", ".join(part for part in parts if part)


def middle(name: str, n: int = 28) -> str:
    """A long name with its middle left out; the page keeps the whole name in the element's title."""
    if len(name) <= n:
        return name
    head = (n - 1) // 2
    return name[:head] + "…" + name[head + 1 - n :]


def shared_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a separator: it tells none apart. Empty where there are few, or it is short.

    >>> shared_start(["train_the_pile_arxiv", "train_the_pile_cc", "train_the_pile_github"])
    'train_the_pile_'
    """
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)) if len(names) > 2 else ()
    start = "".join(letters[0] for letters in alike)
    cut = max(start.rfind(mark) for mark in "_/.:-") + 1
    return start[:cut] if cut >= SHORT_START else ""


def rounded(x: float, digits: int = 9) -> float | None:
    """A number for the page's data, to so many significant digits; None where there is none."""
    return float(f"{x:.{digits}g}") if math.isfinite(x) else None
