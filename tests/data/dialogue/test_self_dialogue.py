"""How the shipped set is built, on a folder in the corpus's layout."""

import csv

import pytest

from most.data.dialogue.dialogue import read_dialogues
from most.data.dialogue.self_dialogue import Recipe, build, merged, read_corpus
from most.errors import MostError

GOOD = [
    "Do you like old horror films at all?", "I like them a lot, the old ones are the best of all to watch at night.",
    "Which one do you like the best of all?", "I like the first one the best, it is the one that I like to watch.",
    "I have not seen that one at all.", "You have to watch it at night, it is the best way to like it.",
]  # fmt: skip


def numbered(k):
    """A dialogue like the good one and unlike the others."""
    return [f"{t[:-1]} {'again ' * (k % 2)}{'and ' * (k // 2 + 1)}so on{t[-1]}" for t in GOOD]


@pytest.fixture
def corpus(tmp_path):
    rows = [{"turns": numbered(k)} for k in range(4)] + [
        {"turns": numbered(0), "Reject": "x"},
        {"turns": numbered(1), "WorkerId": "bad"},
        {"turns": GOOD[:4]},
        {"turns": [*GOOD[:5], "That is a damn good way to like it."]},
        {"turns": [*GOOD[:5], "My name is what I like the best of all."]},
        {"turns": [*GOOD[:5], "i like it the best way of all."]},
        {"turns": [*GOOD[:5], "I like it the floofiest way of all."]},
    ]
    folder = tmp_path / "checkout"
    (folder / "corpus" / "horror").mkdir(parents=True)
    (folder / "blocked_workers.txt").write_text("bad\n")
    with (folder / "corpus" / "horror" / "horror.csv").open("w", newline="") as f:
        writer = csv.DictWriter(f, ["WorkerId", "Reject", *(f"Answer.sentence{k}" for k in range(1, 7))])
        writer.writeheader()
        for row in rows:
            turns = {f"Answer.sentence{k}": t for k, t in enumerate(row["turns"], 1)}
            writer.writerow({"WorkerId": row.get("WorkerId", "w"), "Reject": row.get("Reject", ""), **turns})
    return folder


RECIPE = Recipe(common_in=2, share_of_repeats=1.0, mean_words=5.0)


def test_build(corpus, tmp_path):
    counts = build(corpus, tmp_path / "a.jsonl", RECIPE)
    assert +counts == {
        "kept": 4, "too few turns": 1, "coarse or delicate words": 1, "personal, or about the task": 1,
        "careless writing": 1, "a rare word, perhaps misspelt": 1,
    }  # fmt: skip
    made = list(read_dialogues(tmp_path / "a.jsonl"))
    assert {d.topic for d in made} == {"horror films"}
    assert {d.licence for d in made} == {"BSD-3-Clause"}
    assert sorted(t.text for t in made[0].turns)[0][0].isupper()
    build(corpus, tmp_path / "b.jsonl", RECIPE)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_at_most_so_many_of_a_topic(corpus, tmp_path):
    counts = build(corpus, tmp_path / "a.jsonl", Recipe(**{**vars(RECIPE), "per_topic": 3}))
    assert (counts["kept"], counts["enough of the topic"]) == (3, 1)


def test_blocked_and_rejected_work_is_not_read(corpus):
    assert len(list(read_corpus(corpus))) == 9


def test_an_empty_turn_merges_its_neighbours():
    assert merged(["One.", "{}", "Two.", "Three."]) == ["One. Two.", "Three."]
    assert merged(["", "One.", " a  b ", "{}", "{}", "c"]) == ["One.", "a b", "c"]


def test_no_checkout(tmp_path):
    with pytest.raises(MostError, match="checkout"):
        build(tmp_path, tmp_path / "x.jsonl")
