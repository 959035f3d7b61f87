"""Which family has which hue."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from desk_worlds import VARIANTS

from mixdesk.core.mixture import Mixture
from mixdesk.report import desk
from mixdesk.report.colours import GREYS, HUES, LIFTS, WHITE, contrast, mix, palette


def test_without_natural_weights_the_heaviest_domains_are_not_grey() -> None:
    view, _ = VARIANTS["confirmed"]()
    names = tuple(f"n{i:02d}" for i in range(10))
    flat = replace(view, domains=names, corpus=None, natural=None, trials=())
    weights = {name: 1.0 + i for i, name in enumerate(names)}
    found = dict(zip(names, palette(flat, Mixture.of(weights, normalise=True)), strict=True))
    assert [found[name].light for name in reversed(names[4:])] == list(HUES)
    assert {found[name].light for name in names[:4]} == set(GREYS)


# What a colour is to eyes without red, green or blue cones, on linear RGB (Machado et al. 2009, severity 1).
EYES = {
    "all cones": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour: str, eyes: str) -> np.ndarray:
    """CIE L*a*b* of a colour as those eyes see it; distances in it are ΔE (CIE 76)."""
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(np.asarray(EYES[eyes]) @ linear, 0.0, 1.0) / XYZ.sum(axis=1)
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("lifts", [dict.fromkeys(HUES, 0.0), LIFTS], ids=["paper", "dark"])
def test_hues_are_told_apart_by_all_eyes(eyes: str, lifts: dict[str, float]) -> None:
    seen = [lab(mix(hue, WHITE, lifts[hue]), eyes) for hue in HUES]
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) >= 15.0


def test_hues_stand_out_from_the_console() -> None:
    rule = re.search(r"\.console\{--card:(#\w{6})", (desk.PAGE / "desk.css").read_text(encoding="utf-8"))
    assert rule is not None
    assert all(contrast(mix(hue, WHITE, LIFTS[hue]), rule[1]) >= 3.0 for hue in HUES)


def tokens(selector: str) -> dict[str, str]:
    """Colours that a rule of the style sheet sets."""
    rule = re.search(re.escape(selector) + r"\{(.*?)\}", (desk.PAGE / "desk.css").read_text(encoding="utf-8"), re.S)
    assert rule is not None
    return dict(re.findall(r"--([\w-]+):(#[0-9A-Fa-f]{6})", rule[1]))


@pytest.mark.parametrize("selector", [":root", ":root[data-theme=dark],.console"])
def test_text_reads_on_every_ground_of_the_style_sheet(selector: str) -> None:
    found = tokens(selector)
    assert len(found) == 16
    for text in ("ink", "ink2", "ink3", "you", "good", "warn", "bad"):
        for ground in ("paper", "card"):
            assert contrast(found[text], found[ground]) >= 4.5, (text, ground)
    for text in ("good", "warn", "bad"):
        assert contrast(found["ink"], found[text + "-bg"]) >= 4.5
        assert contrast(found[text], found[text + "-bg"]) >= 4.5, text
    assert contrast(found["ink"], found["sunk"]) >= 4.5
    assert contrast(found["ink2"], found["sunk"]) >= 4.5
