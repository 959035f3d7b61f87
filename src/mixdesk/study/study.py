"""The live study: the one handle with state, a folder with a record in it."""

from __future__ import annotations

import json
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mixdesk.core.checks import nearest, one_of
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import InputError, RecordError
from mixdesk.core.files import from_data, to_data, write_text
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Proposal, TrialSpec, complete
from mixdesk.core.scale import Budget
from mixdesk.core.trial import Event, Lease, Result, StudyView, Trial
from mixdesk.study import answers
from mixdesk.study.answers import Question
from mixdesk.study.config import StudyConfig
from mixdesk.study.record import ANSWERED, OPEN, Record, add_up, completed, is_made, trials_sha256
from mixdesk.study.schema import LINE, write_schema

# Keys that TOML takes without quotes.
BARE_KEY = re.compile("[A-Za-z0-9_-]+")


class Study:
    """A study in a folder: `study.toml` what is asked, `study.db` what happened, `trials/<id>/` the trainers' files.

    Everything is read from the record and written to it, so any number of handles may look at one study. Use as a
    context manager, or `close()` it.
    """

    def __init__(self, folder: Path, record: Record) -> None:
        """Attach to an open record; people call `create` or `open`."""
        self.folder = folder
        self._record = record
        self._lock = threading.Lock()
        self._n_events = 0
        self._trials: dict[str, Trial] = {}
        self._leases: dict[str, Lease] = {}
        self.config = from_data(StudyConfig, record.notes("config")[-1], "config")

    @classmethod
    def create(
        cls,
        folder: Path,
        config: StudyConfig,
        corpus: Corpus | None = None,
        *,
        notes: Sequence[str] = (),
        events: Iterable[Event] = (),
    ) -> Study:
        """Start a study; one that is there already is opened if it has the same config.

        Writes `study.toml`, and beside it the schema that its first line names, where there is none. A corpus that has
        changed since is noted: older trials become stale.

        Args:
            folder: to make.
            config: what to ask.
            corpus: its counts, where there is one.
            notes: sentences about where the first events come from.
            events: what happened before (an import).

        Raises:
            InputError: neither corpus nor config names the domains and metrics, or the objective needs others.
            RecordError: a study with another config is there.
        """
        summary = None if corpus is None else replace(corpus, shards=())
        _check(config, summary)
        path = folder / "study.db"
        if not is_made(path):
            first = [("config", to_data(config)), *(("note", note) for note in notes)]
            if summary is not None:
                first.append(("corpus", to_data(summary)))
            study = cls(folder, Record.create(path, first, events))
        else:
            study = cls.open(folder)
            if study.config != config or list(events):
                study.close()
                raise RecordError(
                    f"there is another study in `{folder}`",
                    value=f"the study `{study.config.name}` with other settings or trials",
                    bound="an empty folder, or the same study.toml",
                    remedy="choose another folder, or go on with the study that is there",
                )
            if study.corpus != summary:
                study._keep_domains(summary)
                study._record.append(notes=[("corpus", None if summary is None else to_data(summary))])
        if not (folder / "study.toml").exists():
            write_schema(folder)
            write_text(folder / "study.toml", LINE + to_toml(config))
        return study

    @classmethod
    def open(cls, folder: Path) -> Study:
        """The study in a folder.

        Raises:
            RecordError: no record there, or one that cannot be read.
        """
        return cls(folder, Record.open(folder / "study.db"))

    def _keep_domains(self, corpus: Corpus | None) -> None:
        """Refuse another corpus that lacks a domain which trials gave weight to; the study is closed then."""
        names = _domains(self.config, corpus)
        used = {name for trial in self.trials().values() for name, w in trial.spec.mixture.as_dict().items() if w > 0.0}
        lost = sorted(used - set(names))
        if lost:
            self.close()
            raise RecordError(
                f"the corpus has no domain `{lost[0]}` any more, to which trials of this study gave weight",
                value="domains " + (", ".join(names) or "unknown"),
                bound="every domain that was asked: " + ", ".join(sorted(used)),
                remedy=f"carry the study over: mixdesk study extend {self.folder} -o NEW --corpus DIR",
            )

    @property
    def corpus(self) -> Corpus | None:
        """Counts of the corpus as last seen, without its shards."""
        found = self._record.notes("corpus")
        return from_data(Corpus, found[-1], "corpus") if found and found[-1] is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the record says about itself, such as what an import ignored or mended."""
        return tuple(self._record.notes("note"))

    def view(self) -> StudyView:
        """A frozen snapshot."""
        corpus, trials = self.corpus, self.trials()
        current = None if corpus is None else corpus.fingerprint
        return StudyView(
            name=self.config.name,
            domains=_domains(self.config, corpus),
            objective=self.config.objective,
            constraints=self.config.constraints,
            rungs=self.config.rungs,
            metrics=_metrics(self.config, corpus),
            trials=tuple(trials.values()),
            seed=self.config.seed,
            corpus=corpus,
            natural=_natural(self.config, corpus),
            budget=self.config.budget,
            leases=tuple(lease for name, lease in self._leases.items() if trials[name].state in OPEN),
            record_sha256=trials_sha256(trials.values()),
            stale=tuple(name for name, trial in trials.items() if trial.spec.corpus not in (None, current)),
        )

    def trials(self) -> dict[str, Trial]:
        """Trial id → trial, in the order asked; only events that are new since the last call are read."""
        with self._lock:
            new = self._record.events(after=self._n_events)
            self._trials = add_up(new, self._trials)
            self._n_events += len(new)
            self._leases |= {event.trial: event.lease for event in new if event.lease is not None}
            return self._trials

    def pending(self) -> tuple[TrialSpec, ...]:
        """Specs that were asked and have no answer yet, in the order asked; failed trials are not among them."""
        return tuple(trial.spec for trial in self.trials().values() if trial.state in OPEN)

    def free(self) -> tuple[TrialSpec, ...]:
        """Those of the pending that nobody holds: without a lease, or after its deadline."""
        pending, now = self.pending(), time.time()
        return tuple(s for s in pending if s.id not in self._leases or self._leases[s.id].until <= now)

    def ask(self, proposals: Iterable[Proposal], seen: Sequence[str] | None = None) -> list[TrialSpec]:
        """Complete proposals to specs and record those that are new, all at once.

        Args:
            proposals: what a strategy, or a person, wants to know.
            seen: ids of the trials whose answers were known when asking; default: all that have one now.

        Returns:
            The specs that wait for an answer, without repeats: new ones, and old ones that are still unanswered.

        Raises:
            InputError: a proposal names an unknown rung or domain.
        """
        known = self.trials()
        asks = self._asks(proposals, seen)
        self._record.append(event for event in asks if event.trial not in known)
        return [event.spec for event in asks if event.spec is not None]

    def _asks(self, proposals: Iterable[Proposal], seen: Sequence[str] | None = None) -> list[Event]:
        """Events of asking for each trial that a proposal means and that has no answer, without repeats."""
        known = self.trials()
        if seen is None:
            seen = [name for name, trial in known.items() if trial.state in ANSWERED]
        corpus = self.corpus
        domains = _domains(self.config, corpus)
        content = None if corpus is None else corpus.fingerprint
        evals = () if corpus is None else tuple(one.fingerprint for one in corpus.evals)
        events: dict[str, Event] = {}
        for proposal in proposals:
            proposal.mixture.over(domains)
            spec = complete(proposal, self.config.rungs, content, evals)
            if spec.id not in known or known[spec.id].state in OPEN:
                events.setdefault(spec.id, asked(spec, proposal.rung, proposal.why, seen))
        return list(events.values())

    def hand_out(
        self,
        n: int,
        propose: Callable[[StudyView], Sequence[Proposal]],
        *,
        path: Path | None = None,
        write: Callable[[Sequence[Question]], None] | None = None,
        seconds: float | None = None,
        holder: str = "",
    ) -> list[Question]:
        """The next ≤ n questions for a worker elsewhere: new ones, then the oldest that wait and nobody holds.

        They are chosen, written and recorded as one: of two processes that ask at the same time each gets its own.

        Args:
            n: how many.
            propose: what to ask of a view; called again where another process was quicker.
            path: CSV or JSONL to write them to; not written where there is no question.
            write: called with the questions before they are recorded; called again where another process was quicker.
            seconds: lease them for so long: until then nobody else is handed them. None: no lease.
            holder: who works on them.

        Raises:
            InputError: a proposal names an unknown rung or domain, or the file cannot be written; nothing is recorded
                then, nor where `write` raises anything.
        """
        while True:
            view = self.view()
            known, stamp = self._trials, self._n_events
            new = [event for event in self._asks(list(propose(view))[:n]) if event.trial not in known]
            old = [known[spec.id] for spec in self.free()]
            asks = [(event.spec, event.rung, event.why) for event in new if event.spec is not None]
            questions = [*asks, *((trial.spec, trial.rung, trial.why) for trial in old)][:n]
            if path is not None and questions:
                answers.write_questions(path, questions, view.domains)
            if write is not None:
                write(questions)
            now = time.time()
            leases = [Lease(trial=spec.id, holder=holder, until=now + (seconds or 0.0)) for spec, _, _ in questions]
            held = [Event(trial=one.trial, kind="lease", time=now, lease=one) for one in leases if seconds is not None]
            if self._record.append([*new, *held], after=stamp):
                return questions

    def tell(self, trial_id: str, result: Result) -> bool:
        """Record an answer; False, with a warning, where the trial has one already (the first answer stands).

        Metrics that the first answer lacks are added from a later one.

        Raises:
            InputError: the study never asked this trial, or the answer measures nothing the study wants.
        """
        trial = self.trial(trial_id)
        if trial.state in ANSWERED and completed(trial, result) is trial:
            warnings.warn(f"trial {trial_id} has an answer already; the new one is ignored", stacklevel=2)
            return False
        wanted = [metric.name for metric in _metrics(self.config, self.corpus)]
        measured = [name for name, _ in result.points[-1].metrics] if result.points else []
        if result.state == "done" and not set(measured) & set(wanted):
            raise InputError(
                f"the answer of trial {trial_id} has none of the study's metrics",
                value=", ".join(measured) or "nothing measured",
                bound="at least one of " + ", ".join(wanted),
                remedy="correct the metrics in study.toml, or what the trainer measures",
            )
        self._record.append([Event(trial=trial_id, kind="done", time=time.time(), result=result)])
        return True

    def trial(self, trial_id: str) -> Trial:
        """One trial by its id.

        Raises:
            InputError: there is no such trial; names the nearest.
        """
        found = self.trials()
        if trial_id not in found:
            raise InputError(
                f"the study has no trial `{trial_id}`",
                value=trial_id,
                bound="the id of a trial that was asked",
                remedy=nearest(trial_id, found),
            )
        return found[trial_id]

    def set_budget(self, budget: Budget | None) -> None:
        """Record another budget; the latest counts."""
        config = replace(self.config, budget=budget)
        self._record.append(notes=[("config", to_data(config))])
        self.config = config

    def append(self, event: Event) -> None:
        """Record one event as it is."""
        self._record.append([event])

    def ask_to_file(self, specs: Sequence[TrialSpec], path: Path) -> None:
        """Write questions that were asked as CSV or JSONL for an outside trainer; see `answers.py`.

        Raises:
            InputError: another suffix, a trial that was not asked, or a file that cannot be written.
        """
        trials = [self.trial(spec.id) for spec in specs]
        questions = [(trial.spec, trial.rung, trial.why) for trial in trials]
        answers.write_questions(path, questions, _domains(self.config, self.corpus))

    def tell_from_file(self, path: Path) -> list[str]:
        """Read answers from a CSV or JSONL file; nothing is recorded unless the whole file is sound.

        Returns:
            Sentences on what was recorded and what was ignored.

        Raises:
            InputError: an unknown or repeated trial, a cell that is no finite number, or a row without any value.
        """
        view = self.view()
        results, notes = answers.read_answers(path, view)
        known = {trial.id: trial for trial in view.trials}
        late = [name for name in results if known[name].state in ANSWERED]
        more = [name for name in late if completed(known[name], results[name]) is not known[name]]
        fresh = [name for name in results if name not in late]
        now = time.time()
        self._record.append(Event(trial=one, kind="done", time=now, result=results[one]) for one in (*fresh, *more))
        if more:
            notes.append(f"{_trials(more)} got metrics that were missing: {', '.join(more[:5])}")
        stands = [name for name in late if _repeats(known[name], results[name])]
        if stands:
            notes.append(f"{_trials(stands)} had an answer already, which stands: {', '.join(stands[:5])}")
        return [f"{len(fresh)} answer{'' if len(fresh) == 1 else 's'} recorded.", *notes]

    def close(self) -> None:
        """Give back the record's file."""
        self._record.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def asked(spec: TrialSpec, rung: str, why: str = "", seen: Sequence[str] = ()) -> Event:
    """The event of asking a spec now."""
    return Event(trial=spec.id, kind="asked", time=time.time(), spec=spec, rung=rung, why=why, seen=tuple(seen))


