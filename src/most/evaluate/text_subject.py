"""A plain language model as the subject of an evaluation, such as the backbone before it hears and speaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from transformers import GenerationConfig

from most.errors import MostError
from most.evaluate.likelihood import Likelihood, text_likelihoods
from most.evaluate.subject import Asked, Capability, conversation
from most.generate.engine import Audio, Speech
from most.model.load import load_backbone

PLAIN_PROMPT = "Question: {question}\nAnswer:"
"""For tokenizers without a chat template; the answer is then the first line of what the model writes."""
_PLAIN = {"system": "{text}\n", "user": PLAIN_PROMPT.replace("{question}", "{text}"), "assistant": " {text}\n"}
"""The turns of a conversation for such a tokenizer."""


class TextSubject:
    """Wraps a transformers causal language model and its tokenizer.

    Args:
        batch_size: of generation and of likelihoods; answers do not depend on it.
    """

    capabilities: frozenset[Capability] = frozenset({"text"})

    def __init__(self, model: Any, tokenizer: Any, name: str, *, batch_size: int = 8) -> None:
        self.model, self.tokenizer, self.name, self.batch_size = model.eval(), tokenizer, name, batch_size

    @classmethod
    def load(cls, source: str | Path, *, device: str = "cpu", batch_size: int = 8) -> TextSubject:
        """From a folder or hub id.

        Raises:
            MostError: no such checkpoint, or one that is no causal language model.
        """
        model, tokenizer = load_backbone(source)
        return cls(model.to(device), tokenizer, str(source), batch_size=batch_size)

    def answer_text(self, questions: Sequence[Asked], *, max_new_tokens: int = 64) -> list[str]:
        """Greedy answers; the chat template where there is one, `PLAIN_PROMPT` otherwise."""
        prompts = [self._prompt(self._written(q)) for q in questions]
        answers = [""] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda k: len(prompts[k]), reverse=True)
        for i in range(0, len(order), self.batch_size):
            batch = order[i : i + self.batch_size]
            for k, answer in zip(batch, self._generate([prompts[k] for k in batch], max_new_tokens), strict=True):
                answers[k] = answer
        return answers

    def text_likelihoods(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        return text_likelihoods(self.model, self.tokenizer, texts, batch_size=self.batch_size)

    def transcribe(self, audios: Sequence[Audio], *, max_new_tokens: int = 256) -> list[str]:
        self._refuse("hear")

    def speak(self, texts: Sequence[str], *, seeds: Sequence[int], max_seconds: float = 20.0) -> list[Speech]:
        self._refuse("speak")

    def answer_speech(
        self, questions: Sequence[Asked], *, seeds: Sequence[int], max_seconds: float = 20.0
    ) -> list[Speech]:
        self._refuse("speak")

    def unit_likelihoods(self, units: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Likelihood]:
        self._refuse("speak")

    def units_of(self, wav: np.ndarray, rate: int) -> np.ndarray:
        self._refuse("speak")

    def _refuse(self, capability: Capability) -> NoReturn:
        raise MostError("model", self.name, f"is a text model and cannot {capability}; convert it with `most convert`")

    def _written(self, asked: Asked) -> list[dict[str, str]]:
        """The turns of what is asked, each with its text."""
        turns = []
        for turn in conversation(asked):
            content = turn["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            texts = [p["text"] if p["type"] == "text" else self._refuse("hear") for p in parts]
            turns.append({"role": turn["role"], "content": "".join(texts)})
        return turns

    def _prompt(self, turns: list[dict[str, str]]) -> list[int]:
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            return self.tokenizer(text, add_special_tokens=False)["input_ids"]
        plain = "".join(_PLAIN[t["role"]].format(text=t["content"]) for t in turns)
        ids = self.tokenizer(plain, add_special_tokens=False)["input_ids"]
        return ids if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id, *ids]

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], max_new_tokens: int) -> list[str]:
        own: Any = self.model.generation_config  # names every token that ends a chat model's turn
        eos = own.eos_token_id if own.eos_token_id is not None else self.tokenizer.eos_token_id
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        pad = 0 if pad is None else pad
        config = GenerationConfig(do_sample=False, max_new_tokens=max_new_tokens, pad_token_id=pad, eos_token_id=eos)
        width = max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        new = self.model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, width:]
        answers = [self.tokenizer.decode(row, skip_special_tokens=True).strip() for row in new]
        return answers if self.tokenizer.chat_template else [a.partition("\n")[0].strip() for a in answers]
