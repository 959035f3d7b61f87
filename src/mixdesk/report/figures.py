"""What each panel shows, as small frozen tuples of numbers taken from core types; nothing here draws or decides.

Axis letters as in `core/observations.py`: n trials, d domains, m metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixdesk.core.export import Snippet
from mixdesk.core.mixture import Mixture, Schedule, group_of
from mixdesk.core.objective import Comparison, LeagueRow, Objective, OutOfFold
from mixdesk.core.observations import Metric, Noise
from mixdesk.core.recipe import BEST_SEEN, FIRST_FRESH_REPLICATE, NATURAL, RIVALS, UNIFORM, GuardCheck, Recipe, Rival
from mixdesk.core.region import Region
from mixdesk.core.scale import Rung
from mixdesk.core.trial import StudyView, Trial
from mixdesk.report import words

RECIPE = "recipe"
OBJECTIVE = "objective"
# More pieces than this cannot be told apart in a strip 800 pixels wide: families take their place.
MOST_BANDS = 24
# Curves drawn at most: beyond it the grey ones merge into a wash and the page grows.
MOST_CURVES = 120
# A guard that holds with this probability is kept; below one half it is broken.
SURE = 0.9
# Two mixtures this close are the same run: weights travel through JSON bit for bit, solvers' dust does not matter.
SAME = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Answer:
    """One question's answer with its evidence: the `recipe`, the fitted law as `browser` data, its out-of-fold `rows`,
    the `scores` of every law that was compared, how the law `learned` where that was measured, and `snippets`: target →
    its file for the mixture on the faders.
    """

    recipe: Recipe
    browser: dict[str, Any]
    rows: tuple[OutOfFold, ...]
    scores: tuple[LeagueRow, ...]
    learned: Learned | None = None
    snippets: Mapping[str, Snippet] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A piece of a strip: a domain, or a family where there are more than 24 domains.

    `members` are positions on axis d; `hue` is the position whose colour it takes; `label` the name within `family`.
    """

    name: str
    label: str
    family: str
    members: tuple[int, ...]
    hue: int

    def share(self, weights: tuple[float, ...]) -> float:
        """Sum of the members' weights."""
        return math.fsum(weights[i] for i in self.members)


@dataclass(frozen=True, kw_only=True, slots=True)
class StripRow:
    """One mixture beside the others: weights (d,), and recipe − rival where the row is a rival that was compared."""

    name: str
    weights: tuple[float, ...]
    is_lead: bool
    comparison: Comparison | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainRow:
    """One line of the recipe's table; None where the study does not know."""

    domain: str
    hue: int
    weight: float
    reference: float
    spread: float | None
    n_tokens: float | None
    epochs: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FitPoint:
    """A trial the law had not seen: what it said, with the 90 % interval of one run, and what was measured."""

    trial: str
    measured: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How many of n intervals held what was measured, and the range that chance allows (95 %) at level 0.9."""

    n_inside: int
    n: int
    least: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One law's out-of-fold figures on the objective; None where it was not scored so.

    `regret1`, `regret5`: what the best of the one or five mixtures it likes best is worse than the best of all, 0 the
    best and 1 a random pick. `width` of the 90 % intervals in standard deviations over mixtures.
    """

    law: str
    n: int
    rmse: float | None = None
    spearman: float | None = None
    low: float | None = None
    high: float | None = None
    regret1: float | None = None
    regret5: float | None = None
    coverage: float | None = None
    width: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """How a law's error on the objective fell with the number of mixtures, and what more of them would bring.

    `points` (mixtures, error) on mixtures held out; `now` the out-of-fold error with all `n`; `then` with `n_more`
    more, `low` to `high` its 90 % interval, None where nobody can say; `sentence` the answer in words.
    """

    law: str
    points: tuple[tuple[int, float], ...]
    n: int
    now: float
    n_more: int
    sentence: str
    then: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Which form earned its say in an average of `forms`: per metric its weights, the objective's metrics first."""

    forms: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Objective over trained tokens of one trial; `name` is recipe or a rival's at a later rung, else empty."""

    trial: str
    name: str
    rung: str
    replicate: int
    n_tokens: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """Recipe − rival at the rung of the fresh trials: the comparison, the law's before it, one difference per
    replicate as (replicate, difference).
    """

    rival: str
    trained: Comparison
    predicted: Comparison | None
    differences: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """How much of each domain's text stands in others: `share` rows as `domains`, columns `domains`, then `sets`.

    A row of a domain holds the shares of its word windows found in the column; the columns of evaluation sets hold the
    share of the set's windows that stand in the row's domain. None: not known. `warnings` sentences, worst first.
    """

    domains: tuple[str, ...]
    sets: tuple[str, ...]
    share: tuple[tuple[float | None, ...], ...]
    n_words: int
    warnings: tuple[str, ...] = ()


