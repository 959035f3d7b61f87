"""The blend as files: what is in them, in each form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import mixdesk as mx
from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.plan import Plug
from mixdesk.export.files import Files


@pytest.mark.parametrize("form", ["jsonl", "parquet", "megatron"])
def test_the_blend_has_whole_documents_in_the_right_numbers(form: str, made: Path, tmp_path: Path) -> None:
    mx.export_recipe(made / "study", f"files:form={form}", tmp_path / "out")
    found = mx.verify_export(tmp_path / "out")
    assert [one.n_tokens for one in found.stages] == pytest.approx([10_000, 10_000], abs=1_000)
    assert all(one.error <= one.resolution < 0.15 for one in found.stages)
    assert mx.read_mixture(tmp_path / "out", "files").plan == mx.read_recipe(made / "study").plan
    # What is hidden is left behind when files are copied: nothing that a verification needs is.
    for hidden in (tmp_path / "out").rglob(".*"):
        hidden.unlink()
    assert mx.verify_export(tmp_path / "out") == found
    stage = tmp_path / "out" / "data" / "stage0"
    if form == "megatron":
        (part,) = registry.make("formats", Plug(name="megatron")).read(stage).parts
        assert len(part.lengths) == len(np.load(stage / "00000.domains.npy"))
    elif form == "parquet":
        assert pq.read_table(stage / "00000.parquet").column_names == ["text", "domain", "n_tokens"]


@pytest.mark.parametrize("seed", range(4))
def test_whole_documents_leave_no_more_than_is_said(seed: int, made: Path, tmp_path: Path) -> None:
    """Of a run so short that a domain is a document or two, and of one ten times as long."""
    found = []
    recipe = mx.read_recipe(made / "study")
    for n_tokens in (12_000, 120_000):
        out = tmp_path / str(n_tokens)
        mx.export_recipe(recipe, f"files:seed={seed}", out, corpus=made / "corpus", n_tokens=n_tokens)
        found.append(mx.verify_export(out).stages)
        assert all(0.0 < one.error <= one.resolution == one.allowed for one in found[-1])
    assert found[1][0].resolution < found[0][0].resolution / 4


def test_a_weight_far_under_one_document_is_too_much(made: Path, tmp_path: Path) -> None:
    mixture = mx.Mixture.of({"books": 0.0001, "code": 0.0999, "web/high": 0.9})
    recipe = mx.read_recipe(made / "study")
    plan = replace(recipe.plan, schedule=mx.Schedule.constant(mixture))
    mx.export_recipe(replace(recipe, plan=plan), "files", tmp_path / "out", corpus=made / "corpus", n_tokens=5_000)
    [stage] = mx.verify_export(tmp_path / "out").stages
    assert dict(stage.realised)["books"] > 0.0
    assert stage.error > stage.allowed


def test_it_needs_a_corpus_with_tokens(made: Path, tmp_path: Path) -> None:
    recipe = mx.read_recipe(made / "study")
    with pytest.raises(InputError, match="mixdesk's to write"):
        mx.export_recipe(recipe, "files", tmp_path / "out")
    with pytest.raises(InputError, match="mixdesk's to write"):
        mx.export_recipe(made / "study", "files", tmp_path / "out", data="/tokens")
    with pytest.raises(InputError):
        Files(form="csv")
    assert not (tmp_path / "out").exists()


def test_files_that_are_gone_are_missed(made: Path, tmp_path: Path) -> None:
    mx.export_recipe(made / "study", "files", tmp_path / "out")
    (tmp_path / "out" / "data" / "stage1" / "00000.jsonl").unlink()
    with pytest.raises(InputError, match="has no documents"):
        mx.verify_export(tmp_path / "out")
    (tmp_path / "files.json").write_text('{"schema": 1, "stages": []}')
    with pytest.raises(InputError, match="could not be understood"):
        Files().read(tmp_path)
