"""Lenses: a few knobs in front of many domains.

    tied groups     w_i = V_g u_i                  u_i frozen share of domain i inside its group g, Σ_{i in g} u_i = 1
    temperature     w_i ∝ w0_i^(1/T)               T = 1 natural, T = ∞ uniform
    quality curve   w_gb ∝ n_g ∫_{bin b} S(r) dr   r rank by quality inside domain g, by tokens, the best first
                    S(r) = (2 / (1 + exp(−λ (ω − r))))^η + ε   for r ≤ ω, else ε

S are the expected copies of a document in units of the run: at most 2^η + ε, 1 + ε at ω, ε behind it. Tied groups give
a smaller `Space`, or the rules that hold any strategy to them in the large one; temperature and curve give mixtures of
the leaves.

Reference: quadmix (eq. 1-3), olmix (mixture reuse). What we do differently: curves weigh leaves `domain/q1`, …,
`domain/qK` that a corpus was cut into, so the weights α of several scores are chosen when it is cut (`merged`), before
any trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mixdesk.core import checks
from mixdesk.core.errors import Infeasible, InputError
from mixdesk.core.mixture import Mixture, bin_of, group_of
from mixdesk.core.observations import Floats, Ints
from mixdesk.core.project import TOLERANCE
from mixdesk.core.space import Rule, Space
from mixdesk.search.feasible import centre, settle

# λ (ω − r) from which the curve is flat to the last bit, and nodes of the quadrature before that (error below 1e-10).
FLAT_FROM, N_NODES = 40.0, 32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tied:
    """Groups of domains whose inner shares stay as they are: one coordinate per group, one per domain left free.

    `domains` axis d; `names` axis v, a group in the place of its first domain; `share_vd` rows sum to one, and each
    column has its one non-zero row, or none where the frozen share is zero; `member_vd` who belongs to whom.
    """

    domains: tuple[str, ...]
    names: tuple[str, ...]
    share_vd: Floats
    member_vd: Floats

    @classmethod
    def of(cls, domains: Sequence[str], groups: Mapping[str, Mixture]) -> Tied:
        """Ties the domains of each mixture together, at its weights, under the group's name.

        Raises:
            InputError: a domain is unknown or in two groups, or a group has the name of a free domain.
        """
        group_of_domain: dict[str, str] = {}
        for name, mixture in groups.items():
            mixture.over(domains)
            for domain in mixture.domains:
                if domain in group_of_domain:
                    raise InputError(
                        f"`{domain}` is tied twice",
                        value=f"{group_of_domain[domain]} and {name}",
                        bound="one group per domain",
                        remedy="take it out of one of them",
                    )
                group_of_domain[domain] = name
        free = [domain for domain in domains if domain not in group_of_domain]
        checks.unique("tied groups and free domains", [*groups, *free])
        owner = [group_of_domain.get(domain, domain) for domain in domains]
        names = tuple(dict.fromkeys(owner))
        inner = [groups[o].as_dict()[domain] if o in groups else 1.0 for o, domain in zip(owner, domains, strict=True)]
        member = np.array([[float(o == name) for o in owner] for name in names])
        return cls(domains=tuple(domains), names=names, share_vd=member * inner, member_vd=member)

    def expand(self, V_qv: Floats) -> Floats:
        """Weights of the domains, (q, d)."""
        W_qd: Floats = np.atleast_2d(V_qv) @ self.share_vd
        return W_qd

    def reduce(self, W_qd: Floats) -> Floats:
        """Weights of groups and free domains, (q, v): sums, whatever the inner shares are."""
        V_qv: Floats = np.atleast_2d(W_qd) @ self.member_vd.T
        return V_qv

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The ties as limits of a study over the domains: w_i ≤ u_i × weight of the group, which sum to equalities."""
        groups = zip(self.names, self.share_vd, self.member_vd, strict=True)
        return tuple(
            Rule(
                name=f"{domain} is {share_d[i]:.6g} of {name}",
                terms=tuple((self.domains[j], float(i == j) - float(share_d[i])) for j in np.flatnonzero(member_d)),
                most=0.0,
            )
            for name, share_d, member_d in groups
            for i, domain in enumerate(self.domains)
            if member_d[i] and member_d.sum() > 1
        )

    def space(self, space: Space) -> Space:
        """The space of the reduced mixtures whose expansion `space` allows, settled.

        A group may have as much as its scarcest domain lets it: V ≤ min_i upper_i / u_i. Inside a group a ball's
        Σ w ln(w / near) is V ln(V / near_V) with ln near_V = Σ u ln(near / u), so the ball stays a ball.

        Raises:
            Infeasible: no mixture with these inner shares is allowed; names the clash.
        """
        self._refuse_missing(space)
        lower, why_lower, upper, why_upper = [], [], [], []
        for name, share_d in zip(self.names, self.share_vd, strict=True):
            held = np.flatnonzero(share_d)
            low, high = space.lower_d[held] / share_d[held], space.upper_d[held] / share_d[held]
            i, j = int(low.argmax()), int(high.argmin())
            lower.append(low[i])
            upper.append(min(high[j], 1.0))
            why_lower.append(_words(name, "≥", low[i], space.domains[held[i]], space.why_lower[held[i]]))
            why_upper.append(_words(name, "≤", high[j], space.domains[held[j]], space.why_upper[held[j]]))
        reduced = replace(
            space,
            domains=self.names,
            lower_d=np.array(lower),
            upper_d=np.array(upper),
            why_lower=tuple(why_lower),
            why_upper=tuple(why_upper),
            rows_rd=space.rows_rd @ self.share_vd.T if len(space.rows_rd) else np.zeros((0, len(self.names))),
            near_d=None if space.near_d is None else self._near(space.near_d),
            pool_qd=None if space.pool_qd is None else self._pool(space.pool_qd),
            inside_d=None,
        )
        if reduced.is_box:
            # `settle` trusts a box; here bounds of several domains met in one.
            centre(reduced)
        return settle(reduced)

    def _near(self, near_d: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            nats_vd = np.where(self.share_vd > 0.0, self.share_vd * np.log(near_d / self.share_vd), 0.0)
        near_v: Floats = np.exp(nats_vd.sum(axis=1))
        return near_v

    def _pool(self, pool_qd: Floats) -> Floats:
        """The pool's mixtures that have the frozen inner shares."""
        V_qv = self.reduce(pool_qd)
        kept: Floats = V_qv[np.abs(self.expand(V_qv) - pool_qd).max(axis=1) <= TOLERANCE]
        if not len(kept):
            raise Infeasible(
                "no mixture of the pool has the tied inner shares",
                value=f"{len(pool_qd)} mixtures",
                bound="at least one with the shares of every group",
                remedy="loosen the groups, or widen the pool",
            )
        return kept

    def _refuse_missing(self, space: Space) -> None:
        for i in np.flatnonzero((self.share_vd.sum(axis=0) == 0.0) & (space.lower_d > TOLERANCE)).tolist():
            raise Infeasible(
                f"the tied group of `{space.domains[i]}` has none of it, but there must be some",
                value=0.0,
                bound=space.why_lower[i],
                remedy="untie it, or lower the bound",
            )


def _words(name: str, sign: str, value: float, domain: str, why: str) -> str:
    """A reduced bound in words: a free domain's own, a group's with the domain behind it; empty where there is none."""
    return why if not why or name == domain else f"{name} {sign} {value:.6g} (for {why})"


def temper(natural_d: Floats, T_q: Floats, within: Sequence[str] | None = None) -> Floats:
    """Natural weights tempered, w ∝ w0^(1/T), one row per temperature T in [1, ∞], (q, d); zero weights stay zero.

    With `within` the domains' names, each group (first step of the path) keeps its natural weight and only its inner
    shares are tempered.
    """
    T_q = np.atleast_1d(np.asarray(T_q, dtype=np.float64))
    if not (T_q >= 1.0).all():
        raise InputError(
            "a temperature is out of range",
            value=float(T_q.min()),
            bound="1 (natural) to ∞ (uniform)",
            remedy="raise it",
        )
    owner = [""] * len(natural_d) if within is None else [group_of(name) for name in within]
    member_gd = np.array([[float(o == g) for o in owner] for g in dict.fromkeys(owner)])
    with np.errstate(divide="ignore"):
        log_d = np.log(natural_d)
    tempered_qd = np.where(natural_d > 0.0, np.exp(np.where(natural_d > 0.0, log_d, 0.0) / T_q[:, None]), 0.0)
    sums_qg, natural_g = tempered_qd @ member_gd.T, member_gd @ natural_d
    W_qd: Floats = tempered_qd * ((natural_g / np.maximum(sums_qg, 1e-300)) @ member_gd)
    return W_qd


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curves:
    """Quality curves, q sets of one per domain: λ `steep`, ω `kept`, η `power`, ε `floor`, each (q, g) or (q, 1).

    `kept` is the share of a domain's tokens that the curve reaches, `floor` what it leaves to the rest. `kept` = 1 with
    `power` = 0 (or `steep` = 0) is natural sampling.
    """

    steep_qg: Floats
    kept_qg: Floats
    power_qg: Floats
    floor_qg: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            for extreme in (np.min, np.max):
                checks.finite(field.name, float(extreme(getattr(self, field.name))), 0.0)
        if not ((self.kept_qg > 0.0) | (self.floor_qg > 0.0)).all():
            raise InputError(
                "a quality curve keeps nothing", value="kept 0, floor 0", bound="one of them > 0", remedy="raise one"
            )

    @classmethod
    def of(cls, *, steep: float, kept: float | Sequence[float], power: float, floor: float) -> Curves:
        """One set; `kept` for all domains or one per domain."""
        one = (np.atleast_1d(np.asarray(value, dtype=np.float64))[None] for value in (steep, kept, power, floor))
        return cls(**dict(zip((field.name for field in fields(cls)), one, strict=True)))

    def copies(self, rank_r: Floats) -> Floats:
        """Expected copies S at each rank in [0, 1], (q, g, r)."""
        steep, kept, power, floor = (getattr(self, field.name)[:, :, None] for field in fields(self))
        inside = _rise(steep, kept - np.minimum(rank_r, kept), power)
        copies: Floats = np.where(rank_r <= kept, inside, 0.0) + floor
        return copies

    def mass(self, group_d: Ints, start_d: Floats, end_d: Floats) -> Floats:
        """∫ S dr from `start_d` to `end_d` by the curve of domain `group_d`, (q, d).

        Where the curve is flat at 2^η the integral is exact; near ω by Gauss-Legendre.
        """
        columns = [
            np.broadcast_to(getattr(self, f.name), (len(self.kept_qg), int(group_d.max()) + 1)) for f in fields(self)
        ]
        steep, kept, power, floor = (column[:, group_d] for column in columns)
        stop = np.clip(kept, start_d, end_d)
        with np.errstate(divide="ignore"):
            turn = np.clip(kept - FLAT_FROM / steep, start_d, stop)
        near = np.zeros_like(stop)
        for node, weight in zip(*np.polynomial.legendre.leggauss(N_NODES), strict=True):
            rank = turn + (stop - turn) * (node + 1.0) / 2.0
            near += weight / 2.0 * _rise(steep, np.maximum(kept - rank, 0.0), power)
        mass: Floats = (turn - start_d) * 2.0**power + (stop - turn) * near + (end_d - start_d) * floor
        return mass


def _rise(steep: Floats, left: Floats, power: Floats) -> Floats:
    """(2 / (1 + exp(−λ (ω − r))))^η for ω − r ≥ 0."""
    rise: Floats = (2.0 / (1.0 + np.exp(-steep * left))) ** power
    return rise


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Leaves:
    """Quality bins of domains: leaf `web/q1` holds the best tokens of `web`, `web/q2` the next, … down to the worst.

    A domain whose last step is no such `q` number has one bin: itself. `domains` axis d, the leaves; `groups` axis g,
    the domains; `group_d` the domain of each leaf; `start_d`, `end_d` its ranks, as shares of the domain's tokens;
    `natural_g` the domains' shares of all tokens.
    """

    domains: tuple[str, ...]
    groups: tuple[str, ...]
    group_d: Ints
    start_d: Floats
    end_d: Floats
    natural_g: Floats

    @classmethod
    def of(cls, domains: Sequence[str], tokens_d: Floats) -> Leaves:
        """The bins in the names, with their unique tokens (any unit).

        Raises:
            InputError: a domain's bins are not q1 … qK without gap, or it is there itself beside its bins.
        """
        owner, bin_d = zip(*(bin_of(name) for name in domains), strict=True)
        groups = tuple(dict.fromkeys(owner))
        group_d = np.array([groups.index(o) for o in owner], dtype=np.int64)
        end_d, width_d = np.empty(len(domains)), np.empty(len(domains))
        tokens_g = np.empty(len(groups))
        for g, group in enumerate(groups):
            leaves = sorted(np.flatnonzero(group_d == g).tolist(), key=bin_d.__getitem__)
            found = [bin_d[i] for i in leaves]
            if found != [0] and found != list(range(1, len(leaves) + 1)):
                raise InputError(
                    f"the quality bins of `{group}` are not in order",
                    value=", ".join(domains[i] for i in leaves),
                    bound=f"{group}/q1 (the best), {group}/q2, … without gap",
                    remedy="rename the bins",
                )
            tokens_g[g] = tokens_d[leaves].sum()
            share = tokens_d[leaves] / tokens_g[g] if tokens_g[g] > 0.0 else np.full(len(leaves), 1.0 / len(leaves))
            width_d[leaves], end_d[leaves] = share, np.cumsum(share)
        return cls(
            domains=tuple(domains),
            groups=groups,
            group_d=group_d,
            start_d=end_d - width_d,
            end_d=end_d,
            natural_g=tokens_g / tokens_g.sum(),
        )

    @property
    def has_bins(self) -> bool:
        """Whether any domain has more than one bin: else quality is no knob."""
        return len(self.groups) < len(self.domains)

    def weights(self, curves: Curves, V_qg: Floats | None = None) -> Floats:
        """Weights of the leaves, (q, d): tokens × mean copies ÷ total.

        With `V_qg` the domains' weights are these, and the curves only divide each among its bins; without, a curve
        that takes more copies gives its domain more weight.
        """
        mass_qd = curves.mass(self.group_d, self.start_d, self.end_d)
        sums_qg = np.stack([mass_qd[:, self.group_d == g].sum(axis=1) for g in range(len(self.groups))], axis=1)
        if V_qg is None:
            V_qg = self.natural_g * sums_qg
            V_qg = V_qg / V_qg.sum(axis=1, keepdims=True)
        W_qd: Floats = mass_qd * (V_qg / sums_qg)[:, self.group_d]
        return W_qd


def token_rank(quality_x: Floats, tokens_x: Floats) -> Floats:
    """Rank of each document by quality, smaller is better, (x,) in (0, 1]: tokens of those as good or better ÷ all.

    Of equal documents the earlier goes first: give them in the order of their ids.
    """
    order = np.argsort(quality_x, kind="stable")
    rank_x = np.empty(len(order))
    rank_x[order] = np.cumsum(tokens_x[order]) / tokens_x.sum()
    return rank_x


def merged(scores_nx: Floats, tokens_x: Floats, alpha_n: Floats) -> Floats:
    """One quality of several scores, smaller is better, (x,): Σ α_n × token rank by score n, α divided by its sum."""
    ranks_nx = np.array([token_rank(score_x, tokens_x) for score_x in scores_nx])
    quality_x: Floats = np.asarray(alpha_n, dtype=np.float64) / np.sum(alpha_n) @ ranks_nx
    return quality_x
