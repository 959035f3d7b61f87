"""What goes out to somebody's trainer and comes back: orders, what was written and what it means there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.corpus import Domain, Tokenizer
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.plan import Plug, RunPlan
from mixdesk.core.recipe import Recipe

# A domain may be passed this much more often than its limit says: rounding to whole rows or sequences.
EPOCHS_TOLERANCE = 1e-3
# The file in which an export says of itself what was written.
SIDECAR = "mixdesk.json"
# A share of tokens that the target's own code makes may differ from what was asked by this much.
SHARES_TOLERANCE = 1e-3
# Standard deviations of a random draw that count as chance.
MOST_DEVIATIONS = 4.0
# How data that are ours to write are laid out.
LAYOUTS = ("domains", "stages", "blend")


@core_type
class OrderStage:
    """A stage in tokens: `mixture` (token shares within it), and the tokens of the run at which it begins and ends."""

    mixture: Mixture
    start: int
    end: int

    @property
    def n_tokens(self) -> int:
        """Tokens of the stage."""
        return self.end - self.start


@core_type
class Order:
    """What an exporter is given.

    `plan` to run; `domains` their counts (n_tokens, n_docs None or 0: unknown); `tokenizer` of the counts; `data`
    folder, as the written files name it, with a file or folder per domain; `n_tokens` of the run, repeats included;
    `seq_len` tokens of a sequence; `batch_tokens` of a step; `max_epochs` limits over the run; `recipe` where the plan
    is one's; `source` in one line for comments, such as "recipe of study x". None: not known, see `need`.
    """

    plan: RunPlan
    domains: tuple[Domain, ...]
    tokenizer: Tokenizer | None = None
    data: str = "data"
    n_tokens: int | None = None
    seq_len: int | None = None
    batch_tokens: int | None = None
    max_epochs: Pairs = ()
    recipe: Recipe | None = None
    source: str = ""

    def __post_init__(self) -> None:
        put(self, max_epochs=checks.pairs("max_epochs", self.max_epochs))
        for name in ("n_tokens", "seq_len", "batch_tokens"):
            value = getattr(self, name)
            put(self, **{name: None if value is None else checks.count(name, value, 1)})

    def need(self, name: str) -> int:
        """`n_tokens`, `seq_len` or `batch_tokens`, which this target cannot do without.

        Raises:
            InputError: not known.
        """
        value = getattr(self, name)
        if value is None:
            what = {"n_tokens": "the tokens of the run", "seq_len": "the tokens of a sequence"}.get(
                name, "the tokens of a step"
            )
            raise InputError(
                f"this target needs {what}", value="not told", bound=f"`{name}`, a number > 0",
                remedy=f"give --{name.replace('_', '-')}",
            )  # fmt: skip
        return int(value)

    @property
    def names(self) -> tuple[str, ...]:
        """Domains with weight in some stage, sorted: zero weights are left out of what is written."""
        used = {n for stage in self.plan.schedule.stages for n, w in stage.mixture.as_dict().items() if w > 0.0}
        return tuple(sorted(used))

    def domain(self, name: str) -> Domain:
        """Counts of a domain; a domain of unknown counts where there are none."""
        return next((one for one in self.domains if one.name == name), Domain(name=name))

    def mean_tokens(self, name: str) -> float:
        """Mean tokens of a document of the domain.

        Raises:
            InputError: its tokens or documents are not known.
        """
        found = self.domain(name)
        if not found.n_tokens or not found.n_docs:
            raise InputError(
                f"the mean length of the documents of `{name}` is not known",
                value=f"{found.n_tokens or 'no'} tokens, {found.n_docs or 'no'} documents",
                bound="both counted: this target draws rows, and weights are shares of tokens",
                remedy="name the corpus with --corpus, or import it by its index: mixdesk corpus import",
            )
        return found.n_tokens / found.n_docs

    def stages(self) -> Iterator[OrderStage]:
        """The stages in tokens; the boundaries at whole steps where the tokens of a step are known.

        Raises:
            InputError: the tokens of the run are not known.
        """
        total, start = self.need("n_tokens"), 0
        step = min(self.batch_tokens or 1, total)
        for stage in self.plan.schedule.stages:
            end = total if stage.until == 1.0 else min(round(stage.until * total / step) * step, total)
            if end <= start:
                raise InputError(
                    "a stage has no whole step", value=f"{stage.until:g} of {total:,} tokens",
                    bound=f"at least one step of {step:,} tokens", remedy="take a longer run or smaller steps",
                )  # fmt: skip
            yield OrderStage(mixture=stage.mixture, start=start, end=end)
            start = end

    def epochs(self) -> dict[str, float]:
        """How often the run passes each domain of known size, over all stages; empty without the run's tokens."""
        if self.n_tokens is None:
            return {}
        spent = dict.fromkeys(self.names, 0.0)
        for stage in self.stages():
            for name, weight in stage.mixture.as_dict().items():
                if weight > 0.0:
                    spent[name] += weight * stage.n_tokens
        sizes = {name: self.domain(name).n_tokens for name in self.names}
        return {name: spent[name] / size for name, size in sizes.items() if size}


@core_type
class Share:
    """A domain in a stage: `weight` asked (share of tokens), the number `written` in the unit of the target, and the
    share of tokens that is `realised` after the target's rounding (`weight` itself where it draws at random);
    `epochs` of the domain in this stage, None where unknown.
    """

    domain: str
    weight: float
    written: float
    realised: float
    epochs: float | None = None


@core_type
class ExportStage:
    """A stage as written: its `shares`, the tokens of the run it ends at, and the `files` that say it."""

    shares: tuple[Share, ...]
    end: int | None = None
    files: tuple[str, ...] = ()


