"""Studies with known laws, built from core types alone: what the desk's tests render."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mixdesk.core import registry
from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.export import Order
from mixdesk.core.mixture import Mixture, Schedule
from mixdesk.core.objective import Comparison, LeagueRow, Objective, OutOfFold, Verdict
from mixdesk.core.observations import Metric
from mixdesk.core.plan import External, Plug, RunPlan, TrialSpec
from mixdesk.core.recipe import Expected, Provenance, Recipe, Rival
from mixdesk.core.scale import Budget, Rung, Scale
from mixdesk.core.space import Constraints
from mixdesk.core.trial import Point, StudyView, Trial
from mixdesk.report.desk import Answer
from mixdesk.report.figures import region

EIGHT = (
    "books/public", "code/other", "code/python", "reference/wiki", "science/math", "science/papers", "web/edu",
    "web/general",
)  # fmt: skip
HOSTILE = (
    "<script>document.title='owned'</script>",
    "a\"b'c & <img src=x onerror=alert(1)>",
    "=HYPERLINK(1)",
    "web/" + "averyveryverylongname" * 4,
    "كتب/عربي",
    "שלום עולם",
    "</script><script>alert(2)//",
    "${x}`{{y}}`",
)
SHARES = np.array([0.03, 0.11, 0.05, 0.02, 0.025, 0.06, 0.095, 0.61])


class World:
    """value_m(w) = c_m + exp(a_m + t_m . w) at the proxy; the target lies lower by a constant factor."""

    def __init__(self, domains: tuple[str, ...], metrics: tuple[Metric, ...], seed: int, noise: float) -> None:
        rng = np.random.default_rng(seed)
        d, m = len(domains), len(metrics)
        self.domains, self.metrics, self.noise, self.rng = domains, metrics, noise, rng
        self.c = rng.uniform(0.45, 0.75, m)
        self.a = rng.uniform(-1.2, -0.8, m)
        self.t = rng.normal(0.0, 0.9, (m, d))
        for j in range(m):
            self.t[j, rng.permutation(d)[: max(1, d // 4)]] -= 2.2
        self.sign = np.array([metric.sign for metric in metrics])

    def value(self, w: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
        return self.c + scale * np.exp(self.a + self.t @ w)

    def browser(self, n_draws: int = 60) -> dict[str, Any]:
        theta = np.column_stack([self.c, self.t + self.a[:, None]])
        spread = np.column_stack([np.full(len(self.c), self.noise), (0.35 * self.noise + 1e-4) * 18 + 0.0 * self.t])
        return {
            "form": "exponential",
            "options": {"n_terms": 1},
            "domains": list(self.domains),
            "metrics": [metric.name for metric in self.metrics],
            "sign": [1.0] * len(self.c),
            "shift": [0.0] * len(self.c),
            "scale": [1.0] * len(self.c),
            "theta": theta.tolist(),
            "draws": {
                "shift": np.zeros((n_draws, len(self.c))).tolist(),
                "theta": (theta + spread * self.rng.normal(0.0, 1.0, (n_draws, *theta.shape))).tolist(),
            },
        }


def trial(world: World, w: Mixture, rung: Rung, replicate: int, *, points: int = 12, external: str = "") -> Trial:
    seen = np.array(w.over(world.domains))
    tokens = rung.scale.n_tokens or 0
    factor = 0.86 if rung.label == "target" else 1.0
    key = [replicate, *(int(1e6 * x) for x in seen)]
    luck = np.random.default_rng(replicate + 977).normal(0.0, 0.4 * world.noise, len(world.metrics))
    final = world.value(seen, scale=factor) + np.random.default_rng(key).normal(0.0, world.noise, luck.shape) + luck
    steps = np.unique(np.geomspace(max(tokens / 40, 1), max(tokens, 1), points).astype(int)) if tokens else [0]
    curve = [
        Point(n_tokens=int(n), metrics={m.name: float(f + 0.3 * ((tokens / n) ** 0.45 - 1.0)) if tokens else float(f)
              for m, f in zip(world.metrics, final, strict=True)})
        for n in steps
    ]  # fmt: skip
    plan = RunPlan(schedule=Schedule.constant(w), scale=rung.scale)
    spec = TrialSpec(
        plan=plan, replicate=replicate, external=External(source="sheet", run=external) if external else None
    )
    return Trial(spec=spec, state="done", rung=rung.label, points=tuple(curve), flops=rung.flops, seconds=4.5)


def corpus_of(domains: tuple[str, ...], shares: np.ndarray, total: int) -> Corpus:
    made = tuple(Domain(name=n, n_tokens=int(total * s), fingerprint=n) for n, s in zip(domains, shares, strict=True))
    return Corpus(name="tidewater", tokenizer=Tokenizer(name="bpe", vocab_size=2048, sha256="0"), domains=made)


def study(  # noqa: PLR0913
    domains: tuple[str, ...] = EIGHT,
    *,
    metrics: tuple[Metric, ...] | None = None,
    objective: Objective | None = None,
    n: int = 32,
    n_planned: int | None = None,
    counts: bool = True,
    block: bool = True,
    noise: float = 0.003,
    seed: int = 20,
) -> tuple[StudyView, World]:
    """A study's proxies: n mixtures around the natural one and a crossed block of 3 × 3 repeats."""
    metrics = metrics or tuple(Metric(name=f"bpb/set/{name}") for name in ("code", "science", "text"))
    world = World(domains, metrics, seed, noise)
    rng = np.random.default_rng(seed + 1)
    shares = SHARES if len(domains) == 8 else rng.dirichlet(np.full(len(domains), 1.2)) + 0.004
    shares = shares / shares.sum()
    corpus = corpus_of(domains, shares, 10_000_000) if counts else None
    natural = Mixture.natural(corpus) if corpus else None
    proxy = Rung(label="proxy", scale=Scale(n_tokens=1_000_000, n_params=200_000), flops=2.4e12)
    target = Rung(label="target", scale=Scale(n_tokens=4_000_000, n_params=200_000), flops=9.6e12)
    rungs = (proxy, target) if counts else (Rung(label="imported"),)
    rows = [shares, np.full(len(domains), 1 / len(domains))]
    rows += [rng.dirichlet(np.maximum(0.6 * shares * len(domains), 0.35) * 1.6) for _ in range(max(n - 2, 0))]
    mixtures = [Mixture.of(dict(zip(domains, row, strict=True)), normalise=True) for row in rows[:n]]
    if natural is not None and mixtures:
        mixtures[0] = natural
    trials = [trial(world, w, rungs[0], 0, external="" if counts else f"run-{i}") for i, w in enumerate(mixtures)]
    if block:
        trials += [trial(world, w, rungs[0], r) for r in (1, 2) for w in mixtures[:3]]
    if n_planned and n_planned > len(trials):
        waiting = Mixture.uniform(domains[:2])
        plan = RunPlan(schedule=Schedule.constant(waiting), scale=proxy.scale)
        trials += [
            Trial(spec=TrialSpec(plan=plan, replicate=50 + i), state="running" if i < 2 else "waiting", rung="proxy")
            for i in range(n_planned - len(trials))
        ]
    view = StudyView(
        name="tidewater",
        domains=tuple(sorted(domains)),
        objective=objective or Objective(terms={metric.name: 1.0 for metric in metrics}),
        constraints=Constraints(max_epochs=4.0) if counts else Constraints(),
        rungs=rungs,
        metrics=metrics,
        trials=tuple(trials),
        seed=7,
        corpus=corpus,
        natural=natural,
        budget=Budget(n_trials=n_planned or len(trials)),
        record_sha256="9c4177ae02bd" * 5 + "0000",
    )
    return view, world


