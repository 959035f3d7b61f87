"""The extension points on one page. A part inherits from nothing: it has these methods.

Every part class is a frozen dataclass of settings with two class attributes: `title`, one line for people, and
`reference`, a key of `references.toml`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from mixdesk.core.corpus import Document, Tokenised, TokenPart
from mixdesk.core.export import Export, Imported, Order, Snippet, Verification
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.core.plan import Proposal, Recommendation, TrialSpec
from mixdesk.core.trial import Event, Result, StudyView


class LawFit(Protocol):
    """Numbers, after data; cannot be "not fitted". `domains` and `metrics` name its axes."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Axis d of the fit."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Axis m of the fit."""

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates. `draws` > 0 adds that many joint draws; `sense` "run" adds the noise of one run.

        Level 0 asks for no interval (low and high are the mean): the quick form a search calls.
        """

    def browser(self) -> dict[str, Any]:
        """The fit as plain data that the page evaluates exactly; key `form` names the evaluator."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `Law.restore` makes a fit with the same predictions."""


class Law(Protocol):
    """Settings, before data."""

    title: ClassVar[str]
    reference: ClassVar[str]

    def fit(self, obs: Observations) -> LawFit:
        """Fit every metric. Raises NotEnoughEvidence where the rows are too few."""

    def restore(self, data: dict[str, Any]) -> LawFit:
        """The fit that `LawFit.to_dict` wrote."""


@runtime_checkable
class HasGradient(Protocol):
    """A fit that knows the slope of its mean: what a search needs in place of differences."""

    domains: tuple[str, ...]

    def gradient(self, W_qd: Floats) -> Floats:
        """Slope of each metric's mean in each weight, (q, m, d); columns in the order of `domains`."""


@runtime_checkable
class CrossFits(Protocol):
    """A law that fits itself with and without parts of the mixtures for less than the price of separate fits."""

    def cross_fit(self, obs: Observations, parts: Sequence[Ints]) -> tuple[LawFit, list[LawFit]]:
        """The fit to all rows, and one fit per part (group numbers) to the rows of the other groups."""


@runtime_checkable
class SpansScales(Protocol):
    """A law that is fitted on the runs of every scale at once (covariates `n_params`, `n_tokens`)."""

    spans_scales: ClassVar[bool]


class Strategy(Protocol):
    """Who chooses the next trials. Pure: same view, same answer.

    `eager`: it may be asked again while trials are out; else it is asked when every trial has its answer. One that
    learns from a law while it asks has a constructor field `law: Law`, which `api` fills with the study's. One whose
    answer looks at neither runs nor law says `needs_law: ClassVar[bool] = False`.
    """

    title: ClassVar[str]
    reference: ClassVar[str]
    eager: ClassVar[bool]

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ n questions, given what is in the view; an empty list means nothing is left to ask."""

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The best mixture under the view's objective and constraints."""


class Trainer(Protocol):
    """Answers a trial. Blocking; owns its process; runners call it from threads."""

    title: ClassVar[str]
    reference: ClassVar[str]

    def train(self, spec: TrialSpec, out: Path, report: Callable[[Event], None]) -> Result:
        """Train and measure. Raises WorkerError when the process crashed or ran out of time (retried once)."""

    def close(self) -> None:
        """Give back processes and handles."""


class Step(Protocol):
    """Cleans one document. Pure and picklable: it runs in worker processes, file by file.

    The pipeline counts what each step removed and changed and keeps examples of both; a step only decides.
    """

    title: ClassVar[str]
    reference: ClassVar[str]

    def apply(self, document: Document) -> Document | str:
        """The document, perhaps changed, or the name of the rule by which it goes."""


class SplitModel(Protocol):
    """A splitter that has seen its sample."""

    def label(self, documents: Sequence[Document]) -> list[dict[str, float]]:
        """For each document domain → probability; empty where it belongs nowhere."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `Splitter.restore` makes a model with the same labels."""


class Splitter(Protocol):
    """Cuts a corpus into named domains."""

    title: ClassVar[str]
    reference: ClassVar[str]

    def prepare(self, sample: Iterable[Document]) -> SplitModel:
        """Learn what is needed from a sample of documents.

        Raises:
            NotEnoughEvidence: the sample is too small to be cut.
        """

    def restore(self, data: dict[str, Any]) -> SplitModel:
        """The model that `SplitModel.to_dict` wrote."""


class ScoreModel(Protocol):
    """A scorer that has seen its sample."""

    def score(self, documents: Sequence[Document]) -> Floats:
        """Quality of each document, (n,); larger is better."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data from which `Scorer.restore` makes a model with the same scores."""


class Scorer(Protocol):
    """Judges the quality of documents."""

    title: ClassVar[str]
    reference: ClassVar[str]

    def prepare(self, sample: Iterable[Document]) -> ScoreModel:
        """Learn what is needed from a sample of documents.

        Raises:
            NotEnoughEvidence: the sample is too small to learn from.
        """

    def restore(self, data: dict[str, Any]) -> ScoreModel:
        """The model that `ScoreModel.to_dict` wrote."""


class Format(Protocol):
    """Somebody's token data."""

    title: ClassVar[str]
    reference: ClassVar[str]

    def read(self, path: Path) -> Tokenised:
        """What lies at a path, by its index alone: no token is read until it is asked for.

        Raises:
            InputError: not this format, or damaged.
        """

    def write(self, parts: Sequence[TokenPart], out: Path) -> list[Path]:
        """Write sequences of documents as this format under `out`; the files."""


class Exporter(Protocol):
    """A plan as the files of somebody's trainer.

    `package` pinned requirement whose own parser and sampler `verify` runs; empty: it installs on no plain machine, and
    files are checked against the documented schema alone. `data` format of the token data that it reads, with options,
    where `{seq_len}` is the order's; `rows` for JSON lines of texts, empty where it reads none.
    """

    title: ClassVar[str]
    reference: ClassVar[str]
    package: ClassVar[str]
    data: ClassVar[str]

    def export(self, order: Order, out: Path) -> Export:
        """Write the plan's files under `out`, an empty folder but for the data; no file of data.

        Raises:
            InputError: the target cannot express the plan (names it cannot hold, weights under its resolution, a
                schedule it has no stages for), or a number that it needs is not known.
        """

    def read(self, path: Path) -> Imported:
        """The mixture in a file of the target, or in a folder that `export` wrote, without `mixdesk.json`.

        Raises:
            InputError: not such a file.
        """

    def verify(self, out: Path, export: Export, n: int) -> Verification:
        """Shares of tokens that the target's own parser and sampler make of the files in `out` in n samples.

        Raises:
            ModuleNotFoundError: `package` is not installed.
            InputError: the files or the data are not there or not whole.
        """


@runtime_checkable
class HasSnippet(Protocol):
    """An exporter whose main file, for a run of one stage, is a plain function of the weights."""

    def snippet(self, order: Order) -> Snippet:
        """That file of the order with holes for the weights, over all domains of its first stage that have some.

        Raises:
            InputError: as in `Exporter.export`.
        """


# Progress of long work, drawn by the CLI: called with (what, done, total); total 0 = unknown.
Progress = Callable[[str, int, int], None]

# Calls of a function on items, results in the items' order: `map` itself, a pool's, or a cluster's.
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
