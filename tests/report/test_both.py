"""Two studies side by side."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from desk_worlds import VARIANTS

from mixdesk.report.both import Beside, section
from mixdesk.report.desk import render


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def test_verdicts_and_differences_stand_beside_each_other() -> None:
    view, answers = VARIANTS["confirmed"]()
    other, found = VARIANTS["predicted"]()
    html = section(view, answers, Beside(view=replace(other, name="harbour"), recipe=found[0].recipe))
    seen = plain(html)
    assert seen.index("Confirmed") < seen.index("Likely")
    assert "tidewater beside harbour" in seen
    for name in view.domains:
        a, b = (100 * one.recipe.mixture.as_dict()[name] for one in (answers[0], found[0]))
        change = f"{b - a:+.1f}".replace("-", "−")
        change = "0.0" if change in ("+0.0", "−0.0") else change
        assert f"{name} {a:.1f} {b:.1f} {change}" in seen
    # The recipe's sign twice filled (gain, table head) and twice in outline.
    assert html.count('d="M6 .4L11.6 6 6 11.6.4 6Z" fill="currentColor"') == 2
    assert html.count('fill="none" stroke="currentColor" stroke-width="1.5"') == 2


def test_another_s_domains_have_a_dash_where_they_are_not_known() -> None:
    view, answers = VARIANTS["confirmed"]()
    other, found = VARIANTS["two_domains"]()
    seen = plain(section(view, answers, Beside(view=other, recipe=found[0].recipe)))
    assert "alpha – 50.0 –" in seen
    assert re.search(r"web/general [\d.]+ – –", seen)


def test_a_second_study_may_have_no_recipe() -> None:
    view, answers = VARIANTS["confirmed"]()
    other, _ = VARIANTS["running"]()
    page = render(view, answers, beside=Beside(view=replace(other, name="<i>harbour")))
    assert "&lt;i&gt;harbour" in page
    assert "No recipe was made yet." in page
    assert "Two studies" not in render(view, answers)
