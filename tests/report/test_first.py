"""The first screen: each verdict in its words, what to train on, and what was not checked."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest
from desk_worlds import LONG, VARIANTS, answer, study

from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Verdict
from mixdesk.core.recipe import GuardCheck
from mixdesk.core.trial import StudyView
from mixdesk.report import first, words
from mixdesk.report.desk import console
from mixdesk.report.figures import Answer


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


@pytest.fixture(scope="module")
def confirmed() -> tuple[StudyView, Answer]:
    view, world = study()
    return answer(view, world)


def judged(found: Answer, name: str, state: str, recommended: str = "recipe") -> Answer:
    verdict = Verdict(
        name=name, state=state, headline="A headline.", reason="A reason.", remedy="A remedy.", recommended=recommended
    )
    return replace(found, recipe=replace(found.recipe, verdict=verdict))


def staged(found: Answer) -> Answer:
    before = Stage(mixture=Mixture.uniform(found.recipe.mixture.domains), until=0.8)
    schedule = Schedule(stages=(before, Stage(mixture=found.recipe.mixture, until=1.0)))
    return replace(found, recipe=replace(found.recipe, plan=replace(found.recipe.plan, schedule=schedule)))


@pytest.mark.parametrize(
    ("name", "state", "recommended", "mark", "said", "lead"),
    [
        ("better", "confirmed", "recipe", "good", "Confirmed", "The recipe"),
        ("better", "predicted", "recipe", "warn", "Likely", "The recipe"),
        ("better", "contradicted", "recipe", "bad", "Contradicted", "The recipe"),
        ("worse", "contradicted", "natural", "bad", "Contradicted", "Train on natural"),
        ("worse", "confirmed", "best seen", "bad", "Worse than a rival", "Train on best seen"),
        ("worse", "predicted", "natural", "bad", "Worse than a rival", "Train on natural"),
        ("no different", "confirmed", "uniform", "warn", "No better than a rival", "Train on uniform"),
        ("no different", "predicted", "natural", "warn", "No better than a rival", "Train on natural"),
        ("too weak", "predicted", "natural", "bad", "Refused: evidence too weak", "If you must train today: natural"),
        ("too weak", "confirmed", "uniform", "bad", "Refused: evidence too weak", "If you must train today: uniform"),
        ("better", "running", "recipe", "wait", "Running", "Until there is a recipe: its candidate so far"),
        ("too weak", "running", "natural", "wait", "Running", "Until there is a recipe: natural"),
        ("better", "no evidence", "recipe", "wait", "No evidence", "The recipe"),
    ],
)
def test_each_verdict_has_its_words_its_mark_and_its_mixture(
    confirmed: tuple[StudyView, Answer], name: str, state: str, recommended: str, mark: str, said: str, lead: str
) -> None:
    view, found = confirmed
    html = first.section(view, judged(found, name, state, recommended), {})
    seen = plain(html)
    assert f'<span class="pill {mark}"><i class="icon {mark}">' in html
    assert said in seen
    assert lead in seen
    assert "A headline." in seen
    assert seen.endswith("Next A remedy.")
    # A refusal keeps its number, in grey, and says why; nothing else dims a difference that excludes zero.
    assert ('class="num dim"' in html) == (name == "too weak")
    assert ("A reason." in seen) == (name == "too weak")


def test_weights_changes_epochs_and_cost_are_on_it(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    seen, recipe = plain(first.section(view, found, {})), found.recipe
    natural, epochs = view.natural, dict(recipe.epochs)
    assert natural is not None
    for name, weight in recipe.mixture.as_dict().items():
        change = words.points(weight - natural.as_dict()[name])
        assert f"{name} {words.percent(weight)} {change}\u202fpt {epochs[name]:.1f}".replace("\u202f", " ") in seen
    gain = recipe.against("natural")
    assert gain is not None
    assert f"{words.interval(gain.low, gain.high)} 95 % interval, 5 fresh pairs" in seen
    assert f"this study, {len(view.trials)} trials" in seen
    assert "one run of the recipe 9.6 × 10¹² FLOPs" in seen


def test_a_rival_that_is_advised_has_its_own_weights_and_epochs(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    seen = plain(first.section(view, judged(found, "worse", "confirmed", "uniform"), {}))
    natural = view.natural
    assert natural is not None
    assert view.corpus is not None
    mixture = Mixture.uniform(view.domains)
    epochs = dict(mixture.epochs(view.corpus, found.recipe.plan.scale))
    for name in view.domains:
        change = words.points(0.125 - natural.as_dict()[name])
        assert f"{name} {words.percent(0.125)} {change} pt {epochs[name]:.1f}".replace("\u202f", " ") in seen


def test_what_was_not_checked_is_said(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    assert "All six checks hold" in plain(first.section(view, found, {}))
    view, answers = VARIANTS["imported"]()
    seen = plain(first.section(view, answers[0], {}))
    assert "Not checked, or in doubt" in seen
    assert "Noise is not measured" in seen
    assert "Not confirmed : no fresh trial" in seen
    assert "token counts unknown: no epochs" in seen
    assert "interval, law of 32 mixtures" in seen
    assert ">epochs</th>" not in first.section(view, answers[0], {})


def test_a_guard_in_doubt_comes_first_and_many_doubts_are_counted(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    check = GuardCheck(
        guard="bpb/set/code ≤ natural", metric="bpb/set/code", excess=0.0, low=-0.1, high=0.1, probability=0.61,
        missing=0.1, basis="predicted", rung="proxy",
    )  # fmt: skip
    doubted = replace(found, recipe=replace(found.recipe, guards=(check,)))
    assert "doubt careful: 61 % that bpb/set/code ≤ natural holds" in plain(first.section(view, doubted, {}))
    many = replace(found, recipe=replace(found.recipe, guards=(check, *(
        replace(check, guard=f"guard {i}", probability=0.3) for i in range(6)
    ))))  # fmt: skip
    seen = plain(first.section(view, many, {}))
    assert seen.count("holds") == 3
    assert "and 4 more, with their numbers" in seen


def test_licences_in_doubt_are_named(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    tiers = dict.fromkeys(view.domains, "permissive")
    assert "Licences are not clear" not in first.section(view, found, tiers)
    seen = plain(first.section(view, found, {**tiers, view.domains[0]: "unclear"}))
    assert "Licences are not clear : 1 domain unclear licences: 7 permissive, 1 unclear" in seen


def test_many_domains_show_the_heaviest_and_count_the_rest() -> None:
    view, answers = VARIANTS["twenty_five"]()
    html = first.section(view, answers[0], {})
    heaviest = sorted(answers[0].recipe.mixture.as_dict().items(), key=lambda item: (-item[1], item[0]))
    listed = re.search(r'<table class="parts".*?</table>', html, re.S)
    assert listed is not None
    assert [plain(row) for row in re.findall(r"<td><i[^>]*></i>(.*?)</td>", listed[0])] == [n for n, _ in heaviest[:10]]
    rest = sum(weight for _, weight in heaviest[10:])
    assert f"and 15 more, together {words.percent(rest)}".replace("\u202f", " ") in plain(html)
    rest = sum(weight for _, weight in heaviest[5:])
    assert f"and 20 more, together {words.percent(rest)}".replace("\u202f", " ") in plain(html)
    assert html.count('class="seg"') == 5


def test_stages_are_columns_as_wide_as_their_share_of_the_run(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    html = first.section(view, staged(found), {})
    assert [float(x) for x in re.findall(r'class="stage" style="flex:([\d.]+)', html)] == [0.8, 0.2]
    assert "The recipe, in 2 stages" in plain(html)
    name, weight = max(found.recipe.mixture.as_dict().items(), key=lambda item: item[1])
    average = 0.8 * 0.125 + 0.2 * weight
    assert f"{name} {words.percent(average)} 12.5 → {100 * weight:.1f}".replace("\u202f", " ") in plain(html)
    heights = [float(x) for x in re.findall(r'style="height:([\d.]+)%', html)]
    assert sum(heights) == pytest.approx(200.0, abs=0.01)


def test_faders_start_from_what_the_law_can_speak_of(confirmed: tuple[StudyView, Answer]) -> None:
    view, found = confirmed
    answer_ = staged(found)

    def start(of: StudyView) -> tuple[float, ...]:
        presets = {one["name"]: one["weights"] for one in console(of, answer_)["presets"]}
        return tuple(presets["recipe"])

    assert start(view) == answer_.recipe.mixture.over(view.domains)
    at = view.at(view.fullest.label)[0]
    anneals = tuple(
        replace(trial, spec=replace(trial.spec, parents={view.trials[-1].id: 1.0})) if trial is at else trial
        for trial in view.trials
    )
    assert start(replace(view, trials=anneals)) == found.recipe.mixture.over(view.domains)


def test_hostile_and_overlong_names_stay_text() -> None:
    view, answers = VARIANTS["hostile"]()
    html = first.section(view, answers[0], {})
    assert "<script" not in html
    assert "<img" not in html
    assert "<b>bold" not in html
    assert "<bdi>שלום עולם</bdi>" in html
    assert LONG not in plain(html)
    assert f'title="{LONG}"' in html
    assert f"<bdi>{words.middle(LONG, 28)}</bdi>" in html.replace(f' title="{LONG}"', "")


def test_a_study_without_a_recipe_says_how_far_it_is_and_what_to_hold_on_to() -> None:
    view, _ = VARIANTS["running"]()
    seen = plain(first.without_answer(view))
    assert "17 of 40 trials are in. Too early for a recipe." in seen
    assert "Until there is a recipe: natural" in seen
    assert "Everything. No law is fitted, no mixture is compared." in seen