def optimum(view: StudyView, world: World, objective: Objective) -> Mixture:
    rng = np.random.default_rng(3)
    base = np.array((view.natural or Mixture.uniform(view.domains)).over(world.domains))
    cap = np.ones(len(base))
    if view.corpus is not None:
        unique = {domain.name: domain.n_tokens or 0 for domain in view.corpus.domains}
        cap = 3.9 * np.array([unique[n] for n in world.domains]) / (view.rungs[-1].scale.n_tokens or 1)
    by_value = sorted(
        (t.spec.mixture.over(world.domains) for t in view.at() if t.final),
        key=lambda w: float(objective.value(world.value(np.array(w)), world.metrics)),
    )
    tried = np.vstack([base, rng.dirichlet(np.full(8, 0.8), 4000) @ np.array(by_value[:8])])
    tried = np.array([w for w in tried if (w <= cap).all()])
    score = [float(objective.value(world.value(w), world.metrics)) for w in tried]
    return Mixture.of(dict(zip(world.domains, tried[int(np.argmin(score))], strict=True)), normalise=True)


def _predicted(
    view: StudyView, world: World, objective: Objective, browser: dict[str, Any], pair: tuple[Mixture, Rival]
) -> Comparison:
    values = []
    for theta in map(np.array, [*browser["draws"]["theta"], browser["theta"]]):
        at = [theta[:, 0] + np.exp(theta[:, 1:] @ np.array(m.over(world.domains))) for m in (pair[0], pair[1].mixture)]
        one, two = (float(objective.value(y, world.metrics)) for y in at)
        values.append(one - two)
    low, high = np.quantile(values[:-1], [0.05, 0.95])
    return Comparison(
        plan="recipe", rival=pair[1].name, metric="objective", difference=values[-1], low=float(low), high=float(high),
        level=0.9, n_pairs=len(values) - 1, basis="predicted", rung=view.rungs[0].label,
        verdict="better" if high < 0 else "worse" if low > 0 else "no different",
    )  # fmt: skip


