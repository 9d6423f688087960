"""Transcripts with times, as SubRip and WebVTT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What was heard between two times, in seconds."""

    start: float
    end: float
    text: str


def srt(segments: Sequence[Segment]) -> str:
    rows = (f"{k}\n{_time(s.start, ',')} --> {_time(s.end, ',')}\n{s.text}\n" for k, s in enumerate(segments, start=1))
    return "\n".join(rows)


def vtt(segments: Sequence[Segment]) -> str:
    rows = (f"\n{_time(s.start, '.')} --> {_time(s.end, '.')}\n{s.text.replace('-->', '->')}\n" for s in segments)
    return "WEBVTT\n" + "".join(rows)


def _time(seconds: float, point: str) -> str:
    whole = round(1000 * seconds)
    hours, minutes, rest = whole // 3_600_000, whole // 60_000 % 60, whole % 60_000
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"
