"""Quantities as said: money, telephone numbers, measures, ranges, fractions, expressions, and whatever digits remain.

Runs behind `dates`. The order of the rules matters: what is most particular is read first, and the last rules leave
no digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from most.data.dialogue.spoken.numbers import (
    NUMBER,
    cardinal,
    digit_by_digit,
    fraction,
    number,
    ordinal,
    plural,
    scaled,
)  # fmt: skip
from most.data.dialogue.spoken.units import (
    CURRENCIES,
    CURRENCY_CODES,
    CURRENCY_SYMBOLS,
    PER,
    SCALE_LETTERS,
    UNIT_SYMBOLS,
    unit,
)  # fmt: skip

_N = f"({NUMBER})"
_SCALE = r"(?:\s?(thousand|million|billion|trillion|mn|bn|tn|[kKmMbB])(?![\w/]))?"
_DASH = r"\s?[-–—]\s?"
_MINUS = r"(?<![\w.,)%°-])[-−](?=[\d.$£€])"
_COMPARED = r"(?<![\w<>)])(?<!\b[a-zA-Z]\s)(?<![\d)]\s)"
"""No term of an expression stands before the sign."""
_NAMED_POWERS = {"2": "squared", "3": "cubed"}
_NO_NOUN = "if|when|for|from|in|on|at|to|and|or|but|is|was|are|were|I|you|he|she|it|we|they|per|a|an|the"
_NOUN = rf"\s?(?!(?:{_NO_NOUN})\b)[a-z]+"
Say = Callable[[re.Match[str]], str]


def money(amount: str, symbol: str, scale: str | None = None, *, describes: bool = False) -> str:
    """`("3.50", "$")` -> "three dollars and fifty cents"; `("1.2", "€", "m")` -> "one point two million euros".

    Args:
        describes: it stands before a noun, as in "a $5 bill": the currency is singular.
    """
    one, many, cent, cents = CURRENCIES[symbol]
    many = one if describes else many
    whole, _, part = amount.partition(".")
    if scale or len(part) not in (0, 2):
        return f"{scaled(amount, scale)} {many}"
    hundredths = int(part or 0)
    said = []
    if int(whole.replace(",", "") or 0) or not hundredths:
        said.append(f"{cardinal(whole or '0')} {one if whole == '1' else many}")
    if hundredths:
        said.append(f"{cardinal(str(hundredths))} {cent if hundredths == 1 else cents}")
    return " and ".join(said)


def _telephone(m: re.Match[str]) -> str:
    said = ", ".join(digit_by_digit(group) for group in re.findall(r"\d+", m[0]))
    return ("plus " if m[0].startswith("+") else "") + said


def _feet(m: re.Match[str]) -> str:
    inches = m[2] if m.re.groups > 1 else None
    return f"{cardinal(m[1])} foot" + (f" {cardinal(inches)}" if inches else "")


def _describes(m: re.Match[str]) -> bool:
    """A measure that stands as an adjective is singular: "a 90° turn", "a 5 km run"."""
    return bool(re.search(r"\b(?:an?|the|this|that)\s$", m.string[: m.start()], re.IGNORECASE)) and bool(
        re.match(r"\s[a-z]", m.string[m.end() :])
    )


def _money(m: re.Match[str]) -> str:
    """An amount behind its symbol; "a $5 bill", "a $20 million film" are singular, "a $5 if you win" is not."""
    before, after = m.string[: m.start()], m.string[m.end() :]
    describes = re.search(r"\b(?:an?|that|this|[a-z]{2,},)\s$", before, re.IGNORECASE) and re.match(_NOUN, after)
    return money(m[2], m[1], m[3], describes=bool(describes)) + " "


def _inches(m: re.Match[str]) -> str:
    return f"{number(m[1])} {'inch' if m[1] == '1' or _describes(m) else 'inches'}"


def _measure(m: re.Match[str]) -> str:
    return f"{number(m[1])} {unit(m[2], m[1] == '1' or _describes(m), m[3] or '')}"


def _measure_range(m: re.Match[str]) -> str:
    return f"{number(m[1])} to {number(m[2])} {unit(m[3], False, m[4] or '')}"


def _mixed(m: re.Match[str]) -> str:
    said = fraction(m[2], m[3])
    return f"{cardinal(m[1])} and {said.replace('one ', 'a ', 1) if m[2] == '1' else said}"


def _power(m: re.Match[str]) -> str:
    exponent = m[1].strip("{}()")
    if exponent in _NAMED_POWERS:
        return f" {_NAMED_POWERS[exponent]}"
    words = ("minus " if exponent[0] in "-−" else "") + exponent.lstrip("-−")
    return f" to the power of {words}"


def _words(words: str) -> Say:
    return lambda m: words


def _left_over(m: re.Match[str]) -> str:
    plain = m[0].replace(",", "")
    if "." not in plain and len(plain) >= 7 and plain == m[0] and not plain.endswith("0000"):
        return digit_by_digit(plain)
    return number(m[0])


_OPERAND = r"(?<=[\d)\]²³])"
_NEXT = r"(?=\s*[-−]?[\d(\[√π]|\s*[a-zA-Z]\b)"
_LETTER = r"(?:(?<=\b[a-zA-Z])|(?<=[\d)]))"
_OPERATORS: tuple[tuple[str, str], ...] = (
    (r"\s*(?:<=|≤)\s*", " is at most "), (r"\s*(?:>=|≥)\s*", " is at least "),
    (r"\s*(?:!=|≠)\s*", " is not equal to "), (r"\s*(?:≈|≅)\s*", " is about "),
    (r"\s*(?:±|\+/-)\s*", " plus or minus "),
    (rf"{_LETTER}\s*<\s*{_NEXT}", " is less than "), (rf"{_LETTER}\s*>\s*{_NEXT}", " is greater than "),
    (r"\s*={1,3}\s*", " equals "),
    (r"(?<=\d)[xX×](?=\d)", " by "),
    (rf"{_LETTER}\s*[*×⋅·]\s*{_NEXT}", " times "), (rf"{_OPERAND}\s*[xX]\s*(?=\d)", " times "),
    (rf"{_LETTER}\s*÷\s*{_NEXT}", " divided by "), (rf"{_LETTER}\s+/\s+{_NEXT}", " divided by "),
    (rf"{_LETTER}\s*\+\s*{_NEXT}", " plus "), (rf"{_LETTER}\s+[-−]\s+{_NEXT}", " minus "),
    (r"(?<=\d)[xX×]\b(?!\s*[-+*/=^<>])", " times"), (r"√\s*\(?\s*(?=[\w])", " the square root of "), (r"π", " pi "),
    (r"∞", " infinity "),
)  # fmt: skip
_RULES: tuple[tuple[str, Say], ...] = (
    (r"(?<!\w)[~≈∼]\s?(?=\d)", lambda m: "about "),
    (rf"{_COMPARED}>\s?(?=[\d$£€])", lambda m: "more than "), (rf"{_COMPARED}<\s?(?=[\d$£€])", lambda m: "less than "),
    (rf"({CURRENCY_SYMBOLS})\s?(\d{{1,3}}(?:\.\d{{3}})+),(\d\d)(?!\d)",
     lambda m: f"{m[1]}{m[2].replace('.', '')}.{m[3]}"),
    (r"(?<![\w.,])\d{1,3}(?:\.\d{3}){2,}(?![\w.]\d)", lambda m: m[0].replace(".", "")),
    (rf"({CURRENCY_SYMBOLS})\s?(\d+),(\d\d)(?![\d,])", lambda m: f"{m[1]}{m[2]}.{m[3]}"),
    (r"(?<![\d.,])(10{1,3})'?s\b", lambda m: plural(cardinal(m[1]).removeprefix("one "))),
    (rf"({CURRENCY_SYMBOLS})\s?{_N}{_DASH}(?:{CURRENCY_SYMBOLS})?{_N}{_SCALE}",
     lambda m: f"{scaled(m[2], None)} to {money(m[3], m[1], m[4])}"),
    (rf"{_MINUS}({CURRENCY_SYMBOLS})\s?{_N}{_SCALE}", lambda m: f"minus {money(m[2], m[1], m[3])}"),
    (rf"({CURRENCY_SYMBOLS})\s?[-−]?{_N}{_SCALE}\+", lambda m: money(m[2], m[1], m[3]) + " plus"),
    (rf"(?:{CURRENCY_SYMBOLS})\s?{_N}{_SCALE}\s?/\s?(?=[a-z])", lambda m: m[0].rstrip(" /") + " per "),
    (rf"({CURRENCY_SYMBOLS})\s?[-−]?{_N}{_SCALE}", _money),
    (rf"(?<![\w.]){_N}{_SCALE}\s?({CURRENCY_CODES})\b", lambda m: money(m[1], m[3], m[2])),
    (rf"\b({CURRENCY_CODES})\s?{_N}{_SCALE}", lambda m: money(m[2], m[1], m[3])),
    (rf"(?<![\w.]){_N}\s?(€|£)(?!\d)", lambda m: money(m[1], m[2])),
    (r"(?<![\w.])\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d\b", _telephone),
    (r"(?<![\w.])(?:1[ .-])?(?:\(\d{3}\)\s?|\d{3}[-.])\d{3}[-. ]\d{4}\b", _telephone),
    (r"(?<![\w.-])\d{3}-\d{4}\b(?!-)", _telephone),
    (r"(?<![\w.-])\d{3}-\d{2}-\d{4}\b", _telephone),
    (r"(?<![\w.-])0\d{2,4}(?: \d{3,4}){2,3}\b", _telephone), (r"(?<![\w.-])\d{4}(?:[ -]\d{4}){3}\b", _telephone),
    (r"(?<![\w.,])911(?![\w.,]\d|\s*[%+*=-])(?!\w)", lambda m: "nine one one"),
    (r"(?<!\w)[vV](?=\d+\.\d)", lambda m: "version "),
    (r"(?<![\w.])\d+(?:\.\d+){2,}", lambda m: " point ".join(cardinal(part) for part in m[0].split("."))),
    (r"(?<![\w.,])(\d+)\s?ft\.?\s(\d{1,2})\s?in\b\.?", lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}"),
    (r"(?<![\w.])(\d{1,2})\s?['′’]\s?(\d{1,2})?\s?(?:[\"″”]|''|(?<=\d)(?!\w))(?!\w)", _feet),
    (r"(?<![\w.])(\d{1,2})['′](?!\w)", _feet),
    (r"(?<![\w.,/])(\d{1,2})/(\d{1,2})\s?[\"″]", lambda m: f"{fraction(m[1], m[2])} inch"),
    (rf"(?<![\w.]){_N}\s?[\"″](?=[\s.,;!?)]|$)", _inches),
    (r"(?<![\w.,/])(\d+)[\s-](\d{1,2})/(\d{1,2})(?![\w/])", _mixed),
    (r"(?<![\w.,/])(\d{1,2}\.\d)/(10|100|5)(?![\w/.]\d|\w)", lambda m: f"{number(m[1])} out of {cardinal(m[2])}"),
    (r"(?<![\w.,/])(\d{1,4})/(\d{1,4})(?![\w/])", lambda m: fraction(m[1], m[2])),
    (r"(?<![\w.,])(\d{1,2})\s?h\s?(?:r\s)?([0-5]?\d)\s?(?:m(?:in)?)?\b",
     lambda m: f"{cardinal(m[1])} hour{'s' * (m[1] != '1')} {cardinal(str(int(m[2])))} minutes"),
    (rf"{_MINUS}{_N}", lambda m: "minus " + m[1]),
    (rf"(?<![\w.]){_N}\s?%?\s?(?:{UNIT_SYMBOLS})?{_DASH}{_N}\s?({UNIT_SYMBOLS})(²|³|\^[23])?(?![\w°])", _measure_range),
    (rf"(?<![A-Za-z.]){_N}[\s-]?({UNIT_SYMBOLS})(²|³|\^[23])?(?![\w°'’])", _measure),
    (r"(?<=[a-z])\s?/\s?(" + "|".join(sorted(PER, key=len, reverse=True)) + r")\b", lambda m: f" per {PER[m[1]]}"),
    (r"(?<![\w.,])([248])K(?![\w'’])", lambda m: f"{cardinal(m[1])} K"),
    (rf"(?<![\w.]){_N}\s?(K|k|M|mn|bn)(?![\w'’])", lambda m: f"{number(m[1])} {SCALE_LETTERS[m[2]]}"),
    (r"(?<![\w.,])(\d+):(\d+)(?![\w:])", lambda m: f"{cardinal(m[1])} to {cardinal(m[2])}"),
    (r"\^\s?(\{[-−]?\w+\}|\([-−]?\w+\)|[-−]?\d+|[a-zA-Z])", _power),
    (r"²", lambda m: " squared"), (r"³", lambda m: " cubed"),
    *((pattern, _words(words)) for pattern, words in _OPERATORS),
    (r"(?<![\d,])(\d[\d,]*)(?:st|nd|rd|th)\b", lambda m: ordinal(m[1])),
    (rf"(?<![A-Za-z.-]){_N}{_DASH}{_N}(?!-?\w)", lambda m: f"{number(m[1])} to {number(m[2])}"),
    (r"(?<=\d)\+", lambda m: " plus"),
    (r"\+(?=\d)", lambda m: " plus "),
    (r"(?<=\w)-(?=\d)|(?<=\d)-(?=\w)", lambda m: " "),
    (r"(?<=[A-Za-z])(?=\d)", lambda m: " "),
    (rf"{NUMBER}", _left_over),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), say) for pattern, say in _RULES)
_GLUED = re.compile(r"(?<=\d)(?=[A-Za-z])(?!(?:st|nd|rd|th)\b)")


def say_amounts(text: str) -> str:
    """Read every number of a text; the result holds no digit."""
    for pattern, say in _COMPILED[:-1]:
        text = pattern.sub(say, text)
    text = _GLUED.sub(" ", text)
    pattern, say = _COMPILED[-1]
    return pattern.sub(lambda m: say(m) + (" " if m.end() < len(text) and text[m.end()].isalnum() else ""), text)
