"""Dialogues as JSON lines: what is written is read back, and what is no dialogue is refused by name and line."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from most.data.dialogue.dialogue import (
    Dialogue,
    Turn,
    dialogue_from_row,
    dialogue_row,
    from_messages,
    read_dialogues,
    write_dialogues,
)  # fmt: skip
from most.errors import MostError

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)


@st.composite
def dialogues(draw):
    turns = []
    for k in range(draw(st.integers(1, 7))):
        text = draw(TEXT)
        breaks_in = bool(turns) and turns[-1].interrupted_at is not None
        role = ("user", "assistant")[k % 2]
        cut = draw(st.none() | st.integers(1, len(text))) if role == "assistant" else None
        spoken = tuple(draw(st.lists(TEXT, max_size=2)))
        turns.append(Turn(role=role, text=text, spoken=spoken, interrupted_at=cut, interrupts=breaks_in))
    turns[-1] = replace(turns[-1], interrupted_at=None)
    meta = draw(st.dictionaries(TEXT, st.integers() | TEXT, max_size=2))
    return Dialogue(id=draw(TEXT), turns=tuple(turns), source=draw(TEXT), licence="", topic=draw(st.just("") | TEXT),
                    meta=meta)  # fmt: skip


@settings(max_examples=40)
@given(st.lists(dialogues(), max_size=4, unique_by=lambda d: d.id))
def test_round_trip(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("d") / "d.jsonl"
    assert write_dialogues(path, made) == len(made)
    assert list(read_dialogues(path)) == made


def test_defaults_are_left_out_of_a_row(make):
    row = dialogue_row(make("d1"))
    assert set(row) == {"id", "turns", "source", "licence", "topic"}
    assert set(row["turns"][0]) == {"role", "text"}
    assert dialogue_from_row(row) == make("d1")


def user(text="Hm?", **fields):
    return Turn(role="user", text=text, **fields)


def assistant(text="I see.", **fields):
    return Turn(role="assistant", text=text, **fields)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Turn(role="system", text="x"), "turn.role"),
        (lambda: user(" "), "turn.text"),
        (lambda: user(spoken=("",)), "turn.spoken"),
        (lambda: user(spoken="one"), "turn.spoken"),
        (lambda: assistant(interrupts=True), "turn.interrupts"),
        (lambda: user(interrupted_at=1), "turn.interrupted_at"),
        (lambda: assistant(interrupted_at=0), "turn.interrupted_at"),
        (lambda: assistant(interrupted_at=7), "must lie in 1..6"),
        (lambda: assistant(interrupted_at=True), "turn.interrupted_at"),
    ],
)
def test_bad_turns(make, says):
    with pytest.raises(MostError, match=says):
        make()


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ((), "at least one turn"),
        ((assistant(),), "must alternate"),
        ((user(), user()), "must alternate"),
        ((user(), assistant(interrupted_at=2)), "nobody breaks in"),
        ((user(), assistant(interrupted_at=2), user()), "exactly when"),
        ((user(), assistant(), user(interrupts=True)), "exactly when"),
        ((user(interrupts=True),), "exactly when"),
    ],
)
def test_bad_dialogues(turns, says):
    with pytest.raises(MostError, match=says):
        Dialogue(id="a", turns=turns, source="s", licence="l")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", r"d.jsonl:2.*is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"id": "b", "turns": [], "source": "s"}', "has no field 'licence'"),
        ('{"id": "b", "turns": 3, "source": "s", "licence": ""}', "must be a list"),
        ('{"id": "b", "turn": []}', "did you mean 'turns'"),
        ('{"id": "b", "turns": ["x"], "source": "s", "licence": ""}', "must be a JSON object"),
        ('{"id": "b", "turns": [{"rol": "user"}], "source": "s", "licence": ""}', "did you mean 'role'"),
        ('{"id": "d1", "turns": [{"role": "user", "text": "x"}], "source": "s", "licence": ""}', "used on line 1"),
        ('{"id": "", "turns": [{"role": "user", "text": "x"}], "source": "s", "licence": ""}', "dialogue.id"),
    ],
)
def test_bad_lines_are_named(make, tmp_path, line, says):
    path = tmp_path / "d.jsonl"
    write_dialogues(path, [make("d1")])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(MostError, match=says):
        list(read_dialogues(path))


def test_a_missing_file_is_named_at_once(tmp_path):
    with pytest.raises(MostError, match="no such file"):
        read_dialogues(tmp_path / "none.jsonl")


def test_an_error_while_writing_leaves_what_was_there(make, tmp_path):
    path = tmp_path / "d.jsonl"
    write_dialogues(path, [make("d1")])

    def broken():
        yield make("other")
        raise RuntimeError("out of dialogues")

    with pytest.raises(RuntimeError):
        write_dialogues(path, broken())
    assert [d.id for d in read_dialogues(path)] == ["d1"]
    assert [p.name for p in tmp_path.iterdir()] == ["d.jsonl"]


def test_messages():
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": " Hi "},
        {"role": "assistant", "content": "Hello."},
    ]
    made = from_messages("a", chat, source="s", licence="l")
    assert made.meta == {"system": "Be kind."}
    assert [t.text for t in made.turns] == ["Hi", "Hello."]
    with pytest.raises(MostError, match=r"turn\.role"):
        from_messages("a", [*chat, chat[0]], source="s", licence="l")
    with pytest.raises(MostError, match=r"turn\.text"):
        from_messages("a", [{"role": "user", "content": None}], source="s", licence="l")
