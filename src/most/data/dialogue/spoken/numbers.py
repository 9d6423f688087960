"""Numbers as words: cardinals, ordinals, decimals, digits one by one, years and fractions.

US wording: "one hundred five", without "and" and without commas. The words are num2words'.
"""

from __future__ import annotations

import re

from most.errors import MostError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SCALES = {"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "tn": "trillion"}
NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
"""A written number without sign: 1,234.5 or 1234.5 or .5"""
LONGEST_CARDINAL = 15
"""Digits; what is longer is read digit by digit."""
_DENOMINATORS = {2: ("half", "halves"), 4: ("quarter", "quarters")}


def _words(n: int, to: str) -> str:
    try:
        from num2words import num2words
    except ImportError as e:
        raise MostError("num2words", "not installed", "install the extra: pip install 'most-speech[dialogue]'") from e
    return re.sub(r"\s+", " ", num2words(n, to=to).replace(",", "").replace(" and ", " "))


def digit_by_digit(text: str) -> str:
    """`"0451"` -> "zero four five one"; what is no digit is left out."""
    return " ".join(DIGITS[int(c)] for c in text if c.isdecimal())


def cardinal(text: str) -> str:
    """`"1,234"` -> "one thousand two hundred thirty-four"; leading zeros and very long numbers digit by digit."""
    plain = text.replace(",", "")
    if len(plain) > LONGEST_CARDINAL or (len(plain) > 1 and plain[0] == "0"):
        return digit_by_digit(plain)
    return _words(int(plain), "cardinal")


def ordinal(text: str) -> str:
    """`"21"` -> "twenty-first"."""
    plain = text.replace(",", "").lstrip("0") or "0"
    return _words(int(plain), "ordinal") if len(plain) <= LONGEST_CARDINAL else digit_by_digit(plain)


def number(text: str) -> str:
    """A number that matches `NUMBER`: `"3.14"` -> "three point one four"."""
    whole, point, rest = text.partition(".")
    words = cardinal(whole) if whole else "zero"
    return f"{words} point {digit_by_digit(rest)}" if point and rest else words


def year(text: str) -> str:
    """Four digits as a year: 1905 "nineteen oh five", 2009 "two thousand nine", 2021 "twenty twenty-one"."""
    n = int(text)
    high, low = divmod(n, 100)
    if len(text) != 4 or not 1000 <= n <= 2999 or n in (1000, 2000):
        return cardinal(text)
    if 2000 < n < 2010:
        return f"two thousand {DIGITS[low]}"
    if low == 0:
        return f"{cardinal(str(high))} hundred"
    return f"{cardinal(str(high))} {'oh ' + DIGITS[low] if low < 10 else cardinal(str(low))}"


def plural(word: str) -> str:
    """The last word in the plural: "twenty" -> "twenties"."""
    if word.endswith("y"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("x", "s")) else "s")


def fraction(numerator: str, denominator: str) -> str:
    """`3/4` -> "three quarters", `1/2` -> "one half", `8/10` -> "eight out of ten", `16/9` -> "sixteen over nine"."""
    n, d = int(numerator), int(denominator)
    if (n, d) in ((24, 7), (9, 11)):
        return f"{cardinal(numerator)} {cardinal(denominator)}"
    if n == d and n in (20, 50):
        return f"{cardinal(numerator)}-{cardinal(numerator)}"
    if d in (10, 100) and 1 < n <= d:
        return f"{cardinal(numerator)} out of {cardinal(denominator)}"
    if 0 < n < d <= 20 or (n == 1 and d in (100, 1000)):
        one, many = _DENOMINATORS.get(d) or (ordinal(denominator), plural(ordinal(denominator)))
        return f"{cardinal(numerator)} {one if n == 1 else many}"
    return f"{cardinal(numerator)} over {cardinal(denominator)}"


def scaled(text: str, scale: str | None) -> str:
    """A number and its scale: `("1.2", "m")` -> "one point two million"; a scale already in words is kept."""
    return number(text) + (f" {SCALES.get(scale.lower(), scale.lower())}" if scale else "")
