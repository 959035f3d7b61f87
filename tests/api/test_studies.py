"""What new, ask and confirm refuse, and that a refusal leaves nothing behind in the record."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import mixdesk as mx
from mixdesk.api.studies import make_strategy
from mixdesk.core.errors import InputError
from mixdesk.core.files import write_json
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Budget, Hyper, ModelSpec, Rung, Scale
from mixdesk.study.config import StudyConfig

CONFIG = StudyConfig(
    name="outside",
    domains=("a", "b", "c"),
    metrics=(Metric(name="loss"),),
    objective=Objective(terms=(("loss", 1.0),)),
    rungs=(Rung(label="proxy", scale=Scale(n_tokens=1_000)), Rung(label="target", scale=Scale(n_tokens=4_000))),
    budget=Budget(n_trials=20),
)
WORLD = StudyConfig(
    name="world",
    objective=Objective(terms=(("bpb/domain/*", 1.0),)),
    trainer=Plug(name="synthetic"),
    budget=Budget(n_trials=4),
)


def test_a_file_that_cannot_be_written_asks_nothing(tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", CONFIG)
    (tmp_path / "file").touch()
    for out in (tmp_path / "asked.txt", tmp_path / "file" / "asked.csv"):
        with pytest.raises(InputError):
            mx.ask_study(study, 4, out)
    for n in (0, -1):
        with pytest.raises(InputError, match="`n` is not a valid count"):
            mx.ask_study(study, n)
    assert study.view().trials == ()
    assert len(mx.ask_study(study, 4, tmp_path / "asked.csv")) == 4
    assert len((tmp_path / "asked.csv").read_text().splitlines()) == 1 + 4


def test_a_trainer_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean `builtin`"):
        mx.new_study(tmp_path / "s", replace(CONFIG, trainer=Plug(name="buitlin")))
    assert not (tmp_path / "s").exists()


def test_a_trainer_without_its_corpus_is_refused_in_words(tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", replace(CONFIG, trainer=Plug(name="builtin")))
    with pytest.raises(InputError, match="`builtin` needs the option `corpus`"):
        mx.run_study(study)


def test_a_confirmation_without_a_trainer_asks_nothing(tmp_path: Path) -> None:
    study = mx.new_study(tmp_path / "s", CONFIG)
    specs = mx.ask_study(study, 20, tmp_path / "asked.csv")
    rows = [f"{spec.id},{2 + math.exp(-2 * spec.mixture.as_dict()['a'])}" for spec in specs]
    (tmp_path / "answers.csv").write_text("\n".join(["trial,loss", *rows]) + "\n")
    mx.tell_study(study, tmp_path / "answers.csv")
    recipe = mx.make_recipe(study)
    with pytest.raises(InputError, match="has no trainer"):
        mx.confirm_recipe(study, recipe)
    assert len(study.view().trials) == len(specs)


def test_what_waits_is_offered_again_after_what_is_new(tmp_path: Path) -> None:
    study, out = mx.new_study(tmp_path / "s", CONFIG), tmp_path / "asked.csv"
    first = mx.ask_study(study, 18)
    assert mx.ask_study(study, 5, out)[2:] == first[:3]
    assert len(study.view().trials) == 20
    assert len(out.read_text().splitlines()) == 1 + 5
    assert mx.ask_study(study, 3, out) == first[:3]
    (tmp_path / "told.csv").write_text("trial,loss\n" + "".join(f"{spec.id},1\n" for spec in study.pending()))
    mx.tell_study(study, tmp_path / "told.csv")
    before = out.read_bytes()
    assert mx.ask_study(study, 5, out) == ()
    assert out.read_bytes() == before
    assert mx.ask_study(study, 5, tmp_path / "new.csv") == ()
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(("state", "n"), [("failed", 8), ("diverged", 8), ("done", 1)])
def test_a_study_without_evidence_is_refused_in_words_and_kept(tmp_path: Path, state: str, n: int) -> None:
    study = mx.new_study(tmp_path / "s", replace(CONFIG, budget=Budget(n_trials=8)))
    points = (mx.Point(n_tokens=1_000, metrics=(("loss", 2.0),)),) if state == "done" else ()
    specs = mx.ask_study(study, 8)
    for spec in specs[:n]:
        study.tell(spec.id, mx.Result(state=state, points=points))
    before = study.view().record_sha256
    for name in ("design", "exact", "regmix"):
        with pytest.raises(mx.NotEnoughEvidence, match=f"found {n if points else 0} with an answer"):
            mx.make_recipe(study, strategy=name)
    with pytest.raises(mx.NotEnoughEvidence):
        mx.fit_law(study, "average")
    assert mx.ask_study(study, 8) == specs[n:]
    assert mx.write_desk(study).exists()
    assert study.view().record_sha256 == before


SYNTHETIC = """name = "world"
objective = { terms = { "bpb/domain/*" = 1.0 } }
budget = { n_trials = 6 }
trainer = { name = "synthetic", options = { d = 3, m = 2 } }
"""


def test_a_run_follows_the_budget_that_was_edited_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(SYNTHETIC)
    study = mx.new_study(tmp_path)
    assert mx.run_study(study).n_done == 6
    (tmp_path / "study.toml").write_text(SYNTHETIC.replace("n_trials = 6", "n_trials = 8"))
    assert mx.run_study(study).n_done == 2
    assert mx.open_study(tmp_path).config.budget == Budget(n_trials=8)
    for old, new, words in (
        ("d = 3", "d = 4", r"`trainer.options.d` was changed.* found 4, expected 3 as recorded; .*study new"),
        ("m = 2", "m = 3", r"`trainer.options.m` was changed"),
        ('name = "world"', 'name = "other"', "`name` was changed.* found other, expected 'world'"),
        ("budget", "bugdet", "unknown key `bugdet`"),
    ):
        (tmp_path / "study.toml").write_text(SYNTHETIC.replace(old, new, 1))
        with pytest.raises(InputError, match=words):
            mx.run_study(study)
    assert len(study.view().trials) == 8


def test_a_synthetic_study_uses_the_natural_mixture_that_was_written(tmp_path: Path) -> None:
    def start(folder: str, natural: str) -> mx.Study:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "study.toml").write_text(f"natural = {natural}\n" + SYNTHETIC)
        return mx.new_study(tmp_path / folder)

    natural = start("a", "{ d00 = 1, d01 = 3 }").view().natural
    assert natural is not None
    assert natural.as_dict() == {"d00": 0.25, "d01": 0.75}
    for i, bad in enumerate(("{ d0 = 1 }", "{ d00 = 2, d01 = -1 }")):
        with pytest.raises(InputError):
            start(f"bad{i}", bad)


def test_a_model_of_another_vocabulary_is_refused_by_new(tmp_path: Path, pico_corpus: Path) -> None:
    n_ids = mx.open_corpus(pico_corpus).tokenizer.vocab_size
    model = mx.ModelSpec(n_layers=1, d_model=16, n_heads=1, vocab_size=n_ids + 1, seq_len=32)
    rung = Rung(label="proxy", scale=Scale(n_tokens=1_000), model=model)
    config = StudyConfig(name="s", corpus=str(pico_corpus), objective=CONFIG.objective, rungs=(rung,))
    with pytest.raises(InputError, match="does not have the vocabulary"):
        mx.new_study(tmp_path / "s", config)
    assert not (tmp_path / "s").exists()


NO_LIMITS = mx.Constraints()


def built(folder: Path, domains: dict[str, str]) -> Path:
    """A corpus of one text per word of each domain."""
    texts = (
        mx.Document(text=f"{word} " * 200 + f"{i}", label=name, source=f"{name}:{i}")
        for name, words in domains.items()
        for i, word in enumerate(words.split())
    )
    mx.build_corpus(texts, folder, tokenizer="bytes")
    return folder


def answered(folder: Path, corpus: Path, limits: mx.Constraints = NO_LIMITS) -> mx.Study:
    """A study on a corpus, answered by a formula."""
    budget = Budget(n_trials=24)
    law = Plug(name="exponential")
    config = replace(CONFIG, name="old", domains=(), corpus=str(corpus), budget=budget, constraints=limits, law=law)
    study = mx.new_study(folder, config)
    tell(study, mx.ask_study(study, 24))
    return study


def tell(study: mx.Study, specs: tuple[mx.TrialSpec, ...]) -> None:
    gain = {"a": 1.0, "b": 2.0, "c": 0.5, "aa": 1.0, "new": 3.0}
    for spec in specs:
        loss = 2.0 + math.exp(-sum(gain[name] * weight for name, weight in spec.mixture.as_dict().items()))
        study.tell(spec.id, mx.Result(state="done", points=(mx.Point(n_tokens=1_000, metrics=(("loss", loss),)),)))


WORDS = {"a": "ant ape asp auk", "b": "bat bee bug boa", "c": "cat cow cod cub"}


def test_an_extended_study_asks_only_what_is_new_and_answers(tmp_path: Path) -> None:
    study = answered(tmp_path / "old", built(tmp_path / "one", WORDS))
    before = study.view().record_sha256
    words = {"aa": WORDS["a"], "b": WORDS["b"], "c": WORDS["c"], "new": "net nut nap nib"}
    new = mx.extend_study(study, tmp_path / "new", built(tmp_path / "two", words))
    assert study.view().record_sha256 == before
    assert mx.open_study(tmp_path / "new").config.corpus == "../two"
    best = study.view().best_seen()
    assert best is not None
    held = {("aa" if name == "a" else name): weight for name, weight in best.spec.mixture.as_dict().items()}
    specs = mx.ask_study(new, 100)
    assert len(specs) == 16
    assert len({round(spec.mixture.as_dict()["new"], 6) for spec in specs}) > 8
    for spec in specs:
        weights = spec.mixture.as_dict()
        rest = 1.0 - weights["new"]
        assert all(weights[name] == pytest.approx(rest * held[name], abs=1e-8) for name in held)
    tell(new, specs)
    made = mx.make_recipe(new)
    assert made.mixture.as_dict()["new"] > 0.5


def test_a_study_without_one_domain_needs_no_new_trial_for_its_recipe(tmp_path: Path) -> None:
    study = answered(tmp_path / "old", built(tmp_path / "one", WORDS))
    recipe = mx.make_recipe(study)
    (tmp_path / "old" / "recipe.json").write_text('{"schema": 1}')
    with pytest.raises(InputError, match=r"recipe.json"):
        mx.extend_study(study, tmp_path / "bad", built(tmp_path / "two", {"a": WORDS["a"], "b": WORDS["b"]}))
    write_json(tmp_path / "old" / "recipe.json", recipe)
    new = mx.extend_study(study, tmp_path / "new", tmp_path / "two")
    assert mx.ask_study(new, 4) == ()
    weights = recipe.mixture.as_dict()
    total = weights["a"] + weights["b"]
    assert mx.make_recipe(new).mixture.as_dict() == pytest.approx(
        {"a": weights["a"] / total, "b": weights["b"] / total}, abs=1e-6
    )
    opened = mx.extend_study(study, tmp_path / "full", tmp_path / "two", reopen="*")
    assert len(mx.ask_study(opened, 4)) == 4


def test_held_ratios_that_break_a_limit_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    study = answered(tmp_path / "old", built(tmp_path / "one", WORDS), mx.Constraints(upper={"b": 0.5}))
    smaller = built(tmp_path / "two", {"b": WORDS["b"], "c": WORDS["c"]})
    with pytest.raises(mx.Infeasible, match="`held: c to b"):
        mx.extend_study(study, tmp_path / "new", smaller)
    assert not (tmp_path / "new").exists()
    assert mx.extend_study(study, tmp_path / "new", smaller, reopen=["b"]).view().constraints.upper == (("b", 0.5),)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["halving", "merge", "micro_anneal"])
def test_cheap_fidelities_run_on_the_real_engine(strategy: str, tmp_path: Path, pico_corpus: Path) -> None:
    """Bases, parts, merges and soups through the runner, its threads and worker processes; then a recipe."""
    model = ModelSpec(n_layers=1, d_model=32, n_heads=2, vocab_size=512, seq_len=32)
    sizes = {"base": 60, "short": 30, "target": 120}
    config = StudyConfig(
        name="cheap",
        corpus=str(pico_corpus),
        objective=Objective(terms=(("bpb/domain/*", 1.0),)),
        rungs=tuple(
            Rung(label=label, model=model, hyper=Hyper(batch_tokens=128), scale=Scale(n_tokens=128 * n))
            for label, n in sizes.items()
        ),
        law=Plug(name="exponential"),
        strategy=Plug(name=strategy),
        trainer=Plug(name="builtin", options=(("keep", True),)),
        budget=Budget(n_trials=22),
    )
    study = mx.new_study(tmp_path / "s", config)
    summary = mx.run_study(study, jobs=2)
    assert (summary.n_done, summary.n_failed) == (22, 0)
    trials = study.view().trials
    assert len(study.view().at("base")) == {"halving": 15, "merge": 4, "micro_anneal": 1}[strategy]
    merges = [trial for trial in trials if trial.spec.method == "merge"]
    assert len(merges) == {"halving": 0, "merge": 9, "micro_anneal": 1}[strategy]
    assert all(trial.flops < 0.2 * study.view().rung(trial.rung).flops for trial in merges)
    words = {"halving": "rung `short`", "merge": "rank correlation", "micro_anneal": "control"}[strategy]
    assert words in make_strategy(config).recommend(study.view(), None).why
    if strategy == "micro_anneal":
        recipe = mx.confirm_recipe(study, mx.make_recipe(study), replicates=2, jobs=2)
        assert [stage.until for stage in recipe.plan.schedule.stages] == [pytest.approx(2 / 3), 1.0]
        assert {recipe.against(rival).basis for rival in ("natural", "uniform")} == {"trained"}
        fresh = [trial for trial in study.view().at("target") if trial.spec.replicate >= 1000]
        assert {trial.spec.plan.hyper.decay for trial in fresh} == {recipe.plan.hyper.decay}
        assert mx.write_desk(study, tmp_path / "desk.html").exists()


def test_a_runner_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = mx.new_study(tmp_path / "s", WORLD)
    with pytest.raises(InputError, match="unknown runner `slurm`"):
        mx.run_study(study, runner="slurm")
    with pytest.raises(InputError, match="add `--runner ray`"):
        mx.run_study(study, address="auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(mx.MissingExtra, match=r"mixdesk\[cluster\]"):
        mx.run_study(study, runner="ray")
    assert study.view().trials == ()


@pytest.mark.parametrize("place", ["ray://head:10001", "127.0.0.1:9", "head:port"])
def test_a_cluster_that_is_not_there_is_an_input_error(place: str, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    study = mx.new_study(tmp_path / "s", WORLD)
    with pytest.raises(InputError, match="no Ray cluster could be joined at"):
        mx.run_study(study, runner="ray", address=place)
    assert study.view().trials == ()


@pytest.mark.slow
def test_a_cluster_trains_what_this_machine_trains(tmp_path: Path, pico_corpus: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("torch")
    n_ids = mx.open_corpus(pico_corpus).tokenizer.vocab_size
    rung = Rung(
        label="proxy",
        scale=Scale(n_tokens=1_280),
        model=mx.ModelSpec(n_layers=1, d_model=16, n_heads=1, vocab_size=n_ids, seq_len=32),
        hyper=mx.Hyper(lr=0.02, batch_tokens=128),
    )
    config = StudyConfig(
        name="tiny",
        corpus=str(pico_corpus),
        objective=Objective(terms=(("bpb/set/logging", 1.0),)),
        rungs=(rung,),
        trainer=Plug(name="builtin"),
        budget=Budget(n_trials=3),
    )
    views = []
    for runner in ("local", "ray"):
        study = mx.new_study(tmp_path / runner, config)
        assert mx.run_study(study, jobs=2, runner=runner).n_done == 3
        views.append(study.view())
    assert views[0].record_sha256 == views[1].record_sha256
