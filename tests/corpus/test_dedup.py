import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.corpus.dedup import content_key, first_copies


@given(st.lists(st.text("abé\u3000 \n\t", min_size=1), max_size=20))
def test_the_first_document_of_each_content_is_found(texts: list[str]) -> None:
    keys = np.array([np.frombuffer(content_key(text), dtype=np.uint64) for text in texts]).reshape(-1, 2)
    contents = [" ".join(text.split()) for text in texts]
    assert first_copies(keys).tolist() == [contents.index(one) for one in contents]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30))
def test_both_words_of_a_key_count(keys: list[tuple[int, int]]) -> None:
    found = first_copies(np.array(keys, dtype=np.uint64).reshape(-1, 2))
    assert found.tolist() == [keys.index(one) for one in keys]


def test_case_and_punctuation_count() -> None:
    assert len({content_key(text) for text in ("a b", "A b", "a b.", "ab")}) == 4
