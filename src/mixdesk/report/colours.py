"""Which colour a domain has: six family hues told apart under every colour vision, then greys; tints within a family.

The hues keep 3:1 on white and are 17.8 ΔE (CIE 76) apart in normal, protan, deutan and tritan vision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mixdesk.core.mixture import Mixture, group_of
from mixdesk.core.trial import StudyView
from mixdesk.report.figures import reference

HUES = ("#24508F", "#BB861B", "#1E9A6C", "#A54FC4", "#79859A", "#6B2E3A")
GREYS = ("#8E929A", "#B4B7BD")
# Families with these names keep their hue from study to study.
USUAL = {"web": 0, "code": 1, "science": 2, "books": 3, "reference": 4, "talk": 5}
WHITE, BLACK, INK = "#FFFFFF", "#000000", "#15171C"
# Tints within a family, from its heaviest domain on; the rest share the last.
TINTS = (0.0, 0.14, 0.28, 0.42)
# Share of white in a hue on the dark page: 3:1 on the console, and 15 ΔE apart as on paper. One share for all would
# bring navy and orchid within 12 ΔE for deutan eyes.
LIFTS = dict(zip(HUES, (0.2, 0.3, 0.3, 0.35, 0.2, 0.25), strict=True))
LIFT_GREY = 0.29


@dataclass(frozen=True, kw_only=True, slots=True)
class Colour:
    """Fill and the readable text colour on it, on paper and on the dark page."""

    light: str
    light_text: str
    dark: str
    dark_text: str


def palette(view: StudyView, lead: Mixture) -> tuple[Colour, ...]:
    """A colour per domain on axis d; `lead` the recipe, or what the page shows in its place."""
    lead_d, base_d = lead.over(view.domains), reference(view).mixture.over(view.domains)
    families: dict[str, list[int]] = {}
    for i, name in enumerate(view.domains):
        families.setdefault(group_of(name), []).append(i)
    # By natural weight; the lead's decides where that is even, or the heaviest of many flat names would be grey.
    weights = {
        family: (math.fsum(base_d[i] for i in ids), math.fsum(lead_d[i] for i in ids))
        for family, ids in families.items()
    }
    hues = _family_hues({family: (round(base, 9), lead) for family, (base, lead) in weights.items()})
    out: dict[int, Colour] = {}
    for family, ids in families.items():
        for rank, i in enumerate(sorted(ids, key=lambda i: (-lead_d[i], view.domains[i]))):
            tint = TINTS[min(rank, len(TINTS) - 1)]
            light = mix(hues[family], WHITE, tint)
            dark = mix(mix(hues[family], WHITE, LIFTS.get(hues[family], LIFT_GREY)), BLACK, tint)
            out[i] = Colour(light=light, light_text=text_on(light), dark=dark, dark_text=text_on(dark))
    return tuple(out[i] for i in range(len(view.domains)))


def _family_hues(weights: dict[str, tuple[float, float]]) -> dict[str, str]:
    hues = {family: HUES[USUAL[family]] for family in weights if family in USUAL}
    free = [hue for hue in HUES if hue not in hues.values()]
    for family in sorted((f for f in weights if f not in hues), key=lambda f: weights[f], reverse=True):
        n_grey = sum(hue in GREYS for hue in hues.values())
        hues[family] = free.pop(0) if free else GREYS[n_grey % 2]
    return hues


def mix(one: str, other: str, share: float) -> str:
    """`share` of `other` in `one`, per sRGB channel."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two colours."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def text_on(fill: str) -> str:
    """White or ink, whichever reads better on the fill."""
    return max((WHITE, INK), key=lambda text: contrast(text, fill))


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
