from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.export.card import Card
from mixdesk.testing.orders import THREE, VECTOR, order, orders


@pytest.mark.parametrize("form", ["card.md", "card.json", "card.csv"])
@pytest.mark.parametrize("case", ["two stages", "slashes", "zero weight"])
def test_the_mixture_can_be_rebuilt_from_each_form_alone(form: str, case: str, tmp_path: Path) -> None:
    wanted = orders()[case]
    Card().export(wanted, tmp_path)
    alone = tmp_path / "alone"
    alone.mkdir()
    (tmp_path / form).rename(alone / form)
    found = Card().read(alone / form).plan.schedule
    assert [stage.until for stage in found.stages] == [stage.until for stage in wanted.plan.schedule.stages]
    for stage, asked in zip(found.stages, wanted.plan.schedule.stages, strict=True):
        assert stage.mixture.as_dict() == pytest.approx(asked.mixture.as_dict(), abs=1e-12)


def test_names_that_break_tables_come_back(tmp_path: Path) -> None:
    names = {"a|b": 0.25, 'say "hi", then': 0.75}
    Card().export(order({name: (1000, 10) for name in names}, (1.0, names), n_tokens=1_000), tmp_path)
    for form in ("card.md", "card.json", "card.csv"):
        assert Card().read(tmp_path / form).plan.schedule.stages[0].mixture.as_dict() == pytest.approx(names)


def test_the_card_shows_epochs_and_the_run(tmp_path: Path) -> None:
    Card().export(order(VECTOR, (1.0, THREE)), tmp_path)
    text = (tmp_path / "card.md").read_text()
    assert "Tokens of the run: 200,000" in text
    assert "| code | 0.3 | 1 |" in text
    assert Card().read(tmp_path / "card.md").plan.scale.n_tokens == 200_000


def test_another_file_is_no_card(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("# nothing\n")
    with pytest.raises(InputError, match="is no card"):
        Card().read(tmp_path / "x.md")
    with pytest.raises(InputError, match="nothing draws samples from a card"):
        Card().verify(tmp_path, Card().export(order(VECTOR, (1.0, THREE)), tmp_path), 10)
