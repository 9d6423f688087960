"""The one normaliser of every word error rate here: Whisper's for English, pinned with its spelling table.

The code is transformers' copy of it; the British-to-American table is Whisper's own and lies beside this file.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from most.data.prompts import DIGIT_WORDS

if TYPE_CHECKING:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

SPELLING_TABLE = Path(__file__).with_name("english_spelling.json")
_ELLIPSIS = re.compile(r"\.{2,}|…")


@cache
def _normalizer() -> EnglishTextNormalizer:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer(json.loads(SPELLING_TABLE.read_text(encoding="utf-8")))


def normalize(text: str) -> str:
    """Lower case, no punctuation, fillers or bracketed remarks; numerals, American spelling, no contractions.

    `...` is dropped first: the normaliser would keep a stray dot of it as a word.
    """
    return " ".join(_normalizer()(_ELLIPSIS.sub(" ", text)).split())


def normalize_digits(text: str) -> str:
    """As `normalize`, then numbers are spelled a digit a word: `three one four` and `314` both become `three one four`.

    The plain normaliser joins neighbouring spoken digits into one numeral, so that one wrong digit in six would count
    as one wrong word in one; it also writes a lone 1 as `one` but a lone 2 as `2`.
    """
    return " ".join(re.sub(r"\d", lambda d: f" {DIGIT_WORDS[int(d.group())]} ", normalize(text)).split())


NORMALIZERS = {"english": normalize, "digits": normalize_digits}
