"""A plain language model as a subject: what it can do does not depend on the batch, the rest it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from most.errors import MostError
from most.evaluate.text_subject import PLAIN_PROMPT, TextSubject

QUESTIONS = ["one two", "after three comes", "four", "Say: four five six seven eight nine ten", ""]


@pytest.fixture(scope="module")
def backbone(tiny_most):
    return tiny_most.parent / "backbone"


def alone(model, tokenizer, prompt: list[int], n: int) -> str:
    """Greedy decoding without padding, cache or batch."""
    ids = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_answers_follow_the_chat_template_and_not_the_batch(backbone, batch_size):
    subject = TextSubject.load(backbone, batch_size=batch_size)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(backbone), AutoTokenizer.from_pretrained(backbone)
    expected = []
    for question in QUESTIONS:
        turns = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        expected.append(alone(model, tokenizer, ids, 6))
    assert subject.answer_text(QUESTIONS, max_new_tokens=6) == expected
    assert any(expected)


def test_without_a_chat_template_the_answer_is_the_first_line(backbone):
    subject = TextSubject.load(backbone)
    subject.tokenizer.chat_template = None
    ids = subject.tokenizer(PLAIN_PROMPT.format(question="one"), add_special_tokens=False)["input_ids"]
    written = alone(subject.model, subject.tokenizer, [subject.tokenizer.bos_token_id, *ids], 12)
    assert subject.answer_text(["one"], max_new_tokens=12) == [written.split("\n")[0].strip()]
    subject.tokenizer.decode = lambda *_, **__: " nine\nQuestion: and"
    assert subject.answer_text(["one"]) == ["nine"]


CONVERSATION = [
    {"role": "user", "content": "one two"},
    {"role": "assistant", "content": [{"type": "text", "text": "three"}]},
    {"role": "user", "content": [{"type": "text", "text": "and after four?"}]},
]


def test_a_conversation_is_put_as_the_chat_template_has_it(backbone):
    subject = TextSubject.load(backbone)
    turns = [{"role": r, "content": t} for r, t in zip(
        ("user", "assistant", "user"), ("one two", "three", "and after four?"), strict=True
    )]  # fmt: skip
    ids = subject.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
    expected = alone(subject.model, subject.tokenizer, ids, 6)
    assert subject.answer_text([CONVERSATION, "one"], max_new_tokens=6)[0] == expected
    subject.tokenizer.chat_template = None
    plain = "Question: one two\nAnswer: three\nQuestion: and after four?\nAnswer:"
    ids = subject.tokenizer(plain, add_special_tokens=False)["input_ids"]
    written = alone(subject.model, subject.tokenizer, [subject.tokenizer.bos_token_id, *ids], 6)
    assert subject.answer_text([CONVERSATION], max_new_tokens=6) == [written.split("\n")[0].strip()]


def test_what_a_text_model_cannot_do(backbone):
    subject = TextSubject.load(backbone)
    assert subject.capabilities == {"text"}
    wav = np.zeros(16000, dtype=np.float32)
    for call in (
        lambda: subject.transcribe([wav]),
        lambda: subject.speak(["one"], seeds=[0]),
        lambda: subject.answer_speech(["one"], seeds=[0]),
        lambda: subject.answer_text([wav]),
        lambda: subject.answer_text([[*CONVERSATION[:2], {"role": "user", "content": [{"type": "audio"}]}]]),
        lambda: subject.units_of(wav, 16000),
        lambda: subject.unit_likelihoods([(np.array([1]), np.array([2]))]),
    ):
        with pytest.raises(MostError, match="text model"):
            call()


def test_what_is_no_language_model_is_refused(tiny_most, tmp_path):
    with pytest.raises(MostError, match="no folder here"):
        TextSubject.load(tmp_path / "none")
    with pytest.raises(MostError, match="cannot be loaded"):
        TextSubject.load(tiny_most)
