"""The layout of a sequence: what is learned, what is not, and that prompts are prefixes of training sequences."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from most.errors import MostError
from most.sequence import IGNORE, Message, SequenceBuilder, Units, Wave

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def asr(text: str = "one two", positions: int = 3) -> list[Message]:
    return [Message("user", (Wave(positions, "a"), "Transcribe the speech.")), Message("assistant", (text,))]


def tts(units: list[int]) -> list[Message]:
    return [Message("user", ("Say: one",)), Message("assistant", (Units(units),))]


def test_asr_learns_the_transcript_and_its_end_alone(builder, tokenizer, vocab):
    row = builder.dialogue(asr())
    learned = row.labels[row.labels != IGNORE]
    assert tokenizer.decode(learned) == "one two<|eos|>"
    assert (row.ids == vocab.wave).sum() == 3
    assert [w.ref for w in row.waves] == ["a"]
    around = np.flatnonzero(row.ids == vocab.wave)
    assert row.ids[around[0] - 1] == vocab.wave_begin
    assert row.ids[around[-1] + 1] == vocab.wave_end


def test_tts_learns_markers_units_and_end(builder, tokenizer, vocab):
    row = builder.dialogue(tts([4, 4, 19]))
    learned = row.labels[row.labels != IGNORE].tolist()
    first = vocab.unit_start
    assert learned == [vocab.audio_begin, first + 4, first + 4, first + 19, vocab.audio_end, tokenizer.eos_token_id]


def test_of_a_word_of_guided_speech_the_space_alone_is_learned(builder, tokenizer, vocab):
    said = Units([4, 19, 4], words=(("one,", 0), ("two", 2)))
    row = builder.dialogue([Message("user", ("Say: one, two",)), Message("assistant", ("one, two", said))])
    ids, labels = row.ids.tolist(), row.labels.tolist()
    first, begin = vocab.unit_start, ids.index(vocab.audio_begin)
    (space,), letters = builder.word("a")[:1], {c: builder.word(c)[1] for c in "one,tw"}
    one, two = [space, *map(letters.get, "one,")], [space, *map(letters.get, "two")]
    end = [vocab.audio_end, tokenizer.eos_token_id]
    assert ids[begin + 1 :] == [*one, first + 4, first + 19, *two, first + 4, *end]
    assert [tokenizer.decode([i]) for i in one] == [" ", "o", "n", "e", ","]
    skipped = [IGNORE] * 4
    assert labels[begin + 1 :] == [space, *skipped, first + 4, first + 19, space, *skipped[1:], first + 4, *end]
    assert tokenizer.decode([i for i in labels[:begin] if i != IGNORE]) == "one, two", (
        "what is written is learned whole"
    )


def test_letters_outside_the_vocabulary_take_more_than_one_token(builder, tokenizer):
    assert tokenizer.decode(builder.word("\u00e9t\u00e9")) == " \u00e9t\u00e9"
    assert len(builder.word("\u00e9t\u00e9")) == 6
    with pytest.raises(MostError, match="control token"):
        builder.word("<|wave|>")


def test_document_learns_all_but_continuous_positions(builder, vocab):
    row = builder.document("one two", Units([1, 2]), Wave(2, "w"))
    assert row.labels[row.ids >= vocab.wave_begin].tolist() == [IGNORE] * 4
    assert (row.labels[row.ids < vocab.wave_begin] == row.ids[row.ids < vocab.wave_begin]).all()


def test_modality_follows_from_the_ids(builder, vocab):
    row = builder.dialogue(tts([0, 1]))
    tags = vocab.modality_of(torch.from_numpy(row.ids))
    begin = row.ids.tolist().index(vocab.audio_begin)
    assert tags.tolist() == [0] * begin + [1, 1, 1, 1] + [0]


@pytest.mark.parametrize("template", [None, CHATML, ""])
@pytest.mark.parametrize("answer", ["text", "speech"])
def test_prompt_is_a_prefix_of_the_training_sequence(tokenizer, vocab, template, answer):
    other = copy.deepcopy(tokenizer)
    if template is not None:
        other.chat_template = template or None  # "" stands for a backbone without a template
    builder = SequenceBuilder(other, vocab)
    messages = asr() if answer == "text" else tts([3, 2, 1])
    prompt, whole = builder.prompt(messages[:-1], answer), builder.dialogue(messages)
    assert whole.ids[: len(prompt)].tolist() == prompt.ids.tolist()
    assert (prompt.labels == IGNORE).all()
    if answer == "speech":
        assert prompt.ids[-1] == vocab.audio_begin


TEXT = st.text(st.characters(exclude_categories=["Cs", "Co"]), max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT.filter(bool)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_dialogue_learns_exactly_the_answers(builder, tokenizer, turns):
    messages = []
    for question, answer in turns:
        messages += [Message("user", (question, Units([1, 2]))), Message("assistant", (answer,))]
    row = builder.dialogue(messages)
    learned = tokenizer.decode(row.labels[row.labels != IGNORE], skip_special_tokens=False)
    assert learned == "".join(answer + "<|eos|>" for _, answer in turns)


@pytest.mark.parametrize("text", ["<|unit_3|>", "hi <|eos|>", "<|wave|>", "\ue0000\ue001"])
def test_control_tokens_in_text_are_refused(builder, text):
    with pytest.raises(MostError, match="control token"):
        builder.dialogue([Message("user", (text,)), Message("assistant", ("one",))])
    with pytest.raises(MostError, match="control token"):
        builder.document(text)


@pytest.mark.parametrize(("units", "message"), [([20], "0..19"), ([-1], "0..19"), ([], "non-empty")])
def test_foreign_units_are_refused(builder, units, message):
    with pytest.raises(MostError, match=message):
        builder.dialogue(tts(units))


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer, vocab):
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(MostError, match="rewrites"):
        SequenceBuilder(other, vocab).dialogue(asr())


def test_a_tokenizer_of_another_vocabulary_is_refused(vocab):
    from most.convert.backbone import train_tokenizer
    from most.model.processing import add_speech_tokens

    other = train_tokenizer(["x"], 270)
    add_speech_tokens(other, 7)
    with pytest.raises(MostError, match="tokenizer"):
        SequenceBuilder(other, vocab)
