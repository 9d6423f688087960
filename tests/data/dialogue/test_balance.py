"""Sampling towards a stated distribution: reached where it can be, said where not, the same for the same seed."""

from collections import Counter

import pytest

from most.data.dialogue.balance import ATTRIBUTES, BalanceRecipe, balance_file, choose
from most.data.dialogue.dialogue import read_dialogues, write_dialogues
from most.data.dialogue.interruptions.base import interrupted
from most.errors import MostError
from most.settings import load_recipe


@pytest.fixture
def source(tmp_path, make):
    """60 of films, 30 of music, 10 of sport; every third is long."""
    topics = ["films"] * 60 + ["music"] * 30 + ["sport"] * 10
    texts = ("Hi.", "Hello."), ("Hi.", "Hello.", "Bye.", "Bye.")
    made = [make(f"d{k}", *texts[k % 3 == 0], topic=topic) for k, topic in enumerate(topics)]
    write_dialogues(tmp_path / "d.jsonl", made)
    return tmp_path / "d.jsonl"


def topics_of(path):
    return Counter(d.topic for d in read_dialogues(path))


def test_even(source, tmp_path):
    done = balance_file(source, tmp_path / "out.jsonl", BalanceRecipe(distribution={"topic": "even"}))
    assert topics_of(tmp_path / "out.jsonl") == {"films": 10, "music": 10, "sport": 10}
    assert (done.n, done.n_read, done.short) == (30, 100, ())


def test_stated_shares(source, tmp_path):
    recipe = BalanceRecipe(distribution={"topic": {"films": 0.5, "music": 0.25, "sport": 0.25}}, size=40)
    done = balance_file(source, tmp_path / "out.jsonl", recipe)
    assert topics_of(tmp_path / "out.jsonl") == {"films": 20, "music": 10, "sport": 10}
    assert done.reached["topic"]["films"] == (0.5, 0.5)


def test_two_attributes_at_once(source, tmp_path):
    recipe = BalanceRecipe(distribution={"topic": "even", "n_turns": {"1-2": 0.5, "3-4": 0.5}}, size=18)
    balance_file(source, tmp_path / "out.jsonl", recipe)
    made = list(read_dialogues(tmp_path / "out.jsonl"))
    assert Counter(d.topic for d in made) == {"films": 6, "music": 6, "sport": 6}
    assert Counter(len(d.turns) for d in made) == {2: 9, 4: 9}


def test_what_cannot_be_reached_is_said(source, tmp_path):
    recipe = BalanceRecipe(distribution={"topic": {"sport": 0.5, "films": 0.5}}, size=60)
    done = balance_file(source, tmp_path / "out.jsonl", recipe)
    assert topics_of(tmp_path / "out.jsonl") == {"films": 30, "sport": 10}
    assert done.short == (
        "topic 'sport': 25.0% instead of 50.0%", "topic 'films': 75.0% instead of 50.0%", "40 dialogues instead of 60",
    )  # fmt: skip


def test_values_that_do_not_occur_are_said(source, tmp_path):
    recipe = BalanceRecipe(distribution={"topic": {"films": 0.5, "gardens": 0.5}})
    done = balance_file(source, tmp_path / "out.jsonl", recipe)
    assert "topic 'gardens': 0.0% instead of 50.0%" in done.short
    with pytest.raises(MostError, match="none of the 100 dialogues"):
        balance_file(source, tmp_path / "o.jsonl", BalanceRecipe(distribution={"topic": {"gardens": 1.0}}))


def test_order_is_kept_nothing_is_repeated_and_the_seed_decides(source, tmp_path):
    def ids(seed):
        recipe = BalanceRecipe(distribution={"topic": "even"}, seed=seed)
        balance_file(source, tmp_path / "out.jsonl", recipe)
        return [d.id for d in read_dialogues(tmp_path / "out.jsonl")]

    assert ids(0) == ids(0) != ids(1)
    assert ids(0) == sorted(set(ids(0)), key=lambda i: int(i[1:]))


def test_what_goes_together_stays_together():
    """Of two attributes with their own shares already right, the joint distribution is the data's."""
    cells = [("a", "x")] * 40 + [("a", "y")] * 10 + [("b", "x")] * 10 + [("b", "y")] * 40
    even = BalanceRecipe(distribution={"topic": "even", "source": "even"}, size=50)
    kept, _ = choose(cells, ["topic", "source"], even)
    assert Counter(cells[k] for k in kept) == {("a", "x"): 20, ("a", "y"): 5, ("b", "x"): 5, ("b", "y"): 20}


def test_attributes(make):
    before = make("d1")
    after = interrupted(before, 1, 50, "Wait.", "Sure.", before.turns[1].text[50:])
    values = {name: (value(before), value(after)) for name, value in ATTRIBUTES.items()}
    assert values == {
        "topic": ("sights", "sights"), "source": ("tests", "tests"), "n_turns": ("3-4", "5-6"),
        "n_words": ("1-50", "1-50"), "interrupted": ("no", "yes"),
    }  # fmt: skip
    assert ATTRIBUTES["n_turns"](make("d", *["a"] * 20)) == "17+"


def test_yes_and_no_in_yaml_are_names(source, tmp_path):
    (tmp_path / "r.yaml").write_text("distribution: {interrupted: {no: 1.0}}\n")
    recipe = load_recipe(BalanceRecipe, tmp_path / "r.yaml")
    assert balance_file(source, tmp_path / "out.jsonl", recipe).n == 100


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"distribution": {}}, "must name an attribute"),
        ({"distribution": {"topics": "even"}}, "did you mean 'topic'"),
        ({"distribution": {"topic": {"a": 0.5}}}, "must add up to 1"),
        ({"distribution": {"topic": {"a": 2}}}, "between 0 and 1"),
        ({"distribution": {"topic": {"a": True}}}, "between 0 and 1"),
        ({"distribution": {"topic": "odd"}}, "or 'even'"),
        ({"distribution": {"topic": "even"}, "size": 0}, "size"),
    ],
)
def test_bad_recipes(bad, says):
    with pytest.raises(MostError, match=says):
        BalanceRecipe(**bad)
