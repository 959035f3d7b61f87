"""Text of this Python and its packages as labelled documents: a corpus without downloading anything.

Eight clearly different domains, and the language manual to evaluate on:

    code/library      standard library, docstrings and comment lines taken out
    code/tests        tests of the standard library, numpy and scipy, in the same way
    prose/docstrings  docstrings of the standard library, numpy and scipy
    code/c            C headers of Python and numpy
    code/stubs        type stubs (*.pyi) of numpy and scipy
    tables/decimal    arithmetic test tables; where this Python has none: tables/charmaps, its code pages
    tables/unicode    code;name;category;character, made from `unicodedata`
    meta/record       names and hashes of installed files: close to noise, on purpose

Files come in the order of the hash of their path and reading stops at a domain's cap, so a cut is quick and the same
for the same installation. It is not the same on another: record the corpus fingerprint. Only English prose is here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import math
import os
import sysconfig
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from mixdesk.core import checks
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError

# Bytes per domain, ten-fold apart so that the natural mixture is far from the uniform one.
CAPS: dict[str, int] = {
    "code/tests": 1_200_000,
    "code/library": 800_000,
    "tables/decimal": 600_000,
    "prose/docstrings": 400_000,
    "meta/record": 400_000,
    "tables/unicode": 250_000,
    "code/stubs": 200_000,
    "code/c": 120_000,
}
# A long file becomes several documents, so that a split by document hash is balanced even in a small domain.
PIECE_BYTES = 8_000
# Shorter texts (empty `__init__.py` and the like) say nothing.
LEAST_BYTES = 200
PYTHON = "PSF-2.0"
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data"}
_NAMELESS = ("CJK ", "HANGUL SYLLABLE", "TANGUT ", "NUSHU ", "KHITAN ")


def installed_documents(caps: Mapping[str, int] = CAPS) -> Iterator[Document]:
    """Documents of the domains named in `caps`, at most that many UTF-8 bytes of each, read as they are asked for.

    Raises:
        InputError: an unknown domain.
    """
    for name in caps:
        checks.one_of("domain", name, _SOURCES)
    for name, cap in caps.items():
        yield from _capped(_pieces(_SOURCES[name]()), cap)


def manual_documents() -> Iterator[Document]:
    """The Python language manual, a document per topic, whole: the evaluation set `manual/language`.

    Raises:
        InputError: this Python came without `pydoc_data`.
    """
    try:
        from pydoc_data.topics import topics
    except ModuleNotFoundError:
        raise InputError(
            "this Python came without its manual", value="no module `pydoc_data`", bound="a whole standard library",
            remedy="use a Python from python.org, uv or your system's full package",
        ) from None  # fmt: skip
    for name in sorted(topics):
        yield Document(text=topics[name], label="manual/language", license=PYTHON, source=f"pydoc_data.topics:{name}")


def _library() -> Iterator[Document]:
    return _python(_stdlib_files(tests=False), "code/library", code=True)


def _tests() -> Iterator[Document]:
    files = _stdlib_files(tests=True) + [file for file in _package_files(".py") if "tests" in file.parts]
    return _python(_shuffled(files), "code/tests", code=True)


def _docstrings() -> Iterator[Document]:
    files = _stdlib_files(tests=False) + [file for file in _package_files(".py") if "tests" not in file.parts]
    return _python(_shuffled(files), "prose/docstrings", code=False)


def _c() -> Iterator[Document]:
    files = _files(Path(sysconfig.get_path("include")), ".h") + _package_files(".h")
    return _whole(_shuffled(files), "code/c")


def _stubs() -> Iterator[Document]:
    return _whole(_shuffled(_package_files(".pyi")), "code/stubs")


def _decimal() -> Iterator[Document]:
    tables = _files(_stdlib() / "test" / "decimaltestdata", ".decTest")
    if tables:
        return _whole(_shuffled(tables), "tables/decimal")
    return _whole(_shuffled(_files(_stdlib() / "encodings", ".py")), "tables/charmaps")


def _unicode() -> Iterator[Document]:
    for start in sorted(range(0, 0x30000, 512), key=lambda start: _hash(f"unicode/{start:06x}")):
        named = ((code, unicodedata.name(chr(code), "")) for code in range(start, start + 512))
        lines = (
            f"{code:04X};{name};{unicodedata.category(chr(code))};{chr(code)}\n"
            for code, name in named
            if name and not name.startswith(_NAMELESS)
        )
        yield Document(text="".join(lines), label="tables/unicode", license="Unicode-3.0", source=f"U+{start:04X}")


def _record() -> Iterator[Document]:
    records = [file for package in _packages() for file in package.parent.glob("*.dist-info/RECORD")]
    return (replace(document, license=None) for document in _whole(_shuffled(records), "meta/record"))


_SOURCES: dict[str, Callable[[], Iterator[Document]]] = {
    "code/tests": _tests,
    "code/library": _library,
    "tables/decimal": _decimal,
    "prose/docstrings": _docstrings,
    "meta/record": _record,
    "tables/unicode": _unicode,
    "code/stubs": _stubs,
    "code/c": _c,
}


def _capped(documents: Iterable[Document], cap: int) -> Iterator[Document]:
    """Documents until `cap` bytes are given out; the last is cut at the end of a line."""
    left = cap
    for document in documents:
        raw = document.text.encode()
        if len(raw) > left:
            short = raw[: raw.rfind(b"\n", 0, max(left, 0)) + 1].decode()
            if len(short) >= LEAST_BYTES:
                yield replace(document, text=short)
            return
        left -= len(raw)
        yield document


def _pieces(documents: Iterable[Document]) -> Iterator[Document]:
    """Documents cut at line ends into equal pieces of about PIECE_BYTES at most; the very short left out."""
    for document in documents:
        n_bytes = len(document.text.encode())
        n_pieces = math.ceil(n_bytes / PIECE_BYTES)
        lines, held, number = [], 0, 1
        for line in document.text.splitlines(keepends=True):
            lines.append(line)
            held += len(line.encode())
            if held >= n_bytes * number / n_pieces and number < n_pieces:
                yield replace(document, text="".join(lines), source=f"{document.source}#{number}")
                lines, number = [], number + 1
        if n_bytes >= LEAST_BYTES:
            yield replace(document, text="".join(lines), source=f"{document.source}#{number}")


def _whole(files: Iterable[Path], label: str) -> Iterator[Document]:
    """Each file as a document; those that are not UTF-8 text are passed over."""
    for file in files:
        text = _text(file)
        if text is not None:
            yield Document(text=text, label=label, license=_license(file), source=str(file))


def _python(files: Iterable[Path], label: str, *, code: bool) -> Iterator[Document]:
    """The code, or the docstrings, of each Python file that this Python can parse."""
    for document in _whole(files, label):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(document.text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        found = _docstring_nodes(tree)
        text = _without(document.text, found) if code else "\n\n".join(_clean(node) for node in found)
        yield replace(document, text=text)


def _docstring_nodes(tree: ast.Module) -> list[ast.Constant]:
    owners = [
        n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    firsts = [owner.body[0] for owner in owners if owner.body]
    values = [first.value for first in firsts if isinstance(first, ast.Expr)]
    found = [value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return sorted(found, key=lambda node: node.lineno)


def _without(text: str, docstrings: Iterable[ast.Constant]) -> str:
    """The lines that are neither in a docstring nor comments."""
    gone = {number for node in docstrings for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = text.split("\n")
    return "\n".join(line for i, line in enumerate(lines, 1) if i not in gone and not line.lstrip().startswith("#"))


def _clean(node: ast.Constant) -> str:
    """A docstring without its indentation."""
    lines = str(node.value).expandtabs().strip().split("\n")
    return "\n".join([lines[0], *(line[min(node.col_offset, len(line) - len(line.lstrip())) :] for line in lines[1:])])


def _text(file: Path) -> str | None:
    try:
        raw = file.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    return None if b"\0" in raw else text


def _stdlib() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _stdlib_files(*, tests: bool) -> list[Path]:
    """Python files of the standard library in the order of their hashes; its tests, or all but those."""
    if tests:
        return _shuffled(_files(_stdlib() / "test", ".py"))
    return _shuffled(_files(_stdlib(), ".py", without=_NOT_LIBRARY))


@cache
def _packages() -> tuple[Path, ...]:
    """Folders of numpy and scipy, found without importing them."""
    specs = (importlib.util.find_spec(name) for name in ("numpy", "scipy"))
    return tuple(Path(spec.origin).parent for spec in specs if spec is not None and spec.origin is not None)


def _package_files(suffix: str) -> list[Path]:
    return [file for package in _packages() for file in _files(package, suffix)]


def _files(root: Path, suffix: str, without: Iterable[str] = ()) -> list[Path]:
    """Files below a folder, those named in `without` apart; none where the folder is missing."""
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__" and name not in set(without)]
        found += [Path(place) / name for name in names if name.endswith(suffix)]
    return found


def _shuffled(files: Iterable[Path]) -> list[Path]:
    """Each file once, in the order of the hash of its last steps: those do not say where Python is installed."""
    return sorted(set(files), key=lambda file: (_hash("/".join(file.parts[-4:])), str(file)))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _license(file: Path) -> str | None:
    """SPDX expression of the package a file belongs to; None where its metadata has none."""
    for package in _packages():
        if package in file.parents:
            return _declared(package.name)
    return PYTHON


@cache
def _declared(package: str) -> str | None:
    stated = importlib.metadata.metadata(package).get_all("License-Expression")
    return stated[0] if stated else None
