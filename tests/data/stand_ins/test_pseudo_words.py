"""Pseudo-words: no words, alike in length, syllables, stress and sound, and not told by n-grams."""

from __future__ import annotations

import math

import numpy as np
import pytest

from most.data.dialogue.voice.arpabet import is_vowel, to_flite, to_ipa
from most.data.dialogue.voice.recipe import VoiceSettings
from most.data.stand_ins.phonotactics import Phonotactics, heard, unstressed
from most.data.stand_ins.pseudo_words import candidates_for, edit_distance, farthest
from most.data.stand_ins.recipe import ASSETS, SWuggyRecipe
from most.data.stand_ins.swuggy import choose
from most.data.stand_ins.words import choose_words, count_words, read_dictionary
from most.errors import MostError


@pytest.fixture(scope="module")
def dictionary():
    return read_dictionary(ASSETS / "cmudict.dict.xz")


@pytest.fixture(scope="module")
def some(dictionary):
    """A thirtieth of the dictionary, as a file would hold it."""
    return dict(list(dictionary.items())[::30])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, some):
    path = tmp_path_factory.mktemp("words") / "some.dict"
    path.write_text("".join(f"{w} {' '.join(p)}\n" for w, listed in some.items() for p in listed))
    voices = (VoiceSettings(kind="flite", names=("slt",)),)
    chosen = choose(SWuggyRecipe(output=path.parent / "out", voices=voices, source=path, limit=150, candidates=120))
    return chosen, [(i.sides["good"].phones, i.sides["bad"].phones) for i in chosen.items]


def test_the_dictionary_in_the_package(dictionary):
    assert len(dictionary) > 125_000
    assert dictionary["constitution"][0] == ("K", "AA2", "N", "S", "T", "AH0", "T", "UW1", "SH", "AH0", "N")
    assert len(dictionary["read"]) == 2


def test_pseudo_words_are_like_words_and_none(pairs, some):
    chosen, found = pairs
    assert len(found) + len(chosen.left_out) == 150
    assert len(found) > 120
    known = {heard(p) for listed in some.values() for p in listed}
    assert len({heard(bad) for _, bad in found}) == len(found)
    for good, bad in found:
        assert heard(bad) not in known
        assert len(bad) == len(good)
        stresses = [[p[-1] for p in phones if is_vowel(p)] for phones in (good, bad)]
        assert stresses[0] == stresses[1]
        assert 1 <= edit_distance(unstressed(good), unstressed(bad)) <= farthest(len(good))


def test_n_grams_do_not_tell(pairs, some):
    _, found = pairs
    sounds = Phonotactics({p for listed in some.values() for p in listed})
    good, bad = (np.array([sounds.scores(side) for side in sides]) for sides in zip(*found, strict=True))
    assert (good > bad).mean(axis=0) == pytest.approx([0.5] * 3, abs=0.05)
    assert np.abs((good - bad).mean(axis=0)).max() < 0.12
    assert all(sounds.possible(b) for _, b in found)
    # A candidate that is not chosen would be told.
    drawn = [candidates_for(g, sounds, set(), n=20, seed=1)[:1] for g, _ in found]
    assert np.mean([off[2] < 0 for ((_, off),) in filter(None, drawn)]) > 0.65


def test_the_card_says_what_n_grams_tell(pairs):
    chosen, _ = pairs
    table = [line for line in chosen.notes if line.startswith(("| unigram", "| bigram", "| trigram"))]
    assert len(table) == 3
    assert all(45 < float(line.split("|")[4].strip(" %")) < 55 for line in table)


def test_scores_by_hand():
    sounds = Phonotactics([("K", "AE1", "T"), ("K", "AE1", "P")])
    one, two, three = sounds.scores(("K", "AE1", "T"))
    # Of eight sounds with the two ends: K 2, AE1 2, T 1, end 2; after AE1 stands T once in two.
    assert one == pytest.approx((math.log(2 / 8) * 3 + math.log(1 / 8)) / 4)
    at = [(2 / 8, 1), (2 / 8, 1), (1 / 8, 0.5), (2 / 8, 1)]
    assert two == pytest.approx(sum(math.log(0.1 * a + 0.9 * b) for a, b in at) / 4)
    assert three == pytest.approx(sum(math.log(0.1 * a + 0.3 * b + 0.6 * b) for a, b in at) / 4)


def test_syllables_take_the_longest_onset():
    sounds = Phonotactics([("S", "T", "AA1", "P"), ("K", "AE1", "T"), ("T", "IH1", "N")])
    parts = sounds.parts(("K", "AE1", "S", "T", "IH0", "N"))
    assert [(p.kind, p.phones) for p in parts] == [
        ("onset", ("K",)), ("nucleus", ("AE1",)), ("coda", ()),
        ("onset", ("S", "T")), ("nucleus", ("IH0",)), ("coda", ("N",)),
    ]  # fmt: skip
    assert [p.place for p in parts] == ["first"] * 3 + ["last"] * 3
    assert sounds.parts(("S", "T")) == []


def test_edit_distance_is_rapidfuzz():
    levenshtein = pytest.importorskip("rapidfuzz.distance").Levenshtein
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b = (tuple(rng.choice(list("abcd"), rng.integers(0, 8)).tolist()) for _ in range(2))
        assert edit_distance(a, b) == levenshtein.distance(a, b)


def test_words_in_use_in_bands(tmp_path, dictionary):
    text = "the river " * 9 + "Anna and Anna met " * 5 + "a lantern a lantern a zebra."
    (tmp_path / "t.txt").write_text(text + "\n")
    counts = count_words([tmp_path / "t.txt"])
    assert counts["anna"] == 0  # a name: it never stands in lower case
    assert counts["lantern"] == 2
    found = dict(choose_words(dictionary, counts, phones=(3, 9), min_count=2, bands=2, limit=None))
    assert found == {"river": "band 1 of 2", "and": "band 1 of 2", "met": "band 2 of 2", "lantern": "band 2 of 2"}


def test_a_line_that_is_none_of_a_dictionary(tmp_path):
    (tmp_path / "d").write_text(";;; comment\ncat K AE1 T # an animal\ncat(2) K AE1\nbad K AE4\n")
    with pytest.raises(MostError, match="d:4"):
        read_dictionary(tmp_path / "d")


def test_phones_for_voices():
    assert to_ipa(["CH", "AO1", "K", "L", "AH0", "T"]) == "t^ʃˈɔːklət"
    assert to_ipa(["TH", "ER1", "D", "IY2"]) == "θˈɜːdˌiː"
    assert to_flite(["K", "AA2", "N", "AH0", "K", "T"]) == "k aa1 n ax0 k t"
    with pytest.raises(MostError, match="did you mean 'AA1'"):
        to_ipa(["AA7"])
