"""What a changed corpus makes of domains and mixtures: fingerprints decide, names only hint."""

from __future__ import annotations

import pytest

from mixdesk.core.corpus import Corpus, Domain, Tokenizer
from mixdesk.core.domain_map import DomainMap
from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture

TOKENIZER = Tokenizer(name="bytes", vocab_size=257, sha256="aa")


def corpus(**domains: tuple[str, int]) -> Corpus:
    """Name (two underscores for a slash) → content and its bytes; a token each."""
    made = (
        Domain(name=name.replace("__", "/"), fingerprint=content, n_tokens=size, n_bytes=size)
        for name, (content, size) in domains.items()
    )
    return Corpus(name="c", tokenizer=TOKENIZER, domains=tuple(made))


OLD = corpus(code=("c", 100), books=("b", 300), web=("w", 600))


def kinds(found: DomainMap) -> dict[str, str]:
    return {fate.old: fate.kind for fate in found.fates}


def test_the_fingerprint_decides_and_the_name_is_a_label() -> None:
    new = corpus(python=("c", 100), books=("other", 300), web=("w", 600), maths=("m", 50))
    found = DomainMap.between(OLD, new)
    assert kinds(found) == {"books": "changed", "code": "renamed", "web": "kept"}
    assert found.name_of == {"code": "python", "web": "web"}
    assert found.added == ("maths",)
    old = Mixture.of({"code": 0.1, "books": 0.3, "web": 0.6})
    assert found.mixture(old) == Mixture.of({"python": 0.1, "books": 0.3, "web": 0.6, "maths": 0.0})
    assert found.touches_changed(old)
    assert not found.touches_changed(Mixture.of({"code": 0.5, "web": 0.5}))
    assert "1 renamed: `code` → `python`." in found.words()
    assert "1 changed: `books` (other content under the same name)." in found.words()


def test_swapped_names_follow_the_content() -> None:
    found = DomainMap.between(OLD, corpus(code=("b", 300), books=("c", 100), web=("w", 600)))
    assert found.name_of == {"books": "code", "code": "books", "web": "web"}
    assert found.mixture(Mixture.of({"code": 0.1, "books": 0.3, "web": 0.6})) == Mixture.of(
        {"books": 0.1, "code": 0.3, "web": 0.6}
    )


def test_a_removed_domain_leaves_the_ratios_of_the_rest() -> None:
    found = DomainMap.between(OLD, corpus(code=("c", 100), books=("b", 300)))
    assert kinds(found)["web"] == "removed"
    old = Mixture.of({"code": 0.1, "books": 0.3, "web": 0.6})
    got = found.mixture(old)
    assert got is not None
    assert got.as_dict() == pytest.approx({"code": 0.25, "books": 0.75})
    assert found.moved(old) == pytest.approx(0.6)
    assert found.mixture(Mixture.of({"web": 1.0})) is None
    assert found.moved(Mixture.of({"web": 1.0})) == 1.0


def test_a_split_goes_by_natural_shares_and_its_bytes_are_checked() -> None:
    new = corpus(code=("c", 100), books=("b", 300), web__high=("h", 150), web__low=("l", 450))
    found = DomainMap.between(OLD, new)
    old = Mixture.of({"code": 0.1, "books": 0.3, "web": 0.6})
    got = found.mixture(old)
    assert got is not None
    assert got.as_dict() == pytest.approx({"code": 0.1, "books": 0.3, "web/high": 0.15, "web/low": 0.45})
    assert found.moved(old) == pytest.approx(0.0)
    assert not found.touches_changed(old)
    assert "1 split: `web` → `web/high` 25 % and `web/low` 75 %." in found.words()
    bigger = corpus(code=("c", 100), books=("b", 300), web__high=("h", 150), web__low=("l", 900))
    assert DomainMap.between(OLD, bigger).touches_changed(old)


def test_a_merge_at_other_ratios_than_its_text_is_moved() -> None:
    new = corpus(text=("t", 400), web=("w", 600))
    found = DomainMap.between(OLD, new, {"code": {"text": None}, "books": {"text": None}})
    assert kinds(found) == {"books": "merged", "code": "merged", "web": "kept"}
    assert found.moved(Mixture.of({"code": 0.1, "books": 0.3, "web": 0.6})) == pytest.approx(0.0)
    assert found.moved(Mixture.of({"code": 0.4, "web": 0.6})) == pytest.approx(0.3)


def test_a_merge_is_recognised_by_slash_and_bytes() -> None:
    old = corpus(web__high=("h", 150), web__low=("l", 450), code=("c", 100))
    found = DomainMap.between(old, corpus(web=("w", 600), code=("c", 100)))
    assert kinds(found) == {"code": "kept", "web/high": "merged", "web/low": "merged"}
    assert not found.touches_changed(Mixture.of({"web/high": 1.0}))


def test_told_shares_are_taken_and_wrong_ones_refused() -> None:
    new = corpus(code=("c", 100), books=("b", 300), good=("h", 150), bad=("l", 450))
    found = DomainMap.between(OLD, new, {"web": {"good": 0.5, "bad": 0.5}})
    got = found.mixture(Mixture.of({"web": 1.0}))
    assert got is not None
    assert got.as_dict() == {"bad": 0.5, "books": 0.0, "code": 0.0, "good": 0.5}
    with pytest.raises(InputError, match="do not make a whole"):
        DomainMap.between(OLD, new, {"web": {"good": 0.5, "bad": 0.4}})
    with pytest.raises(InputError, match="did you mean `web`"):
        DomainMap.between(OLD, new, {"wep": {"good": None}})
    with pytest.raises(InputError, match="did you mean `good`"):
        DomainMap.between(OLD, new, {"web": {"goood": None}})


def test_without_fingerprints_a_name_joins_nothing_unless_told() -> None:
    blank = Corpus(name="c", tokenizer=TOKENIZER, domains=(Domain(name="code"), Domain(name="web")))
    assert kinds(DomainMap.between(blank, blank)) == {"code": "changed", "web": "changed"}
    told = DomainMap.between(blank, blank, {"code": {"code": None}, "web": {"web": None}})
    assert told.is_identity
