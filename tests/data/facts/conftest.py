"""The dictionary that the package ships, to check grammar by what others wrote."""

from __future__ import annotations

import lzma

import pytest

from most.data.stand_ins.recipe import ASSETS


@pytest.fixture(scope="session")
def first_phones():
    """The first phones of each word of CMUdict."""
    out: dict[str, set[str]] = {}
    with lzma.open(ASSETS / "cmudict.dict.xz", "rt", encoding="utf-8") as f:
        for line in f:
            word, first = line.split("#")[0].split()[:2]
            out.setdefault(word.split("(")[0], set()).add(first)
    return out
