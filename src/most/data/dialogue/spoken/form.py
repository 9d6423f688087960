"""The spoken form of a text: the kinds of rules in their order."""

from __future__ import annotations

import unicodedata

from most.data.dialogue.spoken.amounts import say_amounts
from most.data.dialogue.spoken.clean import drop_quotes, say_addresses, say_symbols, strip_markup, tidy
from most.data.dialogue.spoken.dates import Locale, say_dates
from most.data.dialogue.spoken.names import say_names
from most.data.dialogue.spoken.words import say_acronyms, say_words


def to_spoken(text: str, locale: Locale = "US") -> str:
    """A written English text as it is said: no digit, symbol or markup is left. Saying what is said changes nothing.

    Args:
        locale: how 05/03/2021 is read, month first (US) or day first (GB).

    Raises:
        MostError: the extra `dialogue` is missing.
    """
    for _ in range(_MOST_PASSES):
        said = _once(text, locale)
        if said == text:
            break
        text = said
    return text


_MOST_PASSES = 6
"""Nearly every text is settled after one; odd punctuation that a later rule frees may need another."""


def _once(text: str, locale: Locale) -> str:
    text = say_names(say_addresses(strip_markup(text)))
    text = say_dates(say_words(text), locale)
    text = drop_quotes(say_amounts(text))
    text = tidy(say_symbols(say_acronyms(text)))
    return unicodedata.normalize("NFC", text)
