"""The scorer ``choice``: an answer is right when it picks the expected letter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ._base import accepted
from ._text import exact_text, same_signs

# An answer is first written in one way (``_cleaned``): no emphasis and quotes, all brackets round. Then a letter is
# "(B)", "(b)" or a capital letter that stands alone. "A" and "I" are words, too, when a word follows.
_CAPITAL: Final = (
    r"(?<![A-Za-z0-9À-ɏ'./])(?:[B-HJ-Z]|[AI](?!\s+(?!(?:is|was|because|since|as|for|or|and)\b)[a-zà-ɏ]))"
    r"(?![A-Za-z0-9À-ɏ'&+#/]|\.\w)"
)
_LETTER: Final = rf"(?:(?<![A-Za-z0-9À-ɏ])\([A-Za-z]\)|{_CAPITAL}|(?<![A-Za-z0-9À-ɏ'./(])[a-z](?=[).:]*\s*(?:$|\n)))"
_AND: Final = r"\s*(?:,\s*(?:and|or)\b|,|/|&|\band\b|\bor\b|\beller\b|\boder\b|\bou\b|\bo\b|、|或|または|か)\s*"
_LETTERS: Final = rf"(?P<letters>{_LETTER}(?:{_AND}(?:option|choice)?\s*{_LETTER}){{0,8}})"
_OPTION: Final = (
    r"(?:(?:the\s+)?(?:option|choice|letter|answer|statement|alternativ\w*|opción|opcion|opção|lettre|lettera|letra|"
    r"buchstabe|选项|選択肢|選項)\s*)?"
)
_ANSWER: Final = (
    r"(?:\b(?:answer|choice|option|solution|svaret|svar|antwort|lösung|réponse|reponse|respuesta|resposta|risposta|"
    r"antwoord|vastaus|odpowiedź|ответ)\b|答案|答え|回答|正解|选择|選択|정답|답)"
)
_IS: Final = (
    r"(?:(?:is|was|are|be|would\s+be|must\s+be|should\s+be|seems\s+to\s+be|är|ist|est|es|é|è|jest|on)\b|是|为|為|は|은|는)"
    r"(?:\s+(?:therefore|thus|definitely|clearly|indeed|actually|most\s+likely|probably|likely|then)\b)*"
)
#: "Answer: B", "the answer is (B)", "the correct option I chose is option B", "答案是B".
_STATED: Final = re.compile(
    rf"(?i:{_ANSWER})(?:\s+(?!(?i:is|was|are|be)\b)[^\W\d_]+){{0,5}}?\s*(?:(?i:{_IS})\s*:?|:|-|=)\s*(?i:{_OPTION}){_LETTERS}",
    re.MULTILINE,
)
#: "B is correct", "B is the best answer", "option B is right", "I choose B", "it must be B", "so it is B".
_SAID: Final = (
    re.compile(
        rf"{_LETTERS}\)?\s+(?i:{_IS})\s+(?i:(?:the|a|an|my|our|clearly|indeed|most|only|single|best|one|that)\s+){{0,4}}"
        r"(?i:correct|right|answer|best|true|solution|choice|option|accurate|appropriate)\b"
    ),
    re.compile(
        r"(?i:\b(?:choose|chose|pick|picked|select|selected|go(?:ing)?\s+(?:with|for)|opt\s+for|prefer|think|believe|say|"
        r"guess|conclude|be|it's|it\s+is|that's|that\s+is|this\s+is|therefore|thus|hence|so|väljer|tror|wähle|choisis|"
        r"elijo|escolho|scelgo)\b)[\s,:]*(?i:that\s+)?(?i:it(?:'s|\s+is)\s+|the\s+answer\s+is\s+)?"
        rf"(?i:{_OPTION}){_LETTERS}"
    ),
)
_DENIED: Final = (
    re.compile(
        rf"{_LETTERS}\)?\s+(?i:(?:is|are|was|were|can(?:not|'t)\s+be|isn't|aren't)\s+(?:(?:clearly|also|all|both|definitely|"
        r"obviously|therefore|thus)\s+)*(?:not|wrong|incorrect|false|eliminated|ruled\s+out|excluded|invalid|out)\b"
        r"|isn't|aren't|can(?:not|'t)\s+be)[^.,;\n]*"
    ),
    re.compile(
        rf"(?i:\b(?:not|neither|nor|isn't|eliminate|exclude|rule\s+out|unlike|except|rather\s+than|instead\s+of|inte|"
        rf"nicht|pas|不是)\b|不是)\s*(?i:{_OPTION}){_LETTERS}"
    ),
)
_OPTION_LINE: Final = re.compile(r"^[\s\-•]*(?:\((?P<a>[A-Za-z])\)|(?P<b>[A-Za-z])[).:])\s*\S")
_INLINE: Final = re.compile(r"(?<![A-Za-z0-9'.(])\(?([A-Z])[).:](?=\s)")
_FIRST: Final = re.compile(
    rf"^[\s\-•:.>]*(?i:{_OPTION})(?P<letters>(?:\([A-Za-z]\)|{_CAPITAL}|[a-z](?=[).:]+(?:\s|$))|[a-z](?=\s*$))"
    rf"(?:{_AND}(?:\([A-Za-z]\)|{_CAPITAL}))*)"
)
_ANOTHER: Final = re.compile(rf"\s+(?:\([A-Za-z]\)|{_CAPITAL})\s*$")
_EACH: Final = re.compile(r"\(([A-Za-z])\)|(?<![A-Za-z])([A-Z])(?![A-Za-z])|(?<![A-Za-z])([a-z])(?![A-Za-z])")
_LONE: Final = re.compile(r"[\W_]*\(?([A-Za-z])\)?[\W_]*")
_ANY: Final = re.compile(rf"(?<![A-Za-z0-9À-ɏ])\(([A-Za-z])\)|({_CAPITAL})")


@dataclass(frozen=True)
class Choice:
    """Reads the letter that an answer states, in its usual forms; see docs/scorers.md.

    An answer that states no letter, or two, has no choice.
    """

    name: ClassVar[str] = "choice"
    version: ClassVar[str] = "2"
    takes_objects: ClassVar[bool] = False

    def score(self, answer: str, expected: Any) -> float:
        """1 when the letter is one of the expected letters."""
        letter = _letter(answer)
        return float(letter is not None and letter in {_letter(right) for right in accepted(expected)})

    def key(self, answer: str) -> str:
        """The letter; the form of ``exact`` when there is no letter."""
        return _letter(answer) or exact_text(answer)


def _letter(answer: str) -> str | None:
    text = _cleaned(answer)
    if lone := _LONE.fullmatch(text):
        return lone[1].upper()
    text = _without_denied(_without_options(text))
    stated, said = _last((_STATED,), text), _last(_SAID, text)
    if stated is None and said is None:
        return _unstated(text)
    # "Answer: B" counts before "B is right", wherever they stand, if it names one letter.
    if stated is not None and ((letter := _one(stated["letters"])) or said is None or said.start() < stated.end()):
        return letter
    assert said is not None
    return _one(said["letters"])


def _unstated(text: str) -> str | None:
    """The letter at the start of the first line, in the last line alone, or the only one in the text."""
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    if (first := _FIRST.match(lines[0])) and len(set(_INLINE.findall(lines[0]))) < 2:
        return None if _ANOTHER.match(lines[0], first.end()) else _one(first["letters"])
    if lone := _LONE.fullmatch(lines[-1]):
        return lone[1].upper()
    letters = {(bracketed or capital).upper() for bracketed, capital in _ANY.findall(text)}
    return letters.pop() if len(letters) == 1 else None


def _last(patterns: Sequence[re.Pattern[str]], text: str) -> re.Match[str] | None:
    """The last match of several patterns, by the place of the letter."""
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    return max(found, key=lambda match: match.start("letters"), default=None)


def _one(letters: str) -> str | None:
    """The letter of a statement; None when it names several."""
    named = {(bracketed or capital or small).upper() for bracketed, capital, small in _EACH.findall(letters)}
    return named.pop() if len(named) == 1 else None


def _cleaned(answer: str) -> str:
    """The answer without emphasis and quotes, and with round brackets; ``\\boxed{…}`` is a stated answer."""
    text = same_signs(answer)
    text = re.sub(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\boxed\s*\{([^{}]*)\}", r"\nAnswer: \1\n", text)
    text = re.sub(r"</?(?:final_?)?answer>", "\nAnswer: ", text, flags=re.IGNORECASE)
    text = re.sub(r"^\s*#{1,6}\s*", "", text, flags=re.MULTILINE)
    text = re.sub(r"[*_`\"$]|(?<!\w)'|'(?!\w)", "", text)
    return re.sub(r"[\[{<【〔]\s*([A-Za-z])\s*[\]}>】〕]|\(\s*([A-Za-z])\s*\)", lambda m: f"({m[1] or m[2]})", text)


def _without_options(text: str) -> str:
    """Leave out lines that repeat the options: two or more in a row, in the order of the alphabet."""
    lines = text.split("\n")
    drop: set[int] = set()
    for run in _option_runs(lines):
        drop.update(run)
    return "\n".join(line for i, line in enumerate(lines) if i not in drop)


def _option_runs(lines: list[str]) -> Iterator[list[int]]:
    run: list[int] = []
    last = ""
    for i, line in enumerate([*lines, "end"]):
        if not line.strip():
            continue
        found = _OPTION_LINE.match(line)
        letter = (found["a"] or found["b"]).upper() if found else ""
        if run and letter and ord(letter) == ord(last) + 1:
            run.append(i)
        else:
            if len(run) > 1:
                yield run
            run = [i] if letter else []
        last = letter


def _without_denied(text: str) -> str:
    for pattern in _DENIED:
        text = pattern.sub(" ", text)
    return text


scorer = Choice
