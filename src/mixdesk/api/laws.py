"""Laws from a study: fit, compare, predict, and the evidence behind a recipe."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixdesk import __version__
from mixdesk.api.notebook import show_fit
from mixdesk.core import registry
from mixdesk.core.errors import InputError, MissingExtra, MixdeskError
from mixdesk.core.files import fingerprint, from_data, read_data, to_data, write_json
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import LeagueRow, Objective, OutOfFold
from mixdesk.core.observations import Floats, Inputs, Observations, Prediction
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import Law, LawFit, Progress
from mixdesk.core.trial import StudyView
from mixdesk.laws import learning, place, score
from mixdesk.study import sheets
from mixdesk.study.candidates import read_candidates
from mixdesk.study.study import Study

# Candidates that a law is asked about at once: bounds the memory of the answer.
N_BLOCK = 1_000
# Seconds from which evidence is kept: what takes less is quicker found again than read.
WORTH_KEEPING = 1.0
# Width of a normal 90 % interval, in sd.
WIDTH_SD = 2.0 * 1.6448536269514722


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """A fitted law with its out-of-fold predictions and scores under one objective, and the seconds that took."""

    law: Plug
    objective: Objective
    fit: LawFit
    rows: tuple[OutOfFold, ...]
    scores: tuple[LeagueRow, ...]
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """The runs behind a saved fit: `W_nd` their distinct mixtures over `domains`, and the `scales` they were made at,
    (n_params, n_tokens) each, None where not known.
    """

    domains: tuple[str, ...]
    W_nd: Floats
    scales: tuple[tuple[float | None, float | None], ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """What a saved law says of candidates: `ids` under the name `id_column`, `said` per metric, `places` among the
    runs (hull, region, outside; None where the law's file does not hold them), and `notes`.
    """

    id_column: str
    ids: tuple[str, ...]
    said: Prediction
    places: tuple[str | None, ...]
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The id, per metric its mean, sd and 90 % interval for one new run, and the place."""
        per_metric = [f"{metric}{part}" for metric in self.said.metrics for part in ("", ":std", ":low", ":high")]
        return (self.id_column, *per_metric, "place")

    def rows(self) -> Iterator[list[object]]:
        """One row per candidate, in the order of `columns`; None where a law gives no interval."""
        said = self.said
        std_qm = (said.high_qm - said.low_qm) / WIDTH_SD
        for q, name in enumerate(self.ids):
            cells_mp = np.column_stack([said.mean_qm[q], std_qm[q], said.low_qm[q], said.high_qm[q]])
            numbers = [value if value == value else None for value in cells_mp.ravel().tolist()]
            yield [name, *numbers, self.places[q]]

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.ids)


def fit_law(study: Study, law: Plug | str | None = None) -> LawFit:
    """A law fitted on the study's runs. `law`: a name or Plug; default: the study's.

    A law over scales has the runs of all of them; another those of the rung with the most mixtures.

    Raises:
        NotEnoughEvidence: too few finished trials.
    """
    part = registry.make("laws", plug_of(law, study.config.law))
    fit: LawFit = part.fit(observations(study.view(), part))
    show_fit(fit)
    return fit


def save_fit(study: Study, fit: LawFit, law: Plug | str | None = None, out: Path | str | None = None) -> Path:
    """Write a fit as `laws/<name>.json` of the study (or to `out`), with the mixtures of the runs behind it."""
    plug = plug_of(law, study.config.law)
    path = Path(out) if out is not None else study.folder / "laws" / f"{plug.name}.json"
    view = study.view()
    obs = observations(view, registry.make("laws", plug))
    runs = {
        "domains": list(obs.domains),
        "weights": np.unique(np.round(obs.W_nd, 6), axis=0).tolist(),
        "scales": [list(scale) for scale in _scales(obs)],
    }
    write_json(
        path,
        {"law": to_data(plug), "study": view.name, "record": view.record_sha256, "runs": runs, "fit": fit.to_dict()},
    )
    return path


def load_fit(path: Path | str) -> LawFit:
    """A fit that `save_fit` wrote.

    Raises:
        InputError: not such a file.
    """
    return _read(path)[0]


