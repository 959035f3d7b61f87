"""Tables in columns: Parquet, and Arrow's stream and file formats. Of a file only the columns in use are read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from mixdesk.core.corpus import Document
from mixdesk.corpus.inputs import Skipped, SourceFile, bad, decode, empty, too_long
from mixdesk.corpus.records import KEYS, TEXT, document_of

_BATCH_BYTES, _BATCH_ROWS = 8 << 20, 256
_MAGIC = b"ARROW1"


def read_parquet(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    """The rows of a Parquet file, page by page and in batches of about 8 MB of text (256 rows at most).

    Only pages are held; a file may still have one that unpacks to more than its footer says.
    """
    with pa.OSFile(os.fsencode(file.path)) as handle:
        try:
            # Without both settings Arrow holds whole row groups (measured: 50 MB in place of 18 for a group of 32).
            table = pq.ParquetFile(handle, buffer_size=1 << 20, pre_buffer=False)
            wanted = _wanted(table.schema_arrow, file, skipped)
            if wanted:
                n_rows = _rows_a_batch(table.metadata, wanted[0])
                batches = table.iter_batches(batch_size=n_rows, columns=wanted, use_threads=False)
                yield from _documents(batches, wanted[0], file, skipped)
        except (pa.ArrowException, OSError) as error:
            _refuse(file, "Parquet", error, skipped)


def read_arrow(file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    """The rows of an Arrow file or stream, such as those of `datasets.save_to_disk`, straight from the mapped file."""
    with file.path.open("rb") as handle:
        head = handle.read(len(_MAGIC))
    if not head:
        skipped.refuse("empty", empty(file.name))
        return
    with pa.memory_map(os.fsencode(file.path)) as handle:
        try:
            is_file = head == _MAGIC
            schema = (pa.ipc.open_file(handle) if is_file else pa.ipc.open_stream(handle)).schema
            wanted = _wanted(schema, file, skipped)
            if not wanted:
                return
            keep = {name.partition(".")[0] for name in wanted}
            fields = [i for i, name in enumerate(schema.names) if name in keep]
            options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
            handle.seek(0)
            if is_file:
                whole = pa.ipc.open_file(handle, options=options)
                batches = (whole.get_batch(i) for i in range(whole.num_record_batches))
            else:
                batches = iter(pa.ipc.open_stream(handle, options=options))
            yield from _documents(batches, wanted[0], file, skipped)
        except (pa.ArrowException, OSError) as error:
            _refuse(file, "Arrow", error, skipped)


def _wanted(schema: pa.Schema, file: SourceFile, skipped: Skipped) -> list[str]:
    """The columns in use, the text first, those inside `metadata` as `metadata.key`; none after a refusal."""
    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        what = f"`{file.name}` has a column twice"
        skipped.refuse("wrong columns", bad(what, twice, "distinct names", "rename one of them"))
        return []
    text = next((name for name in TEXT if name in schema.names), None)
    if text is None or not _is_text(schema.field(text).type):
        what = f"`{file.name}` has no text column"
        shown = ", ".join(f"{field.name} ({field.type})" for field in schema) or "no column"
        skipped.refuse("no text", bad(what, shown, "a string column `text` or `content`", "rename the column"))
        return []
    wanted = [text, *(name for name in schema.names if _is_used(name))]
    if "metadata" in schema.names:
        kind = schema.field("metadata").type
        if pa.types.is_struct(kind):
            wanted += [f"metadata.{one.name}" for one in kind.fields if _is_used(one.name)]
        else:
            wanted.append("metadata")
    return wanted


def _is_used(name: str) -> bool:
    return name in KEYS or name.startswith("score")


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (
        "is_string", "is_large_string", "is_string_view", "is_binary", "is_large_binary", "is_binary_view", "is_null",
    )  # fmt: skip
    return any(getattr(pa.types, test)(kind) for test in tests)


def _rows_a_batch(footer: pq.FileMetaData, text: str) -> int:
    """As many rows as have about 8 MB of text by the footer."""
    n_bytes = 0
    n_rows: int = footer.num_rows
    for i in range(footer.num_row_groups):
        group = footer.row_group(i)
        chunks = (group.column(j) for j in range(group.num_columns))
        n_bytes += sum(int(chunk.total_uncompressed_size) for chunk in chunks if chunk.path_in_schema == text)
    mean = n_bytes // max(n_rows, 1)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(mean, 1)))


def _documents(batches: Iterator[pa.RecordBatch], text: str, file: SourceFile, skipped: Skipped) -> Iterator[Document]:
    n_rows = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            piece = batch.slice(start, _BATCH_ROWS)
            # What is not checked here could make Arrow read outside its memory.
            texts = piece.column(text).cast(pa.large_binary())
            rest = piece.select([name for name in piece.schema.names if name != text and name not in TEXT])
            texts.validate(full=True)
            rest.validate(full=True)
            rows = rest.to_pylist() if rest.num_columns else [{} for _ in range(piece.num_rows)]
            for value, row in zip(texts, rows, strict=True):
                n_rows += 1
                where = f"{file.name}:{n_rows}"
                if value.is_valid and value.as_buffer().size > skipped.max_bytes:
                    skipped.refuse("too long", too_long(where, skipped))
                    continue
                row[text] = decode(value.as_py(), where, skipped) if value.is_valid else None
                if row[text] is None and value.is_valid:
                    continue
                document = document_of(row, file.label, where, skipped)
                if document is not None:
                    yield document
    if not n_rows:
        skipped.refuse("empty", empty(file.name))


def _refuse(file: SourceFile, kind: str, error: Exception, skipped: Skipped) -> None:
    shown = " ".join(str(error).split())
    what = f"`{file.name}` is not a whole {kind} file"
    skipped.refuse(f"broken {kind}", bad(what, shown, f"a complete {kind} file", "fetch it again"))
