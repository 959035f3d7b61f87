"""A study from a corpus and a few wishes: look, plan, write."""

from __future__ import annotations

import os
from pathlib import Path

from mixdesk.api.corpora import open_corpus
from mixdesk.core import registry
from mixdesk.core.errors import InputError, MissingExtra, RecordError
from mixdesk.core.files import write_text
from mixdesk.core.machine import n_cores
from mixdesk.core.mixture import Mixture
from mixdesk.study import schema, wizard
from mixdesk.study.record import is_made


def survey_corpus(folder: Path | str) -> wizard.Ground:
    """What a study of a corpus can be planned on: counts, licence tiers, and what this machine trains in a second.

    Raises:
        InputError: no corpus there, or one with a domain of unknown size.
    """
    corpus = open_corpus(folder)
    Mixture.natural(corpus)
    try:
        registry.require("license_expression")
        from mixdesk.corpus import licenses

        tiers = licenses.tiers(corpus)
    except MissingExtra:
        tiers = {}
    try:
        registry.require("torch", "safetensors")
        can_train = bool(corpus.shards)
    except MissingExtra:
        can_train = False
    return wizard.Ground(corpus=corpus, tiers=tiers, can_train=can_train, rate=wizard.measured_rate(), cores=n_cores())


def plan_study(
    folder: Path | str, corpus: Path | str, wish: wizard.Wish | None = None, ground: wizard.Ground | None = None
) -> wizard.Plan:
    """The study that a wish asks for, with its price; nothing is written.

    Args:
        folder: where the study would be.
        corpus: folder of a built corpus.
        wish: what is wanted; default: nothing but the defaults.
        ground: what `survey_corpus` found; default: looked at now.

    Raises:
        InputError: no such corpus, metric, tier or size.
        Infeasible: licences and epochs leave part of the final run without data.
    """
    folder = Path(folder)
    place = os.path.relpath(Path(corpus).resolve(), folder.resolve())
    name = folder.resolve().name
    return wizard.plan(name, place, ground or survey_corpus(corpus), wish or wizard.Wish())


def write_plan(folder: Path | str, plan: wizard.Plan, ground: wizard.Ground, *, replace: bool = False) -> Path:
    """Write a plan as the commented `study.toml` of a folder, and beside it the schema for editors; its path.

    Args:
        folder: of the study, made if need be.
        plan: from `plan_study`.
        ground: what it was planned on.
        replace: write over a `study.toml` that is there.

    Raises:
        RecordError: a study has begun in that folder.
        InputError: there is a `study.toml`, and `replace` is not asked.
    """
    path = check_new_study(folder, replace=replace)
    schema.write_schema(path.parent)
    write_text(path, schema.LINE + wizard.commented(plan, ground))
    return path


def check_new_study(folder: Path | str, *, replace: bool = False) -> Path:
    """The path of the `study.toml` that may be written in a folder; errors as `write_plan`."""
    path = Path(folder) / "study.toml"
    if is_made(Path(folder) / "study.db"):
        raise RecordError(
            f"there is a study in `{folder}` already",
            value="a study.db",
            bound="a folder without a record",
            remedy="choose another folder, or go on with the study that is there",
        )
    if path.exists() and not replace:
        raise InputError(
            f"there is a file `{path}` already",
            value="a study.toml",
            bound="a folder without one",
            remedy="choose another folder, or remove the file",
        )
    return path
