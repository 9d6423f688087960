"""The take is kept for whose text, as its transcript, training's own loss is lowest; the first take is that of one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from most.data.dataset import Collator, Item
from most.data.prompts import ASR_PROMPTS
from most.errors import MostError
from most.generate.chat import Chat
from most.generate.engine import Engine, SpeakSettings
from most.generate.hearing import Hearing
from most.generate.takes import best_take, heard_likelihoods
from most.model.losses import ctc_loss
from most.sequence import Message, Wave
from most.serve.settings import ServeSettings
from most.speech.audio import read_audio

TEXTS = ["one two", "three", "four five six"]
DRAWN = SpeakSettings(max_seconds=0.6, temperature=2.0, top_p=1.0, seed=5)


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


def loss_of(engine, wav, text):
    """As in training: frames encoded beforehand, its collator, the model's own loss."""
    processor = engine.processor
    wave = Wave(processor.num_positions(len(wav)))
    encoded = processor.builder.dialogue([Message("user", (wave, ASR_PROMPTS[0])), Message("assistant", (text,))])
    with torch.no_grad():
        frames, lengths = engine.model.encode_audio(torch.from_numpy(wav)[None], torch.tensor([len(wav)]))
        item = Item("x", "asr", encoded, (frames[0, : int(lengths[0])].numpy(),))
        return float(engine.model(**Collator(pad_id=0)([item])).text_loss)


def test_likelihoods_are_those_of_training(engine, tiny_corpus):
    wavs = [read_audio(tiny_corpus / f"{k}.wav", 16000) for k in range(3)]
    said = [(wavs[k], 16000, text) for k, text in enumerate(TEXTS)]
    got = heard_likelihoods(engine, [*said, (np.zeros(0, np.float32), 16000, "none")], batch_size=2)
    assert got[:3] == pytest.approx([-loss_of(engine, wav, text) for wav, _, text in said], abs=1e-4)
    assert got[3] == -np.inf


def test_with_ctc_they_are_those_of_both(engine, tiny_corpus, monkeypatch):
    """Against the loss of training, where a transcript's CTC is summed."""
    wav = read_audio(tiny_corpus / "4.wav", 16000)
    processor, model = engine.processor, engine.model
    encoded = processor.builder.dialogue(
        [Message("user", (Wave(processor.num_positions(len(wav))), ASR_PROMPTS[0])), Message("assistant", ("one",))]
    )
    with torch.no_grad():
        frames, lengths = model.encode_audio(torch.from_numpy(wav)[None], torch.tensor([len(wav)]))
        item = Item("x", "asr", encoded, (frames[0, : int(lengths[0])].numpy(),), transcribed=True)
        batch = Collator(pad_id=0, named=True)([item])
        transcribed = batch.pop("transcribed")
        batch = {k: v for k, v in batch.items() if k not in ("ids", "tasks", "sequence_ids")}
        logits, labels = model(**batch).logits, batch["labels"]
        eos = int(processor.tokenizer.eos_token_id)
        ctc = float(ctc_loss(logits, batch["input_ids"], labels, transcribed, processor.vocab, [eos]))
    n_words = int(((labels >= 0) & (labels != eos)).sum())
    monkeypatch.setattr(engine, "hearing", Hearing(ctc_weight=0.25))
    (got,) = heard_likelihoods(engine, [(wav, 16000, "one")])
    assert got == pytest.approx(-0.75 * loss_of(engine, wav, "one") - 0.25 * ctc / n_words, abs=1e-4)


def test_the_take_is_kept_that_is_heard_most_surely(engine):
    settings = replace(DRAWN, best_of=4)
    alone, best, again = (engine.speak(TEXTS, settings=s) for s in (DRAWN, settings, settings))
    for text, first, kept in zip(TEXTS, alone, best, strict=True):
        assert (first, kept)[best_take(engine, text, [first, kept])].units.tolist() == kept.units.tolist()
    assert any(a.units.tolist() != b.units.tolist() for a, b in zip(alone, best, strict=True))
    assert [s.units.tolist() for s in again] == [s.units.tolist() for s in best]


def test_replies_keep_their_text(engine):
    asked = [[{"role": "user", "content": text}] for text in TEXTS]
    alone, best = (engine.reply(asked, settings=s) for s in (DRAWN, replace(DRAWN, best_of=3)))
    assert [r.text for r in best] == [r.text for r in alone]
    assert any(a.speech.units.tolist() != b.speech.units.tolist() for a, b in zip(alone, best, strict=True))


def test_a_whole_take_comes_before_one_that_was_cut(engine):
    (said,) = engine.speak(TEXTS[:1], settings=DRAWN)
    takes = [replace(said, truncated=cut) for cut in (True, False, True)]
    assert best_take(engine, "one", takes) == 1


def test_what_streams_refuses_takes(engine):
    with pytest.raises(MostError, match=r"best_of: 0: must be at least 1"):
        SpeakSettings(best_of=0)
    with pytest.raises(MostError, match=r"best_of: 2: compares whole takes"):
        Chat(engine, settings=SpeakSettings(best_of=2))
    with pytest.raises(MostError, match=r"best_of: 2: compares whole takes"):
        ServeSettings(speech=SpeakSettings(best_of=2))
