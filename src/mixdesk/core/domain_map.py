"""What became of the domains of a corpus in another one, and what a mixture over the old says over the new.

    w'_j = Σ_i w_i · share_ij ÷ Σ_ij w_i · share_ij          (removed domains have no share: the rest is renormalised)
    moved(w) = ½ Σ_i |w_i − Σ_j w'_j · back_ji|               back_ji: part of new domain j that is old domain i's text

A domain is its fingerprint; the name is a label. Names alone join nothing: they only say what a domain that lost its
fingerprint was split or merged into, and then the bytes must agree, or the content counts as changed.

Reference: Olmix's reuse of a swarm (removed weights dropped, split domains at natural inner shares). What differs:
`moved` says how much of a run's text the new mixture does not stand for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

from mixdesk.core import checks
from mixdesk.core.checks import Pairs, core_type, put
from mixdesk.core.corpus import Corpus, Domain
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture, is_below

KINDS = ("kept", "renamed", "split", "merged", "changed", "removed")
# Parts and whole hold the same text if their bytes agree to this; which documents are held out differs by a few.
SAME_BYTES = 0.05


@core_type
class Fate:
    """What became of domain `old`: `to` new domain → share of its weight (empty: removed).

    `is_same` where the text is the same as before, wherever it went. `n_tokens` of the old domain; None = unknown.
    """

    old: str
    kind: str
    to: Pairs = ()
    is_same: bool = True
    n_tokens: int | None = None

    def __post_init__(self) -> None:
        put(self, kind=checks.one_of("kind", self.kind, KINDS), to=checks.pairs("to", self.to))


@core_type
class DomainMap:
    """The fates of all old domains, in their order, and the names of the new domains that come from none: `added`."""

    fates: tuple[Fate, ...]
    added: tuple[str, ...] = ()

    @classmethod
    def between(
        cls, old: Corpus, new: Corpus, said: Mapping[str, Mapping[str, float | None]] | None = None
    ) -> DomainMap:
        """The map from one corpus to another.

        Args:
            old: before.
            new: after.
            said: old domain → {new domain: share, None for its share of tokens}: goes before fingerprints and names,
                and is believed where the text cannot be compared.

        Raises:
            InputError: an unknown name, shares that do not sum to one, or shares that tokens must tell and do not.
        """
        said = said or {}
        for name, parts in said.items():
            checks.one_of("domain of the old corpus", name, old.names)
            for target in parts:
                checks.one_of("domain of the new corpus", target, new.names)
        after = {domain.name: domain for domain in new.domains}
        targets = {name: tuple(found) for name, found in said.items()}
        twin_of = _twins(
            [domain for domain in old.domains if domain.name not in said],
            [domain for domain in new.domains if not any(domain.name in found for found in targets.values())],
        )
        targets |= {name: (twin,) for name, twin in twin_of.items()}
        free = set(after) - {name for found in targets.values() for name in found}
        for domain in old.domains:
            if domain.name not in targets:
                targets[domain.name] = _by_name(domain.name, free, old.names)
        before = {domain.name: domain for domain in old.domains}
        fates = []
        for domain in old.domains:
            found = [after[name] for name in targets[domain.name]]
            sources = [before[name] for name in before if set(targets[name]) & {one.name for one in found}]
            is_told = domain.name in said or domain.name in twin_of
            fates.append(
                Fate(
                    old=domain.name,
                    kind=_kind(domain.name, found, sources, is_same=is_told),
                    to=tuple(_shares(domain.name, found, said.get(domain.name, {})).items()),
                    is_same=is_told or _is_same(sources, found),
                    n_tokens=domain.n_tokens,
                )
            )
        reached = {name for fate in fates for name, _ in fate.to}
        return cls(fates=tuple(fates), added=tuple(name for name in new.names if name not in reached))

    def of_kind(self, *kinds: str) -> tuple[Fate, ...]:
        """The fates of those kinds."""
        return tuple(fate for fate in self.fates if fate.kind in kinds)

    @property
    def name_of(self) -> dict[str, str]:
        """Old → new name of the domains that are what they were: kept and renamed."""
        return {fate.old: fate.to[0][0] for fate in self.of_kind("kept", "renamed")}

    @property
    def is_identity(self) -> bool:
        """Whether nothing changed."""
        return not self.added and len(self.of_kind("kept")) == len(self.fates)

    def mixture(self, old: Mixture) -> Mixture | None:
        """The mixture over the new domains; None where all of its weight was on removed ones.

        Raises:
            InputError: it gives weight to a domain that the map does not know.
        """
        sums = dict.fromkeys((*(name for fate in self.fates for name, _ in fate.to), *self.added), 0.0)
        for fate, weight in zip(self.fates, self._over(old), strict=True):
            for name, share in fate.to:
                sums[name] += weight * share
        if not any(sums.values()):
            return None
        # Where names alone changed, weights stay what they were to the last bit.
        is_same = self.name_of.keys() >= {name for name, weight in old.as_dict().items() if weight > 0.0}
        return Mixture.of(sums, normalise=not is_same)

    def moved(self, old: Mixture) -> float:
        """Share of a run's tokens that the new mixture puts elsewhere: what was removed, or merged at other ratios."""
        new = self.mixture(old)
        if new is None:
            return 1.0
        weights = new.as_dict()
        size = {
            (fate.old, name): share * (fate.n_tokens or 1)
            for fate in self.fates
            for name, share in fate.to
            if share > 0.0
        }
        whole: dict[str, float] = {}
        for (_, name), tokens in size.items():
            whole[name] = whole.get(name, 0.0) + tokens
        back = dict.fromkeys((fate.old for fate in self.fates), 0.0)
        for (source, name), tokens in size.items():
            back[source] += weights.get(name, 0.0) * tokens / whole[name]
        return 0.5 * sum(abs(w - back[fate.old]) for fate, w in zip(self.fates, self._over(old), strict=True))

    def touches_changed(self, old: Mixture) -> bool:
        """Whether it gives weight to a domain whose text changed."""
        pairs = zip(self.fates, self._over(old), strict=True)
        return any(weight > 0.0 and fate.to and not fate.is_same for fate, weight in pairs)

    def words(self) -> tuple[str, ...]:
        """The map in sentences, one per kind that occurs."""
        out = []
        for kind in KINDS:
            found = [_told(fate) for fate in self.of_kind(kind)]
            if found:
                out.append(f"{len(found)} {kind}: {', '.join(found)}.")
        if self.added:
            out.append(f"{len(self.added)} added: {', '.join(f'`{name}`' for name in self.added)}.")
        return tuple(out)

    def _over(self, old: Mixture) -> tuple[float, ...]:
        return old.over(fate.old for fate in self.fates)


