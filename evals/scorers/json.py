"""The scorer ``json``: an answer is right when it is the expected JSON value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Final

from orkester.errors import InputError

from ._base import entries
from ._fences import fenced

#: The most characters of an answer that are searched for a value.
_MOST_CHARACTERS: Final = 200_000
#: The most places at which a value may begin that are tried.
_MOST_PLACES: Final = 200


@dataclass(frozen=True)
class Json:
    """Compares JSON values: the order of keys and the way in which a number is written do not count.

    Attributes:
        ignore_order: Whether the order of arrays does not count.
        schema: A JSON Schema (json-schema.org). When there is one, every value that keeps to it is right, and examples
            need no expected answer.
    """

    ignore_order: bool = False
    schema: Mapping[str, Any] | None = None

    name: ClassVar[str] = "json"
    version: ClassVar[str] = "1"

    def __post_init__(self) -> None:
        if self.schema is None:
            return
        if not isinstance(self.schema, Mapping):
            raise ValueError(f"schema is a mapping, such as {{type: object}}, but got {self.schema!r:.60}")  # noqa: TRY004
        _ = self._keeps  # a schema that is wrong is found now

    @property
    def needs_expected(self) -> bool:
        """Whether values are compared with an expected one."""
        return self.schema is None

    def score(self, answer: str, expected: Any) -> float:
        """1 when the answer's value is one of the expected values. An expected text is JSON itself."""
        if self.schema is not None:
            return float(self._fits(answer))
        form = self._form_of(answer)
        return float(form is not None and any(form == self._expected(right) for right in entries(expected)))

    def key(self, answer: str) -> str:
        """The value in one way of writing; the answer without space at its ends when it has no value."""
        form = self._form_of(answer)
        return answer.strip() if form is None else form

    def _fits(self, answer: str) -> bool:
        """Whether the value that an answer gives keeps to the schema."""
        for text in _candidates(answer[-_MOST_CHARACTERS:]):
            try:
                _parsed(text)
                return self._keeps(json.loads(text))
            except (ArithmeticError, ValueError, RecursionError):
                continue
        return False

    @cached_property
    def _keeps(self) -> Callable[[Any], bool]:
        """Says whether a value keeps to the schema."""
        return _schema_check(_with_text_keys(self.schema or {}))

    def _expected(self, right: Any) -> str | None:
        """The form of an expected value. A text that is no JSON is the JSON value of that text."""
        if not isinstance(right, str):
            return self._form(right)
        form = self._form_of(right)
        return self._form(right) if form is None else form

    def _form_of(self, answer: str) -> str | None:
        """The form of the value that an answer gives: the last one that is whole and can be compared."""
        for text in _candidates(answer[-_MOST_CHARACTERS:]):
            try:
                return self._form(_parsed(text))
            except (ArithmeticError, ValueError, RecursionError):
                continue
        return None

    def _form(self, value: Any) -> str:
        """A value as JSON with its keys in order and each number in one form, so that 1 and 1.0 are equal."""
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{_text(str(key))}: {self._form(value[key])}" for key in sorted(value)) + "}"
        if isinstance(value, list):
            forms = [self._form(entry) for entry in value]
            return "[" + ", ".join(sorted(forms) if self.ignore_order else forms) + "]"
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            return _number(value if isinstance(value, Decimal) else Decimal(str(value)))
        return _text(value)


def _schema_check(schema: dict[str, Any]) -> Callable[[Any], bool]:
    """Make a function that says whether a value keeps to a schema. Nothing is fetched.

    Raises:
        ValueError: The schema is wrong, or jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator, FormatChecker
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry, Resource
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012
    except ImportError as error:
        raise ValueError(
            "schema needs the jsonschema package; install it with: pip install 'orkester[scorers]'"
        ) from error
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
        if not _has_key(schema, "$id"):
            resource = Resource.from_contents(schema, default_specification=DRAFT202012)
            resolver = Registry().with_resource("", resource).resolver()
            for reference in _references(schema):
                resolver.lookup(reference)
        validator = kind(schema, format_checker=FormatChecker(), registry=Registry())
        for value in (None, True, 0, "", [""], {"": ""}):  # a schema may be wrong in ways that its meta-schema allows
            validator.is_valid(value)
    except SchemaError as error:
        raise ValueError(f"schema{error.json_path.removeprefix('$')}: {error.message}") from error
    except Unresolvable as error:
        raise ValueError(f"schema: {error.ref} is not in the schema; other documents are not read") from error
    except Exception as error:
        raise ValueError(f"schema: it cannot be used: {' '.join(str(error).split())[:200]}") from error

    def keeps(value: Any) -> bool:
        try:
            return bool(validator.is_valid(value))
        except Exception as error:  # in a part of the schema that only this value leads to
            raise InputError(f"the scorer json: schema: {' '.join(str(error).split())[:200]}") from error

    return keeps


def _with_text_keys(schema: Any) -> Any:
    """A schema whose keys are text, as in JSON: YAML reads ``1:`` as a number."""
    if isinstance(schema, Mapping):
        return {str(key): _with_text_keys(value) for key, value in schema.items()}
    return [_with_text_keys(value) for value in schema] if isinstance(schema, list) else schema


def _has_key(schema: Any, name: str) -> bool:
    if isinstance(schema, Mapping):
        return name in schema or any(_has_key(value, name) for value in schema.values())
    return isinstance(schema, list) and any(_has_key(value, name) for value in schema)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for name in ("$ref", "$dynamicRef"):
            if isinstance(reference := schema.get(name), str):
                yield reference
        data = {"const", "enum", "examples", "default"}
        yield from (found for key, value in schema.items() if key not in data for found in _references(value))
    elif isinstance(schema, list):
        yield from (found for value in schema for found in _references(value))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: Decimal) -> str:
    """All digits of a number without zeros at its ends, and its exponent."""
    sign, digits, exponent = value.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    kept = written.rstrip("0")
    if not kept or not isinstance(exponent, int):
        return "0"
    exponent += len(written) - len(kept)
    return f"{'-' if sign else ''}{kept}" + (f"E{exponent}" if exponent else "")


def _candidates(answer: str) -> Iterator[str]:
    """Texts that may be the value: the whole answer; its fences; its objects and arrays. The last ones come first."""
    yield answer
    yield from (body for language, body in reversed(fenced(answer)) if language in {"", "json"})
    decoder = json.JSONDecoder()
    found: list[str] = []
    position = tried = 0
    while tried < _MOST_PLACES and (start := _next(answer, position)) >= 0:
        tried += 1
        try:
            _, end = decoder.raw_decode(answer, start)
        except (ValueError, RecursionError):
            position = start + 1
            continue
        found.append(answer[start:end])
        position = end
    yield from reversed(found)


def _next(text: str, position: int) -> int:
    places = [place for mark in "{[" if (place := text.find(mark, position)) >= 0]
    return min(places, default=-1)


def _parsed(text: str) -> Any:
    """A JSON value.

    Raises:
        ValueError: The text is no JSON, has a key twice, or a constant such as NaN that is not JSON.
    """
    return json.loads(
        text.strip(), parse_float=Decimal, parse_int=Decimal, parse_constant=_refused, object_pairs_hook=_object
    )


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


scorer = Json
