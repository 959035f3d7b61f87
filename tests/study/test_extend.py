"""A study carried to a changed corpus: what is untouched keeps ratios and evidence, and nothing is joined silently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.corpus import Corpus, Domain, EvalSet, Tokenizer
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Guard, Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import External, Proposal
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Near, Rule
from mixdesk.core.trial import Point, Result, StudyView
from mixdesk.study.config import StudyConfig
from mixdesk.study.extend import HELD, Extension, extend
from mixdesk.study.study import Study

TOKENIZER = Tokenizer(name="bytes", vocab_size=257, sha256="aa")


def corpus(domains: dict[str, tuple[str, int]], evals: dict[str, str] | None = None, **changes: object) -> Corpus:
    made = tuple(
        Domain(name=name, fingerprint=content, n_tokens=size, n_bytes=size) for name, (content, size) in domains.items()
    )
    sets = tuple(EvalSet(name=name, fingerprint=content) for name, content in (evals or {"manual": "m"}).items())
    return replace(Corpus(name="texts", tokenizer=TOKENIZER, domains=made, evals=sets), **changes)


BEFORE = {"books": ("b", 300), "code": ("c", 100), "junk": ("j", 200), "web": ("w", 400)}
OLD = corpus(BEFORE)
CONFIG = StudyConfig(
    name="old", objective=Objective(terms=(("bpb/*", 1.0),)), corpus="../texts", budget=Budget(n_trials=30)
)
ROWS = (
    {"books": 0.3, "code": 0.1, "junk": 0.2, "web": 0.4},
    {"books": 0.25, "code": 0.25, "junk": 0.25, "web": 0.25},
    {"books": 0.4, "code": 0.2, "web": 0.4},
    {"books": 0.5, "code": 0.45, "junk": 0.05},
    {"junk": 1.0},
)
HELD_MIXTURE = (Mixture.of({"books": 0.2, "code": 0.3, "junk": 0.1, "web": 0.4}), "its recipe")


@pytest.fixture
def old(tmp_path: Path) -> Study:
    study = Study.create(tmp_path / "old", CONFIG, OLD)
    for i, row in enumerate(ROWS):
        (spec,) = study.ask([Proposal(mixture=Mixture.of(row), rung="proxy", replicate=i % 2, why=f"row {i}")])
        values = {f"bpb/domain/{name}": 1.0 + i + j / 10 for j, name in enumerate(OLD.names)}
        point = Point(n_tokens=100, metrics=(*values.items(), ("bpb/set/manual", 2.0 + i)))
        study.tell(spec.id, Result(state="done", points=(point,), flops=7.0))
    study.ask([Proposal(mixture=Mixture.uniform(OLD.names), rung="proxy", replicate=9, why="never answered")])
    return study


def carried(old: Study, new: Corpus, **changes: object) -> tuple[Extension, StudyView]:
    view = old.view()
    settings = {"held": HELD_MIXTURE, **changes}
    made = extend(view, replace(old.config, name="new"), new, **settings)
    folder = old.folder.parent / f"new-{len(list(old.folder.parent.iterdir()))}"
    with Study.create(folder, made.config, new, notes=made.notes, events=made.events) as study:
        assert study.notes == made.notes
        return made, study.view()


def test_a_removed_domain_is_dropped_and_the_old_study_is_untouched(old: Study) -> None:
    before = old.view().record_sha256
    ids = [trial.id for trial in old.view().trials]
    made, view = carried(old, corpus({name: BEFORE[name] for name in ("books", "code", "web")}))
    assert old.view().record_sha256 == before
    assert [trial.spec.external for trial in view.trials] == [External(source="old", run=name) for name in ids[:4]]
    expected = Mixture.of({"books": 0.3, "code": 0.1, "web": 0.4}, normalise=True)
    assert view.trials[0].spec.mixture == expected
    assert [trial.spec.replicate for trial in view.trials] == [0, 1, 0, 1]
    assert view.trials[2].final == {
        "bpb/domain/books": 3.0,
        "bpb/domain/code": 3.1,
        "bpb/domain/web": 3.3,
        "bpb/set/manual": 4.0,
    }
    # A fifth and a quarter of these two runs was junk; the others had little or none.
    assert view.stale == tuple(trial.id for trial in view.trials[:2])
    assert view.trials_left == 0
    said = " ".join(made.notes)
    assert "Domains: 1 removed: `junk`." in said
    assert "Carried 4 of 5 answered trials of 6." in said
    assert "1 not carried: all of their weight was on removed domains." in said
    assert "2 of them count as stale" in said
    assert "Nothing is new, so nothing is asked" in said


def test_a_renamed_domain_loses_nothing(old: Study) -> None:
    new = corpus({"books": ("b", 300), "python": ("c", 100), "junk": ("j", 200), "web": ("w", 400)}, {"guide": "m"})
    made, view = carried(old, new)
    assert not view.stale
    assert len(view.trials) == len(ROWS)
    for trial, row in zip(view.trials, ROWS, strict=True):
        weights = {("python" if name == "code" else name): weight for name, weight in row.items()}
        got = trial.spec.mixture.as_dict()
        assert {name: got.get(name, 0.0) for name in new.names} == {name: weights.get(name, 0.0) for name in new.names}
    assert view.trials[1].final["bpb/domain/python"] == old.view().trials[1].final["bpb/domain/code"]
    assert view.trials[1].final["bpb/set/guide"] == 3.0
    assert "Domains: 1 renamed: `code` → `python`." in made.notes


def test_a_changed_domain_keeps_its_name_and_not_its_evidence(old: Study) -> None:
    new = corpus({**BEFORE, "web": ("w2", 900)})
    made, view = carried(old, new)
    has_web = [row.get("web", 0.0) > 0.0 for row in ROWS]
    assert view.stale == tuple(trial.id for trial, is_stale in zip(view.trials, has_web, strict=True) if is_stale)
    assert all("bpb/domain/web" not in trial.final for trial in view.trials)
    assert "Domains: 1 changed: `web` (other content under the same name)." in made.notes
    assert any("old values left out: `bpb/domain/web`" in note for note in made.notes)
    assert view.trials_left == 10 + 6  # web against the held rest


def test_an_added_domain_is_asked_against_the_held_rest(old: Study) -> None:
    made, view = carried(old, corpus({**BEFORE, "maths": ("x", 100)}))
    u = HELD_MIXTURE[0].as_dict()
    space_rules = [rule for rule in view.constraints.rules if rule.name.startswith(HELD)]
    assert len(space_rules) == len(u)
    for share in (0.0, 0.2, 1.0):
        weights = {name: (1.0 - share) * weight for name, weight in u.items()} | {"maths": share}
        assert all(sum(c * weights[name] for name, c in rule.terms) <= 1e-12 for rule in space_rules)
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = dict(zip(sorted([*u, "maths"]), rng.dirichlet(np.ones(5)).tolist(), strict=True))
        assert any(sum(c * drawn[name] for name, c in rule.terms) > 1e-4 for rule in space_rules)
    assert view.trials_left == 10 + 6
    assert made.notes[-1] == "Next: 16 trials (5 carried) that vary `maths` against the held rest."
    assert made.notes[-2] == "Held to the ratios of its recipe: `books` 20 %, `code` 30 %, `junk` 10 %, `web` 40 %."


def test_some_or_all_may_be_opened_again(old: Study) -> None:
    new = corpus({**BEFORE, "maths": ("x", 100)})
    some, view = carried(old, new, reopen=("w*",))
    assert len(view.constraints.rules) == 3
    assert view.trials_left == 3 * (3 + 1) + 6
    assert "vary `maths`, `web` against" in some.notes[-1]
    _, view = carried(old, new, reopen=("*",))
    assert view.constraints.rules == ()
    assert view.trials_left == 3 * (5 + 1) + 6
    with pytest.raises(InputError, match="did you mean `code`"):
        carried(old, new, reopen=("coed",))


def test_a_domain_that_the_recipe_left_out_is_held_at_zero(old: Study) -> None:
    held = (Mixture.of({"books": 0.5, "code": 0.5, "junk": 0.0, "web": 0.0}), "the best mixture seen")
    made, view = carried(old, corpus({**BEFORE, "maths": ("x", 100)}), held=held)
    assert [rule.name for rule in view.constraints.rules] == [
        f"{HELD}junk at zero",
        f"{HELD}web at zero",
        f"{HELD}books to code",
        f"{HELD}code to books",
    ]
    assert "; at zero: `junk`, `web`." in made.notes[-2]


def test_limits_objective_and_metrics_follow_the_domains(old: Study) -> None:
    limits = Constraints(
        lower={"code": 0.05},
        upper={"web": 0.5, "junk": 0.1},
        group_upper={"junk*": 0.4},
        epoch_caps={"web": 4.0},
        near=Near(weights={"books": 1.0, "junk": 1.0, "web": 2.0}, nats=2.0),
        rules=(Rule(name="mine", terms={"code": 1.0, "web": -1.0}, most=0.0),),
        pool=(Mixture.of({"junk": 1.0}), Mixture.of({"code": 0.5, "web": 0.5})),
    )
    objective = Objective(
        terms=(("bpb/domain/code", 1.0), ("bpb/domain/junk", 1.0), ("bpb/set/manual", 2.0)),
        guards=(Guard(metric="bpb/domain/junk", than="natural"), Guard(metric="bpb/domain/code", at_most=2.0)),
    )
    new = corpus({"books": ("b", 300), "py": ("c", 100), "web/a": ("w1", 100), "web/b": ("w2", 300)})
    made = extend(
        old.view(), replace(CONFIG, constraints=limits, objective=objective), new, held=HELD_MIXTURE, reopen=("*",)
    )
    got = made.config.constraints
    assert (got.lower, got.upper, got.group_upper) == ((("py", 0.05),), (), ())
    assert got.epoch_caps == (("web/a", 4.0), ("web/b", 4.0))
    assert got.rules[0] == Rule(name="upper of what was web", terms={"web/a": 1.0, "web/b": 1.0}, most=0.5)
    assert got.rules[1] == Rule(name="mine", terms={"py": 1.0, "web/a": -1.0, "web/b": -1.0}, most=0.0)
    assert got.near is not None
    assert dict(got.near.weights) == pytest.approx({"books": 1 / 3, "py": 0.0, "web/a": 1 / 6, "web/b": 0.5})
    assert [one.as_dict() for one in got.pool] == [{"books": 0.0, "py": 0.5, "web/a": 0.125, "web/b": 0.375}]
    assert made.config.objective == Objective(
        terms=(("bpb/domain/py", 1.0), ("bpb/set/manual", 2.0)), guards=(Guard(metric="bpb/domain/py", at_most=2.0),)
    )
    assert "The objective lost `bpb/domain/junk`." in made.notes
    assert "Guards left out, as their metric is gone: `bpb/domain/junk`." in made.notes
    assert "Limits left out, as they name no domain any more: group_upper[junk*], upper[junk]." in made.notes
    only_junk = replace(CONFIG, objective=Objective(terms=(("bpb/domain/junk", 1.0),)))
    with pytest.raises(InputError, match="nothing of the objective"):
        extend(old.view(), only_junk, new, held=HELD_MIXTURE)


def test_declared_metrics_follow_too(tmp_path: Path) -> None:
    own = (Metric(name=f"bpb/domain/{name}", domain=name) for name in OLD.names)
    metrics = (*own, Metric(name="exam", better="higher", domain="code"))
    config = replace(CONFIG, metrics=metrics, objective=Objective(terms=(("exam", 1.0),)))
    study = Study.create(tmp_path / "old", config, OLD)
    made = extend(study.view(), config, corpus({"code": ("c2", 1), "www": ("w", 400)}), held=HELD_MIXTURE)
    assert {(metric.name, metric.domain) for metric in made.config.metrics} == {
        ("exam", None),
        ("bpb/domain/code", "code"),
        ("bpb/domain/www", "www"),
    }
    some = replace(config, metrics=metrics[1:])
    made = extend(study.view(), some, corpus({**BEFORE, "law": ("l", 9)}), held=HELD_MIXTURE)
    assert [metric.name for metric in made.config.metrics] == [metric.name for metric in metrics[1:]]


def test_another_tokenizer_makes_all_evidence_stale(old: Study) -> None:
    tokenizer = Tokenizer(name="bpe", vocab_size=512, sha256="bb")
    made, view = carried(old, corpus({**BEFORE, "maths": ("x", 100)}, tokenizer=tokenizer))
    assert len(view.stale) == len(view.trials) == len(ROWS)
    assert any("the tokenizer is another" in note for note in made.notes)


def test_an_extension_of_an_extension_replaces_the_ring(old: Study) -> None:
    first = corpus({**BEFORE, "maths": ("x", 100)})
    made, view = carried(old, first)
    again = extend(
        view,
        replace(made.config, name="third"),
        corpus({**BEFORE, "maths": ("x", 100), "law": ("y", 50)}),
        held=(Mixture.of({**{name: 0.2 for name in BEFORE}, "maths": 0.2}), "its recipe"),
    )
    assert len(again.config.constraints.rules) == 5
    assert {event.spec.external.source for event in again.events if event.spec and event.spec.external} == {"new"}


def test_what_cannot_be_extended_is_said(old: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing changed"):
        extend(old.view(), CONFIG, OLD, held=HELD_MIXTURE)
    config = replace(CONFIG, corpus=None, domains=("a", "b"), metrics=(Metric(name="bpb/x"),))
    bare = Study.create(tmp_path / "bare", config)
    with pytest.raises(InputError, match="has no corpus to extend"):
        extend(bare.view(), config, OLD, held=HELD_MIXTURE)
