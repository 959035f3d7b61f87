"""The questions of `mixdesk study new --wizard`: every one has a default, from the corpus and the answers before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

import mixdesk
from mixdesk.cli.tables import counted, read_pair, say, say_table
from mixdesk.core.errors import InputError, MixdeskError
from mixdesk.core.mixture import Mixture
from mixdesk.core.scale import Scale

if TYPE_CHECKING:
    from mixdesk.study.wizard import Ground, Plan, Wish

T = TypeVar("T")
# What an answer adds to the wish.
Read = Callable[[str], dict[str, Any]]


def write_by_questions(folder: Path) -> Path:
    """Ask, show what it would cost, and write `study.toml`; its path.

    Raises:
        RecordError: a study has begun there.
        typer.Abort: the file is not to be written, or the answers end.
    """
    from mixdesk.study.wizard import Wish

    is_there = mixdesk.check_new_study(folder, replace=True).exists()
    if is_there and not typer.confirm(f"There is a file {folder / 'study.toml'}. Write over it?", default=False):
        raise typer.Abort
    corpus, ground = _asked("Folder of the corpus", _near(folder), lambda text: (text, mixdesk.survey_corpus(text)))
    _say_corpus(ground)
    wish = Wish()
    made = mixdesk.plan_study(folder, corpus, wish, ground)
    for question, default, read in _questions(ground):

        def answered(text: str, read: Read = read, wish: Wish = wish) -> tuple[Wish, Plan]:
            wish = replace(wish, **read(text))
            return wish, mixdesk.plan_study(folder, corpus, wish, ground)

        wish, made = _asked(question, default(made.wish), answered)
    _say_price(made, ground)
    if not typer.confirm(f"Write {folder / 'study.toml'}?", default=True):
        raise typer.Abort
    path: Path = mixdesk.write_plan(folder, made, ground, replace=is_there)
    return path


def _questions(ground: Ground) -> list[tuple[str, Callable[[Wish], str], Read]]:
    """Each question, its default by the wish so far with nothing left open, and what an answer adds to the wish."""
    from mixdesk.study.sizes import told
    from mixdesk.study.wizard import SIZES, model_of

    def run_of(text: str) -> dict[str, Any]:
        n_tokens = told("the final run", text)
        return {"n_tokens": n_tokens, "max_epochs": float(max(4, ceil(n_tokens / max(ground.n_tokens, 1))))}

    out: list[tuple[str, Callable[[Wish], str], Read]] = [
        ("Tokens of the final run, such as 20M or 1.5B", lambda wish: str(wish.n_tokens), run_of),
        (
            "What matters: METRIC or METRIC=WEIGHT, patterns too, commas between",
            lambda wish: ", ".join(name if weight == 1.0 else f"{name}={weight:g}" for name, weight in wish.terms),
            lambda text: {"terms": tuple(read_pair(one, "weight", 1.0) for one in _split(text))},
        ),
        (
            "How often may the final run pass a domain (epochs)",
            lambda wish: f"{wish.max_epochs:g}",
            lambda text: {"max_epochs": _number(text)},
        ),
    ]
    tiers = tuple(dict.fromkeys(ground.tiers.values()))
    if len(tiers) > 1:
        out.append(
            (
                f"Licence tiers that may be used: all, or some of {', '.join(tiers)}",
                lambda _: "all",
                lambda text: {"allowed_tiers": () if text.strip() == "all" else _tiers(text, tiers)},
            )
        )
    if ground.can_train:
        hours = "Hours that the small models may take"
        out.append((hours, lambda wish: f"{wish.hours:g}", lambda text: {"hours": _number(text)}))
    out.append(("How many runs", lambda wish: str(wish.n_trials), lambda text: {"n_trials": told("runs", text)}))
    if ground.can_train:
        sizes = ", ".join(f"{name} ({model_of(name, ground.corpus).n_params:,} parameters)" for name in SIZES)
        size = f"Size of the small models: {sizes}"
        out.append((size, lambda wish: str(wish.size), lambda text: {"size": text.strip()}))
    out.append(("Tokens of each run", lambda wish: str(wish.n_proxy), lambda text: {"n_proxy": told("tokens", text)}))
    return out


def _asked(question: str, default: str | None, read: Callable[[str], T]) -> T:
    """What is read from an answer; asked again where it cannot be used, and why is said."""
    while True:
        answer = typer.prompt(question, default=default)
        try:
            return read(str(answer))
        except MixdeskError as error:
            say(f"  {error}")


def _near(folder: Path) -> str | None:
    """A corpus in the folder of the study, beside it or here."""
    places = (folder / "corpus", folder.resolve().parent / "corpus", Path("corpus"))
    return next((str(place) for place in places if (place / "manifest.json").exists()), None)


def _say_corpus(ground: Ground) -> None:
    natural = Mixture.natural(ground.corpus).as_dict()
    say_table(
        [
            {
                "domain": one.name,
                "tokens": one.n_tokens,
                "natural": natural[one.name],
                "licences": ", ".join(name for name, _ in one.licenses) or "unknown",
                "tier": ground.tiers.get(one.name),
            }
            for one in ground.corpus.domains
        ],
        title=f"{ground.corpus.name}: {ground.n_tokens:,} tokens in {counted(len(ground.corpus.names), 'domain')}",
    )
    say("What is measured: " + ", ".join(ground.metrics[:12]) + (", …" if len(ground.metrics) > 12 else ""))
    if not ground.can_train:
        say("The corpus has counts alone, or torch is not installed: runs are to be made elsewhere.")


def _say_price(made: Plan, ground: Ground) -> None:
    from mixdesk.study.wizard import duration

    natural, run = Mixture.natural(ground.corpus), Scale(n_tokens=made.wish.n_tokens)
    most = max(natural.epochs(ground.corpus, run), key=lambda pair: pair[1])
    times = "once" if f"{most[1]:.3g}" == "1" else f"{most[1]:.3g} times"
    say(f"\nThe final run passes the corpus {times} if it is drawn as it is.")
    say(f"{counted(made.wish.n_trials or 0, 'run')} of {made.wish.n_proxy or 0:,} tokens.")
    if made.config.trainer is not None:
        say(f"{made.flops:.2g} FLOPs, about {duration(made.seconds)} on {ground.cores} cores.")
        if made.confirm_seconds is None:
            say("The final run is too long to be tried here; the recipe is for your own trainer.")
        else:
            say(f"A confirmation at the target would take about {duration(made.confirm_seconds)} more.")
    for note in made.notes:
        say(f"Mind: {note}")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _tiers(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    from mixdesk.core.checks import one_of

    return tuple(one_of("licence tier", tier, known) for tier in _split(text))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"`{text}` is no number", value=text, bound="a number > 0", remedy="give one") from None
