"""Files, folders and globs to a stream of documents.

| suffix | read as |
| --- | --- |
| `.txt` `.md` `.markdown` | one document a file |
| `.jsonl` `.ndjson` `.json` | one record a line |
| `.html` `.htm` | the main content of one page |
| `.warc` | the main content of each page |
| `.parquet` `.arrow` | one record a row |

All but the last row may be packed (`.gz`, `.zst`). What a record may hold stands in `mixdesk.corpus.records`.
datatrove's output is JSON lines or Parquet, a folder of `datasets.save_to_disk` is Arrow. Folders are walked in sorted
order; hidden files are passed over, links to folders counted. A document's label is its record's own; else the folder's
path below the source; else the file's stem without a shard's number (`web-00000-of-00004` is `web`); else the source
folder's name. Memory is bounded by the longest record.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mixdesk.core import registry
from mixdesk.core.corpus import Document
from mixdesk.core.errors import InputError
from mixdesk.corpus.inputs import PACKED, bad, is_safe
from mixdesk.corpus.inputs import Skipped as Skipped
from mixdesk.corpus.inputs import SourceFile as SourceFile

# What a caller may hand in: paths and globs, or documents made elsewhere.
Sources = Sequence[Path | str] | Iterable[Document]

_TEXT, _LINES, _PAGE = "plain:read_text", "plain:read_json_lines", "web:read_page"
READERS = {
    ".txt": _TEXT, ".md": _TEXT, ".markdown": _TEXT,
    ".jsonl": _LINES, ".ndjson": _LINES, ".json": _LINES,
    ".html": _PAGE, ".htm": _PAGE, ".warc": "web:read_warc",
    ".parquet": "columns:read_parquet", ".arrow": "columns:read_arrow",
}  # fmt: skip
NEEDED = {".html": ("resiliparse",), ".htm": ("resiliparse",), ".warc": ("resiliparse", "fastwarc")}
_NEVER_PACKED = (".parquet", ".arrow")
_KNOWN = f"files ending in {', '.join(READERS)}, all but {' and '.join(_NEVER_PACKED)} perhaps with .gz or .zst"
# Files beside the data of `datasets.save_to_disk`.
_STATE = "state.json"
_BESIDE = (_STATE, "dataset_info.json", "dataset_dict.json")
# Bytes of a `.json` that are looked at before it is taken for JSON lines.
_PEEK = 1 << 16
_SHARD = re.compile(r"(^(\d{3}_)?|[-_.])\d{5}(-of-\d{5})?$")


def _is_settings(path: Path, skipped: Skipped) -> bool:
    """Whether a `.json` that nobody named holds one value over several lines, as settings and indices do."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as handle:
            first = handle.read(2).strip()
            line = handle.readline(_PEEK).strip()
    except OSError:
        return False  # reading it says why
    if first.startswith(b"{") and (len(line) >= _PEEK - 1 or line.endswith(b"}")):
        return False
    skipped.count("another kind of file", f"`{path}` is JSON, but not JSON lines")
    return True


def find_files(sources: Iterable[Path | str], skipped: Skipped) -> list[SourceFile]:
    """The files behind paths, folders and globs, in the order given; inside a folder or glob sorted by path.

    Files of another kind inside a folder or glob are counted in `skipped`, and so is a file that was found before; a
    `.json` that does not begin with a line that is an object is of another kind, unless it is named.

    Raises:
        InputError: a source that does not exist or holds no readable file, a named file of an unknown kind, a folder
            that cannot be listed, or a path that gives no label; the last two are counted with `on_error` "skip".
        MissingExtra: a file needs a package that is not installed.
    """
    found: dict[str, SourceFile] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside, root = _walk(path, skipped), path
        elif path.exists():
            inside, root = [path], path.parent
        else:
            root = _root_of(path)
            inside = sorted(hit for hit in root.glob(str(path.relative_to(root))) if hit.is_file())
        if not path.is_file():
            inside = [one for one in inside if not _is_settings(one, skipped)]
        usable = [one for one in inside if _suffix(one) and one.is_file()]
        if not usable:
            raise InputError(
                f"the source `{source}` holds no text",
                value=f"{len(inside)} files of another kind" if inside else "no such file",
                bound=_KNOWN,
                remedy="check the path",
            )
        for one in inside:
            if not _suffix(one):
                skipped.count("another kind of file", f"`{one}` is none of the {_KNOWN}")
            elif not one.is_file():
                skipped.count("no regular file", f"`{one}` is a broken link, a pipe or a device")
        for one in usable:
            _add(SourceFile(path=one, label=_label_of(one, root)), found, skipped)
    for suffix in {_suffix(file.path) for file in found.values()} & NEEDED.keys():
        registry.require(*NEEDED[suffix])
    return list(found.values())