def _twins(old: Sequence[Domain], new: Sequence[Domain]) -> dict[str, str]:
    """Old → new name of domains with the same fingerprint, one to one; of several twins the one of the same name."""
    free = {domain.name: domain.fingerprint for domain in new if domain.fingerprint}
    out: dict[str, str] = {}
    for domain in sorted(old, key=lambda one: free.get(one.name) != one.fingerprint):
        same = [name for name, found in free.items() if found == domain.fingerprint]
        if same:
            out[domain.name] = domain.name if domain.name in same else same[0]
            free.pop(out[domain.name])
    return out


def _by_name(name: str, free: set[str], old_names: Sequence[str]) -> tuple[str, ...]:
    """Where a domain without a twin went, by its slash path: itself (changed), its parts, or the whole it joined."""
    if name in free:
        return (name,)
    parts = tuple(sorted(one for one in free if is_below(one, name) and one not in old_names))
    wholes = sorted((one for one in free if is_below(name, one)), key=len)
    return parts or tuple(wholes[-1:])


def _kind(name: str, found: Sequence[Domain], sources: Sequence[Domain], *, is_same: bool) -> str:
    if not found:
        return "removed"
    if len(sources) > 1:
        return "merged"
    if len(found) > 1:
        return "split"
    if not is_same:
        return "changed"
    return "kept" if found[0].name == name else "renamed"


def _is_same(sources: Sequence[Domain], found: Sequence[Domain]) -> bool:
    """Whether the parts hold the text of the whole, by their bytes; one to one only a fingerprint would tell."""
    before, after = sum(one.n_bytes for one in sources), sum(one.n_bytes for one in found)
    return len(sources) + len(found) > 2 and before > 0 and isclose(before, after, rel_tol=SAME_BYTES)


def _shares(name: str, found: Sequence[Domain], said: Mapping[str, float | None]) -> dict[str, float]:
    """New domain → share of the old one's weight: as told, else by tokens."""
    told = {target: share for target, share in said.items() if share is not None}
    if len(found) < 2:
        return {one.name: 1.0 for one in found}
    if told:
        if len(told) < len(found) or not isclose(sum(told.values()), 1.0, abs_tol=1e-6):
            raise InputError(
                f"the shares of `{name}` do not make a whole",
                value=told,
                bound="a share for each of " + ", ".join(one.name for one in found) + ", summing to 1",
                remedy="correct the map, or leave all shares out to split by tokens",
            )
        return Mixture.of(told, normalise=True).as_dict()
    unknown = [one.name for one in found if not one.n_tokens]
    if unknown:
        raise InputError(
            f"`{name}` cannot be split by tokens",
            value=f"`{unknown[0]}` has no count",
            bound="tokens of every part, or a share for each",
            remedy=f"map it with shares: {name}={unknown[0]}:0.5",
        )
    return Mixture.of({one.name: float(one.n_tokens or 0) for one in found}, normalise=True).as_dict()


def _told(fate: Fate) -> str:
    """One domain and where it went."""
    if fate.kind in ("kept", "removed"):
        return f"`{fate.old}`"
    if fate.kind == "changed" and fate.to[0][0] == fate.old:
        return f"`{fate.old}` (other content under the same name)"
    is_one = len(fate.to) == 1
    to = " and ".join(f"`{name}`" + ("" if is_one else f" {100 * share:.3g} %") for name, share in fate.to)
    return f"`{fate.old}` → {to}" + ("" if fate.is_same else " (with other content)")