def predict(
    fit: LawFit,
    mixtures: Sequence[Mixture | Mapping[str, float]],
    level: float = 0.9,
    *,
    n_params: float | None = None,
    n_tokens: float | None = None,
) -> Prediction:
    """What a law says of some mixtures: mean and `level` interval for one new run of each.

    A domain that a mixture does not name has no weight in it. `n_params` and `n_tokens` are the scale of the runs, for
    a law that asks for them.

    Raises:
        InputError: no mixture, or weight on a domain that the law does not know.
    """
    given = [m if isinstance(m, Mixture) else Mixture.of(m) for m in mixtures]
    if not given:
        raise InputError("no mixture to predict", value="an empty list", bound="at least one", remedy="give one")
    W_qd = np.array([mixture.over(fit.domains) for mixture in given])
    scale = {"n_params": n_params, "n_tokens": n_tokens}
    covariates = {name: np.full(len(given), value) for name, value in scale.items() if value is not None}
    return fit.predict(Inputs.of(fit.domains, W_qd, covariates), level=level, sense="run")


def predict_csv(law: Path | str, mixtures: Any, out: Path | str | None = None) -> Predictions:
    """Predictions of a saved law for one Mixture, or for a table of them; with `out`, written as CSV too.

    `mixtures`: a CSV (or what else `import_study` reads) with a column per domain, and where there are such an id,
    `n_params` and `n_tokens`. Columns written: the id under its own name, per metric `<metric>`, `<metric>:std`,
    `<metric>:low`, `<metric>:high` of the 90 % interval of one new run, and `place`: hull (between the runs), region
    (near them) or outside.

    Raises:
        InputError: no fitted law, or a table, row or cell that cannot be used, with its place.
    """
    fit, runs = _read(law)
    if isinstance(mixtures, Mixture):
        mixtures = {name: [value] for name, value in zip(fit.domains, mixtures.over(fit.domains), strict=True)}
    table = read_candidates(mixtures, fit.domains)
    blocks = []
    for start in range(0, len(table.ids), N_BLOCK):
        rows = slice(start, start + N_BLOCK)
        covariates = {name: column[rows] for name, column in table.covariates.items()}
        blocks.append(fit.predict(Inputs.of(fit.domains, table.W_qd[rows], covariates), sense="run"))
    mean_qm, low_qm, high_qm = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("mean_qm", "low_qm", "high_qm")
    )
    places: tuple[str | None, ...] = (None,) * len(table.ids)
    if runs is not None:
        places = place.places(runs.W_nd[:, [runs.domains.index(name) for name in fit.domains]], table.W_qd)
    found = Predictions(
        id_column=table.id_column,
        ids=table.ids,
        said=Prediction(metrics=fit.metrics, mean_qm=mean_qm, low_qm=low_qm, high_qm=high_qm, sense="run"),
        places=places,
        notes=(*table.notes, *_warnings(places, table.covariates, runs)),
    )
    if out is not None:
        sheets.write_sheet(Path(out), found.columns, found.rows())
    return found


def gather_evidence(study: Study, *, law: Plug | str | None = None, objective: Objective | None = None) -> Evidence:
    """Fit a law and ask it about mixtures it has not seen: what a recipe and the desk stand on.

    What was found is kept under `evidence/` in the study, named by everything it follows from (the record, the law, the
    objective, the version), and read back when it is asked for again, unless it took a moment only; the folder may be
    deleted at any time.

    Raises:
        NotEnoughEvidence: too few finished trials, or too few mixtures to hold some out.
    """
    plug = plug_of(law, study.config.law)
    part = registry.make("laws", plug)
    view = study.view()
    wanted = objective or study.config.objective
    asked = {"law": to_data(plug), "objective": to_data(wanted), "record": view.record_sha256, "version": __version__}
    path = study.folder / "evidence" / f"{plug.name}-{fingerprint(json.dumps(asked, sort_keys=True), length=12)}.json"
    if path.exists():
        kept = read_data(path)
        fit, rows, seconds = part.restore(kept["fit"]), _rows_of(kept["rows"]), kept["seconds"]
        show_fit(fit)
    else:
        found = evidence_of(view, plug, wanted)
        if found.seconds > WORTH_KEEPING:
            columns = _columns_of(found.rows)
            write_json(path, {"asked": asked, "fit": found.fit.to_dict(), "rows": columns, "seconds": found.seconds})
        return found
    scores = score.scores(plug.name, rows, metrics=observations(view, part).metrics)
    return Evidence(law=plug, objective=wanted, fit=fit, rows=rows, scores=scores, seconds=seconds)


