"""Names and notations that are said in their own way, against the rules for numbers and letters. Runs first."""

from __future__ import annotations

import re
from collections.abc import Callable

from most.data.dialogue.spoken.numbers import cardinal, digit_by_digit, year

_DAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday",
    "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_DAY = "|".join(sorted(_DAYS, key=len, reverse=True))
_NUMBERED_PART = {"Vol": "Volume", "vol": "volume", "Pt": "Part", "pt": "part", "Ch": "Chapter", "ch": "chapter",
                  "Ep": "Episode", "ep": "episode", "p": "page", "pg": "page", "c": "circa", "ca": "circa"}  # fmt: skip
_SUFFIXES = "js|py|txt|pdf|doc|csv|jpg|png|gif|mp3|mp4|zip|exe|html|json"
_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"\b(\d\d)ers\b", lambda m: cardinal(m[1]).removesuffix("e") + "ers"),
    (r"\b(?:WW|World War )(?:II|2)\b", lambda m: "World War Two"),
    (r"\b(?:WW|World War )(?:I|1)(?![\w'’])", lambda m: "World War One"),
    (r"\bWorld Wars (?:I|1) and (?:II|2)\b", lambda m: "World Wars One and Two"),
    (r"\b401\s?(?:\(k\)|k\b)", lambda m: "four oh one K"),
    (r"\b7([0-8])7\b(?=\s?s?\b)(?:(?<=\b[Bb]oeing 7.7)|(?=\s(?:jet|plane|airliner)))",
     lambda m: f"seven {cardinal(m[1] + '7')}"),
    (r"\b(\d{1,2})(\d\d)p\b", lambda m: f"{cardinal(m[1])} {cardinal(m[2])} P"),
    (r"\b([Rr]oom)\s([1-9]\d)(0[1-9]|[1-9]\d)\b", lambda m: f"{m[1]} {year(m[2] + m[3])}"),
    (r"(?i:\b(zip(?:\scode)?))\s(\d{5})\b", lambda m: f"{m[1]} {digit_by_digit(m[2])}"),
    (r"(?<!\w)['’]0([1-9])(?!\d)(?!s)", lambda m: f"oh {cardinal(m[1])}"),
    (r"(?<![\w.,])(\d{1,2})\s?m\s(\d{1,2})\s?s\b", lambda m: f"{m[1]} min {m[2]} sec"),
    (r"(?<!\d\s)(?<!\d)\bft\.?(?=\s[A-Z])", lambda m: "featuring"),
    (r"\bAC/DC\b", lambda m: "A C D C"), (r"\bA\$AP\b", lambda m: "Asap"), (r"\bP!nk\b", lambda m: "Pink"),
    (r"\bwill\.i\.am\b", lambda m: "Will I Am"), (r"(?<=[A-Za-z])\$(?=[a-z])", lambda m: "s"),
    (r"(?<!\w)\.NET\b", lambda m: "dot net"),
    (rf"(?<=[A-Za-z\d])\.({_SUFFIXES})\b", lambda m: f" dot {m[1].upper() if len(m[1]) < 4 else m[1]}"),
    (rf"\b({_DAY})\.?\s?[-–]\s?({_DAY})\b\.?", lambda m: f"{_DAYS[m[1]]} to {_DAYS[m[2]]}"),
    (rf"\b({_DAY})\.(,?)(?=\s(?:[a-z\d]|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b))",
     lambda m: _DAYS[m[1]] + m[2]),
    (r"\b(Vol|vol|Pt|pt|Ch|ch|Ep|ep|pg?|ca?)\.\s?(?=\d|[IVX]+\b)", lambda m: _NUMBERED_PART[m[1]] + " "),
    (r"(?<![\w$£€¥])([A-F])\+(?![\w+])", lambda m: f"{m[1]} plus"),
    (r"(?<![\w$£€¥])([A-F])[-−](?=\s[a-z]|[.,;!?]|$)", lambda m: f"{m[1]} minus"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), say) for pattern, say in _RULES)


def say_names(text: str) -> str:
    """Teams, wars, rooms, artists, files, weekdays and grades."""
    for pattern, say in _COMPILED:
        text = pattern.sub(say, text)
    return text
