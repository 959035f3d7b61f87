"""Writes the golden record of the current schema: `python tests/golden/make_record.py`.

One study with every kind of event, state and note. `v<schema>.json` says what a reader must find in `v<schema>.db`.
Once a schema is frozen its files are never made again.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from mixdesk.core.corpus import Corpus, Domain, EvalSet, Tokenizer
from mixdesk.core.files import to_data
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Objective
from mixdesk.core.plan import External, Plug, RunPlan, TrialSpec
from mixdesk.core.scale import Budget, Hyper, ModelSpec, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Event, Lease, Point, Result
from mixdesk.study.config import StudyConfig
from mixdesk.study.record import SCHEMA
from mixdesk.study.study import Study

RECORDS = Path(__file__).parent / "records"
CORPUS = Corpus(
    name="golden",
    tokenizer=Tokenizer(name="bpe", vocab_size=512, sha256="70"),
    domains=(
        Domain(name="code/c", n_tokens=1000, n_bytes=4000, n_docs=3, licenses=(("MIT", 1000.0),), fingerprint="c0"),
        Domain(name="prose", n_tokens=9000, n_bytes=30000, n_docs=7, fingerprint="b0"),
    ),
    evals=(EvalSet(name="manual", n_tokens=100, n_bytes=400, fingerprint="e0"),),
)
MODEL = ModelSpec(n_layers=2, d_model=64, n_heads=2, vocab_size=512, seq_len=64)
CONFIG = StudyConfig(
    name="golden",
    objective=Objective(terms=(("bpb/set/manual", 1.0),)),
    corpus="../corpus",
    rungs=(
        Rung(label="proxy", scale=Scale(n_tokens=4096), model=MODEL, hyper=Hyper(lr=0.01), unique_share=0.25),
        Rung(label="target", scale=Scale(n_tokens=16384), model=MODEL, hyper=Hyper(lr=0.01)),
    ),
    constraints=Constraints(lower=(("code/*", 0.01),), max_epochs=8.0),
    budget=Budget(n_trials=8),
    trainer=Plug(name="builtin", options={"timeout": 60.0}.items()),
    seed=7,
)


def specs() -> list[TrialSpec]:
    """A plain trial, its repeat, a schedule of two stages, an imported run, and one that nobody answers."""
    rung = CONFIG.rungs[0]
    mixture = Mixture.of({"code/c": 0.1, "prose": 0.9})
    plan = RunPlan(schedule=Schedule.constant(mixture), scale=rung.scale, model=rung.model, hyper=rung.hyper)
    known = {"corpus": CORPUS.fingerprint, "evals": ("e0",), "unique_share": 0.25}
    stages = (Stage(mixture=mixture, until=0.75), Stage(mixture=Mixture.uniform(CORPUS.names)))
    return [
        TrialSpec(plan=plan, **known),
        TrialSpec(plan=plan, replicate=1, **known),
        TrialSpec(plan=RunPlan(schedule=Schedule(stages=stages), scale=rung.scale), **known),
        TrialSpec(
            plan=RunPlan(schedule=Schedule.constant(Mixture.uniform(CORPUS.names))),
            external=External(source="elsewhere", run="run 12"),
        ),
        TrialSpec(plan=plan, replicate=2, **known),
    ]


def history() -> list[Event]:
    """What happened, with a clock that counts events."""
    one, two, three, four, five = specs()
    points = tuple(
        Point(n_tokens=n, metrics=(("bpb/domain/prose", 2.0 + 1.0 / n), ("bpb/set/manual", 1.0 / 3.0)))
        for n in (2048, 4096)
    )
    done = Result(state="done", points=points, domain_tokens=(("prose", 4096.0),), flops=1e9, seconds=0.1)
    rows = [
        *({"trial": s.id, "kind": "asked", "spec": s, "why": "design", "rung": "proxy"} for s in (one, two, three)),
        {"trial": one.id, "kind": "lease", "lease": Lease(trial=one.id, holder="a", until=9.0)},
        {"trial": one.id, "kind": "started"},
        {"trial": one.id, "kind": "point", "point": points[0]},
        {"trial": one.id, "kind": "started"},
        *({"trial": one.id, "kind": "point", "point": point} for point in points),
        {"trial": one.id, "kind": "done", "result": done},
        {"trial": two.id, "kind": "started"},
        {"trial": two.id, "kind": "done", "result": Result(state="diverged", points=points[:1], message="not finite")},
        {"trial": three.id, "kind": "started"},
        {"trial": three.id, "kind": "failed", "message": "the worker is gone"},
        {"trial": four.id, "kind": "asked", "spec": four, "rung": "proxy"},
        {"trial": four.id, "kind": "done", "result": Result(state="done", points=points[1:])},
        {"trial": five.id, "kind": "asked", "spec": five, "rung": "proxy", "seen": (one.id, two.id, four.id)},
    ]
    return [Event(time=float(clock), **row) for clock, row in enumerate(rows)]


def main() -> None:
    """Write `v<schema>.db` and `v<schema>.json`."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study.create(Path(folder), CONFIG, CORPUS, notes=["a sentence"], events=history())
        view = study.view()
        found = {
            "record_sha256": view.record_sha256,
            "config": to_data(study.config),
            "trials": [{"id": trial.id, **to_data(trial)} for trial in view.trials],
        }
        study.close()
        RECORDS.mkdir(exist_ok=True)
        (RECORDS / f"v{SCHEMA}.db").write_bytes((Path(folder) / "study.db").read_bytes())
    (RECORDS / f"v{SCHEMA}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
