"""What recipes of speaking may say (`most data speak`, and what all of them share), checked before anything is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from most.data.dialogue.voice.augment import AugmentSettings, Range, check_range, check_share
from most.data.dialogue.voice.instructions import InstructionSettings
from most.data.dialogue.voice.pool import Voice, VoicePool, Voices
from most.data.dialogue.voice.quality import GateSettings
from most.data.dialogue.voice.table import SYNTHESIZERS
from most.errors import MostError, nearest
from most.settings import to_plain

Role = Literal["user", "assistant"]
BACK_CHANNELS = ("Mm-hm.", "Right.", "Okay.", "I see.", "Yeah.", "Sure.")


@dataclass(frozen=True, kw_only=True)
class VoiceSettings:
    """One synthesizer and which of its voices may speak whom.

    Args:
        kind: kokoro, piper, flite, endpoint or parler.
        names: its voices; none for all.
        weight: how often each of them is drawn, against the weights of other entries' voices.
        licence: of the voices' speech, for the data card; the synthesizer's own where it knows it.
        settings: the synthesizer's (model and so on).
    """

    kind: str
    names: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ("user", "assistant")
    licence: str = ""
    weight: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise MostError("voices.weight", self.weight, "must be > 0; leave an entry out that is not to speak")
        if self.kind not in SYNTHESIZERS:
            raise MostError("voices.kind", self.kind, nearest(self.kind, SYNTHESIZERS))
        if not self.roles:
            raise MostError("voices.roles", self.roles, "name user, assistant or both")


@dataclass(frozen=True, kw_only=True)
class GapSettings:
    """Silence between turns (normally distributed, within bounds) and between the chunks of one turn, in seconds."""

    mean: float = 0.4
    deviation: float = 0.25
    within: Range = (0.05, 1.5)
    chunk_pause: float = 0.15

    def __post_init__(self) -> None:
        check_range("gaps.within", self.within, 0, 10)
        if self.deviation < 0:
            raise MostError("gaps.deviation", self.deviation, "must be >= 0 seconds")
        if not 0 <= self.chunk_pause <= 5:
            raise MostError("gaps.chunk_pause", self.chunk_pause, "must lie in 0..5 seconds")


@dataclass(frozen=True, kw_only=True)
class BackChannelSettings:
    """Signs of listening while the other speaks, on the listener's channel.

    Args:
        share: of the turns of at least `min_seconds`.
        between: shares of the turn between which they begin.
        level_db: how much quieter than a turn.
    """

    share: float = 0.25
    min_seconds: float = 3.0
    between: Range = (0.3, 0.7)
    level_db: float = -6.0
    texts: tuple[str, ...] = BACK_CHANNELS
    roles: tuple[Role, ...] = ("user", "assistant")

    def __post_init__(self) -> None:
        check_share("back_channels.share", self.share)
        check_range("back_channels.between", self.between, 0, 1)
        if not self.texts or not all(t.strip() for t in self.texts):
            raise MostError("back_channels.texts", list(self.texts), "give at least one text, none empty")


@dataclass(frozen=True, kw_only=True)
class BargeInSettings:
    """Interruptions. Those in the text are always spoken; `share` of the other dialogues get one.

    Args:
        between: shares of the interrupted turn's text between which it breaks off.
        overlap_seconds: how long both speak before the interrupted voice stops.
    """

    share: float = 0.15
    between: Range = (0.4, 0.8)
    overlap_seconds: float = 0.1

    def __post_init__(self) -> None:
        check_share("barge_ins.share", self.share)
        check_range("barge_ins.between", self.between, 0, 1)
        if not 0 <= self.overlap_seconds <= 2:
            raise MostError("barge_ins.overlap_seconds", self.overlap_seconds, "must lie in 0..2 seconds")


@dataclass(frozen=True, kw_only=True)
class AudioSettings:
    """What is written: turns always; both on two channels, and mixed."""

    sample_rate: int = 16000
    format: Literal["flac", "wav"] = "flac"
    level_dbfs: float = -23.0
    two_channels: bool = True
    mixed: bool = True

    def __post_init__(self) -> None:
        if not 8000 <= self.sample_rate <= 48000:
            raise MostError("audio.sample_rate", self.sample_rate, "must lie in 8000..48000 Hz")
        if not -60 <= self.level_dbfs <= -10:
            raise MostError("audio.level_dbfs", self.level_dbfs, "must lie in -60..-10 dB of full scale")


@dataclass(frozen=True, kw_only=True)
class VoiceRecipe:
    """What speaking needs, whatever is said.

    Args:
        limit: only the first so many.
        workers: processes; each loads the voices and the judge.
        attempts: of one chunk, where a voice fails; they wait `retry_seconds`, then twice as long each time.
        max_rejected_share: the run fails where more is left out.
    """

    output: Path
    voices: tuple[VoiceSettings, ...]
    gate: GateSettings = field(default_factory=GateSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    seed: int = 0
    limit: int | None = None
    workers: int = 1
    attempts: int = 4
    retry_seconds: float = 1.0
    max_rejected_share: float = 0.3

    passing: ClassVar[frozenset[str]] = frozenset(
        {"output", "limit", "workers", "attempts", "retry_seconds", "max_rejected_share"}
    )
    """Settings that say where, how fast and how much is made, as opposed to what."""

    def __post_init__(self) -> None:
        if not self.voices:
            raise MostError("voices", list(self.voices), "name at least one synthesizer")
        for name in ("workers", "attempts"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise MostError("limit", self.limit, "must be at least 1, or left out for all")
        if self.retry_seconds < 0:
            raise MostError("retry_seconds", self.retry_seconds, "must be >= 0")
        check_share("max_rejected_share", self.max_rejected_share)

    @property
    def chunk_pause_seconds(self) -> float:
        return GapSettings().chunk_pause

    def pool(self, voices: Sequence[Voice]) -> Voices:
        """Who speaks, of all voices."""
        return Voices(voices)

    def of_content(self) -> dict[str, Any]:
        """The settings that change what is made."""
        return {k: v for k, v in to_plain(self).items() if k not in self.passing}


@dataclass(frozen=True, kw_only=True)
class SpeakRecipe(VoiceRecipe):
    """Dialogues in, speech out.

    Args:
        dialogues: a JSONL file of dialogues, or of text instructions where `instructions` is given.
        assistant: speech, or text for what a model hears and answers in writing.
    """

    dialogues: Path
    instructions: InstructionSettings | None = None
    assistant: Literal["speech", "text"] = "speech"
    gaps: GapSettings = field(default_factory=GapSettings)
    back_channels: BackChannelSettings = field(default_factory=BackChannelSettings)
    barge_ins: BargeInSettings = field(default_factory=BargeInSettings)

    passing: ClassVar[frozenset[str]] = VoiceRecipe.passing | {"dialogues"}

    @property
    def chunk_pause_seconds(self) -> float:
        return self.gaps.chunk_pause

    def pool(self, voices: Sequence[Voice]) -> Voices:
        return VoicePool(voices, ("user",) if self.assistant == "text" else ("user", "assistant"))


def digest(value: Any) -> str:
    """A short name of plain JSON values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