def _trained(
    view: StudyView, objective: Objective, mixture: Mixture, rival: Rival, metrics: tuple[Metric, ...]
) -> Comparison:
    def of(wanted: Mixture) -> dict[int, float]:
        rows = [t for t in view.at("target") if t.spec.mixture == wanted]
        return {
            t.spec.replicate: float(objective.value(np.array([t.final[m.name] for m in metrics]), metrics))
            for t in rows
        }

    mine, theirs = of(mixture), of(rival.mixture)
    gaps = np.array([mine[r] - theirs[r] for r in sorted(mine)])
    half = 2.776 * gaps.std(ddof=1) / np.sqrt(len(gaps))
    low, high = gaps.mean() - half, gaps.mean() + half
    return Comparison(
        plan="recipe", rival=rival.name, metric="objective", difference=float(gaps.mean()), low=float(low),
        high=float(high), level=0.95, n_pairs=len(gaps), basis="trained", rung="target",
        verdict="better" if high < 0 else "worse" if low > 0 else "no different",
    )  # fmt: skip


VERDICTS = {
    "confirmed": Verdict(
        name="better", state="confirmed", headline="Train on this mixture. It beat natural in 5 of 5 fresh trials.",
        reason="It moves text from the general web to code, papers and educational pages, and repeats nothing more "
        "than 4 epochs. The fresh trials were paired by replicate at four times the compute of the proxies.",
        remedy="Train it, or export it.", recommended="recipe",
    ),
    "predicted": Verdict(
        name="better", state="predicted", headline="This mixture should beat natural. No fresh trial has tested it.",
        reason="The law predicts a gain whose interval excludes zero, inside the region of the trials.",
        remedy="Run `mixdesk recipe confirm tidewater` to train it beside its rivals.", recommended="recipe",
    ),
    "no different": Verdict(
        name="no different", state="confirmed", headline="Train on uniform. Searching further found nothing better.",
        reason="Over five fresh pairs the recipe and uniform cannot be told apart.",
        remedy="Keep uniform; more replicates would see a smaller gain.", recommended="uniform",
    ),
    "too weak": Verdict(
        name="too weak", state="no evidence", headline="No recipe yet. The gain cannot be told from noise.",
        reason="Out of fold the law ranks the trials no better than chance: rank correlation 0.11, 95 % interval "
        "−0.24 to +0.44.",
        remedy="Run 24 more trials, 6 of them repeats: `mixdesk study run tidewater --trials 24`. If you must train "
        "today, natural is the safest of the rivals.", recommended="natural",
    ),
}  # fmt: skip


