"""Trees law: gradient-boosted regression trees, one ensemble per metric (RegMix).

    y_m(w) = mean over members of Σ trees of the member

Reference: regmix (§3.2: LightGBM, squared error, learning rate 0.01, 1,000 rounds, seed 42, 31 leaves of ≥ 20 rows).
What we do differently: RegMix's thousand trees are a bag of ten members of a hundred, at ten times the rate; each
member sees a bootstrap of the mixtures, so that the bag says how sure it is. On RegMix's table (512 runs, Pile-CC)
both have a cross-validated rank correlation of .98; with `learning_rate=0.01, n_rounds=1000` every member is a whole
RegMix model. Below 80 rows the least rows per leaf are lowered to n ÷ 8, or no split is possible. No early stopping:
the published notebook stops on its test rows. Replicates get no offsets: a repeat is a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar

import lightgbm
import numpy as np

from mixdesk.core import checks
from mixdesk.core.checks import put
from mixdesk.core.errors import InputError
from mixdesk.core.observations import Floats, Inputs, Ints, Observations, Prediction
from mixdesk.laws.rows import ordered, run_noise

# LightGBM's own default, which RegMix keeps; below FEW_MIXTURES a leaf of 20 rows leaves no split.
LEAF_ROWS, FEW_MIXTURES = 20, 80
# Fewer mixtures than this cannot fill four leaves of two.
LEAST_MIXTURES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Trees:
    """Settings of the trees law: `learning_rate` and `n_rounds` of each of `n_members` boosted ensembles; `seed`."""

    title: ClassVar[str] = "bag of gradient-boosted trees (RegMix's LightGBM)"
    reference: ClassVar[str] = "regmix"

    learning_rate: float = 0.1
    n_rounds: int = 100
    n_members: int = 10
    seed: int = 42

    def __post_init__(self) -> None:
        put(
            self,
            learning_rate=checks.finite("learning_rate", self.learning_rate, 0.0, 1.0, open_low=True),
            n_rounds=checks.count("n_rounds", self.n_rounds, 1),
            n_members=checks.count("n_members", self.n_members, 2),
            seed=checks.count("seed", self.seed),
        )

    def fit(self, obs: Observations) -> TreesFit:
        """Fit every metric on its measured rows.

        Raises:
            NotEnoughEvidence: fewer than 8 mixtures have a value of some metric.
        """
        obs = ordered(obs, LEAST_MIXTURES, "trees")
        n_groups = int(obs.group_n.max()) + 1
        rng = np.random.default_rng(self.seed)
        bags = [rng.integers(0, n_groups, n_groups) for _ in range(self.n_members)]
        n, m = obs.Y_nm.shape
        members: list[tuple[lightgbm.Booster, ...]] = []
        error_nm, n_out_nm = np.zeros((n, m)), np.zeros((n, m))
        for bag in bags:
            times_n = np.bincount(bag, minlength=n_groups)[obs.group_n]
            boosters = tuple(self._boost(obs.W_nd, y_n, times_n) for y_n in obs.Y_nm.T)
            is_out_nm = (times_n == 0)[:, None] & np.isfinite(obs.Y_nm)
            error_nm += np.where(is_out_nm, obs.Y_nm - _predict(boosters, obs.W_nd), 0.0)
            n_out_nm += is_out_nm
            members.append(boosters)
        # A row's error is that of the members that have not seen it: honest, where the fit's own residuals are not.
        residual_nm = error_nm / np.maximum(n_out_nm, 1.0)
        variance_m = (residual_nm**2).sum(0) / np.maximum((n_out_nm > 0.0).sum(0), 1)
        return TreesFit(
            domains=obs.domains,
            metrics=tuple(metric.name for metric in obs.metrics),
            members=tuple(members),
            noise_mm=run_noise(obs, residual_nm, variance_m),
        )

    def restore(self, data: dict[str, Any]) -> TreesFit:
        """The fit that `TreesFit.to_dict` wrote."""
        return TreesFit.from_dict(data)

    def _boost(self, W_nd: Floats, y_n: Floats, times_n: Ints) -> lightgbm.Booster:
        """One ensemble on the measured rows, each as often as the bag holds it (all of them if the bag missed all)."""
        is_there = np.isfinite(y_n)
        rows = np.repeat(np.arange(len(y_n)), np.where(is_there, times_n, 0))
        rows = rows if len(rows) else np.flatnonzero(is_there)
        is_few = len(rows) < FEW_MIXTURES
        settings = {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": max(2, len(rows) // 8) if is_few else LEAF_ROWS,
            "min_data_in_bin": 1 if is_few else 3,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(W_nd[rows], label=y_n[rows], params=settings)
        return lightgbm.train(settings, data, num_boost_round=self.n_rounds)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TreesFit:
    """Boosted ensembles per member and metric; `noise_mm` F with F Fᵀ the covariance of one run, out of bag."""

    domains: tuple[str, ...]
    metrics: tuple[str, ...]
    members: tuple[tuple[lightgbm.Booster, ...], ...]
    noise_mm: Floats

    def predict(self, inputs: Inputs, draws: int = 0, *, level: float = 0.9, sense: str = "mean") -> Prediction:
        """Predict q candidates.

        Draws are the mean plus normal mixtures of the members' deviations, so they have the members' covariance over
        candidates and metrics; intervals are normal with the same variance. `sense` "run" adds the out-of-bag noise.

        Raises:
            InputError: other domains than those of the fit, or a level or sense that does not exist.
        """
        checks.one_of("sense", sense, ("mean", "run"))
        checks.finite("level", level, 0.0, 1.0)
        W_qd = inputs.over(self.domains)
        values_bqm = np.array([_predict(boosters, W_qd) for boosters in self.members])
        mean_qm = values_bqm.mean(0)
        n_members = len(values_bqm)
        away_bqm = (values_bqm - mean_qm) / np.sqrt(n_members - 1)
        variance_qm = (away_bqm**2).sum(0)
        rng = np.random.default_rng(0)
        draws_kqm = None
        if draws:
            draws_kqm = mean_qm + np.einsum("kb,bqm->kqm", rng.standard_normal((draws, n_members)), away_bqm)
        if sense == "run":
            variance_qm = variance_qm + (self.noise_mm**2).sum(1)
            if draws_kqm is not None:
                draws_kqm = draws_kqm + rng.standard_normal(draws_kqm.shape) @ self.noise_mm.T
        reach_qm = NormalDist().inv_cdf((1.0 + min(level, 1.0 - 1e-9)) / 2.0) * np.sqrt(variance_qm)
        return Prediction(
            metrics=self.metrics,
            mean_qm=mean_qm,
            low_qm=mean_qm - reach_qm,
            high_qm=mean_qm + reach_qm,
            level=level,
            sense=sense,
            draws_kqm=draws_kqm,
        )

    def browser(self) -> dict[str, Any]:
        """Every tree as plain arrays: `members[member][metric]` is a list of trees whose values are added.

        A tree {f, t, l, r, v} starts at node 0: if w[f[node]] <= t[node] go to l[node], else to r[node]; a child
        c < 0 is the leaf with value v[−c − 1]. A tree without nodes has the value v[0]. The prediction is the mean
        over members; the members are the draws.
        """
        return {
            "form": "trees",
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "members": [[_plain_trees(booster) for booster in boosters] for boosters in self.members],
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: LightGBM's own model text per member and metric."""
        return {
            "domains": list(self.domains),
            "metrics": list(self.metrics),
            "members": [[booster.model_to_string() for booster in boosters] for boosters in self.members],
            "noise": self.noise_mm.tolist(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TreesFit:
        """The fit that `to_dict` wrote.

        Raises:
            InputError: a key is missing, or a model cannot be read.
        """
        try:
            fit = cls(
                domains=tuple(data["domains"]),
                metrics=tuple(data["metrics"]),
                members=tuple(tuple(lightgbm.Booster(model_str=text) for text in texts) for texts in data["members"]),
                noise_mm=np.array(data["noise"], dtype=np.float64),
            )
        except (KeyError, TypeError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise _damaged(repr(error)) from None
        m = len(fit.metrics)
        if len(fit.members) < 2 or fit.noise_mm.shape != (m, m) or any(len(boosters) != m for boosters in fit.members):
            raise _damaged(f"{len(fit.members)} members, noise {fit.noise_mm.shape}")
        return fit


def _damaged(found: str) -> InputError:
    return InputError(
        "this is not a fit of the trees law", value=found, bound="what its `to_dict` wrote", remedy="fit the law again"
    )


def _predict(boosters: tuple[lightgbm.Booster, ...], W_qd: Floats) -> Floats:
    """Values of one member, (q, m)."""
    return np.column_stack([booster.predict(W_qd, num_threads=1) for booster in boosters])


def _plain_trees(booster: lightgbm.Booster) -> list[dict[str, list[float]]]:
    """The trees of LightGBM's model text as arrays; leaf values to nine digits, thresholds to the last bit."""
    trees: list[dict[str, list[float]]] = []
    keys = {"split_feature": "f", "threshold": "t", "left_child": "l", "right_child": "r", "leaf_value": "v"}
    for line in booster.model_to_string().splitlines():
        name, _, text = line.partition("=")
        if name == "Tree":
            trees.append({key: [] for key in keys.values()})
        elif name in keys and trees:
            numbers = text.split()
            if name == "leaf_value":
                trees[-1]["v"] = [float(f"{float(number):.9g}") for number in numbers]
            else:
                trees[-1][keys[name]] = [float(x) if name == "threshold" else int(x) for x in numbers]
    return trees
