"""Ids: the same question has the same id, today and in every later version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.errors import InputError
from mixdesk.core.files import from_data, to_data
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.plan import External, Plug, Proposal, RunPlan, TrialSpec, complete, plan_at
from mixdesk.core.scale import Hyper, ModelSpec, MoESpec, Rung, Scale

GOLDEN = Path(__file__).parents[1] / "golden" / "ids.json"
MODEL = ModelSpec(n_layers=2, d_model=64, n_heads=2, vocab_size=2048, seq_len=128)
HALVES = Mixture.of({"code": 0.5, "web/news": 0.5})

# One spec per feature of the type; their ids are in the golden file and never change.
SPECS = {
    "plain": TrialSpec(plan=RunPlan(schedule=Schedule.constant(HALVES))),
    "imported": TrialSpec(
        plan=RunPlan(schedule=Schedule.constant(Mixture.of({"a": 0.1 + 0.2, "b": 0.7}))),
        external=External(source="runs.csv", run="17"),
    ),
    "built-in": TrialSpec(
        plan=RunPlan(
            schedule=Schedule.constant(HALVES),
            scale=Scale(n_tokens=81_920, n_params=98_304),
            model=MODEL,
            hyper=Hyper(),
        ),
        corpus="c" * 64,
        evals=("e" * 64,),
        replicate=3,
        unique_share=0.25,
    ),
    "staged": TrialSpec(
        plan=RunPlan(
            schedule=Schedule(
                stages=(
                    Stage(mixture=HALVES, until=0.9),
                    Stage(mixture=Mixture.of({"code": 1.0}), objectives=Mixture.of({"causal": 0.75, "infill": 0.25})),
                )
            ),
            hyper=Hyper(lr=0.01),
        )
    ),
    "experts": TrialSpec(
        plan=RunPlan(
            schedule=Schedule.constant(HALVES),
            model=replace(MODEL, moe=MoESpec(n_experts=8, top_k=2, d_expert=64, n_shared=1)),
        ),
        controller=Plug(name="aioli", options={"rounds": 4, "floor": 0.05}),
    ),
    "merged": TrialSpec(
        plan=RunPlan(schedule=Schedule.constant(HALVES)), method="merge", parents={"0" * 12: 0.5, "1" * 12: 0.5}
    ),
}


def test_ids_are_those_of_the_golden_file():
    assert {name: spec.id for name, spec in SPECS.items()} == json.loads(GOLDEN.read_text(encoding="utf-8"))


@given(spec=st.from_type(TrialSpec))
def test_a_spec_read_back_asks_the_same_question(spec):
    assert from_data(TrialSpec, json.loads(json.dumps(to_data(spec)))).id == spec.id
    assert from_data(TrialSpec, json.loads(json.dumps(to_data(spec, lean=True)))).id == spec.id
    assert len(spec.id) == 12
    assert set(spec.id) <= set("0123456789abcdef")


@given(spec=st.from_type(TrialSpec), data=st.data())
def test_the_order_in_which_domains_are_written_does_not_matter(spec, data):
    raw = to_data(spec)
    for stage in raw["plan"]["schedule"]["stages"]:
        mixture = stage["mixture"]
        order = data.draw(st.permutations(range(len(mixture["domains"]))))
        mixture["domains"] = [mixture["domains"][i] for i in order]
        mixture["weights"] = [mixture["weights"][i] for i in order]
    assert from_data(TrialSpec, raw).id == spec.id


def test_a_field_at_its_default_changes_no_id():
    plain = SPECS["plain"]
    said = TrialSpec(plan=plain.plan, corpus=None, evals=(), replicate=0, unique_share=1.0, method="train")
    assert said.id == plain.id


@pytest.mark.parametrize(
    "change",
    [
        {"replicate": 1},
        {"unique_share": 0.5},
        {"corpus": "x"},
        {"evals": ("x",)},
        {"plan": RunPlan(schedule=Schedule.constant(Mixture.of({"code": 0.5 + 1e-12, "web/news": 0.5 - 1e-12})))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_question_has_another_id(change):
    assert replace(SPECS["plain"], **change).id != SPECS["plain"].id


def test_options_of_a_plug_are_sorted():
    assert Plug(name="p", options={"b": 1, "a": [2]}).options == (("a", [2]), ("b", 1))


def test_a_proposal_is_completed_from_its_rung():
    rung = Rung(label="proxy", model=MODEL, hyper=Hyper(), scale=Scale(n_tokens=1000), unique_share=0.25)
    spec = complete(Proposal(mixture=HALVES, rung="proxy", replicate=2), (rung,), corpus="c", evals=("b", "a"))
    assert spec.plan == RunPlan(schedule=Schedule.constant(HALVES), scale=rung.scale, model=MODEL, hyper=rung.hyper)
    assert (spec.replicate, spec.unique_share, spec.corpus, spec.evals) == (2, 0.25, "c", ("a", "b"))
    assert spec.mixture == HALVES
    with pytest.raises(InputError, match="did you mean `proxy`"):
        complete(Proposal(mixture=HALVES, rung="prox"), (rung,))


@pytest.mark.parametrize("change", [{"replicate": -1}, {"unique_share": 0.0}, {"method": "trian"}])
def test_specs_that_make_no_sense_are_refused(change):
    with pytest.raises(InputError):
        replace(SPECS["plain"], **change)


def test_a_plug_is_read_from_a_command_line() -> None:
    assert Plug.parse("by_label") == Plug(name="by_label")
    assert Plug.parse('a:k=20, keep=["de","fr"],path=x/y.jsonl') == Plug(
        name="a", options={"k": 20, "keep": ["de", "fr"], "path": "x/y.jsonl"}
    )
    with pytest.raises(InputError, match="an option without a value"):
        Plug.parse("a:k")


def test_over_the_last_stage_the_rate_falls():
    before = Stage(mixture=HALVES, until=0.8)
    last = Mixture.of({"code": 1.0, "web/news": 0.0})
    rung = Rung(label="target", scale=Scale(n_tokens=1000), model=MODEL, hyper=Hyper(lr=0.01, warmup=0.9, decay=0.1))
    plan = plan_at(rung, last, before)
    assert plan.schedule.stages == (before, Stage(mixture=last))
    assert plan.hyper == Hyper(lr=0.01, warmup=0.8, decay=1.0 - 0.8)
    assert plan_at(replace(rung, hyper=None), last, before).hyper == Hyper(decay=1.0 - 0.8)
    assert plan_at(replace(rung, hyper=None, model=None), last, before).hyper is None
    assert plan_at(rung, last).hyper == rung.hyper
    asked = Proposal(mixture=last, rung="target", before=before)
    assert complete(asked, (rung,)).plan == plan
    assert complete(replace(asked, before=None), (rung,)).plan == plan_at(rung, last)
