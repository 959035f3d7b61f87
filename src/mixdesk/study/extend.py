"""Carry a study to a changed corpus: what is untouched keeps its ratios and its evidence, only what is new is asked.

Every answered trial becomes a trial of somebody else's in the new study (`External`: the old study, the old id), its
mixtures carried by a `DomainMap`. A trial keeps the fingerprint of the old corpus, so that the view counts it as stale,
where it trained on a domain whose text changed, where more than a tenth of its tokens came from text that its new
mixture does not stand for, or where the tokenizer is another. A metric is carried where what it measures is the same:
`bpb/domain/<name>` and `bpb/set/<name>` go by fingerprint too.

Untouched domains are held to the ratios u of a mixture by a ring of rules, one per domain: wᵢ ≤ w₊ · uᵢ ÷ u₊ with + the
next one around. Each alone is a limit; all together leave nothing but w ∝ u. Any strategy that keeps rules then varies
the new domains against the held rest, which has one degree of freedom.

Reference: Olmix's mixture reuse (full: all untouched domains held; partial: some opened again). What differs: nothing
is collapsed, the laws see every domain, and what the carried runs no longer stand for is marked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mixdesk.core import checks
from mixdesk.core.checks import Options, Pairs
from mixdesk.core.corpus import Corpus
from mixdesk.core.domain_map import DomainMap, Fate
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, Schedule, Stage
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import FIRST_FRESH_REPLICATE, External, TrialSpec
from mixdesk.core.scale import Budget
from mixdesk.core.space import Constraints, Near, Rule
from mixdesk.core.trial import Event, Point, Result, StudyView, Trial
from mixdesk.study.config import StudyConfig
from mixdesk.study.record import ANSWERED
from mixdesk.study.study import asked

# A carried run that lost or moved more of its tokens than this is counted as run on another corpus.
LARGEST_MOVE = 0.1
# A held domain below this part of the largest held one is held at zero.
LEAST_RATIO = 1e-6
# How the names of the rules begin that hold ratios; another extension replaces them.
HELD = "held: "
# Mixtures asked per free weight and one more, at least so many that a law can speak of a metric that is new, and the
# further runs of the block that measures noise: as in the default design.
PER_WEIGHT, LEAST_MIXTURES, BLOCK = 3, 10, 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """A study that is ready to be created: its config, what the record says first, and the carried trials."""

    config: StudyConfig
    notes: tuple[str, ...]
    events: tuple[Event, ...]


def extend(
    view: StudyView,
    config: StudyConfig,
    corpus: Corpus,
    *,
    said: Mapping[str, Mapping[str, float | None]] | None = None,
    held: tuple[Mixture, str],
    reopen: Sequence[str] = (),
) -> Extension:
    """The study over another corpus that goes on from an old one.

    Args:
        view: of the old study.
        config: of the old study, with the name and corpus folder of the new one.
        corpus: the new counts.
        said: old domain → {new domain: share or None}, before fingerprints and names.
        held: a mixture over the old domains whose ratios the untouched ones keep, and where it comes from.
        reopen: names or patterns of untouched domains, by their new names, that are asked again.

    Raises:
        InputError: the old study has no corpus, nothing changed, a pattern matches no untouched domain, or nothing of
            the objective is measured any more.
    """
    if view.corpus is None:
        raise InputError(
            f"the study `{view.name}` has no corpus to extend",
            value="domains by name alone",
            bound="a study on a built corpus, whose fingerprints tell what changed",
            remedy="export its runs and import them under the new domains' names",
        )
    found = DomainMap.between(view.corpus, corpus, said)
    if found.is_identity and corpus.fingerprint == view.corpus.fingerprint:
        raise InputError(
            "nothing changed",
            value="the corpus of the study, domain for domain",
            bound="another corpus",
            remedy="go on with the study that is there",
        )
    carrier = _Carrier(view, found, corpus)
    events, said_of_trials = carrier.trials()
    metrics, objective, lost = _question(config, view, found, corpus, carrier.metric_of)
    own = tuple(rule for rule in config.constraints.rules if not rule.name.startswith(HELD))
    constraints, dropped = _limits(replace(config.constraints, rules=own), found)
    ties, untouched, said_of_ties = _ties(found, _untouched(found, reopen), *held)
    n_carried = sum(event.spec is not None and event.spec.replicate < FIRST_FRESH_REPLICATE for event in events)
    n_free = len(corpus.domains) - max(len(untouched) - 1, 0)
    n_new = max(PER_WEIGHT * (n_free + 1), LEAST_MIXTURES) + BLOCK if n_free > 1 else 0
    natural = () if config.natural and found.added else _carried_pairs(config.natural, found)
    new = replace(
        config,
        domains=(),
        metrics=metrics,
        objective=objective,
        natural=natural,
        constraints=replace(constraints, rules=(*constraints.rules, *ties)),
        budget=Budget(n_trials=n_carried + n_new) if n_carried + n_new else None,
    )
    notes = [f"Extends the study `{view.name}` (record {view.record_sha256[:12]}) to the corpus `{corpus.name}`."]
    notes += [f"Domains: {words}" for words in found.words()]
    notes += [*said_of_trials, *lost, *dropped]
    if config.natural and found.added:
        notes.append("The natural mixture that was written names no new domain: by the corpus's counts now.")
    notes += [said_of_ties, _asks(found, untouched, n_carried, n_new)]
    return Extension(config=new, notes=tuple(note for note in notes if note), events=tuple(events))


class _Carrier:
    """Trials of the old study as trials of the new one."""

    def __init__(self, view: StudyView, found: DomainMap, corpus: Corpus) -> None:
        assert view.corpus is not None
        self.view, self.found, self.old, self.new = view, found, view.corpus, corpus
        self.metric_of = _metric_names(view, found, corpus)
        self.id_of: dict[str, str] = {}

    def trials(self) -> tuple[list[Event], list[str]]:
        """Events of asking and answering, and sentences on what was carried."""
        events: list[Event] = []
        answered = [trial for trial in self.view.trials if trial.state in ANSWERED]
        n_stale, n_empty, n_blind = 0, 0, 0
        for trial in answered:
            spec = self._spec(trial)
            points = self._points(trial)
            n_empty += spec is None
            n_blind += spec is not None and trial.state == "done" and not points
            if spec is None or (trial.state == "done" and not points):
                continue
            n_stale += spec.corpus != self.new.fingerprint
            self.id_of[trial.id] = spec.id
            why = "; ".join(part for part in (trial.why, f"carried from `{self.view.name}`, trial {trial.id}") if part)
            result = Result(state=trial.state, points=points, flops=trial.flops, seconds=trial.seconds)
            done = Event(trial=spec.id, kind="done", time=time.time(), result=replace(result, message=trial.message))
            events += [asked(spec, trial.rung, why), done]
        words = [f"Carried {len(events) // 2} of {len(answered)} answered trials of {len(self.view.trials)}."]
        if n_empty:
            words.append(f"{n_empty} not carried: all of their weight was on removed domains.")
        if n_blind:
            words.append(f"{n_blind} not carried: nothing that they measured is measured any more.")
        if n_stale and self.old.tokenizer.sha256 != self.new.tokenizer.sha256:
            words.append(
                "All of them count as stale: the tokenizer is another, so weights and losses are of other tokens. "
                "Build the new corpus with the old tokenizer (--tokenizer FILE) to keep them."
            )
        elif n_stale:
            words.append(
                f"{n_stale} of them count as stale: they trained on text that changed, or on more than "
                f"{100 * LARGEST_MOVE:.0f} % of text that their new mixture does not stand for."
            )
        return events, words

    def _spec(self, trial: Trial) -> TrialSpec | None:
        """The spec over the new domains; None where no weight is left."""
        stages = []
        for stage in trial.spec.plan.schedule.stages:
            mixture = self.found.mixture(stage.mixture)
            if mixture is None:
                return None
            stages.append(Stage(mixture=mixture, until=stage.until, objectives=stage.objectives))
        average = trial.spec.mixture
        is_other = (
            self.old.tokenizer.sha256 != self.new.tokenizer.sha256
            or self.found.touches_changed(average)
            or self.found.moved(average) > LARGEST_MOVE
        )
        content = self.new.fingerprint
        if is_other or trial.id in self.view.stale:
            content = trial.spec.corpus or self.old.fingerprint
        return replace(
            trial.spec,
            plan=replace(trial.spec.plan, schedule=Schedule(stages=tuple(stages))),
            corpus=content,
            parents=tuple((self.id_of.get(name, name), weight) for name, weight in trial.spec.parents),
            external=External(source=self.view.name, run=trial.id),
        )

    def _points(self, trial: Trial) -> tuple[Point, ...]:
        kept = []
        for point in trial.points:
            values = {self.metric_of.get(name, name): value for name, value in point.metrics}
            values.pop("", None)
            if values:
                kept.append(Point(n_tokens=point.n_tokens, metrics=tuple(values.items())))
        return tuple(kept)


def _metric_names(view: StudyView, found: DomainMap, corpus: Corpus) -> dict[str, str]:
    """Old metric → its name over the new corpus; empty where what it measured is gone."""
    assert view.corpus is not None
    out = {
        f"bpb/domain/{fate.old}": f"bpb/domain/{found.name_of[fate.old]}" if fate.old in found.name_of else ""
        for fate in found.fates
    }
    new = {one.name: one.fingerprint for one in corpus.evals}
    for one in view.corpus.evals:
        same = [name for name, content in new.items() if content == one.fingerprint and content]
        out[f"bpb/set/{one.name}"] = f"bpb/set/{one.name if one.name in same else same[0]}" if same else ""
    return out


def _question(
    config: StudyConfig, view: StudyView, found: DomainMap, corpus: Corpus, metric_of: Mapping[str, str]
) -> tuple[tuple[Metric, ...], Objective, list[str]]:
    """Metrics and objective over the new domains, and sentences on what fell out."""
    gone = [metric.name for metric in view.metrics if metric_of.get(metric.name) == ""]
    made = {f"bpb/domain/{name}": name for name in corpus.names}
    made |= {f"bpb/set/{one.name}": "" for one in corpus.evals}
    gone = [name for name in gone if name not in made]
    again = [name for name in metric_of if not metric_of[name] and name in made and name not in gone]
    metrics: dict[str, Metric] = {}
    for metric in config.metrics:
        name = metric_of.get(metric.name, metric.name) or metric.name
        if name not in gone:
            domain = made.get(name) or found.name_of.get(metric.domain or "")
            metrics[name] = replace(metric, name=name, domain=domain)
    declared = {metric.name for metric in config.metrics}
    for name, domain in made.items():
        if domain and declared >= {f"bpb/domain/{fate.old}" for fate in found.fates}:
            metrics.setdefault(name, Metric(name=name, domain=domain))
    names = [*metrics] or [*made]
    terms = _renamed(config.objective.terms, metric_of, names)
    if not terms:
        raise InputError(
            "nothing of the objective is measured any more",
            value=", ".join(name for name, _ in config.objective.terms),
            bound="at least one of " + ", ".join(names),
            remedy="keep the domain or evaluation set that it names, or map it",
        )
    guards = []
    for guard in config.objective.guards:
        kept = _renamed(((guard.metric, 0.0),), metric_of, names)
        guards += [replace(guard, metric=kept[0][0])] if kept else []
    notes = []
    if gone:
        notes.append(f"No longer measured: {', '.join(f'`{name}`' for name in gone)}.")
    if again:
        notes.append(f"Measured on other text from now on, old values left out: {', '.join(f'`{n}`' for n in again)}.")
    lost = [name for name, _ in config.objective.terms if not _renamed(((name, 0.0),), metric_of, names)]
    if lost:
        notes.append(f"The objective lost {', '.join(f'`{name}`' for name in lost)}.")
    if len(guards) < len(config.objective.guards):
        kept_names = {guard.metric for guard in guards}
        lost = [g.metric for g in config.objective.guards if metric_of.get(g.metric, g.metric) not in kept_names]
        notes.append(f"Guards left out, as their metric is gone: {', '.join(f'`{name}`' for name in lost)}.")
    return tuple(metrics.values()), replace(config.objective, terms=terms, guards=tuple(guards)), notes


def _renamed(terms: Pairs, metric_of: Mapping[str, str], names: Sequence[str]) -> Pairs:
    """Terms by the new names of their metrics, patterns as they are; without those that match nothing any more."""
    new = {metric_of.get(name, name) or name: value for name, value in terms}
    return tuple((name, value) for name, value in new.items() if any(fnmatchcase(one, name) for one in names))


def _carried_pairs(weights: Pairs, found: DomainMap) -> Pairs:
    """Weights of any unit over the new domains; empty where nothing is left."""
    carried = found.mixture(Mixture.of(dict(weights), normalise=True)) if weights else None
    return () if carried is None else tuple(carried.as_dict().items())


def _limits(limits: Constraints, found: DomainMap) -> tuple[Constraints, list[str]]:
    """Constraints over the new domains, and a sentence on those that name none any more."""
    names = sorted({*found.added, *(name for fate in found.fates for name, _ in fate.to)})
    fates = {fate.old: fate for fate in found.fates}
    dropped: list[str] = []

    def each(field: str, given: Options) -> Options:
        """Keys by their new names: every part of a split, patterns as they are, and nothing of what is merged."""
        out: dict[str, Any] = {}
        for key, value in given:
            fate = fates.get(key)
            to = [key] if fate is None else [] if fate.kind == "merged" else [name for name, _ in fate.to]
            to = [one for one in to if any(fnmatchcase(name, one) for name in names)]
            dropped.extend([] if to else [f"{field}[{key}]"])
            out |= dict.fromkeys(to, value)
        return tuple(out.items())

    rules = []
    for field, sign in (("lower", -1.0), ("upper", 1.0)):
        for key, value in getattr(limits, field):
            fate = fates.get(key)
            if fate is not None and fate.kind == "split":
                terms = tuple((name, sign) for name, _ in fate.to)
                rules.append(Rule(name=f"{field} of what was {key}", terms=terms, most=sign * value))
    for rule in limits.rules:
        kept = each(f"rules[{rule.name}]", rule.terms)
        rules += [replace(rule, terms=kept)] if kept else []
    changed: dict[str, Any] = {
        field: each(field, getattr(limits, field))
        for field in ("group_lower", "group_upper", "epoch_caps", "epochs", "tiers")
    }
    for field in ("lower", "upper"):
        whole = [(key, value) for key, value in getattr(limits, field) if _kind(fates.get(key)) != "split"]
        changed[field] = each(field, tuple(whole))
    near = None
    if limits.near is not None:
        weights = _carried_pairs(limits.near.weights, found)
        near = Near(weights=weights, nats=limits.near.nats) if weights else None
        dropped += [] if near else ["near"]
    pool = [found.mixture(one) for one in limits.pool]
    made = replace(limits, rules=tuple(rules), near=near, pool=tuple(one for one in pool if one is not None), **changed)
    said = f"Limits left out, as they name no domain any more: {', '.join(dict.fromkeys(dropped))}." if dropped else ""
    return made, [said] if said else []


def _kind(fate: Fate | None) -> str:
    return "" if fate is None else fate.kind


def _untouched(found: DomainMap, reopen: Sequence[str]) -> tuple[str, ...]:
    """New names of the domains that are what they were and are not opened again."""
    names = sorted(found.name_of.values())
    for pattern in reopen:
        if not any(fnmatchcase(name, pattern) for name in names):
            checks.one_of("untouched domain", pattern, names)
    return tuple(name for name in names if not any(fnmatchcase(name, pattern) for pattern in reopen))


def _ties(
    found: DomainMap, names: tuple[str, ...], mixture: Mixture, source: str
) -> tuple[tuple[Rule, ...], tuple[str, ...], str]:
    """Rules that hold domains to a mixture's ratios, which domains are held, and the words; none without weight."""
    carried = found.mixture(mixture)
    weights = {} if carried is None else carried.as_dict()
    u = {name: weights.get(name, 0.0) for name in names}
    largest = max(u.values(), default=0.0)
    if len(names) < 2 or largest <= 0.0:
        return (), (), ""
    ring = [name for name in names if u[name] >= LEAST_RATIO * largest]
    zero = [name for name in names if name not in ring]
    rules = [Rule(name=f"{HELD}{name} at zero", terms=((name, 1.0),), most=0.0) for name in zero]
    for name, after in zip(ring, [*ring[1:], ring[0]], strict=True) if len(ring) > 1 else ():
        scale = max(u[name], u[after])
        terms = ((name, u[after] / scale), (after, -u[name] / scale))
        rules.append(Rule(name=f"{HELD}{name} to {after}", terms=terms, most=0.0))
    total = sum(u[name] for name in ring)
    shares = ", ".join(f"`{name}` {100 * u[name] / total:.3g} %" for name in ring)
    none = f"; at zero: {', '.join(f'`{name}`' for name in zero)}" if zero else ""
    return tuple(rules), names, f"Held to the ratios of {source}: {shares}{none}."


def _asks(found: DomainMap, untouched: Sequence[str], n_carried: int, n_new: int) -> str:
    """What will be asked next."""
    held = set(untouched)
    free = sorted({*found.added, *(name for fate in found.fates for name, _ in fate.to)} - held)
    if not n_new:
        return "Nothing is new, so nothing is asked: all keep their ratios. To ask again: --reopen PATTERN or --full."
    rest = " against the held rest" if held else ""
    return f"Next: {n_new} trials ({n_carried} carried) that vary {', '.join(f'`{n}`' for n in free)}{rest}."