def evidence_of(view: StudyView, law: Plug, objective: Objective) -> Evidence:
    """The evidence of the trials in `view`; nothing is kept. Errors as `gather_evidence`."""
    part = registry.make("laws", law)
    obs = observations(view, part)
    start = time.perf_counter()
    fit, rows = score.evidence(part, obs, objective, seed=view.seed)
    seconds = time.perf_counter() - start
    show_fit(fit)
    scores = score.scores(law.name, rows, metrics=obs.metrics)
    return Evidence(law=law, objective=objective, fit=fit, rows=rows, scores=scores, seconds=seconds)


def compare_laws(
    study: Study,
    laws: Sequence[Plug | str] | None = None,
    *,
    objective: Objective | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[LeagueRow, ...], dict[str, str]]:
    """The league: scores of each law on mixtures it had not seen, and the reason where one was skipped.

    `laws`: names or Plugs; default: all there are, but laws over scales only where the runs have several. A law over
    scales is judged at the largest scale with runs.
    """
    view = study.view()
    wanted = objective or study.config.objective
    wanted.weights(view.metrics)  # a metric that does not exist is the caller's mistake, not the laws'
    plugs = [plug_of(law, study.config.law) for law in (laws or registry.names("laws", outside=True))]
    judged: dict[str, score.Judged] = {}
    skipped: dict[str, str] = {}
    for i, plug in enumerate(plugs):
        part = registry.make("laws", plug)
        try:
            if not laws and score.is_scale_aware(part) and len(_scales(observations(view, part))) < 2:
                skipped[plug.name] = "the runs have one scale, where it has nothing to add to its base law"
                continue
            found = gather_evidence(study, law=plug, objective=wanted)
        except MixdeskError as error:
            skipped[plug.name] = str(error)
        else:
            judged[plug.name] = score.Judged(rows=found.rows, scores=found.scores, seconds=found.seconds)
        finally:
            if progress is not None:
                progress("laws", i + 1, len(plugs))
    return score.league(judged), skipped


def rank_laws(league: Sequence[LeagueRow]) -> tuple[tuple[str, ...], ...]:
    """The laws of `compare_laws` best first, in one tuple per set of runs that they were judged on.

    The first is the one to use: of the laws whose error on the objective is within the noise of the smallest, the one
    that orders the mixtures best over all metrics.
    """
    return score.ranking(league)


def learning_curve(
    study: Study,
    law: Plug | str | None = None,
    *,
    objective: Objective | None = None,
    n_more: int = 40,
    now: float | None = None,
    progress: Progress | None = None,
) -> learning.Curve:
    """Whether `n_more` trials would lower a law's error on the objective; its `sentence` says so.

    `now`: the law's out-of-fold rmse where `compare_laws` said it already; default: measured.

    Raises:
        NotEnoughEvidence: too few mixtures to test the law at all.
    """
    plug = plug_of(law, study.config.law)
    part = registry.make("laws", plug)
    view = study.view()
    return learning.learning_curve(
        part,
        observations(view, part),
        objective or study.config.objective,
        name=plug.name,
        now=now,
        n_more=n_more,
        seed=view.seed,
        progress=progress,
    )


def observations(view: StudyView, law: Law) -> Observations:
    """The runs that a law is fitted on: of every scale where it spans them, else of the rung with the most mixtures.

    Raises:
        NotEnoughEvidence: no trial is done.
    """
    if score.is_scale_aware(law):
        return view.observations(every_scale=True)
    n_of = {rung.label: len({t.spec.plan.schedule for t in view.at(rung.label) if t.final}) for rung in view.rungs}
    return view.observations(max(n_of, key=lambda label: n_of[label]))


