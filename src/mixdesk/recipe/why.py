"""Why a weight is what it is: what the law says of more and of less of it, and the trials that this rests on.

One weight (or the sum of those that a pattern matches) goes from its share u₀ in the recipe to another u, and all else
stays in proportion, as far as bounds of single domains let:

    w(u) = u · a + (1 − u) · b        a, b the recipe within and outside the pattern, each summing to one

Where constraints end the way, the step stops there and says so; it also says how far it leads out of the region of the
runs. The difference of the objective to the recipe's comes from the law's joint draws for the mean of runs on both
sides, as that of a small move.

The witnesses are the trials that bracket u₀, on either side those nearest to the line at their own weight, and those
that pull most at a slope along it by the plainest measure there is, a line fitted through all mixtures: |(a − b)ᵀ S⁻¹
(w − μ)|. A law that refits itself cheaply (`CrossFits`) then says what would become of the step down and the step up
without each of them; another leaves that open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from mixdesk.core.checks import core_type, nearest
from mixdesk.core.errors import InputError
from mixdesk.core.objective import NATURAL, UNIFORM
from mixdesk.core.observations import Floats, Observations
from mixdesk.core.protocols import CrossFits, Law, LawFit
from mixdesk.core.recipe import Recipe
from mixdesk.core.region import Region
from mixdesk.core.scale import Rung
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.recipe.predicted import LEVEL_OF_VALUES, N_DRAWS, OBJECTIVE, rung_of

# Witnesses on either side of the weight, and those that pull most.
N_BESIDE, N_PULLING = 3, 6
# Parts in which all other mixtures are left out.
N_REST = 5
# Weights below this have no telling half or double: the step up then goes to the uniform weight.
SMALL = 0.01
# Points of the way that are looked at before the last is halved so often, and the slack of a constraint on it.
N_POINTS, N_HALVINGS, SLACK = 64, 40, 1e-7
# A step that is stopped within this of the recipe's weight is none.
MOVED = 1e-4
# A trial is told from the recipe where it differs by so many sd of its mean.
CLEAR = 2.0
NONE, HALF, DOUBLE = "none", "half", "double"


@core_type
class Step:
    """What if the weight were `asked` (`name` in words): `weight` reached, and what `held` it short of that.

    `leverage` relative to the farthest trial: above 1 it lies outside the region of the runs. `difference` of the
    predicted objective to the recipe's, in its unit (positive: worse), with its 90 % interval; None where the law gives
    no draws.
    """

    name: str
    asked: float
    weight: float
    leverage: float
    difference: float
    low: float | None = None
    high: float | None = None
    held: str = ""

    @property
    def is_told(self) -> bool:
        """Whether the interval says on which side of 0 the difference lies."""
        return self.low is not None and self.high is not None and not self.low <= 0.0 <= self.high


@core_type
class Witness:
    """A mixture that was run: `run` as its owner calls the trial, `n_runs` of it, and its `weight` of the domain.

    `elsewhere` share of the tokens that differ from the recipe though the weight is allowed for; `measured` objective,
    repeats averaged; `difference` of that to the recipe's prediction; `without_less` and `without_more` what the step
    down and the step up would become if it had not been run, None where the law is too dear to refit; `says` in words.
    """

    trial: str
    run: str
    n_runs: int
    weight: float
    elsewhere: float
    measured: float
    difference: float
    says: str
    without_less: float | None = None
    without_more: float | None = None


@core_type
class Why:
    """What the weight of `domains` in a recipe rests on; `asked` the name or pattern.

    `steps` what if it were otherwise; `less` and `more` names of the steps down and up that the witnesses are asked
    about (empty: no way to go); `witnesses` most telling first; `binding` what holds this weight; `notes` to mind.
    """

    asked: str
    domains: tuple[str, ...]
    weight: float
    unit: str
    law: str
    rung: str
    steps: tuple[Step, ...]
    less: str
    more: str
    witnesses: tuple[Witness, ...]
    binding: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def step(self, name: str) -> Step | None:
        """The step of that name, where there is one."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What holds the weight, what less and more of it would do, and whether one trial carries that."""
        out = [f"Held by: {', '.join(self.binding)}." if self.binding else "No constraint holds this weight."]
        for name, way in ((self.less, "lower"), (self.more, "higher")):
            step = self.step(name)
            if way == "lower" and self.weight < SMALL:
                out.append("There is next to none of it in the recipe.")
            elif step is None or abs(step.weight - self.weight) < MOVED:
                out.append(f"It cannot go {way}" + (f": {step.held}." if step and step.held else "."))
            else:
                out.append(_in_words(step))
                out += self._carried(step, "without_less" if name == self.less else "without_more")
        return tuple(out)

    def _carried(self, step: Step, key: str) -> list[str]:
        """A sentence on the trial without which a step would change most, where that turns the answer."""
        known = [one for one in self.witnesses if getattr(one, key) is not None]
        if not known or not step.is_told:
            return []
        most = max(known, key=lambda one: abs(getattr(one, key) - step.difference))
        without = float(getattr(most, key))
        if without * step.difference > 0.0:
            return []
        return [f"That hangs on one trial: without `{most.run}` it would be {_signed(without)}."]


