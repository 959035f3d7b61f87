"""Studies: new, open, run, ask, tell, import, export; and the list of parts."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mixdesk.api.corpora import open_corpus
from mixdesk.api.laws import fit_law, part_facts, plug_of
from mixdesk.core import checks, registry
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import InputError
from mixdesk.core.files import read_json, read_toml, to_data
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Plug, Proposal, TrialSpec
from mixdesk.core.protocols import Progress, Strategy, Trainer
from mixdesk.core.recipe import Recipe
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.recipe import compose
from mixdesk.recipe.confirm import fresh_proposals
from mixdesk.search import replicates
from mixdesk.search.feasible import settle
from mixdesk.study import extend, importer, local, schema
from mixdesk.study.answers import Question
from mixdesk.study.columns import Columns
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
    config, corpus = _with_world(config)
    if config.corpus is not None:
        corpus = open_corpus(folder / config.corpus)
        config = _with_tiers(config, corpus)
    make_strategy(config)
    if config.trainer is not None:
        registry.part("trainers", config.trainer.name)
    if config.corpus is not None and corpus is not None:
        _check_vocabulary(config, corpus)
    names = corpus.names if corpus is not None else config.domains
    settle(Space.build(config.constraints, names, corpus, config.rungs[-1].scale))
    return Study.create(folder, config, corpus)


def _with_tiers(config: StudyConfig, corpus: Corpus) -> StudyConfig:
    """The config with the licence tiers of the corpus's domains, where it allows some and gives no table of its own."""
    allowed = config.constraints.allowed_tiers
    if not allowed or config.constraints.tiers:
        return config
    registry.require("license_expression")
    from mixdesk.corpus import licenses

    for tier in allowed:
        checks.one_of("licence tier", tier, licenses.TIERS)
    tiers = tuple(licenses.tiers(corpus).items())
    return dataclasses.replace(config, constraints=dataclasses.replace(config.constraints, tiers=tiers))


def _check_vocabulary(config: StudyConfig, corpus: Corpus) -> None:
    for rung in config.rungs:
        if rung.model is not None and rung.model.vocab_size != corpus.tokenizer.vocab_size:
            raise InputError(
                f"the model of rung `{rung.label}` does not have the vocabulary of the corpus tokenizer",
                value=rung.model.vocab_size,
                bound=str(corpus.tokenizer.vocab_size),
                remedy="set the rung's model.vocab_size to it",
            )


def open_study(folder: Path | str) -> Study:
    """The study in a folder.

    Raises:
        RecordError: no record there, or one that cannot be read.
    """
    return Study.open(Path(folder))


def trainer_maker(study: Study) -> Callable[[], Trainer]:
    """What makes the study's trainer, told where the corpus lies; may be sent to another process.

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
    return partial(registry.make, "trainers", plug, **({"corpus": corpus} if corpus else {}))


def make_trainer(study: Study) -> Trainer:
    """The study's trainer; errors as `trainer_maker`."""
    return trainer_maker(study)()


def make_strategy(config: StudyConfig, strategy: Plug | str | None = None, law: Plug | str | None = None) -> Strategy:
    """A strategy with the law it learns from, where it has one; both the study's unless named."""
    plug = plug_of(strategy, config.strategy)
    made: Strategy = registry.make("strategies", plug, law=registry.make("laws", plug_of(law, config.law)))
    return made


