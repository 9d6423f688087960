"""lhotse manifests: a CutSet file in any of its formats, a folder of `cuts_SPLIT.jsonl.gz`, or the recordings and
supervisions that `lhotse prepare CORPUS` writes. So every corpus that lhotse has a recipe for can be prepared.

Each supervision becomes an item; a cut with one supervision keeps the cut's bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from most.data.corpora.base import BAD_ROW, NO_TRANSCRIPT, UNKNOWN_LICENCE, Item, require_extra
from most.errors import MostError
from most.manifest import AudioRef

ENDINGS = r"\.(jsonl|json|yaml)(\.gz)?$"
NOT_A_FILE = "not a file"


@dataclass(frozen=True, kw_only=True)
class LhotseCuts:
    """`source` is a CutSet file or a folder of manifests.

    Args:
        audio_root: what relative audio paths are relative to; without it the manifest's folder where the file is
            there, else the working folder (as lhotse has it).
        licence: of the recordings, for the card.
        url: where they come from, for the card.
    """

    source: Path
    audio_root: Path | None = None
    licence: str = UNKNOWN_LICENCE
    url: str = ""
    title: ClassVar[str] = "lhotse cuts"
    text_only: ClassVar[bool] = False

    def _manifests(self) -> dict[str, tuple[Path, ...]]:
        """Split -> one cuts manifest, or recordings and supervisions."""
        if self.source.is_file():
            match = re.search(r"(?:^|_)cuts_(.+?)" + ENDINGS, self.source.name)
            return {match[1] if match else "train": (self.source,)}
        if not self.source.is_dir():
            raise MostError("source", self.source, "no such file or folder; give a CutSet or a folder of manifests")
        cuts: dict[str, tuple[Path, ...]] = {}
        pairs: dict[str, tuple[Path, ...]] = {}
        for path in sorted(self.source.iterdir()):
            if match := re.search(r"(?:^|_)cuts_(.+?)" + ENDINGS, path.name):
                cuts[match[1]] = (path,)
            elif match := re.search(r"(?:^|_)recordings_(.+?)" + ENDINGS, path.name):
                other = path.with_name(path.name.replace("recordings_", "supervisions_"))
                if other.is_file():
                    pairs[match[1]] = (path, other)
        if not (cuts or pairs):
            raise MostError(
                "source", self.source, "holds no cuts_SPLIT.jsonl.gz and no recordings_ with supervisions_ beside them"
            )
        return cuts or pairs

    def splits(self) -> tuple[str, ...]:
        return tuple(self._manifests())

    def items(self, split: str) -> Iterator[Item]:
        require_extra("lhotse")
        from lhotse import CutSet, load_manifest

        paths = self._manifests()[split]
        if len(paths) == 1:
            cuts: Any = CutSet.from_file(paths[0])
        else:
            recordings, supervisions = (load_manifest(p) for p in paths)
            cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)  # type: ignore[arg-type]
        for cut in cuts:
            yield from cut_items(cut.to_dict(), lambda p: self._resolve(p, paths[0].parent), _text)

    def _resolve(self, path: str, folder: Path) -> Path:
        if self.audio_root is not None:
            return self.audio_root / path
        return folder / path if (folder / path).exists() else Path(path)


def _text(supervision: Mapping[str, Any]) -> str | None:
    return supervision.get("text")


def cut_items(
    cut: Mapping[str, Any], resolve: Callable[[str], Path], text: Callable[[Mapping[str, Any]], str | None]
) -> Iterator[Item]:
    """The items of one cut as JSON (a MonoCut or MultiCut over one file).

    Args:
        resolve: makes the path of a recording one that can be opened.
        text: picks a supervision's transcript.
    """
    name = str(cut.get("id", ""))
    try:
        if "recording" not in cut:
            raise _Unusable(NOT_A_FILE, f"is a {cut.get('type', 'cut')} without one recording")
        recording, start = cut["recording"], float(cut["start"])
        source = recording["sources"][0]
        if len(recording["sources"]) > 1 or source["type"] != "file":
            raise _Unusable(NOT_A_FILE, f"its recording is not one file ({source['type']})")
        if recording.get("transforms"):
            raise _Unusable(NOT_A_FILE, "its recording is to be transformed; write the audio out first")
        path, supervisions = resolve(source["source"]), cut.get("supervisions", [])
        if not supervisions:
            raise _Unusable(NO_TRANSCRIPT, "has no supervision")
        whole = start == 0 and abs(float(cut["duration"]) - float(recording["duration"])) < 1e-3
        for supervision in supervisions:
            if len(supervisions) == 1:
                bounds = (0.0, None) if whole else (start, float(cut["duration"]))
            else:
                bounds = (start + float(supervision["start"]), float(supervision["duration"]))
            yield Item(
                id=name if len(supervisions) == 1 else str(supervision["id"]),
                audio=AudioRef(path=path, start=round(bounds[0], 6), duration=bounds[1]),
                text=text(supervision),
                speaker=str(supervision.get("speaker") or ""),
                recording="" if whole and len(supervisions) == 1 else str(recording["id"]),
            )
    except _Unusable as e:
        yield Item(id=name, problem=e.args)  # type: ignore[arg-type]
    except (KeyError, IndexError, TypeError, ValueError) as e:
        yield Item(id=name, problem=(BAD_ROW, f"is no cut that can be read ({type(e).__name__}: {e})"))


class _Unusable(Exception):
    """A cut that is well-formed but of no use here: (reason, detail)."""
