"""Which number of a text is the answer. The rules are in docs/scorers.md."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from .expressions import Finder
from .number_text import TAG_END, TAG_START, Token, one_alphabet, spelled_out, tokens_of, words
from .values import Found, Locale, Value, plain_number
from .vocabulary import LINKS, STYLES

_PLAIN = re.compile(r"\s*([-+]?)(\d{1,18})(?:\.(\d{1,18}))?\.?\s*", re.ASCII)

_ANSWER = (
    r"answer|result|(?:slut)?svar(?:et)?|resultat(?:et)?|antwort|(?:end)?ergebnis|réponse|reponse|résultat|respuesta"
    r"|resultado|resposta|risposta|risultato|antwoord|uitkomst|ответ|результат"
)
_IS = r"\b(?:is|are|equals|(?:would|must|should|will)\ be|är|blir|ist|lautet|beträgt|est|es|é|è)\b"
# A label with what may stand before its colon, its verb or the end of its line.
_LABEL = re.compile(
    rf"""(?<![\w-])(?<!to\ )(?<!To\ )(?P<name>{_ANSWER})(?!\w)
    (?:[^\n.:=?!]{{0,80}}?[*_"'`]*[ \t]*(?:[:=]|(?:{_IS})[ \t]*:?)|[ \t*_\#]*(?=\n))
    |(?:答案|答え|答|정답|답)(?:[是为為は은는：:\s*]*)
    |^[ \t*\#]*A\s*:""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*")
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?=[-+$€£¥\\.\d±(])(?!\d{1,2}[.)][ \t]+\S)", re.MULTILINE)
_NO_ANSWER = re.compile(
    r"""\W*(?:(?:it|that|this|the|value|is)\W+)*(?:unknown|none|not\ (?:known|possible|defined|enough)|undefined|nan
    |null|n/a|impossible|unable|cannot|can't|i\ (?:do\ not|don't|can't|cannot)|no\ (?:answer|solution|number)|infinity|∞
    |-?inf\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_NOT = re.compile(r"[\s*:]*(?:not|nicht|inte|pas|no)\s", re.IGNORECASE)
_REASONS = words(
    "because since weil denn eftersom därför för car parce puisque porque pues ya omdat after given "
    "assuming when if where wenn när om quand si cuando"
)
_FILLERS = words(
    "about approximately approx roughly around nearly almost exactly only just now a an the total of to equal "
    "therefore then thus also still ca circa c etwa ungefähr rund genau cirka ungefär exakt totalt environ exactement "
    "aproximadamente casi unos precisely simply indeed at left"
)
# Words before an answer at the beginning of a sentence.
_OPENINGS = words(
    "so hence finally value number final answer it that this correct result sum altså also donc entonces por lo tanto "
    "que in all there we get you she he they i have it's that's"
)
_CORRECTIONS = words("actually wait no sorry correction mistake nej nein non hmm oops")
_CONCLUSIONS = words("so therefore thus hence finally total altså därför also daher donc entonces 因此 所以")
_LABELS = words(
    "step steps question problem part case equation eq example exercise figure fig table page steg fråga "
    "schritt frage aufgabe étape question etapa paso pregunta stap method option case round chapter "
    "section"
)
# A number after one of these at the end of a sentence is no answer: "5 apples in 3 baskets".
_PLACES = words("in for per within among i på för im für pro dans pour en por em per")
_PREPOSITIONS = _PLACES | words("of from out after over at on by with av von aus de sur par con")
_ARTICLES = words("the these those all his her their its our my de den der die das dem les los las")
_MONEY = words("dollar dollars euro euros cent cents pound pounds krona kronor kr usd eur gbp sek")
# "in 10 ways" is a number of things, not a place.
_WAYS = words("ways sätt möglichkeiten weisen façons maneras")
_ABOUT = words("approximately about roughly around nearly approx ca etwa ungefähr ungefär environ")
_COMPARED = words("of more less times fewer von av de")
_DECIMALS = words("decimal decimals significant dp sf decimaler nachkommastellen dezimalstellen décimales decimales")
_NEGATIONS = words("not nicht inte pas no")
_CHECKS = words(
    "check checking verify verification confidence proof note explanation reasoning kontroll kontrolle "
    "probe förklaring erklärung begründung vérification explication comprobación verificación explicación"
)
_RANGES = words("to till until through bis à hasta")
_OR = words("or oder eller ou o u")
_BETWEEN = words("between zwischen mellan entre")
_AND = words("and und och et y e")
_SHORT = words("approx ca c circa no nr resp bzw vs fig eq mr dr st ungf")
_SEPARATORS = frozenset({",", ";", *_AND})
_MARKUP = " \t*_$#:`\"'={}-"
_JUNK = frozenset("{}([\"'*`$~#|-+,_>")
_DIGIT = re.compile(r"\d")
_MAX_LABELS = 50
# Numbers with more tokens between them have nothing to do with one another.
_MAX_GAP = 8
# So many tokens after a bare number are searched for a conclusion.
_MAX_TOKENS = 400
# So many tokens may stand between a bare number and the end of its sentence.
_MAX_UNIT = 12
_MAX_REGION = 4000


@dataclass(frozen=True)
class _Candidate:
    """A number with what the words around it say.

    Attributes:
        found: The number.
        sentence: In which sentence or line it is.
        begins: Whether nothing but fillers is before it in its sentence.
        linked: What leads to it: ``=``, ``≈``, ``is`` for a verb or a colon, or nothing.
        remark: Whether it is in brackets or gives a reason.
        label: Whether it numbers a list entry or a step.
    """

    found: Found
    sentence: int
    begins: bool
    linked: str
    remark: bool
    label: bool


def read_number(text: str, locale: Locale) -> Value | None:
    """The number that a text gives as its answer; None when it gives none, or no single one.

    Args:
        text: Any text.
        locale: How numbers are written.
    """
    if match := _PLAIN.fullmatch(text):
        return _plain(match, locale)
    if locale.mark == "," and "٫" in text:
        text = text.translate({ord("٫"): ",", ord("٬"): "."})
    text = one_alphabet(text)
    for region in _explicit_regions(text):
        if _NO_ANSWER.match(region):
            return None
        reading = _Reading.of(region, locale)
        if reading.candidates:
            return reading.explicit()
    for region in _bold_regions(text, locale):
        reading = _Reading.of(region, locale)
        if any(not c.label for c in reading.candidates):
            return reading.explicit()
    return _Reading.of(text, locale, is_list=True).last()


def _plain(match: re.Match[str], locale: Locale) -> Value | None:
    number = plain_number(match[2] + (f".{match[3]}" if match[3] else ""), locale.mark)
    if number is None:
        return None
    return Value(replace(number, negative=match[1] == "-" and bool(number.digits)))


def _explicit_regions(text: str) -> Iterator[str]:
    """What each label marks as the answer, from the last label to the first."""
    places: list[tuple[int, int, str]] = []
    if "####" in text:
        places += [(m.start(), m.end(), "line") for m in _HASHES.finditer(text)]
    if "\\" in text:
        places += [(m.start(), m.end(), "box") for m in _BOXED.finditer(text)]
    if TAG_START in text:
        places += [(i, i + 1, "tag") for i, c in enumerate(text) if c == TAG_START]
    places += [(m.start(), m.end(), "label") for m in _LABEL.finditer(text)]
    for _, end, kind in sorted(places, reverse=True)[:_MAX_LABELS]:
        if kind == "box":
            yield _braced(text, end)
        elif kind == "tag":
            stop = text.find(TAG_END, end, end + _MAX_REGION)
            yield text[end : stop if stop >= 0 else end + _MAX_REGION]
        elif kind == "line" or not _NOT.match(text, end, end + 16):
            yield _line(text, end)


def _line(text: str, start: int) -> str:
    """The first line from a place on that is not empty."""
    while start < len(text):
        end = text.find("\n", start)
        end = min(len(text) if end < 0 else end, start + _MAX_REGION)
        if text[start:end].strip(_MARKUP):
            return text[start:end].lstrip(" :*_\t")
        start = end + 1
    return ""


def _braced(text: str, start: int) -> str:
    if text[start : start + 1] != "{":
        return re.split(r"[$\n]", text[start : start + 20])[0]
    depth = 0
    for at in range(start, min(len(text), start + _MAX_REGION)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return text[start + 1 : at]
    return _line(text, start + 1)


def _bold_regions(text: str, locale: Locale) -> list[str]:
    """Bold parts at the end, from the last to the first: in the last line with a number, or as a line of their own."""
    if "**" not in text and "\\textbf" not in text:
        return []
    regions: list[str] = []
    lines = [line[:_MAX_REGION] for line in text[-20 * _MAX_REGION :].split("\n") if line.strip()]
    number_below = False
    for line in reversed(lines[-40:]):
        bolds = _bolds(line)
        if not number_below:
            regions += reversed(bolds)
        elif len(bolds) == 1 and line.strip(_MARKUP + ".") == bolds[0].strip(_MARKUP + "."):
            regions += [bold for bold in bolds if _Reading.of(bold, locale).is_bare(words=3)]
        number_below = number_below or any(not c.label for c in _Reading.of(line, locale, is_list=True).candidates)
    return regions


def _bolds(line: str) -> list[str]:
    # Not the sign of a power, as in 2**10.
    parts = re.split(r"(?<![\d)])\*\*|\*\*(?![-\d(])", line)
    bolds = [*parts[1::2], *(match[1] for match in re.finditer(r"\\textbf\{([^{}]{1,200})\}", line))]
    return [bold for bold in bolds if bold.strip()]


@dataclass(frozen=True)
class _Reading:
    """A text, its numbers, and what the words around them say."""

    tokens: Sequence[Token]
    candidates: Sequence[_Candidate]

    @classmethod
    def of(cls, text: str, locale: Locale, *, is_list: bool = False) -> _Reading:
        """Read a text of one alphabet. Number words count when there is no digit outside brackets.

        Args:
            text: The text.
            locale: How numbers are written.
            is_list: Whether the first number may be that of a list entry.
        """
        if not _DIGIT.search(text) or ("(" in text and not _DIGIT.search(re.sub(r"\([^()]*\)", "", text))):
            text = spelled_out(text)
        tokens = tokens_of(text)
        founds = Finder(tokens, locale).all()
        return cls(tokens, _judged(tokens, _merged(tokens, founds), is_list=is_list))

    def is_bare(self, *, words: int) -> bool:
        """Whether the text is nothing but a number, with at most so many words."""
        if len(self.candidates) != 1 or len(self.tokens) > 40 or self.candidates[0].label:
            return False
        found = self.candidates[0].found
        others = [t for at, t in enumerate(self.tokens) if t.kind == "word" and not found.start <= at < found.end]
        return found.value is not None and len(others) <= words

    def explicit(self) -> Value | None:
        """The answer, when the text is marked as the answer: the number at its beginning, or the one it leads to."""
        kept = [c for c in self.candidates if not c.label] or self.candidates
        kept = [c for c in kept if not c.remark] or kept
        kept = [c for c in kept if c.sentence == kept[0].sentence]
        # In "The 3 baskets hold 12 apples" the first number is known before.
        is_known = len(kept) > 1 and self._leader(kept[0].found) != self._text(kept[0].found.start - 1)
        return self._chained(kept) if kept[0].begins and not is_known else self._concluded(kept)

    def last(self) -> Value | None:
        """The answer of a text without a mark: what its last sentence with a number leads to, or the last number."""
        kept = [c for c in self.candidates if not c.label] or self.candidates
        kept = [c for c in kept if not c.remark] or kept
        if not kept:
            return None
        kept = self._before_check(kept)
        if self._is_first_bare(kept):
            return kept[0].found.value
        final = [c for c in kept if c.sentence == kept[-1].sentence]
        if self._is_compared(final):
            return final[0].found.value
        if final[0].begins and not any(c.linked for c in final[1:]):
            if self._follower(final[0].found).casefold() in LINKS:
                return final[0].found.value
            final = [final[0], *(c for c in final[1:] if not self._is_in_place(c.found, _PREPOSITIONS))]
        return self._concluded([c for c in final if not self._is_in_place(c.found, _PLACES)] or final)

    def _is_compared(self, final: Sequence[_Candidate]) -> bool:
        """Whether the sentence is about its first number, as in ``20 is 25% of 80``."""
        if len(final) < 2 or not final[0].begins or final[0].found.value is None:
            return False
        first, second = final[0].found, final[1].found
        is_said = second.start == first.end + 1 and self._follower(first).casefold() in LINKS
        return is_said and self._follower(second).casefold() in _COMPARED and not any(c.linked for c in final[2:])

    def _is_in_place(self, found: Found, prepositions: Collection[str]) -> bool:
        """Whether a number counts where or for what something is, and is neither a price nor a year."""
        if self._leader(found).casefold() not in prepositions:
            return False
        if self._follower(found).casefold() in _WAYS:
            return False
        is_price = self.tokens[found.start].kind == "currency" or self._follower(found).casefold() in _MONEY
        text = self.tokens[found.start].text
        is_year = found.whole and len(text) == 4 and text[0] in "12"
        return not is_price and self._kind(found.end) != "currency" and not is_year

    def _kind(self, at: int) -> str:
        return self.tokens[at].kind if 0 <= at < len(self.tokens) else ""

    def _before_check(self, kept: Sequence[_Candidate]) -> Sequence[_Candidate]:
        """Leave out a check, a note or an explanation that follows the answer without a conclusion."""
        for at in range(kept[0].found.end, len(self.tokens) - 1):
            token = self.tokens[at]
            if token.text.casefold() in _CHECKS and self.tokens[at + 1].text == ":":
                if any(t.text.casefold() in _CONCLUSIONS for t in self.tokens[at:]):
                    return kept
                return [c for c in kept if c.found.end <= at]
        return kept

    def _text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def _follower(self, found: Found) -> str:
        return self._text(found.end)

    def _leader(self, found: Found) -> str:
        """The word before a number and its article."""
        at = found.start - 1
        return self._text(at - 1 if self._text(at).casefold() in _ARTICLES else at)

    def _is_first_bare(self, kept: Sequence[_Candidate]) -> bool:
        """Whether the text begins with a bare number that words explain."""
        first = kept[0]
        if first.found.value is None or first.sentence != 0 or not first.begins or first.linked in {"=", "≈"}:
            return False
        start = first.found.end
        end = next((at for at in range(start, len(self.tokens)) if self._begins_sentence(at)), None)
        if end is None or end > start + _MAX_UNIT:
            return False
        unit = self.tokens[start:end]
        if sum(t.kind == "word" for t in unit) > 2 or any(t.text in {",", ";", "(", "["} for t in unit):
            return False
        rest = self.tokens[end : end + _MAX_TOKENS]
        prose = next((t for t in rest if t.kind not in {"stop", "bold"} and t.text != "#"), None)
        if prose is None or prose.kind != "word":
            return False
        said = {t.text.casefold() for t in rest}
        return prose.text.casefold() in _CHECKS or not said & (_CONCLUSIONS | _CORRECTIONS)

    def _begins_sentence(self, at: int) -> bool:
        return self.tokens[at].new_line or self.tokens[at].kind == "stop"

    def _chained(self, candidates: Sequence[_Candidate]) -> Value | None:
        """The last of the numbers that signs join to the first: 5 in ``2 + 3 = 5``; none when there are several."""
        best = candidates[0].found
        rounded: Found | None = None
        for before, after in itertools.pairwise(candidates):
            between = _between(self.tokens, before.found, after.found)
            if between and all(part in _SEPARATORS for part in between):
                return None
            if "," in between or ";" in between or after.linked not in ({"=", "≈", "is"} if best.to_do else {"=", "≈"}):
                break
            if after.linked == "≈" and best.value is not None:
                rounded = after.found
            elif not after.found.to_do:
                best, rounded = after.found, None
        return _with_rounded(best, rounded)

    def _concluded(self, candidates: Sequence[_Candidate]) -> Value | None:
        """The last number that a sign or a verb leads to, otherwise the last number."""
        linked = [at for at, c in enumerate(candidates) if c.linked and not c.found.to_do]
        at = linked[-1] if linked else len(candidates) - 1
        chosen = candidates[at]
        if chosen.found.to_do and chosen.linked == "=" and at > 0:  # 15 = 3 × 5
            return candidates[at - 1].found.value
        if chosen.linked == "≈" and at > 0 and candidates[at - 1].found.end >= chosen.found.start - 3:
            before = candidates[at - 1].found
            if before.value is not None and "≈" in _between(self.tokens, before, chosen.found):
                return _with_rounded(before, chosen.found)
        return chosen.found.value


def _with_rounded(found: Found, rounded: Found | None) -> Value | None:
    if found.value is None:
        return rounded.value if rounded else None
    return replace(found.value, rounded=rounded.value.number if rounded and rounded.value else None)


def _between(tokens: Sequence[Token], one: Found, two: Found) -> list[str]:
    """The tokens between two numbers, without markup and without ``x =``."""
    parts = [
        t.text.casefold()
        for t in tokens[one.end : two.start]
        if t.text not in {"$", "*", "`", "'", '"', "{", "}"} and t.text not in STYLES
    ]
    if len(parts) >= 2 and parts[-1] == "=" and len(parts[-2]) == 1 and parts[-2].isalpha():
        parts = parts[:-2]
    return parts


def _merged(tokens: Sequence[Token], founds: Sequence[Found]) -> list[Found]:
    """Make one place without a value of ``3 to 5`` and ``5 or 6``, and one with a value of ``1/2 or 0.5``."""
    merged: list[Found] = []
    for found in founds:
        follower = tokens[found.end].text.casefold() if found.end < len(tokens) else ""
        if not merged or follower in _DECIMALS or found.start - merged[-1].end >= _MAX_GAP:
            merged.append(found)
        elif _is_other_form(tokens, merged[-1], found):
            continue
        elif _are_several(tokens, merged[-1], found):
            merged[-1] = Found(None, merged[-1].start, found.end)
        else:
            merged.append(found)
    return merged


def _is_other_form(tokens: Sequence[Token], one: Found, two: Found) -> bool:
    """Whether the second place gives the same value as the first: ``1/2, or 0.5``, ``1/6 or about 0.17``."""
    between = _between(tokens, one, two)
    if between[:1] == [","]:
        between = between[1:]
    if not between or between[0] not in _OR:
        return False
    return _is_same(one, two) if len(between) == 1 else len(between) == 2 and between[1] in {"≈", "~", *_ABOUT}


def _are_several(tokens: Sequence[Token], one: Found, two: Found) -> bool:
    """Whether two places are the ends of a range, alternatives, or values of one variable."""
    between = _between(tokens, one, two)
    if len(between) != 1:
        return False
    opening = tokens[one.start - 1].text.casefold() if one.start else ""
    assigned = _assigned(tokens, two)
    return (
        between[0] in _RANGES
        or between[0] in _OR
        or (between[0] in _SEPARATORS and assigned != "" and assigned == _assigned(tokens, one))
        or (between[0] in _AND and opening in _BETWEEN)
    )


def _assigned(tokens: Sequence[Token], found: Found) -> str:
    """The variable to which a number is given: ``x`` in ``x = 5``."""
    at = found.start
    if at >= 2 and tokens[at - 1].text == "=" and tokens[at - 2].kind == "word" and len(tokens[at - 2].text) == 1:
        return tokens[at - 2].text
    return ""


def _is_same(one: Found, two: Found) -> bool:
    """Whether two places give the same value: ``0.5 or 50%``."""
    if one.value is None or two.value is None:
        return False
    return one.value.share() == two.value.share()


def _judged(tokens: Sequence[Token], founds: Sequence[Found], *, is_list: bool) -> list[_Candidate]:
    candidates: list[_Candidate] = []
    sentence = depth = at = numbering = 0
    reason = False
    for found in founds:
        while at <= found.start:
            token = tokens[at]
            if at and (token.new_line or _ends_sentence(tokens, at - 1)):
                sentence, depth, reason = sentence + 1, 0 if token.new_line else depth, False
            if at == found.start:
                break
            depth = max(0, depth + (token.text in {"(", "["}) - (token.text in {")", "]"}))
            word = token.text.casefold()
            if word in _REASONS and candidates:
                reason = True
            elif word == "then" or word in _CONCLUSIONS:
                reason = False
            at += 1
        label, numbering = _is_label(tokens, found, numbering) if is_list or found.start else (False, 0)
        begins, linked = _before(tokens, found.start)
        in_brackets = depth > 0 or (tokens[found.start].text == "(" and bool(candidates))
        denied = found.start > 0 and tokens[found.start - 1].text.casefold() in _NEGATIONS and bool(candidates)
        candidates.append(_Candidate(found, sentence, begins, linked, in_brackets or reason or denied, label))
        at = max(at, found.end)
    is_single = numbering == 1 and candidates[0].label and not any(c.linked for c in candidates[1:])
    # "1. I checked it 3 times." is no list, "1. 5" is one.
    if is_single and (len(candidates) < 2 or candidates[1].found.start > candidates[0].found.end + 1):
        candidates[0] = replace(candidates[0], label=False)
    return candidates


def _ends_sentence(tokens: Sequence[Token], at: int) -> bool:
    if tokens[at].kind != "stop":
        return False
    return not (tokens[at].text == "." and at > 0 and tokens[at - 1].text.casefold() in _SHORT)


def _is_label(tokens: Sequence[Token], found: Found, numbering: int) -> tuple[bool, int]:
    """Whether a number is that of a list entry or of a step, and the number of the last list entry."""
    text = tokens[found.start].text
    number = int(text) if found.whole and len(text) <= 2 and text.isdecimal() else None
    if number in {1, numbering + 1} and tokens[found.start].new_line and found.end + 1 < len(tokens):
        after, more = tokens[found.end], tokens[found.end + 1]
        if after.text in {".", ")"} and not after.spaced and more.spaced and not more.new_line:
            return True, number or 0
    if found.end < len(tokens) and tokens[found.end].text.casefold() in _DECIMALS:
        return found.whole, numbering
    at = found.start - 1
    while at > found.start - 4 and at >= 0 and tokens[at].text in {"#", "(", "{", "$", "*"}:
        at -= 1
    return found.whole and at >= 0 and tokens[at].text.casefold() in _LABELS, numbering


def _before(tokens: Sequence[Token], start: int) -> tuple[bool, str]:
    """Whether nothing but fillers is before a number in its sentence, and what leads to it."""
    linked = ""
    begins = False
    for at in range(start - 1, max(-1, start - 14), -1):
        token = tokens[at]
        word = token.text.casefold()
        new_line = tokens[at + 1].new_line
        if new_line and token.text not in {":", "="}:
            begins = True
            break
        if token.kind == "link" or token.text == "≈":
            linked = linked or ("=" if token.kind == "link" else "≈")
        elif token.text == ":" or (token.kind == "word" and (word in LINKS or word[-1] in "是为為")):
            linked = linked or "is"
        elif _ends_sentence(tokens, at):
            begins = True
            break
        elif token.kind == "word" and word in _OPENINGS:
            linked = linked or "-"
        elif not _is_filler(tokens, at):
            break
        if new_line:
            begins = True
            break
    else:
        begins = start < 14
    return begins, linked.removeprefix("-")


def _is_filler(tokens: Sequence[Token], at: int) -> bool:
    token = tokens[at]
    word = token.text.casefold()
    if token.kind == "word":
        return word in _FILLERS or word in _SHORT or (len(word) == 1 and tokens[at + 1].text in {"=", "≈"})
    return token.kind in {"currency", "bold", "command", "stop", "subscript"} or token.text in _JUNK
