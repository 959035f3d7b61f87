"""A trainer's code in a process of its own: stand-ins, packages without their start, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixdesk.core.errors import InputError
from mixdesk.export.apart import run_apart


def test_absent_packages_are_stood_in_for_and_bare_ones_not_started(tmp_path: Path) -> None:
    package = tmp_path / "maker"
    (package / "part").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError\n")
    (package / "part" / "__init__.py").write_text(
        "import nowhere.deep\nclass A(nowhere.deep.Base): x = list(nowhere.Y)\n"
    )
    code = "import json, sys\nfrom maker.part import A\nopen(given['answer'], 'w').write(json.dumps([A.x, given['n']]))"
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n" + code
    with pytest.raises(InputError, match="RuntimeError"):
        run_apart(code, {"n": 3}, tmp_path, absent=["nowhere"])
    assert run_apart(code.replace("from maker.part", _BARE), {"n": 3}, tmp_path, absent=["nowhere"]) == [[], 3]


_BARE = (
    "import types\nm = types.ModuleType('maker')\nm.__path__ = [sys.path[0] + '/maker']\nsys.modules['maker'] = m\n"
    "from maker.part"
)


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        run_apart("import nowhere_at_all", {}, tmp_path, absent=[])
    assert caught.value.name == "nowhere_at_all"
    with pytest.raises(ModuleNotFoundError):
        run_apart("", {}, tmp_path, absent=[], bare=["nowhere_at_all"])


def test_a_failure_shows_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ValueError: torn"):
        run_apart("raise ValueError('torn')", {}, tmp_path, absent=[])
