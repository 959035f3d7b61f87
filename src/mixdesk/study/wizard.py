"""From what a person wants to a study: the sizes, limits and prices that follow from a corpus and a time.

    tokens of a proxy   what the time buys: hours × cores × rate ÷ (trials × FLOPs per token), at most a quarter of the
                        target's and TOKENS_PER_PARAMETER per parameter
    unique share        tokens of a proxy ÷ tokens of the target, so that a domain is repeated as often as it is there
    trials              3 (d + 1) mixtures, 10 at least, and the 6 repeats that measure noise

The rate is that of a matrix product on this machine as busy as it is, of which the engine reaches OF_PEAK, less what
evaluation takes; the start of the workers is left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.corpus import Corpus
from mixdesk.core.mixture import Mixture
from mixdesk.core.objective import Objective
from mixdesk.core.observations import Metric
from mixdesk.core.plan import Plug
from mixdesk.core.scale import Budget, Hyper, ModelSpec, Rung, Scale
from mixdesk.core.space import Constraints, Space
from mixdesk.study.config import StudyConfig
from mixdesk.study.study import to_toml

# Layers, width, heads and sequence length of the proxies that are offered, the smallest first; a step has N_BATCH
# sequences, as at such budgets the number of steps is what is short.
SIZES = {"nano": (2, 64, 2, 128), "micro": (4, 128, 4, 256), "mini": (6, 256, 4, 256), "small": (8, 512, 8, 512)}
N_BATCH = 4
# What the engine reaches of a matrix product's rate (benchmarks/throughput.py, 0.1 M parameters).
OF_PEAK = 0.43
# Evaluation ÷ training, by FLOPs, at most (engine/evaluate.py).
EVALUATION = 0.15
# A proxy trains on so many tokens per parameter at most, and on so many at least that a larger model is worth it.
TOKENS_PER_PARAMETER, WORTH_A_LARGER = 20, 5
# A run has this many steps at least.
LEAST_STEPS = 40
# The target has at least this many times the tokens of a proxy, else it would be no other size.
LEAST_RATIO = 4
# Runs of the recipe, the natural and the uniform mixture that a confirmation trains.
N_CONFIRM = 15
# A target whose confirmation takes longer than so many times the study is not trained here.
LONG_CONFIRMATION = 4.0
# Sequences below which a domain, as a proxy sees it, is hardly text of its kind any more.
FEW_SEQUENCES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """What a study is planned on.

    Fields: `corpus` its counts; `tiers` domain → licence tier, empty where unknown; `can_train` whether the built-in
    engine can be used on it here; `rate` FLOP/s of the engine on one core, `cores` of this machine.
    """

    corpus: Corpus
    tiers: Mapping[str, str] = field(default_factory=dict)
    can_train: bool = True
    rate: float
    cores: int

    @property
    def n_tokens(self) -> int:
        """Unique training tokens of all domains."""
        return sum(domain.n_tokens or 0 for domain in self.corpus.domains)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what can be measured: bits per byte of every evaluation set and domain."""
        sets = tuple(f"bpb/set/{one.name}" for one in self.corpus.evals)
        return (*sets, *(f"bpb/domain/{name}" for name in self.corpus.names))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a person wants; None is decided by the corpus and the time.

    Fields: `n_tokens` of the final run; `terms` of the objective, metric or pattern → weight; `max_epochs` of any
    domain there; `allowed_tiers` of licences, empty: all; `hours` for all proxies; `n_trials` proxies;
    `size` one of SIZES; `n_proxy` tokens of a proxy.
    """

    n_tokens: int | None = None
    terms: tuple[tuple[str, float], ...] = ()
    max_epochs: float = 4.0
    allowed_tiers: tuple[str, ...] = ()
    hours: float = 1.0
    n_trials: int | None = None
    size: str | None = None
    n_proxy: int | None = None

    def __post_init__(self) -> None:
        checks.finite("hours", self.hours, 0.0, open_low=True)
        checks.finite("max_epochs", self.max_epochs, 0.0, open_low=True)
        if self.size is not None:
            checks.one_of("size", self.size, SIZES)
        for name in ("n_tokens", "n_trials", "n_proxy"):
            value = getattr(self, name)
            put(self, **{name: None if value is None else checks.count(name, value, 1)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A study that is ready to be written.

    Fields: `wish` with nothing left open; `config`; `flops` and `seconds` of all proxies; `confirm_seconds` of a
    confirmation at the target, None where it is not trained here; `notes` that a person should read.
    """

    wish: Wish
    config: StudyConfig
    flops: float = 0.0
    seconds: float = 0.0
    confirm_seconds: float | None = None
    notes: tuple[str, ...] = ()


