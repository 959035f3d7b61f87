"""Weights alone: DoReMi's JSON and olmix's YAML, written and read, and what else people keep weights in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mixdesk.core.errors import InputError
from mixdesk.export.weights import Weights
from mixdesk.testing.orders import THREE, VECTOR, order, orders

OLMIX = """\
priors:
  relative_sizes:
    "books": 0.05714285714285714
    "code": 0.08571428571428572
    "web": 0.8571428571428571
  token_counts:
    "books": 40000
    "code": 60000
    "web": 600000
constraints:
  target_tokens: 200000
  enabled: true
  repetition_factor: 1.0
weights:
  "books": 0.1
  "code": 0.3
  "web": 0.6
"""


def test_the_test_vector_in_both_forms(tmp_path: Path) -> None:
    capped = order(VECTOR, (1.0, THREE), max_epochs=(("code", 1.0),))
    Weights().export(capped, tmp_path / "a")
    both = dict(sorted(THREE.items()))
    assert json.loads((tmp_path / "a" / "weights.json").read_text()) == {
        "train_domain_weights": both, "eval_domain_weights": both,
    }  # fmt: skip
    export = Weights(form="olmix").export(capped, tmp_path / "b")
    text = (tmp_path / "b" / "weights.yaml").read_text()
    assert "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#")) == OLMIX
    found = Weights().read(tmp_path / "b")
    assert found.plan.schedule.stages[0].mixture.as_dict() == THREE
    assert found.plan.scale.n_tokens == 200_000
    assert dict(found.limits) == dict.fromkeys(THREE, 1.0)
    assert {one.name: one.n_tokens for one in found.domains} == {name: n for name, (n, _) in VECTOR.items()}
    check = Weights().verify(tmp_path / "b", export, 10)
    assert check.stages[0].error == 0.0
    assert check.stages[0].n_tokens == 200_000
    assert "no trainer's code" in check.how


@pytest.mark.parametrize("form", ["doremi", "olmix"])
@pytest.mark.parametrize("case", ["two stages", "slashes", "zero weight", "200 domains", "tiny weight"])
def test_they_come_back_to_the_last_digit(form: str, case: str, tmp_path: Path) -> None:
    wanted = orders()[case]
    Weights(form=form).export(wanted, tmp_path)
    stages = Weights().read(tmp_path).plan.schedule.stages
    for file in tmp_path.iterdir():
        assert all(isinstance(weight, float) for weight in yaml.safe_load(file.read_text()).get("weights", {}).values())
    for stage, asked in zip(stages, wanted.plan.schedule.stages, strict=True):
        used = {name: weight for name, weight in asked.mixture.as_dict().items() if weight > 0.0}
        assert stage.mixture.as_dict() == pytest.approx(used, abs=1e-15)


def test_a_run_of_unknown_length_and_domains_of_unknown_size(tmp_path: Path) -> None:
    bare = replace(order(VECTOR, (1.0, THREE)), n_tokens=None, domains=())
    export = Weights(form="olmix").export(bare, tmp_path)
    assert "priors" not in (tmp_path / "weights.yaml").read_text()
    assert export.stages[0].end is None
    assert Weights().verify(tmp_path, export, 1).stages[0].error == 0.0


@pytest.mark.parametrize(
    ("name", "text", "note"),
    [
        (
            "a.json",
            '{"train_domain_weights": {"web": 0.75, "code": 0.25}, "eval_domain_weights": {"web": 1}}',
            "evaluation",
        ),
        ("a.json", '{"web": 3, "code": 1}', "sum to 4"),
        ("a.json", '[{"domain": "web", "weight": 0.75}, {"domain": "code", "weight": 0.25}]', ""),
        ("a.yaml", "train: {train_web: 0.75, train_code: 0.25}\nvalid: {valid_web: 1.0}\n", "RegMix"),
        ("a.yaml", "priors: {relative_sizes: {web: 0.75, code: 0.25}}\n", "natural mixture"),
        ("a.yaml", "priors: {token_counts: {web: 300, code: 100}}\n", "natural mixture"),
        ("a.yaml", "web: 0.75\ncode: 0.25\n", ""),
    ],
)
def test_files_of_others(name: str, text: str, note: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = Weights().read(tmp_path / name)
    assert found.plan.schedule.stages[0].mixture.as_dict() == {"code": 0.25, "web": 0.75}
    assert note in " ".join(found.notes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"), ("a.json", "[]"), ("a.json", '{"web": "much"}'), ("a.json", '{"web": -1}'),
        ("a.json", '{"web": 0}'),
        ("a.json", '{"train_domain_weights": 3}'), ("a.yaml", "priors: 3"),
        ("a.yaml", "priors: {token_counts: {a: x}}"),
        ("a.yaml", "weights: {}"), ("a.yaml", "a: ["),
    ],
)  # fmt: skip
def test_what_says_no_weights_is_refused(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="could not be understood"):
        Weights().read(tmp_path / name)


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean `olmix`"):
        Weights(form="olmx")
    with pytest.raises(InputError, match="nothing of that name"):
        Weights().read(tmp_path)