def _trials(names: Sequence[str]) -> str:
    return "1 trial" if len(names) == 1 else f"{len(names)} trials"


def _repeats(trial: Trial, result: Result) -> bool:
    """Whether a later answer says something again, in the same or other words: it is not only what was missing."""
    if trial.state != "done" or result.state != "done":
        return True
    return bool(trial.final.keys() & {name for point in result.points for name, _ in point.metrics})


def to_toml(config: StudyConfig, comments: Mapping[str, str] | None = None) -> str:
    """A config as TOML that reads back equal: one line per setting, a list of tables one table per line.

    `comments` key → lines of text that stand above it.
    """
    out = []
    for key, value in to_data(config, lean=True).items():
        if comments and key in comments:
            out += ["", *(f"# {line}".rstrip() for line in comments[key].splitlines())]
        out.append(f"{key} = {_toml(value, 0)}")
    return "\n".join(out).lstrip("\n") + "\n"


def _toml(value: Any, depth: int) -> str:
    """A JSON value as TOML. A JSON string is a TOML string, but for DEL. TOML has no null: such keys are left out."""
    if isinstance(value, Mapping):
        known = {key: item for key, item in value.items() if item is not None}
        inner = (
            f"{key if BARE_KEY.fullmatch(key) else _toml(key, 1)} = {_toml(item, 1)}" for key, item in known.items()
        )
        return "{ " + ", ".join(inner) + " }" if known else "{}"
    if isinstance(value, list):
        items = [_toml(item, 1) for item in value]
        if depth == 0 and any(isinstance(item, Mapping) for item in value):
            return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
        return "[" + ", ".join(items) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check(config: StudyConfig, corpus: Corpus | None) -> None:
    """The question is complete: domains, natural mixture, metrics and objective fit together."""
    domains = _domains(config, corpus)
    if not domains:
        raise InputError(
            "the study has no domains",
            value="neither `corpus` nor `domains`",
            bound="one of the two",
            remedy="name a built corpus, or list the domains",
        )
    if config.domains and config.domains != domains:
        stray = sorted(set(config.domains) ^ set(domains))[0]
        raise InputError(
            "`domains` and the corpus disagree",
            value=stray,
            bound="the corpus's domains: " + ", ".join(domains),
            remedy="leave `domains` out where there is a corpus",
        )
    for name, _ in config.natural:
        one_of("domain in `natural`", name, domains)
    _natural(config, corpus)
    metrics = _metrics(config, corpus)
    if not metrics:
        raise InputError(
            "the study has no metrics",
            value="neither `corpus` nor `metrics`",
            bound="one of the two",
            remedy="list them",
        )
    config.objective.weights(metrics)


def _domains(config: StudyConfig, corpus: Corpus | None) -> tuple[str, ...]:
    return config.domains if corpus is None else corpus.names


def _natural(config: StudyConfig, corpus: Corpus | None) -> Mixture | None:
    """As declared, else from the corpus's counts, else unknown."""
    if config.natural:
        return Mixture.of(dict(config.natural), normalise=True)
    if corpus is None or not all(domain.n_tokens for domain in corpus.domains):
        return None
    return Mixture.natural(corpus)


def _metrics(config: StudyConfig, corpus: Corpus | None) -> tuple[Metric, ...]:
    """As declared, else bits per byte of every domain and evaluation set."""
    if config.metrics or corpus is None:
        return config.metrics
    domains = (Metric(name=f"bpb/domain/{name}", domain=name) for name in corpus.names)
    return (*domains, *(Metric(name=f"bpb/set/{one.name}") for one in corpus.evals))
