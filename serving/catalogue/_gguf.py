"""The header of a GGUF file: whether it is one, whether it is whole, and the context that the model was trained with.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orkester.errors import InputError

_MAGIC: Final = b"GGUF"
_STRING, _ARRAY = 8, 9
#: The sizes of the other types of values in bytes, by the number of the type.
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_INTEGERS: Final = {2: "<H", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
#: More keys, tensors or dimensions than any model has: the file is damaged.
_MOST: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """What is read of a GGUF file.

    Attributes:
        context_tokens: The context that the model was trained with; None if the file does not say.
    """

    context_tokens: int | None


def read_gguf(path: Path) -> GgufHeader:
    """Read the header of a GGUF file.

    Raises:
        InputError: The file is no GGUF file, or ends before its last tensor begins.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise InputError(f"{path} is not a GGUF file: it does not begin with GGUF")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _header(content)
    except (struct.error, ArithmeticError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is a damaged GGUF file: its header cannot be read to the end. Fetch the file again"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def _header(content: mmap.mmap) -> GgufHeader:
    tensors, keys = struct.unpack_from("<QQ", content, 8)
    if max(tensors, keys) > _MOST:
        raise ValueError("more keys or tensors than there can be")
    position, context, alignment = 24, None, 32
    for _ in range(keys):
        name, position = _string(content, position)
        (kind,) = struct.unpack_from("<I", content, position)
        position += 4
        if name.endswith(".context_length") and kind in _INTEGERS:
            (context,) = struct.unpack_from(_INTEGERS[kind], content, position)
        if name == "general.alignment" and kind in _INTEGERS:
            (alignment,) = struct.unpack_from(_INTEGERS[kind], content, position)
        position = _after_value(content, position, kind)
    last = 0
    for _ in range(tensors):
        _, position = _string(content, position)
        (dimensions,) = struct.unpack_from("<I", content, position)
        position += 4 + 8 * dimensions + 4
        (offset,) = struct.unpack_from("<Q", content, position)
        last = max(last, offset)
        position += 8
    begin = -(-position // alignment) * alignment
    if tensors and begin + last >= len(content):
        raise ValueError("the last tensor begins after the end of the file")
    return GgufHeader(context_tokens=context)


def _string(content: mmap.mmap, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", content, position)
    end = position + 8 + length
    if end > len(content):
        raise ValueError("a text goes on after the end of the file")
    return content[position + 8 : end].decode(), end


def _after_value(content: mmap.mmap, position: int, kind: int) -> int:
    """The position behind a value."""
    if kind == _STRING:
        (length,) = struct.unpack_from("<Q", content, position)
        return int(position + 8 + length)
    if kind != _ARRAY:
        return position + _SIZES[kind]
    inner, count = struct.unpack_from("<IQ", content, position)
    position += 12
    if inner in _SIZES:
        return int(position + count * _SIZES[inner])
    for _ in range(count):
        position = _after_value(content, position, inner)
    return position
