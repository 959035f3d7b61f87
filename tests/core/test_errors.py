"""Every message has four parts, and every class its exit code."""

from __future__ import annotations

import pickle

import pytest

from mixdesk.core import errors
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import Infeasible, InputError, MissingExtra, MixdeskError, NotEnoughEvidence
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.scale import Budget, ModelSpec, Scale
from mixdesk.core.space import Constraints, Space

CORPUS = Corpus(
    name="c",
    tokenizer=Tokenizer(name="bytes", vocab_size=257, sha256=""),
    domains=(Domain(name="code", n_tokens=155_000), Domain(name="web", n_tokens=90_000_000)),
)


def no_fit() -> Space:
    constraints = Constraints(lower={"code": 0.05}, max_epochs=4.0)
    return Space.build(constraints, CORPUS.names, CORPUS, Scale(n_tokens=20_000_000))


BAD = {
    "weights": (lambda: Mixture.of({"a": 0.5, "b": 0.6}), InputError, "sum to one", "normalise"),
    "negative": (lambda: Mixture.of({"a": 1.5, "b": -0.5}), InputError, "weight of `b`", "correct"),
    "stray": (lambda: Mixture.of({"cod": 1.0}).over(["code"]), InputError, "`cod`", "did you mean `code`?"),
    "metric": (lambda: Objective(terms={"los": 1.0}).weights([Metric(name="loss")]), InputError, "`los`", "`loss`"),
    "budget": (Budget, InputError, "budget is empty", "set at least one"),
    "heads": (
        lambda: ModelSpec(n_layers=1, d_model=6, n_heads=4, vocab_size=8, seq_len=8),
        InputError,
        "even heads",
        "n_heads",
    ),
    "clash": (no_fit, Infeasible, "`code` may be at most 0.031", "raise max_epochs to 6.452"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_all_four_parts(name):
    act, kind, wrong, remedy = BAD[name]
    with pytest.raises(kind) as caught:
        act()
    error = caught.value
    assert wrong in error.wrong
    assert remedy in error.remedy
    assert error.bound
    end = "" if error.remedy.endswith("?") else "."
    assert str(error) == f"{error.wrong}: found {shown(error)}, expected {error.bound}; {error.remedy}{end}"


def shown(error: MixdeskError) -> str:
    return error.value if isinstance(error.value, str) else repr(error.value)


def test_the_tree_and_its_exit_codes():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, MixdeskError)]
    assert {k.__name__ for k in kinds if k.exit_code == 3} == {"Infeasible", "NotEnoughEvidence"}
    assert issubclass(InputError, ValueError)
    assert NotEnoughEvidence.__mro__[1] is MixdeskError


def test_long_values_are_cut():
    text = str(InputError("x is wrong", value="y" * 1000, bound="less", remedy="cut it"))
    assert len(text) < 400
    assert "y..." in text


def test_within_keeps_the_class_and_the_parts():
    error = Infeasible("clash", value=1, bound="2", remedy="relax").within("study.toml")
    assert type(error) is Infeasible
    assert str(error) == "study.toml: clash: found 1, expected 2; relax."


@pytest.mark.parametrize(
    "error",
    [InputError("x", value=(1, 2), bound="less", remedy="cut it").within("f"), MissingExtra("torch", "train")],
    ids=["InputError", "MissingExtra"],
)
def test_an_error_crosses_processes_with_its_parts(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_missing_extra_says_the_install_command():
    error = MissingExtra("torch", "train")
    assert "pip install" in error.remedy
    assert "mixdesk[train]" in error.remedy
