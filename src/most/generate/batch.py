"""Continuous batching: requests join a running batch when there is room, and leave it when they end or are cancelled.

Each gets the tokens that it would get alone. A step hands out one token a request before the next is computed, so that
speech can be vocoded while it is made, and whoever drives the batch can stop any request at any token.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper

from most.errors import MostError
from most.generate.draw import pick
from most.generate.hearing import CtcPrefixes, Search
from most.generate.request import Part, Request, Token
from most.generate.steps import Steps, steps_behind
from most.model.legal import CLOSED, INSIDE, OUTSIDE, LegalTokens
from most.model.losses import ctc_scores
from most.model.router import collect_experts

UNITS_A_WORD, UNITS_A_TOKEN = 12, 8
"""What a word of guided speech may take at most, its pause included: 0.24 s, and 0.16 s a character, at 50 Hz. Speech
that has lost the way out of a word then goes on with the next."""

_COLDEST = 1e-3
"""Temperatures below it take the most likely token: scores divided by less are no longer finite."""


@dataclass
class _Row:
    number: int
    request: Request
    part: int = 0
    n_tokens: int = 0
    state: int = OUTSIDE
    draw: np.random.Generator | None = None
    written: list[int] = field(default_factory=list)
    """Of the part so far."""
    words: deque[list[int]] | None = None
    """Of guided speech, those that are still to be said."""
    room: int = 0
    """Of guided speech, units that the word under way may still take."""
    put: deque[int] = field(default_factory=deque)
    """What comes next, whatever the model would choose; not handed out."""
    search: Search | None = None
    live: bool = True

    def __post_init__(self) -> None:
        self.begin(0)

    def begin(self, part: int) -> None:
        self.part, self.n_tokens, self.written, self.words = part, 0, [], None
        self.state = OUTSIDE if self.state == CLOSED else self.state
        self.draw = np.random.default_rng(self.now.seed) if self.now.temperature > 0 else None

    @property
    def now(self) -> Part:
        return self.request.parts[self.part]


@dataclass
class _Lane:
    """Rows that are computed together; `tokens` (B,) are chosen and not yet computed.

    A request that is searched for is there once for each of its hypotheses, side by side.
    """

    steps: Steps
    rows: list[_Row]
    tokens: torch.Tensor


class Batch:
    """Requests in the order in which they came, at most `max_rows` of them at a time.

    Args:
        max_rows: further ones wait; `n_waiting` and `n_running` count both.
    """

    def __init__(self, model: Any, processor: Any, max_rows: int = 8) -> None:
        if max_rows < 1:
            raise MostError("batch_size", max_rows, "must be >= 1")
        self.model, self.processor, self.max_rows = model, processor, max_rows
        self._waiting: deque[_Row] = deque()
        self._lanes: list[_Lane] = []
        self._n_requests = 0

        @cache
        def legal(mode: str) -> LegalTokens:
            return LegalTokens(processor.vocab, mode, eos_token_id=int(processor.tokenizer.eos_token_id))

        self._legal = legal

    def add(self, request: Request) -> int:
        """Take a request; its number is returned, and is in all its tokens."""
        self._n_requests += 1
        begun, ended = (int(np.flatnonzero(request.prompt.ids == t).max(initial=-1)) for t in self._markers)
        row = _Row(self._n_requests, request, state=INSIDE if begun > ended else OUTSIDE)
        self._take_words(row)
        self._waiting.append(row)
        return self._n_requests

    def cancel(self, request: int) -> None:
        """End a request now: its next token is never computed. What ended already, or never was, changes nothing."""
        self._waiting = deque(r for r in self._waiting if r.number != request)
        for lane in self._lanes:
            for row in lane.rows:
                row.live = row.live and row.number != request

    def cancel_all(self) -> None:
        """End all requests; numbers go on from where they are."""
        self._waiting.clear()
        self._lanes.clear()

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        return len({row.number for lane in self._lanes for row in lane.rows if row.live})

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.n_waiting or self.n_running)

    @torch.inference_mode()
    def step(self) -> list[Token]:
        """One more token of each running request, after those that wait have joined.

        A request whose token was put in front of a part, not chosen, is left out of this step. A transcript that is
        searched for hands out tokens when all hypotheses agree on them: none at one step, several at another.
        """
        scored = []
        if new := self._joining():
            inputs = self.processor.collate([r.request.prompt for r in new]).to(self.model.device)
            searched = any(row.now.hearing for row in new)
            steps = steps_behind(self.model, inputs, partial(self._search, new) if searched else None)
            scored.append((_Lane(steps, new, inputs["input_ids"][:, -1]), steps.scores))
        read: dict[int, tuple[int, list[list[int]]]] = {}
        for lane in [lane for lane in self._lanes if _keep_live(lane)]:
            with collect_experts(any(row.request.routing for row in lane.rows)) as experts:
                scored.append((lane, lane.steps(self._ahead(lane))))
            for k, row in enumerate(lane.rows):
                if row.request.routing:
                    read[row.number] = int(lane.tokens[k]), [layer[k].tolist() for layer in experts]
        self._lanes, out = [], []
        for lane, scores in scored:
            chosen = self._chosen(lane.rows, scores)
            index, next_tokens = list[int](), list[int]()
            for _, group in groupby(range(len(lane.rows)), key=lambda k: lane.rows[k].number):
                those = list(group)
                row = lane.rows[those[0]]
                if row.search is not None:
                    parents, grown = row.search.advance(self._likelihoods(scores[those]))
                    index += [those[p] for p in parents]
                    next_tokens += grown
                    out += _found(row, row.search)
                    continue
                computed, token = self._advance(row, int(chosen[those[0]]))
                index += those
                next_tokens.append(computed)
                if token is not None:
                    out.append(replace(token, before=read[row.number]) if row.number in read else token)
            _rearrange(lane, index, torch.tensor(next_tokens, dtype=torch.long, device=scores.device))
            self._settle(lane)
        return out

    def _ahead(self, lane: _Lane) -> torch.Tensor:
        """The lane's tokens (B, T): those chosen, and as many behind them as are to be put into every row."""
        looked_at = any(row.search is not None or row.request.routing for row in lane.rows)
        n = 0 if looked_at else min(len(row.put) for row in lane.rows)
        put = [[row.put.popleft() for _ in range(n)] for row in lane.rows]
        for row, tokens in zip(lane.rows, put, strict=True):
            for token in tokens:
                self._follow(row, token)
        behind = torch.tensor(put, dtype=torch.long, device=lane.tokens.device).view(len(lane.rows), n)
        return torch.cat([lane.tokens[:, None], behind], dim=1)

    def _joining(self) -> list[_Row]:
        room = self.max_rows - self.n_running
        return [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]

    def _chosen(self, rows: Sequence[_Row], scores: torch.Tensor) -> torch.Tensor:
        """The next token of each row (B,) behind scores (B, V): forced, the most likely, or drawn."""
        chosen = torch.zeros(len(rows), dtype=torch.long)
        alike: dict[tuple[str, float, float], list[int]] = defaultdict(list)
        for k, row in enumerate(rows):
            if row.put:
                chosen[k] = row.put[0]
            elif row.search is None:
                alike[row.now.mode, row.now.temperature, row.now.top_p].append(k)
        for (mode, temperature, top_p), those in alike.items():
            index = torch.tensor(those)
            states = torch.tensor([rows[k].state for k in those], device=scores.device)
            own = scores[index.to(scores.device)].float()
            few = self._legal(mode).among(states, own)
            self._guide(few, own, [rows[k] for k in those])
            if temperature < _COLDEST:
                chosen[index] = few.argmax(dim=-1).cpu()
                continue
            for warp in _warpers(temperature, top_p):
                few = warp(None, few)  # type: ignore[arg-type]
            draws = [rows[k].draw.random() for k in those]  # type: ignore[union-attr]
            chosen[index] = pick(few, torch.tensor(draws, dtype=torch.float64, device=few.device)).cpu()
        return chosen

    def _search(self, new: Sequence[_Row], scores: torch.Tensor) -> None:
        """Begin the searches of new rows, given the scores (B, T, V) of all positions of their prompts."""
        vocab, eos = self.processor.vocab, int(self.processor.tokenizer.eos_token_id)
        for row, own in zip(new, scores, strict=True):
            if (hearing := row.now.hearing) is None:
                continue
            ids = row.request.prompt.ids
            begun = int(np.flatnonzero(ids == vocab.wave_begin).max(initial=-1))
            clip = np.flatnonzero((ids == vocab.wave) & (np.arange(len(ids)) > begun))
            if not len(clip):
                raise MostError("hearing", hearing, "needs a clip in the prompt")
            there = own[len(own) - len(ids) + torch.from_numpy(clip).to(own.device)]
            prefixes = CtcPrefixes(ctc_scores(there, vocab).cpu().numpy())
            row.search = Search(hearing, prefixes, eos, row.now.max_new_tokens)

    def _likelihoods(self, scores: torch.Tensor) -> np.ndarray:
        """(H, V) scores -> log-probabilities of text, float64."""
        outside = torch.full((len(scores),), OUTSIDE, device=scores.device)
        few = self._legal("text").among(outside, scores.float())[:, : self.processor.vocab.text_size]
        return few.log_softmax(dim=-1).double().cpu().numpy()

    def _advance(self, row: _Row, token: int) -> tuple[int, Token | None]:
        """What is computed next for a row, given its new token, and what is handed out; None for what was put there."""
        self._follow(row, token)
        if row.put:
            return row.put.popleft(), None
        if row.words and token == row.words[0][0]:  # the model goes on to the next word
            row.put += self._next_word(row)[1:]
            return token, None
        row.n_tokens, row.room = row.n_tokens + 1, row.room - 1
        row.written.append(token)
        part, now = row.part, row.now
        ended = "stop" if token in now.until else "length" if row.n_tokens == now.max_new_tokens else ""
        row.live = not ended or part + 1 < len(row.request.parts)
        computed = token
        if ended and row.live:
            written = row.written
            row.begin(part + 1)
            if (begin := row.now.begin) is not None and ended == "stop":  # in the place of the token that ended
                computed = begin
                self._follow(row, computed)
            elif begin is not None:
                row.put.append(begin)
            self._take_words(row, written)
        return computed, Token(request=row.number, part=part, id=token, ended=ended, last=not row.live)

    def _take_words(self, row: _Row, written: Sequence[int] = ()) -> None:
        """Make ready the words that the row's part is guided by; the first stands before all units."""
        if row.now.guided is not None:
            text = row.now.guided or self.processor.decode_text(written)
            row.words = deque(self.processor.builder.words(text))
            row.put += self._next_word(row) if row.words else []

    def _next_word(self, row: _Row) -> list[int]:
        """The tokens of the next word, of which there is one."""
        word = row.words.popleft()  # type: ignore[union-attr]
        row.room = UNITS_A_WORD + UNITS_A_TOKEN * len(word)
        return word

    def _guide(self, few: torch.Tensor, scores: torch.Tensor, rows: Sequence[_Row]) -> None:
        """Let the next word of guided speech be chosen, too, and its end only behind the last one.

        Args:
            few: (K, V) scores of what is legal, of `rows`; changed.
            scores: (K, V), what the model gave.
        """
        for own, given, row in zip(few, scores, rows, strict=True):
            if row.words is None or row.state != INSIDE:
                continue
            on = row.words[0][0] if row.words else self._markers[1]
            score = given[on].nan_to_num()
            own[self._markers[1]] = -torch.inf
            if row.room <= 0:
                own[:] = -torch.inf
            own[on] = score

    def _follow(self, row: _Row, token: int) -> None:
        begin, end = self._markers
        row.state = INSIDE if token == begin else CLOSED if token == end else row.state

    def _settle(self, lane: _Lane) -> None:
        """Put a lane beside the others, into the first where its steps can be joined."""
        if not _keep_live(lane):
            return
        if self._lanes and self._lanes[0].steps.join(lane.steps):
            self._lanes[0].rows += lane.rows
            self._lanes[0].tokens = torch.cat([self._lanes[0].tokens, lane.tokens])
        else:
            self._lanes.append(lane)

    @property
    def _markers(self) -> tuple[int, int]:
        return self.processor.vocab.audio_begin, self.processor.vocab.audio_end