def measured(view: StudyView, objective: Objective, metrics: dict[str, float]) -> float:
    """The objective of one point's metrics; NaN where one that it needs is missing."""
    row = np.array([metrics.get(metric.name, math.nan) for metric in view.metrics])
    return float(objective.value(row, view.metrics))


def unit_of(view: StudyView, objective: Objective) -> str:
    """The unit of the objective; `mixed units` where its metrics do not agree."""
    weights = objective.weights(view.metrics)
    units = {metric.unit for metric, weight in zip(view.metrics, weights, strict=True) if weight > 0.0}
    return units.pop() if len(units) == 1 else "mixed units"


def scale_of(view: StudyView, objective: Objective) -> str:
    """What stands beside values of the objective: its unit, and that the sign is turned where it is; may be empty."""
    return words.listed(unit_of(view, objective), "sign turned" if _turned(view, objective) else "")


def direction(view: StudyView, objective: Objective) -> str:
    """Which way is better, in words; it names the metric whose sign was turned."""
    turned = _turned(view, objective)
    if not turned:
        return "lower is better"
    are = f"`{turned[0]}` is" if len(turned) == 1 else f"{len(turned)} metrics are"
    return f"sign turned: {are} better higher"


def _turned(view: StudyView, objective: Objective) -> list[str]:
    """Metrics of the objective that are better higher and enter it negated."""
    weights = objective.weights(view.metrics)
    return [m.name for m, weight in zip(view.metrics, weights, strict=True) if weight > 0.0 and m.sign < 0.0]


def rivals(view: StudyView, recipe: Recipe | None) -> tuple[Rival, ...]:
    """The recipe's rivals in the order shown; without a recipe, those the study already has."""
    if recipe is not None:
        return tuple(sorted(recipe.rivals, key=lambda r: RIVALS.index(r.name) if r.name in RIVALS else len(RIVALS)))
    best = view.best_seen()
    natural = (Rival(name=NATURAL, mixture=view.natural),) if view.natural else ()
    uniform = Rival(name=UNIFORM, mixture=Mixture.uniform(view.domains))
    return ((Rival(name=BEST_SEEN, mixture=best.spec.mixture),) if best else ()) + natural + (uniform,)


def reference(view: StudyView) -> Rival:
    """What gains are told against: natural where token counts are known, else uniform."""
    if view.natural is not None:
        return Rival(name=NATURAL, mixture=view.natural)
    return Rival(name=UNIFORM, mixture=Mixture.uniform(view.domains))


def headline(view: StudyView, recipe: Recipe) -> Comparison | None:
    """The difference the page opens with: to the mixture recommended instead, else to natural, else to uniform."""
    instead = recipe.against(recipe.verdict.recommended) if recipe.verdict.name == "no different" else None
    return instead or recipe.against(reference(view).name) or recipe.against(UNIFORM)


