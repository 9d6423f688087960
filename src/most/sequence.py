"""How turns become one training example: ids, labels and audio slots. The only place that knows the layout.

Speech heard is continuous: `<|wave_begin|>`, one `<|wave|>` per position of encoder output, `<|wave_end|>`.
Speech said is discrete: `<|audio_begin|>`, unit ids, `<|audio_end|>`; guided speech has each word, as text, in front of
the units that say it (interleaved as in Spirit LM, arXiv 2402.05755). Dialogue turns follow the tokenizer's own chat
template. Prompt and answer are tokenized apart, in training as in generation, so both see the same ids.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from most.errors import MostError
from most.manifest import Role
from most.vocab import SpeechVocab

IGNORE = -100  # the label that transformers' losses skip

# For backbones that come without a chat template.
DEFAULT_CHAT_TEMPLATE = (
    "{{ bos_token or '' }}{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + m['content'] + eos_token }}{% else %}"
    "{{ m['role'] | capitalize + ': ' + m['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


@dataclass(frozen=True)
class Wave:
    """Speech heard: how many `<|wave|>` positions it fills and, for whoever loads it, what it is."""

    n_positions: int
    ref: Any = None


@dataclass(frozen=True)
class Units:
    """Speech said: unit ids from 0 to n_units - 1.

    Args:
        words: of guided speech: what is said, word by word, and how many units lie before each, in ascending order. Of
            a word's tokens the first alone is learned: whoever decodes puts the words there.
    """

    units: Sequence[int] | np.ndarray
    words: tuple[tuple[str, int], ...] = ()


Part = str | Wave | Units


@dataclass(frozen=True)
class Message:
    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Encoded:
    """One sequence: `ids` and `labels` of shape (T,), and the waves in the order of their placeholders."""

    ids: np.ndarray
    labels: np.ndarray
    waves: tuple[Wave, ...]

    def __len__(self) -> int:
        return len(self.ids)


class SequenceBuilder:
    """Builds sequences for one tokenizer and one vocabulary.

    Raises:
        MostError: from the constructor, when the tokenizer's ids are not the vocabulary's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocab: SpeechVocab) -> None:
        self.tokenizer, self.vocab = tokenizer, vocab
        for token, token_id in ((vocab.unit_token(0), vocab.unit_start), ("<|wave|>", vocab.wave)):
            found = tokenizer.convert_tokens_to_ids(token)
            if found != token_id:
                raise MostError("tokenizer", f"{token} -> {found}", f"the model's vocabulary puts it at {token_id}")
        named: Any = tokenizer.chat_template  # one template, or several by name
        self._template: str = (named.get("default") if isinstance(named, dict) else named) or DEFAULT_CHAT_TEMPLATE
        self._bos: Any = tokenizer.bos_token_id
        self._eos: Any = tokenizer.eos_token_id
        control = sorted({str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}, key=len, reverse=True)
        self._control = re.compile(
            "|".join(map(re.escape, control)) + "|[\ue000\ue001]" if control else "[\ue000\ue001]"
        )

    def document(self, *parts: Part) -> Encoded:
        """Plain text or speech outside any dialogue; every position is learned."""
        ids: list[int] = [self._bos] if self._bos is not None else []
        waves: list[Wave] = []
        for part in parts:
            ids += self._text(part) if isinstance(part, str) else self._audio(part, waves)
        if self._eos is not None:
            ids.append(self._eos)
        array = np.array(ids, dtype=np.int64)
        return Encoded(array, self._labels(array, [(0, len(array))]), tuple(waves))

    def dialogue(self, messages: Sequence[Message]) -> Encoded:
        """A whole dialogue; the assistant's turns, up to and with their end, are learned."""
        rendered = self._render(messages, prompt=False)
        cuts, learned = [0], []
        for k, message in enumerate(messages):
            if message.role != "assistant":
                continue
            before, after = self._render(messages[:k], prompt=True), self._render(messages[: k + 1], prompt=False)
            if not after.startswith(before) or not rendered.startswith(after):
                raise MostError(
                    "chat_template", message.role, "rewrites earlier turns; give a template that only appends"
                )
            start, end = len(before), len(after)
            cuts += [start, end]
            learned.append((start, end))
        if not learned:
            raise MostError("messages", [m.role for m in messages], "no assistant turn to learn from")
        cuts.append(len(rendered))
        ids: list[int] = []
        waves: list[Wave] = []
        spans: list[tuple[int, int]] = []
        audio = self._audio_parts(messages)
        for a, b in itertools.pairwise(cuts):
            begin = len(ids)
            ids += self._segment(rendered[a:b], audio, waves)
            if (a, b) in learned:
                spans.append((begin, len(ids)))
        array = np.array(ids, dtype=np.int64)
        return Encoded(array, self._labels(array, spans), tuple(waves))

    def prompt(self, messages: Sequence[Message], answer: Literal["text", "speech"]) -> Encoded:
        """The ids after which the assistant answers; a speech answer has its begin marker already there."""
        rendered = self._render(messages, prompt=True)
        waves: list[Wave] = []
        ids = self._segment(rendered, self._audio_parts(messages), waves)
        if answer == "speech":
            # What the template writes between prompt and answer is learned with the answer, so it stands here too.
            probe = self._render([*messages, Message("assistant", (Units([0]),))], prompt=False)
            ids += self._segment(probe[len(rendered) : probe.rindex("\ue000")], [], waves)
            ids.append(self.vocab.audio_begin)
        array = np.array(ids, dtype=np.int64)
        return Encoded(array, np.full_like(array, IGNORE), tuple(waves))

    def _labels(self, ids: np.ndarray, spans: list[tuple[int, int]]) -> np.ndarray:
        labels = np.full_like(ids, IGNORE)
        for a, b in spans:
            labels[a:b] = ids[a:b]
        # Continuous positions have no id to predict.
        for marker in (self.vocab.wave_begin, self.vocab.wave, self.vocab.wave_end):
            labels[ids == marker] = IGNORE
        text = ids < self.vocab.text_size
        said = np.cumsum(ids == self.vocab.audio_begin) > np.cumsum(ids == self.vocab.audio_end)
        labels[1:][(said & text)[1:] & text[:-1]] = IGNORE
        return labels

    def _render(self, messages: Sequence[Message], prompt: bool) -> str:
        rows, n = [], 0
        for message in messages:
            content = ""
            for part in message.parts:
                if isinstance(part, str):
                    self._refuse_control(part)
                    content += part
                else:
                    content += f"\ue000{n}\ue001"
                    n += 1
            rows.append({"role": message.role, "content": content})
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    rows, chat_template=self._template, tokenize=False, add_generation_prompt=prompt
                )
            )
        except TemplateError as e:  # such as "roles must alternate"
            raise MostError("messages", [m.role for m in messages], f"are refused by the chat template: {e}") from e

    def _segment(self, rendered: str, audio: list[Wave | Units], waves: list[Wave]) -> list[int]:
        ids: list[int] = []
        for piece in re.split("(\ue000[0-9]+\ue001)", rendered):
            if piece.startswith("\ue000"):
                ids += self._audio(audio[int(piece[1:-1])], waves)
            elif piece:
                ids += self.tokenizer(piece, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        return ids

    def _audio(self, part: Wave | Units, waves: list[Wave]) -> list[int]:
        v = self.vocab
        if isinstance(part, Wave):
            if part.n_positions < 1:
                raise MostError("audio", part.ref, "is too short for the encoder: it yields no position")
            waves.append(part)
            return [v.wave_begin, *[v.wave] * part.n_positions, v.wave_end]
        units = np.asarray(part.units, dtype=np.int64)
        if units.ndim != 1 or len(units) == 0:
            raise MostError("units", units.shape, "must be a non-empty row of unit ids")
        if units.min() < 0 or units.max() >= v.n_units:
            raise MostError("units", f"{units.min()}..{units.max()}", f"must lie in 0..{v.n_units - 1} for this model")
        own, ids, at = (units + v.unit_start).tolist(), [v.audio_begin], 0
        for word, start in part.words:
            if not at <= start <= len(own):
                raise MostError("words", start, f"must ascend, up to the {len(own)} units")
            ids += [*own[at:start], *self.word(word)]
            at = start
        return [*ids, *own[at:], v.audio_end]

    def word(self, word: str) -> list[int]:
        """A word as it stands in guided speech: a space and its characters, one by one.

        How a word sounds is learned from letters, of which there are few, sooner than from tokens; and the space, which
        all words begin with, is what a model says when it is through with the word before.
        """
        self._refuse_control(word)
        return [i for character in f" {word}" for i in self._character(character)]

    def words(self, text: str) -> list[list[int]]:
        """The words of a text as they stand in guided speech; control tokens in it are left out."""
        return [self.word(word) for word in self._control.sub(" ", text).split()]

    def _character(self, character: str) -> list[int]:
        if character.isascii():  # as it stands in a byte-level vocabulary or in one of SentencePiece
            for written in ("\u0120", "\u2581") if character == " " else (character,):
                if (i := self._vocabulary.get(written)) is not None:
                    return [i]
        return self._text(character)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        return self.tokenizer.get_vocab()

    def _text(self, text: str) -> list[int]:
        self._refuse_control(text)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[return-value]

    def _refuse_control(self, text: str) -> None:
        if found := self._control.search(text):
            raise MostError("text", text, f"holds the control token {found.group()!r}; remove it")

    @staticmethod
    def _audio_parts(messages: Sequence[Message]) -> list[Wave | Units]:
        return [p for m in messages for p in m.parts if isinstance(p, (Wave, Units))]
