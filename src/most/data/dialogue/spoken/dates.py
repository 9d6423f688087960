"""Dates, times, years and decades as said. Runs before other numbers are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from most.data.dialogue.spoken.numbers import DIGITS, cardinal, ordinal, plural, year
from most.data.dialogue.spoken.units import UNIT_SYMBOLS

Locale = Literal["US", "GB"]
"""How 05/03/2021 is read: month first (US) or day first (GB)."""

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_MONTH = {m[:3].lower(): m for m in MONTHS}
_M = r"(January|February|March|April|May|June|July|August|September|October|November|December" + (
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
_D = r"(0?[1-9]|[12]\d|3[01])"
_Y = r"((?:1\d|20)\d\d)"
_CUES = (
    "in|since|by|until|till|from|of|year|during|before|after|circa|about|around|late|early|mid|summer|autumn|fall|"
    "spring|winter|class|back|and|to|the|between|through|than"
)
_COUNTED = (
    rf"\s?(?:{UNIT_SYMBOLS})(?!\w)|\s+(?:[a-z]+\s+){{0,2}}?"
    r"(?:people|men|women|children|feet|percent|hundred|thousand|million|[a-z]{2,}(?<!wa)(?<!i)(?<!ha)s)\b"
)
"""What follows a quantity: "2000 people", "1950 tall trees"."""
_HALF = r"\s*([ap])\.?\s?m\b\.?(?!\w)"


def _name(month: str) -> str:
    return _MONTH[month[:3].lower()]


def _day_month_year(day: str, month: str, years: str | None, the: str = "") -> str:
    said = f"{the or 'the'} {ordinal(day)} of {month}"
    return said + (f" {year(years)}" if years else "")


def _month_day_year(month: str, day: str, years: str | None) -> str:
    return f"{month} {ordinal(day)}" + (f", {year(years)}" if years else "")


def clock(hours: int, minutes: int) -> str:
    """Hours and minutes: 3:30 "three thirty", 10:05 "ten oh five", 12:00 "twelve o'clock", 15:00 "fifteen hundred"."""
    said = cardinal(str(hours))
    if minutes:
        return f"{said} {'oh ' + DIGITS[minutes] if minutes < 10 else cardinal(str(minutes))}"
    return f"{said} o'clock" if 1 <= hours <= 12 else f"{said} hundred"


def _with_seconds(m: re.Match[str]) -> str:
    seconds = int(m[3])
    return clock(int(m[1]), int(m[2])) + (
        f" and {cardinal(str(seconds))} second{'s' * (seconds != 1)}" if seconds else ""
    )


def _half(letter: str) -> str:
    return "A M" if letter.lower() == "a" else "P M"


def _at_half(m: re.Match[str]) -> str:
    hours, minutes = int(m[1]), int(m[2] or 0)
    said = cardinal(str(hours)) if not minutes else clock(hours, minutes)
    return f"{said} {_half(m[3])}" + ("." if _ends_sentence(m) else "")


def _ends_sentence(m: re.Match[str]) -> bool:
    return m[0].endswith(".") and (m.end() == len(m.string) or bool(re.match(r"\s+[A-Z]", m.string[m.end() :])))


def _decade(m: re.Match[str]) -> str:
    text = m[1]
    if len(text) == 4:
        high, low = text[:2], text[2:]
        if low == "00":
            return plural(cardinal(high) + " hundred") if high != "20" else "two thousands"
        return f"{cardinal(high)} {plural(cardinal(low))}"
    return plural(cardinal(text))


def _iso(m: re.Match[str]) -> str:
    return _month_day_year(MONTHS[int(m[2]) - 1], m[3], m[1])


def _short_range(m: re.Match[str]) -> str:
    return f"{year(m[1])} to {year(m[2])}" if len(m[2]) == 4 else f"{year(m[1])} to {cardinal(m[2])}"


def _slashes(locale: Locale) -> Callable[[re.Match[str]], str]:
    def say(m: re.Match[str]) -> str:
        month, day = (int(m[1]), int(m[3])) if locale == "US" else (int(m[3]), int(m[1]))
        if month > 12:
            month, day = day, month
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return " ".join((m[1], m[3], m[4]))
        years = m[4] if len(m[4]) == 4 else ("19" if int(m[4]) > 50 else "20") + m[4]
        if locale == "US":
            return _month_day_year(MONTHS[month - 1], str(day), years)
        return _day_month_year(str(day), MONTHS[month - 1], years)

    return say


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<![\d:])((?:[01]?\d|2[0-3]):[0-5]\d)\s?[-–]\s?(?=(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:]))"),
     lambda m: f"{m[1]} to "),
    (re.compile(rf"(?<![\d:])(\d{{1,2}}(?::\d\d)?{_HALF})\s?[-–]\s?(?=(?:noon|midnight)\b)", re.IGNORECASE),
     lambda m: f"{m[1]} to "),
    (re.compile(r"(?<![\d.,])(1[0-2]|0?[1-9])\.([0-5]\d)(?=\s?[ap]\.?m\b)", re.IGNORECASE),
     lambda m: f"{m[1]}:{m[2]}"),
    (re.compile(rf"(?<![\d:])(\d{{1,2}}(?::\d\d)?(?:{_HALF})?)\s?[-–]\s?(?=\d{{1,2}}(?::\d\d)?{_HALF})", re.IGNORECASE),
     lambda m: f"{m[1]} to "),
    (re.compile(r"(?<![\d/-])(\d{4})[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12]\d|3[01])(?:T(?=\d))?(?![-/]?\d)"), _iso),
    (
        re.compile(rf"(?i:\b(the)\s+)?\b{_D}(?:st|nd|rd|th)?\s+(?:of\s+)?{_M}(?:,?\s+{_Y}\b)?(?!\s*\d)"),
        lambda m: _day_month_year(m[2], _name(m[3]), m[4], m[1] or ""),
    ),
    (
        re.compile(rf"\b{_M}\s+{_D}(?:st|nd|rd|th)?\s*[-–]\s*{_D}(?:st|nd|rd|th)?\b(?:,?\s+{_Y}\b)?"),
        lambda m: f"{_name(m[1])} {ordinal(m[2])} to {_month_day_year('', m[3], m[4]).strip()}",
    ),
    (
        re.compile(rf"\b{_M}\s+{_D}(?:st|nd|rd|th)?(?:,?\s+{_Y}\b|\b)(?![:.]?\d)"),
        lambda m: _month_day_year(_name(m[1]), m[2], m[3]),
    ),
    (re.compile(rf"\b{_M},?\s+{_Y}\b"), lambda m: f"{_name(m[1])} {year(m[2])}"),
    (re.compile(rf"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d){_HALF}", re.IGNORECASE), _at_half),
    (re.compile(rf"(?<![\d:.,])\b(1[0-2]|0?[1-9])(){_HALF}", re.IGNORECASE), _at_half),
    (re.compile(r"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d):([0-5]\d)(?![\d:])"), _with_seconds),
    (
        re.compile(r"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])(?:\s*o'clock)?"),
        lambda m: clock(int(m[1]), int(m[2])),
    ),
    (re.compile(r"(?<!\w)['’]?((?:1\d|20)\d0|[2-9]0)['’]?s\b"), _decade),
    (re.compile(rf"\b{_Y}\s*[-–/]\s*({_Y[1:-1]}|\d\d)\b(?![-/]\d)"), _short_range),
    (re.compile(rf"(?i:\b({_CUES})\s+)(1[1-9]\d\d|20\d\d)\b(?![,.]\d|\s*%|[-:/]\d|[a-z])"),
    lambda m: f"{m[1]} {year(m[2])}"),
    (re.compile(r"\b(year|AD|circa)\s(1[0-9]\d\d)\b(?![,.]\d|[-:/]\d|[a-z])", re.IGNORECASE),
     lambda m: f"{m[1]} {year(m[2])}"),
    (re.compile(rf"\b([Ii]n)\s(10(?:0[1-9]|[1-9]\d))\b(?![,.]\d|\s*%|[-:/]\d|[a-z]|{_COUNTED})"),
     lambda m: f"{m[1]} {year(m[2])}"),
    (re.compile(r"\((1[1-9]\d\d|20\d\d)\)"), lambda m: f"({year(m[1])})"),
    (
        re.compile(
            r"(?<![\d.,$£€¥₹#/:+*=×^-])(?<![+*=×] )\b((?:19|20)\d\d)\b"
            rf"(?![,.]\d|\s*[%°×*+=^]|[-:/]\d|{_COUNTED})"
        ),
        lambda m: year(m[1]),
    ),
)  # fmt: skip
_DATE = re.compile(r"(?<![\d/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?![/.-]?\d)")
_SHORT_DATE = re.compile(r"(?<![\d/.-])(\d{1,2})(/)(\d{1,2})/(\d\d)(?![/.-]?\d)")


_NO_YEAR = re.compile(r"(?i:\b(on|by|until|since))\s+(\d{1,2})/(\d{1,2})(?![\d/])")


def _without_year(first: int, second: int, locale: Locale) -> str:
    month, day = (first, second) if locale == "US" else (second, first)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ""
    return _month_day_year(MONTHS[month - 1], str(day), None)


def say_dates(text: str, locale: Locale = "US") -> str:
    """Read every date, time, year and decade of a text."""
    text = _NO_YEAR.sub(lambda m: f"{m[1]} {_without_year(int(m[2]), int(m[3]), locale) or m[2] + '/' + m[3]}", text)
    for pattern in (_DATE, _SHORT_DATE):
        text = pattern.sub(_slashes(locale), text)
    for pattern, say in _RULES:
        text = pattern.sub(say, text)
    return text
