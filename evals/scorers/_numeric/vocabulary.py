"""Words and signs with which numbers are written, by what they do to a number."""

from __future__ import annotations

from typing import Final

from .number_text import words

FRACTIONS: Final = frozenset({"\\frac", "\\dfrac", "\\tfrac", "\\cfrac", "\\nicefrac", "\\sfrac"})
ROOTS: Final = {"\\sqrt": 2, "√": 2, "sqrt": 2, "∛": 3}
PIS: Final = frozenset({"\\pi", "π", "pi"})
TIMES: Final = frozenset({"\\times", "\\cdot", "\\ast", "*"})
#: Commands that only change how their text looks.
STYLES: Final = frozenset(
    "\\" + name
    for name in words(
        "text textbf textit textrm textsf texttt mathrm mathbf mathit mathsf mathtt mathbb boldsymbol bm mbox hbox "
        "operatorname boxed fbox emph underline displaystyle color bf rm it"
    )
)
#: Words after which the answer follows.
LINKS: Final = words(
    "is are was were be equal equals gives give makes make has have had gets totals costs cost yields becomes remain "
    "remains contains "
    "är blir har kostar ger utgör ist sind war lautet beträgt ergibt macht hat haben kostet est sont fait vaut égale "
    "donne a coûte es son fue da tiene vale cuesta é são dá tem è sono fa ha is zijn wordt er"
)
FUNCTIONS: Final = words(
    "ln log lg sin cos tan cot sec csc arcsin arccos arctan exp lim max min gcd lcm sum int prod binom "
    "tbinom dbinom phi theta alpha beta gamma infty"
)
PERCENT: Final = {
    **dict.fromkeys(
        words("% percent percents percentage procent prozent pourcent porcento pct процент процента процентов"), 100
    ),
    "‰": 1000,
    "permille": 1000,
    "promille": 1000,
}
TWO_WORDS: Final = {
    ("per", "cent"): 100,
    ("pour", "cent"): 100,
    ("por", "ciento"): 100,
    ("por", "cento"): 100,
    ("per", "mille"): 1000,
}
MAGNITUDES: Final = {
    **dict.fromkeys(words("hundred hundreds hundert honderd"), 10**2),
    **dict.fromkeys(words("dozen"), 12),
    **dict.fromkeys(
        words("thousand thousands tausend tusen tusind duizend mille mil mila k tsd тысяч тысяча тысячи тыс 千"), 10**3
    ),
    **dict.fromkeys(words("万 萬 만"), 10**4),
    **dict.fromkeys(words("lakh lakhs lac lacs"), 10**5),
    **dict.fromkeys(
        words(
            "million millions millionen mio mln mn miljon miljoner miljoen millioner millón millon millones milhão "
            "milhões milione milioni млн миллион миллиона миллионов"
        ),
        10**6,
    ),
    **dict.fromkeys(words("crore crores cr"), 10**7),
    **dict.fromkeys(words("亿 億 억"), 10**8),
    **dict.fromkeys(
        words(
            "billion billions bn milliarde milliarden mrd md mds mia miljard miljarder milliard milliards milliarder "
            "miliardo miliardi bilhão bilhões млрд миллиард миллиарда миллиардов"
        ),
        10**9,
    ),
    **dict.fromkeys(words("trillion trillions billionen biljon biljoner billón billones"), 10**12),
}
# "billion" in a language with the long scale.
LONG_SCALE: Final = {"billion": 10**12, "billions": 10**12, "trillion": 10**18, "trillionen": 10**18}
LETTER_MAGNITUDES: Final = {"K": 10**3, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
