"""Who speaks when: turns one after another, interruptions that overlap, and back-channels over long turns.

Pure functions of durations and draws, in seconds; nothing here touches audio. Paper, stage 2: back-channels at 30-70 %
of a turn, interruptions with 0.1 s of overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MARGIN_SECONDS = 0.1
"""Between the end of a back-channel and the end of the turn it lies in, behind which its speaker takes the turn."""


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A turn to be placed: whose, its chunks' durations, and whether the next turn breaks in on it."""

    role: str
    chunk_seconds: tuple[float, ...]
    interrupted: bool = False
    pause_seconds: float = 0.0
    """Between its chunks."""

    @property
    def seconds(self) -> float:
        return sum(self.chunk_seconds) + self.pause_seconds * (len(self.chunk_seconds) - 1)


@dataclass(frozen=True, kw_only=True)
class BackChannel:
    """A short sign of listening: in which turn, at which share of it, how long."""

    turn: int
    at: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Speech on the time line. `index` is that of the turn, or of the back-channel as given."""

    kind: Literal["turn", "back-channel"]
    index: int
    role: str
    start: float
    end: float
    chunks: tuple[tuple[float, float], ...] = ()
    overlapped_from: float | None = None
    """Where the other breaks in on an interrupted voice."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Both speak: from, to, and why."""

    kind: Literal["barge-in", "back-channel"]
    start: float
    end: float
    turn: int
    """The turn that is spoken into."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    turns: tuple[Placed, ...]
    back_channels: tuple[Placed, ...]
    overlaps: tuple[Overlap, ...]
    seconds: float


def lay_out(
    turns: Sequence[Spoken],
    gaps: Sequence[float],
    back_channels: Sequence[BackChannel] = (),
    *,
    overlap_seconds: float = 0.1,
) -> Timeline:
    """Place turns and back-channels.

    A turn starts `gaps[k]` after the end of the one before. Where that one is interrupted, it starts `overlap_seconds`
    before that end instead (at most half of it): so long both are heard. A back-channel
    that would not end `MARGIN_SECONDS` before its turn does, or before that turn is broken into, is left out.

    Args:
        gaps: one for each turn, in seconds >= 0; the first is the lead-in.
        back_channels: at most one a turn.
    """
    assert len(gaps) == len(turns)
    assert all(g >= 0 for g in gaps)
    placed: list[Placed] = []
    overlaps: list[Overlap] = []
    cursor = 0.0
    for k, turn in enumerate(turns):
        before = turns[k - 1] if k else None
        if before is not None and before.interrupted:
            start = cursor - min(overlap_seconds, before.seconds / 2, turn.seconds / 2)
            last = placed[-1]
            placed[-1] = Placed(**{**vars(last), "overlapped_from": start})
            overlaps.append(Overlap(kind="barge-in", start=start, end=cursor, turn=k - 1))
        else:
            start = cursor + gaps[k]
        chunks, at = [], start
        for seconds in turn.chunk_seconds:
            chunks.append((at, at + seconds))
            at += seconds + turn.pause_seconds
        cursor = chunks[-1][1]
        placed.append(
            Placed(kind="turn", index=k, role=turn.role, start=start, end=cursor, chunks=tuple(chunks))
        )  # fmt: skip
    signs: list[Placed] = []
    for n, sign in enumerate(back_channels):
        host = placed[sign.turn]
        start = host.start + sign.at * (host.end - host.start)
        until = host.end if host.overlapped_from is None else host.overlapped_from
        # The listener may have broken in on the turn before and still be fading as this one begins.
        if start + sign.seconds > until - MARGIN_SECONDS or (sign.turn and start < placed[sign.turn - 1].end):
            continue
        role = "assistant" if host.role == "user" else "user"
        end = start + sign.seconds
        signs.append(Placed(kind="back-channel", index=n, role=role, start=start, end=end))
        overlaps.append(Overlap(kind="back-channel", start=start, end=end, turn=sign.turn))
    return Timeline(
        turns=tuple(placed),
        back_channels=tuple(signs),
        overlaps=tuple(sorted(overlaps, key=lambda o: o.start)),
        seconds=max((p.end for p in placed), default=0.0),
    )