def run_study(
    study: Study,
    *,
    trials: int | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
    runner: str = "local",
    address: str | None = None,
) -> local.RunSummary:
    """Ask and train until the budget (or `trials` more) is spent; goes on where an earlier run stopped.

    A budget that was changed in the folder's `study.toml` is recorded first and counts.

    Args:
        study: to go on with.
        trials: stop after this many more.
        jobs: trials at once; default: one per core, of this machine or of the cluster.
        progress: called with ("trials", done, total) of this run.
        runner: "local", this machine; "ray", a Ray cluster, each node of which sees the folders of study and corpus.
        address: of the cluster: "auto" or HOST:PORT; default: the one this machine is part of, else one made here.

    Raises:
        InputError: the study has no trainer, the trainer cannot train what was asked, `study.toml` now asks something
            else than the budget alone, or no cluster answers.
        RecordError: another run works on this study.
        MissingExtra: ray is not installed.
    """
    checks.one_of("runner", runner, ("local", "ray"))
    if address is not None and runner != "ray":
        raise InputError(
            "`address` is for another runner",
            value=f"runner {runner}",
            bound="the runner ray",
            remedy="add `--runner ray`, or leave the address out",
        )
    if runner == "ray":
        registry.require("ray")
    _follow_toml(study)
    strategy, make = make_strategy(study.config), trainer_maker(study)
    if runner == "ray":
        from mixdesk.study import cluster

        return cluster.run(study, strategy, make, address=address, jobs=jobs, n_trials=trials, progress=progress)
    trainer = make()
    try:
        return local.run(study, strategy, trainer, jobs=jobs, n_trials=trials, progress=progress)
    finally:
        trainer.close()


def ask_study(
    study: Study,
    n: int,
    out: Path | str | None = None,
    *,
    repeats: bool = False,
    confirm: bool = False,
    lease: float | None = None,
    holder: str = "",
) -> tuple[TrialSpec, ...]:
    """The next n questions, recorded as asked; with `out`, also as CSV or JSONL for an outside trainer.

    New questions come first. Where fewer than n are new, what was asked before, still waits and nobody holds fills the
    rest, oldest first. A strategy that learns from each round asks nothing new before all its trials are answered.
    Where nothing is left at all, `out` is not written.

    Args:
        study: to ask.
        n: how many.
        out: file to write, .csv or .jsonl.
        repeats: ask no new mixtures, but further runs of the present answer and its rivals, where noise and not the law
            leaves open which is better.
        confirm: ask no new mixtures, but fresh runs of `recipe.json` and its rivals at the target, which
            `confirm_recipe` judges; they do not count against the budget.
        lease: hours for which these trials are handed to nobody else; None: anybody may be handed them again.
        holder: who works on them, for `study show`.

    Raises:
        NotEnoughEvidence: with `repeats`, too few finished trials for the study's law.
        InputError: n < 1, a lease ≤ 0, `repeats` with `confirm`, no recipe to confirm, or `out` has another suffix or
            cannot be written; nothing is asked then.
        Infeasible: no mixture satisfies the constraints.
    """
    path = None if out is None else Path(out)
    return hand_out(study, n, path=path, repeats=repeats, confirm=confirm, lease=lease, holder=holder)


