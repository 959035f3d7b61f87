"""Where a mixture may lie: constraints as a person writes them, and the space they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mixdesk.core import checks
from mixdesk.core.checks import Options, Pairs, core_type, put
from mixdesk.core.corpus import Corpus
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture
from mixdesk.core.observations import Floats
from mixdesk.core.project import TOLERANCE, nats_of, project_box, project_rows, pull_to_ball, pull_to_rows
from mixdesk.core.scale import Scale

# Coefficients of a rule in size: 1e-9 of a weight must still count.
LARGEST = 1e6
# A weight below this, a millionth of a run, is left out at the end of a search: no trial could tell it from none, and
# trainers refuse what is under a sample.
DUST = 1e-6


@core_type
class Rule:
    """A linear limit by name: Σ coefficient × weight ≤ `most`.

    `terms` domain pattern → coefficient of each domain it matches; coefficients of several patterns add up.
    """

    EXAMPLE: ClassVar[str] = '{ name = "code", terms = { "code/*" = 1.0 }, most = 0.5 }'

    name: str
    terms: Pairs
    most: float

    def __post_init__(self) -> None:
        put(
            self,
            name=checks.label("name", self.name),
            terms=checks.pairs("terms", self.terms),
            most=checks.finite("most", self.most, -LARGEST, LARGEST),
        )
        for pattern, coefficient in self.terms:
            checks.finite(f"terms[{pattern}]", coefficient, -LARGEST, LARGEST)
            if 0.0 < abs(coefficient) < 1.0 / LARGEST:
                raise InputError(
                    f"`{self.name}` has a coefficient that rounding swallows",
                    value=coefficient,
                    bound=f"0, or {1.0 / LARGEST:g} to {LARGEST:g} in size",
                    remedy="write the rule in another unit",
                )


@core_type
class Near:
    """A ball around a mixture: Σ w ln(w / v) ≤ `nats`, v the `weights` (any unit, domains left out have none)."""

    EXAMPLE: ClassVar[str] = "{ weights = { code = 0.3, web = 0.7 }, nats = 0.1 }"

    weights: Pairs
    nats: float

    def __post_init__(self) -> None:
        Mixture.of(dict(self.weights), normalise=True)
        put(self, weights=checks.pairs("weights", self.weights), nats=checks.finite("nats", self.nats, 0.0))


@core_type
class Constraints:
    """Limits on a mixture.

    `lower`, `upper` domain pattern → weight of each domain it matches; `group_lower`, `group_upper` domain pattern →
    sum of the weights it matches; `max_epochs` at the target run, for every domain whose tokens are known;
    `epoch_caps` the same by domain pattern; `epochs` domain pattern → epochs of each domain, exactly; `tiers` domain
    pattern → licence tier, `allowed_tiers` those that may be used (empty: all); `near` a ball around a mixture;
    `rules` linear limits; `pool` the only mixtures there are (empty: all).
    """

    EXAMPLE: ClassVar[str] = '{ max_epochs = 4.0, lower = { "code/*" = 0.05 } }'

    lower: Pairs = ()
    upper: Pairs = ()
    max_epochs: float | None = None
    group_lower: Pairs = ()
    group_upper: Pairs = ()
    epoch_caps: Pairs = ()
    epochs: Pairs = ()
    tiers: Options = ()
    allowed_tiers: tuple[str, ...] = ()
    near: Near | None = None
    rules: tuple[Rule, ...] = ()
    pool: tuple[Mixture, ...] = ()

    def __post_init__(self) -> None:
        highest = {"lower": 1.0, "upper": 1.0, "group_lower": 1.0, "group_upper": 1.0}
        for name in (*highest, "epoch_caps", "epochs"):
            bounds = checks.pairs(name, getattr(self, name))
            for pattern, value in bounds:
                checks.finite(f"{name}[{pattern}]", value, 0.0, highest.get(name, np.inf))
            put(self, **{name: bounds})
        if self.max_epochs is not None:
            put(self, max_epochs=checks.finite("max_epochs", self.max_epochs, 0.0, open_low=True))
        given = self.tiers.items() if isinstance(self.tiers, dict) else self.tiers
        tiers = tuple(sorted((pattern, checks.label(f"tiers[{pattern}]", tier)) for pattern, tier in given))
        put(self, tiers=tiers, allowed_tiers=checks.unique("allowed_tiers", self.allowed_tiers))
        checks.unique("tiers", (pattern for pattern, _ in tiers))
        checks.unique("rules", (rule.name for rule in self.rules))
        # Without a table the tiers are those of the corpus's licences; a study fills them in.
        for tier in self.allowed_tiers if tiers else ():
            checks.one_of("licence tier", tier, dict.fromkeys(t for _, t in tiers))

    @property
    def without_epochs(self) -> Constraints:
        """The same limits without those on epochs, which only hold at the target run."""
        return replace(self, max_epochs=None, epoch_caps=(), epochs=())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Space:
    """The mixtures that are allowed: w on the simplex over `domains` with `lower_d` ≤ w ≤ `upper_d`, `rows_rd` w ≤
    `most_r`, and Σ w ln(w / near) ≤ `nats`; of the pool's rows alone where `pool_qd` is set.

    `why_lower`, `why_upper`, `why_row` name the constraint behind each bound (empty: the simplex itself). `inside_d` is
    an allowed mixture, known once `search/feasible.py` has shown that there is one; boxes need none.
    """

    domains: tuple[str, ...]
    lower_d: Floats
    upper_d: Floats
    why_lower: tuple[str, ...]
    why_upper: tuple[str, ...]
    rows_rd: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    most_r: Floats = field(default_factory=lambda: np.zeros(0))
    why_row: tuple[str, ...] = ()
    near_d: Floats | None = None
    nats: float = np.inf
    pool_qd: Floats | None = None
    inside_d: Floats | None = None

    @classmethod
    def build(
        cls, constraints: Constraints, domains: Sequence[str], corpus: Corpus | None = None, scale: Scale | None = None
    ) -> Space:
        """The space of the constraints; epoch caps are w ≤ epochs × unique tokens ÷ run tokens at `scale`.

        Whether bounds of single domains leave a mixture is checked here, all else by `search/feasible.py`.

        Raises:
            InputError: a pattern matches no domain, a domain has no licence tier, or epochs cannot be counted.
            Infeasible: no mixture satisfies all bounds; names the clash and the smallest relaxation.
        """
        names = tuple(domains)
        tokens = {d.name: d.n_tokens for d in corpus.domains if d.n_tokens} if corpus is not None else {}
        run = scale.n_tokens if scale is not None else None
        sides = _Bounds(names)
        for pattern, value in constraints.lower:
            for i in _hits(pattern, names):
                sides.lower(i, value, f"{names[i]} ≥ {value:g}")
        for pattern, value in constraints.upper:
            for i in _hits(pattern, names):
                sides.upper(i, value, f"{names[i]} ≤ {value:g}")
        _apply_tiers(sides, constraints)
        _apply_epochs(sides, constraints, tokens, run)
        near = None
        if constraints.near is not None:
            near = np.array(Mixture.of(dict(constraints.near.weights), normalise=True).over(names))
            for i in np.flatnonzero(near == 0.0).tolist():
                sides.upper(i, 0.0, f"{names[i]} ≤ 0 (`near` has none of it)")
        rows, most, why = _rows(constraints, names)
        space = cls(
            domains=names,
            lower_d=sides.lower_d,
            upper_d=sides.upper_d,
            why_lower=tuple(sides.why_lower),
            why_upper=tuple(sides.why_upper),
            rows_rd=rows,
            most_r=most,
            why_row=why,
            near_d=near,
            nats=np.inf if constraints.near is None else constraints.near.nats,
            pool_qd=np.array([one.over(names) for one in constraints.pool]) if constraints.pool else None,
        )
        space._check(constraints, corpus, scale)
        return space

    @property
    def is_box(self) -> bool:
        """Whether bounds of single domains are all there is."""
        return not len(self.rows_rd) and self.near_d is None and self.pool_qd is None

    def _check(self, constraints: Constraints, corpus: Corpus | None, scale: Scale | None) -> None:
        tokens = {d.name: d.n_tokens for d in corpus.domains if d.n_tokens} if corpus is not None else {}
        run = scale.n_tokens if scale is not None else None
        for i, name in enumerate(self.domains):
            if self.lower_d[i] > self.upper_d[i] + TOLERANCE:
                need = ""
                if constraints.max_epochs is not None and self.why_upper[i].endswith("of the run)") and run is not None:
                    need = f"raise max_epochs to {rounded_up(self.lower_d[i] * run / tokens[name])} or "
                    need = need if self.why_upper[i] == _cap_words(name, constraints.max_epochs, tokens, run) else ""
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
                remedy=f"lower them by {rounded_up(self.lower_d.sum() - 1.0)} in all",
            )
        total = float(self.upper_d.sum())
        if total < 1.0 - TOLERANCE:
            remedy = f"raise upper bounds by {rounded_up(1.0 - total)} in all"
            if constraints.max_epochs is not None and run is not None:
                loose = Space.build(replace(constraints, max_epochs=None), self.domains, corpus, scale).upper_d
                least = _smallest_epochs(loose, np.array([float(tokens.get(n, np.inf)) for n in self.domains]) / run)
                if np.isfinite(least):
                    remedy = f"raise max_epochs to {rounded_up(least)}, shorten the run or add text"
            raise Infeasible(
                "the upper bounds leave part of the run without data",
                value=f"sum {total:.4g} of " + ", ".join(why for why in self.why_upper if why),
                bound="≥ 1",
                remedy=remedy,
            )

    def contains(self, W_qd: Floats, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
        """Which rows satisfy every constraint, (q,)."""
        W_qd = np.atleast_2d(W_qd)
        ok = ((W_qd >= self.lower_d - tolerance) & (W_qd <= self.upper_d + tolerance)).all(axis=1)
        if len(self.rows_rd):
            ok &= (W_qd @ self.rows_rd.T <= self.most_r + tolerance).all(axis=1)
        if self.near_d is not None:
            ok &= nats_of(W_qd, self.near_d) <= self.nats + tolerance
        if self.pool_qd is not None:
            ok &= np.array([np.abs(self.pool_qd - row).max(axis=1).min() <= tolerance for row in W_qd], dtype=np.bool_)
        return np.asarray(ok)

    def broken(self, mixture: Mixture, tolerance: float = TOLERANCE) -> tuple[str, ...]:
        """The named constraints that the mixture breaks; empty where it is allowed.

        Raises:
            InputError: the mixture names a domain that the space does not have.
        """
        weights = np.array(mixture.over(self.domains))
        is_under, is_over = weights < self.lower_d - tolerance, weights > self.upper_d + tolerance
        found = [why for why, is_broken in zip(self.why_lower, is_under, strict=True) if is_broken]
        found += [why for why, is_broken in zip(self.why_upper, is_over, strict=True) if is_broken]
        if len(self.rows_rd):
            is_past = self.rows_rd @ weights > self.most_r + tolerance
            found += [why for why, is_broken in zip(self.why_row, is_past, strict=True) if is_broken]
        if self.near_d is not None and float(nats_of(weights[None], self.near_d)[0]) > self.nats + tolerance:
            found.append(self.why_near)
        if self.pool_qd is not None and np.abs(self.pool_qd - weights).max(axis=1).min() > tolerance:
            found.append(f"one of the {len(self.pool_qd)} mixtures of the pool")
        return tuple(dict.fromkeys(found))

    def project(self, W_qd: Floats) -> Floats:
        """The allowed mixture nearest to each row in Euclidean distance, (q, d).

        In a ball around a mixture it is the nearest but for the ball, pulled straight into it. What is not a box must
        have its `inside_d`.
        """
        W_qd = np.atleast_2d(np.asarray(W_qd, dtype=np.float64))
        if self.pool_qd is not None:
            far = [int(np.square(self.pool_qd - row).sum(axis=1).argmin()) for row in W_qd]
            return np.asarray(self.pool_qd[far])
        out = project_box(W_qd, self.lower_d, self.upper_d)
        if self.is_box:
            return out
        assert self.inside_d is not None, "only a space that search/feasible.py has settled can be projected on"
        if len(self.rows_rd):
            wrong = (out @ self.rows_rd.T > self.most_r).any(axis=1)
            near = project_rows(W_qd[wrong], self.lower_d, self.upper_d, self.rows_rd, self.most_r)
            out[wrong] = pull_to_rows(near, self.rows_rd, self.most_r, self.inside_d)
        if self.near_d is not None:
            out = pull_to_ball(out, self.near_d, self.nats, self.inside_d)
        return out

    def mixture(self, weights: Floats) -> Mixture:
        """A Mixture of one row of weights, renormalised in float64."""
        clean = np.where(weights < 1e-12, 0.0, weights)
        return Mixture.of(dict(zip(self.domains, clean.tolist(), strict=True)), normalise=True)

    def settled(self, weights: Floats) -> Mixture:
        """The Mixture of a row that a search ends with: without weights under 1e-6 where every constraint allows it."""
        clean = self.mixture(np.where(weights < DUST, 0.0, weights))
        return clean if self.contains(np.array(clean.over(self.domains)))[0] else self.mixture(weights)

    def binding(self, mixture: Mixture, tolerance: float = 1e-4) -> tuple[str, ...]:
        """The named constraints that the mixture touches."""
        weights = np.array(mixture.over(self.domains))
        at_lower = weights - self.lower_d < tolerance
        at_upper = self.upper_d - weights < tolerance
        held = [why for why, is_held in zip(self.why_lower, at_lower, strict=True) if why and is_held]
        held += [why for why, is_held in zip(self.why_upper, at_upper, strict=True) if why and is_held]
        if len(self.rows_rd):
            at_row = self.most_r - self.rows_rd @ weights < tolerance
            held += [why for why, is_held in zip(self.why_row, at_row, strict=True) if is_held]
        if self.near_d is not None and self.nats - float(nats_of(weights[None], self.near_d)[0]) < tolerance:
            held.append(self.why_near)
        return tuple(dict.fromkeys(held))

    @property
    def why_near(self) -> str:
        """How the ball is called among the constraints."""
        return f"near ≤ {self.nats:g} nats"


class _Bounds:
    """Bounds of single domains while they are gathered: the tightest wins, and its words with it."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.lower_d, self.upper_d = np.zeros(len(names)), np.ones(len(names))
        self.why_lower, self.why_upper = [""] * len(names), [""] * len(names)

    def lower(self, i: int, value: float, why: str) -> None:
        if value > self.lower_d[i]:
            self.lower_d[i], self.why_lower[i] = value, why

    def upper(self, i: int, value: float, why: str) -> None:
        if value < self.upper_d[i]:
            self.upper_d[i], self.why_upper[i] = value, why


