"""CMUdict's phones (ARPABET; vowels end in their stress: 0 none, 1 primary, 2 secondary) as voices take them."""

from __future__ import annotations

from collections.abc import Sequence

from most.data.dialogue.voice.phonemes import TIE
from most.errors import MostError, nearest

_VOWELS = {
    "AA": "ɑː", "AE": "æ", "AH": "ʌ", "AO": "ɔː", "AW": "a^ʊ", "AY": "a^ɪ", "EH": "ɛ", "ER": "ɜː", "EY": "e^ɪ",
    "IH": "ɪ", "IY": "iː", "OW": "o^ʊ", "OY": "ɔ^ɪ", "UH": "ʊ", "UW": "uː",
}  # fmt: skip
_UNSTRESSED = {"AH": "ə", "ER": "ɚ", "IY": "i"}
_CONSONANTS = {
    "B": "b", "CH": "t^ʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "d^ʒ", "K": "k", "L": "l",
    "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w",
    "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_STRESS = {"0": "", "1": "ˈ", "2": "ˌ"}
assert TIE == "^"


def is_vowel(phone: str) -> bool:
    return phone[-1] in _STRESS


def check_phones(phones: Sequence[str]) -> None:
    """Raises MostError for a phone that CMUdict does not have, or for none."""
    if not phones:
        raise MostError("phones", list(phones), "give at least one phone")
    for phone in phones:
        known = phone[:-1] in _VOWELS if is_vowel(phone) else phone in _CONSONANTS
        if not known:
            raise MostError("phones", phone, nearest(phone, [*(v + "1" for v in _VOWELS), *_CONSONANTS]))


def to_ipa(phones: Sequence[str]) -> str:
    """American IPA as espeak-ng writes it: ties within a sound, the stress mark right before its vowel.

    Raises:
        MostError: an unknown phone.
    """
    check_phones(phones)
    out = []
    for phone in phones:
        if not is_vowel(phone):
            out.append(_CONSONANTS[phone])
            continue
        vowel, stress = phone[:-1], phone[-1]
        plain = _UNSTRESSED.get(vowel, _VOWELS[vowel]) if stress == "0" else _VOWELS[vowel]
        out.append(_STRESS[stress] + plain)
    return "".join(out)


def to_flite(phones: Sequence[str]) -> str:
    """Flite's own names: lower case, schwa apart, one kind of stress.

    Raises:
        MostError: an unknown phone.
    """
    check_phones(phones)
    return " ".join({"AH0": "ax0"}.get(p, p.lower().replace("2", "1")) for p in phones)