def bands(view: StudyView, lead: Mixture, *, by_family: bool) -> tuple[Band, ...]:
    """Pieces of the strips, families by the reference's weight, domains by the lead's weight within their family."""
    lead_d, base_d = lead.over(view.domains), reference(view).mixture.over(view.domains)
    families: dict[str, list[int]] = {}
    for i, name in enumerate(view.domains):
        families.setdefault(group_of(name), []).append(i)
    order = sorted(families, key=lambda family: -math.fsum(base_d[i] for i in families[family]))
    out, start = [], words.shared_start(view.domains)
    for family in order:
        members = sorted(families[family], key=lambda i: (-lead_d[i], view.domains[i]))
        if by_family:
            out.append(
                Band(
                    name=family, label=family.removeprefix(start), family=family, members=tuple(members), hue=members[0]
                )
            )
            continue
        for i in members:
            label = view.domains[i].removeprefix(family + "/").removeprefix(start) or view.domains[i]
            out.append(Band(name=view.domains[i], label=label, family=family, members=(i,), hue=i))
    return tuple(out)


def shown_bands(view: StudyView, lead: Mixture) -> tuple[Band, ...]:
    """Domains, or families where there are more than 24 domains and fewer families than domains."""
    n_families = len({group_of(name) for name in view.domains})
    return bands(view, lead, by_family=len(view.domains) > MOST_BANDS and n_families < len(view.domains))


def lead_of(view: StudyView, recipe: Recipe | None) -> Rival:
    """The mixture the page advises: the recipe, the rival recommended in its place, or the reference."""
    if recipe is not None:
        if recipe.verdict.recommended == RECIPE:
            return Rival(name=RECIPE, mixture=recipe.mixture)
        named = [rival for rival in recipe.rivals if rival.name == recipe.verdict.recommended]
        return named[0] if named else reference(view)
    return reference(view)


def is_running(recipe: Recipe) -> bool:
    """Whether trials are out: what the recipe says is what the trials so far would say."""
    return recipe.verdict.state == "running"


def is_refused(recipe: Recipe) -> bool:
    """Whether the evidence was too weak, with no more of it on its way."""
    return recipe.verdict.name == "too weak" and not is_running(recipe)


def candidate(recipe: Recipe) -> str:
    """What the recipe's mixture is called beside its rivals."""
    if is_running(recipe):
        return "candidate so far"
    return "refused candidate" if is_refused(recipe) else "recipe"


def strips(view: StudyView, recipe: Recipe | None) -> tuple[StripRow, ...]:
    """The advised mixture first, then the others. A recipe refused for weak evidence is not among them."""
    lead = lead_of(view, recipe)
    rows = list(rivals(view, recipe))
    if recipe is not None and recipe.verdict.name != "too weak":
        rows.insert(0, Rival(name=RECIPE, mixture=recipe.mixture))
    rows.sort(key=lambda rival: rival.name != lead.name)
    return tuple(
        StripRow(
            name=rival.name,
            weights=rival.mixture.over(view.domains),
            is_lead=rival.name == lead.name,
            comparison=recipe.against(rival.name) if recipe is not None and rival.name != RECIPE else None,
        )
        for rival in rows
    )


def domain_rows(view: StudyView, recipe: Recipe) -> tuple[DomainRow, ...]:
    """The recipe per domain, heaviest first."""
    weights, base = recipe.mixture.over(view.domains), reference(view).mixture.over(view.domains)
    spread, epochs, run = dict(recipe.spread), dict(recipe.epochs), recipe.plan.scale.n_tokens
    rows = [
        DomainRow(
            domain=name,
            hue=i,
            weight=weights[i],
            reference=base[i],
            spread=spread.get(name),
            n_tokens=None if run is None else weights[i] * run,
            epochs=epochs.get(name),
        )
        for i, name in enumerate(view.domains)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.weight, row.domain)))


def objective_noise(view: StudyView, objective: Objective) -> Noise | None:
    """Noise of the objective at the first rung, from the crossed block; None where there is no such block."""
    if not any(trial.final for trial in view.at()):
        return None
    obs = view.observations()
    values = objective.value(obs.Y_nm, obs.metrics)
    metric = Metric(name=OBJECTIVE, unit=unit_of(view, objective))
    found = replace(obs, Y_nm=values[:, None], metrics=(metric,)).noise()
    return found[0] if found and np.isfinite(found[0].within) else None


