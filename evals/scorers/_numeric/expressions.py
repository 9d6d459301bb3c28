"""Finds the numbers in a text: ``3/2``, ``1 1/2``, ``2\\sqrt{3}``, ``1.5 × 10^3``, ``5 million``, ``50%``.

Nothing here raises an error for any text, and the time is linear in its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from .exact import Digits, Exact, UnreadableError
from .number_text import Token
from .values import Found, Locale, Value, plain_number
from .vocabulary import (
    FRACTIONS,
    FUNCTIONS,
    LETTER_MAGNITUDES,
    LINKS,
    LONG_SCALE,
    MAGNITUDES,
    PERCENT,
    PIS,
    ROOTS,
    STYLES,
    TIMES,
    TWO_WORDS,
)

_MAX_DEPTH = 12
# Longer expressions are no answers.
_MAX_TOKENS = 120


class _NothingError(Exception):
    """No number begins here."""


@dataclass
class _Part:
    exact: Exact | None
    big: Digits | None = None
    to_do: bool = False
    whole: bool = False
    power: bool = False
    percent: int = 1


class Finder:
    """Finds the numbers in tokens, from left to right."""

    def __init__(self, tokens: Sequence[Token], locale: Locale) -> None:
        self._tokens = tokens
        self._locale = locale
        self._limit = 0
        self._failed: set[int] = set()
        self._bullets = sum(token.new_line and token.text == "-" for token in tokens)

    def all(self) -> list[Found]:
        """All numbers, and all that look like numbers, in their order."""
        founds: list[Found] = []
        at, poisoned = 0, False
        while at < len(self._tokens):
            token = self._tokens[at]
            if token.kind == "power":
                at = self._after_power(at)
                continue
            if token.kind == "other" and token.text in "<>±":
                poisoned = token.text == "±" or self._is_inequality(at)
                at += 1
                continue
            found = None if token.text == "(" and self._is_call(at) else self._found(at)
            if found is None:
                poisoned = self._poisons(at, poisoned)
                at += 1
                continue
            if poisoned or self._is_in_formula(found):
                found = replace(found, value=None, to_do=False)
            founds.append(found)
            poisoned = False
            at = self._after_uncertainty(found.end)
        return founds

    def _token(self, at: int) -> Token | None:
        return self._tokens[at] if 0 <= at < len(self._tokens) else None

    def _text(self, at: int) -> str:
        token = self._token(at)
        return token.text if token else ""

    def _kind(self, at: int) -> str:
        token = self._token(at)
        return token.kind if token else ""

    def _is_glued(self, at: int) -> bool:
        token = self._token(at)
        return token is not None and not token.spaced

    def _poisons(self, at: int, poisoned: bool) -> bool:
        """Whether the number after this token is an argument of a function, or a part of a formula."""
        token = self._tokens[at]
        name = token.text.removeprefix("\\").casefold()
        if token.kind in {"command", "word"} and name in FUNCTIONS:
            follower = self._token(at + 1)
            if (
                token.kind == "command"
                or (follower is not None and follower.kind in {"number", "subscript"})
                or self._text(at + 1) == "("
            ):
                return (
                    token.kind == "command"
                    or name not in {"max", "min", "sum", "int", "log", "sec", "lim"}
                    or self._is_glued(at + 1)
                )
        if token.kind == "word" and len(token.text) == 1 and token.text.isascii() and token.text not in "aAI":
            after = self._skipped_power(at + 1)
            return self._text(after) in {"+", "-", "*", "/"} and self._starts_number(after + 1)
        if token.text == "(" and self._is_call(at):
            return True
        if (token.kind == "other" and token.text in "+-*/({") or token.kind in {"subscript", "currency"}:
            return poisoned
        return poisoned and token.kind in {"command"}

    def _is_inequality(self, at: int) -> bool:
        """Whether a sign compares two things, and is no mark of a quotation or a prompt."""
        before = self._token(at - 1)
        return (
            before is not None
            and not self._tokens[at].new_line
            and (before.kind in {"word", "number", "subscript"} or before.text in {")", "}", "$"})
        )

    def _is_call(self, at: int) -> bool:
        """Whether a bracket opens the argument of a function: ``f(3)``."""
        return not self._tokens[at].spaced and self._kind(at - 1) == "word" and len(self._text(at - 1)) == 1

    def _skipped_power(self, at: int) -> int:
        return self._after_power(at) if self._kind(at) == "power" else at

    def _after_power(self, at: int) -> int:
        """Skip ``^2``, ``^{2}`` and ``^\\circ`` that belong to no number."""
        at += 1
        if self._text(at) == "{":
            for end in range(at + 1, min(at + 12, len(self._tokens))):
                if self._text(end) == "}":
                    return end + 1
            return at + 1
        if self._text(at) in {"-", "+"}:
            at += 1
        return at + 1 if self._kind(at) in {"number", "command", "word"} else at

    def _after_uncertainty(self, at: int) -> int:
        if self._text(at) in {"±", "\\pm"}:
            found = self._found(at + 1)
            return found.end if found else at + 1
        return at

    def _is_in_formula(self, found: Found) -> bool:
        """Whether a variable or a function is joined to the number: ``2x + 1``, ``4i``, ``2\\ln 3``."""
        follower = self._token(found.end)
        if follower is None or follower.new_line:
            return False
        if follower.kind == "command" and not follower.spaced:
            return follower.text.removeprefix("\\") in FUNCTIONS
        if follower.spaced or follower.kind != "word" or len(follower.text) != 1 or not follower.text.isascii():
            return False
        if follower.text == "i" or (follower.text in "xyz" and self._kind(found.end + 1) != "word"):
            return True
        sign = self._text(found.end + 1)
        if self._kind(found.end + 1) == "power":
            return follower.text not in "m"
        return sign in {"+", "-", "*", "/"} and self._starts_number(found.end + 2)

    def _starts_number(self, at: int) -> bool:
        return self._kind(at) == "number" or self._text(at) in {"(", "{", "$", *FRACTIONS, *ROOTS}

    def _found(self, at: int) -> Found | None:
        if at >= len(self._tokens):
            return None
        token = self._tokens[at]
        if (
            token.kind in {"word", "stop", "line", "link", "bold"}
            and token.text not in ROOTS
            and token.text not in {"pi", "minus", "negative", "moins", "menos"}
        ):
            return None
        if token.text == "-" and self._is_separator(at):
            return None
        self._limit = at + _MAX_TOKENS
        try:
            part, end = self._sum(at, 0)
        except _NothingError:
            return None
        end, part = self._with_suffix(end, part)
        number = part.big or part.exact
        if part.to_do or number is None:
            return Found(None, at, end, to_do=part.to_do)
        return Found(Value(number, part.percent), at, end, whole=part.whole and end == at + 1)

    def _is_separator(self, at: int) -> bool:
        """Whether a dash is a list mark or stands between words, and is no sign: ``Total - 5``."""
        token, follower, before = self._tokens[at], self._token(at + 1), self._token(at - 1)
        if follower is None or not follower.spaced:
            return False
        if token.new_line:
            return self._bullets > 1
        return before is not None and (
            before.text in {")", "]", "*", "`", '"', "%"}
            or before.kind in {"bold", "number"}
            or (before.kind == "word" and before.text.casefold() not in LINKS)
        )

    # The grammar: a sum of products of signed powers of atoms.

    def _sum(self, at: int, depth: int) -> tuple[_Part, int]:
        if depth > _MAX_DEPTH or at > self._limit:
            raise _NothingError
        part, at = self._product(at, depth)
        while at < self._limit:
            sign = self._token(at)
            if sign is None or (depth == 0 and sign.new_line):
                break
            follower = self._token(at + 1)
            if sign.text not in {"+", "-", "--"} or follower is None or (depth == 0 and follower.new_line):
                break
            try:
                right, at = self._product(at + 1, depth)
            except _NothingError:
                break
            part = self._joined(
                part, right, Exact.__add__ if sign.text == "+" else lambda one, two: one + -two, adds=True
            )
        return part, at

    def _product(self, at: int, depth: int) -> tuple[_Part, int]:
        part, at = self._signed(at, depth)
        while at < self._limit:
            token = self._token(at)
            if token is None or (depth == 0 and token.new_line):
                break
            times = token.text in TIMES or (token.text in {"x", "X"} and self._kind(at + 1) == "number")
            over = token.text in {"/", "\\div", "\\over"}
            skip = 1 if times or over else 0
            follower = self._token(at + skip)
            if follower is None or (depth == 0 and follower.new_line):
                break
            if not skip and not self._is_joined(at, part):
                break
            mixed = None if skip else self._mixed(at, part, depth)
            try:
                right, at = mixed or self._signed(at + skip, depth)
            except _NothingError:
                break
            if mixed:
                part = right
            elif over:
                part = self._joined(part, right, Exact.__truediv__)
            else:
                part = self._joined(part, right, Exact.__mul__, adds=not right.power)
        return part, at

    def _is_joined(self, at: int, part: _Part) -> bool:
        """Whether the token continues a product without a sign: ``2√3``, ``2π``, ``1 1/2``, ``2(3)``."""
        token = self._tokens[at]
        if token.text in FRACTIONS or token.text in ROOTS or token.text in PIS:
            return token.kind == "command" or token.text == "√" or not token.spaced
        if token.kind == "number":
            return part.whole and token.spaced and self._text(at + 1) == "/" and self._kind(at + 2) == "number"
        return token.text == "(" and not token.spaced and (self._kind(at + 1) == "number" or self._text(at + 1) == "-")

    def _mixed(self, at: int, part: _Part, depth: int) -> tuple[_Part, int] | None:
        """Read ``1 1/2`` and ``1\\frac{1}{2}``."""
        if not part.whole or part.exact is None:
            return None
        negative = (part.exact.rational or 0) < 0
        token = self._tokens[at]
        if token.kind == "number":
            top, bottom = self._atom(at, depth)[0], self._atom(at + 2, depth)[0]
            end = at + 3
            proper = top.whole and bottom.whole and not self._tokens[at + 1].spaced
        elif token.text in FRACTIONS and self._has_plain_arguments(at + 1):
            (top, bottom), end = self._arguments(at + 1, depth)
            proper = top.whole and bottom.whole
        else:
            return None
        one, two = (p.exact.rational if p.exact else None for p in (top, bottom))
        if not proper or one is None or not two or one >= two:
            return None
        share = Fraction(one / two)
        return self._joined(part, _Part(Exact.of(-share if negative else share)), Exact.__add__), end

    def _has_plain_arguments(self, at: int) -> bool:
        return self._kind(at) == "number" or (self._text(at + 2) == "}" and self._kind(at + 1) == "number")

    def _signed(self, at: int, depth: int) -> tuple[_Part, int]:
        token = self._token(at)
        if token is None:
            raise _NothingError
        negative = token.text in {"-", "minus", "negative", "moins", "menos"}
        if not negative and token.text != "+":
            return self._power(at if token.kind != "currency" else self._after_currency(at), depth)
        at = self._after_currency(at + 1)
        follower = self._token(at)
        if follower is None or (follower.new_line and depth == 0) or (not negative and follower.spaced):
            raise _NothingError
        part, at = self._power(at, depth)
        if not negative:
            return replace(part, whole=False), at
        big = replace(part.big, negative=not part.big.negative) if part.big else None
        return replace(part, exact=-part.exact if part.exact else part.exact, big=big), at

    def _after_currency(self, at: int) -> int:
        return at + 1 if self._kind(at) == "currency" else at

    def _power(self, at: int, depth: int) -> tuple[_Part, int]:
        part, at = self._atom(at, depth)
        if self._kind(at) != "power" or at >= self._limit:
            return part, at
        try:
            if self._text(at + 1) in {"-", "+"}:
                exponent, end = self._atom(at + 2, depth)
                if self._text(at + 1) == "-" and exponent.exact:
                    exponent = replace(exponent, exact=-exponent.exact)
            else:
                exponent, end = self._atom(at + 1, depth)
        except _NothingError:
            return part, at
        if self._kind(end) == "power":  # a tower
            return _Part(None, power=True), end
        raised = exponent.exact.rational if exponent.exact else None
        if raised is None or part.exact is None or exponent.to_do:
            return _Part(None, power=True), end
        try:
            return _Part(part.exact.power(raised), power=True, to_do=part.to_do), end
        except UnreadableError:
            return _Part(None, power=True), end

    def _atom(self, at: int, depth: int) -> tuple[_Part, int]:
        token = self._token(at)
        if token is None or at > self._limit or depth > _MAX_DEPTH:
            raise _NothingError
        if token.kind == "number":
            return self._number(token), at + 1
        if token.kind == "composite":
            return _Part(None), at + 1
        if token.kind == "coded":
            return _Part(Exact.of(int(token.text, 0)), whole=True), at + 1
        if token.text in PIS:
            return _Part(Exact.pi()), at + 1
        if at in self._failed:
            raise _NothingError
        try:
            return self._nested(at, depth)
        except _NothingError:
            self._failed.add(at)  # never tried again, so that the time is linear
            raise

    def _nested(self, at: int, depth: int) -> tuple[_Part, int]:
        name = self._text(at)
        if name in {"(", "{"}:
            part, end = self._sum(at + 1, depth + 1)
            if self._text(end) != (")" if name == "(" else "}"):
                raise _NothingError
            return part, end + 1
        if name in FRACTIONS:
            (top, bottom), end = self._arguments(at + 1, depth)
            return self._joined(top, bottom, Exact.__truediv__), end
        if name in ROOTS:
            return self._root(at, depth)
        raise _NothingError

    def _number(self, token: Token) -> _Part:
        digits = plain_number(token.text, self._locale.mark)
        if digits is None:
            return _Part(None)
        if not digits.is_short:
            return _Part(None, big=digits)
        return _Part(digits.exact(), whole=token.text.isdecimal())

    def _arguments(self, at: int, depth: int) -> tuple[tuple[_Part, _Part], int]:
        """Read the two parts of a LaTeX fraction, which may be single digits: ``\\frac12``, ``\\frac{1}2``."""
        token = self._token(at)
        if token is not None and token.kind == "number" and token.text.isdecimal():
            follower = self._token(at + 1)
            if len(token.text) > 1:
                if len(token.text) > 2:
                    raise _NothingError
                return (
                    _Part(Exact.of(int(token.text[0])), whole=True),
                    _Part(Exact.of(int(token.text[1])), whole=True),
                ), at + 1
            if follower is None:
                raise _NothingError
        top, at = self._signed(at, depth + 1)
        bottom, at = self._atom(at, depth + 1)
        return (top, bottom), at

    def _root(self, at: int, depth: int) -> tuple[_Part, int]:
        degree = Fraction(ROOTS[self._text(at)])
        at += 1
        if self._text(at) == "[":
            index, at = self._atom(at + 1, depth + 1)
            given = index.exact.rational if index.exact else None
            if self._text(at) != "]" or not given:
                raise _NothingError
            degree, at = given, at + 1
        token = self._token(at)
        if (
            token is not None
            and self._tokens[at - 1].text == "\\sqrt"
            and token.kind == "number"
            and len(token.text) > 1
        ):
            raise _NothingError
        part, at = self._atom(at, depth + 1)
        try:
            root = part.exact.power(1 / degree) if part.exact and not part.to_do else None
        except UnreadableError:
            root = None
        return _Part(root, power=True), at

    @staticmethod
    def _joined(one: _Part, two: _Part, operation: Callable[[Exact, Exact], Exact], *, adds: bool = False) -> _Part:
        if one.exact is None or two.exact is None:
            return _Part(None, to_do=one.to_do or two.to_do)
        to_do = one.to_do or two.to_do
        if adds and one.exact.rational is not None and two.exact.rational is not None:
            to_do = to_do or not one.power
        try:
            return _Part(operation(one.exact, two.exact), to_do=to_do)
        except UnreadableError:
            return _Part(None, to_do=to_do)

    def _with_suffix(self, at: int, part: _Part) -> tuple[int, _Part]:
        """Read percent signs and words such as million after a number."""
        factor, end, percent = 1, at, 1
        while (after := self._after_markup(end)) < len(self._tokens) and not self._tokens[after].new_line:
            token = self._tokens[after]
            word = token.text.casefold()
            if two := TWO_WORDS.get((word, self._text(after + 1).casefold())):
                percent, end = two, after + 2
                break
            if word in PERCENT:
                percent, end = PERCENT[word], after + 1
                break
            if word == "-" and not token.spaced and self._is_glued(after + 1):  # 5-million
                after += 1
                token = self._tokens[after]
            scale = self._magnitude(token, after, end)
            if not scale or factor > 10**15:
                break
            factor, end = factor * scale, after + 1
        if factor > 1:
            part = replace(part, exact=part.exact * Exact.of(factor) if part.exact else None, whole=False)
        return end, replace(part, percent=percent) if percent > 1 else part

    def _magnitude(self, token: Token, at: int, end: int) -> int:
        if token.kind != "word":
            return 0
        word = token.text.casefold()
        if word == "k" or (len(token.text) == 1 and token.text in LETTER_MAGNITUDES):
            paid = any(self._kind(before) == "currency" for before in range(max(0, end - 3), end))
            return LETTER_MAGNITUDES[token.text] if not token.spaced and (paid or word == "k") and at == end else 0
        if self._locale.long_scale and word in LONG_SCALE:
            return LONG_SCALE[word]
        return MAGNITUDES.get(word, 0)

    def _after_markup(self, at: int) -> int:
        start = at
        while at < start + 6 and (
            self._text(at) in {"{", "}", "$", "*", "`"} or self._kind(at) == "bold" or self._text(at) in STYLES
        ):
            at += 1
        return at
