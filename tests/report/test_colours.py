"""Which family has which hue."""

from __future__ import annotations

from dataclasses import replace

from desk_worlds import VARIANTS

from mixdesk.core.mixture import Mixture
from mixdesk.report.colours import GREYS, HUES, palette


def test_without_natural_weights_the_heaviest_domains_are_not_grey() -> None:
    view, _ = VARIANTS["confirmed"]()
    names = tuple(f"n{i:02d}" for i in range(10))
    flat = replace(view, domains=names, corpus=None, natural=None, trials=())
    weights = {name: 1.0 + i for i, name in enumerate(names)}
    found = dict(zip(names, palette(flat, Mixture.of(weights, normalise=True)), strict=True))
    assert [found[name].light for name in reversed(names[4:])] == list(HUES)
    assert {found[name].light for name in names[:4]} == set(GREYS)