def _hits(pattern: str, names: tuple[str, ...]) -> list[int]:
    """Places of the domains that a pattern matches; at least one."""
    found = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
    if not found:
        raise InputError(
            f"a bound names an unknown domain `{pattern}`",
            value=pattern,
            bound="one of " + ", ".join(names),
            remedy=checks.nearest(pattern, names),
        )
    return found


def _apply_tiers(sides: _Bounds, constraints: Constraints) -> None:
    """Upper bounds of 0 for the domains whose licence tier is not allowed; a name goes before a pattern."""
    tier_of: dict[int, str] = {}
    for pattern, tier in sorted(constraints.tiers, key=lambda one: one[0] in sides.names):
        tier_of.update((i, tier) for i in _hits(pattern, sides.names))
    for i, name in enumerate(sides.names if constraints.allowed_tiers else ()):
        if i not in tier_of:
            raise InputError(
                f"`{name}` has no licence tier",
                value="none",
                bound="a tier for every domain where `allowed_tiers` is set",
                remedy=f"give `{name}` a tier in `tiers`, or drop `allowed_tiers`",
            )
        if tier_of[i] not in constraints.allowed_tiers:
            sides.upper(i, 0.0, f"{name} ≤ 0 (licence tier {tier_of[i]})")


def _cap_words(name: str, epochs: float, tokens: dict[str, int], run: int) -> str:
    return f"{name} ≤ {epochs:g} epoch{'' if epochs == 1.0 else 's'} ({epochs * tokens[name] / run:.3g} of the run)"


