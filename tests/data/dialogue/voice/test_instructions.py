from __future__ import annotations

import json
from collections import Counter

import pytest

from most.data.dialogue.dialogue import Dialogue, Turn
from most.data.dialogue.voice import pipeline
from most.data.dialogue.voice.barge_in import barge_in, cut_points
from most.data.dialogue.voice.instructions import InstructionSettings, read_instructions, why_unspeakable
from most.data.dialogue.voice.seam import generator
from most.errors import MostError
from most.manifest import read_examples

SETTINGS = InstructionSettings(source="set", licence="Apache-2.0", max_user_words=12)


def written(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three rivers in Europe.", None),
        ("I'd like a reply by Monday; is that fine?", None),
        ("```python\nprint(1)\n```", "code"),
        ("def add(a, b):", "code"),
        ("- one\n- two", "table or list"),
        ("See https://example.org for more.", "link"),
        ("Solve $x^2$ for me", "formula"),
        ("word " * 13, "too long"),
        ("12 + 3", "no words"),
    ],
)
def test_what_nobody_would_say(text, reason):
    assert why_unspeakable(text, 12) == reason


def test_both_forms_are_read_and_the_rest_is_counted(tmp_path):
    path = written(
        tmp_path / "set.jsonl",
        [
            {"instruction": "Translate into French.", "input": "Good morning.", "output": "Bonjour."},
            {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]},
            {"instruction": "Write a loop.", "output": "for i in x:\n    print(i);"},
            {"messages": [{"role": "assistant", "content": "Hello."}]},
        ],
    )
    counts: Counter[str] = Counter()
    first, second = read_instructions(path, SETTINGS, counts=counts)
    assert first.turns[0].text == "Translate into French.\nGood morning."
    assert (first.id, first.source, first.licence) == ("set-000001", "set", "Apache-2.0")
    assert second.turns[1].text == "Hello."
    assert counts == {"assistant: code": 1, "no dialogue of user and assistant in turn": 1}
    assert len(list(read_instructions(path, SETTINGS, assistant_spoken=False))) == 3
    with pytest.raises(MostError, match=r"set\.jsonl:1"):
        list(read_instructions(written(path, [{"question": "?"}]), SETTINGS))


def test_spoken_instruction_with_a_written_answer(make_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("most.data.dialogue.voice.barge_in.spoken_chunks", lambda text: (text,))
    path = written(tmp_path / "set.jsonl", [{"instruction": "Name a river.", "output": "1. Rhine\n2. Elbe"}])
    recipe = make_recipe(
        [Dialogue(id="x", turns=(Turn(role="user", text="x"),), source="", licence="")], assistant="text"
    )
    recipe = type(recipe)(**{**vars(recipe), "dialogues": path, "instructions": SETTINGS})
    pipeline.speak(recipe, echo=lambda _: None, progress=False)
    (example,) = read_examples(recipe.output / "train.jsonl")
    user, assistant = example.turns
    assert user.audio is not None
    assert (user.text, assistant.audio, assistant.text) == (None, None, "1. Rhine\n2. Elbe")


def test_a_drawn_barge_in_ends_a_word_inside_its_bounds(monkeypatch):
    monkeypatch.setattr("most.data.dialogue.voice.barge_in.spoken_chunks", lambda text: (text,))
    text = "First we cross the bridge. Then we follow the path along the water to the mill."
    turns = (
        Turn(role="user", text="How?"), Turn(role="assistant", text=text),
        Turn(role="user", text="Which mill?"), Turn(role="assistant", text="The old one."),
    )  # fmt: skip
    dialogue = Dialogue(id="x", turns=turns, source="", licence="")
    cuts = set()
    for seed in range(40):
        changed = barge_in(dialogue, generator(seed), (0.4, 0.8))
        cut = changed.turns[1].interrupted_at
        assert cut is not None
        assert 0.4 <= cut / len(text) <= 0.8
        assert text[cut] == " "
        assert changed.turns[1].spoken == (text[:cut],)
        assert changed.turns[2].interrupts
        assert barge_in(changed, generator(seed), (0.4, 0.8)) == changed, "one interruption is enough"
        cuts.add(cut)
    assert len(cuts) > 3
    assert cuts <= set(cut_points(text, (0.4, 0.8)))
    last = Dialogue(id="y", turns=turns[:2], source="", licence="")
    assert barge_in(last, generator(0), (0.4, 0.8)) == last, "nobody follows who could break in"
