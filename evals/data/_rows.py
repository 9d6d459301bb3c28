"""What readers share: rows with places, and the text of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from orkester.errors import InputError

#: Rows by field name, each with the number of its line, or of the row in a format without lines; from 1.
Rows: TypeAlias = Iterator[tuple[int, Mapping[str, Any]]]


def text_of(path: Path) -> str:
    """The text of a file in UTF-8, without a byte order mark.

    Raises:
        InputError: The file is missing, cannot be read, or is not UTF-8; the message has the line.
    """
    data = bytes_of(path)
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: this line is not UTF-8 text; save the file as UTF-8") from error


def bytes_of(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: The file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: the data file does not exist") from error
    except OSError as error:
        raise InputError(f"{path}: the data file cannot be read: {error.strerror}") from error