def measured_rate(seconds: float = 0.2) -> float:
    """FLOP/s that the engine will about reach on one core of this machine, by a matrix product of `seconds`."""
    square = np.ones((512, 512), dtype=np.float32)
    with threadpool_limits(1):
        square @ square
        began, n = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            square @ square
            n += 1
        return OF_PEAK / (1.0 + EVALUATION) * n * 2.0 * 512**3 / (time.perf_counter() - began)


def model_of(size: str, corpus: Corpus) -> ModelSpec:
    """The model of a size, with the vocabulary of the corpus's tokenizer."""
    layers, width, heads, length = SIZES[size]
    return ModelSpec(
        n_layers=layers, d_model=width, n_heads=heads, vocab_size=corpus.tokenizer.vocab_size, seq_len=length
    )


def plan(name: str, corpus: str, ground: Ground, wish: Wish) -> Plan:
    """The study of a wish, on the corpus at a path (as `study.toml` names it).

    Raises:
        InputError: a metric, tier or size that is not there, or a final run shorter than LEAST_RATIO steps of a proxy.
        Infeasible: licences and epochs leave part of the final run without data.
    """
    wish = _completed(wish, ground)
    assert wish.n_tokens is not None
    assert wish.n_trials is not None
    assert wish.n_proxy is not None
    share = min(wish.n_proxy / wish.n_tokens, 1.0)
    limits = Constraints(
        max_epochs=wish.max_epochs, allowed_tiers=wish.allowed_tiers, tiers=tuple(sorted(ground.tiers.items()))
    )
    space = Space.build(limits, ground.corpus.names, ground.corpus, Scale(n_tokens=wish.n_tokens))
    objective = Objective(terms=wish.terms)
    objective.weights(tuple(Metric(name=one) for one in ground.metrics))
    proxy = Rung(label="proxy", scale=Scale(n_tokens=wish.n_proxy), unique_share=share)
    target = Rung(label="target", scale=Scale(n_tokens=wish.n_tokens))
    confirm, flops = None, 0.0
    if wish.size is not None:
        model = model_of(wish.size, ground.corpus)
        hyper = Hyper(batch_tokens=N_BATCH * model.seq_len)
        proxy = Rung(label="proxy", model=model, hyper=hyper, scale=proxy.scale, unique_share=share)
        flops = wish.n_trials * model.flops_per_token * wish.n_proxy
        confirm = N_CONFIRM * model.flops_per_token * wish.n_tokens / (ground.rate * ground.cores)
        if confirm <= LONG_CONFIRMATION * 3600.0 * wish.hours:
            target = Rung(label="target", model=model, hyper=hyper, scale=target.scale)
        else:
            confirm = None
    config = StudyConfig(
        name=name,
        corpus=corpus,
        objective=objective,
        rungs=(proxy, target),
        constraints=Constraints(max_epochs=wish.max_epochs, allowed_tiers=wish.allowed_tiers),
        budget=Budget(n_trials=wish.n_trials),
        trainer=Plug(name="builtin") if wish.size is not None else None,
    )
    return Plan(
        wish=wish,
        config=config,
        flops=flops,
        seconds=flops / (ground.rate * ground.cores),
        confirm_seconds=confirm,
        notes=_notes(ground, wish, share, space),
    )


def commented(made: Plan, ground: Ground) -> str:
    """The plan as a `study.toml` that says why each setting is what it is."""
    wish, corpus, d = made.wish, ground.corpus, len(ground.corpus.names)
    natural = Mixture.natural(corpus)
    epochs = dict(natural.epochs(corpus, Scale(n_tokens=wish.n_tokens)))
    width = max(len(name) for name in corpus.names)
    counts = "\n".join(
        f"  {one.name:{width}}  {one.n_tokens or 0:>15,} tokens  {natural.as_dict()[one.name]:6.1%}"
        f"  {epochs[one.name]:6.2f} epochs  {ground.tiers.get(one.name, '')}".rstrip()
        for one in corpus.domains
    )
    run = f"{wish.n_tokens or 0:,} tokens"
    if made.config.trainer is None:
        price = "Runs are made elsewhere: `mixdesk study ask`, then `mixdesk study tell`."
        trained = ""
    else:
        price = f"In all {made.flops:.2g} FLOPs: about {duration(made.seconds)} on {ground.cores} cores."
        trained = (
            f"\nA confirmation there takes about {duration(made.confirm_seconds)}."
            if made.confirm_seconds is not None
            else "\nToo long to be trained here with this model: it is only what the recipe is for."
        )
    tiers = f"; licences of the tiers {', '.join(wish.allowed_tiers)} alone" if wish.allowed_tiers else ""
    comments = {
        "objective": "What is minimised: metrics or patterns with weights. There are " + _listed(ground.metrics) + ".",
        "corpus": f"A built corpus, relative to this file; weights and epochs if {run} were drawn as it is:\n{counts}",
        "rungs": f"First the proxies, then the target of {run}. A proxy sees the share of each domain that its tokens\n"
        "are of the target's, so that text is repeated as often as it would be there (unique_share)." + trained,
        "constraints": f"At the target no domain is passed more than {wish.max_epochs:g} times{tiers}. More limits: "
        "lower, upper,\ngroup_lower, group_upper, epoch_caps, near, rules.",
        "budget": f"3 mixtures per domain and 3 more would be {3 * (d + 1)}, and 6 repeats measure the noise. {price}\n"
        "This may be raised at any time; everything else is fixed once the study has begun.",
        "trainer": "The built-in engine, on this machine.",
    }
    return to_toml(made.config, comments)


