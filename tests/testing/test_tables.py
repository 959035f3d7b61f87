"""Recorded tables: joined by id, looked up by mixture, refused with a reason."""

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.core.mixture import Mixture
from mixdesk.testing.tables import read_table

MIXTURES = "index,web,code\n7,0.5,0.499\n8,1,0\n9,0.2,0.8\n"
SCORES = "index,loss,accuracy\n9,2.0,0.3\n8,4.0,\n7,3.0,0.5\n"


@pytest.fixture
def write(tmp_path):
    def write(mixtures=MIXTURES, scores=SCORES):
        (tmp_path / "w.csv").write_text(mixtures)
        (tmp_path / "y.csv").write_text(scores)
        return tmp_path / "w.csv", tmp_path / "y.csv"

    return write


def test_rows_are_joined_by_id_and_weights_renormalised(write):
    table = read_table(*write())
    assert table.runs == ("7", "8", "9")
    np.testing.assert_allclose(table.W_nd.sum(1), 1.0)
    np.testing.assert_array_equal(table.Y_nm, [[3.0, 0.5], [4.0, np.nan], [2.0, 0.3]])
    obs = table.observations()
    assert obs.trials == table.runs
    assert obs.n_groups == 3


def test_the_nearest_run_answers_and_a_missing_score_is_absent(write):
    table = read_table(*write())
    assert table.measure(Mixture.of({"web": 0.2, "code": 0.8})) == {"loss": 2.0, "accuracy": 0.3}
    assert table.measure(Mixture.of({"web": 1.0})) == {"loss": 4.0}
    assert table.measure(Mixture.of({"web": 0.5005, "code": 0.4995}))["loss"] == 3.0
    with pytest.raises(InputError, match="no run of this mixture"):
        table.measure(Mixture.of({"web": 0.6, "code": 0.4}))


def test_repeats_take_turns(write):
    table = read_table(*write("id,a,b\nx,0.5,0.5\ny,0.5,0.5\n", "id,loss\nx,1\ny,2\n"))
    mixture = Mixture.uniform(("a", "b"))
    assert [table.measure(mixture, r)["loss"] for r in range(3)] == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("mixtures", "scores", "message"),
    [
        ("index,a\n", SCORES, "holds no table"),
        (MIXTURES, "index,loss\n7,1\n8,1\n", "not in both tables"),
        (MIXTURES.replace("0.499", "much"), SCORES, "row 2"),
        (MIXTURES.replace("8,1,0", "8,1"), SCORES, "row 3 has the wrong length"),
        (MIXTURES.replace("8,1,0", "8,1,-1"), SCORES, "no mixture"),
        (MIXTURES.replace("web,code", "web,web"), SCORES, "a name twice"),
        (MIXTURES.replace("8,1,0", "7,1,0"), SCORES, "a name twice"),
    ],
)
def test_bad_tables_are_refused(write, mixtures, scores, message):
    with pytest.raises(InputError, match=message):
        read_table(*write(mixtures, scores))
