"""`mixdesk recipe`: the answer and its uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import mixdesk
from mixdesk.cli.completion import EXPORTERS, LAWS, STRATEGIES
from mixdesk.cli.exported import print_export, print_mixture, print_verification
from mixdesk.cli.tables import JSON_OPTION, QUIET_OPTION, lines, read_pair, say, say_json, say_table
from mixdesk.core.errors import InputError
from mixdesk.core.export import SIDECAR
from mixdesk.core.files import to_data
from mixdesk.core.objective import Objective
from mixdesk.core.recipe import GuardCheck, Move, Recipe
from mixdesk.study.study import Study

if TYPE_CHECKING:
    from mixdesk.recipe.why import Why

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Recipes: what to train on, and how one knows.")
FOLDER = typer.Argument(..., help="Folder of the study.")
OBJECTIVE = typer.Option([], help="METRIC or METRIC=WEIGHT; may be repeated. Default: the study's.")
GUARD = typer.Option(
    [], help="METRIC<=natural+0.01 or METRIC<=1.2 (>= where higher is better); may be repeated. Beside the study's."
)
LAW = typer.Option(None, help="Default: the study's.", autocompletion=LAWS)
RECIPE = typer.Argument(..., help="A recipe.json, or the study folder that holds it.")


@app.command()
def start(
    folder: Path = typer.Argument(..., help="Folder of a corpus, or of a study with one."),
    n_tokens: str = typer.Option(..., help="Tokens of the run: a number such as 20000000, 20M or 1e9."),
    max_epochs: float | None = typer.Option(None, help="How often a domain may be passed. Default: the study's, or 4."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Mixtures to start from without evidence: rules over token counts, with epochs and when to prefer which.

    Those of a study keep its constraints; what these moved is said.

    Example: mixdesk recipe start my-corpus --n-tokens 20M
    """
    found = mixdesk.start_recipe(folder, n_tokens=n_tokens, max_epochs=max_epochs)
    if as_json:
        say_json([to_data(one) for one in found])
        return
    say(found[0].evidence + "\n")
    weights = {one.name: one.mixture.as_dict() for one in found}
    epochs = {one.name: dict(one.epochs) for one in found}
    rows = [
        {"domain": name, **{key: value for one in found for key, value in
         ((one.name, weights[one.name][name]), (f"{one.name} epochs", epochs[one.name][name]))}}
        for name in found[0].mixture.domains
    ]  # fmt: skip
    say_table(rows, title=f"Weights and epochs in a run of {n_tokens} tokens:")
    for one in found:
        over = "" if one.is_within else " (repeats a domain more often than is allowed here)"
        say(f"{one.name}: {one.prefer}{over}.")
        if one.moved:
            moved = ", ".join(f"{name} {change:+.4f}".replace("-", "−") for name, change in one.moved)
            say(f"  moved by the study's constraints: {moved}; held by {', '.join(one.binding) or 'none of them now'}")


