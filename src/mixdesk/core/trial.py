"""What happened: points, results, events, trials, and the frozen view of a study that parts are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Floats, Inputs, Metric, Noise, Observations
from mixdesk.core.plan import FIRST_FRESH_REPLICATE, Proposal, TrialSpec
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints, Space

STATES = ("waiting", "running", "done", "diverged", "failed")
KINDS = ("asked", "started", "point", "done", "failed", "lease")
# What a merge costs at most, as a part of a training at its rung: it is only evaluated.
MERGE_SHARE = 0.15
# Mixtures with an answer from which on a law that spans scales may speak of a rung.
FEW_AT_SCALE = 4


@core_type
class Point:
    """Metrics of a run after `n_tokens` trained tokens. A metric that was not measured is absent."""

    n_tokens: int
    metrics: Pairs

    def __post_init__(self) -> None:
        put(self, n_tokens=checks.count("n_tokens", self.n_tokens), metrics=checks.pairs("metrics", self.metrics))


@core_type
class Result:
    """A trainer's answer. `state` is done, diverged (an answer too) or failed; `domain_tokens` what was really seen;
    `flops` spent; `seconds` of training.
    """

    state: str
    points: tuple[Point, ...] = ()
    domain_tokens: Pairs = ()
    flops: float | None = None
    seconds: float | None = None
    message: str = ""

    def __post_init__(self) -> None:
        checks.one_of("state", self.state, ("done", "diverged", "failed"))
        put(self, domain_tokens=checks.pairs("domain_tokens", self.domain_tokens))


@core_type
class Lease:
    """Who works on a trial, until when (Unix seconds)."""

    trial: str
    holder: str
    until: float


@core_type
class Event:
    """One line of the record: what happened to a trial at `time` (Unix seconds).

    `asked` carries `spec`, `why`, `rung` and the ids `seen` when asking; `point` a point; `done` a result; `failed`
    a message; `lease` a lease.
    """

    trial: str
    kind: str
    time: float
    spec: TrialSpec | None = None
    why: str = ""
    rung: str = ""
    seen: tuple[str, ...] = ()
    point: Point | None = None
    result: Result | None = None
    lease: Lease | None = None
    message: str = ""

    def __post_init__(self) -> None:
        checks.one_of("kind", self.kind, KINDS)


@core_type
class Trial:
    """A question and its answer so far; `rung` and `why` as asked. Its id is the spec's."""

    spec: TrialSpec
    state: str = "waiting"
    rung: str = ""
    why: str = ""
    points: tuple[Point, ...] = ()
    domain_tokens: Pairs = ()
    flops: float | None = None
    seconds: float | None = None
    message: str = ""

    def __post_init__(self) -> None:
        checks.one_of("state", self.state, STATES)

    @property
    def id(self) -> str:
        """The spec's id."""
        return self.spec.id

    @property
    def final(self) -> dict[str, float]:
        """Metric → value at the last point; empty without an answer."""
        return dict(self.points[-1].metrics) if self.state == "done" and self.points else {}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StudyView:
    """A frozen snapshot of a study: what strategies, compose and report are given.

    `domains` is axis d; `corpus` its counts or None; `natural` mixture or None where unknown; `rungs` sizes, the last
    is the target; `metrics` declared; `trials` in the order asked; `record_sha256` of the events behind it; `n_tokens`
    of the run that a recipe is for, where it is not as long as the last rung's.
    """

    name: str
    domains: tuple[str, ...]
    objective: Objective
    constraints: Constraints
    rungs: tuple[Rung, ...]
    metrics: tuple[Metric, ...]
    trials: tuple[Trial, ...]
    seed: int = 0
    corpus: Corpus | None = None
    natural: Mixture | None = None
    budget: Budget | None = None
    leases: tuple[Lease, ...] = ()
    record_sha256: str = ""
    stale: tuple[str, ...] = field(default=())
    n_tokens: int | None = None

    @property
    def target(self) -> Scale:
        """Size of the run that a recipe is for, at which limits on epochs hold."""
        last = self.rungs[-1].scale
        return last if self.n_tokens is None else replace(last, n_tokens=self.n_tokens)

    def at(self, rung: str | None = None) -> tuple[Trial, ...]:
        """Trainings of one rung; None: the first rung (the proxies). Merges only estimate them: see `trials`."""
        label = self.rungs[0].label if rung is None else rung
        return tuple(trial for trial in self.trials if trial.rung == label and trial.spec.method == "train")

    def observations(
        self, rung: str | None = None, metrics: Sequence[Metric] | None = None, *, every_scale: bool = False
    ) -> Observations:
        """Finished trainings of one rung as arrays, joined by name; the last point of each. Merges are left out.

        With `every_scale` all points of the finished trials of all rungs, trial after trial: ids repeat, groups are
        shared by the rungs, and the covariates `n_params` and `n_tokens` (the point's own) are NaN where unknown.

        Raises:
            NotEnoughEvidence: no trial of that rung is done.
        """
        trained = tuple(trial for trial in self.trials if trial.spec.method == "train")
        asked = trained if every_scale else self.at(rung)
        done = [trial for trial in asked if trial.final]
        if not done:
            n_lost = sum(trial.state in ("failed", "diverged") for trial in asked)
            raise NotEnoughEvidence(
                "no trial has an answer yet",
                value=f"0 of {len(asked)} done" + (f", {n_lost} failed or diverged" if n_lost else ""),
                bound="at least one",
                remedy="run the study, or tell results",
            )
        wanted = tuple(metrics or self.metrics)
        rows = [(t, p) for t in done for p in (t.points if every_scale else t.points[-1:]) if p.metrics]
        n_stages = max(len(trial.spec.plan.schedule.stages) for trial in done)
        W_nsd = np.zeros((len(rows), n_stages, len(self.domains)))
        until_ns = np.ones((len(rows), n_stages))
        for i, (trial, _) in enumerate(rows):
            stages = trial.spec.plan.schedule.stages
            for s in range(n_stages):
                stage = stages[min(s, len(stages) - 1)]
                W_nsd[i, s] = stage.mixture.over(self.domains)
                until_ns[i, s] = stage.until
        values = [dict(point.metrics) for _, point in rows]
        key_of: dict[object, int] = {}
        # A mixture that goes on from another trial's weights is no repeat of the same mixture from the start.
        keys = [(trial.spec.plan.schedule, trial.spec.parents) for trial, _ in rows]
        groups = [key_of.setdefault(key, len(key_of)) for key in keys]
        tokens = [domain.n_tokens for domain in self.corpus.domains] if self.corpus is not None else [None]
        return Observations(
            trials=tuple(trial.id for trial, _ in rows),
            domains=self.domains,
            W_nsd=W_nsd,
            until_ns=until_ns,
            Y_nm=np.array([[row.get(metric.name, np.nan) for metric in wanted] for row in values]),
            metrics=wanted,
            group_n=np.array(groups, dtype=np.int64),
            replicate_n=np.array([trial.spec.replicate for trial, _ in rows], dtype=np.int64),
            source_n=tuple(t.spec.external.source if t.spec.external else t.spec.method for t, _ in rows),
            covariates=_sizes(rows, every_point=every_scale),
            unique_tokens_d=None if None in tokens else np.array(tokens, dtype=np.float64),
        )

    @property
    def proxies(self) -> tuple[Trial, ...]:
        """Trials that count against the budget: all but the fresh replicates of a confirmation."""
        return tuple(trial for trial in self.trials if trial.spec.replicate < FIRST_FRESH_REPLICATE)

    def rung(self, label: str) -> Rung:
        """The rung of that label.

        Raises:
            InputError: the study has none of that label.
        """
        checks.one_of("rung", label, [rung.label for rung in self.rungs])
        return next(rung for rung in self.rungs if rung.label == label)

    @property
    def trials_left(self) -> int | None:
        """How many more trials the budget's `n_trials` allows; None without such a limit."""
        if self.budget is None or self.budget.n_trials is None:
            return None
        return max(self.budget.n_trials - len(self.proxies), 0)

    @property
    def n_put_off(self) -> int:
        """Waiting trials that the budget's `n_trials` has no room for: a person asked others in their place."""
        if self.budget is None or self.budget.n_trials is None:
            return 0
        n_open = sum(trial.state in ("waiting", "running") for trial in self.proxies)
        return min(n_open, max(len(self.proxies) - self.budget.n_trials, 0))

    @property
    def flops_left(self) -> float | None:
        """What is left of the budget's `flops`; a trial that has not told its own costs what its rung says."""
        if self.budget is None or self.budget.flops is None:
            return None
        spent = sum(trial.flops or self._price(trial.rung, trial.spec.method) for trial in self.proxies)
        return self.budget.flops - spent

    def affordable(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """The first of the proposals, as many as the budget's trials and FLOPs allow."""
        left = self.flops_left
        spent = np.cumsum([self._price(proposal.rung, proposal.method) for proposal in proposals])
        n = len(proposals) if left is None else int((spent <= left * (1.0 + 1e-9)).sum())
        return list(proposals[: n if self.trials_left is None else min(n, self.trials_left)])

    def _price(self, label: str, method: str) -> float:
        """FLOPs of a trial at a rung, as far as the rung says them."""
        flops = next((rung.flops or 0.0 for rung in self.rungs if rung.label == label), 0.0)
        return MERGE_SHARE * flops if method == "merge" else flops

    @property
    def standing(self) -> Rung:
        """The rung at which a law is asked: the last with at least 4 mixtures that have an answer, else the first."""
        return next((rung for rung in reversed(self.rungs) if self.n_mixtures(rung) >= FEW_AT_SCALE), self.rungs[0])

    @property
    def fullest(self) -> Rung:
        """The rung with the most mixtures that have an answer, of equals the first: that of a law of one scale."""
        return max(self.rungs, key=self.n_mixtures)

    @property
    def is_of_anneals(self) -> bool:
        """Whether the runs behind a law went on from another run's weights."""
        return any(trial.final and trial.spec.parents for trial in self.at(self.fullest.label))

    def spoken(self, schedule: Schedule) -> Mixture:
        """The mixture by which a law judges a schedule: what its runs differed in.

        The last stage's where they went on from a base, as anneals do; else the token average, as if order were
        nothing.
        """
        return schedule.stages[-1].mixture if self.is_of_anneals else schedule.average

    def n_mixtures(self, rung: Rung) -> int:
        """How many mixtures have an answer by training at a rung."""
        return len({trial.spec.plan.schedule for trial in self.at(rung.label) if trial.final})

    def inputs(self, W_qd: Floats, rung: Rung | None = None) -> Inputs:
        """Mixtures over the study's domains, (q, d), at the size of a rung; None: of the `standing` one."""
        return inputs_at((rung or self.standing).scale, self.domains, W_qd)

    def best_seen(self, space: Space | None = None) -> Trial | None:
        """A trial of the mixture with the lowest measured objective at the first rung, repeats averaged.

        Trials that failed, diverged or lack a metric of the objective are passed over, and mixtures outside `space`
        where it is given. None where nothing is left.
        """
        try:
            obs = self.observations()
        except NotEnoughEvidence:
            return None
        value_n = self.objective.value(obs.Y_nm, obs.metrics)
        usable_n = np.isfinite(value_n)
        if space is not None:
            usable_n &= space.contains(obs.W_nd)
        groups = np.unique(obs.group_n[usable_n])
        if not len(groups):
            return None
        best = min(groups, key=lambda group: float(value_n[usable_n & (obs.group_n == group)].mean()))
        first = obs.trials[int(np.flatnonzero(usable_n & (obs.group_n == best))[0])]
        return next(trial for trial in self.trials if trial.id == first)

    def noise(self) -> tuple[Noise, ...]:
        """Noise per metric at the first rung; empty before a crossed block is done."""
        try:
            return self.observations().noise()
        except NotEnoughEvidence:
            return ()


def inputs_at(scale: Scale, domains: Sequence[str], W_qd: Floats) -> Inputs:
    """Constant mixtures, (q, d), as candidates of one size; what is unknown of the size is left out."""
    q, sizes = len(np.atleast_2d(W_qd)), {"n_params": scale.n_params, "n_tokens": scale.n_tokens}
    return Inputs.of(domains, W_qd, {name: np.full(q, float(size)) for name, size in sizes.items() if size is not None})


def _sizes(rows: Sequence[tuple[Trial, Point]], *, every_point: bool) -> dict[str, Floats]:
    """Covariates of rows: sizes of the runs where all are known; of each point, NaN where unknown."""
    scales = [trial.spec.plan.scale for trial, _ in rows]
    sizes: dict[str, list[int | None]] = {
        "n_params": [scale.n_params for scale in scales],
        "n_tokens": [scale.n_tokens for scale in scales],
    }
    if every_point:
        for i, (trial, point) in enumerate(rows):
            is_last = point is trial.points[-1]
            sizes["n_tokens"][i] = point.n_tokens or (sizes["n_tokens"][i] if is_last else None)
    return {
        name: np.array([np.nan if size is None else size for size in column], dtype=np.float64)
        for name, column in sizes.items()
        if every_point or None not in column
    }
