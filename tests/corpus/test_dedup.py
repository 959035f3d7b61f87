from hypothesis import given
from hypothesis import strategies as st

from mixdesk.corpus.dedup import ExactDedup, content_key


@given(st.lists(st.text("abé\u3000 \n\t", min_size=1), max_size=20))
def test_one_document_of_each_content_stays(texts: list[str]) -> None:
    dedup = ExactDedup()
    kept = [text for text in texts if dedup.keep("d", text)]
    assert len({" ".join(text.split()) for text in texts}) == len(kept)
    assert dedup.duplicates.get("d", 0) == len(texts) - len(kept)


def test_the_first_domain_wins_and_evaluation_text_is_held_out() -> None:
    dedup = ExactDedup()
    assert dedup.hold_out("set", "exam  one")
    assert not dedup.hold_out("set", "exam one\n")
    assert dedup.hold_out("other", "exam one")
    assert [dedup.keep(*one) for one in (("a", "x y"), ("b", "x  y"), ("b", "exam one"), ("b", "z"))] == [
        True,
        False,
        False,
        True,
    ]
    assert dedup.duplicates == {"b": 1}
    assert dedup.held_out == {"b": 1}


def test_case_and_punctuation_count() -> None:
    assert len({content_key(text) for text in ("a b", "A b", "a b.", "ab")}) == 4
