"""A YAML text with the line of every key, and the words in which faults in it are said."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from orkester.errors import InputError
from orkester.serving.server_words import without_secrets

#: Most faults shown at once; more would push the first ones off the screen.
_MOST_FAULTS = 7
_MOST_DEPTH = 50


class Source:
    """A study file's text with the line of every key, for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines: dict[tuple[str | int, ...], int] = {}
        self._walked: set[int] = set()
        try:
            _refuse_deep(path, text)
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError(f"{path}:{line}: this is not YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise InputError(
                f"{path}:{line}: this is not YAML: it has the control character #x{error.character:04x}"
            ) from error
        except (
            ValueError
        ) as error:  # from the constructors of dates and numbers: 2020-13-45 looks like one, but is none
            raise InputError(f"{path}: this is not YAML: {error}; text that looks like a date needs quotes") from error
        if root is not None:
            self._walk(root, ())

    def error(self, where: Sequence[str | int], message: str) -> str:
        """``file:line: key: message``; the line is that of the deepest key that exists."""
        place = tuple(where)
        while place and place not in self._lines:
            place = place[:-1]
        line = self._lines.get(place, 1)
        key = ".".join(str(part) for part in where)
        # A key of a service may stand anywhere by mistake, and messages end up in logs.
        return f"{self.path}:{line}: {without_secrets(f'{key}: {message}' if key else message)}"

    def _walk(self, node: yaml.Node, place: tuple[str | int, ...]) -> None:
        self._lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in self._walked:
            return  # an alias: its lines are those of the anchor, and it may contain itself
        self._walked.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise InputError(f"{self.path}:{key.start_mark.line + 1}: the key {key.value!r} appears twice")
                seen.add(key.value)
                self._lines[(*place, key.value)] = key.start_mark.line + 1
                self._walk(value, (*place, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._walk(value, (*place, i))


def _refuse_deep(path: Path, text: str) -> None:
    """Refuse a text that is nested so deeply that reading it would end in a ``RecursionError``.

    Raises:
        InputError: The text is nested too deeply; the message has the line.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MOST_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise InputError(
                    f"{path}:{line}: this is nested in more than {_MOST_DEPTH} levels; no key of a study needs so many"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def listed(faults: Sequence[str]) -> str:
    """Faults as one message, a line each, each said once; at most ``_MOST_FAULTS`` of them."""
    different = list(dict.fromkeys(faults))
    if len(different) > _MOST_FAULTS:
        different[_MOST_FAULTS:] = [f"… and {len(different) - _MOST_FAULTS} faults more"]
    return "\n".join(different)


def short(value: object) -> str:
    """A value in a few words."""
    if value is None:
        return "nothing"
    # Not plain repr: aliases within aliases make values whose text is longer than any memory.
    bounded = reprlib.Repr()
    bounded.maxlevel, bounded.maxlist, bounded.maxdict, bounded.maxstring = 3, 8, 8, 57
    text = bounded.repr(value) if isinstance(value, (str, int, float, list, dict)) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
