"""The one place that knows token ids and modality.

An MoST vocabulary is the backbone's text vocabulary followed by the audio vocabulary: the discrete speech units, then
five markers in fixed order. Every position's modality follows from its id (arXiv 2601.10272, the modality tag m).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch

from most.errors import MostError

MARKER_TOKENS = ("<|audio_begin|>", "<|audio_end|>", "<|wave_begin|>", "<|wave_end|>", "<|wave|>")
"""In id order: discrete speech begins and ends, continuous audio begins and ends, one position of continuous audio."""


class Modality(IntEnum):
    """The tag that every position carries; also the index of its expert group."""

    TEXT = 0
    AUDIO = 1


@dataclass(frozen=True, kw_only=True)
class SpeechVocab:
    """Where text, units and markers lie.

    `[0, text_size)` text, `[text_size, text_size + n_units)` units, then the markers, unused rows to `vocab_size`.

    Args:
        text_size: ids below this one are text (the tokenizer's length before anything was added).
        n_units: discrete speech units.
        vocab_size: rows of the embedding; what lies past the markers is padding and never appears in data.

    Raises:
        MostError: a size is not positive, or the embedding is too small for units and markers.
    """

    text_size: int
    n_units: int
    vocab_size: int

    def __post_init__(self) -> None:
        if self.text_size < 1:
            raise MostError("text_size", self.text_size, "must be at least 1: the length of the text tokenizer")
        if self.n_units < 1:
            raise MostError("n_units", self.n_units, "must be at least 1: the number of speech units")
        if self.vocab_size < self.audio_stop:
            raise MostError(
                "vocab_size",
                self.vocab_size,
                f"{self.text_size} text ids, {self.n_units} units and {len(MARKER_TOKENS)} markers "
                f"need {self.audio_stop} rows",
            )

    @property
    def unit_start(self) -> int:
        return self.text_size

    @property
    def audio_begin(self) -> int:
        return self.text_size + self.n_units

    @property
    def audio_end(self) -> int:
        return self.audio_begin + 1

    @property
    def wave_begin(self) -> int:
        return self.audio_begin + 2

    @property
    def wave_end(self) -> int:
        return self.audio_begin + 3

    @property
    def wave(self) -> int:
        """The placeholder that a position of continuous audio holds until the model overwrites its embedding."""
        return self.audio_begin + 4

    @property
    def n_audio(self) -> int:
        """Units and markers together."""
        return self.n_units + len(MARKER_TOKENS)

    @property
    def audio_stop(self) -> int:
        """One past the last audio id."""
        return self.text_size + self.n_audio

    def unit_id(self, unit: int) -> int:
        """Token id of a speech unit. Raises MostError when there is no such unit."""
        if not 0 <= unit < self.n_units:
            raise MostError(
                "unit", unit, f"units run from 0 to {self.n_units - 1}; were they made with another quantizer?"
            )
        return self.unit_start + int(unit)

    def is_unit(self, token_id: int) -> bool:
        return self.unit_start <= token_id < self.audio_begin

    def unit_of(self, token_id: int) -> int:
        """Speech unit of a token id. Raises MostError when the id is not a unit's."""
        if not self.is_unit(token_id):
            raise MostError(
                "token id", token_id, f"is not a unit; units are {self.unit_start} to {self.audio_begin - 1}"
            )
        return int(token_id) - self.unit_start

    @staticmethod
    def unit_token(unit: int) -> str:
        return f"<|unit_{unit}|>"

    def added_tokens(self) -> list[str]:
        """The strings to add to the text tokenizer, in id order."""
        return [self.unit_token(u) for u in range(self.n_units)] + list(MARKER_TOKENS)

    def modality_of(self, ids: torch.Tensor) -> torch.Tensor:
        """Modality of each id, in the ids' shape, int64: AUDIO for units and markers, TEXT for all else."""
        return ((ids >= self.text_size) & (ids < self.audio_stop)).long()
