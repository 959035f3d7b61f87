"""The deliverable: a plan with its rivals, comparisons, verdict and evidence."""

from __future__ import annotations

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Comparison, LeagueRow, Objective, Verdict
from mixdesk.core.observations import Noise
from mixdesk.core.plan import RunPlan

# A rival's name on the desk, in the order it is shown. Natural is there only where token counts are known.
BEST_SEEN, NATURAL, UNIFORM = "best seen", "natural", "uniform"
RIVALS = (BEST_SEEN, NATURAL, UNIFORM)
# Replicates from here on are for confirmation, so that no proxy shares a seed with it.
FIRST_FRESH_REPLICATE = 1000


@core_type
class Rival:
    """A mixture the recipe is compared with; `trial` where one ran it."""

    name: str
    mixture: Mixture
    trial: str | None = None


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
class Provenance:
    """Where the numbers come from, enough to make them again."""

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


@core_type
class Recipe:
    """What to train on, and how one knows.

    `plan` to run; `objective` asked; `rivals` it must beat; `comparisons` predicted, and trained once confirmed;
    `expected` values at the largest scale that has trials; `epochs` of the plan per domain (empty: counts unknown);
    `spread` half-range of near-optimal weights; `binding` constraints; `region` inside / edge / outside of the
    trials, with `leverage` relative to the farthest trial; `warnings`; `verdict`; `provenance`.
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

    def __post_init__(self) -> None:
        put(self, epochs=checks.pairs("epochs", self.epochs), spread=checks.pairs("spread", self.spread))
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
