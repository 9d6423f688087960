"""sStoryCloze and tStoryCloze (Topic-StoryCloze), spoken: https://github.com/slp-rl/SpokenStoryCloze, arXiv 2305.13009.

A folder of whole stories, `NUMBER_STORY_correct.wav` beside `NUMBER_STORY_incorrect.wav`, in subfolders or not. Files
of one story are found by name; the number differs between them. Where `..._mutual.wav` lies beside them (the
cross-modal release that https://github.com/slp-rl/slamkit reads) it is the beginning that both endings continue. Texts
may lie beside the recordings as `.txt`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.pairs import Pair, Said
from most.settings import build

_NAME = re.compile(r"(?:(?P<number>\d+)_)?(?P<story>.+)_(?P<member>correct|incorrect|mutual)\.(?:wav|txt)")
_NAMES = {"s": "sStoryCloze", "t": "tStoryCloze"}


@dataclass(frozen=True, kw_only=True)
class StoryClozeOptions:
    """Which version lies in the folder: `s` with the authors' wrong endings, `t` with those of other stories."""

    version: Literal["s", "t"]


def read_story_cloze(settings: SetSettings) -> tuple[list[Pair], SetInfo]:
    """`settings.path` is the folder of recordings.

    Raises:
        MostError: no such folder, a name of another form, or a story that has not one correct and one incorrect file.
    """
    options = build(StoryClozeOptions, settings.options, "set.options")
    if not settings.folder.is_dir():
        raise MostError("set.path", settings.folder, "no such folder; give the folder of the set's recordings")
    stories: dict[str, dict[str, Path]] = {}
    files = (p for p in settings.folder.rglob("*") if p.suffix in (".wav", ".txt") and p.is_file())
    for path in sorted(files, key=_order):
        match = _NAME.fullmatch(path.name)
        if match is None and path.suffix == ".txt":
            continue  # a readme
        if match is None:
            raise MostError("set", path, "is not named NUMBER_STORY_correct.wav or NUMBER_STORY_incorrect.wav")
        members = stories.setdefault((path.parent.relative_to(settings.folder) / match["story"]).as_posix(), {})
        known = members.setdefault(match["member"], path.with_suffix(""))
        if known != path.with_suffix(""):
            raise MostError("set", path, f"is a second {match['member']} member of its story, beside {known.name}")
    pairs = []
    for story, members in stories.items():
        for member, other in (("correct", "incorrect"), ("incorrect", "correct")):
            if member not in members:
                where = members.get(other) or members["mutual"]
                raise MostError("set", where, f"its story {story!r} has no {member} member; is the set complete?")
        pairs.append(
            Pair(
                id=story, pair=story, where=str(members["correct"]),
                prompt=_said(members["mutual"]) if "mutual" in members else None,
                good=_said(members["correct"]), bad=_said(members["incorrect"]),
            )
        )  # fmt: skip
    source = "Spoken StoryCloze, arXiv 2305.13009, https://github.com/slp-rl/SpokenStoryCloze"
    return pairs, SetInfo(name=_NAMES[options.version], source=source)


def _order(path: Path) -> tuple[str, int, str]:
    number = re.match(r"\d+", path.name)
    return str(path.parent), int(number[0]) if number else 0, path.name


def _said(stem: Path) -> Said:
    audio, text = stem.with_name(stem.name + ".wav"), stem.with_name(stem.name + ".txt")
    return Said(audio=audio, text=text.read_text(encoding="utf-8").strip() if text.is_file() else "")
