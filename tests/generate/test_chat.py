"""A conversation's history: what stays in it, what is dropped for room, what an interruption leaves."""

from __future__ import annotations

import numpy as np
import pytest

from most.data.dialogue.dialogue import Turn
from most.data.facts.breaking_in import cuts
from most.errors import MostError
from most.generate.chat import Chat, heard_text
from most.generate.engine import Engine, SpeakSettings
from most.generate.stream import Written

SHORT = SpeakSettings(max_seconds=0.4, seed=3)


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


@pytest.fixture
def chat(engine):
    return Chat(engine, settings=SHORT, max_new_tokens=6)


def wave(n=8000):
    return (0.2 * np.random.default_rng(1).normal(size=n)).clip(-1, 1).astype(np.float32)


def test_answers_are_the_engines_own_for_the_whole_history(chat, engine, tiny_corpus):
    first = chat.ask("one two")
    second = chat.ask(tiny_corpus / "0.wav", voice=True)
    turns = [
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": [{"type": "audio", "audio": tiny_corpus / "0.wav"}]},
    ]
    assert first.text == engine.write([turns[:1]], max_new_tokens=6)[0]
    (reply,) = engine.reply([turns], settings=SHORT, seeds=[4], max_new_tokens=6)
    assert second.text == reply.text
    assert second.speech.units.tolist() == reply.speech.units.tolist()
    assert [t["role"] for t in chat.history] == ["user", "assistant"] * 2
    assert chat.history[3] == {"role": "assistant", "content": reply.text}
    (part,) = chat.history[2]["content"]
    assert isinstance(part["audio"], np.ndarray), "the file may change or go; what was heard stays"
    chat.reset()
    assert chat.ask("one two").text == first.text


@pytest.mark.parametrize("said", ["", "  ", "<|audio_begin|>", np.zeros(8000, np.float32)])
def test_what_fails_leaves_the_history_as_it_was(chat, said):
    chat.ask("one")
    before = list(chat.history)
    with pytest.raises(MostError):
        chat.ask(said)
    assert chat.history == before


def test_the_oldest_turns_go_when_the_context_is_full(chat, engine, monkeypatch):
    config = engine.model.config.get_text_config()
    monkeypatch.setattr(config, "max_position_embeddings", 120)
    forgotten = 0
    for k in range(8):
        forgotten = chat.ask(wave() if k % 2 else "one two three").forgotten
        prompt = chat._length(chat.history[:-1])
        assert prompt + 6 <= 120
        assert chat.history[0]["role"] == "user"
    assert forgotten == 2
    monkeypatch.setattr(config, "max_position_embeddings", 120 - 40)
    before = list(chat.history)
    with pytest.raises(MostError, match="for the answer"):
        chat.ask(wave(60000))
    assert chat.history == before


def test_of_a_turn_that_is_too_long_the_latest_parts_may_stay(engine, monkeypatch):
    monkeypatch.setattr(Chat, "_context", 40)
    parts = [{"type": "text", "text": f" {k} one two three"} for k in range(30)]
    with pytest.raises(MostError, match="say less at once"):
        Chat(engine, max_new_tokens=6).turn(parts)
    turn = Chat(engine, max_new_tokens=6, latest_parts=True).turn(parts)
    (kept,) = turn.turns
    n = len(kept["content"])
    assert 0 < n < 30
    assert kept["content"] == parts[-n:]
    assert len(turn.request.prompt.ids) + 6 <= 40
    assert engine.to_write([{"role": "user", "content": parts[-n - 1 :]}], 6).prompt.ids.size + 6 > 40


def test_speech_takes_what_is_left_of_the_context_and_says_that_it_was_cut(engine, monkeypatch):
    monkeypatch.setattr(engine.model.config.get_text_config(), "max_position_embeddings", 100)
    long = Chat(engine, settings=SpeakSettings(max_seconds=20, seed=3, temperature=2.0), max_new_tokens=6)
    for _ in range(6):
        answer = long.ask("one two three", voice=True)
        left = 100 - long._length(long.history[:-1]) - 6 - 2
        assert left >= 100 - 50 - 8
        assert len(answer.speech.units) <= left + 2
        assert not answer.speech.truncated or len(answer.speech.units) >= left
    assert answer.forgotten > 0


def test_a_streamed_answer_is_the_answer(engine):
    asked, streamed = (Chat(engine, settings=SHORT, max_new_tokens=6) for _ in range(2))
    for said, voice in (("one two", False), (wave(), True), ("three", False)):
        expected = asked.ask(said, voice=voice)
        *events, answer = streamed.stream(said, voice=voice)
        assert "".join(e.text for e in events if isinstance(e, Written)) == answer.text == expected.text
        if voice:
            assert answer.speech.units.tolist() == expected.speech.units.tolist()
            assert len(answer.speech.waveform) == len(expected.speech.waveform)
    assert [t["content"] for t in streamed.history[1::2]] == [t["content"] for t in asked.history[1::2]]
    before = list(streamed.history)
    broken = streamed.stream("four")
    next(broken)
    broken.close()
    assert streamed.history == before


def test_what_the_system_says_stays(chat, engine, monkeypatch):
    monkeypatch.setattr(engine.model.config.get_text_config(), "max_position_embeddings", 80)
    chat.history = [{"role": "system", "content": "one"}]
    forgotten = sum(chat.ask("one two three").forgotten for _ in range(6))
    assert forgotten > 0
    assert [t["role"] for t in chat.history[:3]] == ["system", "user", "assistant"]


def test_nothing_is_forgotten_where_all_fits(chat):
    assert [chat.ask("one").forgotten for _ in range(4)] == [0, 0, 0, 0]
    assert len(chat.history) == 8


TEXT = "There are four seasons: spring, summer, autumn and winter. Each lasts three months."


def test_an_interrupted_turn_is_written_as_in_training():
    """Every cut that training's scene makes is what is left when just that much was heard."""
    for end in cuts(TEXT):
        said = Turn(role="assistant", text=TEXT, interrupted_at=end)
        comma = TEXT[end : end + 1] == ","
        assert heard_text(TEXT, (end + comma) / len(TEXT)) == said.said


@pytest.mark.parametrize(
    ("share", "left"),
    [(0.0, "There"), (0.03, "There"), (0.4, "There are four seasons: spring"), (0.999, TEXT[:-8]), (1.0, TEXT)],
)
def test_what_was_heard(share, left):
    assert heard_text(TEXT, share) == left
    assert heard_text("", share) == ""


def test_a_share_that_cannot_be():
    with pytest.raises(MostError, match="share"):
        heard_text(TEXT, 1.2)


def test_the_next_answer_follows_what_was_heard(engine):
    spoken = Chat(engine, max_new_tokens=6)
    spoken.history = [{"role": "user", "content": "one"}, {"role": "assistant", "content": TEXT}]
    assert spoken.heard(0.4) == "There are four seasons: spring"
    turns = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "There are four seasons: spring"},
        {"role": "user", "content": "two"},
    ]
    assert spoken.ask("two").text == engine.write([turns], max_new_tokens=6)[0]


def test_without_a_codec_it_writes_and_does_not_speak(engine):
    mute = Chat(Engine(engine.model, engine.processor), max_new_tokens=4)
    mute.ask("one")
    with pytest.raises(MostError, match="codec"):
        mute.ask("one", voice=True)
    assert len(mute.history) == 2
