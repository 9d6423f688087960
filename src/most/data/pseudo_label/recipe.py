"""What a step `pseudo-label` may say: the recordings, who hears them, and what is kept of what they wrote."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from most.data.corpora.base import UNKNOWN_LICENCE
from most.errors import MostError, nearest
from most.evaluate.judges import JUDGES, JudgeSettings
from most.evaluate.text import NORMALIZERS
from most.settings import to_plain


@dataclass(frozen=True, kw_only=True)
class SureSettings:
    """How sure a judge that hears alone has to be. The last two are Whisper's own limits.

    Args:
        min_logprob: lowest mean log-probability of its tokens.
        max_no_speech: highest probability that nobody speaks.
        max_compression: highest ratio by which its text can be compressed; a recogniser in a loop repeats itself.
    """

    min_logprob: float = -0.5
    max_no_speech: float = 0.6
    max_compression: float = 2.4


@dataclass(frozen=True, kw_only=True)
class PseudoLabelRecipe:
    """Recordings in, a prepared set out whose transcripts no person wrote.

    Args:
        source: a folder of audio files, subfolders too, or an utterance manifest without text.
        output: the set's folder.
        judge: hears every recording; its text is what is kept.
        second_judge: hears it too; kept is where both agree. Without one, the first has to be `sure`.
        max_disagreement: highest word error rate of the second judge's text against the first one's.
        normalizer: how both are written before they are compared.
        transcript: `plain` is lower case, numbers as words, no punctuation; `written` as the judge writes.
        speaker: a regular expression, searched in the path below `source` without its suffix; its first group, or all
            it matches, names the speaker. A manifest's own speakers are kept.
        speakers: a regular expression that a speaker's name has to match; others are passed over, so that people can be
            held out. All where it is empty.
        split: the name of what is made; names that begin with `test` or `dev` are to measure on.
        min_seconds: shorter recordings are left out.
        max_seconds: longer recordings are cut at silences.
        limit: takes the first recordings alone.
        licence: of the recordings.
        url: where they come from, for the card.
        workers: processes that hear at once.
        max_rejected_share: of what is heard, before the run fails.
    """

    source: Path
    output: Path
    judge: JudgeSettings
    second_judge: JudgeSettings | None = None
    max_disagreement: float = 0.1
    sure: SureSettings = field(default_factory=SureSettings)
    normalizer: str = "english"
    transcript: Literal["plain", "written"] = "plain"
    speaker: str = ""
    speakers: str = ""
    split: str = "train"
    min_seconds: float = 0.5
    max_seconds: float = 20.0
    limit: int | None = None
    licence: str = UNKNOWN_LICENCE
    url: str = ""
    workers: int = 1
    max_rejected_share: float = 0.6

    passing: ClassVar[frozenset[str]] = frozenset({"source", "output", "limit", "workers", "max_rejected_share"})
    """Settings that say where, how fast and how much is made, as opposed to what."""

    def __post_init__(self) -> None:
        # Known by the class, before anything is loaded.
        if self.second_judge is None and not hasattr(JUDGES[self.judge.name], "hear"):
            able = [name for name, judge in JUDGES.items() if hasattr(judge, "hear")]
            raise MostError(
                "second_judge", None, f"{self.judge.name} cannot say how sure it is; name a second judge, "
                f"or let one of these hear alone: {', '.join(able)}",
            )  # fmt: skip
        if self.second_judge == self.judge:
            raise MostError("second_judge", str(self.judge), "agrees with itself; name another judge or model")
        if not self.max_disagreement >= 0:
            raise MostError("max_disagreement", self.max_disagreement, "must be >= 0; 0.1 is one word in ten")
        if self.normalizer not in NORMALIZERS:
            raise MostError("normalizer", self.normalizer, nearest(self.normalizer, NORMALIZERS))
        for name in ("speaker", "speakers"):
            try:
                re.compile(getattr(self, name))
            except re.error as e:
                raise MostError(name, getattr(self, name), f"is no regular expression ({e})") from e
        if not re.fullmatch(r"\w[\w.-]*", self.split) or self.split == "rejected":
            raise MostError("split", self.split, "cannot name a file; use letters, digits, '.', '_' and '-'")
        if not 0 < self.min_seconds <= self.max_seconds / 2:
            raise MostError("min_seconds", self.min_seconds, f"must lie between 0 and {self.max_seconds / 2:g}, half")
        if self.limit is not None and self.limit < 1:
            raise MostError("limit", self.limit, "must be at least 1, or left out for all")
        if self.workers < 1:
            raise MostError("workers", self.workers, "must be at least 1")
        if not 0 <= self.max_rejected_share <= 1:
            raise MostError("max_rejected_share", self.max_rejected_share, "is a share: it must lie between 0 and 1")

    @property
    def judges(self) -> tuple[JudgeSettings, ...]:
        return (self.judge,) if self.second_judge is None else (self.judge, self.second_judge)

    def of_content(self) -> dict[str, Any]:
        """The settings that change what is made."""
        return {k: v for k, v in to_plain(self).items() if k not in self.passing}