def fit_points(answer: Answer, metric: str = OBJECTIVE) -> tuple[FitPoint, ...]:
    """Out-of-fold predictions of one metric beside what was measured."""
    return tuple(
        FitPoint(trial=row.trial, measured=row.measured, mean=row.mean, low=row.low, high=row.high)
        for row in answer.rows
        if row.metric == metric and math.isfinite(row.measured) and math.isfinite(row.mean)
    )


def coverage(found: tuple[FitPoint, ...], level: float = 0.9) -> Coverage | None:
    """How many intervals held; None where the law gives none. `least`, `most` are binomial 2.5 % and 97.5 % points."""
    known = [p for p in found if math.isfinite(p.low) and math.isfinite(p.high)]
    if not known:
        return None
    least, most = chance(len(known), level)
    return Coverage(n_inside=sum(p.low <= p.measured <= p.high for p in known), n=len(known), least=least, most=most)


def chance(n: int, level: float) -> tuple[int, int]:
    """How many of n intervals of that level hold by chance: binomial 2.5 % and 97.5 % points."""
    log_pmf = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(level) + (n - k) * math.log1p(-level)
        for k in range(n + 1)
    ]  # fmt: skip
    cdf = np.cumsum(np.exp(log_pmf))
    return int(np.searchsorted(cdf, 0.025)), int(np.searchsorted(cdf, 0.975))


# Fields of `Score` and the measures they come from.
_MEASURES = {
    "rmse": "rmse", "spearman": "spearman", "low": "spearman:low", "high": "spearman:high", "regret1": "regret@1",
    "regret5": "regret@5", "coverage": "coverage", "width": "width", "seconds": "seconds",
}  # fmt: skip


def league(answer: Answer) -> tuple[Score, ...]:
    """Each law's scores on the objective: those judged on most mixtures first, then the least regret."""
    laws: dict[str, dict[str, LeagueRow]] = {}
    for row in answer.scores:
        if row.metric == OBJECTIVE:
            laws.setdefault(row.law, {})[row.measure] = row
    out = []
    for law, found in laws.items():
        number = {measure: row.value if math.isfinite(row.value) else None for measure, row in found.items()}
        fields = {field: number.get(measure) for field, measure in _MEASURES.items()}
        out.append(Score(law=law, n=max(row.n for row in found.values()), **fields))
    return tuple(
        sorted(out, key=lambda s: (-s.n, *(x for v in (s.regret1, s.rmse) for x in (v is None, v or 0.0)), s.law))
    )


def shares(view: StudyView, answer: Answer) -> Shares | None:
    """The weights of an average's members; None for another law, or an average of one form."""
    data = answer.browser
    if data["form"] != "average" or len(data["members"]) < 2:
        return None
    weights = answer.recipe.objective.weights(view.metrics)
    weight = {metric.name: float(w) for metric, w in zip(view.metrics, weights, strict=True)}
    of_metric = {name: tuple(row[j] for row in data["weights"]) for j, name in enumerate(data["metrics"])}
    rows = sorted(of_metric.items(), key=lambda row: (-weight.get(row[0], 0.0), row[0]))
    return Shares(forms=tuple(member["form"].replace("_", " ") for member in data["members"]), rows=tuple(rows))


def guards(recipe: Recipe) -> tuple[GuardCheck, ...]:
    """How each guard stands, the least sure first; trained where there is a trained one, else predicted."""
    found = {(one.guard, one.metric): one for one in sorted(recipe.guards, key=lambda one: one.basis == "trained")}
    return tuple(sorted(found.values(), key=lambda one: (one.probability, one.guard)))


def score_of(answer: Answer) -> Score | None:
    """The scores of the law that the recipe stands on."""
    return next((score for score in league(answer) if score.law == answer.recipe.provenance.law), None)


def is_same(one: Mixture, other: Mixture, domains: tuple[str, ...]) -> bool:
    """Whether two mixtures over these domains are one run."""
    if not set(one.domains) | set(other.domains) <= set(domains):
        return False
    return bool(np.max(np.abs(np.array(one.over(domains)) - np.array(other.over(domains)))) < SAME)


