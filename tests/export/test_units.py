import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdesk.core.errors import InputError
from mixdesk.export import units
from mixdesk.testing.orders import THREE, VECTOR, order

VECTOR_ORDER = order(VECTOR, (1.0, THREE))


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=50), st.integers(0, 100_000))
def test_whole_numbers_add_up_and_stay_within_one(amounts: list[float], total: int) -> None:
    named = {str(i): amount for i, amount in enumerate(amounts)}
    out = units.whole(named, total)
    assert sum(out.values()) == total
    exact = {name: amount * total / sum(amounts) for name, amount in named.items()}
    assert all(abs(out[name] - exact[name]) < 1.0 + 1e-6 for name in named)


def test_the_vector_of_the_three_domains() -> None:
    [stage] = VECTOR_ORDER.stages()
    assert units.row_shares(VECTOR_ORDER, THREE) == pytest.approx(
        {"web": 0.491803, "code": 0.491803, "books": 0.016393}, abs=1e-6
    )
    assert units.rows(VECTOR_ORDER, stage) == {"web": 150, "code": 150, "books": 5}
    assert VECTOR_ORDER.epochs() == pytest.approx({"web": 0.2, "code": 1.0, "books": 0.5})


def test_shares_of_tokens_taken_for_shares_of_rows_train_something_else() -> None:
    assert units.token_shares(VECTOR_ORDER, THREE) == pytest.approx({"web": 0.48, "code": 0.12, "books": 0.40})
    assert units.token_shares(VECTOR_ORDER, units.row_shares(VECTOR_ORDER, THREE)) == pytest.approx(THREE)


def test_a_stage_ends_at_a_whole_step() -> None:
    first, second = order(VECTOR, (0.333, THREE), (1.0, THREE)).stages()
    assert (first.end, second.start, second.end) == (66_000, 66_000, 200_000)
    with pytest.raises(InputError, match="no whole step"):
        list(order(VECTOR, (0.001, THREE), (1.0, THREE)).stages())


def test_what_is_not_known_is_asked_for() -> None:
    unknown = order({"web": (600_000, 0)}, (1.0, {"web": 1.0}))
    with pytest.raises(InputError, match="mean length of the documents of `web`"):
        units.row_shares(unknown, {"web": 1.0})
