"""Guided speech: each word once, in its order, in front of its units; only units are handed out."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.generate.batch import UNITS_A_TOKEN, UNITS_A_WORD, Batch
from most.generate.engine import Engine, SpeakSettings
from most.generate.stream import Ended, Said, Written

TEXTS = ["one two three", "four", "five, six! seven eight nine ten"]
DRAWN = SpeakSettings(max_seconds=20.0, temperature=2.0, top_p=1.0, seed=3)


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    engine = Engine.load(tiny_most, tiny_codec)
    engine.processor.guided_speech = True
    return engine


class Read(list):
    """Tokens, and in how many steps they were read."""

    steps = 0


@pytest.fixture
def read(monkeypatch):
    """The tokens that the model reads behind a prompt, of one request at a time."""
    read, ahead = Read(), Batch._ahead

    def keep(batch, lane):
        tokens = ahead(batch, lane)
        read.extend(tokens[0].tolist())
        read.steps += 1
        return tokens

    monkeypatch.setattr(Batch, "_ahead", keep)
    return read


def words_in(engine, tokens):
    """Runs of text among units, and the units."""
    v, runs, units, inside = engine.processor.vocab, [], [], False
    for token in tokens:
        if v.is_unit(token):
            units.append(token - v.unit_start)
            inside = False
        elif token < v.text_size:
            if not inside:
                runs.append([])
            runs[-1].append(token)
            inside = True
    return [i for run in runs for i in run], units


@pytest.mark.parametrize("text", TEXTS)
def test_every_word_once_and_in_its_order(engine, read, text):
    (speech,) = engine.speak([text], settings=DRAWN)
    words, units = words_in(engine, read)
    assert not speech.truncated, "the end may come only behind the last word"
    assert words == [i for word in engine.processor.builder.words(text) for i in word]
    assert read[0] == engine.processor.builder.words(text)[0][0], "before any unit"
    assert units == speech.units.tolist()
    assert engine.processor.vocab.audio_end not in read
    assert read.steps == len(units) + len(engine.processor.builder.words(text)), "the letters of a word in one step"


def test_no_word_takes_longer_than_it_may(engine, read):
    """Of a model that never goes on by itself, and never ends."""
    v, builder = engine.processor.vocab, engine.processor.builder

    def never(_module, _inputs, scores):
        scores[..., : v.text_size] = scores[..., v.audio_end] = -100.0
        return scores

    handle = engine.model.get_output_embeddings().register_forward_hook(never)
    (speech,) = engine.speak([TEXTS[0]], settings=DRAWN)
    handle.remove()
    assert not speech.truncated
    words = builder.words(TEXTS[0])
    assert words_in(engine, read)[0] == [i for word in words for i in word]
    assert len(speech.units) == sum(UNITS_A_WORD + UNITS_A_TOKEN * len(word) for word in words)


def test_the_limit_cuts_before_the_last_word(engine, read):
    (speech,) = engine.speak([TEXTS[2]], settings=SpeakSettings(max_seconds=0.04, temperature=2.0, seed=1))
    assert speech.truncated
    assert len(speech.units) <= 3
    assert read[: len(engine.processor.builder.words(TEXTS[2])[0])] == engine.processor.builder.words(TEXTS[2])[0]


def test_it_does_not_depend_on_who_shares_the_batch(engine):
    alone = [engine.speak([t], settings=DRAWN, seeds=[k])[0].units.tolist() for k, t in enumerate(TEXTS)]
    together = engine.speak(TEXTS, settings=DRAWN, seeds=[0, 1, 2])
    assert [s.units.tolist() for s in together] == alone
    assert len({tuple(u) for u in alone}) == 3


def test_a_reply_says_what_it_wrote(engine, read):
    asked = [{"role": "user", "content": "one two"}]
    (reply,) = engine.reply([asked], settings=DRAWN, max_new_tokens=6)
    begin = read.index(engine.processor.vocab.audio_begin)
    words, units = words_in(engine, read[begin + 1 :])
    assert reply.text
    assert words == [i for word in engine.processor.builder.words(reply.text) for i in word]
    assert units == reply.speech.units.tolist()


def test_a_stream_hands_out_text_and_sound_alone(engine):
    request = engine.to_say(TEXTS[0], DRAWN, 5)
    events = list(engine.stream(request))
    (whole,) = engine.speak(TEXTS[:1], settings=DRAWN, seeds=[5])
    assert not [e for e in events if isinstance(e, Written)]
    assert isinstance(events[-1], Ended)
    assert events[-1].text == ""
    assert events[-1].units.tolist() == whole.units.tolist()
    made = np.concatenate([e.waveform for e in events if isinstance(e, Said)])
    assert len(made) == len(whole.waveform)


def test_words_are_tokenized_behind_a_space_and_without_control_tokens(engine):
    builder, tokenizer = engine.processor.builder, engine.processor.tokenizer
    assert tokenizer.decode([i for word in builder.words(" one <|wave|>two ") for i in word]) == " one two"
    batch = Batch(engine.model, engine.processor)
    with pytest.raises(MostError, match="control token"):
        engine.to_say("one <|wave|>", DRAWN, 0)
    assert not batch.busy