def plug_of(given: Plug | str | None, default: Plug) -> Plug:
    """A part by name, Plug, or the study's own."""
    if given is None:
        return default
    return given if isinstance(given, Plug) else default if given == default.name else Plug(name=given)


def part_facts(kind: str, name: str) -> dict[str, Any]:
    """Kind, name, title and reference of a part, for listings; one that lacks its extra says how to install it."""
    try:
        part = registry.part(kind, name)
    except MissingExtra as error:
        return {"kind": kind, "name": name, "title": f"not installed: {error.remedy}", "reference": ""}
    return {"kind": kind, "name": name, "title": part.title, "reference": part.reference}


def _columns_of(rows: Sequence[OutOfFold]) -> dict[str, list[Any]]:
    """Out-of-fold rows as columns; a bound that is not known is null."""
    names = [field.name for field in dataclasses.fields(OutOfFold)]
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    return {**columns, **{name: [None if x != x else x for x in columns[name]] for name in ("low", "high")}}


def _rows_of(columns: Mapping[str, list[Any]]) -> tuple[OutOfFold, ...]:
    """The rows that `_columns_of` wrote."""
    bounds = {name: [math.nan if x is None else x for x in columns[name]] for name in ("low", "high")}
    whole = {**columns, **bounds}
    return tuple(OutOfFold(**dict(zip(whole, values, strict=True))) for values in zip(*whole.values(), strict=True))


def _scales(obs: Observations) -> list[tuple[float | None, float | None]]:
    """The distinct (n_params, n_tokens) of the rows, smallest first."""
    columns = [obs.covariates.get(name, np.full(len(obs.trials), np.nan)).tolist() for name in score.SCALE]
    known = {(None if a != a else a, None if b != b else b) for a, b in zip(*columns, strict=True)}
    return sorted(known, key=lambda scale: [size or 0.0 for size in scale])


def _read(path: Path | str) -> tuple[LawFit, Runs | None]:
    """The fit of a file, and the runs behind it where the file holds them."""
    data = read_data(Path(path))
    if not {"law", "fit"} <= set(data):
        raise InputError(
            f"`{path}` is not a fitted law",
            value=", ".join(data) or "nothing",
            bound="the keys law and fit",
            remedy="write one with `mixdesk law fit`",
        )
    fit: LawFit = registry.make("laws", from_data(Plug, data["law"], str(path))).restore(data["fit"])
    show_fit(fit)
    if "runs" not in data:
        return fit, None
    given = from_data(dict[str, list[Any]], data["runs"], str(path))
    try:
        runs = Runs(
            domains=tuple(given["domains"]),
            W_nd=np.array(given["weights"], dtype=np.float64).reshape(-1, len(given["domains"])),
            scales=tuple((scale[0], scale[1]) for scale in given["scales"]),
        )
        if not set(fit.domains) <= set(runs.domains) or not np.isfinite(runs.W_nd).all():
            raise ValueError("a domain or a weight is missing")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"`{path}`: the runs behind the law cannot be read",
            value=repr(error),
            bound="domains, weights and scales as `mixdesk law fit` writes them",
            remedy="fit the law again",
        ) from None
    return fit, runs


def _warnings(places: Sequence[str | None], covariates: Mapping[str, Floats], runs: Runs | None) -> list[str]:
    """What to know of candidates that lie where no run was."""
    n_out, n = places.count("outside"), len(places)
    notes = []
    if n_out:
        notes.append(
            f"{n_out:,} of {n:,} candidates lie outside the region of the runs: there the law's form alone speaks, "
            "and its intervals may be too narrow."
        )
    for i, name in enumerate(score.SCALE):
        known = {scale[i] for scale in runs.scales if scale[i] is not None} if runs is not None else set()
        strange = sorted(set(covariates[name].tolist()) - known) if name in covariates and known else []
        if strange:
            notes.append(
                f"No run has {name} {', '.join(f'{value:.4g}' for value in strange[:3])}: "
                "trust the order of the mixtures there, not the values."
            )
    return notes
