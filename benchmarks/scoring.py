"""Compares the scorer ``numeric`` with other projects' own judges, on public answer sets.

    python -m benchmarks.scoring [--seed 1] [--json FILE]

Needs the dependency group ``bench-scoring``. The sets:

- word problems       GSM-Symbolic and other counting tasks of reasoning-gym
- arithmetic          sums, decimals, fractions and probabilities of reasoning-gym
- school mathematics  mathgenerator: LaTeX golds

Each right answer, and wrong ones made from it, is written in one of the forms that models use (``1,234``,
``\\frac{3}{2}``) and put into a reply as models write them, in six languages, many with other numbers before and after
the answer. The
reference judges the bare value: reasoning-gym's own verifier, or math-verify for mathgenerator. A scorer is given the
whole reply, and agrees when it gives the same verdict.

The answers are made from the golds, so their equality is known. Replies on which the reference contradicts it are
counted by family and left out of ``agreement``: reasoning-gym's verifier of GSM-Symbolic ignores minus signs, others
accept rounded values, and math-verify takes ``2e-51`` and ``3e-51`` for equal. ``of all replies`` leaves nothing out,
and each disagreement is listed with who is right.

The rule "the last number", which ``numeric`` used before, and
math-verify on the whole reply stand beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import random
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

from orkester.evals.scorers import scorer
from orkester.serving.machine import facts

PACKAGES = ("reasoning-gym", "mathgenerator", "math-verify")
WORD_PROBLEMS = {"gsm_symbolic": 400, "leg_counting": 60, "letter_counting": 60, "aiw": 40, "count_bits": 40}
ARITHMETIC = {
    **dict.fromkeys(["chain_sum", "basic_arithmetic", "products", "decimal_chain_sum", "decimal_arithmetic"], 60),
    **dict.fromkeys(["gcd", "lcm", "count_primes", "simple_equations", "simple_geometry"], 40),
    **dict.fromkeys(["fraction_simplification", "dice", "coin_flip", "number_format"], 60),
}
SCHOOL = [
    "absolute_difference",
    "addition",
    "angle_regular_polygon",
    "area_of_circle",
    "area_of_triangle",
    "arithmetic_progression_term",
    "basic_algebra",
    "celsius_to_fahrenheit",
    "circumference",
    "combinations",
    "compound_interest",
    "cube_root",
    "definite_integral",
    "dice_sum_probability",
    "distance_two_points",
    "divide_fractions",
    "exponentiation",
    "fraction_multiplication",
    "fraction_to_decimal",
    "geometric_mean",
    "int_matrix_22_determinant",
    "lcm",
    "percentage_error",
    "permutation",
    "power_of_powers",
    "product_of_scientific_notations",
    "simple_interest",
    "square_root",
    "subtraction",
    "vector_dot",
]
SCHOOL_SIZE = 20
# The packages change the precision of the default context.
EXACT = Context(prec=60)


@dataclass(frozen=True)
class Reply:
    """A reply of a model, and whether its answer is right.

    Attributes:
        family: The kind of task.
        text: The whole reply.
        gold: The right answer.
        right: The reference's verdict on the answer.
        equal: Whether the answer has the value of the gold: known, since it was made from it. A reference that says
            otherwise rounds, or reads a part of the answer only.
    """

    family: str
    text: str
    gold: str
    right: bool
    equal: bool


# How models write a whole reply. {v} is the answer, {a} and {b} are other numbers, {q} is the question.
REPLIES = [
    "{v}",
    "{v}.",
    "**{v}**",
    "= {v}",
    "Answer: {v}",
    "Answer: {v} (I checked {a} times)",
    "**Answer:** {v}",
    "**Answer: {v}**",
    "Final answer: {v}",
    "The answer is {v}.",
    "The answer is **{v}**, since {a} of the {b} cases do not count.",
    "The final answer is: {v}\n\nLet me know if you have {a} more questions!",
    "{q}\n\nThe answer is {v}.",
    "{q}\nAnswer: {v}",
    "Let's solve it step by step.\n\n1. We begin with {a}.\n2. We combine it with {b}.\n3. That gives {v}.\n\n**{v}**",
    "Let's think. First there are {a}. Then {b} more. So the result is {v}.",
    "First we take {a} and {b}. {a} + {b} is an intermediate step.\n#### {v}",
    "We have {a} at first.\n#### {v} in total after {a} steps",
    "Step 1: note that {a} and {b} are given.\nStep 2: compute.\n\nFinal Answer: {v}",
    "### Step 1\nStart from {a}.\n\n### Step 2\nUse {b}.\n\n### Final Answer\n{v}",
    "So \\boxed{{{m}}}.",
    "After {a} steps we get $\\boxed{{{m}}}$. I used {b} facts.",
    "\\[\n\\boxed{{{m}}}\n\\]",
    "**Final Answer**\n\nThe final answer is \\(\\boxed{{{m}}}\\).",
    "At first I got \\boxed{{{a}}}, but that forgets {b}. The right one is \\boxed{{{m}}}.",
    "Answer: {a}\n\nWait, that is wrong: I forgot {b}.\n\nAnswer: {v}",
    "x = {v}",
    "Therefore $x = {m}$.",
    "Thus, the result is ${m}$.",
    "The result: {v}",
    "It is {v}",
    "It's {v}, not {a}.",
    "{v}\n\nExplanation: we begin with {a}, then use {b}.",
    "{v}. I checked it {a} times.",
    "Sure! The answer is {v}. Would you like me to explain the {a} steps?",
    "I think the answer is {a}. Wait, no. The correct answer is {v}.",
    '{{"answer": "{v}", "steps": {a}}}',
    "<answer>{v}</answer>",
    "I used {a} and {b}. <answer> {v} </answer> That took {a} steps.",
    "```\n{v}\n```",
    "Svar: {v}",
    "Svaret är {v} eftersom det finns {a} till.",
    "Först har vi {a}. Alltså blir det {v}.",
    "Die Antwort ist {v}.",
    "Das Ergebnis lautet **{v}**.",
    "Zuerst sind es {a}, dann {b}.\n\nAntwort: {v} ({a}-mal geprüft)",
    "La réponse est {v}.",
    "D'abord {a}, puis {b}.\n\nRéponse finale : **{v}**",
    "La respuesta es {v} porque hay {a} más.",
    "Primero tenemos {a}. Por lo tanto, el resultado es {v}.",
    "所以答案是{v}。",
    "因为有{a}个，最终答案：{v}",
]


# -- writing a value ---------------------------------------------------------------------------------------------------


def value_of(text: str) -> Fraction | None:
    """The rational value of a gold in a data set, read without the scorer that is tested."""
    plain = text.strip().strip("$").strip()
    if match := re.fullmatch(r"(-?)\\d?frac\{(-?\d+)\}\{(\d+)\}", plain):
        return Fraction(f"{match[1]}1") * Fraction(int(match[2]), int(match[3]))
    try:
        return Fraction(plain) if "/" in plain else Fraction(Decimal(plain))
    except (ValueError, InvalidOperation, ZeroDivisionError, OverflowError):
        return None


def is_decimal(value: Fraction) -> bool:
    """Whether few decimals write the value."""
    return 10**12 % value.denominator == 0


def decimal_text(value: Fraction) -> str:
    """The value with a decimal point."""
    text = f"{EXACT.divide(Decimal(value.numerator), Decimal(value.denominator)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def written(value: Fraction, rng: random.Random) -> str:
    """The value in one of the forms that models use."""
    if not is_decimal(value):
        top, bottom = value.numerator, value.denominator
        forms = [
            f"{top}/{bottom}",
            rf"$\frac{{{top}}}{{{bottom}}}$",
            rf"\dfrac{{{top}}}{{{bottom}}}",
            f"{top} / {bottom}",
        ]
        if top > bottom:
            forms.append(f"{top // bottom} {top % bottom}/{bottom}")
        return rng.choice(forms)
    plain = decimal_text(value)
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    whole, _, rest = digits.partition(".")
    point = f".{rest}" if rest else ""
    grouped = f"{int(whole):,}"
    forms = [
        plain,
        plain,
        plain,
        plain,
        f"${plain}$",
        f"\\({plain}\\)",
        "−" + digits if sign else plain,
        f"{sign}{grouped}{point}",
    ]
    forms += [
        sign + grouped.replace(",", "{,}") + point,
        sign + grouped.replace(",", "\u202f") + point,
        f"{sign}${grouped}{point}",
    ]
    forms += [
        f"{plain} apples",
        f"{plain} km/h",
        rf"{plain} \text{{ cm}}^2",
        f"{plain} €",
        f"{sign}{grouped}{point} m²",
    ]
    if not rest:
        forms += (
            [f"{plain}.0", f"{plain}.00", sign + grouped.replace(",", ".")]
            if grouped.count(",") != 1
            else [f"{plain}.0"]
        )
        forms += [sign + grouped.replace(",", "'"), sign + grouped.replace(",", " ")]
    elif len(rest) != 3:
        forms += [f"{sign}{grouped.replace(',', '.')},{rest}", f"{sign}{whole},{rest}"]
    if value and len(digits) > 5:
        power = len(whole) - 1
        mantissa = decimal_text(abs(value) / Fraction(10) ** power)
        forms += [
            rf"{sign}{mantissa} \times 10^{{{power}}}",
            f"{sign}{mantissa} × 10^{power}",
            f"{sign}{mantissa}e{power}",
        ]
    return rng.choice(forms)


def mathematical(form: str) -> str:
    """The form without its dollar signs, for a place that is in mathematics already."""
    text = re.sub(r"^\$(.*)\$$|^\\\((.*)\\\)$", r"\1\2", form)
    return (
        text.replace("$", r"\$")
        .replace("€", r"\text{ €}")
        .replace(" apples", r"\text{ apples}")
        .replace(" km/h", r"\text{ km/h}")
    )


def wrong_values(value: Fraction, rng: random.Random) -> list[Fraction]:
    """Values near the right one, as models get it wrong."""
    wrongs = [value + 1, value - 1, value * 10, value / 10, value * 2, -value, value + 10, value * Fraction(9, 10)]
    digits = decimal_text(value) if is_decimal(value) else ""
    if len(digits.lstrip("-")) > 2:
        wrongs += [
            Fraction(Decimal(digits[:-1].rstrip("."))),
            Fraction(Decimal(digits.lstrip("-")[1:].lstrip(".") or "0")),
        ]
    if value:
        wrongs.append(1 / value)
    if not is_decimal(value):
        wrongs += [
            Fraction(value.numerator),
            Fraction(value.denominator),
            Fraction(value.numerator + 1, value.denominator),
        ]
    rng.shuffle(wrongs)
    return [wrong for wrong in wrongs if wrong != value][:2]


def replies(
    family: str, question: str, gold: str, judge: Callable[[str], bool], rng: random.Random, *, bare: str | None = None
) -> Iterator[Reply]:
    """A right reply and two wrong ones.

    Args:
        family: The kind of task.
        question: The question.
        gold: The right answer as the data set has it.
        judge: The reference: whether a bare answer is right.
        rng: Draws forms and phrases.
        bare: The right answer when no rational number can be read from it.
    """
    value = value_of(gold)
    answers: list[tuple[str, str]] = []
    if value is None:
        answers.append((bare or gold, (bare or gold)))
        other = re.sub(r"\d+", lambda match: str(int(match[0]) + 1), bare or gold, count=1)
        answers.append((other, other))
    else:
        for wanted in (value, *wrong_values(value, rng)):
            judged = decimal_text(wanted) if is_decimal(wanted) else f"{wanted.numerator}/{wanted.denominator}"
            if wanted == value:
                judged = gold
            elif "frac" in gold and not is_decimal(wanted):
                judged = rf"$\frac{{{wanted.numerator}}}{{{wanted.denominator}}}$"
            answers.append((judged, written(wanted, rng)))
    for judged, form in answers:
        phrase = rng.choice(REPLIES)
        others = {"a": rng.randint(2, 99), "b": rng.randint(2, 999)}
        text = phrase.format(v=form, m=mathematical(form), q=question.strip(), **others)
        yield Reply(family, text, gold, judge(judged), equal=judged == answers[0][0])


# -- the sets ----------------------------------------------------------------------------------------------------------


def reasoning_gym_set(sizes: dict[str, int], seed: int) -> Iterator[Reply]:
    """Replies to tasks of reasoning-gym, judged by its verifiers."""
    import reasoning_gym

    rng = random.Random(seed)
    for family, size in sizes.items():
        data = reasoning_gym.create_dataset(family, size=size, seed=seed)
        for entry in data:
            gold = str(entry["answer"])

            def judge(answer: str, entry: Any = entry, data: Any = data) -> bool:
                return bool(data.score_answer(answer, entry) == 1.0)

            yield from replies(family, entry["question"], gold, judge, rng)


def mathgenerator_set(seed: int) -> Iterator[Reply]:
    """Replies to tasks of mathgenerator, judged by math-verify."""
    import mathgenerator
    from math_verify import parse, verify

    rng = random.Random(seed)
    random.seed(seed)  # mathgenerator has no other way
    for family in SCHOOL:
        for _ in range(SCHOOL_SIZE):
            question, solution = getattr(mathgenerator, family)()
            match = re.search(r"\$([^$]+)\$", solution)
            gold = (match[1] if match else str(solution)).strip().rstrip("%\\").split("=")[-1].strip()

            def judge(answer: str, gold: str = gold) -> bool:
                return bool(verify(parse(f"${gold}$"), parse(f"${answer.strip('$')}$")))

            yield from replies(family, question, gold, judge, rng, bare=f"${gold}$")


# -- the judges --------------------------------------------------------------------------------------------------------

_LAST = re.compile(
    r"(?<!\w)(?<!\d\.)[-+−]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+)(?:[eE][-+]?\d{1,3})?"
)


def last_number(text: str, gold: str) -> bool:
    """The rule that ``numeric`` used before: the last number is that of the gold."""
    one, two = (
        Decimal(n[-1].replace(",", "").replace("−", "-")) if (n := _LAST.findall(t)) else None for t in (text, gold)
    )
    return one is not None and one == two


def whole_reply_verify(text: str, gold: str) -> bool:
    """math-verify on the whole reply, with its defaults."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${gold.strip('$')}$"), parse(text)))