def explain(
    view: StudyView,
    law: Law,
    fit: LawFit,
    recipe: Recipe,
    asked: str,
    *,
    name: str,
    notes: Sequence[str] = (),
) -> Why:
    """Why the domains that `asked` matches have their weight in a recipe of this study.

    Args:
        view: the study, with the recipe's objective.
        law: settings of the law, refitted without single mixtures where that is cheap.
        fit: the law fitted on the study's runs.
        recipe: whose weight is asked about.
        asked: a domain, or a pattern for the sum of several.
        name: of the law.
        notes: what the reader has to mind.

    Raises:
        InputError: no domain of that name, or all of them.
        NotEnoughEvidence: no finished trial.
    """
    in_d = _members(view.domains, asked)
    w_d = np.array(view.spoken(recipe.plan.schedule).over(view.domains))
    obs = view.observations(view.fullest.label)
    line, region = Line.of(view, w_d, in_d), Region.of(obs.W_nd)
    wishes = {NONE: 0.0, UNIFORM: float(in_d.mean())}
    if line.weight >= SMALL:
        wishes |= {HALF: line.weight / 2.0, DOUBLE: min(2.0 * line.weight, 1.0)}
    if view.natural is not None:
        wishes[NATURAL] = float(np.array(view.natural.over(view.domains))[in_d].sum())
    ends = {key: line.reach(u) for key, u in wishes.items() if abs(u - line.weight) > SLACK}
    rows = np.array([w_d, *(end[0] for end in ends.values())])
    said, (mean_q, draws_kq) = [], objective_draws(view, fit, rows)
    for q, (key, (end_d, held)) in enumerate(ends.items(), start=1):
        low = high = None
        if draws_kq is not None:
            tail = (1.0 - LEVEL_OF_VALUES) / 2.0
            low, high = np.quantile(draws_kq[:, q] - draws_kq[:, 0], [tail, 1.0 - tail]).tolist()
        step = Step(
            name=key,
            asked=wishes[key],
            weight=float(end_d[in_d].sum()),
            leverage=float(region.leverage(end_d)[0]) / region.limit if region.limit > 0.0 else 0.0,
            difference=float(mean_q[q] - mean_q[0]),
            low=low,
            high=high,
            held=held,
        )
        said.append(step)
    less, more = (key if key in ends else "" for key in (HALF, DOUBLE if DOUBLE in wishes else UNIFORM))
    way = np.array([w_d, *(ends[key][0] if key else w_d for key in (less, more))])
    rung = rung_of(view, fit, rows).label
    if rung != view.fullest.label:
        notes = [*notes, f"The law speaks of `{rung}`; the trials shown were run at `{view.fullest.label}`."]
    weights = view.objective.weights(view.metrics)
    units = {metric.unit for metric, weight in zip(view.metrics, weights, strict=True) if weight > 0.0}
    return Why(
        asked=asked,
        domains=tuple(np.array(view.domains)[in_d].tolist()),
        weight=line.weight,
        unit=units.pop() if len(units) == 1 else "",
        law=name,
        rung=rung,
        steps=tuple(sorted(said, key=lambda step: step.asked)),
        less=less,
        more=more,
        witnesses=_witnesses(view, law, fit, obs, line, way),
        binding=tuple(one for one in recipe.binding if one not in line.of_others()),
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Line:
    """The mixtures with another weight of the domains `in_d` than the recipe `w_d`, within `space`.

    `a_d` and `b_d`: the recipe within and outside them, each summing to one. A pool is not looked at: no mixture of it
    lies on the way.
    """

    space: Space
    w_d: Floats
    in_d: NDArray[np.bool_]
    a_d: Floats
    b_d: Floats

    @classmethod
    def of(cls, view: StudyView, w_d: Floats, in_d: NDArray[np.bool_]) -> Line:
        """The line through a recipe; where it has nothing on one side, the natural proportions (or even ones)."""
        space = Space.build(view.constraints, view.domains, view.corpus, view.target)
        natural = np.ones(len(w_d)) if view.natural is None else np.array(view.natural.over(view.domains))
        sides = []
        for mask in (in_d, ~in_d):
            side = next(base * mask for base in (w_d, natural, np.ones(len(w_d))) if (base * mask).sum() > 0.0)
            sides.append(side / side.sum())
        return cls(space=replace(space, pool_qd=None), w_d=w_d, in_d=in_d, a_d=sides[0], b_d=sides[1])

    @property
    def weight(self) -> float:
        """The weight in the recipe."""
        return float(self.w_d[self.in_d].sum())

    def at(self, u: float) -> Floats | None:
        """The mixture with weight u, (d,); None where bounds or constraints forbid it."""
        out = np.zeros(len(self.w_d))
        for mask, total, base_d in ((self.in_d, u, self.a_d), (~self.in_d, 1.0 - u, self.b_d)):
            part = shared(total, base_d[mask], self.space.lower_d[mask], self.space.upper_d[mask])
            if part is None:
                return None
            out[mask] = part
        return out if self.space.contains(out[None], SLACK)[0] else None

    def reach(self, u: float) -> tuple[Floats, str]:
        """The mixture with weight u, or the last one on the way to it, (d,), and what ends the way there."""
        good, last_d = self.weight, self.w_d
        bad = None
        for point in np.linspace(self.weight, u, N_POINTS + 1)[1:].tolist():
            found = self.at(point)
            if found is None:
                bad = point
                break
            good, last_d = point, found
        if bad is None:
            return last_d, ""
        for _ in range(N_HALVINGS):
            middle = (good + bad) / 2.0
            found = self.at(middle)
            if found is None:
                bad = middle
            else:
                good, last_d = middle, found
        return last_d, self._end(last_d)

    def _end(self, w_d: Floats) -> str:
        """What ends the way at a mixture: its own constraints, else those of other domains."""
        held = self.space.binding(self.space.mixture(w_d))
        own = [one for one in held if one not in self.of_others()]
        return ", ".join(own or held) or "the other domains"

    def of_others(self) -> set[str]:
        """Names of constraints on other domains alone."""
        why = {name for side in (self.space.why_lower, self.space.why_upper) for name in np.array(side)[~self.in_d]}
        rows = zip(self.space.why_row, self.space.rows_rd, strict=True)
        return why | {name for name, row_d in rows if not row_d[self.in_d].any()}

    def elsewhere(self, W_nd: Floats) -> Floats:
        """Share of tokens by which each row differs from the line at its own weight, (n,)."""
        u_n = W_nd[:, self.in_d].sum(axis=1)[:, None]
        away: Floats = 0.5 * np.abs(W_nd - u_n * self.a_d - (1.0 - u_n) * self.b_d).sum(axis=1)
        return away

    def pull(self, W_nd: Floats) -> Floats:
        """How strongly each row pulls at the slope of a straight line through all, (n,)."""
        region = Region.of(W_nd)
        pull: Floats = np.abs((W_nd - region.centre_d) @ region.inverse_dd @ (self.a_d - self.b_d))
        return pull


def shared(total: float, base: Floats, lower: Floats, upper: Floats) -> Floats | None:
    """Shares in proportion to `base` within bounds, of sum `total`: clip(λ base, lower, upper); None: impossible."""
    plain: Floats = total * base / base.sum()
    if (plain >= lower).all() and (plain <= upper).all():
        return plain
    most = np.where(base > 0.0, upper, lower).sum()
    if total < lower.sum() - SLACK or total > most + SLACK:
        return None
    low, high = 0.0, float((upper[base > 0.0] / base[base > 0.0]).max(initial=0.0))
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if np.clip(middle * base, lower, upper).sum() < total else (low, middle)
    found: Floats = np.clip(high * base, lower, upper)
    return found


def _members(domains: Sequence[str], asked: str) -> NDArray[np.bool_]:
    """Which domains a name or pattern means, (d,); some but not all."""
    in_d = np.array([name == asked for name in domains])
    if not in_d.any():
        in_d = np.array([fnmatchcase(name, asked) for name in domains])
    if not in_d.any() or in_d.all():
        raise InputError(
            f"there is no domain `{asked}`" if not in_d.any() else f"`{asked}` means every domain, and all sum to 1",
            value=asked,
            bound="one of " + ", ".join(domains) + ", or a pattern for some of them",
            remedy=nearest(asked, domains),
        )
    return in_d


def objective_draws(
    view: StudyView, fit: LawFit, W_qd: Floats, sense: str = "mean", rung: Rung | None = None
) -> tuple[Floats, Floats | None]:
    """The law's objective of each row, (q,), and its joint draws, (k, q), where it gives some; at the standing rung,
    or another.
    """
    said = fit.predict(view.inputs(W_qd, rung), draws=N_DRAWS, level=0.0, sense=sense)
    by_name = {metric.name: metric for metric in view.metrics}
    metrics = [by_name[name] for name in said.metrics]
    draws_kq = None if said.draws_kqm is None else view.objective.value(said.draws_kqm, metrics)
    return view.objective.value(said.mean_qm, metrics), draws_kq


def _witnesses(
    view: StudyView, law: Law, fit: LawFit, obs: Observations, line: Line, way: Floats
) -> tuple[Witness, ...]:
    """The trials behind a weight, those first without which a step changes most, else those nearest to the line.

    `way`: recipe, step down, step up.
    """
    said = objective_draws(view, fit, way, rung=view.fullest)[0].tolist()
    value_n = view.objective.value(obs.Y_nm, obs.metrics)
    obs = obs.take(np.flatnonzero(np.isfinite(value_n)))
    value_n = value_n[np.isfinite(value_n)]
    groups, first, n_runs = np.unique(obs.group_n, return_index=True, return_counts=True)
    W_gd = obs.W_nd[first]
    u_g, away_g, pull_g = W_gd[:, line.in_d].sum(axis=1), line.elsewhere(W_gd), line.pull(W_gd)
    by_distance = np.argsort(away_g, kind="stable")
    beside = [[g for g in by_distance if sign * (u_g[g] - line.weight) > SLACK][:N_BESIDE] for sign in (-1.0, 1.0)]
    pulling = np.argsort(-pull_g, kind="stable")[:N_PULLING].tolist()
    chosen = list(dict.fromkeys(int(g) for g in (*beside[0], *beside[1], *pulling)))
    change_of = _changes(view, law, obs, [int(groups[g]) for g in chosen], way)
    noise = _noise(view, fit, replace(obs, Y_nm=value_n[:, None], metrics=(OBJECTIVE,)), way[:1])
    trials, found, size = {trial.id: trial for trial in view.trials}, [], []
    for g in chosen:
        trial = trials[obs.trials[int(first[g])]]
        measured = float(value_n[obs.group_n == groups[g]].mean())
        n = int(n_runs[g])
        change = change_of.get(int(groups[g]))
        size.append(0.0 if change is None else max(map(abs, change)))
        found.append(
            Witness(
                trial=trial.id,
                run=trial.id if trial.spec.external is None else trial.spec.external.run,
                n_runs=n,
                weight=float(u_g[g]),
                elsewhere=float(away_g[g]),
                measured=measured,
                difference=measured - said[0],
                says=_says(u_g[g] - line.weight, away_g[g], measured - said[0], noise / n**0.5),
                without_less=None if change is None else said[1] - said[0] + change[0],
                without_more=None if change is None else said[2] - said[0] + change[1],
            )
        )
    order = sorted(range(len(found)), key=lambda i: (-size[i], found[i].elsewhere))
    return tuple(found[i] for i in order)


def _changes(
    view: StudyView, law: Law, obs: Observations, groups: Sequence[int], way: Floats
) -> dict[int, tuple[float, float]]:
    """Group → by how much the step down and the step up change without it; empty where the law is dear to refit.

    The other mixtures are left out in a few parts too: a law that weighs its members by errors needs them everywhere.
    """
    if not isinstance(law, CrossFits) or getattr(law, "spans_scales", False):
        return {}
    rest = np.setdiff1d(obs.group_n, groups)
    parts = [np.array([group]) for group in groups]
    parts += [part for part in np.array_split(rest, N_REST) if len(part)]
    full, fits = law.cross_fit(obs, parts)
    less, more = _steps_of(view, full, way)
    found = {group: _steps_of(view, fit, way) for group, fit in zip(groups, fits, strict=False)}
    return {group: (one[0] - less, one[1] - more) for group, one in found.items()}


def _steps_of(view: StudyView, fit: LawFit, way: Floats) -> tuple[float, float]:
    """Predicted differences of the step down and the step up to the recipe."""
    mean_q, _ = objective_draws(view, fit, way)
    return float(mean_q[1] - mean_q[0]), float(mean_q[2] - mean_q[0])


def _noise(view: StudyView, fit: LawFit, objective: Observations, w_1d: Floats) -> float:
    """Sd of one run's objective within a replicate, from repeats; without any as the law sees it, 0 where it cannot."""
    found = objective.noise()
    if found:
        return found[0].within
    run, mean = (objective_draws(view, fit, w_1d, sense)[1] for sense in ("run", "mean"))
    return 0.0 if run is None or mean is None else float(np.sqrt(max(run.var() - mean.var(), 0.0)))


def _says(more: float, elsewhere: float, difference: float, sd: float) -> str:
    """What one mixture says: with less or more of it the objective was better, worse, or not to be told apart."""
    word = "worse" if difference > 0.0 else "better"
    amount = "as much" if abs(more) <= SLACK else "more" if more > 0.0 else "less"
    doubt = "" if elsewhere <= abs(more) else ", but differs more elsewhere"
    return f"{amount} of it: " + ("no different" if abs(difference) <= CLEAR * sd else word) + doubt


def _in_words(step: Step) -> str:
    """What a step would do, and whether the evidence says so."""
    what = {NONE: "None of it", HALF: "Half of it", DOUBLE: "Twice as much"}.get(step.name, f"The {step.name} weight")
    if step.held:
        what = f"{what} is out of reach ({step.held}): {step.weight:.3f}"
    if step.leverage > 1.0 + 1e-6:
        what += f", outside the region of the runs ({step.leverage:.2f} of the farthest trial's leverage),"
    size = _signed(step.difference)
    if step.low is None or step.high is None:
        return f"{what} is predicted to change the objective by {size}; the law does not say how surely."
    between = f"({_signed(step.low)} to {_signed(step.high)}, 90 %)"
    if not step.is_told:
        return f"{what} might be better or worse: {size} {between}. The interval holds 0: the trials do not say which."
    return f"{what} would be {'worse' if step.difference > 0.0 else 'better'}: {size} {between}."


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
