"""Bayesian optimisation of the mixture, over the sizes of a study and by cost (ADMIRE).

A Gaussian process over (weights^0.3, rung) is fitted to the objective of all finished runs. Of many allowed mixtures at
every rung, the one whose run is worth most per FLOP for the best value at the target is asked next; `belief.py` says
what a run is worth (noisy expected improvement, max-value entropy, knowledge gradient). A batch is chosen one by one,
each as if those before had come out at their means. The recommendation is the lowest posterior mean at the target.

What we do differently: ADMIRE's process has a kernel that is linear and truncated in the fidelity; here rungs are tasks
with means, spreads and a correlation of their own, which needs no common scale of losses. Its entropy search draws one
y* over the points seen and recommends by the acquisition; here it draws many over the candidates, and the mean
recommends. It starts from one random run, here from a design at the cheapest rung, some of which is run at the others
too. Runs that are in the record already, imported ones too, count for that start.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from botorch.fit import fit_gpytorch_mll
from botorch.models.gp_regression import SingleTaskGP
from botorch.models.multitask import MultiTaskGP
from botorch.models.utils.priors import BetaPrior
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor, from_numpy, manual_seed, no_grad, random

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import NotEnoughEvidence
from mixdesk.core.observations import Floats, Ints
from mixdesk.core.plan import Proposal, Recommendation
from mixdesk.core.protocols import LawFit
from mixdesk.core.space import Space
from mixdesk.core.trial import StudyView
from mixdesk.search.belief import Belief, most_worth
from mixdesk.search.design import ROOT, Design, base_mixture
from mixdesk.search.opening import near, opening, wide
from mixdesk.search.terrain import Terrain, natural_weights, target_space

ACQUISITIONS = ("auto", "noisy_ei", "entropy", "knowledge")
# Candidates of an ask, and of each of the rounds in which a recommendation is refined.
N_CANDIDATES, N_REFINED, N_ROUNDS = 512, 1024, 5
# Best mixtures around which half of the candidates lie, and how far off at most in the first round of refinement.
N_BEST, REACH = 8, 0.3
# Hyper-parameters are learned from at most so many runs (the cost is cubic); the posterior uses every run.
N_LEARN = 160
# Steps of that search at most. Raw variance of a rung's own part at its start: next to nothing.
N_STEPS, FULL = 120, -3.0
# Beta prior of the correlation of two rungs: recorded sizes agree by .9 and more, and a dozen pairs outweigh it.
AGREE = (9.0, 1.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bayes:
    """Ask where a run is worth most per FLOP for the best value at the target.

    Args:
        acquisition: noisy_ei, entropy or knowledge; auto: entropy where the study has several rungs, else noisy_ei.
        n_start: design mixtures at the cheapest rung before the process is asked; default as in `opening`.
        batch: trials asked at once.
    """

    title: ClassVar[str] = "Bayesian optimisation over mixtures and sizes, by cost"
    reference: ClassVar[str] = "admire"
    eager: ClassVar[bool] = False

    acquisition: str = "auto"
    n_start: int | None = None
    batch: int = 4

    def __post_init__(self) -> None:
        checks.one_of("acquisition", self.acquisition, ACQUISITIONS)
        put(
            self,
            n_start=None if self.n_start is None else checks.count("n_start", self.n_start, 2),
            batch=checks.count("batch", self.batch, 1),
        )

    def ask(self, view: StudyView, n: int) -> list[Proposal]:
        """The next ≤ min(n, batch) proposals.

        Raises:
            Infeasible: no mixture satisfies the constraints.
        """
        n = n if view.trials_left is None else min(n, view.trials_left)
        first = opening(view, self.n_start, view.rungs)
        if first or n < 1:
            return view.affordable(first[:n])
        runs = Runs.of(view)
        if runs is None:  # nothing came of the start: go on with the design
            return view.affordable(Design(n_replicates=1).ask(view, n))
        return view.affordable(
            self._choose(view, runs, min(n, self.batch), np.random.default_rng((view.seed, len(view.trials))))
        )

    def recommend(self, view: StudyView, law: LawFit | None) -> Recommendation:
        """The mixture with the lowest posterior mean at the target; a law is asked only about guards.

        Raises:
            NotEnoughEvidence: fewer than two finished mixtures.
            Infeasible: no mixture satisfies the constraints.
        """
        space, runs = target_space(view), Runs.of(view)
        if runs is None:
            raise NotEnoughEvidence(
                "too few finished trials for a Gaussian process",
                value=f"{sum(bool(trial.final) for trial in view.trials)} finished trials",
                bound="at least two mixtures",
                remedy="run more trials",
            )
        surrogate = Surrogate.fit(runs)
        rng = np.random.default_rng(view.seed)
        guarded = Terrain.of(view, law) if law is not None and view.objective.guards else None
        rows = np.vstack([runs.inside(space), candidates(view, space, runs, N_REFINED, rng)])
        best = _lowest(surrogate, guarded, rows)
        for i in range(1, 1 if space.pool_qd is not None else N_ROUNDS):
            best = _lowest(surrogate, guarded, np.vstack([best, near(best, rows, N_REFINED, REACH**i, rng)]))
        mean, sd = surrogate.moments(best[:1])
        shared = "" if runs.n_rungs == 1 else f"; `{view.rungs[0].label}` is correlated by {surrogate.correlation:.2f}"
        mixture = space.mixture(best[0])
        return Recommendation(
            mixture=mixture,
            binding=space.binding(mixture),
            why=f"lowest mean of a Gaussian process on {len(runs.y_n)} runs, {mean[0]:.4g} ± {sd[0]:.2g}{shared}",
        )

    def _choose(self, view: StudyView, runs: Runs, n: int, rng: np.random.Generator) -> list[Proposal]:
        """N proposals by worth per price, each as if those before had come out at their means."""
        space, rungs = target_space(view), [view.rungs[r] for r in runs.tasks]
        kind = self.acquisition
        if kind == "auto":
            kind = "entropy" if len(rungs) > 1 else "noisy_ei"
        seen = runs.inside(space)
        rows = np.vstack([seen, candidates(view, space, runs, N_CANDIDATES, rng)])
        belief = Surrogate.fit(runs).belief(rows, len(seen), rng)
        mixtures, price_r = [space.mixture(row) for row in rows], runs.price_r[list(runs.tasks)]
        out = []
        for pick in most_worth(view, belief, kind, mixtures, rungs, price_r, n):
            size = f" at {price_r[pick.r] / price_r[-1]:.3g} of the target's price" if len(rungs) > 1 else ""
            why = f"{kind.replace('_', ' ')} per cost is largest here{size}: {pick.expected}"
            out.append(Proposal(mixture=mixtures[pick.q], rung=rungs[pick.r].label, why=why))
        return out


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """Finished runs of all rungs: weights (n, d), objective (n,), rung (n,), and each rung's price (r,)."""

    W_nd: Floats
    y_n: Floats
    rung_n: Ints
    price_r: Floats

    @classmethod
    def of(cls, view: StudyView) -> Runs | None:
        """The runs of a view whose objective was measured; None with fewer than two mixtures.

        A rung without a price costs what its size says, tokens × parameters, and 1 where that is unknown.
        """
        rows, values, rungs = [], [], []
        place = {rung.label: r for r, rung in enumerate(view.rungs)}
        for trial in view.trials:
            if not trial.final or trial.rung not in place:
                continue
            y_m = np.array([trial.final.get(metric.name, np.nan) for metric in view.metrics])
            value = float(view.objective.value(y_m[None], view.metrics)[0])
            if np.isfinite(value):
                rows.append(trial.spec.mixture.over(view.domains))
                values.append(value)
                rungs.append(place[trial.rung])
        if len({tuple(row) for row in rows}) < 2:
            return None
        sizes = [(rung.scale.n_tokens or 1) * (rung.scale.n_params or 1) for rung in view.rungs]
        price_r = np.array([rung.flops or float(size) for rung, size in zip(view.rungs, sizes, strict=True)])
        return cls(W_nd=np.array(rows), y_n=np.array(values), rung_n=np.array(rungs), price_r=price_r)

    @property
    def n_rungs(self) -> int:
        """Number of rungs of the study."""
        return len(self.price_r)

    @property
    def tasks(self) -> tuple[int, ...]:
        """Rungs that have a run; the last is what the values are about."""
        return tuple(sorted(set(self.rung_n.tolist())))

    def inside(self, space: Space) -> Floats:
        """The distinct mixtures that are allowed, those best at their rung first, (q, d)."""
        level_n = np.array([self.y_n[self.rung_n == r].mean() for r in self.rung_n])
        rows = self.W_nd[np.argsort(self.y_n - level_n, kind="stable")]
        first = np.sort(np.unique(np.round(rows, 12), axis=0, return_index=True)[1])
        return np.asarray(rows[first][space.contains(rows[first])])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Surrogate:
    """A Gaussian process on the runs, in BoTorch, one task per rung; values are (y − centre) / unit inside it."""

    model: SingleTaskGP | MultiTaskGP
    tasks: tuple[int, ...]
    n_domains: int
    centre: float
    unit: float

    @classmethod
    def fit(cls, runs: Runs) -> Surrogate:
        """Learn hyper-parameters, by maximum a posteriori, from the first and last runs; then hold all runs."""
        centre, unit = float(runs.y_n.mean()), float(runs.y_n.std()) or 1.0
        X, y = _columns(runs.W_nd, runs.rung_n, runs.tasks), from_numpy((runs.y_n - centre) / unit)[:, None]
        n = len(y)
        part = np.unique([*range(min(n, N_LEARN // 2)), *range(max(n - N_LEARN // 2, 0), n)])
        part = part if set(runs.rung_n[part].tolist()) == set(runs.tasks) else np.arange(n)
        with random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of BoTorch's, about scales and tries that its fit mends
            manual_seed(0)
            model = _model(X[part], y[part], runs.tasks)
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": N_STEPS}},
            )
        model.set_train_data(X, y[:, 0], strict=False)  # type: ignore[operator]
        model.eval()
        return cls(model=model, tasks=runs.tasks, n_domains=runs.W_nd.shape[1], centre=centre, unit=unit)

    @property
    def correlation(self) -> float:
        """Correlation of one mixture's values at the first rung and at the target, as learned before any run."""
        if len(self.tasks) == 1:
            return 1.0
        both = _columns(
            np.full((2, self.n_domains), 1.0 / self.n_domains), np.array([self.tasks[0], self.tasks[-1]]), self.tasks
        )
        with no_grad():
            prior = self.model.covar_module(both).to_dense().numpy()
        return float(prior[0, 1] / np.sqrt(prior[0, 0] * prior[1, 1]))

    def moments(self, W_qd: Floats) -> tuple[Floats, Floats]:
        """Mean and sd of the true objective at the target, (q,) each."""
        X = _columns(W_qd, np.full(len(W_qd), self.tasks[-1]), self.tasks)
        with no_grad():
            found = self.model(X)
            mean, sd = found.mean.numpy(), found.variance.clamp_min(0.0).sqrt().numpy()
        return self.centre + self.unit * mean, self.unit * sd

    def belief(self, W_qd: Floats, n_seen: int, rng: np.random.Generator) -> Belief:
        """The joint posterior over mixtures, (q, d), at every task; the first `n_seen` have been run."""
        n_tasks = len(self.tasks)
        rung = np.tile(self.tasks, len(W_qd))
        X = _columns(np.repeat(W_qd, n_tasks, axis=0), rung, self.tasks)
        with no_grad():
            found = self.model(X)
            mean, cov = found.mean.numpy(), found.covariance_matrix.numpy()
            noise_r = np.resize(self.model.likelihood.noise.numpy(), n_tasks)
        return Belief(
            self.centre + self.unit * mean.reshape(-1, n_tasks),
            self.unit**2 * cov,
            self.unit**2 * noise_r,
            n_tasks - 1,
            n_seen,
            rng,
        )


def _model(X: Tensor, y: Tensor, tasks: tuple[int, ...]) -> SingleTaskGP | MultiTaskGP:
    if len(tasks) == 1:
        return SingleTaskGP(X, y, outcome_transform=None)
    model = MultiTaskGP(
        X, y, task_feature=-1, rank=1, all_tasks=list(tasks), outcome_transform=None, task_covar_prior=BetaPrior(*AGREE)
    )
    # BoTorch starts from random agreement; from full agreement the search needs a third of the steps.
    agreement = model.covar_module.kernels[1]
    agreement.raw_var.data.fill_(FULL)
    agreement.raw_covar_factor.data.fill_(1.0)
    return model


def _columns(W_nd: Floats, rung_n: Ints, tasks: tuple[int, ...]) -> Tensor:
    """Inputs of the process: rooted weights, and the rung where there are several."""
    rooted = np.clip(W_nd, 0.0, 1.0) ** ROOT
    return from_numpy(rooted if len(tasks) == 1 else np.column_stack([rooted, rung_n.astype(np.float64)]))


def _lowest(surrogate: Surrogate, guarded: Terrain | None, rows: Floats) -> Floats:
    """The best N_BEST rows by posterior mean that keep the guards, best first."""
    kept = rows if guarded is None else guarded.heeded(rows)[0]
    if guarded is not None and not len(kept):
        raise guarded.clash(rows)
    return np.asarray(kept[np.argsort(surrogate.moments(kept)[0], kind="stable")[:N_BEST]])


def candidates(view: StudyView, space: Space, runs: Runs, n: int, rng: np.random.Generator) -> Floats:
    """N allowed mixtures, (n, d): half all over the space, half near the best seen; of a pool, all of it."""
    base = base_mixture(None if view.natural is None else natural_weights(view), len(view.domains))
    if space.pool_qd is not None:
        return wide(space, base, n, rng)
    far = wide(space, base, n // 2, rng)
    best = runs.inside(space)[:N_BEST]
    return np.vstack([far, near(best if len(best) else far, far, n - len(far), 1.0, rng)])