def hand_out(
    study: Study,
    n: int,
    *,
    path: Path | None = None,
    write: Callable[[Sequence[Question]], None] | None = None,
    repeats: bool = False,
    confirm: bool = False,
    lease: float | None = None,
    holder: str = "",
) -> tuple[TrialSpec, ...]:
    """The next n questions of a study, recorded once they are written; arguments and errors as `ask_study`.

    `write` writes them in another form than `path`; where it raises, nothing is asked.
    """
    n = checks.count("n", n, 1)
    strategy = make_strategy(study.config)
    seconds = None if lease is None else 3600.0 * checks.finite("lease", lease, 0.0, open_low=True)

    if repeats and confirm:
        raise InputError(
            "two kinds of runs are asked", value="repeats and confirm", bound="one", remedy="leave one out"
        )

    def propose(view: StudyView) -> list[Proposal]:
        if confirm:
            recipe = read_json(study.folder / "recipe.json", Recipe)
            return fresh_proposals(recipe, view, max(2, -(-n // (1 + len(recipe.rivals)))))
        if repeats:
            return view.affordable(_repeats(study, strategy, view, n))
        is_out = any(trial.state in ("waiting", "running") for trial in view.trials)
        return [] if is_out and not strategy.eager else view.affordable(strategy.ask(view, n)[:n])

    questions = study.hand_out(n, propose, path=path, write=write, seconds=seconds, holder=holder)
    return tuple(spec for spec, *_ in questions)


def _repeats(study: Study, strategy: Strategy, view: StudyView, n: int) -> list[Proposal]:
    """Further runs of the present answer and its rivals where they would settle which is better."""
    fit = fit_law(study)
    mixtures = {"recipe": strategy.recommend(view, fit).mixture}
    mixtures |= {rival.name: rival.mixture for rival in compose.find_rivals(view)}
    return replicates.repeats(view, fit, mixtures, n)


def tell_study(study: Study, answers: Path | str) -> tuple[str, ...]:
    """Read answers (CSV or JSONL, joined by trial id) into the record; returns notes on what was ignored.

    Raises:
        InputError: an unknown or repeated trial, or a cell that cannot be used; nothing is recorded then.
    """
    return tuple(study.tell_from_file(Path(answers)))


def import_study(  # noqa: PLR0913  (mirrors the command line)
    mixtures: Any,
    scores: Any,
    out: Path | str,
    *,
    id_column: str | None = None,
    n_params: str | int | None = None,
    n_tokens: str | int | None = None,
    by_position: bool = False,
    domains: Sequence[str] = (),
    metrics: Sequence[str] = (),
    objective: Objective | Mapping[str, float] | None = None,
    natural: Mapping[str, float] | None = None,
    higher: Sequence[str] = (),
    unit: str = "",
) -> Study:
    """A study of past runs, joined by run id; its `notes` say what was ignored or mended, and what to expect of a law.

    A table is a path (CSV, parquet, Arrow), a dataframe of any library, or a mapping of columns.

    Args:
        mixtures: table with the run id and a column per domain: fractions, per cent or token counts.
        scores: table with the run id and a column per metric; may be the same table.
        out: folder of the new study.
        id_column: the run id's column; default: guessed.
        n_params: column, or number for all runs, of parameters without embeddings; default: a column `n_params`.
        n_tokens: the same of trained tokens; rows of one run that differ in it are checkpoints.
        by_position: join row by row in place of by id.
        domains: columns of weights, names or patterns; default: guessed.
        metrics: columns of scores, names or patterns; default: guessed.
        objective: what to minimise; default: the mean of all metrics.
        natural: domain → weight (any unit) of the natural mixture, where known.
        higher: metrics that are better higher, names or patterns.
        unit: of the scores; default: bits per byte for `bpb/…`, else unknown.

    Raises:
        InputError: a table, row or cell that cannot be used, with its place.
        RecordError: there is a study in that folder.
    """
    if objective is not None and not isinstance(objective, Objective):
        objective = Objective(terms=tuple(objective.items()))
    columns = Columns(
        id_column=id_column,
        n_params=n_params,
        n_tokens=n_tokens,
        by_position=by_position,
        domains=_patterns(domains),
        metrics=_patterns(metrics),
    )
    return importer.import_study(
        mixtures,
        scores,
        Path(out),
        columns=columns,
        objective=objective,
        natural=natural,
        higher=_patterns(higher),
        unit=unit,
    )


def extend_study(
    study: Study,
    out: Path | str,
    corpus: Path | str,
    *,
    mapped: Mapping[str, Mapping[str, float | None]] | None = None,
    reopen: Sequence[str] = (),
) -> Study:
    """A new study over a changed corpus that keeps what is untouched and asks only what is new; the old one stays.

    Untouched domains (same fingerprint) are held to the ratios of the old study's recipe; where there is none, of the
    best mixture seen, else of the natural one. The notes of the new study say what was kept, renamed, split, merged,
    changed, removed and added, and how many trials were carried.

    Args:
        study: to go on from.
        out: folder of the new study.
        corpus: folder of the changed corpus.
        mapped: old domain → {new domain: share, None for its share of tokens}, where fingerprints cannot tell.
        reopen: untouched domains to ask again all the same, names or patterns; `"*"` all.

    Raises:
        InputError: no corpus on either side, nothing changed, an unknown name, or an objective without metrics.
        Infeasible: the held ratios leave no mixture within the constraints; open some again.
        RecordError: there is a study in that folder.
    """
    out, view = Path(out), study.view()
    counts = open_corpus(corpus)
    place = os.path.relpath(Path(corpus).resolve(), out.resolve())
    config = dataclasses.replace(study.config, name=out.resolve().name, corpus=place)
    made = extend.extend(view, config, counts, said=mapped, held=_to_hold(study), reopen=_patterns(reopen))
    _check_vocabulary(made.config, counts)
    settle(Space.build(made.config.constraints, counts.names, counts, made.config.rungs[-1].scale))
    return Study.create(out, made.config, counts, notes=made.notes, events=made.events)


def _to_hold(study: Study) -> tuple[Mixture, str]:
    """The mixture whose ratios an extension keeps, and its name: of the recipe, else the best seen, else natural."""
    view, path = study.view(), study.folder / "recipe.json"
    if path.exists():
        recipe = read_json(path, Recipe)
        rivals = {rival.name: rival.mixture for rival in recipe.rivals}
        chosen = recipe.verdict.recommended
        return rivals.get(chosen, recipe.mixture), f"its recipe ({chosen})" if chosen in rivals else "its recipe"
    best = view.best_seen(settle(Space.build(view.constraints, view.domains, view.corpus, view.target)))
    if best is not None:
        return best.spec.mixture, "the best mixture seen"
    return (view.natural, "natural") if view.natural is not None else (Mixture.uniform(view.domains), "uniform")


def _patterns(given: Sequence[str] | str) -> tuple[str, ...]:
    """Names or patterns as a tuple; one alone may come without brackets."""
    return (given,) if isinstance(given, str) else tuple(given)


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


def study_schema() -> str:
    """The JSON Schema of `study.toml` as text, with the parts that are installed here."""
    return schema.schema_text(outside=True)


def _with_world(config: StudyConfig) -> tuple[StudyConfig, Corpus | None]:
    """Without a corpus, a synthetic trainer brings its world's, and its metrics where none are written."""
    if config.corpus is not None or config.trainer is None or config.trainer.name != "synthetic":
        return config, None
    world = registry.make("trainers", config.trainer).known
    return dataclasses.replace(config, metrics=config.metrics or world.metrics), world.corpus


def _follow_toml(study: Study) -> None:
    """Record the budget that `study.toml` has by now.

    Raises:
        InputError: it cannot be read, or differs from the record in more than the budget.
    """
    path = study.folder / "study.toml"
    if not path.exists():
        return
    config, _ = _with_world(read_toml(path, StudyConfig))
    new = to_data(dataclasses.replace(config, budget=study.config.budget))
    # Last, as a change of the trainer may show in them too.
    new["metrics"] = new.pop("metrics")
    changed = _difference(new, to_data(study.config))
    if changed is not None:
        key, found, old = changed
        raise InputError(
            f"`{path}`: `{key}` was changed after the study began",
            value=found,
            bound=f"{textwrap.shorten(repr(old), 300)} as recorded",
            remedy="start a new study with `mixdesk study new`",
        )
    if config.budget != study.config.budget:
        study.set_budget(config.budget)


def _difference(new: Any, old: Any) -> tuple[str, Any, Any] | None:
    """The first key, dotted, in which two mappings differ, with both values; None where they are equal."""
    for key in (key for key in {**new, **old} if new.get(key) != old.get(key)):
        mine, theirs = new.get(key), old.get(key)
        inner = _difference(mine, theirs) if isinstance(mine, dict) and isinstance(theirs, dict) else None
        return (key, mine, theirs) if inner is None else (f"{key}.{inner[0]}", *inner[1:])
    return None
