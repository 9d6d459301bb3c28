"""CSV with a header, with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Final

from orkester.errors import InputError

from ._rows import Rows, text_of

#: The most characters of a field.
_MOST_CHARACTERS: Final = 10_000_000


def csv_rows(path: Path) -> Rows:
    """The rows by column name, each with the number of its first line: a quoted field may have several lines."""
    text = text_of(path)
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_CHARACTERS))  # the least that any reader accepts is 128 KiB
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=_delimiter(path, text))
    header: list[str] | None = None
    line = 1
    try:
        for row in rows:
            if row and header is None:
                header = row
                if duplicates := sorted({name for name in header if header.count(name) > 1}):
                    raise InputError(f"{path}:{line}: the header has the column {duplicates[0]!r} twice")
            elif row and header is not None:
                if len(row) > len(header):
                    raise InputError(f"{path}:{line}: this line has more fields than the header has columns")
                yield line, dict(itertools.zip_longest(header, row))
            line = rows.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}:{line}: this line is not CSV: {error}") from error


def _delimiter(path: Path, text: str) -> str:
    """Tabs in ``.tsv``; semicolons where the header has them and no comma, as spreadsheets of many countries write."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = next((line for line in text.splitlines() if line.strip()), "")
    return ";" if ";" in header and "," not in header else ","
