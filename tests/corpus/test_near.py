"""Near-duplicates: planted copies at known similarity are found, unlike texts stay, and the result is deterministic."""

import random
import subprocess
import sys

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.corpus.near import Near, duplicates, signatures, similarity

WORDS = [f"w{i}" for i in range(5000)]


def shingles(text, n=5):
    words = text.split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def jaccard(a, b):
    a, b = shingles(a), shingles(b)
    return len(a & b) / len(a | b)


def planted(n_pairs, share, seed):
    """Texts of 200 words and, after them, copies whose last `share` of the words is new."""
    rng = random.Random(seed)
    texts = [rng.choices(WORDS, k=200) for _ in range(n_pairs)]
    kept = round(200 * (1 - share))
    copies = [text[:kept] + rng.choices(WORDS, k=200 - kept) for text in texts]
    return [" ".join(text) for text in texts + copies]


def test_copies_well_above_the_threshold_go_and_texts_well_below_it_stay():
    near_texts, far_texts = planted(200, 0.05, 1), planted(200, 0.2, 2)
    assert min(jaccard(near_texts[i], near_texts[200 + i]) for i in range(200)) > 0.88
    assert max(jaccard(far_texts[i], far_texts[200 + i]) for i in range(200)) < 0.68
    copy_n = duplicates(signatures(near_texts + far_texts, Near()), Near())
    gone = np.flatnonzero(copy_n != np.arange(800))
    right = [i for i in gone if 200 <= i < 400 and copy_n[i] == i - 200]
    assert len(right) / 200 >= 0.95
    assert len(right) / len(gone) >= 0.95


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_a_pair_at_the_threshold_meets_in_a_band_mostly(threshold):
    near = Near(threshold=threshold)
    assert near.rows * near.n_bands == 128
    assert 1 - (1 - threshold**near.rows) ** near.n_bands >= 0.85


def test_the_estimate_is_jaccards_within_its_standard_error():
    for share in (0.02, 0.1, 0.3):
        texts = planted(300, share, 3)
        bands_nb = signatures(texts, Near())
        error = similarity(bands_nb[:300], bands_nb[300:], Near()) - [
            jaccard(texts[i], texts[300 + i]) for i in range(300)
        ]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(300)
        assert error.std() < 0.05


def test_the_earliest_stays_and_case_punctuation_and_space_do_not_count():
    text = "The quick brown fox jumps over the lazy dog and runs away."
    copy_n = duplicates(signatures(["other words here", text, text.upper(), text.replace(" ", " \n")], Near()), Near())
    assert copy_n.tolist() == [0, 1, 1, 1]


def test_short_texts_are_equal_or_not_and_texts_without_words_are_nobodys_copy():
    copy_n = duplicates(signatures(["one two", "one two!", "one three", "", "...", ""], Near()), Near())
    assert copy_n.tolist() == [0, 0, 2, 3, 4, 5]


def test_scripts_without_blanks_are_compared_by_characters():
    rng = random.Random(4)
    text = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(200))
    other = "".join(chr(rng.randrange(0x4E00, 0x9FA0)) for _ in range(200))
    copy_n = duplicates(signatures([text, text[:-5] + "木木木木木", other], Near()), Near())
    assert copy_n.tolist() == [0, 0, 2]


def test_a_chain_of_small_steps_does_not_merge_its_ends():
    words = random.Random(5).choices(WORDS, k=260)
    texts = [" ".join(words[i : i + 200]) for i in range(0, 60, 6)]
    copy_n = duplicates(signatures(texts, Near()), Near())
    assert len(set(copy_n)) >= 3
    assert all(copy_n[i] == i for i in set(copy_n))
    assert all(jaccard(texts[i], texts[copy_n[i]]) > 0.7 for i in range(10))


def test_signatures_do_not_depend_on_the_batch_or_the_process():
    texts = planted(50, 0.1, 6)
    together = signatures(texts, Near())
    assert (together == np.concatenate([signatures([text], Near()) for text in texts])).all()
    code = "from mixdesk.corpus.near import *; print(signatures(['a b c d e f g'], Near()).tolist())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other == f"{signatures(['a b c d e f g'], Near()).tolist()}\n"


def test_no_text_is_no_signature_and_settings_have_bounds():
    assert signatures([], Near()).shape == (0, 16)
    assert duplicates(signatures([], Near()), Near()).shape == (0,)
    for settings in ({"threshold": 0.1}, {"n_hashes": 100}, {"n": 0}):
        with pytest.raises(InputError):
            Near(**settings)
