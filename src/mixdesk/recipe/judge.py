"""The one place where verdicts are made.

Rules, in this order. *too weak*: a formula's mixture that neither a law nor fresh trials speak of; fewer mixtures than
domains + 2; or the law's out-of-fold rank correlation is not above 0 (the 95 % interval of its score); or, without
fresh trials, the recipe lies outside the region of the runs. *worse*: a baseline (natural where known, uniform) or, in
fresh trials, the best mixture seen is better, its interval excludes 0. *better*: better than every baseline. *no
different*: else; then the baseline it cannot be told from is recommended. Best seen is a rival, not a baseline: it is
itself found by the study, so "as good as the best seen" is no objection, and a law that prefers it to the recipe says
no more than what the pull to natural costs: a sentence, not a verdict. A guard that may not hold is a sentence too: the
search keeps every guard on the law's mean.

A rival that breaks a limit of the study is a yardstick: it is never recommended, and that it is better is a sentence,
what the limit costs, and no verdict. Where every baseline is one, the verdict is that against the yardsticks; the
recipe, which keeps the limits, is then the mixture to train on all the same.

A refusal names what would settle it: how many mixtures, and at which size. With rank correlation ρ and its lower bound
l over the n mixtures that the law was scored on, on Fisher's scale the interval shrinks as 1 ÷ √(n − 3), so the bound
passes 0 at about

    n' = 3 + (n − 3) ((atanh ρ − atanh l) ÷ atanh ρ)²

mixtures, if the correlation stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.objective import Comparison, LeagueRow, Objective, Verdict
from mixdesk.core.observations import Noise
from mixdesk.core.recipe import BEST_SEEN, NATURAL, UNIFORM, GuardCheck, Recipe
from mixdesk.core.trial import StudyView
from mixdesk.recipe.predicted import OBJECTIVE, SURE

# Fewer pairs than this are called indicative: with 3 the t factor is 4.3 and one odd run decides.
FIRM_PAIRS = 5
# Olmix asks for at least 3 (d + 1) proxies for a log-linear law (shared rule of thumb for the other forms).
FEW_PER_DOMAIN = 3
# A forecast of trials beyond this many times those at hand is not a number to plan with.
FAR = 10
# Stands in a recipe for the moment between its parts being known and its being judged.
UNJUDGED = Verdict(
    name="too weak", state="no evidence", headline="Not judged yet.", reason="", remedy="", recommended=UNIFORM
)
# What is left to do with a recipe that was tested by fresh trials, and with one that was not.
AT_YOUR_SCALE = "Train it at your scale; only order and sign are known beyond the largest trials."
CONFIRM = "Confirm it: train the recipe and its rivals with fresh replicates."
# Spread over mixtures ÷ noise of a run: below the first the runs hardly differ, above the second noise is no excuse.
DROWNED, CLEAR = 2.0, 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What a law stands on: `n_mixtures` over `n_domains`, its out-of-fold `scores`, the `noise` of the metrics asked
    about, and the `rung` of the study's `rungs` (labels, in order) that it speaks of.
    """

    n_domains: int
    n_mixtures: int
    scores: tuple[LeagueRow, ...]
    noise: tuple[Noise, ...]
    rungs: tuple[str, ...]
    rung: str

    @classmethod
    def of(cls, view: StudyView, scores: Sequence[LeagueRow], rung: str) -> Ground:
        """The ground of a law that was fitted on a view's trials and speaks of `rung`."""
        return cls(
            n_domains=len(view.domains),
            n_mixtures=view.n_mixtures(view.fullest),
            scores=tuple(scores),
            noise=tuple(_of_terms(view.objective, view.noise())),
            rungs=tuple(one.label for one in view.rungs),
            rung=rung,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Weakness:
    """Why evidence shows no law: `wrong` and what was `found`, what was `expected`, and what would settle it."""

    wrong: str
    found: str
    expected: str
    remedy: str

    @property
    def reason(self) -> str:
        """The first two as a sentence."""
        return f"{self.wrong[0].upper()}{self.wrong[1:]}: {self.found}."

    def error(self) -> NotEnoughEvidence:
        """The same as an error."""
        remedy = f"{self.remedy[0].lower()}{self.remedy[1:]}".removesuffix(".")
        return NotEnoughEvidence(self.wrong, value=self.found, bound=self.expected, remedy=remedy)


def judge(recipe: Recipe) -> Verdict:
    """The verdict of a recipe from its comparisons, its law's scores and its place; see the rules at the top."""
    weakness = _weakness(recipe)
    if weakness is not None:
        return weakness
    what = "mixture" if len(recipe.plan.schedule.stages) == 1 else "schedule"
    found = [recipe.against(rival.name) for rival in recipe.rivals]
    counted = [comparison for comparison in found if comparison is not None]
    outside = {rival.name: rival.broken for rival in recipe.rivals if rival.broken}
    is_trained = all(c.basis == "trained" for c in counted if c.rival != BEST_SEEN)
    state = "predicted"
    if is_trained:
        state = "contradicted" if any(_is_reversed(recipe, c) for c in counted) else "confirmed"
    allowed = [c for c in counted if c.rival not in outside]
    baselines = [c for c in allowed if c.rival != BEST_SEEN]
    names = " and ".join(c.rival for c in baselines)
    limits = _beside_yardsticks(counted, outside)
    worse = [c for c in allowed if c.verdict == "worse" and (c.rival != BEST_SEEN or c.basis == "trained")]
    if worse:
        first = max(worse, key=lambda c: (c.difference, c.rival != BEST_SEEN))
        if first.rival == BEST_SEEN and baselines and all(c.verdict == "better" for c in baselines):
            headline = f"Train on the best mixture seen. It beat this recipe, and both beat {names}."
        else:
            headline = f"Do not train on this {what}: {first.rival} is better."
        return Verdict(
            name="worse",
            state=state,
            headline=headline,
            reason=_sentence(first) + limits,
            remedy=f"Train on {first.rival}; or ask more trials between the two.",
            recommended=first.rival,
        )
    same = [c for c in baselines if c.verdict == "no different"]
    if same:
        first = same[0]
        return Verdict(
            name="no different",
            state=state,
            headline=f"No different from {' and '.join(c.rival for c in same)}. Stay with {first.rival}.",
            reason=_sentence(first)
            + f" The smallest gain that could have been seen is {first.detectable:.4f}."
            + limits,
            remedy="More replicates would see a smaller gain."
            if is_trained
            else "A confirmation (fresh runs in pairs) would see a smaller gain.",
            recommended=first.rival,
        )
    if not baselines:
        yardsticks = [c for c in counted if c.rival != BEST_SEEN]
        if any(c.verdict != "better" for c in yardsticks):
            return _within_limits(yardsticks, outside, state, what)
        baselines, names = yardsticks, " and ".join(c.rival for c in yardsticks)
    reason = " ".join(_sentence(c) for c in baselines) + limits + _beside_best_seen(recipe) + _in_doubt(recipe)
    if is_trained:
        n_pairs = min(c.n_pairs for c in baselines)
        indicative = "" if n_pairs >= FIRM_PAIRS else f" With {n_pairs} replicates this is indicative."
        return Verdict(
            name="better",
            state=state,
            headline=f"Train on this {what}. It beat {names} in {n_pairs} fresh pairs of runs.",
            reason=reason + indicative,
            remedy=AT_YOUR_SCALE,
            recommended="recipe",
        )
    return Verdict(
        name="better",
        state=state,
        headline=f"This {what} should beat {names}. No fresh trial has tested it.",
        reason=reason,
        remedy=CONFIRM,
        recommended="recipe",
    )


def _within_limits(
    yardsticks: Sequence[Comparison], outside: Mapping[str, Sequence[str]], state: str, what: str
) -> Verdict:
    """The verdict where every baseline breaks a limit and the recipe does not beat them all."""
    first = max(yardsticks, key=lambda c: (c.verdict == "worse", c.verdict == "no different", c.difference))
    said = f"{first.rival.capitalize()} is better" if first.verdict == "worse" else f"No different from {first.rival}"
    return Verdict(
        name=first.verdict,
        state=state,
        headline=f"{said}, which breaks a limit. Train on this {what}, which keeps them all.",
        reason=f"{_sentence(first)} {first.rival.capitalize()} breaks {listed(outside[first.rival])}.",
        remedy=f"Loosen that limit if you may. {AT_YOUR_SCALE if first.basis == 'trained' else CONFIRM}",
        recommended="recipe",
    )


def listed(broken: Sequence[str]) -> str:
    """The first of the limits that a mixture breaks, and how many more there are."""
    return f"`{broken[0]}`" + (f" and {len(broken) - 1} more" if len(broken) > 1 else "")


def guard_warnings(guards: Sequence[GuardCheck]) -> list[str]:
    """A sentence for each guard that holds with less than probability .9."""
    return [
        f"Guard {guard.guard} holds with probability {guard.probability:.2f}; {SURE:.1f} would take "
        f"{guard.missing:.3g} more slack."
        for guard in guards
        if guard.probability < SURE
    ]


def weakness(ground: Ground, metric: str = OBJECTIVE.name) -> Weakness | None:
    """Why the evidence shows no law of a metric, or None: too few mixtures, or a rank that may be chance."""
    d, n = ground.n_domains, ground.n_mixtures
    if n < d + 2:
        return Weakness(
            wrong=f"a law over {d} domains needs at least {d + 2} mixtures",
            found=f"{n} with an answer",
            expected=f"{d + 2} or more",
            remedy=f"Run {d + 2 - n} more mixtures at least; {FEW_PER_DOMAIN * (d + 1) - n} more would be sound.",
        )
    rank = {row.measure: row for row in ground.scores if row.metric == metric}
    low = rank["spearman:low"].value if "spearman:low" in rank else math.nan
    if low > 0.0:
        return None
    shown, high = (rank[key].value if key in rank else math.nan for key in ("spearman", "spearman:high"))
    n_scored = rank["spearman"].n if "spearman" in rank else n
    what = "" if metric == OBJECTIVE.name else f" by `{metric}`"
    where = "" if n_scored == n else f" on {n_scored} mixtures at `{ground.rung}`"
    return Weakness(
        wrong=f"asked about mixtures it had not seen, the law does not surely rank them{what} better than chance",
        found=f"rank correlation {_signed(shown)}, 95 % interval {_signed(low)} to {_signed(high)}{where}",
        expected="an interval above 0",
        remedy=f"{_more_trials(ground, n_scored, shown, low)} {_scale_needed(ground)}",
    )


def while_running(verdict: Verdict, n_in: int, n_planned: int) -> Verdict:
    """The verdict while trials are out: none yet, with what the evidence so far would say as its reason."""
    are = "is" if n_in == 1 else "are"
    return replace(
        verdict,
        state="running",
        headline=f"{n_in} of {n_planned} trials {are} in. Too early for a recipe.",
        reason=f"If it ended now: {verdict.headline} {verdict.reason}".strip(),
    )


def _weakness(recipe: Recipe) -> Verdict | None:
    """The verdict "too weak" with its reason and what would settle it, or None."""
    facts = recipe.provenance
    is_trained = any(c.basis == "trained" and c.metric == "objective" for c in recipe.comparisons)
    found = None if not facts.law else weakness(_ground(recipe))
    if found is not None:
        reason, remedy = found.reason, found.remedy
    elif not facts.law and not is_trained:
        reason = "The mixture is a formula's, and the runs are too few for a law that could say what it gains."
        remedy = "Confirm it (fresh runs beside natural and uniform), or run other mixtures with another strategy."
    elif not any(c.metric == "objective" and c.rival != BEST_SEEN for c in recipe.comparisons):
        reason = "The law gives no intervals, so its differences to natural and uniform cannot be judged."
        remedy = "Use a law that gives draws, or confirm the recipe by training."
    elif not is_trained and recipe.region == "outside":
        reason = "The recipe lies outside the region of the runs: the law was never tested there."
        remedy = "Run trials near the recipe, or confirm it by training."
    else:
        return None
    known = {rival.name for rival in recipe.rivals if not rival.broken}
    return Verdict(
        name="too weak",
        state="confirmed" if is_trained else "predicted",
        headline="No recipe yet. The evidence is too weak.",
        reason=reason,
        remedy=remedy,
        recommended=next((name for name in (NATURAL, UNIFORM) if name in known), "none"),
    )


def _ground(recipe: Recipe) -> Ground:
    """What the law behind a recipe stands on."""
    facts = recipe.provenance
    return Ground(
        n_domains=len(recipe.mixture.domains),
        n_mixtures=facts.n_mixtures,
        scores=facts.scores,
        noise=tuple(_of_terms(recipe.objective, facts.noise)),
        rungs=facts.rungs,
        rung=recipe.expected[0].rung if recipe.expected else next(iter(facts.rungs), ""),
    )


def _more_trials(ground: Ground, n: int, rank: float, low: float) -> str:
    """How many mixtures would show the law, if it ranks as well as it seems to, where `n` were scored."""
    needed = math.inf
    if rank > 0.0 and low > -1.0 and n > 3:
        centre = math.atanh(min(rank, 1.0 - 1e-9))
        needed = math.ceil(3.0 + (n - 3) * ((centre - math.atanh(low)) / centre) ** 2)
    # A law over scales has the slopes of its domains from the smaller runs.
    sound = FEW_PER_DOMAIN * (ground.n_domains + 1) if n == ground.n_mixtures else 0
    needed = max(needed, sound, n + 1)
    where = f"at `{ground.rung}`" if len(ground.rungs) > 1 else "at this size"
    if needed > FAR * n:
        return f"More than {FAR * n} mixtures would be needed {where}."
    return (
        f"If it ranks as well as it seems to, {needed:.0f} mixtures {where} would show it: run {needed - n:.0f} more."
    )


def _scale_needed(ground: Ground) -> str:
    """What the noise says: longer runs, repeats, a larger rung, or another law."""
    place = ground.rungs.index(ground.rung) + 1 if ground.rung in ground.rungs else len(ground.rungs)
    larger = f"ask trials at `{ground.rungs[place]}`" if place < len(ground.rungs) else ""
    at_larger = larger or "train the proxies longer or larger"
    if not ground.noise:
        return f"Repeat some mixtures, so that the noise is known; or {at_larger}."
    ratio = sum(min(one.ratio, FAR * CLEAR) for one in ground.noise) / len(ground.noise)
    if ratio < DROWNED:
        return f"The mixtures differ {ratio:.1f} times as much as repeats of one: {at_larger}, or repeat each mixture."
    if ratio >= CLEAR:
        return (
            f"Noise is not what hides it (the mixtures differ {ratio:.1f} times as much as repeats of one): compare "
            "laws, or spread the mixtures wider."
        )
    return f"The mixtures differ {ratio:.1f} times as much as repeats of one: to see more per run, {at_larger}."


def _of_terms(objective: Objective, noise: Sequence[Noise]) -> list[Noise]:
    """Measured noise of the metrics that an objective is made of."""
    used = [name for name, weight in objective.terms if weight > 0.0]
    return [one for one in noise if any(fnmatchcase(one.metric, name) or one.metric == name for name in used)]


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _beside_yardsticks(counted: Sequence[Comparison], outside: Mapping[str, Sequence[str]]) -> str:
    """A sentence on each rival that is better and breaks a limit: what the limit costs."""
    better = [c for c in counted if c.rival in outside and c.verdict == "worse"]
    return "".join(
        f" {c.rival.capitalize()} is better by {c.difference:.4f}, but breaks {listed(outside[c.rival])}."
        for c in better
    )


def _beside_best_seen(recipe: Recipe) -> str:
    seen = recipe.against(BEST_SEEN)
    if seen is None or seen.verdict == "better":
        return ""
    if next(rival.broken for rival in recipe.rivals if rival.name == BEST_SEEN):
        return ""
    if seen.verdict == "worse":
        return f" The law gives the best mixture seen {seen.difference:.4f} more; the pull to natural costs that."
    return " The best mixture seen does as well."


def _in_doubt(recipe: Recipe) -> str:
    """A sentence on guards that may not hold."""
    if not any(guard.probability < SURE for guard in recipe.guards):
        return ""
    worst = min(recipe.guards, key=lambda guard: guard.probability)
    return f" The guard {worst.guard} holds with probability {worst.probability:.2f} only."


def _is_reversed(recipe: Recipe, trained: Comparison) -> bool:
    """Whether fresh trials say the opposite of what the law promised, both beyond doubt."""
    promised = [
        c
        for c in recipe.comparisons
        if c.basis == "predicted" and (c.rival, c.metric) == (trained.rival, trained.metric)
    ]
    return any({c.verdict, trained.verdict} == {"better", "worse"} for c in promised)


def _sentence(c: Comparison) -> str:
    sign = "−" if c.difference < 0 else "+"
    what = "Measured" if c.basis == "trained" else "Predicted"
    low, high = (f"{value:+.4f}".replace("-", "−") for value in (c.low, c.high))
    return f"{what} against {c.rival}: {sign}{abs(c.difference):.4f} ({100 * c.level:.0f} % interval {low} to {high})."