def _apply_epochs(sides: _Bounds, constraints: Constraints, tokens: dict[str, int], run: int | None) -> None:
    """Bounds that make a domain's epochs at most or exactly so many."""
    names = sides.names
    wanted = {"max_epochs": constraints.max_epochs, "epoch_caps": constraints.epoch_caps, "epochs": constraints.epochs}
    asked = {key: value for key, value in wanted.items() if value not in (None, ())}
    if not asked:
        return
    key, given = next(iter(asked.items()))
    exact = [(i, value) for pattern, value in constraints.epochs for i in _hits(pattern, names)]
    capped = [(i, value) for pattern, value in constraints.epoch_caps for i in _hits(pattern, names)]
    unknown = [names[i] for i, _ in (*capped, *exact) if names[i] not in tokens]
    if run is None or not tokens or unknown:
        raise InputError(
            f"`{key}` cannot be applied" + (f" to `{unknown[0]}`" if run is not None and tokens else ""),
            value=given if constraints.max_epochs is not None else dict(constraints.epoch_caps + constraints.epochs),
            bound="known tokens per domain and a target run",
            remedy=f"give token counts, or drop {key}",
        )
    if constraints.max_epochs is not None:
        capped = [(i, constraints.max_epochs) for i, name in enumerate(names) if name in tokens] + capped
    for i, epochs in capped:
        sides.upper(i, epochs * tokens[names[i]] / run, _cap_words(names[i], epochs, tokens, run))
    for i, epochs in exact:
        share = epochs * tokens[names[i]] / run
        words = f"{names[i]} = {epochs:g} epoch{'' if epochs == 1.0 else 's'} ({share:.3g} of the run)"
        sides.lower(i, share, words)
        sides.upper(i, share, words)


