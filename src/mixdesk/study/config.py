"""What a study asks: `study.toml` as a frozen type."""

from __future__ import annotations

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Budget, Rung
from mixdesk.core.space import Constraints


@core_type
class StudyConfig:
    """One study as a person writes it.

    `objective` to minimise; `corpus` folder of a built corpus, relative to the study's folder; `domains` where there
    is no corpus; `natural` domain → weight (any unit), empty: by the corpus's counts; `metrics`, empty: bits per byte
    of every domain and evaluation set of the corpus; `rungs` sizes, the first asked, the last the target;
    `constraints` at the target; `strategy`, `law`, `trainer` parts by name; `seed` of everything the study draws.
    """

    name: str
    objective: Objective
    corpus: str | None = None
    domains: tuple[str, ...] = ()
    natural: Pairs = ()
    metrics: tuple[Metric, ...] = ()
    rungs: tuple[Rung, ...] = (Rung(label="proxy"),)
    constraints: Constraints = Constraints()
    budget: Budget | None = None
    strategy: Plug = Plug(name="exact")
    law: Plug = Plug(name="average")
    trainer: Plug | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checks.unique("rungs", (rung.label for rung in self.rungs))
        checks.unique("metrics", (metric.name for metric in self.metrics))
        put(
            self,
            name=checks.label("name", self.name),
            domains=tuple(sorted(checks.unique("domains", self.domains))),
            natural=checks.pairs("natural", self.natural),
            seed=checks.count("seed", self.seed),
        )
