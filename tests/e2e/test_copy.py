"""The copy box in a headless Chromium: a trainer's file for the mixture on the faders is the one an export writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixdesk as mx
from mixdesk.api.recipes import read_recipe
from mixdesk.core.export import digits
from mixdesk.core.files import write_json
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Verdict
from mixdesk.core.scale import Hyper, ModelSpec
from mixdesk.core.trial import Point
from mixdesk.study.config import StudyConfig

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: the page is not tested in a browser"),
]
# Domain → words of a document: a slash, quotes and letters that JSON could escape are in the names.
TEXTS = {"books": 200, "code/py": 20, "web/«high»": 60, 'web/<b>"low"': 40}
EVERY = ["megatron", "nemo", "megatron_bridge", "neox", "nanotron", "litgpt", "torchtitan", "weights"]
TRAINED = Verdict(name="better", state="predicted", headline="h", reason="r", remedy="m", recommended="recipe")


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on a corpus, with a model at its target, answers from outside, a recipe and its desk."""
    folder, rng = tmp_path_factory.mktemp("copied"), np.random.default_rng(0)
    documents = [
        mx.Document(text=" ".join(f"w{i}" for i in rng.integers(500, size=n)), label=name)
        for name, n in TEXTS.items()
        for _ in range(40)
    ]
    mx.build_corpus(documents, folder / "corpus", tokenizer="bytes", overlap=False)
    model = ModelSpec(n_layers=2, d_model=16, n_heads=2, vocab_size=257, seq_len=32)
    config = StudyConfig(
        name="copied",
        corpus="../corpus",
        objective=mx.Objective(terms=(("loss", 1.0),)),
        metrics=(mx.Metric(name="loss"),),
        constraints=mx.Constraints(max_epochs=10.0),
        rungs=(mx.Rung(label="only", scale=mx.Scale(n_tokens=64_000), model=model, hyper=Hyper(batch_tokens=640)),),
        law=mx.Plug(name="exponential"),
    )
    (folder / "study").mkdir()
    study = mx.new_study(folder / "study", config)
    slope = np.array([-1.0, 0.5, -2.0, 0.3])
    for spec in mx.ask_study(study, 24):
        loss = 1.0 + float(np.exp(np.array(spec.plan.schedule.stages[0].mixture.over(study.view().domains)) @ slope))
        point = Point(n_tokens=64_000, metrics=(("loss", loss + 0.002 * rng.normal()),))
        study.tell(spec.id, mx.Result(state="done", points=(point,)))
    mx.make_recipe(study)
    mx.write_desk(study)
    return study.folder


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs out of two tables: no corpus, no sizes."""
    rng = np.random.default_rng(0)
    W_nd = rng.dirichlet(np.ones(3), 20)
    loss_n = 1.0 + np.exp(W_nd @ np.array([-1.0, 0.5, 0.2])) + 0.002 * rng.normal(size=20)
    ids = [f"r{i}" for i in range(20)]
    mixtures = {"run": ids, **dict(zip(("a", "b", "c"), W_nd.T, strict=True))}
    study = mx.import_study(mixtures, {"run": ids, "loss": loss_n}, tmp_path_factory.mktemp("tables") / "study")
    mx.make_recipe(study, law="exponential")
    mx.write_desk(study)
    return study.folder


@pytest.fixture(scope="module")
def open_desk() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])

        def open_(folder: Path) -> Any:
            page = browser.new_page()
            page.said = []
            page.on("console", lambda message: page.said.append(message.text))
            page.on("pageerror", lambda error: page.said.append(error.message))
            page.goto((folder / "desk.html").as_uri())
            return page

        yield open_
        browser.close()


def menu(page: Any) -> list[str]:
    return page.locator("select[aria-label='copy for a trainer'] option").all_text_contents()[1:]


def chosen(page: Any, target: str) -> str:
    page.get_by_label("copy for a trainer").select_option(target)
    text = page.evaluate("mixdesk.code()")
    assert page.locator(".master .code").text_content() == text
    return text


def exported(folder: Path, mixture: Mixture, target: str, out: Path, **options: Any) -> mx.Export:
    """The export of a recipe of the study with that mixture alone."""
    recipe = read_recipe(folder)
    plan = replace(recipe.plan, schedule=Schedule.constant(mixture))
    write_json(folder / "mine.json", replace(recipe, plan=plan, verdict=TRAINED))
    return mx.export_recipe(folder / "mine.json", target, out, **options)


# Positions of faders and what they are set to, from the natural mixture.
MOVES: list[list[tuple[int, float]]] = [
    [],
    [(0, 0.125), (2, 0.2)],
    [(1, 0.0), (3, 0.0)],
]


@pytest.mark.parametrize("moves", MOVES)
def test_the_box_has_the_bytes_of_the_export(
    studied: Path, open_desk: Any, moves: list[tuple[int, float]], tmp_path: Path
) -> None:
    page = open_desk(studied)
    page.evaluate("mixdesk.preset('natural')")
    for i, weight in moves:
        page.evaluate("([i, w]) => { mixdesk.move(i, w); mixdesk.settle(); }", [i, weight])
    page.wait_for_timeout(300)
    domains = mx.open_study(studied).view().domains
    mixture = Mixture.of(dict(zip(domains, page.evaluate("mixdesk.weights()"), strict=True)))
    assert menu(page) == EVERY
    for target in EVERY:
        text = chosen(page, target)
        # No bytes of the export's own corpus are needed: `data` is where the export would put them.
        export = exported(studied, mixture, target, tmp_path / target, data="data")
        said = page.locator(".master .copy + .u").text_content()
        file = said.split(". ")[0]
        assert file in export.files
        assert text.encode() == (tmp_path / target / file).read_bytes()
        assert said == f"{file}. {export.sentence}"
    page.get_by_role("button", name="CLI").click()
    assert page.get_by_label("copy for a trainer").input_value() == "CLI"
    assert page.evaluate("mixdesk.code()").startswith("mixdesk law predict")
    assert page.said == []


def test_a_weight_that_the_target_cannot_hold_is_told(studied: Path, open_desk: Any, tmp_path: Path) -> None:
    page, domains = open_desk(studied), mx.open_study(studied).view().domains
    page.evaluate("mixdesk.preset('natural'); mixdesk.move(1, 3e-5); mixdesk.settle();")
    page.wait_for_timeout(300)
    held = page.evaluate("mixdesk.weights()")
    text = chosen(page, "megatron")
    assert f"{digits(held[1])} data/{domains[1]}\n" in text
    said = page.locator(".master .copy + .u").text_content()
    assert said.endswith(f"△ An export refuses a weight under 0.00100: {domains[1]}")
    mixture = Mixture.of(dict(zip(domains, held, strict=True)))
    with pytest.raises(mx.InputError, match="under what this target can hold"):
        exported(studied, mixture, "megatron", tmp_path / "out", data="data")
    # The page's own warnings stay beside it.
    page.evaluate("mixdesk.move(1, 1); mixdesk.settle();")
    page.wait_for_timeout(300)
    assert "Over 10 epochs" in page.locator(".master .notes").inner_text()
    assert page.evaluate("mixdesk.code()") == f"1.0 data/{domains[1]}\n"


def test_without_a_corpus_there_are_those_that_need_names_alone(imported: Path, open_desk: Any, tmp_path: Path) -> None:
    page = open_desk(imported)
    page.evaluate("mixdesk.move(0, .3); mixdesk.settle();")
    page.wait_for_timeout(300)
    assert menu(page) == ["megatron", "weights"]
    mixture = Mixture.of(dict(zip("abc", page.evaluate("mixdesk.weights()"), strict=True)))
    sizes = {"n_tokens": 10_000_000, "seq_len": 100}
    for target, file in (("megatron", "phase0.txt"), ("weights", "weights.json")):
        exported(imported, mixture, target, tmp_path / target, **sizes)
        assert chosen(page, target).encode() == (tmp_path / target / file).read_bytes()


def test_numbers_are_written_as_python_s(imported: Path, open_desk: Any) -> None:
    page, rng = open_desk(imported), np.random.default_rng(3)
    wanted = [1.0, 0.5, 1e-4, 9.999e-5, 1e-5, 5e-324, 2.5e-300, 1 / 3, *(10.0 ** rng.uniform(-20, 0, 60)).tolist()]
    seen = ""
    for weight in wanted:
        page.evaluate("w => { mixdesk.move(0, 0); mixdesk.move(1, 0); mixdesk.move(1, w); }", weight)
        held = page.evaluate("mixdesk.weights()")
        lines = "".join(f"{digits(w)} data/{name}\n" for name, w in zip("abc", held, strict=True) if w > 0.0)
        assert chosen(page, "megatron") == lines
        seen += lines
    assert all(text in seen for text in ("1.0 data/b\n", "0.0001 ", "9.999e-05 ", "1.0e-05 ", "5.0e-324 "))
