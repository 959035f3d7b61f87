"""The script of prepared rows, whatever trainer reads them: numbers, counts, and files that are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixdesk.core.errors import InputError
from mixdesk.export import prepared
from mixdesk.testing.orders import THREE, VECTOR, order, orders


def test_tokens_add_up_and_stages_end_at_steps() -> None:
    thirds = order(VECTOR, (1 / 3, THREE), (1.0, THREE))
    found = prepared.tokens_of(thirds)
    assert [sum(one.values()) for one in found] == [66_000, 134_000]
    odd = order(VECTOR, (1.0, {"web": 1 / 3, "code": 1 / 3, "books": 1 / 3}), n_tokens=100_000)
    assert sorted(prepared.tokens_of(odd)[0].values()) == [33_333, 33_333, 33_334]


def test_a_script_comes_back_without_its_account(tmp_path: Path) -> None:
    for name, wanted in orders().items():
        out = tmp_path / name
        prepared.write_script(wanted, out, "Nobody.")
        found = prepared.read_script(out / prepared.SCRIPT).plan
        assert found.scale.n_tokens == wanted.n_tokens
        for stage, asked in zip(found.schedule.stages, wanted.plan.schedule.stages, strict=True):
            weights = asked.mixture.as_dict()
            assert all(abs(stage.mixture.as_dict().get(n, 0.0) - w) <= 1.1e-5 for n, w in weights.items())


def test_counts_that_are_not_known_are_asked_for() -> None:
    with pytest.raises(InputError, match="tokens of `web` are not known"):
        prepared.tokens_of(order({"web": (0, 10)}, (1.0, {"web": 1.0})))


def test_rows_lines_and_names(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n\n{}")
    assert prepared.count_rows(tmp_path / "a.jsonl") == 2
    assert prepared.count_rows(tmp_path / "none") is None
    assert prepared.domain_names(["x/web.jsonl.gz", "x/a/code.parquet"], tmp_path) == ["web", "a/code"]
    assert prepared.whole_rows(order(VECTOR, (1.0, THREE))) == [{"books": 5, "code": 150, "web": 150}]


def test_a_script_is_read_not_run(tmp_path: Path) -> None:
    path = tmp_path / "mixture.py"
    path.write_text('import os\nos.remove("/nothing")\nSIZES = {"a": 2}\nSTAGES = [{"a": 1}]\n')
    assert prepared.read_script(path).plan.schedule.domains == ("a",)
    path.write_text('SIZES = {"a": 2}\nSTAGES = [{"a": "x"}]\n')
    with pytest.raises(InputError, match="could not be understood"):
        prepared.read_script(path)


@pytest.mark.parametrize("again", [False, True])
def test_the_chance_of_whole_rows_is_what_draws_have(again: bool, tmp_path: Path) -> None:
    """Of a part of a pass of `web`, of more than one of `code` and `books`, over 400 draws."""
    wanted, rng = order(VECTOR, (1.0, {"web": 0.1, "code": 0.5, "books": 0.4})), np.random.default_rng(0)
    [amounts] = prepared.whole_rows(wanted)
    [stage] = prepared.rows_as_stages(wanted, [amounts], ["x"])
    rows = {
        name: rng.integers(mean // 4, 2 * mean, size=wanted.domain(name).n_docs)
        for name, mean in (("web", 800), ("code", 400), ("books", 4_000))
    }
    bench = prepared.Bench(
        folder=tmp_path, tokens_per_character=dict.fromkeys(rows, 1.0),
        rows={name: one.astype(np.float64) for name, one in rows.items()},
    )  # fmt: skip
    names = [name for name, n in amounts.items() for _ in range(n)]

    def drawn(size: int, n: int) -> list[int]:
        passes = 1 if again and n > size else n // size
        rest = rng.integers(size, size=n - size) if again and n > size else rng.permutation(size)[: n % size]
        return [*range(size)] * passes + rest.tolist()

    found = []
    for _ in range(400):
        lengths = [int(rows[name][k]) for name, n in amounts.items() for k in drawn(len(rows[name]), n)]
        found.append(bench.realised(stage, names, lengths, whole=True, again=again))
    shares = np.array([[dict(one.realised)[name] for name in rows] for one in found])
    assert np.mean([one.chance for one in found]) == pytest.approx(shares.std(axis=0).max(), rel=0.15)
    assert prepared.about_chance(found).startswith(" Rows are whole")
    assert prepared.about_chance([bench.realised(stage, names, lengths)]) == ""
