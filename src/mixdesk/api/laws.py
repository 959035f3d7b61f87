"""Laws from a study: fit, compare, predict, and the evidence behind a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixdesk.core import registry
from mixdesk.core.errors import InputError
from mixdesk.core.files import from_data, read_data, to_data, write_json
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import LeagueRow, Objective, OutOfFold
from mixdesk.core.observations import Inputs, Prediction
from mixdesk.core.plan import Plug
from mixdesk.core.protocols import LawFit
from mixdesk.laws import score
from mixdesk.study import importer, sheets
from mixdesk.study.study import Study


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evidence:
    """A fitted law with its out-of-fold predictions and scores under one objective."""

    law: Plug
    objective: Objective
    fit: LawFit
    rows: tuple[OutOfFold, ...]
    scores: tuple[LeagueRow, ...]


def fit_law(study: Study, law: Plug | str | None = None) -> LawFit:
    """A law fitted on the study's first rung. `law`: a name or Plug; default: the study's.

    Raises:
        NotEnoughEvidence: too few finished trials.
    """
    fit: LawFit = registry.make("laws", plug_of(law, study.config.law)).fit(study.view().observations())
    return fit


def save_fit(study: Study, fit: LawFit, law: Plug | str | None = None, out: Path | str | None = None) -> Path:
    """Write a fit as `laws/<name>.json` of the study (or to `out`)."""
    plug = plug_of(law, study.config.law)
    path = Path(out) if out is not None else study.folder / "laws" / f"{plug.name}.json"
    view = study.view()
    write_json(path, {"law": to_data(plug), "study": view.name, "record": view.record_sha256, "fit": fit.to_dict()})
    return path


def load_fit(path: Path | str) -> LawFit:
    """A fit that `save_fit` wrote.

    Raises:
        InputError: not such a file.
    """
    data = read_data(Path(path))
    if not {"law", "fit"} <= set(data):
        raise InputError(
            f"`{path}` is not a fitted law",
            value=", ".join(data) or "nothing",
            bound="the keys law and fit",
            remedy="write one with `mixdesk law fit`",
        )
    fit: LawFit = registry.make("laws", from_data(Plug, data["law"], str(path))).restore(data["fit"])
    return fit


def predict(fit: LawFit, mixtures: Sequence[Mixture | Mapping[str, float]], level: float = 0.9) -> Prediction:
    """What a law says of some mixtures: mean and `level` interval for one new run of each.

    A domain that a mixture does not name has no weight in it.

    Raises:
        InputError: no mixture, or weight on a domain that the law does not know.
    """
    given = [m if isinstance(m, Mixture) else Mixture.of(m) for m in mixtures]
    if not given:
        raise InputError("no mixture to predict", value="an empty list", bound="at least one", remedy="give one")
    W_qd = np.array([mixture.over(fit.domains) for mixture in given])
    return fit.predict(Inputs.of(fit.domains, W_qd), level=level, sense="run")


def predict_csv(law: Path | str, mixtures: Path | str | Mixture, out: Path | str | None = None) -> list[dict[str, Any]]:
    """Predictions of a saved law for one mixture or those of a CSV, one row each; with `out`, written as CSV too.

    Columns: the id, and per metric `<metric>`, `<metric>:low`, `<metric>:high` of the 90 % interval of one new run.
    """
    table = {"mixture": mixtures} if isinstance(mixtures, Mixture) else importer.read_mixtures(Path(mixtures))
    said = predict(load_fit(law), list(table.values()))
    rows = []
    for i, run in enumerate(table):
        row: dict[str, Any] = {"id": run}
        for j, metric in enumerate(said.metrics):
            row[metric] = float(said.mean_qm[i, j])
            row[f"{metric}:low"], row[f"{metric}:high"] = float(said.low_qm[i, j]), float(said.high_qm[i, j])
        rows.append(row)
    if out is not None:
        sheets.write_sheet(Path(out), list(rows[0]), [list(row.values()) for row in rows])
    return rows


def gather_evidence(study: Study, *, law: Plug | str | None = None, objective: Objective | None = None) -> Evidence:
    """Fit a law and ask it about mixtures it has not seen: what a recipe and the desk stand on."""
    plug = plug_of(law, study.config.law)
    part = registry.make("laws", plug)
    view = study.view()
    wanted = objective or study.config.objective
    obs = view.observations()
    fit = part.fit(obs)
    rows = score.out_of_fold(part, obs, wanted, seed=view.seed)
    return Evidence(
        law=plug,
        objective=wanted,
        fit=fit,
        rows=rows,
        scores=score.scores(plug.name, rows, view.seed, metrics=obs.metrics),
    )


def compare_laws(
    study: Study, laws: Sequence[Plug | str] | None = None, *, objective: Objective | None = None
) -> tuple[tuple[LeagueRow, ...], dict[str, str]]:
    """The league: scores of each law on mixtures it had not seen, and the reason where one was skipped.

    `laws`: names or Plugs; default: all there are.
    """
    plugs = [plug_of(law, study.config.law) for law in (laws or registry.names("laws", outside=True))]
    view = study.view()
    return score.compare(
        {plug.name: registry.make("laws", plug) for plug in plugs},
        view.observations(),
        objective or study.config.objective,
        seed=view.seed,
    )


def plug_of(given: Plug | str | None, default: Plug) -> Plug:
    """A part by name, Plug, or the study's own."""
    if given is None:
        return default
    return given if isinstance(given, Plug) else default if given == default.name else Plug(name=given)


def part_facts(kind: str, name: str) -> dict[str, Any]:
    """Kind, name, title and reference of a part, for listings."""
    part = registry.part(kind, name)
    return {"kind": kind, "name": name, "title": part.title, "reference": part.reference}
