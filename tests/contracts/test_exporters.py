"""Every exporter on every order: read back to 1e-6, byte for byte the same again, and verified by the target itself.

What a target cannot express is listed with the words of its refusal: another refusal, or none, is a failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import mixdesk
from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.export import Order
from mixdesk.core.files import write_json
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import HasSnippet
from mixdesk.testing.orders import orders, write_made

ORDERS = orders()
NAMES = registry.names("exporters")
# Main files that follow from the weights as they are, and one option whose form is another.
SNIPPETS = ["litgpt", "megatron", "megatron_bridge", "nanotron", "nemo", "neox", "torchtitan", "weights"]
# Nobody draws from a card, and `files` are documents of a corpus: tests/export/test_files.py counts them.
DRAWN = [name for name in NAMES if name not in ("card", "files")]
# What a target cannot express: words of its refusal, with the domain, its weight and the least that can be held.
TWO = ("`books` is under", "found 5e-05", "at least 0.001;", "under 2 of 2,000 sequences", "take a longer run")
ONE = ("`books` is under", "found 5e-05", "at least 0.0005;", "take a longer run")
REFUSED = {
    **{(name, "short run"): TWO for name in ("megatron", "nemo", "megatron_bridge", "neox", "nanotron")},
    **{(name, "short run"): ONE for name in ("levanter", "olmo_core", "litgpt", "streaming", "torchtitan")},
    ("megatron", "slashes"): ("a blank ends a word", "found data/web/low, raw", "per_split=true"),
    ("litgpt", "two stages"): ("cannot change the mixture during a run", "found 2 stages", "expected one stage"),
}


def cases(names: Sequence[str], slow: Sequence[str] = ()) -> list[Any]:
    """Each target with each order that it can express; the orders `slow` take more than a few seconds."""
    return [
        pytest.param(name, case, id=f"{name}-{case}", marks=[pytest.mark.slow] if case in slow else [])
        for name in names
        for case in ORDERS
        if (name, case) not in REFUSED
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(("name", "case"), cases(NAMES))
def test_what_is_written_comes_back(name: str, case: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=name)), ORDERS[case]
    export = exporter.export(order, tmp_path / "a")
    exporter.export(order, tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert set(export.files) <= set(files_of(tmp_path / "a"))
    # A number that YAML takes for a text, as `5e-05`, is no weight to a trainer.
    for file in (tmp_path / "a").glob("*.yaml"):
        assert not re.search(r"[\"']\de-\d", json.dumps(yaml.safe_load(file.read_text()))), file
    assert export.sentence.endswith(".")
    assert export.unit
    for stage in export.stages:
        assert sum(one.weight for one in stage.shares) == pytest.approx(1.0)
        assert sum(one.realised for one in stage.shares) == pytest.approx(1.0)

    write_json(tmp_path / "a" / "mixdesk.json", replace(export, target=name))
    stages = mixdesk.read_mixture(tmp_path / "a", name).plan.schedule.stages
    asked = order.plan.schedule.stages
    assert [stage.until for stage in stages] == pytest.approx([stage.until for stage in asked], abs=1e-6)
    for stage, wanted in zip(stages, asked, strict=True):
        weights = stage.mixture.as_dict()
        found = {domain: weights.get(domain, 0.0) for domain in wanted.mixture.domains}
        assert found == pytest.approx(wanted.mixture.as_dict(), abs=1e-6)


@pytest.mark.parametrize(("name", "case"), REFUSED)
def test_what_a_target_cannot_express_is_refused_by_name(name: str, case: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        registry.make("exporters", Plug(name=name)).export(ORDERS[case], tmp_path)
    assert [words for words in REFUSED[name, case] if words not in str(refusal.value)] == []
    assert files_of(tmp_path) == {}


@pytest.mark.parametrize(("name", "case"), cases(DRAWN, slow=("200 domains", "tiny weight")))
def test_the_target_trains_what_was_asked(name: str, case: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=name)), ORDERS[case]
    export = exporter.export(order, tmp_path)
    if exporter.data:
        write_made(order, exporter.data.format(seq_len=order.seq_len), tmp_path / order.data)
    try:
        found = exporter.verify(tmp_path, export, 100_000)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {exporter.package}: make verify ({error.name})")
    assert len(found.stages) == len(export.stages)
    for stage in found.stages:
        assert stage.error <= stage.allowed, (stage.asked, stage.realised)
        parts = {domain: dict(stage.realised).get(domain, 0.0) / weight for domain, weight in stage.asked}
        assert min(parts.values()) > 0.0, "a domain is never drawn"
        # A thousandth says nothing of small weights; of a run that is too short, a document is many times the least.
        if not stage.chance and case != "short run":
            assert max(abs(part - 1.0) for part in parts.values()) < 0.2, parts


def train_on(order: Order, weights: Any) -> Order:
    mixture = Mixture.of(dict(weights), normalise=True)
    return replace(order, plan=replace(order.plan, schedule=Schedule.constant(mixture)))


def test_whose_main_file_is_a_plain_function_of_the_weights() -> None:
    assert sorted(n for n in NAMES if isinstance(registry.make("exporters", Plug(name=n)), HasSnippet)) == SNIPPETS


@pytest.mark.parametrize("case", ["cap", "200 domains", "slashes"])
@pytest.mark.parametrize("form", [*(name for name in SNIPPETS if name != "megatron"), "megatron:per_split=true"])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_snippet_filled_in_is_the_file_of_the_export(form: str, case: str, data: st.DataObject) -> None:
    """From a snippet over all domains to any mixture of them: zeros, weights of many digits, and tiny ones."""
    exporter, order = registry.make("exporters", Plug.parse(form)), replace(ORDERS[case], source="recipe of study x")
    order = replace(order, n_tokens=10**12)
    domains = order.plan.schedule.domains
    weight = st.one_of(st.just(0.0), st.floats(1e-7, 1.0), st.sampled_from([1e-6, 5e-5, 1e-4, 0.25, 1.0]))
    weights = data.draw(st.lists(weight, min_size=len(domains), max_size=len(domains)).filter(any))
    asked = train_on(order, zip(domains, weights, strict=True))
    snippet = exporter.snippet(train_on(order, dict.fromkeys(domains, 1.0)))
    with TemporaryDirectory() as folder:
        export = exporter.export(asked, Path(folder))
        assert snippet.file in export.files
        assert snippet.sentence == export.sentence
        mixture = asked.plan.schedule.stages[0].mixture
        assert snippet.text(mixture).encode() == (Path(folder) / snippet.file).read_bytes()


def test_a_snippet_of_megatrons_words_is_its_file(tmp_path: Path) -> None:
    exporter = registry.make("exporters", Plug(name="megatron"))
    everything = train_on(ORDERS["zero weight"], {"web": 1.0, "code": 1.0, "books": 1.0})
    bare = exporter.snippet(replace(everything, n_tokens=None, seq_len=None, domains=(), tokenizer=None))
    assert bare == replace(exporter.snippet(everything), least=0.0)
    exporter.export(ORDERS["zero weight"], tmp_path)
    text = bare.text(ORDERS["zero weight"].plan.schedule.stages[0].mixture)
    assert text == "0.3 data/code\n0.7 data/web\n" == (tmp_path / "phase0.txt").read_text()
    with pytest.raises(InputError, match="a blank"):
        exporter.snippet(ORDERS["slashes"])


@pytest.mark.parametrize("form", SNIPPETS)
def test_a_weight_under_the_least_is_refused(form: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=form)), ORDERS["one stage"]
    least = exporter.snippet(order).least
    if form == "weights":
        assert least == 0.0
        return
    for factor in (1.01, 0.99):
        tiny = train_on(order, {"web": 0.7 - least * factor, "code": 0.3, "books": least * factor})
        if factor > 1.0:
            exporter.export(tiny, tmp_path)
        else:
            with pytest.raises(InputError, match="`books` is under"):
                exporter.export(tiny, tmp_path)