@core_type
class Export:
    """What was written: kept beside it as `SIDECAR`, so that it can be read back as it was.

    `target` name of the exporter; `unit` what the written number counts; `sentence` who applies the number and what it
    means there; `arithmetic` from token share to that number, as one line; `losses` what the target cannot express, in
    plain words; `files` relative to the folder; `order` as it was given; `layout` of the data that are ours to write:
    each domain once (`domains`), each stage with documents of its own in `stage0`, … (`stages`), or the documents of
    each stage in the order to train on (`blend`, with `form` and `seed`).
    """

    target: str
    unit: str
    sentence: str
    arithmetic: str
    stages: tuple[ExportStage, ...]
    order: Order
    losses: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    layout: Plug = Plug(name="domains")

    def __post_init__(self) -> None:
        checks.one_of("layout", self.layout.name, LAYOUTS)


@core_type
class Each:
    """What a text says of every domain with weight: the `pieces` of each, between which its number stands, joined by
    `between`.
    """

    pieces: tuple[tuple[str, ...], ...]
    between: str = ""


@core_type
class Snippet:
    """A target's main file for a run of one stage, with holes for the weights: a plain function of the mixture.

    `file` its name in the export's folder; `sentence` who applies the number, as in `Export`; `domains` sorted; `parts`
    in the order they are written; `least` weight that the target does not refuse (0: any).
    """

    file: str
    sentence: str
    domains: tuple[str, ...]
    parts: tuple[str | Each, ...]
    least: float = 0.0

    def text(self, mixture: Mixture) -> str:
        """The file for a mixture of these domains; zero weights are left out.

        >>> parts = ("blend: ", Each(pieces=(("", " a"), ("", " b"), ("", " c")), between=", "))
        >>> snippet = Snippet(file="x", sentence="x.", domains=("a", "b", "c"), parts=parts)
        >>> snippet.text(Mixture.of({"a": 0.75, "b": 0.0, "c": 0.25}))
        'blend: 0.75 a, 0.25 c'
        """
        numbers = [(i, digits(weight)) for i, weight in enumerate(mixture.over(self.domains)) if weight > 0.0]
        return "".join(
            part if isinstance(part, str) else part.between.join(number.join(part.pieces[i]) for i, number in numbers)
            for part in self.parts
        )


def digits(value: float) -> str:
    """All digits of a number, with a point, as JSON, Python and YAML 1.1 read one: `5e-05` is a text to the last.

    >>> digits(5e-05), digits(0.25), digits(1)
    ('5.0e-05', '0.25', '1.0')
    """
    mantissa, _, exponent = repr(float(value)).partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa


@core_type
class Imported:
    """A mixture out of somebody's file.

    `plan` its schedule, weights as the file has them, and its scale where it says; `unit` tokens where the weights are
    shares of tokens, else what they count (rows, documents, passes of a domain); `domains` counts where the file's own
    data tell; `limits` domain → epochs that the file allows; `notes` what was guessed, ignored or cannot be known.
    """

    plan: RunPlan
    unit: str = "tokens"
    domains: tuple[Domain, ...] = ()
    limits: Pairs = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put(self, limits=checks.pairs("limits", self.limits))


def in_tokens(found: Imported) -> Imported:
    """The same mixture in shares of tokens, by w_d ∝ q_d ℓ_d with ℓ_d the mean tokens of a row or document, or all
    tokens of the domain where the unit is passes; as it is, with a note, where they are not known.
    """
    if found.unit == "tokens":
        return found
    counted = [(one, 1 if found.unit == "passes" else one.n_docs) for one in found.domains]
    means = {one.name: one.n_tokens / n for one, n in counted if one.n_tokens and n}
    missing = [name for name in found.plan.schedule.domains if name not in means]
    if missing:
        note = (
            f"The weights are shares of {found.unit}, not of tokens: the mean length of `{missing[0]}` is not known. "
            "Name a corpus with its counts to see what this trains on."
        )
        return replace(found, notes=(*found.notes, note))
    stages = tuple(
        replace(stage, mixture=Mixture.of(
            {name: weight * means[name] for name, weight in stage.mixture.as_dict().items()}, normalise=True
        ))
        for stage in found.plan.schedule.stages
    )  # fmt: skip
    note = f"The file's shares of {found.unit} are shown as shares of tokens, by the mean lengths that are known."
    plan = replace(found.plan, schedule=Schedule(stages=stages))
    return replace(found, plan=plan, unit="tokens", notes=(*found.notes, note))


@core_type
class Realised:
    """What a stage trains on by the target's own code: shares of tokens `asked` and `realised`, over `n_tokens`.

    `chance` is the standard deviation of a share where the target draws at random, 0 where it does not; `resolution` is
    the largest difference of a share that whole documents leave, 0 where what is drawn has one length.
    """

    asked: Pairs
    realised: Pairs
    n_tokens: int
    chance: float = 0.0
    resolution: float = 0.0

    def __post_init__(self) -> None:
        put(self, asked=checks.pairs("asked", self.asked), realised=checks.pairs("realised", self.realised))

    @property
    def error(self) -> float:
        """Largest difference between a share asked and realised."""
        found = dict(self.realised)
        return max((abs(share - found.get(name, 0.0)) for name, share in self.asked), default=math.nan)

    @property
    def allowed(self) -> float:
        """The error up to which a stage is as asked: a thousandth, what chance makes, or what whole documents leave."""
        return max(SHARES_TOLERANCE, MOST_DEVIATIONS * self.chance, self.resolution)


@core_type
class Verification:
    """`stages` as realised; `how` in a sentence: whose parser and sampler, which version, how many samples."""

    stages: tuple[Realised, ...]
    how: str
