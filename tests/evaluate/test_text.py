"""The normaliser's hard cases, pinned."""

import pytest

from most.evaluate.text import normalize, normalize_digits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Colour of the CENTRE, organised!", "color of the center organized"),
        ("wait... what", "wait what"),
        ("...", ""),
        ("well… no", "well no"),
        ("Mr. Smith won't pay $20 million", "mister smith will not pay $20000000"),
        ("uh, um [laughs] (off) it's fine", "it is fine"),
        ("twenty-one", "21"),
        ("one hundred and two", "102"),
        ("three point one four", "3.14"),
        ("café", "cafe"),
        ("  spaces \n and\ttabs ", "spaces and tabs"),
        ("", ""),
    ],
)
def test_english(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("three one four", "three one four"),
        ("314", "three one four"),
        ("3-1-4.", "three one four"),
        ("3, 1, 4", "three one four"),
        ("one", "one"),
        ("1", "one"),
        ("1 2 3", "one two three"),
        ("zero zero seven", "zero zero seven"),
        ("double zero seven", "zero zero seven"),
        ("Three. One... four!", "three one four"),
        ("three won four", "three won four"),
        ("", ""),
    ],
)
def test_digits(text, expected):
    assert normalize_digits(text) == expected


@pytest.mark.parametrize("clean", [normalize_digits, normalize])
def test_digit_strings_are_not_taken_apart_twice(clean):
    once = clean("nine eight seven six")
    assert clean(once) == once
