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
        # Without threads, since those of pyarrow can abort the process at its end (apache/arrow#34314).
        source = pyarrow.BufferReader(bytes_of(path))
        table = pyarrow.parquet.ParquetFile(source, pre_buffer=False).read(use_threads=False)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: this is not a Parquet file: {' '.join(str(error).split())[:200]}") from error
    yield from enumerate(table.to_pylist(), start=1)
