"""Parquet."""

from __future__ import annotations

from pathlib import Path

from orkester.errors import InputError

from ._rows import Rows, bytes_of


def parquet_rows(path: Path) -> Rows:
    """The rows of a Parquet file, numbered from 1.

    Raises:
        InputError: The file is missing or no Parquet file, or pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            f"{path}: Parquet needs the pyarrow package; install it with: pip install 'orkester[data]'"
        ) from error
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(bytes_of(path)))
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: this is not a Parquet file: {' '.join(str(error).split())[:200]}") from error
    yield from enumerate(table.to_pylist(), start=1)
