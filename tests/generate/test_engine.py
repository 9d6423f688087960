"""The engine over a model of random weights: legality, independence of the batch, determinism, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.generate.engine import TRANSCRIBE_PROMPT, Engine, SpeakSettings
from most.sequence import Message, Units


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


@pytest.fixture(scope="module")
def audios():
    rng = np.random.default_rng(1)
    return [(0.2 * rng.normal(size=n)).clip(-1, 1).astype(np.float32) for n in (8000, 5000, 12345)]


def test_transcripts_do_not_depend_on_the_batch(engine, audios):
    alone = [engine.transcribe([a], max_new_tokens=12)[0] for a in audios]
    assert engine.transcribe(audios, max_new_tokens=12, batch_size=3) == alone
    assert engine.transcribe(audios, max_new_tokens=12, batch_size=2) == alone


def test_speech_is_made_of_units_alone(engine):
    made = engine.speak(["one", "two three"], settings=SpeakSettings(max_seconds=0.5, seed=3))
    for speech in made:
        assert speech.units.max(initial=0) < engine.codec.n_units
        assert speech.truncated == (len(speech.units) >= 25)
        per_unit = speech.sample_rate / engine.codec.unit_rate_hz
        assert len(speech.waveform) == round(len(speech.units) * per_unit)
        assert np.abs(speech.waveform).max(initial=0) <= 1


def test_a_seed_gives_the_same_speech_and_greedy_needs_none(engine):
    def units(**settings):
        return engine.speak(["one"], settings=SpeakSettings(max_seconds=0.5, **settings))[0].units.tolist()

    assert units(seed=1) == units(seed=1)
    assert units(temperature=0.0, seed=1) == units(temperature=0.0, seed=2)
    assert len({tuple(units(seed=s)) for s in range(5)}) > 1


TEXTS = ["one", "two three", "after three comes four", "six", "five"]
SHORT = SpeakSettings(max_seconds=0.5, seed=4)


def _units(speeches):
    return [s.units.tolist() for s in speeches]


@pytest.mark.parametrize("seeds", [None, [7, 7, 1, 2, 3]])
def test_drawn_speech_does_not_depend_on_the_batch(engine, seeds):
    made = {n: _units(engine.speak(TEXTS, settings=SHORT, seeds=seeds, batch_size=n)) for n in (1, 3, 8)}
    assert made[1] == made[3] == made[8]
    assert len({tuple(u) for u in made[1]}) > 1


def test_a_seed_goes_with_its_text_wherever_it_stands(engine):
    seeds = [7, 7, 1, 2, 3]
    there = _units(engine.speak(TEXTS, settings=SHORT, seeds=seeds))
    back = _units(engine.speak(TEXTS[::-1], settings=SHORT, seeds=seeds[::-1]))
    assert back[::-1] == there
    same_text = _units(engine.speak(["one"] * 4, settings=SHORT, seeds=[5, 5, 6, 8]))
    assert same_text[0] == same_text[1]
    assert len({tuple(u) for u in same_text}) > 1
    unseeded = _units(engine.speak(["one"] * 4, settings=SHORT))
    assert len({tuple(u) for u in unseeded}) > 1, "rows of one text must not share a draw"


def test_more_time_goes_on_with_the_same_speech(engine):
    short = engine.speak(["one"], settings=SHORT, seeds=[3])[0].units.tolist()
    longer = engine.speak(["one"], settings=SpeakSettings(max_seconds=1.0), seeds=[3])[0].units.tolist()
    assert longer[: len(short)] == short


def test_answers_to_spoken_and_written_turns(engine, audios):
    contents = [[{"type": "audio", "audio": a}] for a in audios] + [[{"type": "text", "text": "one two"}]]
    text = engine.answer_text(contents, batch_size=3, max_new_tokens=12)
    assert text == [engine.answer_text([c], max_new_tokens=12)[0] for c in contents]
    speech = engine.answer_speech(contents, settings=SHORT, seeds=[1, 2, 3, 4], batch_size=3)
    alone = engine.answer_speech(contents[2:3], settings=SHORT, seeds=[3])
    assert _units(alone) == _units(speech[2:3])


def test_transcribing_is_an_answer_to_audio_and_prompt(engine, audios):
    asked = [[{"type": "audio", "audio": a}, {"type": "text", "text": TRANSCRIBE_PROMPT}] for a in audios]
    assert engine.answer_text(asked, max_new_tokens=12) == engine.transcribe(audios, max_new_tokens=12)


def test_voices(engine):
    a, b = (engine.speak(["one"], speaker=s, settings=SpeakSettings(max_seconds=0.5))[0] for s in ("ann", "bob"))
    assert a.units.tolist() == b.units.tolist()
    assert not np.array_equal(a.waveform, b.waveform)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.speak([" "]), "empty"),
        (lambda e: e.speak(["one"], speaker="eve"), "speaker"),
        (lambda e: e.speak(["<|audio_end|>"]), "control token"),
        (lambda e: e.transcribe([np.zeros(8000, np.float32)]), "silen"),
        (lambda e: e.transcribe(["nowhere.wav"]), "no such file"),
        (lambda e: SpeakSettings(temperature=-1), "temperature"),
        (lambda e: SpeakSettings(top_p=0), "top_p"),
        (lambda e: SpeakSettings(seed=-1), "seed"),
        (lambda e: e.speak(["one"], seeds=[1, 2]), "one seed"),
        (lambda e: e.speak(["one"], seeds=[-2]), "seeds"),
    ],
)
def test_bad_input_is_named(engine, call, message):
    with pytest.raises(MostError, match=message):
        call(engine)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(MostError, match=r"config\.json"):
        Engine.load(tmp_path)


def test_a_codec_with_other_units_is_refused(engine):
    class Other:
        n_units = 7

    with pytest.raises(MostError, match="number of units"):
        Engine(engine.model, engine.processor, Other())


def test_a_reply_is_written_and_then_said_as_training_lays_it_out(engine):
    builder, v = engine.processor.builder, engine.processor.vocab
    seen = Message("user", ("one two",))
    request = engine.to_reply([{"role": "user", "content": "one two"}], SHORT, 1, 12)
    prompt = builder.prompt([seen], "text").ids.tolist()
    assert request.prompt.ids.tolist() == prompt
    written, said = request.parts
    assert (written.mode, written.until) == ("any", (engine.processor.tokenizer.eos_token_id, v.audio_begin))
    assert (said.mode, said.begin, said.until) == ("speech", v.audio_begin, (v.audio_end,))
    # A trained turn of text and units: the text, in place of whose end speech begins.
    trained = builder.dialogue([seen, Message("assistant", ("three", Units([0])))]).ids.tolist()
    alone = builder.dialogue([seen, Message("assistant", ("three",))]).ids.tolist()
    assert trained[: len(alone)] == [*alone[:-1], v.audio_begin]
    for n in (1, 5, 12):
        (reply,) = engine.reply([[{"role": "user", "content": "one two"}]], settings=SHORT, max_new_tokens=n, seeds=[1])
        assert len(reply.speech.units) <= 26


def test_replies_do_not_depend_on_the_batch(engine, audios):
    asked = [[{"role": "user", "content": [{"type": "audio", "audio": a}]}] for a in audios]
    asked.append([*asked[0], {"role": "assistant", "content": "one"}, {"role": "user", "content": "two"}])
    together = engine.reply(asked, settings=SHORT, max_new_tokens=8, seeds=[1, 2, 3, 4], batch_size=3)
    for k, row in enumerate(asked):
        (alone,) = engine.reply([row], settings=SHORT, max_new_tokens=8, seeds=[k + 1])
        assert (alone.text, alone.speech.units.tolist()) == (together[k].text, together[k].speech.units.tolist())
