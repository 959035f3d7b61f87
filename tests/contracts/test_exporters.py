"""Every exporter on every order: read back to 1e-6, byte for byte the same again, and verified by the target itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixdesk
from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.export import Export, Order
from mixdesk.core.files import write_json
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Exporter, HasSnippet
from mixdesk.testing.orders import orders, write_made

ORDERS = orders()
NAMES = registry.names("exporters")
# Main files that follow from the weights as they are, and one option whose form is another.
SNIPPETS = ["litgpt", "megatron", "megatron_bridge", "nanotron", "nemo", "torchtitan", "weights"]


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def written(exporter: Exporter, order: Order, out: Path) -> Export:
    """The export, or a skip that says what the target cannot express; nothing lies there then."""
    try:
        return exporter.export(order, out)
    except InputError as error:
        reason = error
    assert not out.exists() or not files_of(out)
    pytest.skip(f"cannot be expressed: {reason}")


@pytest.mark.parametrize("case", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_comes_back(name: str, case: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=name)), ORDERS[case]
    export = written(exporter, order, tmp_path / "a")
    exporter.export(order, tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert set(export.files) <= set(files_of(tmp_path / "a"))
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


@pytest.mark.parametrize("case", ORDERS)
@pytest.mark.parametrize("name", [name for name in NAMES if registry.part("exporters", name).package])
def test_the_target_trains_what_was_asked(name: str, case: str, tmp_path: Path) -> None:
    exporter, order = registry.make("exporters", Plug(name=name)), ORDERS[case]
    export = written(exporter, order, tmp_path)
    if exporter.data:
        write_made(order, exporter.data.format(seq_len=order.seq_len), tmp_path / order.data)
    try:
        found = exporter.verify(tmp_path, export, 100_000)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {exporter.package}: make verify ({error.name})")
    assert len(found.stages) == len(export.stages)
    for stage in found.stages:
        assert stage.error <= stage.allowed, (stage.asked, stage.realised)


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
