"""Where a mixture may lie: constraints as a person writes them, and the space they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.scale import Scale

# Slack of a bound: weights come out of float solvers, and 1e-9 of a run is less than a sequence.
TOLERANCE = 1e-9


@core_type
class Constraints:
    """Limits on a mixture: `lower`, `upper` domain pattern → weight of each domain it matches; `max_epochs` at the
    target run, for every domain whose tokens are known.
    """

    lower: Pairs = ()
    upper: Pairs = ()
    max_epochs: float | None = None

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            bounds = checks.pairs(name, getattr(self, name))
            for pattern, value in bounds:
                checks.finite(f"{name}[{pattern}]", value, 0.0, 1.0)
            put(self, **{name: bounds})
        if self.max_epochs is not None:
            put(self, max_epochs=checks.finite("max_epochs", self.max_epochs, 0.0, open_low=True))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Space:
    """The mixtures that are allowed: the simplex over `domains` cut by `lower_d` ≤ w ≤ `upper_d`.

    `why_lower`, `why_upper` name the constraint behind each bound (empty: the simplex itself).
    """

    domains: tuple[str, ...]
    lower_d: Floats
    upper_d: Floats
    why_lower: tuple[str, ...]
    why_upper: tuple[str, ...]

    @classmethod
    def build(
        cls, constraints: Constraints, domains: Sequence[str], corpus: Corpus | None = None, scale: Scale | None = None
    ) -> Space:
        """The space of the constraints; epoch caps are w ≤ max_epochs × unique tokens ÷ run tokens at `scale`.

        Raises:
            InputError: a pattern matches no domain, or epochs cannot be capped for want of counts.
            Infeasible: no mixture satisfies all; names the clash and the smallest relaxation.
        """
        names = tuple(domains)
        lower, upper = np.zeros(len(names)), np.ones(len(names))
        why_lower, why_upper = [""] * len(names), [""] * len(names)
        for side, bounds in (("lower", constraints.lower), ("upper", constraints.upper)):
            for pattern, value in bounds:
                hits = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
                if not hits:
                    raise InputError(
                        f"a bound names an unknown domain `{pattern}`",
                        value=pattern,
                        bound="one of " + ", ".join(names),
                        remedy=checks.nearest(pattern, names),
                    )
                for i in hits:
                    if side == "lower" and value > lower[i]:
                        lower[i] = value
                        why_lower[i] = f"{names[i]} ≥ {value:g}"
                    if side == "upper" and value < upper[i]:
                        upper[i] = value
                        why_upper[i] = f"{names[i]} ≤ {value:g}"
        tokens = {d.name: d.n_tokens for d in corpus.domains if d.n_tokens} if corpus is not None else {}
        run = scale.n_tokens if scale is not None else None
        if constraints.max_epochs is not None:
            if run is None or not tokens:
                raise InputError(
                    "`max_epochs` cannot be applied",
                    value=constraints.max_epochs,
                    bound="known tokens per domain and a target run",
                    remedy="give token counts, or drop max_epochs",
                )
            for i, name in enumerate(names):
                cap = constraints.max_epochs * tokens[name] / run if name in tokens else 1.0
                if cap < upper[i]:
                    upper[i] = cap
                    why_upper[i] = f"{name} ≤ {constraints.max_epochs:g} epochs ({cap:.3g} of the run)"
        space = cls(domains=names, lower_d=lower, upper_d=upper, why_lower=tuple(why_lower), why_upper=tuple(why_upper))
        space._check(constraints, tokens, run)
        return space

    def _check(self, constraints: Constraints, tokens: dict[str, int], run: int | None) -> None:
        for i, name in enumerate(self.domains):
            if self.lower_d[i] > self.upper_d[i] + TOLERANCE:
                need = ""
                if self.why_upper[i].endswith("of the run)") and run is not None and name in tokens:
                    need = f"raise max_epochs to {_up(self.lower_d[i] * run / tokens[name])} or "
                raise Infeasible(
                    f"`{name}` may be at most {self.upper_d[i]:.3g} ({self.why_upper[i]}) but must be more",
                    value=f"{self.lower_d[i]:g}",
                    bound=f"≤ {self.upper_d[i]:.3g}",
                    remedy=f"{need}lower the bound",
                )
        if self.lower_d.sum() > 1.0 + TOLERANCE:
            raise Infeasible(
                "the lower bounds take more than the whole run",
                value=f"sum {self.lower_d.sum():.4g} of " + ", ".join(why for why in self.why_lower if why),
                bound="≤ 1",
                remedy=f"lower them by {_up(self.lower_d.sum() - 1.0)} in all",
            )
        total = float(self.upper_d.sum())
        if total < 1.0 - TOLERANCE:
            remedy = f"raise upper bounds by {_up(1.0 - total)} in all"
            if constraints.max_epochs is not None and run is not None:
                fixed = Constraints(lower=constraints.lower, upper=constraints.upper)
                loose = Space.build(fixed, self.domains).upper_d
                least = _smallest_epochs(loose, np.array([float(tokens.get(n, np.inf)) for n in self.domains]) / run)
                remedy = (
                    f"raise max_epochs to {_up(least)}, shorten the run or add text" if np.isfinite(least) else remedy
                )
            raise Infeasible(
                "the upper bounds leave part of the run without data",
                value=f"sum {total:.4g} of " + ", ".join(why for why in self.why_upper if why),
                bound="≥ 1",
                remedy=remedy,
            )

    def contains(self, W_qd: Floats, tolerance: float = 1e-6) -> NDArray[np.bool_]:
        """Which rows satisfy every bound, (q,)."""
        W_qd = np.atleast_2d(W_qd)
        ok = (W_qd >= self.lower_d - tolerance) & (W_qd <= self.upper_d + tolerance)
        return np.asarray(ok.all(axis=1))

    def project(self, W_qd: Floats) -> Floats:
        """The nearest allowed mixture of each row in Euclidean distance, (q, d): clip(w + shift) with Σ = 1."""
        W_qd = np.atleast_2d(np.asarray(W_qd, dtype=np.float64))
        low, high = -1.0 - W_qd.max(1), 1.0 - W_qd.min(1)
        for _ in range(80):
            shift = (low + high) / 2.0
            total = np.clip(W_qd + shift[:, None], self.lower_d, self.upper_d).sum(1)
            low, high = np.where(total < 1.0, shift, low), np.where(total < 1.0, high, shift)
        out: Floats = np.clip(W_qd + high[:, None], self.lower_d, self.upper_d)
        # What bisection left (≤ 1e-16 per domain) goes to the widest slack, so that rows sum to one exactly enough.
        out /= out.sum(1, keepdims=True)
        return out

    def mixture(self, weights: Floats) -> Mixture:
        """A Mixture of one row of weights, renormalised in float64."""
        clean = np.where(weights < 1e-12, 0.0, weights)
        return Mixture.of(dict(zip(self.domains, clean.tolist(), strict=True)), normalise=True)

    def binding(self, mixture: Mixture, tolerance: float = 1e-4) -> tuple[str, ...]:
        """The named bounds that the mixture touches."""
        weights = np.array(mixture.over(self.domains))
        at_lower = weights - self.lower_d < tolerance
        at_upper = self.upper_d - weights < tolerance
        held = [why for why, is_held in zip(self.why_lower, at_lower, strict=True) if why and is_held]
        held += [why for why, is_held in zip(self.why_upper, at_upper, strict=True) if why and is_held]
        return tuple(held)


def _smallest_epochs(loose_d: Floats, share_d: Floats) -> float:
    """The least k with Σ min(loose, k · unique ÷ run tokens) ≥ 1; infinite where even no cap would not do."""
    if loose_d.sum() < 1.0:
        return float("inf")
    low, high = 0.0, float(1.0 / share_d[np.isfinite(share_d)].min())
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if np.minimum(loose_d, middle * share_d).sum() < 1.0 else (low, middle)
    return high


def _up(value: float) -> str:
    """`value` > 0 in four digits, rounded up: a relaxation that is followed to the letter must do."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 3)
    return f"{np.ceil(value / unit * (1.0 - 1e-12)) * unit:.4g}"