def read_files(files: Iterable[SourceFile], skipped: Skipped) -> Iterator[Document]:
    """The documents of the files, in order; what a broken file gave before its break stays in.

    Of a packed file that breaks off up to 16 kB before the break are lost too: Arrow unpacks that much at a time.

    Raises:
        InputError: an input that cannot be used (empty, binary, not UTF-8, too long, half a packed file, a record
            without text or with a wrong field), naming file and line, row or page; with `on_error` "skip" they are
            counted instead.
    """
    for file in files:
        try:
            yield from _reader(file.path)(file, skipped)
        except OSError as error:
            if error.errno is None:
                codec = PACKED.get(file.path.suffix.lower(), "stream")
                what = f"`{file.name}` is not a whole {codec} file"
                skipped.refuse(f"broken {codec}", bad(what, str(error), f"a complete {codec} file", "fetch it again"))
            else:
                why = error.strerror or str(error)
                skipped.refuse(
                    "unreadable", bad(f"`{file.name}` could not be read", why, "a readable file", "check it")
                )


def _reader(path: Path) -> Callable[[SourceFile, Skipped], Iterator[Document]]:
    module, _, function = READERS[_suffix(path)].partition(":")
    reader: Callable[[SourceFile, Skipped], Iterator[Document]]
    reader = getattr(importlib.import_module(f"mixdesk.corpus.{module}"), function)
    return reader


def _suffix(path: Path) -> str:
    """The suffix that says how a file is read, or "" for not at all."""
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower() if suffix in PACKED else suffix
    is_known = inner in READERS and not (suffix in PACKED and inner in _NEVER_PACKED)
    return inner if is_known and path.name not in _BESIDE else ""


def _add(file: SourceFile, found: dict[str, SourceFile], skipped: Skipped) -> None:
    if not is_safe(file.label):
        bound = "printable names that stay in their folder"
        what = f"`{file.name}` gives a label that cannot be used as a name"
        skipped.refuse("unsafe label", bad(what, file.label, bound, "rename it"))
    elif found.setdefault(os.path.realpath(file.path), file) is not file:
        skipped.count("found twice", f"`{file.name}` was found before")


def _walk(folder: Path, skipped: Skipped) -> list[Path]:
    def refuse(error: OSError) -> None:
        what, why = f"the folder `{error.filename}` could not be read", error.strerror or str(error)
        skipped.refuse("unreadable", bad(what, why, "a readable folder", "check it"))

    paths: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if (Path(place) / name).is_symlink():
                skipped.count("link to a folder", f"`{Path(place) / name}` is not followed; name it as a source")
        inside = [Path(place) / name for name in files if not name.startswith(".")]
        paths += [one for one in _current(Path(place), inside, skipped) if one.name not in _BESIDE]
    return sorted(paths)


def _current(folder: Path, files: list[Path], skipped: Skipped) -> list[Path]:
    """Without the caches that `datasets` leaves beside the files which its `state.json` lists."""
    if folder / _STATE not in files or not any(one.suffix == ".arrow" for one in files):
        return files
    try:
        state = json.loads((folder / _STATE).read_bytes())
        listed = {str(one["filename"]) for one in state["_data_files"]}
    except (OSError, ValueError, TypeError, LookupError) as error:
        what = f"`{folder / _STATE}` does not list the data"
        skipped.refuse("broken dataset", bad(what, repr(error), "the file that `save_to_disk` writes", "save it again"))
        return files
    for name in sorted(listed - {one.name for one in files}):
        what = f"the dataset `{folder}` lacks a file"
        skipped.refuse("broken dataset", bad(what, name, "the files its state.json lists", "fetch it again"))
    return [one for one in files if one.suffix != ".arrow" or one.name in listed]


def _root_of(pattern: Path) -> Path:
    """The longest part of a glob's path without wildcards."""
    fixed: list[str] = []
    for step in pattern.parts[:-1]:
        if glob.has_magic(step):
            break
        fixed.append(step)
    return Path(*fixed)


def _label_of(path: Path, root: Path) -> str:
    folder = path.parent.relative_to(root).as_posix()
    if folder != ".":
        return folder
    name = path.stem if path.suffix.lower() in PACKED else path.name
    stem = name.rsplit(".", 1)[0]
    label = _SHARD.sub("", stem)
    if label == stem or label not in ("", "data", "part"):
        return label
    return root.resolve().name
