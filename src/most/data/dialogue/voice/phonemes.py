"""English text to IPA by the `espeak-ng` program, with the punctuation kept that voices read as pauses and tone.

espeak-ng is GPL-3, so it is called as a program that the user has installed: neither linked nor shipped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache, lru_cache

from most.errors import MostError

TIE = "^"
"""Between the letters of one sound (`t^ʃ`, `a^ɪ`); remove it where a voice was trained without."""
# A mark counts where a space or the end follows (3.5 and 10:30 stay whole); a dash and brackets anywhere.
_MARK = re.compile(r"[;:,.!?…]+(?=[\s\"”»)]|$)|\s+-+\s+|[—()\"“”«»]")
_LANGUAGE_SWITCH = re.compile(r"\([a-z-]+\)")
_WORD = re.compile(r"\w")


@cache
def _program() -> str:
    found = shutil.which("espeak-ng")
    if found is None:
        raise MostError(
            "espeak-ng", "not found on PATH",
            "Kokoro and Piper voices read phonemes; install it (apt install espeak-ng, brew install espeak-ng)",
        )  # fmt: skip
    return found


@lru_cache(maxsize=4096)
def _ipa(text: str, language: str) -> str:
    done = subprocess.run(
        [_program(), "-q", "--ipa", f"--tie={TIE}", "-v", language, "--stdin"],
        input=text, capture_output=True, encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise MostError("espeak-ng", language, f"failed ({done.stderr.strip()[:120]}); is its language data installed?")
    return _LANGUAGE_SWITCH.sub("", " ".join(done.stdout.split()))


def phonemize(text: str, language: str = "en-us") -> str:
    """IPA with stress marks, `TIE` within sounds, and the text's own punctuation.

    Raises:
        MostError: espeak-ng is not installed or does not know the language.
    """
    out, start = "", 0
    marks = [*_MARK.finditer(text), None]
    for mark in marks:
        words = text[start : mark.start() if mark else len(text)]
        if _WORD.search(words):
            opened = out.endswith(("(", "“", "«"))
            out += ("" if not out or opened else " ") + _ipa(words.strip(), language)
        if mark:
            sign = mark.group().strip()
            sign = "—" if set(sign) == {"-"} else sign
            out += (" " if sign in "(“«—" and out else "") + sign
            start = mark.end()
    return out.strip()
