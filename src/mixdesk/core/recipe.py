"""The deliverable: a plan with its rivals, comparisons, verdict and evidence; moves, Pareto sets, prediction cards."""

from __future__ import annotations

from dataclasses import replace

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.errors import InputError
from mixdesk.core.files import canonical, fingerprint
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import BEST_SEEN as BEST_SEEN
from mixdesk.core.objective import NATURAL as NATURAL
from mixdesk.core.objective import RIVALS as RIVALS
from mixdesk.core.objective import UNIFORM as UNIFORM
from mixdesk.core.objective import Comparison, LeagueRow, Objective, Verdict
from mixdesk.core.observations import Metric, Noise
from mixdesk.core.plan import FIRST_FRESH_REPLICATE as FIRST_FRESH_REPLICATE
from mixdesk.core.plan import RunPlan
from mixdesk.core.scale import Scale
from mixdesk.core.space import Constraints


@core_type
class Rival:
    """A mixture the recipe is compared with; `trial` where one ran it; `broken` the limits of the study that it breaks:
    it is a yardstick then, and never recommended.
    """

    name: str
    mixture: Mixture
    trial: str | None = None
    broken: tuple[str, ...] = ()


@core_type
class Expected:
    """A law's value of one metric at the scale `rung` that has trials, with its 90 % interval: predicted for one new
    run, trained for the mean of runs.
    """

    metric: str
    mean: float
    low: float
    high: float
    rung: str


@core_type
class GuardCheck:
    """How a guard stands at a mixture: `guard` in words, over one `metric`.

    `excess` how much worse than allowed the metric is, in its unit: ≤ 0 keeps the guard; `low`, `high` its 90 %
    interval; `probability` that the guard holds; `missing` what would have to be added to the slack for it to hold with
    probability .9; `basis` predicted or trained; `rung` where that is.
    """

    guard: str
    metric: str
    excess: float
    low: float
    high: float
    probability: float
    missing: float
    basis: str
    rung: str

    def __post_init__(self) -> None:
        checks.one_of("basis", self.basis, ("predicted", "trained"))
        put(self, probability=checks.finite("probability", self.probability, 0.0, 1.0))


@core_type
class Provenance:
    """Where the numbers come from, enough to make them again.

    `rungs` labels of the study's sizes in its order; `law` empty where the mixture is a formula's and no law was there.
    """

    study: str
    record_sha256: str
    n_trials: int
    n_mixtures: int
    law: str
    strategy: str
    seed: int
    version: str
    corpus: str | None = None
    n_diverged: int = 0
    n_failed: int = 0
    flops: float | None = None
    scores: tuple[LeagueRow, ...] = ()
    noise: tuple[Noise, ...] = ()
    references: tuple[str, ...] = ()
    rungs: tuple[str, ...] = ()


@core_type
class PredictionCard:
    """What was predicted before a big run, frozen; it is scored after the run and never changed.

    `date` given by whoever froze it (ISO); `mixtures` the recipe (named "recipe") and its rivals; `plan` id of the
    recipe's plan; `expected` values of one new run of the recipe and `comparisons` with the rivals, both at `rung`, of
    size `scale`; elsewhere only the signs of the differences are claimed. `record_sha256` of the events behind it.
    `schedule` the recipe's where it has stages: its mixture above is then their token average.
    """

    date: str
    study: str
    plan: str
    mixtures: tuple[Rival, ...]
    objective: Objective
    metrics: tuple[Metric, ...]
    expected: tuple[Expected, ...]
    comparisons: tuple[Comparison, ...]
    rung: str
    record_sha256: str
    law: str
    version: str
    scale: Scale = Scale()
    schedule: Schedule | None = None

    @property
    def id(self) -> str:
        """12 hex digits of what the card says, its date left out: the same claim has the same id."""
        return fingerprint(canonical(replace(self, date="")), length=12)