def duration(seconds: float) -> str:
    """A time in few words."""
    if seconds < 90.0:
        return f"{max(seconds, 1.0):.0f} seconds"
    if seconds < 5400.0:
        return f"{seconds / 60.0:.0f} minutes"
    return f"{seconds / 3600.0:.1f} hours" if seconds < 172_800.0 else f"{seconds / 86_400.0:.0f} days"


def _completed(wish: Wish, ground: Ground) -> Wish:
    """The wish with what the corpus and the time decide."""
    d = len(ground.corpus.names)
    n_tokens = wish.n_tokens or max(ground.n_tokens, 1)
    terms = wish.terms or ((("bpb/set/*", 1.0),) if ground.corpus.evals else (("bpb/domain/*", 1.0),))
    n_trials = wish.n_trials or max(3 * (d + 1), 10) + 6
    size, n_proxy = wish.size, wish.n_proxy
    if ground.can_train:
        bought = {one: _bought(ground, wish, one, n_trials) for one in SIZES}
        if size is None:
            worth = [one for one in SIZES if bought[one] >= WORTH_A_LARGER * model_of(one, ground.corpus).n_params]
            size = worth[-1] if worth else next(iter(SIZES))
        step = N_BATCH * SIZES[size][3]
        most = min(n_tokens // LEAST_RATIO, TOKENS_PER_PARAMETER * model_of(size, ground.corpus).n_params)
        n_proxy = n_proxy or max(min(int(bought[size]), most), LEAST_STEPS * step)
        n_proxy = max(n_proxy // step, 1) * step
    return Wish(
        n_tokens=n_tokens,
        terms=terms,
        max_epochs=wish.max_epochs,
        allowed_tiers=wish.allowed_tiers,
        hours=wish.hours,
        n_trials=n_trials,
        size=size if ground.can_train else None,
        n_proxy=n_proxy or max(n_tokens // 100, 1),
    )


def _bought(ground: Ground, wish: Wish, size: str, n_trials: int) -> float:
    """Tokens that each proxy of a size gets in the hours there are."""
    flops = 3600.0 * wish.hours * ground.cores * ground.rate
    return flops / (n_trials * model_of(size, ground.corpus).flops_per_token)


def _notes(ground: Ground, wish: Wish, share: float, space: Space) -> tuple[str, ...]:
    """What a person should know before the study begins."""
    assert wish.n_tokens is not None
    assert wish.n_trials is not None
    out, d = [], len(ground.corpus.names)
    if wish.n_trials < d + 2 + 6:
        out.append(f"{wish.n_trials} trials are too few for a law over {d} domains: {3 * (d + 1) + 6} would be sound.")
    length = SIZES[wish.size][3] if wish.size is not None else 0
    thin = [
        one.name
        for one, most in zip(ground.corpus.domains, space.upper_d.tolist(), strict=True)
        if most > 0.0 and length and (one.n_tokens or 0) * share / length < FEW_SEQUENCES
    ]
    if thin:
        out.append(
            f"A proxy sees fewer than {FEW_SEQUENCES} sequences of {_listed(thin)}: longer proxies, a shorter final "
            "run or a merged domain would tell more of it."
        )
    lone = [name for name, most in zip(ground.corpus.names, space.upper_d.tolist(), strict=True) if most == 0.0]
    if lone:
        out.append(f"Left out by their licences: {_listed(lone)}.")
    rare = [name for name, most in zip(space.domains, space.upper_d.tolist(), strict=True) if 0.0 < most < 0.5 / d]
    if rare:
        out.append(f"Held below half of an even share by {wish.max_epochs:g} epochs: {_listed(rare)}.")
    return tuple(out)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """Some names in a sentence."""
    shown = ", ".join(f"`{name}`" for name in names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
