"""The scorer ``numeric`` on a battery of answers, on all ways to write a number, and on hostile texts."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.scorers import scorer

BATTERY = [
    json.loads(line)
    for line in (Path(__file__).parent / "battery" / "numeric.jsonl").read_text(encoding="utf-8").splitlines()
]
NUMERIC = scorer("numeric")


@pytest.mark.parametrize("case", BATTERY, ids=lambda case: f"{case['kind']}-{case['answer'][:40]!a}")
def test_battery(case: dict[str, Any]) -> None:
    made = scorer({"numeric": case.get("settings", {})})
    assert made.score(case["answer"], case["expected"]) == case["score"]


@pytest.mark.parametrize("case", BATTERY, ids=lambda case: f"{case['kind']}-{case['answer'][:40]!a}")
def test_the_key_of_a_key_is_the_key_itself(case: dict[str, Any]) -> None:
    made = scorer({"numeric": case.get("settings", {})})
    key = made.key(case["answer"])
    assert made.key(key) == key


DECIMALS = st.decimals(min_value=-(10**12), max_value=10**12, allow_nan=False, allow_infinity=False, places=6)
DIGITS = {
    "arabic": "٠١٢٣٤٥٦٧٨٩",
    "persian": "۰۱۲۳۴۵۶۷۸۹",
    "devanagari": "०१२३४५६७८९",
    "full width": "０１２３４５６７８９",
    "mathematical": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
}


def _grouped(number: Decimal, gap: str, mark: str) -> str:
    return f"{number:,f}".replace(",", "\0").replace(".", mark).replace("\0", gap)


WRITINGS = {
    "plain": lambda n: f"{n:f}",
    "many zeros": lambda n: f"{n:f}000",
    "commas": lambda n: _grouped(n, ",", "."),
    "dots": lambda n: _grouped(n, ".", ","),
    "spaces": lambda n: _grouped(n, " ", "."),
    "no-break spaces": lambda n: _grouped(n, "\u00a0", ","),
    "narrow spaces": lambda n: _grouped(n, "\u202f", ","),
    "thin spaces": lambda n: _grouped(n, "\u2009", "."),
    "apostrophes": lambda n: _grouped(n, "'", "."),
    "typographic apostrophes": lambda n: _grouped(n, "’", "."),
    "underscores": lambda n: _grouped(n, "_", "."),
    "LaTeX commas": lambda n: _grouped(n, "{,}", "."),
    "LaTeX spaces": lambda n: _grouped(n, r"\,", "."),
    "scientific": lambda n: f"{n:.30e}",
    "times a power": lambda n: rf"{n / 1000:f} \times 10^{{3}}",
    "superscript": lambda n: f"{n / 1000:f} × 10³",
    "fraction": lambda n: "/".join(map(str, Fraction(n).as_integer_ratio())),
    "LaTeX fraction": lambda n: r"\frac{{{}}}{{{}}}".format(*Fraction(n).as_integer_ratio()),
    "thousand": lambda n: f"{n / 1000:f} thousand",
    "million": lambda n: f"{n / 1000000:f} million",
    "minus sign": lambda n: f"{n:f}".replace("-", "−"),
    "sign apart": lambda n: f"{n:f}".replace("-", "- "),
    "dollars": lambda n: ("-$" if n < 0 else "$") + f"{abs(n):,f}",
    "full-width sign": lambda n: f"{n:f}".replace("-", "－"),
    **{
        script: lambda n, digits=digits: f"{n:f}".translate(str.maketrans("0123456789", digits))
        for script, digits in DIGITS.items()
    },
}
PHRASES = [
    "{}",
    "{}.",
    "**{}**",
    "${}$",
    "The answer is {}.",
    "Answer: {} (I checked 3 times)",
    r"So 2 + 2 = 4 and then \boxed{{{}}}, in 3 steps.",
    "1 + 2 = 3\n#### {} apples in 3 baskets",
    "Das Ergebnis ist {}.",
    "Svar: {} kr",
    "La réponse est {} €.",
    "x = {}",
]


@settings(max_examples=400, deadline=None)
@given(number=DECIMALS, writing=st.sampled_from(sorted(WRITINGS)), phrase=st.sampled_from(PHRASES))
def test_a_number_is_read_back_from_every_writing(number: Decimal, writing: str, phrase: str) -> None:
    answer = phrase.format(WRITINGS[writing](number))
    assert NUMERIC.score(answer, f"{number:f}") == 1
    assert NUMERIC.score(answer, f"{number + 1:f}") == 0
    assert NUMERIC.key(answer) == NUMERIC.key(f"{number:f}")


@settings(max_examples=200, deadline=None)
@given(top=st.integers(-9999, 9999), bottom=st.integers(1, 999), factor=st.integers(1, 99))
def test_equal_fractions_are_one_vote(top: int, bottom: int, factor: int) -> None:
    key = NUMERIC.key(f"{top}/{bottom}")
    assert NUMERIC.key(rf"The answer is $\frac{{{top * factor}}}{{{bottom * factor}}}$.") == key
    assert NUMERIC.key(key) == key


@settings(max_examples=200, deadline=None)
@given(root=st.integers(2, 5000), factor=st.integers(1, 60))
def test_equal_roots_are_one_vote(root: int, factor: int) -> None:
    key = NUMERIC.key(rf"{factor}\sqrt{{{root}}}")
    assert NUMERIC.key(rf"\sqrt{{{root * factor * factor}}}") == key
    assert NUMERIC.key(key) == key
    assert NUMERIC.score(key, rf"\frac{{{factor * root}}}{{\sqrt{{{root}}}}}") == 1


PIECES = st.sampled_from(
    [
        *"0123456789 .,:;-+*/^()[]{}$%\\'_\"\n=≈±−½²√π٣",
        *["\\frac", "\\sqrt", "\\boxed{", "\\text{", "\\pi", "\\times 10^", "Answer:", "####", "**", "<answer>"],
        *[" is ", " million", " or ", " to ", " and ", "twenty", "e9", "x", " (", ") "],
    ]
)


@settings(max_examples=600, deadline=None)
@given(pieces=st.lists(PIECES, max_size=30))
@example(pieces=["π", "−", "√", "2"])  # its key is pi-2^(1/2), and pi-2 is no word like covid-19
def test_any_mixture_of_pieces_is_scored_and_has_a_stable_key(pieces: list[str]) -> None:
    answer = "".join(pieces)
    assert NUMERIC.score(answer, "5") in {0, 1}
    key = NUMERIC.key(answer)
    assert NUMERIC.key(key) == key


HOSTILE = [
    "(", "1+", "\\frac", "\\frac{", "(1+", "1\\frac{", "Answer: ", "\\boxed{", "**", "**1 ", "2^", "2^(2^(", "1",
    "1,", "1 234", "√(2+", "1e", "½", "⁹", "٤", " ", "\n", "\n 1", "1. ", "twenty ", "one and ", "- ", "- 1\n",
    "<", "<a", "{", "5 check: ", "\\textbf{", "1=", "is ", " million", "5%", "5 or ", "答案是", "9^600*", "√999983 ",
    "√2+√3+", "the answer to ", "_", "x_{", "1'", "a-", "1:", "1 234 ", "#### 1\n", "~", "&", "\x01",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_of_20_kb_is_scored(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    assert NUMERIC.score(text, "123456789.25") == 0
    assert isinstance(NUMERIC.key(text), str)


@pytest.mark.parametrize(
    "power", ["1e999999999", "1e99999999999999999999", "9^9^9^9", "9^999999999", "9**9999999", "1e-999999999"]
)
def test_a_huge_exponent_is_no_work(power: str) -> None:
    assert NUMERIC.score(power, 5) == 0
    assert scorer({"numeric": {"tolerance": 0.5}}).score(power, 5) == 0
    assert len(NUMERIC.key(power)) < 100


def test_numbers_of_a_million_digits_are_compared_exactly() -> None:
    digits = "12345" * 200_000
    assert NUMERIC.score(digits, digits) == 1
    assert NUMERIC.score(digits, f"{digits[:-1]}6") == 0
    assert NUMERIC.key(f"{digits}.0") == NUMERIC.key(digits)


@pytest.mark.parametrize(
    "expected", ["Oslo", "", "12:30", "3-5", "nan", "2x + 1", None, True, [], ["Oslo", "12 + 30"], {}]
)
def test_a_gold_without_a_number_can_never_be_right(expected: Any) -> None:
    assert NUMERIC.score(str(expected), expected) == 0


@pytest.mark.parametrize("expected", [5, -0.5, "1/3", "#### 42", "5 apples", ["Oslo", "5"], 1e-300, "1e999999999"])
def test_a_gold_with_a_number_can_be_right(expected: Any) -> None:
    assert NUMERIC.score(str(expected), expected) == 1


@pytest.mark.parametrize("locale", ["xx", "", "english"])
def test_an_unknown_locale_is_refused(locale: Any) -> None:
    with pytest.raises(InputError, match="locale must be a language"):
        scorer({"numeric": {"locale": locale}})


@pytest.mark.parametrize("locale", ["de", "de-DE", "sv_SE", "FR"])
def test_numbers_of_a_data_file_have_a_decimal_point_in_every_language(locale: str) -> None:
    made = scorer({"numeric": {"locale": locale}})
    assert made.score("1,234", 1.234) == 1
    assert made.score("1.234", 1234) == 1
    assert made.key(made.key("1,234")) == made.key("1,234")