@core_type
class ScoredClaim:
    """One claim of a card beside what the big run measured.

    `rival` None: the value of the recipe; else its difference to the rival. `held` whether the interval `low` to `high`
    holds the measured number, and `z` (measured − predicted) ÷ the interval's sd; None at another scale, where no size
    is claimed. `sign_is_right` for differences that were claimed (their interval excludes 0), else None.
    """

    metric: str
    rival: str | None
    predicted: float
    low: float
    high: float
    measured: float
    n_runs: int
    held: bool | None
    sign_is_right: bool | None
    z: float | None


@core_type
class CardScore:
    """A card after the big run: `claims` one by one, and `headline` a sentence; `is_same_scale` as the card's."""

    card: str
    is_same_scale: bool
    claims: tuple[ScoredClaim, ...]
    headline: str
    notes: tuple[str, ...] = ()


@core_type
class Recipe:
    """What to train on, and how one knows.

    `plan` to run; `objective` asked; `rivals` it must beat; `comparisons` predicted, and trained once confirmed;
    `expected` values at the largest scale that has trials; `epochs` of the plan per domain (empty: counts unknown);
    `spread` half-range of near-optimal weights; `binding` constraints; `region` inside / edge / outside of the
    trials, with `leverage` relative to the farthest trial; `warnings`; `verdict`; `provenance`; `guards` how each
    stands; `card` what was predicted, frozen; `constraints` that it keeps (None: a file of an older version), with
    `tokens` domain → unique tokens where they were told with the question.
    """

    plan: RunPlan
    objective: Objective
    rivals: tuple[Rival, ...]
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    provenance: Provenance
    expected: tuple[Expected, ...] = ()
    epochs: Pairs = ()
    spread: Pairs = ()
    binding: tuple[str, ...] = ()
    region: str = "inside"
    leverage: float = 0.0
    is_in_hull: bool = False
    warnings: tuple[str, ...] = ()
    guards: tuple[GuardCheck, ...] = ()
    card: PredictionCard | None = None
    constraints: Constraints | None = None
    tokens: Pairs = ()

    def __post_init__(self) -> None:
        put(self, epochs=checks.pairs("epochs", self.epochs), spread=checks.pairs("spread", self.spread))
        put(self, tokens=checks.pairs("tokens", self.tokens))
        checks.one_of("region", self.region, ("inside", "edge", "outside"))
        names = [rival.name for rival in self.rivals]
        if UNIFORM not in names or BEST_SEEN not in names:
            raise InputError(
                "a recipe is never shown without its rivals",
                value=names,
                bound="best seen and uniform at least",
                remedy="make it with recipe.compose",
            )

    @property
    def mixture(self) -> Mixture:
        """Token average of the plan."""
        return self.plan.schedule.average

    def against(self, rival: str, metric: str = "objective") -> Comparison | None:
        """The comparison with a rival that counts: trained where there is one, else predicted."""
        found = [c for c in self.comparisons if c.rival == rival and c.metric == metric]
        trained = [c for c in found if c.basis == "trained"]
        return (trained or found or [None])[-1]  # type: ignore[list-item]


@core_type
class Move:
    """The smallest step from today's mixture that gains enough: least KL divergence from it.

    `gain` asked and `predicted`, in the objective's unit (positive: better), with its 90 % interval; `kl` in nats from
    `today`; `probability` that the gain is ≥ 0 and `probability_asked` that it is ≥ `gain`, None where the law gives no
    draws; `largest` gain that the law predicts anywhere allowed; `guards` how each stands; `binding` what holds the
    step; `rung` where the law speaks; `doubt` where the solver could not verify the step.
    """

    objective: Objective
    today: Mixture
    mixture: Mixture
    gain: float
    predicted: float
    low: float
    high: float
    kl: float
    probability: float | None
    probability_asked: float | None
    largest: float
    law: str
    rung: str
    guards: tuple[GuardCheck, ...] = ()
    binding: tuple[str, ...] = ()
    doubt: str = ""


@core_type
class ParetoPoint:
    """A mixture that the law sees no other beat in every metric; `values` metric → the law's mean, in its unit.

    `probability` over joint draws of the law that no other point of the set beats it in every metric (None where the
    law gives no draws); `best_of` the metrics whose optimum it is.
    """

    mixture: Mixture
    values: Pairs
    probability: float | None = None
    best_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put(self, values=checks.pairs("values", self.values))
