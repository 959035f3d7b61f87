"""Strict reading, atomic writing, fingerprints: the only I/O in `core`.

JSON of the core types is exact: floats are written so that they read back bit for bit, mappings are sorted, and a
field at its default may be left out. Every file written by mixdesk carries an integer `schema`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mixdesk.core.checks import nearest
from mixdesk.core.errors import InputError, MixdeskError

T = TypeVar("T")


@functools.cache
def _cached_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def adapter(kind: Any) -> TypeAdapter[Any]:
    """The (cached) pydantic adapter of a core type. Unknown keys are errors (the types forbid extras)."""
    return _cached_adapter(kind)


def to_data(obj: Any, *, lean: bool = False) -> Any:
    """Plain JSON data of a core object; `lean` leaves out fields at their default (the canonical form)."""
    return adapter(type(obj)).dump_python(obj, mode="json", exclude_defaults=lean)


def from_data(kind: type[T], data: Any, where: str = "$") -> T:
    """A core object from plain JSON data.

    Raises:
        InputError: unknown or missing key, wrong type, or a value the type refuses; names the path and nearest key.
    """
    try:
        result: T = adapter(kind).validate_python(data, strict=False)
    except ValidationError as error:
        raise explain(error, kind, where) from None
    return result


def canonical(obj: Any) -> str:
    """Canonical JSON: sorted keys, no blanks, fields at their default left out. Ids are hashes of this text."""
    return json.dumps(
        to_data(obj, lean=True), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def fingerprint(*parts: str | bytes, length: int = 64) -> str:
    """Hex sha256 of the parts, each preceded by its length so that no two lists of parts share a text."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(raw)}:".encode())
        digest.update(raw)
    return digest.hexdigest()[:length]


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def atomic(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A handle on a temporary neighbour of `path` that replaces it at the end, or vanishes if anything fails.

    Raises:
        InputError: the folder cannot be written (missing rights, disk full, file-size limit).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle_id, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with os.fdopen(handle_id, mode, **text) as handle:  # type: ignore[call-overload]
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"`{path}` could not be written",
            value=error.strerror or str(error),
            bound="a writable folder with room",
            remedy="free some space, lift the limit or choose another folder, then run the command again",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8, newlines as given)."""
    with atomic(path) as handle:
        handle.write(text)


def write_json(path: Path, obj: Any, *, schema: int = 1) -> None:
    """Write a core object (or plain mapping) as an indented JSON file with its `schema`, atomically."""
    data = to_data(obj) if is_dataclass(obj) else obj
    write_text(path, json.dumps({"schema": schema, **data}, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_bytes(path: Path) -> bytes:
    """The bytes of a file a person named.

    Raises:
        InputError: it is missing, a folder, or unreadable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"`{path}` could not be read",
            value=error.strerror or str(error),
            bound="a readable file",
            remedy="check the path",
        ) from None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file a person named (a byte-order mark is dropped).

    Raises:
        InputError: it is unreadable, or not UTF-8.
    """
    raw = read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{path}` is not UTF-8 text",
            value=f"byte {raw[error.start]:#04x} at offset {error.start}",
            bound="UTF-8",
            remedy="convert the file",
        ) from None


def read_data(path: Path, *, newest: int = 1) -> dict[str, Any]:
    """The mapping in a JSON file of ours, its `schema` checked and removed.

    Raises:
        InputError: not JSON, not a mapping, or of a schema this version does not know.
    """
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"`{path}` is not valid JSON",
            value=f"line {error.lineno}: {error.msg}",
            bound="one JSON object",
            remedy="restore the file or make it again",
        ) from None
    if not isinstance(data, dict):
        raise InputError(
            f"`{path}` is not a JSON object", value=type(data).__name__, bound="an object", remedy="make it again"
        )
    found = data.pop("schema", None)
    if not isinstance(found, int) or not 1 <= found <= newest:
        raise InputError(
            f"`{path}` has an unknown schema",
            value=found,
            bound=f"a whole number from 1 to {newest}",
            remedy="use the version of mixdesk that wrote it, or a newer one",
        )
    return data


def read_json(path: Path, kind: type[T]) -> T:
    """A core object from a JSON file of ours.

    Raises:
        InputError: the file is unreadable or does not hold such an object.
    """
    return from_data(kind, read_data(path), where=str(path))


def read_toml(path: Path, kind: type[T]) -> T:
    """A core object from a TOML file that a person wrote.

    Raises:
        InputError: not TOML, or keys and values the type refuses; names the path inside the file and the nearest key.
    """
    try:
        data = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"`{path}` is not valid TOML", value=str(error), bound="TOML 1.0", remedy="correct the line"
        ) from None
    return from_data(kind, data, where=str(path))


def explain(error: ValidationError, kind: Any, where: str) -> MixdeskError:
    """Pydantic's first complaint as a four-part error; an unknown key goes first, as it explains a missing one."""
    complaints = error.errors(include_url=False)
    first = next((c for c in complaints if c["type"] == "unexpected_keyword_argument"), complaints[0])
    place = where + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in first["loc"])
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, MixdeskError):
        return inner.within(place)
    name = str(first["loc"][-1]) if first["loc"] else "?"
    if first["type"] == "unexpected_keyword_argument":
        keys = _keys(_kind_at(kind, first["loc"][:-1]))
        return InputError(
            f"{place}: unknown key `{name}`",
            value=name,
            bound="one of " + ", ".join(keys) if keys else "a known key",
            remedy=nearest(name, keys),
        )
    if first["type"] in ("missing", "missing_keyword_only_argument"):
        return InputError(f"{place}: a key is missing", value="nothing", bound=f"`{name}`", remedy=f"add `{name}`")
    table = _kind_at(kind, first["loc"])
    if first["type"] in ("dataclass_type", "tuple_type") and is_dataclass(table):
        example = getattr(table, "EXAMPLE", "{ " + ", ".join(f"{key} = …" for key in _keys(table)) + " }")
        is_list = first["type"] == "tuple_type"
        return InputError(
            f"{place}: {'a list of tables' if is_list else 'a table'} is wanted",
            value=first.get("input"),
            bound=f"such as [{example}]" if is_list else f"such as {example}",
            remedy="write it so",
        )
    return InputError(
        f"{place}: {first['msg']}", value=first.get("input"), bound="the documented type", remedy="correct the value"
    )


def _kind_at(kind: Any, loc: tuple[int | str, ...]) -> Any:
    """The dataclass that `loc` leads to inside `kind`, of a list that of its items; else what is there, or None."""
    import typing

    for step in loc:
        if isinstance(step, int):
            continue  # a list was left for the type of its items one step before
        kind = typing.get_type_hints(kind).get(step) if is_dataclass(kind) else None
        while not is_dataclass(kind) and typing.get_args(kind):
            kind = next((a for a in typing.get_args(kind) if a is not type(None)), None)
    return kind


def _keys(kind: Any) -> list[str]:
    """Field names of a dataclass; empty for anything else."""
    return [f.name for f in fields(kind) if f.init] if is_dataclass(kind) else []
