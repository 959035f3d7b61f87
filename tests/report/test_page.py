"""The page as text: what stands in it without any script."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from desk_worlds import HOSTILE, LONG, VARIANTS

from mixdesk.core.mixture import Mixture
from mixdesk.core.recipe import GuardCheck
from mixdesk.core.space import Constraints
from mixdesk.report import figures, panels, words
from mixdesk.report.checks import checks, guard_mark
from mixdesk.report.desk import render
from mixdesk.report.figures import Shared


class Reader(HTMLParser):
    """Elements, their attributes and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.seen: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.seen.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.seen).split())


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(*make()) for name, make in VARIANTS.items()}


def test_every_variant_is_small_and_asks_no_network(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        assert len(page.encode()) < 8_000_000, name
        for tag, attributes in Reader(page).tags:
            assert tag not in ("img", "iframe", "object", "base"), name
            assert not (tag == "script" and "src" in attributes)
            target = attributes.get("href") or ""
            assert target.startswith(("#", "data:,")) or not target


def test_verdict_strips_checks_and_recipe_stand_without_scripts(pages: dict[str, str]) -> None:
    view, answers = VARIANTS["confirmed"]()
    seen = Reader(pages["confirmed"]).text
    recipe = answers[0].recipe
    assert recipe.verdict.headline in seen
    assert recipe.verdict.reason in seen
    assert recipe.verdict.remedy in seen
    found = recipe.against("natural")
    assert found is not None
    assert words.interval(found.low, found.high) in seen
    for name, weight in recipe.mixture.as_dict().items():
        assert name in seen
        assert f"{100 * weight:.1f}" in seen
    for title in ("Larger than the noise", "Confirmed by fresh trials", "The law predicts unseen trials"):
        assert title in seen
    assert answers[1].recipe.verdict.headline in seen
    assert len(view.domains) == 8


@pytest.mark.parametrize("name", ["confirmed", "predicted", "no_different", "too_weak", "imported"])
def test_a_recipe_is_never_without_its_rivals(pages: dict[str, str], name: str) -> None:
    _, answers = VARIANTS[name]()
    seen = Reader(pages[name]).text
    for rival in answers[0].recipe.rivals:
        assert rival.name in seen


def test_a_refusal_names_the_candidate_so(pages: dict[str, str]) -> None:
    seen = Reader(pages["too_weak"]).text
    assert "Refused: evidence too weak" in seen
    assert "The candidate that was refused" in seen
    assert 'class="num dim"' in pages["too_weak"]


def test_unknown_tokens_are_said_not_shown(pages: dict[str, str]) -> None:
    page = pages["imported"]
    seen = Reader(page).text
    assert "token counts are unknown: no epochs, no tokens" in seen
    assert ">epochs</th>" not in page
    assert ">tokens</th>" not in page
    assert "Noise is not measured" in seen


def test_a_running_study_has_a_page(pages: dict[str, str]) -> None:
    seen = Reader(pages["running"]).text
    assert "17 of 40 trials are in. Too early for a recipe." in seen
    assert "The faders need a fitted law" in seen
    assert "0 of 40 trials are in" in Reader(pages["not_started"]).text


def test_without_a_unit_no_comma_is_left(pages: dict[str, str]) -> None:
    for name in ("no_unit", "one_trial"):
        seen = Reader(pages[name]).text
        assert not re.search(r", ?,|rival,(?! sign turned)|so far,(?! sign turned)| ,", seen), name
        assert "<span></span>" not in pages[name]
    specs = json.loads(re.search(r'id="data">(.*?)</script>', pages["no_unit"], re.S)[1])["specs"]  # type: ignore[index]
    assert specs["fig-predict"]["layout"]["xaxis"]["title"]["text"] == "predicted out of fold, sign turned"


def test_one_trial_is_in(pages: dict[str, str]) -> None:
    assert "1 trial is in. No recipe was made yet." in Reader(pages["one_trial"]).text


def test_a_turned_sign_is_told_beside_the_number(pages: dict[str, str]) -> None:
    seen = Reader(pages["no_unit"]).text
    assert "sign turned: " + words.middle(LONG, 40) + " is better higher" in seen
    assert "recipe − rival, sign turned" in seen
    assert "sign turned: 2 metrics are better higher" in Reader(pages["imported"]).text
    assert "lower is better" not in seen
    assert "lower is better" in Reader(pages["confirmed"]).text


def test_captions_name_the_levels_of_what_is_drawn(pages: dict[str, str]) -> None:
    seen = Reader(pages["confirmed"]).text
    assert "diamond and bar: trained, 95\u202f% interval" in pages["confirmed"]
    assert "grey bar: predicted before, 90\u202f%" in pages["confirmed"]
    assert "intervals" not in seen.split("Did fresh trials agree?")[1].split("Trials The raw")[0]
    assert "90\u202f% intervals" in pages["predicted"]


def test_overlong_names_lose_their_middle_and_keep_a_title(pages: dict[str, str]) -> None:
    reader = Reader(pages["no_unit"])
    assert LONG not in reader.text
    assert sum(LONG in (attributes.get("title") or "") for _, attributes in reader.tags) > 5


def test_hostile_names_are_text(pages: dict[str, str]) -> None:
    page = pages["hostile"]
    reader = Reader(page)
    assert [attributes for tag, attributes in reader.tags if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
        {"type": "text/plain", "id": "plotly"},
        {},
    ]
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert sorted(data["console"]["domains"]) == sorted(HOSTILE)
    assert "<" not in re.search(r'id="data">(.*?)</script>', page, re.S)[1]  # type: ignore[index]


def test_the_page_holds_its_policy_and_no_place_is_left(pages: dict[str, str]) -> None:
    for page in pages.values():
        assert "default-src 'none'" in page
        assert not re.search(r"<!--(title|css|data|js|decide)-->", page)


def test_console_numbers_are_the_recipe_s(pages: dict[str, str]) -> None:
    _, answers = VARIANTS["confirmed"]()
    data = json.loads(re.search(r'id="data">(.*?)</script>', pages["confirmed"], re.S)[1])  # type: ignore[index]
    presets = {one["name"]: one["weights"] for one in data["console"]["presets"]}
    assert list(presets) == ["recipe", "best seen", "natural", "uniform"]
    assert tuple(presets["recipe"]) == answers[0].recipe.mixture.over(data["console"]["domains"])
    assert Mixture(domains=tuple(data["console"]["domains"]), weights=tuple(presets["natural"]))


def test_figures_hold_their_points() -> None:
    view, answers = VARIANTS["confirmed"]()
    points = figures.fit_points(answers[0])
    spec = panels.predict(points, "bits per byte")
    dots = next(trace for trace in spec["data"] if trace["meta"] == "trial")
    assert dots["x"] == pytest.approx([p.mean for p in points], rel=1e-6)
    assert dots["y"] == pytest.approx([p.measured for p in points], rel=1e-6)
    pairs = figures.paired(view, answers[0].recipe)
    rings = [t for t in panels.confirmation(pairs, "u")["data"] if t["meta"] == "rival"]
    assert rings[1]["x"] == pytest.approx([d for _, d in pairs[1].differences], rel=1e-6)


def test_numbers_as_they_are_printed() -> None:
    assert words.value(float("nan")) == "–"
    assert words.difference(-0.00004) == "0.0000"
    assert words.difference(0.0641) == "+0.0641"
    assert words.interval(-0.0721, -0.0562) == "−0.0721 to −0.0562"
    assert [words.percent(w) for w in (0.4, 0.0994, 0.0002, 0.0)] == [
        "40\u202f%",
        "9.9\u202f%",
        "<0.1\u202f%",
        "0\u202f%",
    ]
    assert words.power(4.5e18) == "4.5\u00a0×\u00a010¹⁸"
    assert words.power(9.99e18) == "1.0\u00a0×\u00a010¹⁹"
    assert [words.amount(n) for n in (12e9, 764e6, 999_999, 500)] == ["12.0\u00a0B", "764\u00a0M", "1.00\u00a0M", "500"]
    assert words.middle("a" * 80, 21) == "a" * 10 + "…" + "a" * 10


@pytest.mark.parametrize(("probability", "mark"), [(0.95, "good"), (0.51, "warn"), (0.49, "warn"), (0.04, "bad")])
def test_a_guard_that_the_search_touches_is_in_doubt_and_not_broken(probability: float, mark: str) -> None:
    check = GuardCheck(
        guard="a ≤ natural",
        metric="a",
        excess=0.0,
        low=-0.1,
        high=0.1,
        probability=probability,
        missing=0.1,
        basis="predicted",
        rung="proxy",
    )
    assert guard_mark(check) == mark


def test_text_that_domains_share_is_drawn_and_told() -> None:
    view, answers = VARIANTS["hostile"]()
    names = view.domains[:2]
    shared = Shared(
        domains=names,
        sets=("exam<b>",),
        share=((1.0, 0.4, None), (0.1, 1.0, 0.02)),
        n_words=10,
        warnings=(f"`{names[0]}` shares 40% of its 10-word windows with `{names[1]}`: merge them",),
    )
    page = render(view, answers, shared)
    assert "Do domains share text?" in Reader(page).text
    assert "shares 40% of its 10-word windows" in Reader(page).text
    spec = panels.overlap(shared)
    assert spec["data"][0]["z"] == [[None, 40.0, None], [10.0, None, 2.0]]
    assert spec["data"][0]["x"][-1] == "set: exam&lt;b&gt;"
    assert "Do domains share text?" not in render(view, answers)


def cards(page: str, part: str) -> list[str]:
    """Pieces of the page from one card's start to the next that hold `part`."""
    return [piece for piece in page.split('<div class="card')[1:] if part in piece]


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_figure_names_its_unit_its_n_and_its_paper(pages: dict[str, str], name: str) -> None:
    view, answers = VARIANTS[name]()
    objective = answers[0].recipe.objective if answers else view.objective
    unit = figures.scale_of(view, objective)
    for piece in cards(pages[name], 'class="fig"'):
        foot = Reader(piece[piece.index('class="foot"') :]).text if 'class="foot"' in piece else ""
        title = Reader(piece.split("</h3>")[0]).text
        assert re.search(r"\d trials?|\d curves?|\d pairs?|\d mixtures?", foot.replace("\u00a0", " ")), (title, foot)
        assert "no paper" in foot or "law:" in foot, (title, foot)
        assert unit in foot or "per cent" in foot or "own unit" in foot, (title, foot)


def test_a_tick_has_a_number(pages: dict[str, str]) -> None:
    ticks = [one for page in pages.values() for one in re.findall(r'<a class="chk".*?</a>', page) if "icon good" in one]
    assert len(ticks) > 12
    for one in ticks:
        assert re.search(r"\d", Reader(one.split("</b>")[1]).text), Reader(one).text


def test_bounds_that_hold_are_counted() -> None:
    view, answers = VARIANTS["imported"]()
    bounded = replace(view, constraints=Constraints(upper={view.domains[0]: 1.0}))
    found = next(one for one in checks(bounded, answers[0]) if one.href == "#table")
    assert (found.mark, found.detail) == ("good", "all 8 weights lie within the study's bounds")
