"""Tables that are no text: dataframes of any library, parquet and Arrow files, as named columns of Python values.

The only module that loads narwhals and pyarrow; `sheets.py` imports it where such a table is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narwhals as nw
from pyarrow import ArrowException, feather, parquet

from mixdesk.core.errors import InputError


def of_file(path: Path) -> list[tuple[str, list[Any]]]:
    """The columns of a parquet or Arrow (feather) file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError("Is a directory")
        table = parquet.read_table(path) if path.suffix == ".parquet" else feather.read_table(path)
    except (ArrowException, OSError) as error:
        is_there = path.exists()
        raise InputError(
            f"`{path}` could not be read",
            value=(str(error).splitlines() or [""])[0][:200] if is_there else "no such file",
            bound=f"a readable {path.suffix} file",
            remedy="check how it was written" if is_there else "check the path",
        ) from None
    return [(name, column.to_pylist()) for name, column in zip(table.column_names, table.columns, strict=True)]


def of_frame(frame: Any, called: str) -> list[tuple[str, list[Any]]]:
    """The columns of a dataframe of any library that narwhals knows; a named index of pandas comes first.

    Raises:
        InputError: it is no dataframe, or has a column twice.
    """
    try:
        table = nw.from_native(frame)
        if isinstance(table, nw.LazyFrame):
            table = table.collect()
        index = nw.maybe_get_index(table)
        if index is not None and any(name is not None for name in index.names):
            table = nw.from_native(nw.to_native(table).reset_index(), eager_only=True)
        return [(str(column.name), column.to_list()) for column in table.iter_columns()]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{called} cannot be read as a table",
            value=f"{type(frame).__name__}: {str(error).splitlines()[0][:200]}",
            bound="a path, a dataframe with distinct column names, or a mapping of columns",
            remedy="pass one of these",
        ) from None
