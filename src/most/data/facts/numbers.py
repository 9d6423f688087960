"""Facts that are computed: sums and differences to twenty, doubles, halves, what comes before and after."""

from __future__ import annotations

from collections.abc import Callable

_SMALL_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
"""
_SMALL = tuple(_SMALL_WORDS.split())
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = tuple(_TENS_WORDS.split())
MOST = 20
"""What sums come to, and differences are taken from."""


def number_words(n: int) -> str:
    """A number below 1000 as it is said, and 1000: forty-two, three hundred sixty-five."""
    if n == 1000:
        return "one thousand"
    if n >= 100:
        rest = f" {number_words(n % 100)}" if n % 100 else ""
        return f"{_SMALL[n // 100]} hundred{rest}"
    if n < MOST:
        return _SMALL[n]
    return _TENS[n // 10 - 2] + (f"-{_SMALL[n % 10]}" if n % 10 else "")


DIGITS = {number_words(n): str(n) for n in range(1001)}
"""A recogniser writes numbers as digits; so an answer that is a number is right in both forms."""

Rows = dict[str, str]
"""What fills the slots, with " / " between, to the answer."""


def _sums() -> Rows:
    """Each pair once; either may be named first."""
    pairs = ((a, b) for a in range(1, MOST) for b in range(a, MOST - a + 1))
    return {f"{number_words(a)} / {number_words(b)}": number_words(a + b) for a, b in pairs}


def _differences() -> Rows:
    pairs = ((a, b) for a in range(2, MOST + 1) for b in range(1, a))
    return {f"{number_words(a)} / {number_words(b)}": number_words(a - b) for a, b in pairs}


COMPUTED: dict[str, Callable[[], Rows]] = {
    "sums": _sums,
    "differences": _differences,
    "doubles": lambda: {number_words(n): number_words(2 * n) for n in range(1, 16)},
    "halves": lambda: {number_words(2 * n): number_words(n) for n in range(1, 16)},
    "numbers after": lambda: {number_words(n): number_words(n + 1) for n in range(MOST + 1)},
    "numbers before": lambda: {number_words(n): number_words(n - 1) for n in range(1, MOST + 1)},
}
