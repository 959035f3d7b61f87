"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from mixdesk.core import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "mixdesk"
MODULES = sorted(PACKAGE.rglob("*.py"))
REFERENCES = tomllib.loads((PACKAGE / "references.toml").read_text(encoding="utf-8"))
PARTS = [(kind, name) for kind in registry.ROOMS for name in registry.names(kind)]

MAX_MODULE, MAX_FUNCTION, MAX_PARAMETERS = 600, 80, 8
BANNED = {"utils", "common", "helpers", "misc", "constants", "base", "aliases", "manager", "types"}
# Loading one of these takes longer than all the rest of `mixdesk --help`.
HEAVY = ("torch", "scipy", "sklearn", "pandas", "lightgbm", "plotly", "tokenizers", "ray")
# One call for a whole pipeline: its parameters are its settings, all by keyword.
WIDE = {"src/mixdesk/corpus/build.py": "build"}
# Folders that git ignores.
MADE = re.compile(r"/(\.venv|\.hypothesis|[._]\w*cache(__)?|[^/]*\.egg-info|demo|build|dist)/")
# Test folders that mirror no room, and test files that tell a whole room's story.
ACROSS = {"contracts", "properties", "golden", "e2e"}
STORY = "test_story.py"


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def kept_files() -> tuple[Path, ...]:
    """Text files of the repository: what git tracks or would track; without git, all but what is made."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:
        paths = [path for path in ROOT.rglob("*") if not MADE.search(f"/{name_of(path)}/")]
    return tuple(path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192])


def test_modules_and_functions_are_short():
    long = []
    for path in MODULES:
        n_lines = len(path.read_text(encoding="utf-8").splitlines())
        if n_lines > MAX_MODULE:
            long.append(f"{name_of(path)}: {n_lines} lines")
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                n_lines = node.end_lineno - node.lineno + 1
                if n_lines > MAX_FUNCTION:
                    long.append(f"{name_of(path)}:{node.lineno} {node.name}: {n_lines} lines")
    assert not long, "\n".join(long)


def test_functions_have_few_parameters():
    """Methods do not count `self`. Commands (their parameters are the command line) and flows of `api`, which mirror
    them, may have more.
    """
    many = []
    for path in MODULES:
        if path.parent.name in ("cli", "api"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                names = [one.arg for one in arguments if one.arg not in ("self", "cls")]
                if len(names) > MAX_PARAMETERS and WIDE.get(name_of(path)) != node.name:
                    many.append(f"{name_of(path)}:{node.lineno} {node.name}: {len(names)} parameters")
    assert not many, "\n".join(many)


def test_no_module_is_named_for_nothing():
    assert not [name_of(path) for path in MODULES if path.stem.strip("_") in BANNED]
    assert not [name_of(path) for path in PACKAGE.rglob("*") if path.is_dir() and path.name in BANNED]


def test_nothing_is_left_undone():
    undone = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in PACKAGE.rglob("*")
        if path.suffix in (".py", ".js", ".css", ".html")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX)\b|NotImplementedError", line)
    ]
    assert not undone, "\n".join(undone)


def test_nothing_names_the_place_where_it_was_written():
    # In two halves each, so that this file does not name it either.
    patterns = [a + b for a, b in (("/wo", "rk/"), (r"\.lib", "rary"), (r"\bfa", "rm-"), ("helper ", "session"))]
    patterns += [a + b for a, b in (("://py", "pi"), ("--index", "-url"), ("--extra-index", "-url"), ("/opt/", "pypi"))]
    pattern = re.compile("|".join(patterns))
    named = []
    for path in kept_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            is_tables = path.name == "Makefile" and line.startswith("TABLES ?=")
            if pattern.search(line) and not is_tables:
                named.append(f"{name_of(path)}:{number}: {line.strip()[:120]}")
    assert not named, "\n".join(named)


def test_help_loads_nothing_heavy():
    script = (
        "import sys\n"
        "sys.argv = ['mixdesk', '--help']\n"
        "import mixdesk.cli.main as cli\n"
        "try:\n"
        "    cli.run()\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.rstrip().endswith("loaded: []"), done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "name"), PARTS, ids=lambda value: str(value))
def test_every_part_says_what_it_is_and_where_it_is_from(kind, name):
    part = registry.part(kind, name)
    assert part.title
    assert len(part.title) <= 80
    assert not part.title.endswith(".")
    assert part.reference == "" or REFERENCES[part.reference]["status"] == "built"
    assert (part.__doc__ or "").strip()
    assert not part.__doc__.startswith(f"{part.__name__}("), "the docstring is the one dataclass makes"


def test_a_room_of_parts_is_a_table_and_nothing_else():
    for room in set(registry.ROOMS.values()):
        body = tree_of(PACKAGE / room.replace(".", "/") / "__init__.py").body
        rest = [node for node in body if not isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign)]
        assert not rest, f"{room}/__init__.py: {ast.unparse(rest[0])}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_names_have_docstrings(path):
    tree = tree_of(path)
    bare = [] if ast.get_docstring(tree) else [f"{name_of(path)}: the module"]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            inner = node.body if isinstance(node, ast.ClassDef) else []
            public = [one for one in inner if isinstance(one, ast.FunctionDef) and not one.name.startswith("_")]
            bare += [
                f"{name_of(path)}:{one.lineno} {one.name}" for one in (node, *public) if not ast.get_docstring(one)
            ]
    assert not bare, "\n".join(bare)


def test_every_test_file_mirrors_a_module():
    stray = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        room = path.relative_to(ROOT / "tests").parts[0]
        if path == Path(__file__).resolve() or room in ACROSS or path.name == STORY:
            continue
        mirrored = PACKAGE / path.relative_to(ROOT / "tests").parent / path.stem.removeprefix("test_")
        if not (mirrored.with_suffix(".py").exists() or mirrored.is_dir()):
            stray.append(name_of(path))
    assert not stray, "\n".join(stray)


def test_references_are_complete():
    assert sorted(ref["number"] for ref in REFERENCES.values() if ref["number"]) == list(range(1, 46))
    for key, ref in REFERENCES.items():
        assert ref["title"], key
        assert ref["name"], key
        assert ("arxiv" in ref) == ("id_status" in ref), key
        assert ref.get("id_status", "printed") in ("printed", "verified", "memory"), key
        assert ref["status"] in ("built", "not built"), key
        if ref["status"] == "not built":
            assert ref["note"], key
            continue
        for module in ref["modules"]:
            assert importlib.util.find_spec(module), f"{key}: no module {module}"
        for path in (*ref["tests"], *ref.get("results", ())):
            assert (ROOT / path).exists(), f"{key}: no file {path}"


def test_every_paper_that_the_code_cites_is_in_the_references():
    unknown = []
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                cited = re.findall(r"Reference: ([^.]*)", ast.get_docstring(node) or "")
                keys = re.findall(r"\b[a-z]+(?:\d{4}[a-z]*)\b", " ".join(cited))
                unknown += [f"{name_of(path)}: {key}" for key in keys if key not in REFERENCES]
    assert not unknown, "\n".join(unknown)


def test_the_catalogue_is_up_to_date():
    papers = script("papers")
    assert (PACKAGE / "methods.json").read_text(encoding="utf-8") == papers.methods(), "run: python scripts/papers.py"
    assert (ROOT / "docs" / "papers.md").read_text(encoding="utf-8") == papers.page(), "run: python scripts/papers.py"


def test_the_changelog_has_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sections = re.findall(r"^## \[([^\]]+)\]", text, flags=re.MULTILINE)
    assert sections[0] == "Unreleased" or sections[0] == version
    assert version in sections
    assert re.search(rf"^## \[{re.escape(version)}\][^#]*^### \w+\n\n- ", text, flags=re.MULTILINE)


def test_every_install_line_is_constrained():
    loose = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in kept_files()
        if path.name in ("Makefile", "README.md", "CONTRIBUTING.md") or path.parts[-2:] == (".ci", "run")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "pip install" in line and "constraints.txt" not in line
    ]
    assert not loose, "\n".join(loose)


def test_recipes_of_the_makefile_have_at_most_three_lines():
    long, target, n_lines = [], "", 0
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if line.startswith("\t"):
            n_lines += 1
            long += [target] if n_lines == 4 else []
        elif re.match(r"[\w.%/-]+:", line):
            target, n_lines = line, 0
    assert not long, "\n".join(long)


def test_the_readme_gets_to_the_point():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    first = "\n".join(lines[:20])
    for needed in ("make demo", "make test", "docs/desk.png"):
        assert needed in first, f"{needed} is not among the first 20 lines"
    for link in re.findall(r"\]\(([^)#:]+)\)", "\n".join(lines)):
        assert (ROOT / link).exists() or link == "docs/desk.png", f"README links to {link}, which is not there"
