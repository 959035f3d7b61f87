"""What is asked: a run's plan, a trial's spec, a strategy's proposals."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, ClassVar

from mixdesk.core import checks
from mixdesk.core.checks import Options, Pairs, core_type, put
from mixdesk.core.errors import InputError
from mixdesk.core.files import canonical, fingerprint, to_data
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.scale import Hyper, ModelSpec, Rung, Scale

# Options of a plug on a command line: commas between brackets belong to a value.
_OPTION = re.compile(r"(?:\[[^\]]*\]|\{[^}]*\}|[^,\[{])+")


@core_type
class Plug:
    """How configuration names a part: `name` in the registry, `options` for its constructor."""

    EXAMPLE: ClassVar[str] = '{ name = "gp" }'

    name: str
    options: Options = ()

    def __post_init__(self) -> None:
        put(self, name=checks.label("name", self.name), options=tuple(sorted(dict(self.options).items())))

    @classmethod
    def parse(cls, text: str) -> Plug:
        """A part as a command line names it: `name` or `name:option=value,option=value`; values JSON, else words.

        >>> Plug.parse("by_cluster:k=20")
        Plug(name='by_cluster', options=(('k', 20),))

        Raises:
            InputError: an option without a value.
        """
        name, colon, rest = text.partition(":")
        options: dict[str, Any] = {}
        for pair in _OPTION.findall(rest) if colon else ():
            key, equals, value = pair.strip().partition("=")
            if not equals or not key:
                raise InputError(
                    f"`{text}` has an option without a value",
                    value=pair,
                    bound="name:option=value,option=value",
                    remedy=f"e.g. {name}:k=20",
                )
            try:
                options[key.strip()] = json.loads(value)
            except ValueError:
                options[key.strip()] = value.strip()
        return cls(name=name.strip(), options=tuple(options.items()))


@core_type
class RunPlan:
    """What a run trains on and with; shared by trial, recipe, exporter and card."""

    schedule: Schedule
    scale: Scale = Scale()
    model: ModelSpec | None = None
    hyper: Hyper | None = None

    @property
    def id(self) -> str:
        """12 hex digits that name the plan in comparisons and cards."""
        return fingerprint(canonical(self), length=12)


@core_type
class External:
    """Where a trial of somebody else's comes from: `source` label of the import, `run` the user's own id."""

    source: str
    run: str


class _Named:
    """Room for an id: the hash of all fields, taken once, for none of them ever changes."""

    __slots__ = ("_id",)
    _id: str


@core_type
class TrialSpec(_Named):
    """One question: train this plan, on this corpus, as this replicate, and measure.

    `corpus` and `evals` are fingerprints (None or empty: unknown); `replicate` chooses all randomness; `unique_share`
    in (0, 1] restricts each domain to a fixed part of it; `method` is train, merge or operate; `parents` are (trial
    id, weight): what a merge averages, or the one trial whose weights a training starts from; `external` marks an
    imported run.
    """

    plan: RunPlan
    corpus: str | None = None
    evals: tuple[str, ...] = ()
    replicate: int = 0
    unique_share: float = 1.0
    method: str = "train"
    parents: Pairs = ()
    controller: Plug | None = None
    external: External | None = None

    def __post_init__(self) -> None:
        put(
            self,
            evals=tuple(sorted(self.evals)),
            replicate=checks.count("replicate", self.replicate),
            unique_share=checks.finite("unique_share", self.unique_share, 0.0, 1.0, open_low=True),
            method=checks.one_of("method", self.method, ("train", "merge", "operate")),
            parents=checks.pairs("parents", self.parents),
        )

    @property
    def id(self) -> str:
        """12 hex digits of the sha256 of the canonical JSON: the same question has the same id, and a field added
        later, left at its default, changes no old id.
        """
        try:
            return self._id
        except AttributeError:
            put(self, _id=fingerprint(canonical(self), length=12))
            return self._id

    @property
    def mixture(self) -> Mixture:
        """Token average of the plan's schedule."""
        return self.plan.schedule.average


def question(spec: TrialSpec) -> dict[str, Any]:
    """What `spec.json` says of a trial: what a simple trainer needs in plain keys, then the whole spec."""
    return {
        "id": spec.id,
        "mixture": spec.mixture.as_dict(),
        "n_tokens": spec.plan.scale.n_tokens,
        "replicate": spec.replicate,
        "spec": to_data(spec),
    }


# Replicates from here on are for confirmation, so that no proxy shares a seed with it.
FIRST_FRESH_REPLICATE = 1000


@core_type
class Proposal:
    """What a strategy asks: a mixture at a rung, as one replicate, and the reason in words.

    `method` and `parents` as in `TrialSpec`: a merge of trained trials, or a training that starts from one; `before`
    the stage that comes before the mixture in a run of two stages.
    """

    mixture: Mixture
    rung: str
    replicate: int = 0
    why: str = ""
    method: str = "train"
    parents: Pairs = ()
    before: Stage | None = None

    def __post_init__(self) -> None:
        put(self, parents=checks.pairs("parents", self.parents))


@core_type
class Recommendation:
    """What a strategy answers.

    `mixture` the best; `spread` per domain (name → half the range of the near-optimal mixtures); `binding` names of
    the constraints that hold it; `why` in words; `before` the stage that a run has first, where the mixture is for its
    last stage alone.
    """

    mixture: Mixture
    spread: Pairs = ()
    binding: tuple[str, ...] = ()
    why: str = ""
    before: Stage | None = None

    def __post_init__(self) -> None:
        put(self, spread=checks.pairs("spread", self.spread))


def plan_at(rung: Rung, mixture: Mixture, before: Stage | None = None) -> RunPlan:
    """The plan of a run at a rung; after a stage `before`, the learning rate falls to zero over the last stage.

    `Hyper.decay` is the last stage's share of the tokens, so the rate begins to fall where the mixture changes; a
    longer warm-up ends there.
    """
    hyper = rung.hyper
    if before is not None and (hyper is not None or rung.model is not None):
        hyper = hyper or Hyper()
        hyper = replace(hyper, decay=1.0 - before.until, warmup=min(hyper.warmup, before.until))
    return RunPlan(schedule=Schedule.ending(mixture, before), scale=rung.scale, model=rung.model, hyper=hyper)


def complete(
    proposal: Proposal, rungs: tuple[Rung, ...], corpus: str | None = None, evals: tuple[str, ...] = ()
) -> TrialSpec:
    """The trial spec of a proposal: its rung's scale, model, hyper-parameters and unique share filled in.

    Raises:
        InputError: the rung is not one of the study's.
    """
    by_label = {rung.label: rung for rung in rungs}
    if proposal.rung not in by_label:
        raise InputError(
            f"unknown rung `{proposal.rung}`",
            value=proposal.rung,
            bound="one of " + ", ".join(by_label),
            remedy=checks.nearest(proposal.rung, by_label),
        )
    rung = by_label[proposal.rung]
    return TrialSpec(
        plan=plan_at(rung, proposal.mixture, proposal.before),
        corpus=corpus,
        evals=evals,
        replicate=proposal.replicate,
        unique_share=rung.unique_share,
        method=proposal.method,
        parents=proposal.parents,
    )
