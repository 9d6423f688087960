"""Which tokens may come next: text only, one stretch of speech, or both in a well-formed order.

A language model may put any mass on any id. What leaves `generate` must be decodable whatever the logits are: units
between `<|audio_begin|>` and `<|audio_end|>` only, and never a placeholder of continuous audio or a padding row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor

from most.errors import MostError, nearest
from most.vocab import SpeechVocab

MODES = ("text", "speech", "any")
OUTSIDE, INSIDE, CLOSED = range(3)


class LegalTokens(LogitsProcessor):
    """A logits processor for `generate(logits_processor=[...])`; put it after those that warp.

    Args:
        vocab: the model's vocabulary.
        mode: `text`: text ids only. `speech`: `<|audio_begin|>` unless the prompt ends inside speech, units, then
            `<|audio_end|>`, then the end of sequence. `any`: text, with stretches of speech in it.
        eos_token_id: end of sequence; one id or several, all text.
        prompt_length: positions of the (padded) prompt. In `speech` mode a stretch that closed before here is the
            user's and does not count.

    Raises:
        MostError: an unknown mode, or an end-of-sequence id that is not text.
    """

    def __init__(
        self, vocab: SpeechVocab, mode: str, *, eos_token_id: int | Sequence[int], prompt_length: int = 0
    ) -> None:
        if mode not in MODES:
            raise MostError("mode", mode, nearest(mode, MODES))
        eos = [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id)
        if not eos or not all(0 <= i < vocab.text_size for i in eos):
            raise MostError("eos_token_id", eos_token_id, f"must be text ids, below {vocab.text_size}")
        self.vocab, self.mode, self.prompt_length = vocab, mode, prompt_length
        legal = torch.zeros(3, vocab.vocab_size, dtype=torch.bool)
        if mode == "text":
            legal[:, : vocab.text_size] = True
        else:
            legal[INSIDE, vocab.unit_start : vocab.audio_begin] = True
            legal[INSIDE, vocab.audio_end] = True
            legal[OUTSIDE, vocab.audio_begin] = True
        if mode == "any":
            legal[[OUTSIDE, CLOSED], : vocab.text_size] = True
            legal[CLOSED, vocab.audio_begin] = True
        if mode == "speech":
            legal[CLOSED, eos] = True
        self.legal = legal

    def state(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(B, T) ids so far -> (B,) OUTSIDE, INSIDE or CLOSED."""
        begun, ended = self._last(input_ids, self.vocab.audio_begin), self._last(input_ids, self.vocab.audio_end)
        inside = begun > ended
        return torch.where(inside, INSIDE, torch.where(ended >= self.prompt_length, CLOSED, OUTSIDE))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, T) ids so far and (B, V) scores -> scores with -inf where illegal, and finite where legal."""
        return self.among(self.state(input_ids), scores)

    def among(self, state: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """As a call, of rows in these states (B,)."""
        if self.legal.device != scores.device:
            self.legal = self.legal.to(scores.device)
        # Finite, so that an illegal token cannot win because every legal one had -inf or nan.
        low, high = torch.finfo(scores.dtype).min, torch.finfo(scores.dtype).max
        return scores.nan_to_num(nan=low, posinf=high, neginf=low).masked_fill(~self.legal[state], -torch.inf)

    def after(self, state: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The states (B,) once these tokens (B,) have been generated: `state` without a look at all ids again."""
        state = state.masked_fill(tokens == self.vocab.audio_begin, INSIDE)
        return state.masked_fill(tokens == self.vocab.audio_end, CLOSED)

    @staticmethod
    def _last(input_ids: torch.Tensor, token: int) -> torch.Tensor:
        """Last index of a token in each row (B,), -1 where it is absent."""
        index = torch.arange(input_ids.shape[1], device=input_ids.device)
        found = torch.where(input_ids == token, index, -1)
        return torch.nn.functional.pad(found, (1, 0), value=-1).amax(dim=1)
