"""MostProcessor: conversations with text and audio become model inputs, and generated ids become text or units.

Conversations are in the Hugging Face form: a list of `{"role", "content"}`, content a string or a list of
`{"type": "text", "text"}` and `{"type": "audio", "audio": waveform or path}`. The layout lives in `most.sequence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from most.errors import MostError
from most.manifest import AudioRef
from most.model.configuration import encoder_shape
from most.sequence import Encoded, Message, SequenceBuilder, Units, Wave
from most.speech.audio import check_waveform, read_audio, require_sound
from most.vocab import SpeechVocab


class MostProcessor(ProcessorMixin):
    """Pairs the tokenizer (text, units, markers) with what is needed to count an audio's positions.

    Args:
        tokenizer: the backbone's tokenizer with units and markers added (`add_speech_tokens`).
        audio_config: the speech encoder's configuration, as in `MostConfig.audio_config`.
        text_size, n_units, vocab_size: as in `SpeechVocab`.
        audio_stack: encoder frames per position.
        max_audio_seconds: longer audio is refused, not cut.
        guided_speech: whether each word of what the model says stands, as text, in front of the units that say it, so
            that it leaves out no word and says none twice.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None = None,
        audio_config: dict[str, Any] | None = None,
        text_size: int = 0,
        n_units: int = 0,
        vocab_size: int = 0,
        audio_stack: int = 1,
        max_audio_seconds: float = 30.0,
        chat_template: str | None = None,
        guided_speech: bool = False,
        **kwargs: Any,
    ) -> None:
        self.guided_speech = guided_speech
        self.audio_config, self.audio_stack, self.max_audio_seconds = audio_config, audio_stack, max_audio_seconds
        self.text_size, self.n_units, self.vocab_size = text_size, n_units, vocab_size
        super().__init__(tokenizer, chat_template=chat_template)
        if tokenizer is not None:
            tokenizer.padding_side = "left"

    @cached_property
    def vocab(self) -> SpeechVocab:
        return SpeechVocab(text_size=self.text_size, n_units=self.n_units, vocab_size=self.vocab_size)

    @cached_property
    def builder(self) -> SequenceBuilder:
        return SequenceBuilder(self.tokenizer, self.vocab)

    @property
    def _encoder(self) -> Any:
        if self.audio_config is None:
            raise MostError("audio_config", None, "this model has no audio encoder; it takes discrete units only")
        return encoder_shape(self.audio_config)

    @property
    def sample_rate(self) -> int:
        """Rate of the waveforms the model takes, in Hz."""
        return self._encoder.sample_rate

    def num_positions(self, n_samples: int) -> int:
        """How many `<|wave|>` positions a waveform of `n_samples` at `sample_rate` fills."""
        return -(-self._encoder.num_frames(n_samples) // self.audio_stack)

    def read(self, audio: np.ndarray | str | Path | AudioRef) -> np.ndarray:
        """Any audio as float32 (T,) at `sample_rate`. Arrays are taken to be at that rate already.

        Raises:
            MostError: unreadable, empty, silent, over-long, or an array that is no mono float waveform.
        """
        if not isinstance(audio, np.ndarray):
            return read_audio(audio, self.sample_rate, max_seconds=self.max_audio_seconds, allow_silence=False)
        wav = check_waveform(audio)
        require_sound(wav, "waveform")
        if len(wav) > self.max_audio_seconds * self.sample_rate:
            seconds = round(len(wav) / self.sample_rate, 2)
            raise MostError(
                "waveform", f"{seconds} s", f"is longer than max_audio_seconds {self.max_audio_seconds}; cut it"
            )
        return wav

    def __call__(  # type: ignore[override]
        self,
        conversations: Sequence[Sequence[dict[str, Any]]],
        answer: Literal["text", "speech"] = "text",
    ) -> BatchFeature:
        """Prompts for a batch of conversations, left-padded.

        Returns:
            `input_ids`, `attention_mask` (B, T); with audio also `waveforms` (N, S), zero-padded, and
            `waveform_lengths` (N,), in the order of their placeholders.
        """
        return self.collate([self.builder.prompt(self.messages(c), answer) for c in conversations])

    def apply_chat_template(  # type: ignore[override]
        self,
        conversation: Sequence[Any],
        chat_template: str | None = None,
        *,
        tokenize: bool = False,
        return_dict: bool = False,
        continue_final_message: bool = False,
        **kwargs: Any,
    ) -> Any:
        """What `pipeline("any-to-any")` calls: model inputs of one conversation or of several, audio and all.

        Without `tokenize` and `return_dict` it is the text of the template, as in transformers.

        Raises:
            MostError: a conversation that ends with the assistant's turn, which would have to be gone on with.
        """
        if not (tokenize and return_dict):
            return super().apply_chat_template(conversation, chat_template, tokenize=tokenize, **kwargs)  # type: ignore[arg-type]
        if continue_final_message:
            raise MostError("conversation", conversation[-1], "ends with the assistant's turn; end it with the user's")
        return self([conversation] if isinstance(conversation[0], dict) else conversation)

    def post_process_multimodal_output(
        self,
        generated_outputs: torch.Tensor,
        skip_special_tokens: bool = True,
        generation_mode: str | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """What `pipeline("any-to-any")` calls with generated ids (B, T): the text of each row.

        Raises:
            MostError: another `generation_mode` than `text`: units become sound by a codec, as in `Engine.reply`.
        """
        if generation_mode not in (None, "text"):
            raise MostError("generation_mode", generation_mode, "must be text; for speech use most.generate.Engine")
        return [self.decode_text(row) for row in generated_outputs]

    def messages(self, conversation: Sequence[dict[str, Any]]) -> list[Message]:
        """One conversation in the Hugging Face form as our messages; audio is read here."""
        out = []
        for m in conversation:
            content: list[dict[str, Any]] = m["content"]
            if isinstance(m["content"], str):
                content = [{"type": "text", "text": m["content"]}]
            parts: list[str | Wave | Units] = []
            for item in content:
                kind = item.get("type")
                if kind == "text":
                    parts.append(item["text"])
                elif kind == "audio":
                    source = item.get("audio", item.get("path", item.get("url")))
                    wav = self.read(source) if source is not None else None
                    if wav is None:
                        raise MostError("content.audio", item, "names no audio; give 'audio': a path or a waveform")
                    parts.append(Wave(self.num_positions(len(wav)), wav))
                elif kind == "units":
                    parts.append(Units(item["units"]))
                else:
                    raise MostError("content.type", kind, "must be 'text', 'audio' or 'units'")
            out.append(Message(m["role"], tuple(parts)))
        return out

    def collate(self, rows: Sequence[Encoded]) -> BatchFeature:
        """Left-pad prompts and stack their waveforms (each wave's `ref` must be the waveform itself)."""
        width = max(len(r) for r in rows)
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        ids = torch.full((len(rows), width), int(pad), dtype=torch.long)  # type: ignore[arg-type]
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, width - len(row) :] = torch.from_numpy(row.ids)
            mask[i, width - len(row) :] = 1
        data: dict[str, torch.Tensor] = {"input_ids": ids, "attention_mask": mask}
        waves = [w.ref for r in rows for w in r.waves]
        if waves:
            lengths = [len(w) for w in waves]
            data["waveforms"] = torch.zeros(len(waves), max(lengths))
            for i, wav in enumerate(waves):
                data["waveforms"][i, : len(wav)] = torch.from_numpy(np.asarray(wav, dtype=np.float32))
            data["waveform_lengths"] = torch.tensor(lengths)
        return BatchFeature(data)

    def decode_text(self, ids: torch.Tensor | Sequence[int]) -> str:
        """The text of generated ids; units, markers and control tokens left out."""
        kept = [i for i in torch.as_tensor(ids).tolist() if i < self.text_size]
        return str(self.tokenizer.decode(kept, skip_special_tokens=True)).strip()

    def units_of(self, ids: torch.Tensor | Sequence[int]) -> np.ndarray:
        """The units among generated ids, int64 (U,)."""
        v = self.vocab
        return np.array([i - v.unit_start for i in torch.as_tensor(ids).tolist() if v.is_unit(i)], dtype=np.int64)


def add_speech_tokens(tokenizer: PreTrainedTokenizerBase, n_units: int) -> int:
    """Append units and markers to a text tokenizer, in place. Returns the text size: the id of unit 0.

    Raises:
        MostError: the tokenizer holds speech tokens already.
    """
    known = tokenizer.get_vocab()
    text_size = max(known.values()) + 1  # not len: a tokenizer may leave ids unused below its last one
    vocab = SpeechVocab(text_size=text_size, n_units=n_units, vocab_size=text_size + n_units + 64)
    tokens = vocab.added_tokens()
    if clash := next((t for t in tokens if t in known), None):
        raise MostError("tokenizer", clash, "is in this tokenizer already; convert the original backbone instead")
    tokenizer.add_tokens(tokens, special_tokens=True)
    for token, token_id in ((tokens[0], text_size), (tokens[-1], text_size + len(tokens) - 1)):
        if (found := tokenizer.convert_tokens_to_ids(token)) != token_id:
            raise MostError(
                "tokenizer", f"{token} -> {found}", f"gave another id than the {token_id} after its last token"
            )
    return text_size