def _found(row: _Row, search: Search) -> list[Token]:
    """What a search hands out behind a step."""
    row.live = not search.over
    tokens = [Token(request=row.number, part=0, id=token) for token in search.given()]
    if search.over:
        tokens[-1] = replace(tokens[-1], ended="stop" if search.stopped else "length", last=True)
    return tokens


def _rearrange(lane: _Lane, index: list[int], tokens: torch.Tensor) -> None:
    """Go on with the rows of these numbers, in their order, some of them more than once."""
    if index != list(range(len(lane.rows))):
        if index:
            lane.steps.keep(torch.tensor(index, device=tokens.device))
        lane.rows = [lane.rows[k] for k in index]
    lane.tokens = tokens


def _keep_live(lane: _Lane) -> bool:
    """Drop the rows that ended; whether any is left."""
    kept = [k for k, row in enumerate(lane.rows) if row.live]
    if kept and len(kept) < len(lane.rows):
        index = torch.tensor(kept, device=lane.tokens.device)
        lane.steps.keep(index)
        lane.rows, lane.tokens = [lane.rows[k] for k in kept], lane.tokens[index]
    return bool(kept)


def _warpers(temperature: float, top_p: float) -> list[LogitsProcessor]:
    warpers: list[LogitsProcessor] = [] if temperature == 1 else [TemperatureLogitsWarper(temperature)]
    return warpers if top_p == 1 else [*warpers, TopPLogitsWarper(top_p)]