def _rows(constraints: Constraints, names: tuple[str, ...]) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Rows (r, d), their bounds (r,) and words: sums of groups, then rules."""
    rows, most, why = [], [], []
    for sign, relation, bounds in ((-1.0, "≥", constraints.group_lower), (1.0, "≤", constraints.group_upper)):
        for pattern, value in bounds:
            row = np.zeros(len(names))
            row[_hits(pattern, names)] = sign
            rows.append(row)
            most.append(sign * value)
            why.append(f"sum of {pattern} {relation} {value:g}")
    for rule in constraints.rules:
        row = np.zeros(len(names))
        for pattern, coefficient in rule.terms:
            row[_hits(pattern, names)] += coefficient
        row[np.abs(row) < TOLERANCE] = 0.0
        rows.append(row)
        most.append(rule.most)
        why.append(f"{rule.name} ≤ {rule.most:g}")
    return np.array(rows).reshape(-1, len(names)), np.array(most), tuple(why)


def _smallest_epochs(loose_d: Floats, share_d: Floats) -> float:
    """The least k with Σ min(loose, k · unique ÷ run tokens) ≥ 1; infinite where even no cap would not do."""
    if loose_d.sum() < 1.0:
        return float("inf")
    low, high = 0.0, float(1.0 / share_d[np.isfinite(share_d)].min())
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if np.minimum(loose_d, middle * share_d).sum() < 1.0 else (low, middle)
    return high


def rounded_up(value: float, n_digits: int = 4) -> str:
    """`value` > 0 in so many digits, rounded up: a relaxation that is followed to the letter must do."""
    unit = 10.0 ** (np.floor(np.log10(value)) - n_digits + 1)
    return f"{np.ceil(value / unit * (1.0 - 1e-12)) * unit:.{n_digits}g}"
