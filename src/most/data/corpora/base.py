"""The seam of a corpus: a small class says what it is and iterates what it holds, in one fixed order, opening no audio.

What is wrong with an item is data, not an exception: a reader that finds a bad row yields it with its problem, the
checks (`check.py`) find the rest, and both end in `rejected.jsonl`.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from most.errors import MostError, nearest
from most.manifest import AudioRef

BAD_ROW = "bad row"
NO_TRANSCRIPT = "no transcript"
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, kw_only=True)
class Item:
    """What a corpus holds once: a recording with its transcript, or (without audio) a piece of text.

    Args:
        content: the audio file itself where the source carries it inline; it is written to `audio.path` once.
        recording: names the recording that several items are stretches of; the item's own id when left out.
        problem: (reason, detail) where the reader knows already that the item is of no use.
    """

    id: str
    audio: AudioRef | None = None
    text: str | None = None
    speaker: str = ""
    content: bytes | None = None
    recording: str = ""
    problem: tuple[str, str] | None = None


class Corpus(Protocol):
    """A corpus on disk. Implementations are frozen dataclasses whose fields are the options a user may give."""

    @property
    def title(self) -> str: ...

    @property
    def licence(self) -> str:
        """As the Hugging Face hub writes it (`cc-by-4.0`), or a name of its own."""
        ...

    @property
    def url(self) -> str: ...

    @property
    def text_only(self) -> bool: ...

    def splits(self) -> tuple[str, ...]:
        """The splits that are there, in the order in which they are prepared.

        Raises:
            MostError: the source is not there or has not the published layout.
        """
        ...

    def items(self, split: str) -> Iterator[Item]:
        """Every item of a split, lazily and in the same order each time."""
        ...


def require_folder(source: Path, what: str) -> Path:
    """Raises MostError when `source` is not a folder."""
    if not source.is_dir():
        raise MostError("source", source, f"no such folder; give {what}")
    return source


def require_extra(package: str) -> None:
    """Raises MostError when a package of the extra `data` is not installed."""
    if importlib.util.find_spec(package) is None:
        raise MostError("package", package, 'is not installed; pip install "most-speech[data]"')


def open_text(path: Path) -> TextIO:
    """Open UTF-8 text, gzipped or not, a byte order mark skipped; bytes that are no UTF-8 arrive as lone surrogates,
    which the checks reject item by item."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Line number and object of each line that is not blank; None for one that is no JSON object."""
    with open_text(path) as f:
        for number, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield number, row if isinstance(row, dict) else None


def read_table(path: Path, delimiter: str, *, quoted: bool) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Row number and columns of a table with a header; None for a row with too few or too many fields."""
    csv.field_size_limit(2**31 - 1)
    with open_text(path) as f:
        rows = csv.DictReader(f, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        for number, row in enumerate(rows, 1):
            torn = None in row or None in row.values()
            yield number, None if torn else row


def bad_row(path: Path, number: int, detail: str) -> Item:
    return Item(id=f"{path.name}:{number}", problem=(BAD_ROW, f"{path.name}, row {number}: {detail}"))


def pick_column(columns: Iterable[str], given: str | None, guesses: tuple[str, ...], option: str, where: object) -> str:
    """The column a user named, or the only one whose name is among `guesses`; "" where none is.

    Raises:
        MostError: the named column is not there, or several could be meant.
    """
    columns = list(columns)
    if given is not None:
        if given not in columns:
            raise MostError(option, given, f"no such column in {where}; {nearest(given, columns)}")
        return given
    found = [c for c in columns if c.lower() in guesses]
    if len(found) > 1:
        raise MostError(option, found, f"several columns of {where} could be meant; say which with {option}")
    return found[0] if found else ""


AUDIO_NAMES = ("audio", "path", "file", "filename", "file_name", "wav", "audio_path", "audio_file", "audio_filepath")
TEXT_NAMES = ("text", "sentence", "transcript", "transcription")
SPEAKER_NAMES = ("speaker", "speaker_id", "client_id")
ID_NAMES = ("id", "utt_id", "utterance_id")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table mean what; "" where there is none."""

    audio: str
    text: str
    speaker: str
    id: str
    start: str = ""
    duration: str = ""


def pick_columns(
    columns: Iterable[str], given: Mapping[str, str | None], where: object, audio: str | None = None
) -> Columns:
    """Name the columns of a table of recordings.

    Args:
        given: what the user said: audio, text, speaker, id.
        audio: the audio column where the table itself declares it.

    Raises:
        MostError: no audio or text column, or several candidates.
    """
    columns = list(columns)
    found = Columns(
        audio=pick_column(columns, given.get("audio") or audio, AUDIO_NAMES, "--audio-column", where),
        text=pick_column(columns, given.get("text"), TEXT_NAMES, "--text-column", where),
        speaker=pick_column(columns, given.get("speaker"), SPEAKER_NAMES, "--speaker-column", where),
        id=pick_column(columns, given.get("id"), ID_NAMES, "--id-column", where),
        # A duration alone is a note about a whole file (NeMo writes one, rounded); with a start it bounds a stretch.
        start=pick_column(columns, None, ("start", "offset"), "--start", where) if "duration" in columns else "",
        duration="duration" if "duration" in columns else "",
    )
    for role in ("audio", "text"):
        if not getattr(found, role):
            raise MostError(
                f"--{role}-column", columns, f"none of the columns of {where} is known to hold {role}; name it"
            )
    return found
