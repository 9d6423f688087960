"""Stories with their own endings and others': the same up to there, every ending once right and once wrong."""

from __future__ import annotations

import numpy as np
import pytest

from most.data.stand_ins.endings import _likeness, random_endings, similar_endings
from most.data.stand_ins.stories import choose
from most.errors import MostError
from most.speech.audio import read_audio

TEXTS = [
    "The cat sat on the mat and slept.", "A dog ran in the park with a ball.", "The cat slept on a warm mat all day.",
    "My dog fetched the ball in the park.", "We ate soup and bread.", "Soup with bread is what we ate.", "Quite alone!",
]  # fmt: skip


def test_likeness_is_sklearns():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectorizer = text.TfidfVectorizer(sublinear_tf=True, smooth_idf=False, token_pattern=r"[^\W_]+")
    vectorizer.fit(TEXTS)
    vectorizer.idf_ = vectorizer.idf_ - 1  # sklearn adds one, so that words of every text count too
    vectors = vectorizer.transform(TEXTS)
    wanted = (vectors @ vectors.T).toarray()
    found = np.eye(len(TEXTS))
    for (a, b), score in _likeness(TEXTS).items():
        found[a, b] = score
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_each_ending_once_and_never_its_own(n):
    names = [f"s{k}" for k in range(n)]
    for endings in (similar_endings(TEXTS[:n]), random_endings(names, 3), random_endings(names, 4)):
        assert sorted(endings) == list(range(n))
        assert all(k != other for k, other in enumerate(endings))


def test_alike_by_their_words():
    assert similar_endings(TEXTS[:6]) == [2, 3, 0, 1, 5, 4]
    # One that is like none takes the ending of who is least like its own match.
    assert similar_endings(TEXTS)[4:6] == [5, 4]


def test_the_same_samples_up_to_the_ending(recipe, run, written):
    rows = [
        {"id": f"s{k}", "sentences": [*[f"Story {k} says {n}." for n in "abcd"], t]} for k, t in enumerate(TEXTS[:6])
    ]
    one = recipe("story-cloze", source=written(rows))
    found, _ = run("story-cloze", one)
    assert len(found) == 6
    assert {r["good"]["text"].split(". ")[-1] for r in found} == {r["bad"]["text"].split(". ")[-1] for r in found}
    for row in found:
        good, bad = (read_audio(one.output / row[s]["audio"]) for s in ("good", "bad"))
        n_shared = 4 * 0.3 * 16000  # four sentences of three tones and more
        same = int(np.argmin(good[: min(len(good), len(bad))] == bad[: min(len(good), len(bad))]))
        assert same > n_shared
        assert not np.array_equal(good, bad)
        assert row["good"]["text"].endswith(f"d. {TEXTS[int(row['pair'][1])]}")
        assert not row["bad"]["text"].endswith(TEXTS[int(row["pair"][1])])


def test_what_is_no_story(recipe, written):
    turns = [
        {"role": "user", "text": "One is here. Two is here."},
        {"role": "assistant", "text": "Three. Four. And five is it."},
    ]
    rows = [
        {"id": "chat", "turns": turns}, {"id": "text", "text": "One. Two. Three. Four. It ends like this here. No."},
        {"id": "short", "text": "Only this. And that."}, {"id": "none", "words": 3},
        {"id": "again", "turns": turns}, {"id": "long", "text": "A. B. C. D. " + "word " * 40 + "end."},
    ]  # fmt: skip
    chosen = choose(recipe("story-cloze", source=written(rows)))
    assert [i.id for i in chosen.items] == ["chat", "text"]
    assert chosen.items[1].sides["good"].text == "It ends like this here."
    reasons = {r["id"]: r["reason"] for r in chosen.left_out}
    assert reasons == {
        "short": "too short", "none": "no story", "again": "seen already", "long": "a sentence too long",
    }  # fmt: skip
    with pytest.raises(MostError, match="holds 1 stories"):
        choose(recipe("story-cloze", source=written(rows[:1])))


def test_the_packages_dialogues_and_paragraphs(recipe, tmp_path):
    random, similar = (choose(recipe("story-cloze", endings=e, limit=20)) for e in ("random", "similar"))
    assert [i.sides["good"] for i in random.items] == [i.sides["good"] for i in similar.items]
    assert [i.sides["bad"] for i in random.items] != [i.sides["bad"] for i in similar.items]
    paragraph = "He woke up. He was late. He ran out. He fell {}. Then he laughed out loud {}.\n\n"
    (tmp_path / "t.txt").write_text(paragraph.format("down", "there") + paragraph.format("over", "again"))
    assert len(choose(recipe("story-cloze", source=str(tmp_path / "t.txt"))).items) == 2
