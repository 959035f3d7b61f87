"""Decontamination: all of 200 planted evaluation items are found, also edited ones, and clean text has no hit."""

import json
import pickle
import random
import re
import sysconfig
from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus.decontaminate import Index
from mixdesk.corpus.ngrams import ngrams, words

LIBRARY = Path(sysconfig.get_paths()["stdlib"])


@pytest.fixture(scope="module")
def prose():
    """Paragraphs of the comments and docstrings of standard library modules, each once."""
    texts = [path.read_text("utf-8", "ignore") for path in sorted(LIBRARY.glob("*.py"))[:90]]
    strings = [found for text in texts for found in re.findall(r'"""(.+?)"""', text, re.DOTALL)]
    return list(dict.fromkeys(" ".join(one.split()) for text in strings for one in text.split("\n\n")))


@pytest.fixture(scope="module")
def halves(prose):
    """200 items, and other paragraphs, none of which holds a run of 6 words of an item."""
    items = [text for text in prose if 12 <= len(re.findall(r"\w+", text)) <= 80][::3][:200]
    known = {hash_ for hash_ in ngrams(*words(items), 6)[0].tolist()}
    clean = [text for text in prose if not known & set(ngrams(*words([text]), 6)[0].tolist()) and text not in items]
    return items, clean


def edited(text, kind):
    found = text.split(" ")
    middle = len(found) // 2
    return {
        "verbatim": text,
        "upper": text.upper(),
        "spaced": text.replace(" ", " \n\t"),
        "unpunctuated": re.sub(r"[^\w\s]", " ", text),
        "changed": " ".join([*found[:middle], "zyzzyva", *found[middle + 1 :]]),
        "left out": " ".join(found[:middle] + found[middle + 1 :]),
        "added": " ".join([*found[:middle], "zyzzyva", *found[middle:]]),
        "two letters": " ".join([*found[:middle], found[middle][::-1] + "q", *found[middle + 1 :]]),
    }[kind]


KINDS = ("verbatim", "upper", "spaced", "unpunctuated", "changed", "left out", "added", "two letters")


def one_word(text, kind):
    """Whether the edit touches one word at most: a word with a hyphen or a dot in it is several."""
    middle = text.split(" ")[len(text.split(" ")) // 2]
    return kind in KINDS[:4] or re.fullmatch(r"\W*[^\W_]+\W*", middle) is not None


def test_all_of_200_planted_items_are_found(halves):
    items, clean = halves
    assert len(items) == 200
    index = Index.build({"even": items[::2], "odd": items[1::2]}, reject=())
    rng, planted, names = random.Random(1), [], []
    for i, item in enumerate(items):
        kind = KINDS[i % len(KINDS)]
        kind = kind if one_word(item, kind) else "upper"
        before, after = rng.choices(clean, k=2)
        planted.append(f"{before} {edited(item, kind)} {after}")
        names.append(("even", "odd")[i % 2])
    found = index.scan(planted).hits
    assert [text for text, name, hits in zip(planted, names, found, strict=True) if name not in hits] == []


def test_clean_text_has_no_hit(halves):
    items, clean = halves
    scan = Index.build({"set": items}).scan(clean)
    assert len(clean) > 200
    assert not any(scan.hits)


def test_three_ngrams_of_one_item_are_a_hit_and_two_pass():
    rng = random.Random(2)
    item, other = (" ".join(f"w{rng.randrange(10**6)}" for _ in range(60)) for _ in range(2))
    index = Index.build({"a": [item, other]})
    run = item.split()[20:]
    assert index.hits("so " + " ".join(run[:15]) + " so") == {"a": 3}
    assert index.hits("so " + " ".join(run[:14]) + " so") == {}
    both = " ".join(run[:14]) + " so " + " ".join(other.split()[:14])
    assert index.hits(both) == {}
    assert index.hits(f"{' '.join(run[:13])} so " * 3) == {}
    assert Index.build({"a": [item]}, min_hits=2).hits(" ".join(run[:14])) == {"a": 2}


def test_short_items_are_found_whole_and_shorter_ones_are_counted():
    nine, five = "where did the tall grey heron build its nest", "who wrote this old book"
    index = Index.build({"short": [nine, five]})
    assert index.hits(f"I asked: {nine.title()}? Nobody knew.") == {"short": 5}
    assert index.hits("where did the tall grey heron build its house") == {}
    assert index.hits(five) == {}
    assert index.small == {"short": 1}


def test_boilerplate_is_never_indexed():
    item = "Which of the following birds builds the largest nest of sticks in tall trees beside a quiet river in June"
    index = Index.build({"a": [item]})
    first, _ = ngrams(*words([item]), 8)
    assert first[0] not in index.hash_g
    assert set(first[1:].tolist()) == set(index.hash_g.tolist())
    assert first[0] in Index.build({"a": [item]}, reject=()).hash_g
    only = Index.build({"a": ["Which of the following? All of the above."]})
    assert only.small == {"a": 1}
    assert only.hits("Which of the following? All of the above.") == {}


def test_chinese_items_are_found_by_characters():
    rng = random.Random(3)
    item = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(40))
    index = Index.build({"zh": [item]})
    assert index.hits("木木木" + item[:20] + "木" + item[21:]) == {"zh": 15}
    assert index.hits("木木木" + item[:14] + "木") == {}


def test_an_index_comes_back_from_a_pickle_and_is_small(halves):
    items, clean = halves
    index = Index.build({"a": items})
    again = pickle.loads(pickle.dumps(index))
    texts = items[:20] + clean[:20]
    assert again.scan(texts).hits == index.scan(texts).hits
    grams = 2000
    big = Index.build({"a": [" ".join(f"{i}x{j}" for j in range(grams + 12)) for i in range(10)]})
    assert len(pickle.dumps(big)) < 17 * 10 * grams


def test_the_report_counts_leaks_and_documents():
    item = " ".join(f"w{i}" for i in range(112))
    index = Index.build({"a": [item, "too short"], "b": []})
    texts = [" ".join(item.split()[:62]), "nothing of it", item[:3]]
    scan = index.scan(texts)
    report = index.report(scan.grams, zip(["web", "web", "code"], scan.hits, strict=True))
    assert report == {
        "sets": {
            "a": {"items": 2, "not_indexed": 1, "ngrams": 100, "leaked": 0.5},
            "b": {"items": 0, "not_indexed": 0, "ngrams": 0, "leaked": 0.0},
        },
        "documents": {"web": {"a": 1}},
    }
    assert json.loads(json.dumps(report)) == report


def test_no_set_and_no_text_have_no_hit_and_settings_have_bounds():
    assert Index.build({}).hits("some text that is long enough to hold an n-gram of thirteen words or more") == {}
    assert Index.build({"a": []}).scan([]).hits == []
    for settings in ({"n": 4}, {"min_hits": 0}):
        with pytest.raises(InputError):
            Index.build({"a": []}, **settings)