def answer(
    view: StudyView, world: World, kind: str = "confirmed", objective: Objective | None = None
) -> tuple[StudyView, Answer]:
    """The view with fresh trials where the kind has them, and the answer of that kind."""
    objective = objective or view.objective
    best = optimum(view, world, objective)
    by_value = sorted(
        view.at(),
        key=lambda t: float(
            objective.value(np.array([t.final.get(m.name, np.inf) for m in world.metrics]), world.metrics)
        ),
    )
    rivals = [Rival(name="best seen", mixture=by_value[0].spec.mixture, trial=by_value[0].id)]
    if view.natural is not None:
        rivals.append(Rival(name="natural", mixture=view.natural))
    rivals.append(Rival(name="uniform", mixture=Mixture.uniform(view.domains)))
    has_fresh = VERDICTS[kind].state == "confirmed" and len(view.rungs) > 1
    if has_fresh:
        if kind == "no different":
            uniform = np.array(rivals[-1].mixture.over(view.domains))
            near = 0.97 * uniform + 0.03 * np.array(best.over(view.domains))
            best = Mixture.of(dict(zip(view.domains, near, strict=True)), normalise=True)
        fresh = [
            trial(world, m, view.rungs[-1], r) for r in range(1000, 1005) for m in (best, *(x.mixture for x in rivals))
        ]
        view = _with(view, view.trials + tuple(fresh))
    browser = world.browser()
    comparisons = [_predicted(view, world, objective, browser, (best, rival)) for rival in rivals]
    if has_fresh:
        comparisons += [_trained(view, objective, best, rival, world.metrics) for rival in rivals]
    verdict, reference = VERDICTS[kind], "natural" if view.natural is not None else "uniform"
    rows, scores = _evidence(view, world, objective, weak=kind == "too weak")
    target = view.rungs[-1]
    where = region(view)
    assert where is not None
    leverage = float(where.leverage(np.array([best.over(view.domains)]))[0])
    mean = float(objective.value(world.value(np.array(best.over(world.domains))), world.metrics))
    recipe = Recipe(
        plan=RunPlan(schedule=Schedule.constant(best), scale=target.scale),
        objective=objective,
        rivals=tuple(rivals),
        comparisons=tuple(comparisons),
        verdict=replace(verdict, headline=verdict.headline.replace("natural", reference)),
        provenance=Provenance(
            study=view.name,
            record_sha256=view.record_sha256,
            n_trials=len(view.at()),
            n_mixtures=32,
            law="exponential",
            strategy="exact",
            seed=7,
            version="0.1.0",
            noise=view.noise(),
            corpus=view.corpus.fingerprint if view.corpus else None,
            scores=scores,
            references=("ye2024mixinglaws", "olmix"),
        ),
        expected=(
            Expected(metric="objective", mean=mean, low=mean - 0.004, high=mean + 0.004, rung=view.rungs[0].label),
        ),
        epochs=best.epochs(view.corpus, target.scale) if view.corpus else (),
        spread={name: 0.012 for name in view.domains},
        region="inside" if leverage <= where.inner else "edge" if leverage <= where.limit else "outside",
        leverage=leverage / where.limit,
        is_in_hull=False,
        warnings=() if view.noise() else ("noise was not measured: no mixture was trained twice",),
    )
    return view, Answer(recipe=recipe, browser=browser, rows=rows, scores=scores)


def _with(view: StudyView, trials: tuple[Trial, ...]) -> StudyView:
    return replace(view, trials=trials)


def _evidence(
    view: StudyView, world: World, objective: Objective, *, weak: bool
) -> tuple[tuple[OutOfFold, ...], tuple[LeagueRow, ...]]:
    rng = np.random.default_rng(11)
    rows = []
    for one in (t for t in view.at() if t.final):
        truth = world.value(np.array(one.spec.mixture.over(world.domains)))
        got = np.array([one.final[m.name] for m in world.metrics])
        for name, m, v in [
            ("objective", float(objective.value(truth, world.metrics)), float(objective.value(got, world.metrics))),
            *((m.name, float(a), float(b)) for m, a, b in zip(world.metrics, truth, got, strict=True)),
        ]:
            spread = 0.09 if weak else 0.004 + 0.6 * world.noise
            mean = float(rng.normal(1.0 if weak else m, spread))
            half = 1.645 * (spread + world.noise)
            rows.append(OutOfFold(trial=one.id, metric=name, measured=v, mean=mean, low=mean - half, high=mean + half))
    n = len({t.spec.mixture for t in view.at() if t.final})
    table = {
        "exponential": (
            0.0049,
            0.11 if weak else 0.97,
            -0.24 if weak else 0.93,
            0.44 if weak else 0.99,
            0.0006,
            0.92,
            0.019,
        ),
        "trees": (0.0126, 0.86, 0.72, 0.94, 0.0064, 0.88, 0.045),
    }
    names = ("rmse", "spearman", "spearman:low", "spearman:high", "regret@1", "coverage", "width")
    scores = tuple(
        LeagueRow(law=law, metric="objective", measure=measure, value=value, n=n)
        for law, values in table.items()
        for measure, value in zip(names, values, strict=True)
    )
    return tuple(rows), scores


