"""The demo: what docs/demo.md shows is what runs, and the whole of it works on this machine's own text."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mixdesk as mx
from mixdesk.api.demo import demo_config
from mixdesk.core.files import from_data
from mixdesk.study.config import StudyConfig

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_documented_toml_is_the_demo() -> None:
    assert from_data(StudyConfig, tomllib.loads(block("toml"))) == demo_config()


def test_the_documented_python_is_the_demo() -> None:
    code = block("python")
    until = code.index("study = mx.new_study")
    names: dict[str, Any] = {"mx": mx}
    lines = [line for line in code[:until].splitlines() if not line.startswith(("import", "mx.build_corpus"))]
    exec("\n".join(lines), names)
    assert names["config"] == demo_config()


def test_the_target_has_four_times_the_flops() -> None:
    for quick in (False, True):
        proxy, target = demo_config(quick).rungs
        assert proxy.flops is not None
        assert target.flops is not None
        assert target.flops >= 4 * proxy.flops


@pytest.mark.slow
@pytest.mark.e2e
def test_the_quick_demo_ends_with_a_verdict_and_a_desk(tmp_path: Path) -> None:
    said: list[str] = []
    page = mx.demo(tmp_path / "demo", quick=True, say=said.append)
    assert page.stat().st_size < 8_000_000
    recipe = mx.read_recipe(tmp_path / "demo")
    assert recipe.verdict.name in ("better", "no different", "worse", "too weak")
    assert {c.n_pairs for c in recipe.comparisons if c.basis == "trained"} == {3}
    noise = {row.metric: row.ratio for row in mx.open_study(tmp_path / "demo").view().noise()}
    assert noise["bpb/set/manual"] >= 3
    assert any(recipe.verdict.headline in line for line in said)
    again: list[str] = []
    mx.demo(tmp_path / "demo", quick=True, say=again.append)  # all is there: nothing is trained twice
    assert mx.read_recipe(tmp_path / "demo").mixture == recipe.mixture