@app.command()
def make(  # noqa: PLR0913  (its parameters are the command line)
    folder: Path = FOLDER,
    law: str | None = LAW,
    strategy: str | None = typer.Option(None, help="Default: the study's.", autocompletion=STRATEGIES),
    objective: list[str] = OBJECTIVE,
    guard: list[str] = GUARD,
    stages: int | None = typer.Option(
        None, min=1, max=2, help="2: the natural mixture, then the recipe's own. Default: 1, or as the strategy says."
    ),
    last_share: float = typer.Option(0.1, help="With --stages 2: the last stage's share of the tokens."),
    max_epochs: float | None = typer.Option(None, help="How often a domain may be passed. Default: the study's."),
    n_tokens: str | None = typer.Option(None, help="Tokens of the run, such as 20B. Default: the target's."),
    tokens: list[str] = typer.Option(
        [], help="DOMAIN=TOKENS there are of a domain, such as web=1.2B; may be repeated. Default: the corpus's."
    ),
    out: Path | None = typer.Option(None, "--out", "-o", help="Default: FOLDER/recipe.json."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Fit, search, compare with every rival, judge. Exit code 3: the evidence is too weak.

    A study of tables has no token counts: a cap on epochs takes --n-tokens, and --tokens of what may run short.

    Example: mixdesk recipe make my-study --max-epochs 4
    """
    study = mixdesk.open_study(folder)
    recipe = mixdesk.make_recipe(
        study,
        law=law,
        strategy=strategy,
        objective=_wanted(study, objective, guard),
        out=out,
        last_share=None if stages is None else last_share if stages == 2 else 1.0,
        max_epochs=max_epochs,
        n_tokens=n_tokens,
        tokens=dict(_read_count(text) for text in tokens),
    )
    print_recipe(recipe, as_json=as_json)
    raise typer.Exit(recipe.verdict.exit_code)


@app.command()
def show(
    path: Path = RECIPE,
    why: str | None = typer.Option(
        None, help="A domain or pattern: what its weight rests on, and the trials behind it. Needs the study's folder."
    ),
    form: str | None = typer.Option(
        None, "--from", help="PATH is a file of this trainer: see `mixdesk list exporters`.", autocompletion=EXPORTERS
    ),
    corpus: Path | None = typer.Option(
        None, help="With --from: folder of a corpus, for epochs and the natural mixture."
    ),
    n_tokens: str | None = typer.Option(None, help="With --from: tokens of the run, for epochs. Default: the file's."),
    study: Path | None = typer.Option(
        None, help="With --from: folder of a study, to say of which weights a next trial would tell most."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Weights, epochs, rivals, verdict; with --why, what a weight rests on; with --from, what you have today.

    Example: mixdesk recipe show my-study --why web
    """
    if form is not None:
        found = mixdesk.read_mixture(path, form, corpus=corpus, n_tokens=n_tokens)
        doubts = None if study is None else mixdesk.doubt_mixture(mixdesk.open_study(study), found)
        print_mixture(found, doubts, as_json=as_json)
        return
    recipe = mixdesk.read_recipe(path)
    if why is None:
        print_recipe(recipe, as_json=as_json)
        return
    study = mixdesk.open_study(path if path.is_dir() else path.parent)
    print_why(mixdesk.why_weight(study, why, recipe=recipe), as_json=as_json)


@app.command()
def export(  # noqa: PLR0913  (its parameters are the command line)
    path: Path = RECIPE,
    to: str = typer.Option(
        ...,
        "--to",
        help="Whose files: see `mixdesk list exporters`; with options NAME:KEY=VALUE.",
        autocompletion=EXPORTERS,
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder to write; a new one."),
    corpus: Path | None = typer.Option(None, help="Folder of the corpus. Default: the study's."),
    n_tokens: str | None = typer.Option(None, help="Tokens of the run, such as 2T or 20M. Default: the recipe's."),
    seq_len: int | None = typer.Option(None, help="Tokens of a sequence. Default: the recipe's model's."),
    batch_tokens: str | None = typer.Option(None, help="Tokens of a step. Default: the recipe's."),
    data: str | None = typer.Option(None, help="Folder of data that exists, as the files should name it."),
    verify: bool = typer.Option(False, "--verify", help="Draw samples with the trainer's own code and compare."),
    samples: int = typer.Option(100_000, help="With --verify: how many."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """The recipe as files of the trainer you use, with the arithmetic shown. Exit code 3: a limit cannot be kept there.

    Example: mixdesk recipe export my-study --to megatron -o out --n-tokens 20M --seq-len 2048 --verify
    """
    with lines(quiet) as progress:
        export = mixdesk.export_recipe(
            path, to, out, corpus=corpus, n_tokens=n_tokens, seq_len=seq_len, batch_tokens=batch_tokens, data=data,
            progress=progress,
        )  # fmt: skip
    verification = mixdesk.verify_export(out, samples) if verify else None
    if as_json:
        found = None if verification is None else to_data(verification)
        say_json({"export": to_data(export), "verification": found})
    else:
        print_export(export, out)
    if verification is not None:
        raise typer.Exit(print_verification(verification, as_json=as_json))


@app.command()
def check(
    path: Path = typer.Argument(..., help="A recipe.json, the study folder that holds it, or a folder of an export."),
    samples: int = typer.Option(100_000, help="Of an export: samples to draw."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Judge by exit code: 0 where this recipe is what to train on, 3 where it is not.

    Not: the evidence is too weak, or the verdict recommends another mixture. Of a folder that was exported: whether
    the trainer's own code makes of it what was asked; 1 where it does not.

    Example: mixdesk recipe check my-study && ./train.sh
    """
    if (path / SIDECAR).is_file():
        found = mixdesk.verify_export(path, samples)
        if as_json:
            say_json(to_data(found))
        raise typer.Exit(print_verification(found, as_json=as_json))
    verdict = mixdesk.read_recipe(path).verdict
    is_advised = verdict.recommended == "recipe"
    if as_json:
        say_json(to_data(verdict))
    else:
        say(verdict.headline if is_advised else f"{verdict.headline}\n{verdict.reason}\n{verdict.remedy}")
    raise typer.Exit(0 if is_advised else 3)


@app.command()
def confirm(
    folder: Path = FOLDER,
    recipe: Path | None = typer.Option(None, help="Default: FOLDER/recipe.json."),
    replicates: int = typer.Option(5, help="Fresh runs of the recipe and of each rival; 3 are indicative."),
    jobs: int | None = typer.Option(None, help="Workers of one thread each. Default: all cores."),
    as_json: bool = JSON_OPTION,
    quiet: bool = QUIET_OPTION,
) -> None:
    """Train the recipe and its rivals at the target rung and compare in pairs.

    Of a study without a trainer the runs are asked with `study ask --confirm`; after `study tell` this judges them.

    Example: mixdesk recipe confirm my-study --replicates 5
    """
    study = mixdesk.open_study(folder)
    path = recipe or folder
    with lines(quiet) as progress:
        judged = mixdesk.confirm_recipe(
            study, mixdesk.read_recipe(path), replicates=replicates, jobs=jobs, progress=progress, out=recipe
        )
    print_recipe(judged, as_json=as_json)
    raise typer.Exit(judged.verdict.exit_code)


@app.command()
def move(
    folder: Path = FOLDER,
    gain: float = typer.Option(..., help="How much better the objective should be, in its unit."),
    start: list[str] = typer.Option(
        ["natural"], "--from", help="natural, uniform, best-seen, or DOMAIN=WEIGHT for each domain of today's mixture."
    ),
    law: str | None = LAW,
    objective: list[str] = OBJECTIVE,
    guard: list[str] = GUARD,
    as_json: bool = JSON_OPTION,
) -> None:
    """The smallest step from today's mixture that is predicted to gain enough, and how sure that is.

    It gains less about as often as more: ask for more to be surer. Exit code 3: no step does, or the evidence is too
    weak.

    Example: mixdesk recipe move my-study --gain 0.02 --from natural
    """
    study = mixdesk.open_study(folder)
    today = start[0] if len(start) == 1 and "=" not in start[0] else dict(read_pair(text, "weight") for text in start)
    found = mixdesk.smallest_move(study, gain=gain, today=today, law=law, objective=_wanted(study, objective, guard))
    print_move(found, as_json=as_json)


@app.command()
def pareto(
    folder: Path = FOLDER,
    metrics: list[str] = typer.Option([], help="A metric or pattern; may be repeated. Default: the objective's."),
    law: str | None = LAW,
    guard: list[str] = GUARD,
    as_json: bool = JSON_OPTION,
) -> None:
    """Mixtures that no other beats in every metric, and how sure that is.

    Example: mixdesk recipe pareto my-study --metrics bpb/set/code --metrics bpb/set/prose
    """
    study = mixdesk.open_study(folder)
    points = mixdesk.pareto(study, metrics, law=law, objective=_wanted(study, [], guard))
    if as_json:
        say_json([to_data(point) for point in points])
        return
    say_table(
        [
            {
                **dict(point.values),
                "unbeaten": point.probability,
                "best of": ", ".join(point.best_of),
                "weights": ", ".join(
                    f"{name} {weight:.2f}"
                    for name, weight in sorted(point.mixture.as_dict().items(), key=lambda item: -item[1])
                    if weight >= 0.005
                ),
            }
            for point in points
        ],
        title=f"By the law {law or study.config.law.name} no other mixture is better in every metric "
        "(`unbeaten`: with this probability):",
    )


@app.command()
def score(
    path: Path = RECIPE,
    scores: Path | None = typer.Option(
        None, help="Table with `plan` (recipe, natural, …) and metrics. Default: fresh trials of the study."
    ),
    same_scale: bool = typer.Option(False, "--same-scale", help="The runs have the size that the card speaks of."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Score the prediction card by what the big run measured; the card itself is never changed.

    Example: mixdesk recipe score my-study --scores big-run.csv
    """
    study = mixdesk.open_study(path if path.is_dir() else path.parent) if scores is None else None
    found = mixdesk.score_recipe(
        mixdesk.read_recipe(path), scores=scores, study=study, is_same_scale=True if same_scale else None
    )
    if as_json:
        say_json(to_data(found))
        return
    say(found.headline + "\n")
    say_table(
        [
            {
                "metric": claim.metric,
                "against": claim.rival or "(value)",
                "predicted": claim.predicted,
                "low": claim.low,
                "high": claim.high,
                "measured": claim.measured,
                "runs": claim.n_runs,
                "held": claim.held,
                "sign": {True: "right", False: "wrong", None: None}[claim.sign_is_right],
                "z": claim.z,
            }
            for claim in found.claims
        ]
    )
    for note in found.notes:
        say(f"Note: {note}")


def print_recipe(recipe: Recipe, *, as_json: bool = False) -> None:
    """The verdict first, then the recipe beside its rivals, then what limits it."""
    if as_json:
        say_json(to_data(recipe))
        return
    verdict = recipe.verdict
    say(f"{verdict.headline}\n{verdict.reason}\n{verdict.remedy}\n")
    epochs = dict(recipe.epochs)
    rivals = {rival.name: rival.mixture.as_dict() for rival in recipe.rivals}
    stages = recipe.plan.schedule.stages
    is_staged, is_refused = len(stages) > 1, verdict.name == "too weak"
    ends = [0.0, *(stage.until for stage in stages)]
    parts = {
        f"{start:.0%} to {stage.until:.0%}": stage.mixture.as_dict()
        for start, stage in zip(ends[:-1], stages, strict=True)
    }
    rows = [
        {
            "domain": name,
            ("candidate" if is_refused else "recipe"): weight,
            **({part: weights.get(name, 0.0) for part, weights in parts.items()} if is_staged else {}),
            **({"epochs": epochs.get(name)} if epochs else {}),
            **{rival: weights.get(name, 0.0) for rival, weights in rivals.items()},
        }
        for name, weight in sorted(recipe.mixture.as_dict().items(), key=lambda item: -item[1])
    ]
    say_table(rows, title=f"Objective: {recipe.objective.title}. Weights are fractions of training tokens.")
    counted = [recipe.against(rival.name) for rival in recipe.rivals]
    say_table(
        [
            {
                "against": c.rival,
                "difference": c.difference,
                "low": c.low,
                "high": c.high,
                "basis": f"{c.basis} at {c.rung}",
                "pairs": c.n_pairs if c.basis == "trained" else None,
                "verdict": c.verdict,
            }
            for c in counted
            if c is not None
        ],
        title="\nDifferences in the objective (negative: the recipe is better), 95 % intervals:",
    )
    print_guards(recipe.guards)
    for name, lines_ in (("Held by", recipe.binding), ("Mind", recipe.warnings)):
        for line in lines_:
            say(f"{name}: {line}")


def print_why(why: Why, *, as_json: bool = False) -> None:
    """What a weight rests on: in words, then what if it were otherwise, then the trials."""
    if as_json:
        say_json({**to_data(why), "sentences": list(why.sentences)})
        return
    for note in why.notes:
        say(f"Mind: {note}")
    names = why.domains[0] if len(why.domains) == 1 else f"{why.asked} ({', '.join(why.domains)})"
    say(f"{names}: {why.weight:.4f} of the training tokens in the recipe, by the law {why.law} at {why.rung}.")
    for line in why.sentences:
        say(line)
    unit = f" ({why.unit})" if why.unit else ""
    say_table(
        [
            {"if it were": step.name, "asked": step.asked, "weight": step.weight, "difference": step.difference,
             "low": step.low, "high": step.high, "leverage": step.leverage, "stopped by": step.held or None}
            for step in why.steps
        ],
        title=f"\nObjective{unit} less the recipe's, other weights in proportion (positive: worse), 90 % intervals;\n"
        "leverage above 1 lies outside the region of the runs:",
    )  # fmt: skip
    say_table(
        [
            {"trial": one.run, "runs": one.n_runs, "weight": one.weight, "elsewhere": one.elsewhere,
             "measured": one.measured, "to recipe": one.difference, "it says": one.says,
             f"without: {why.less or 'less'}": one.without_less, f"without: {why.more or 'more'}": one.without_more}
            for one in why.witnesses
        ],
        title="\nThe trials behind it, most telling first. Elsewhere: share of tokens that differ though the weight is "
        "allowed for;\nto recipe: measured less predicted for the recipe; without: the difference above if it had not "
        "been run:",
    )  # fmt: skip


def print_guards(guards: Sequence[GuardCheck]) -> None:
    """How the guards stand, where there are any."""
    if guards:
        say_table(
            [
                {"guard": g.guard, "holds with": g.probability, "excess": g.excess, "low": g.low, "high": g.high,
                 "basis": f"{g.basis} at {g.rung}"}
                for g in guards
            ],
            title="\nGuards (excess: how much worse than allowed; 90 % intervals):",
        )  # fmt: skip


def print_move(move: Move, *, as_json: bool = False) -> None:
    """The step domain by domain, what it gains and how sure that is."""
    if as_json:
        say_json(to_data(move))
        return
    if move.probability is None or move.probability_asked is None:
        sure = "; the law does not say how surely"
    else:
        low, high = (f"{value:.4f}".replace("-", "−") for value in (move.low, move.high))
        sure = (
            f" (90 % interval {low} to {high}): a gain with probability {move.probability:.2f}, "
            f"one of {move.gain:g} or more with {move.probability_asked:.2f}"
        )
    say(
        f"A step of {move.kl:.2g} nats is predicted to gain {move.predicted:.4f}{sure}. "
        f"The largest predicted gain is {move.largest:.4f}.\n"
    )
    before, after = move.today.as_dict(), move.mixture.as_dict()
    rows = [
        {"domain": name, "before": before.get(name, 0.0), "after": weight, "change": weight - before.get(name, 0.0)}
        for name, weight in after.items()
    ]
    say_table(
        sorted(rows, key=lambda row: -abs(row["change"])),
        title=f"Objective: {move.objective.title}, by the law {move.law} at {move.rung}.",
    )
    print_guards(move.guards)
    for line in move.binding:
        say(f"Held by: {line}")
    if move.doubt:
        say(f"Mind: {move.doubt}.")


def _read_count(text: str) -> tuple[str, str]:
    """Domain and tokens of DOMAIN=TOKENS.

    Raises:
        InputError: no `=`.
    """
    name, equals, count = text.rpartition("=")
    if not equals:
        raise InputError(f"`{text}` counts no domain", value=text, bound="DOMAIN=TOKENS", remedy="name the domain")
    return name, count


def _wanted(study: Study, objective: Sequence[str], guards: Sequence[str]) -> Objective | None:
    """The objective of the flags: its terms where given, and the guards beside the study's; None: the study's own."""
    if not objective and not guards:
        return None
    wanted = study.config.objective
    if objective:
        wanted = replace(wanted, terms=tuple(read_pair(text, "weight", 1.0) for text in objective))
    metrics = study.view().metrics
    given = (mixdesk.Guard.parse(text, metrics) for text in guards)
    return replace(wanted, guards=tuple(dict.fromkeys((*wanted.guards, *given))))