def named_mixtures(view: StudyView, recipe: Recipe | None) -> tuple[Rival, ...]:
    """Recipe and rivals by name."""
    mine = () if recipe is None else (Rival(name=RECIPE, mixture=recipe.mixture),)
    return mine + rivals(view, recipe)


def curves(view: StudyView, recipe: Recipe | None) -> tuple[Curve, ...]:
    """Learning curves of all trials with at least two measured points; later rungs named by their mixture.

    Of more than 120 proxy curves an even sample in the order asked is kept; named ones always.
    """
    objective = recipe.objective if recipe is not None else view.objective
    known, first = named_mixtures(view, recipe), view.rungs[0].label
    named: list[Curve] = []
    plain: list[Curve] = []
    for trial in view.trials:
        line = [(p.n_tokens, measured(view, objective, dict(p.metrics))) for p in trial.points]
        line = [(n, y) for n, y in line if n > 0 and math.isfinite(y)]
        if len(line) < 2:
            continue
        same = (r.name for r in known if trial.rung != first and is_same(r.mixture, trial.spec.mixture, view.domains))
        curve = Curve(
            trial=trial.id,
            name=next(same, ""),
            rung=trial.rung,
            replicate=trial.spec.replicate,
            n_tokens=tuple(n for n, _ in line),
            values=tuple(y for _, y in line),
        )
        (named if curve.name else plain).append(curve)
    if len(plain) > MOST_CURVES:
        plain = [plain[int(i)] for i in np.linspace(0, len(plain) - 1, MOST_CURVES)]
    return tuple(plain + named)


def paired(view: StudyView, recipe: Recipe) -> tuple[Paired, ...]:
    """Trained comparisons on the objective, in the rivals' order, each with its differences per replicate."""
    out = []
    for rival in rivals(view, recipe):
        found = [c for c in recipe.comparisons if c.rival == rival.name and c.metric == OBJECTIVE]
        trained = [c for c in found if c.basis == "trained"]
        if not trained:
            continue
        schedule = recipe.plan.schedule
        mine = _by_replicate(view, recipe, schedule, trained[-1].rung)
        theirs = _by_replicate(view, recipe, schedule.throughout(rival.mixture), trained[-1].rung)
        out.append(
            Paired(
                rival=rival.name,
                trained=trained[-1],
                predicted=next((c for c in reversed(found) if c.basis == "predicted"), None),
                differences=tuple((r, mine[r] - theirs[r]) for r in sorted(mine.keys() & theirs.keys())),
            )
        )
    return tuple(out)


def _by_replicate(view: StudyView, recipe: Recipe, schedule: Schedule, rung: str) -> dict[int, float]:
    out = {}
    for trial in view.at(rung):
        found = measured(view, recipe.objective, trial.final)
        is_fresh = trial.spec.replicate >= FIRST_FRESH_REPLICATE
        if is_fresh and math.isfinite(found) and trial.spec.plan.schedule == schedule:
            out[trial.spec.replicate] = found
    return out


def region(view: StudyView) -> Region | None:
    """Where the runs behind a law are, as `recipe/compose.py` measures it; None before the first answer."""
    done = [trial for trial in view.at(view.fullest.label) if trial.final]
    return Region.of(np.array([trial.spec.mixture.over(view.domains) for trial in done])) if done else None


def law_rung(view: StudyView, recipe: Recipe) -> Rung:
    """The rung that the law's predictions are for."""
    found = (rung_of(view, c.rung) for c in recipe.comparisons if c.basis == "predicted")
    return next((rung for rung in found if rung is not None), view.fullest)


def rung_of(view: StudyView, label: str) -> Rung | None:
    """The study's rung of that name."""
    return next((rung for rung in view.rungs if rung.label == label), None)


def spent(trials: tuple[Trial, ...]) -> tuple[float | None, float | None]:
    """FLOPs and worker seconds of the trials that tell them; None where none does."""
    flops = [trial.flops for trial in trials if trial.flops is not None]
    seconds = [trial.seconds for trial in trials if trial.seconds is not None]
    return (math.fsum(flops) if flops else None, math.fsum(seconds) if seconds else None)