def judges() -> dict[str, Callable[[str, str], bool]]:
    """What is compared with the reference."""
    numeric = scorer("numeric")
    return {
        "numeric": lambda text, gold: numeric.score(text, gold) == 1,
        "last number": last_number,
        "math-verify": whole_reply_verify,
    }


def compare(name: str, answers: Sequence[Reply]) -> dict[str, Any]:
    """How far each judge agrees with the reference, and where ``numeric`` does not."""
    result: dict[str, Any] = {
        "set": name,
        "replies": len(answers),
        "right": sum(a.right for a in answers),
        "judges": {},
    }
    exact = sum(answer.right == answer.equal for answer in answers)
    result["reference_inexact"] = dict(Counter(answer.family for answer in answers if answer.right != answer.equal))
    for judge, verdict in judges().items():
        start = time.perf_counter()
        verdicts = [verdict(answer.text, answer.gold) for answer in answers]
        seconds = time.perf_counter() - start
        different = [(a, v) for a, v in zip(answers, verdicts, strict=True) if v != a.right]
        result["judges"][judge] = {
            "agreement": 1 - sum(a.right == a.equal for a, _ in different) / exact,
            "agreement_of_all": 1 - len(different) / len(answers),
            "false_positives": sum(v for a, v in different if a.right == a.equal),
            "false_negatives": sum(not v for a, v in different if a.right == a.equal),
            "us_per_reply": round(1e6 * seconds / len(answers), 1),
        }
        if judge == "numeric":
            result["disagreements"] = [
                {
                    "family": a.family,
                    "reply": a.text,
                    "gold": a.gold,
                    "equal": a.equal,
                    "reference": a.right,
                    "numeric": v,
                }
                for a, v in different
            ]
    return result


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table, and the disagreements as a list."""
    lines = [
        "| set | replies (right) | judge | agreement | of all replies | false + | false − | µs a reply |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for judge, found in result["judges"].items():
            cells = [
                result["set"],
                f"{result['replies']} ({result['right']})",
                judge,
                f"{100 * found['agreement']:.2f} %",
                f"{100 * found['agreement_of_all']:.2f} %",
                found["false_positives"],
                found["false_negatives"],
                f"{found['us_per_reply']:.0f}",
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    for result in results:
        families = ", ".join(f"{family} {count}" for family, count in result["reference_inexact"].items())
        lines.append(f"\n{result['set']}: left out, since the reference contradicts arithmetic: {families or 'none'}.")
        for different in result["disagreements"]:
            who = "numeric" if different["numeric"] == different["equal"] else "the reference"
            verdict = "right" if different["numeric"] else "wrong"
            lines.append(f"- {different['family']}: numeric says {verdict}; correct is {who}")
            lines.append(f"  gold {different['gold']!r}, reply {different['reply'][-160:]!r}")
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """The versions of the packages that are needed.

    Raises:
        SystemExit: One is not installed.
    """
    missing = []
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}. Install them: pip install --group bench-scoring")
        raise SystemExit(0)
    return found


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    given = parser.parse_args()
    found = versions()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with contextlib.redirect_stderr(io.StringIO()):
        sets = {
            "word problems": list(reasoning_gym_set(WORD_PROBLEMS, given.seed)),
            "arithmetic": list(reasoning_gym_set(ARITHMETIC, given.seed)),
            "school mathematics": list(mathgenerator_set(given.seed)),
        }
        results = [compare(name, answers) for name, answers in sets.items()]
    print(table(results))
    if given.json:
        about = {
            "date": datetime.now(UTC).date().isoformat(),
            "python": sys.version.split()[0],
            "versions": found,
            "scorer": f"numeric {scorer('numeric').version}",
            "seed": given.seed,
            "machine": facts(),
        }
        given.json.write_text(
            json.dumps({**about, "sets": results}, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
