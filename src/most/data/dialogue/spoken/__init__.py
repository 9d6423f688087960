"""Written English to what is said: `to_spoken` turns a text into words alone, `chunks` cuts it into whole sentences.

Paper, stage 2: numbers and expressions are spelled out, turns are cut into chunks of at most 20 words. Numbers are
num2words' (extra `dialogue`); around them stand tables and thin rules, one file a kind. English only.
"""

from __future__ import annotations

from most.data.dialogue.spoken.chunks import chunks
from most.data.dialogue.spoken.form import to_spoken

__all__ = ["chunks", "to_spoken"]
