"""Recipes: make, confirm, read, score; the smallest move; Pareto sets."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixdesk import __version__
from mixdesk.api.corpora import open_corpus
from mixdesk.api.laws import Evidence, gather_evidence, observations, plug_of, save_fit
from mixdesk.api.studies import make_strategy, make_trainer, open_study
from mixdesk.core import checks, registry
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.errors import InputError, NotEnoughEvidence
from mixdesk.core.export import Imported
from mixdesk.core.files import read_json, write_json
from mixdesk.core.mixture import Mixture, Stage
from mixdesk.core.objective import Objective
from mixdesk.core.plan import Plug, Recommendation
from mixdesk.core.protocols import Progress
from mixdesk.core.recipe import NATURAL, RIVALS, CardScore, Move, ParetoPoint, PredictionCard, Recipe
from mixdesk.core.trial import StudyView
from mixdesk.recipe import card, compose, confirm, moves
from mixdesk.recipe.doubts import Doubts, doubts
from mixdesk.recipe.judge import FEW_PER_DOMAIN, FIRM_PAIRS, Ground, Weakness, weakness
from mixdesk.recipe.predicted import OBJECTIVE, rung_of
from mixdesk.recipe.start import MAX_EPOCHS, Start, start_mixtures
from mixdesk.recipe.why import Why, explain
from mixdesk.search.ladder import general_mixture
from mixdesk.search.move import smallest_step
from mixdesk.search.pareto import pareto_set, wanted
from mixdesk.search.terrain import target_space
from mixdesk.search.worth import Worth, weigh
from mixdesk.study import local, sheets, sizes
from mixdesk.study.columns import usual_column
from mixdesk.study.config import StudyConfig
from mixdesk.study.study import Study

# Of counts that a person told, which no tokenizer of ours made.
UNTOLD = Tokenizer(name="untold", vocab_size=0, sha256="")


def start_recipe(folder: Path | str, *, n_tokens: int | str, max_epochs: float | None = None) -> tuple[Start, ...]:
    """Mixtures without evidence for a run of `n_tokens`, from the token counts of a corpus or study folder.

    Those of a study keep its constraints, in a run of `n_tokens`; each says what they moved.

    Args:
        folder: of a corpus, or of a study with one.
        n_tokens: a whole number, or a text such as 20M, 1.5B or 1e9.
        max_epochs: how often a domain may be passed; default: the study's, else 4.

    Raises:
        InputError: the study has no token counts, or `n_tokens` is no whole number.
        Infeasible: `max_epochs` passes over all domains are shorter than the run, or the study's constraints leave no
            mixture in it.
    """
    n_run = sizes.told("n_tokens", n_tokens)
    view = open_study(folder).view() if (Path(folder) / "study.db").exists() else None
    corpus = open_corpus(folder) if view is None else view.corpus
    if corpus is None:
        raise InputError(
            f"the study at `{folder}` has no token counts",
            value="no corpus",
            bound="unique training tokens per domain",
            remedy="give the folder of a corpus",
        )
    if view is None:
        return start_mixtures(corpus, n_run, MAX_EPOCHS if max_epochs is None else max_epochs)
    view = _for_run(view, max_epochs, n_run)
    return start_mixtures(corpus, n_run, view.constraints.max_epochs or MAX_EPOCHS, target_space(view))


def _for_run(
    view: StudyView, max_epochs: float | None, n_tokens: int | None, tokens: Mapping[str, float] | None = None
) -> StudyView:
    """The view of a run of `n_tokens` that passes no domain more often than `max_epochs`; None: as the study says.

    `tokens` domain → unique tokens, beside those that the study knows.

    Raises:
        InputError: an unknown domain, or a cap on epochs that cannot be counted.
    """
    corpus = view.corpus
    if tokens:
        for name in tokens:
            checks.one_of("domain", name, view.domains)
        domains = (Domain(name=name) for name in view.domains) if corpus is None else corpus.domains
        told = tuple(
            dataclasses.replace(one, n_tokens=int(tokens.get(one.name) or 0) or one.n_tokens) for one in domains
        )
        corpus = dataclasses.replace(corpus or Corpus(name=view.name, tokenizer=UNTOLD, domains=told), domains=told)
    counts = [] if corpus is None else [one.n_tokens for one in corpus.domains]
    natural = view.natural
    if natural is None and corpus is not None and all(counts):
        natural = Mixture.natural(corpus)
    limits = view.constraints
    if max_epochs is not None:
        limits = dataclasses.replace(limits, max_epochs=max_epochs)
    view = dataclasses.replace(view, constraints=limits, corpus=corpus, natural=natural, n_tokens=n_tokens)
    known = {"tokens of the run": view.target.n_tokens, "unique tokens of any domain": any(counts)}
    missing = [f"no {what}" for what, is_known in known.items() if not is_known]
    if max_epochs is not None and missing:
        raise InputError(
            "epochs cannot be counted here",
            value=" and ".join(missing),
            bound="the tokens of the run, and the unique tokens of each domain that may run short",
            remedy="add --n-tokens 20B, and --tokens DOMAIN=1.2B for each such domain",
        )
    return view


def make_recipe(  # noqa: PLR0913  (mirrors the command line)
    study: Study,
    *,
    objective: Objective | None = None,
    law: Plug | str | None = None,
    strategy: Plug | str | None = None,
    evidence: Evidence | None = None,
    date: str | None = None,
    out: Path | str | None = None,
    last_share: float | None = None,
    max_epochs: float | None = None,
    n_tokens: int | str | None = None,
    tokens: Mapping[str, int | str] | None = None,
) -> Recipe:
    """The recipe of a study: fit a law, search it under the constraints, compare with every rival, judge.

    With `last_share`, in (0, 1], the run has two stages: the natural mixture, then for that share of the tokens the
    one searched for, while the learning rate falls to zero; 1 is one stage. Default: as the strategy
    says.

    It is for a run of `n_tokens` (default: the target rung's) that passes no domain more often than `max_epochs`
    (default: the study's limit); `tokens` are unique tokens of domains, such as 1.2B, where the study has no corpus, or
    a part of it.

    Writes `recipe.json` into the study (or to `out`), and the law beside it as `laws/<name>.json`. A refusal is a
    recipe too: read `recipe.verdict`. Its prediction card, frozen on `date` (ISO; default: today), is kept in the
    study as `cards/<id>.json` too, which nothing overwrites.

    A strategy that needs no law (`rule`) has an answer where the runs are too few for one: nothing is predicted of it
    then, and only a confirmation can judge it.

    Raises:
        NotEnoughEvidence: too few finished trials to fit the law at all.
        Infeasible: no mixture satisfies the constraints, or none keeps the guards.
        InputError: a cap on epochs where the tokens of the run or of every domain are unknown.
    """
    counts = {name: sizes.told(f"tokens of {name}", n) for name, n in (tokens or {}).items()}
    n_run = None if n_tokens is None else sizes.told("n_tokens", n_tokens)
    studied = study.view()
    view = _for_run(studied, max_epochs, n_run, counts)
    wanted = objective or (study.config.objective if evidence is None else evidence.objective)
    chooser = make_strategy(study.config, plug_of(strategy, study.config.strategy), law)
    try:
        found = evidence or _evidence(study, law, wanted)
    except NotEnoughEvidence:
        if getattr(chooser, "needs_law", True):
            raise
        found = None
    view = dataclasses.replace(view, objective=wanted)
    recipe = draft_recipe(view, study.config, found, strategy=strategy, last_share=last_share)
    made_on = None if studied.corpus is None else studied.corpus.fingerprint  # not of counts that were told
    facts = dataclasses.replace(recipe.provenance, corpus=made_on)
    recipe = dataclasses.replace(recipe, tokens=tuple(counts.items()), provenance=facts)
    frozen = card.freeze(recipe, view, date or datetime.datetime.now(tz=datetime.UTC).date().isoformat())
    recipe = dataclasses.replace(recipe, card=_kept(study, frozen))
    with contextlib.suppress(NotEnoughEvidence):  # the plan may have been trained by an earlier confirmation
        recipe = confirm.confirmed(recipe, view)
    if found is not None:
        save_fit(study, found.fit, found.law)
    write_json(Path(out) if out is not None else study.folder / "recipe.json", recipe)
    return recipe


def draft_recipe(
    view: StudyView,
    config: StudyConfig,
    evidence: Evidence | None,
    *,
    strategy: Plug | str | None = None,
    last_share: float | None = None,
) -> Recipe:
    """What a recipe of the trials in `view` would be; nothing is written. Arguments and errors as `make_recipe`.

    Without `evidence` it is the mixture of a strategy that needs no law.
    """
    plug = plug_of(strategy, config.strategy)
    chooser = make_strategy(config, plug, None if evidence is None else evidence.law)
    fit, law = (None, "") if evidence is None else (evidence.fit, evidence.law.name)
    cited = (chooser.reference, registry.part("laws", law).reference if law else "")
    return compose.compose(
        view,
        fit,
        _staged(view, chooser.recommend(view, fit), last_share),
        () if evidence is None else evidence.scores,
        law=law,
        strategy=plug.name,
        version=__version__,
        references=tuple(key for key in cited if key),
    )


def _staged(view: StudyView, found: Recommendation, last_share: float | None) -> Recommendation:
    """The recommendation for the last stage of a run, after the natural mixture or the nearest that is allowed.

    Raises:
        InputError: the share is not between 0 and 1.
    """
    if last_share is None:
        return found
    checks.finite("last_share", last_share, 0.0, 1.0, open_low=True)
    if last_share == 1.0:
        return dataclasses.replace(found, before=None)
    base = general_mixture(view, target_space(view)) if found.before is None else found.before.mixture
    return dataclasses.replace(found, before=Stage(mixture=base, until=1.0 - last_share))


def confirm_recipe(
    study: Study,
    recipe: Recipe,
    *,
    replicates: int = FIRM_PAIRS,
    rivals: Sequence[str] = RIVALS,
    jobs: int | None = None,
    progress: Progress | None = None,
    out: Path | str | None = None,
) -> Recipe:
    """Train the recipe and its rivals at the target rung with fresh replicates, compare in pairs, judge again.

    `rivals` names those to train; the baselines natural and uniform are needed for a verdict.
    What was trained already is not trained again; an interrupted confirmation goes on where it stopped. A study without
    a trainer asks the runs with `ask_study(…, confirm=True)`; once they are told this judges them.
    Writes `recipe.json` into the study (or to `out`).

    Raises:
        InputError: the study has no size to train at, no trainer and no answers, or fewer than 2 replicates.
        NotEnoughEvidence: fewer than 2 replicates of the recipe and of some baseline came to an end.
    """
    view = dataclasses.replace(study.view(), objective=recipe.objective)
    proposals = confirm.fresh_proposals(recipe, view, replicates, rivals)
    if study.config.trainer is not None:
        trainer = make_trainer(study)
        try:
            specs = study.ask(proposals)
            local.run_specs(study, trainer, specs, jobs=jobs, progress=progress)
        finally:
            trainer.close()
    elif not confirm.by_replicate(view, recipe.plan.schedule):
        raise InputError(
            f"the study `{view.name}` has no trainer",
            value=f"no fresh run of the recipe at `{view.rungs[-1].label}`",
            bound=f"the answers of {len(proposals)} runs of the recipe and its rivals",
            remedy=f"ask them with `mixdesk study ask {study.folder} -n {len(proposals)} --confirm -o asked.jsonl`, "
            "train them, `mixdesk study tell` the answers, and confirm again",
        )
    recipe = confirm.confirmed(recipe, dataclasses.replace(study.view(), objective=recipe.objective))
    write_json(Path(out) if out is not None else study.folder / "recipe.json", recipe)
    return recipe


def smallest_move(
    study: Study,
    *,
    gain: float,
    today: Mixture | Mapping[str, float] | str = NATURAL,
    objective: Objective | None = None,
    law: Plug | str | None = None,
    evidence: Evidence | None = None,
) -> Move:
    """The step of least KL divergence from `today` whose predicted objective is better by `gain`, in its unit.

    `today`: a mixture, or natural, uniform or best seen. It keeps the study's constraints and the objective's guards.

    Raises:
        InputError: `gain` is not positive, or `today` is not known here.
        NotEnoughEvidence: too few finished trials, or a law that does not surely rank unseen mixtures better than
            chance; says what would settle it.
        Infeasible: no allowed mixture gains so much; says the largest gain there is.
    """
    view = dataclasses.replace(study.view(), objective=objective or study.config.objective)
    given = Mixture.of(today, normalise=True) if isinstance(today, Mapping) else today
    start = moves.today_of(view, given)
    checks.finite("gain", gain, 0.0, open_low=True)
    found = evidence or _evidence(study, law, view.objective)
    _insist(view, found)
    step = smallest_step(view, found.fit, start, gain)
    return moves.weigh(
        view,
        found.fit,
        start,
        step.mixture,
        gain=gain,
        largest=step.largest,
        law=found.law.name,
        held=(step.binding, step.kl, step.doubt),
    )


def pareto(
    study: Study,
    metrics: Sequence[str] = (),
    *,
    objective: Objective | None = None,
    law: Plug | str | None = None,
    evidence: Evidence | None = None,
) -> tuple[ParetoPoint, ...]:
    """Mixtures that no other beats in every one of `metrics` (names or patterns; default: the objective's), ≤ 30.

    Raises:
        InputError: fewer than two metrics, or an unknown one.
        NotEnoughEvidence: too few finished trials, or a metric by which the law does not surely rank unseen mixtures
            better than chance; says what would settle it.
        Infeasible: no mixture satisfies constraints and guards.
    """
    view = dataclasses.replace(study.view(), objective=objective or study.config.objective)
    names = tuple(metrics) or tuple(name for name, weight in view.objective.terms if weight > 0.0)
    used = wanted(view.metrics, names)
    found = evidence or _evidence(study, law, view.objective)
    for name in used:
        _insist(view, found, name)
    return pareto_set(view, found.fit, used)


def why_weight(
    study: Study,
    domain: str,
    *,
    recipe: Recipe | None = None,
    law: Plug | str | None = None,
    evidence: Evidence | None = None,
) -> Why:
    """What the weight of a domain (or the sum of those that a pattern matches) in a recipe rests on.

    `recipe`: default that of the study; `law`: default the recipe's own.

    Raises:
        InputError: no recipe, or no such domain.
        NotEnoughEvidence: no law can be fitted.
    """
    asked = recipe or read_recipe(study.folder)
    view = dataclasses.replace(as_made(study.view(), asked), objective=asked.objective)
    found = evidence or _evidence(study, law or asked.provenance.law or None, view.objective)
    notes = []
    weak = _weakness(view, found)
    if weak is not None:
        notes.append(f"{weak.reason} What it says of a single weight is worth as little. {weak.remedy}")
    if asked.provenance.record_sha256 != view.record_sha256:
        notes.append("The study has more answers than the recipe knew: make the recipe again.")
    part = registry.make("laws", found.law)
    return explain(view, part, found.fit, asked, domain, name=found.law.name, notes=notes)


def doubt_mixture(study: Study, mixture: Imported, *, law: Plug | str | None = None) -> Doubts:
    """Which weights of somebody's mixture the law knows least about: where a next trial would tell most.

    `mixture`: as `read_mixture` gives it; `law`: default the study's.

    Raises:
        InputError: a domain that the study has not, or shares that are not of tokens.
        NotEnoughEvidence: no law can be fitted, or it does not say how sure it is.
    """
    if mixture.unit != "tokens":
        raise InputError(
            "a study speaks of shares of tokens", value=f"shares of {mixture.unit}", bound="shares of tokens",
            remedy="name a corpus with its counts, which turns the ones into the others",
        )  # fmt: skip
    view = study.view()
    found = _evidence(study, law, view.objective)
    weak = _weakness(view, found)
    notes = (
        () if weak is None else (f"{weak.reason} What it says of a single weight is worth as little. {weak.remedy}",)
    )
    today = view.spoken(mixture.plan.schedule)
    w_qd = np.array([today.over(view.domains)])
    return Doubts(
        found=doubts(view, found.fit, today), law=found.law.name, rung=rung_of(view, found.fit, w_qd).label, notes=notes
    )


def worth_more(
    study: Study,
    *,
    trials: int | None = None,
    flops: float | None = None,
    matters: float | None = None,
    objective: Objective | None = None,
    law: Plug | str | None = None,
    evidence: Evidence | None = None,
) -> Worth:
    """Whether more trials are worth their cost: the gain expected to be left, and what a budget would buy of it.

    The budget is a number of `trials`, or `flops` where the price of a trial is known. `matters`: the smallest gain
    that matters, in the objective's unit; default: the noise of one run. Its `verdict` is go on, stop or cannot tell.

    Raises:
        InputError: no budget or two, one that buys no trial, or FLOPs where no trial has a price.
        NotEnoughEvidence: no law can be fitted though the mixtures are enough, or it gives no draws.
        Infeasible: no mixture satisfies constraints and guards.
    """
    view = dataclasses.replace(study.view(), objective=objective or study.config.objective)
    price = _price(view)
    n_more = _affordable(trials, flops, price)
    n, d, found = view.n_mixtures(view.fullest), len(view.domains), evidence
    try:
        found = found or gather_evidence(study, law=law, objective=view.objective)
        weak = _weakness(view, found)
    except NotEnoughEvidence:
        weak = weakness(Ground.of(view, (), view.fullest.label))
        if n >= d + 2 or weak is None:
            raise
    if found is None or weak is not None:
        said = "" if weak is None else f"{weak.reason} {weak.remedy}"
        cost = None if price is None else n_more * price
        return Worth(n=n, n_more=n_more, weak=said, is_early=n < FEW_PER_DOMAIN * (d + 1), flops=cost)
    part = registry.make("laws", found.law)
    error = [row.value for row in found.scores if (row.metric, row.measure) == (OBJECTIVE.name, "rmse")]
    return weigh(
        view,
        part,
        observations(view, part),
        found.fit,
        n_more=n_more,
        matters=matters,
        price=price,
        error=error[0] if error else None,
    )


def _price(view: StudyView) -> float | None:
    """FLOPs of a trial at the fullest rung: what its runs told, else what the rung says; None: unknown."""
    told = [trial.flops for trial in view.at(view.fullest.label) if trial.flops]
    return float(np.mean(told)) if told else view.fullest.flops


def _affordable(trials: int | None, flops: float | None, price: float | None) -> int:
    """How many trials a budget buys; raises InputError where that is not one or more."""
    if (trials is None) == (flops is None):
        raise InputError(
            "what is to be spent is not said once",
            value=f"trials {trials}, flops {flops}",
            bound="one of the two",
            remedy="give trials, or flops",
        )
    if trials is not None:
        return checks.count("trials", trials, 1)
    budget = checks.finite("flops", flops or 0.0, 0.0)
    if price is None or budget < price:
        raise InputError(
            "the budget buys no trial" if price is not None else "no trial has a price in FLOPs",
            value=f"{budget:g} FLOPs",
            bound="FLOPs per trial, told by a run or its rung" if price is None else f"≥ {price:.3g}, one trial",
            remedy="give a number of trials" if price is None else "give more",
        )
    return int(budget / price)


def _evidence(study: Study, law: Plug | str | None, objective: Objective) -> Evidence:
    """The evidence for an answer.

    Raises:
        NotEnoughEvidence: no law can be fitted; says how many mixtures would settle it where that is why.
    """
    try:
        return gather_evidence(study, law=law, objective=objective)
    except NotEnoughEvidence:
        view = study.view()
        if view.n_mixtures(view.fullest) >= len(view.domains) + 2:
            raise
        weak = weakness(Ground.of(view, (), view.fullest.label))
        assert weak is not None
        raise weak.error() from None


def _insist(view: StudyView, found: Evidence, metric: str = OBJECTIVE.name) -> None:
    """Refuse a law that is not known to rank mixtures by a metric.

    Raises:
        NotEnoughEvidence: it is not; says what would settle it.
    """
    weak = _weakness(view, found, metric)
    if weak is not None:
        raise weak.error()


def _weakness(view: StudyView, found: Evidence, metric: str = OBJECTIVE.name) -> Weakness | None:
    """Why a law is not known to rank mixtures by a metric, or None."""
    even_qd = np.full((1, len(view.domains)), 1.0 / len(view.domains))
    return weakness(Ground.of(view, found.scores, rung_of(view, found.fit, even_qd).label), metric)


def score_recipe(
    recipe: Recipe,
    *,
    scores: Any = None,
    study: Study | None = None,
    is_same_scale: bool | None = None,
) -> CardScore:
    """A recipe's prediction card beside the big run: `scores` a table, or the fresh trials of `study`.

    The table has a row per run: `plan` (recipe, natural, uniform, best seen), a column per metric, and `n_params` and
    `n_tokens` where the size is told. Intervals are scored at the card's own scale only (`is_same_scale`, default: by
    the sizes told), signs anywhere. The card is never changed.

    Raises:
        InputError: the recipe has no card, or nothing in the table belongs to it.
        NotEnoughEvidence: the study has no fresh trial of the recipe.
    """
    frozen = recipe.card
    if frozen is None:
        raise InputError(
            "the recipe has no prediction card",
            value="none",
            bound="a recipe made by this version",
            remedy="make it again with `mixdesk recipe make`, before the run",
        )
    is_refused = recipe.verdict.name == "too weak"
    told: tuple[str, ...] = ("The evidence was too weak for a recipe when this was predicted.",) if is_refused else ()
    if scores is None:
        if study is None:
            raise InputError(
                "no results to score the card with", value="none", bound="a table or a study", remedy="give --scores"
            )
        results, rung = card.told(frozen, study.view())
        same = rung == frozen.rung if is_same_scale is None else is_same_scale
    else:
        results, same, notes = _tabled(frozen, scores, is_same_scale)
        told += notes
    found = card.score(frozen, results, is_same_scale=same)
    return dataclasses.replace(found, notes=(*told, *found.notes))


def _tabled(
    frozen: PredictionCard, scores: Any, is_same_scale: bool | None
) -> tuple[dict[str, dict[str, list[float]]], bool, tuple[str, ...]]:
    """A table of results by plan and metric, whether it is of the card's size, and what to mind."""
    sheet = sheets.read_sheet(Path(scores) if isinstance(scores, str) else scores)
    plan = next((name for name in sheet.columns if name.lower() == "plan"), None)
    if plan is None:
        raise InputError(
            f"`{sheet.source}` does not say which plan a row is",
            value=", ".join(sheet.columns),
            bound="a column `plan`: recipe, natural, uniform, best seen",
            remedy="add the column",
        )
    plans = sheet.names(plan)
    size_columns = {role: usual_column(sheet, role) for role in ("n_params", "n_tokens")}
    others = [name for name in sheet.columns if name != plan and name not in size_columns.values()]
    columns = {name: sheet.numbers(name, plans) for name in others if not sheet.is_text(name)}
    told = {role: sizes.counts(sheet, name, plans) for role, name in size_columns.items()}
    results, notes = card.tabled(frozen, plans, columns)
    same = card.is_of_size(frozen, told) if is_same_scale is None else is_same_scale
    if same is None:
        notes += (
            "The size of the runs or of the card is not told, so only signs are scored; --same-scale says it is one.",
        )
    return results, bool(same), notes


def read_recipe(path: Path | str) -> Recipe:
    """A recipe from its file, or from the study folder that holds it.

    Raises:
        InputError: there is none, or it is not a recipe.
    """
    path = Path(path) / "recipe.json" if Path(path).is_dir() else Path(path)
    if not path.exists():
        raise InputError(
            f"there is no recipe at `{path}`",
            value="no such file",
            bound="a recipe.json",
            remedy="make one with `mixdesk recipe make`",
        )
    return read_json(path, Recipe)


def as_made(view: StudyView, recipe: Recipe) -> StudyView:
    """The view with the limits, run and token counts that a recipe was made for."""
    if recipe.constraints is None:
        return view
    view = dataclasses.replace(view, constraints=recipe.constraints)
    return _for_run(view, None, recipe.plan.scale.n_tokens, dict(recipe.tokens))


def _kept(study: Study, frozen: PredictionCard) -> PredictionCard:
    """The card as the study has it: written where it is new, else as it was frozen first."""
    path = study.folder / "cards" / f"{frozen.id}.json"
    if path.exists():
        return read_json(path, PredictionCard)
    write_json(path, frozen)
    return frozen
