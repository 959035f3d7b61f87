"""Studies: new, open, run, ask, tell, import, export; and the list of parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixdesk.api.corpora import open_corpus
from mixdesk.api.laws import part_facts
from mixdesk.core import checks, registry
from mixdesk.core.errors import InputError
from mixdesk.core.files import read_toml
from mixdesk.core.objective import Objective
from mixdesk.core.plan import TrialSpec
from mixdesk.core.protocols import Progress, Strategy, Trainer
from mixdesk.core.space import Space
from mixdesk.study import importer, local
from mixdesk.study.config import StudyConfig
from mixdesk.study.study import Study


def new_study(folder: Path | str, config: StudyConfig | Path | str | None = None) -> Study:
    """Start a study in a folder, from a config or a TOML file (default: the folder's own `study.toml`).

    Reads the corpus's counts into the record and checks that the constraints leave some mixture.

    Raises:
        InputError: unknown keys or parts, a missing corpus.
        Infeasible: no mixture satisfies the constraints.
    """
    folder = Path(folder)
    if not isinstance(config, StudyConfig):
        config = read_toml(Path(config) if config is not None else folder / "study.toml", StudyConfig)
    corpus = open_corpus(folder / config.corpus) if config.corpus is not None else None
    if config.trainer is not None and config.trainer.name == "synthetic" and corpus is None:
        world = registry.make("trainers", config.trainer).known
        config = dataclasses.replace(config, metrics=config.metrics or world.metrics)
        corpus = world.corpus
    for kind, plug in (("strategies", config.strategy), ("laws", config.law)):
        registry.make(kind, plug)
    if config.trainer is not None:
        registry.part("trainers", config.trainer.name)
    names = corpus.names if corpus is not None else config.domains
    Space.build(config.constraints, names, corpus, config.rungs[-1].scale)
    return Study.create(folder, config, corpus)


def open_study(folder: Path | str) -> Study:
    """The study in a folder.

    Raises:
        RecordError: no record there, or one that cannot be read.
    """
    return Study.open(Path(folder))


def make_trainer(study: Study) -> Trainer:
    """The study's trainer, told where the corpus lies.

    Raises:
        InputError: the study names none (an imported study).
    """
    plug = study.config.trainer
    if plug is None:
        raise InputError(
            f"the study `{study.config.name}` has no trainer",
            value="none in study.toml",
            bound="one of " + ", ".join(registry.names("trainers")),
            remedy="name a trainer, or train elsewhere with `mixdesk study ask` and `mixdesk study tell`",
        )
    corpus = str((study.folder / study.config.corpus).resolve()) if study.config.corpus is not None else None
    trainer: Trainer = registry.make("trainers", plug, **({"corpus": corpus} if corpus else {}))
    return trainer


def make_strategy(study: Study) -> Strategy:
    """The study's strategy."""
    strategy: Strategy = registry.make("strategies", study.config.strategy)
    return strategy


def run_study(
    study: Study, *, trials: int | None = None, jobs: int | None = None, progress: Progress | None = None
) -> local.RunSummary:
    """Ask and train until the budget (or `trials` more) is spent; goes on where an earlier run stopped.

    Raises:
        InputError: the study has no trainer, or the trainer cannot train what was asked.
        RecordError: another run works on this study.
    """
    trainer = make_trainer(study)
    try:
        return local.run(study, make_strategy(study), trainer, jobs=jobs, n_trials=trials, progress=progress)
    finally:
        trainer.close()


def ask_study(study: Study, n: int, out: Path | str | None = None) -> tuple[TrialSpec, ...]:
    """The next n questions, recorded as asked; with `out`, also as CSV or JSONL for an outside trainer.

    Raises:
        InputError: n < 1, or `out` has another suffix or cannot be written; nothing is asked then.
        Infeasible: no mixture satisfies the constraints.
    """
    proposals = make_strategy(study).ask(study.view(), checks.count("n", n, 1))
    if out is not None:
        # Without a line first: a question that is recorded but in no file would never be trained.
        study.ask_to_file((), Path(out))
    specs = tuple(study.ask(proposals))
    if out is not None:
        study.ask_to_file(specs, Path(out))
    return specs


def tell_study(study: Study, answers: Path | str) -> tuple[str, ...]:
    """Read answers (CSV or JSONL, joined by trial id) into the record; returns notes on what was ignored.

    Raises:
        InputError: an unknown or repeated trial, or a cell that cannot be used; nothing is recorded then.
    """
    return tuple(study.tell_from_file(Path(answers)))


def import_study(
    mixtures: Path | str,
    scores: Path | str,
    out: Path | str,
    *,
    id_column: str | None = None,
    objective: Objective | Mapping[str, float] | None = None,
    natural: Mapping[str, float] | None = None,
    higher: Sequence[str] = (),
    unit: str = "",
) -> Study:
    """A study from two CSVs of past runs, joined by run id; its `notes` say what was ignored or mended.

    Args:
        mixtures: CSV with the run id and a column per domain: fractions of training tokens.
        scores: CSV with the run id and a column per metric.
        out: folder of the new study.
        id_column: the run id's column; default: guessed.
        objective: what to minimise; default: the mean of all metrics.
        natural: domain → weight (any unit) of the natural mixture, where known.
        higher: metrics that are better higher.
        unit: of the scores; default: bits per byte for `bpb/…`, else unknown.

    Raises:
        InputError: a file, row or cell that cannot be used, with its place.
        RecordError: there is a study in that folder.
    """
    if objective is not None and not isinstance(objective, Objective):
        objective = Objective(terms=tuple(objective.items()))
    return importer.import_study(
        Path(mixtures),
        Path(scores),
        Path(out),
        id_column=id_column,
        objective=objective,
        natural=natural,
        higher=higher,
        unit=unit,
    )


def export_study(study: Study, folder: Path | str) -> tuple[Path, ...]:
    """The finished trials as `mixtures.csv` and `scores.csv`, which `import_study` reads back.

    Raises:
        NotEnoughEvidence: no trial is finished.
    """
    return tuple(importer.export_csv(study.view(), Path(folder)))


def parts(kind: str | None = None) -> list[dict[str, Any]]:
    """Every part with its kind, name, title and paper; of one kind if named."""
    kinds = [kind] if kind is not None else list(registry.ROOMS)
    return [part_facts(k, name) for k in kinds for name in registry.names(k, outside=True)]