def confirmed() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study()
    view, first = answer(view, world)
    view, second = answer(view, world, "no different", Objective(terms={world.metrics[2].name: 1.0}))
    return view, (first, second)


def no_different() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study()
    view, one = answer(view, world, "no different")
    return view, (one,)


def predicted() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study()
    view, one = answer(view, world, "predicted")
    return view, (one,)


def too_weak() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study(noise=0.05)
    view, one = answer(view, world, "too weak")
    return view, (one,)


def imported() -> tuple[StudyView, tuple[Answer, ...]]:
    metrics = (
        Metric(name="accuracy/arc", unit="accuracy", better="higher"),
        Metric(name="accuracy/piqa", unit="accuracy", better="higher"),
    )
    view, world = study(metrics=metrics, counts=False, block=False)
    view, one = answer(view, world, "predicted")
    return view, (one,)


LONG = "web/" + "averyveryverylongname" * 4


def no_unit() -> tuple[StudyView, tuple[Answer, ...]]:
    metrics = (Metric(name=LONG, unit="", better="higher"),)
    view, world = study((LONG, *EIGHT[1:]), metrics=metrics, counts=False)
    view, one = answer(view, world, "predicted")
    return view, (one,)


def one_trial() -> tuple[StudyView, tuple[Answer, ...]]:
    view, _ = study(metrics=(Metric(name="m1", unit=""),), n=1, block=False)
    return view, ()


def running() -> tuple[StudyView, tuple[Answer, ...]]:
    view, _ = study(n=17, n_planned=40, block=False)
    return view, ()


def not_started() -> tuple[StudyView, tuple[Answer, ...]]:
    view, _ = study(n=0, n_planned=40, block=False)
    return view, ()


def hostile() -> tuple[StudyView, tuple[Answer, ...]]:
    metrics = (Metric(name="<b>bold</b> \" ' </script>"), Metric(name="עברית"))
    view, world = study(HOSTILE, metrics=metrics)
    view = replace(view, name="</title><script>alert(3)</script>")
    view, one = answer(view, world)
    return view, (one,)


def twenty_five() -> tuple[StudyView, tuple[Answer, ...]]:
    names = tuple(f"{family}/{leaf}" for family in ("web", "code", "science", "law", "forum") for leaf in "abcde")
    metrics = tuple(Metric(name=f"bpb/set/task-{i}") for i in range(13))
    view, world = study(names, metrics=metrics, n=60)
    view, one = answer(view, world)
    return view, (one,)


def one_metric() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study(metrics=(Metric(name="bpb/set/manual"),))
    view, one = answer(view, world)
    return view, (one,)


def two_domains() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study(("alpha", "beta"), metrics=(Metric(name="bpb/set/manual"),), n=12)
    view, one = answer(view, world, "no different")
    return view, (one,)


VARIANTS = {
    "confirmed": confirmed, "predicted": predicted, "no_different": no_different, "too_weak": too_weak,
    "imported": imported, "running": running, "not_started": not_started, "hostile": hostile,
    "twenty_five": twenty_five, "one_metric": one_metric, "two_domains": two_domains,
    "no_unit": no_unit, "one_trial": one_trial,
}  # fmt: skip


def three_domains() -> tuple[StudyView, tuple[Answer, ...]]:
    view, world = study(("code", "text", "web"), n=14)
    view, one = answer(view, world)
    return view, (one,)


def many() -> tuple[StudyView, tuple[Answer, ...]]:
    """200 domains in eight families, and enough trials that their rows are packed and their ticks a strip."""
    families = ("books", "code", "law", "news", "reference", "science", "talk", "web")
    view, world = study(tuple(f"{families[i % 8]}/domain-{i:03d}" for i in range(200)), n=420, block=False)
    view, one = answer(view, world, "predicted")
    return view, (one,)


def offered() -> tuple[StudyView, tuple[Answer, ...]]:
    """Hostile names, and a trainer's file to copy."""
    view, answers = hostile()
    plan = RunPlan(schedule=Schedule.constant(Mixture.uniform(view.domains)))
    weights = registry.make("exporters", Plug(name="weights")).snippet(Order(plan=plan, domains=()))
    return view, (replace(answers[0], snippets={"weights": weights}), *answers[1:])


MORE = {"three_domains": three_domains, "many": many, "offered": offered}
