"""Hugging Face datasets, by name or folder, streamed: recordings with transcripts, and text.

Audio is never decoded here. What a dataset carries inline is written once, as it is, to `OUT/audio/SPLIT/`, under its
row's number; what it only names is referenced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from most.data.corpora.base import (
    BAD_ROW,
    TEXT_NAMES,
    UNKNOWN_LICENCE,
    Item,
    pick_column,
    pick_columns,
    require_extra,
)  # fmt: skip
from most.errors import MostError, nearest
from most.manifest import AudioRef

_MAGIC = ((b"RIFF", ".wav"), (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"), (b"\xff", ".mp3"))
PER_FOLDER = 1000


def load_splits(source: Path | str, config: str | None, revision: str | None) -> dict[str, Any]:
    """Split -> streamed dataset, of a hub name, a folder of `save_to_disk`, or a folder of data files (parquet, ...).

    Raises:
        MostError: `datasets` is not installed, or cannot read the source.
    """
    require_extra("datasets")
    import datasets

    folder = Path(source)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            saved = datasets.load_from_disk(str(folder))
            found: Any = saved if isinstance(saved, datasets.DatasetDict) else {str(saved.split or "train"): saved}
        else:
            found = datasets.load_dataset(str(source), name=config, revision=revision, streaming=True)
    except (OSError, ValueError, RuntimeError, ImportError) as e:
        problem = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise MostError(
            "source", str(source), f"cannot be read by datasets ({problem}); is it a name or a folder of data files?"
        ) from e
    return dict(found)


class _OfHub:
    """Splits of a dataset, opened once."""

    source: Path
    config: str | None
    revision: str | None

    @cached_property
    def _splits(self) -> dict[str, Any]:
        return load_splits(self.source, self.config, self.revision)

    def splits(self) -> tuple[str, ...]:
        return tuple(self._splits)


@dataclass(frozen=True, kw_only=True)
class HubSpeech(_OfHub):
    """`source` is a hub name (`owner/name`) or a folder.

    Args:
        out: the set's folder; inline audio is written below it.
        config: the dataset's configuration, where it has several.
        revision: commit or tag to take from the hub; name one, so that the same input stays the same.
        audio_column: the column of audio; found by its type or name where only one can be meant, as are the others.
        licence: of the recordings, for the card.
        url: where they come from, for the card.
    """

    source: Path
    out: Path
    config: str | None = None
    revision: str | None = None
    audio_column: str | None = None
    text_column: str | None = None
    speaker_column: str | None = None
    id_column: str | None = None
    licence: str = UNKNOWN_LICENCE
    url: str = ""
    title: ClassVar[str] = "Hugging Face dataset"
    text_only: ClassVar[bool] = False

    def items(self, split: str) -> Iterator[Item]:
        import datasets

        rows = self._splits[split]
        features = rows.features or rows._resolve_features().features
        declared = [name for name, kind in features.items() if isinstance(kind, datasets.Audio)]
        given = {
            "audio": self.audio_column, "text": self.text_column,
            "speaker": self.speaker_column, "id": self.id_column,
        }  # fmt: skip
        columns = pick_columns(features, given, str(self.source), declared[0] if len(declared) == 1 else None)
        if columns.audio in declared:
            rows = _undecoded(rows, columns.audio)
        for number, row in enumerate(rows):
            name = str(row[columns.id]) if columns.id else f"{split}-{number:08d}"
            path, content = self._audio(row[columns.audio], split, number)
            text = row[columns.text]
            problem = None
            if path is None:
                problem = (BAD_ROW, f"row {number} has no audio, neither inline nor a path")
            elif text is not None and not isinstance(text, str):
                problem = (BAD_ROW, f"row {number}: {columns.text!r} is not text")
            yield Item(
                id=name,
                audio=AudioRef(path=path) if path is not None else None,
                text=text if isinstance(text, str) else None,
                speaker=_name(row[columns.speaker]) if columns.speaker else "",
                content=content,
                problem=problem,
            )

    def _audio(self, value: Any, split: str, number: int) -> tuple[Path | None, bytes | None]:
        if isinstance(value, str):
            value = {"path": value}
        if not isinstance(value, Mapping):
            return None, None
        content = value.get("bytes")
        if content is not None:
            ending = next((s for magic, s in _MAGIC if content.startswith(magic)), ".bin")
            folder = self.out / "audio" / split / f"{number // PER_FOLDER:05d}"
            return folder / f"{number:08d}{ending}", content
        return (self._path(value["path"]) if value.get("path") else None), None

    def _path(self, path: str) -> Path:
        inside = Path(self.source) / path
        return inside if not Path(path).is_absolute() and inside.exists() else Path(path)


def _undecoded(rows: Any, column: str) -> Any:
    """Rows whose audio column comes as a path or as a mapping of `bytes` and `path`.

    Sources that are no Arrow tables (folders of audio, webdatasets) have each example encoded first, for which
    `datasets` wants torchcodec; where it is missing, the column is declared as what it plainly is.
    """
    from datasets import Audio, Value

    plain = {"bytes": Value("binary"), "path": Value("string")}
    problem = None
    for kind in (Audio(decode=False), plain, Value("string")):
        cast = rows.cast_column(column, kind)
        try:
            next(iter(cast), None)
        except (ImportError, AttributeError, TypeError, ValueError) as e:
            problem = problem or e
        else:
            return cast
    raise MostError("source", column, f"its audio cannot be read undecoded: {problem}") from problem


def _name(value: Any) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True, kw_only=True)
class HubText(_OfHub):
    """Text of a Hugging Face dataset, a document a row. `source` is a hub name or a folder.

    Args:
        config: the dataset's configuration, where it has several.
        revision: commit or tag to take from the hub.
        text_column: guessed from its name where only one can be meant.
        licence: of the text, for the card.
        url: where it comes from, for the card.
    """

    source: Path
    config: str | None = None
    revision: str | None = None
    text_column: str | None = None
    licence: str = UNKNOWN_LICENCE
    url: str = ""
    title: ClassVar[str] = "Hugging Face text dataset"
    text_only: ClassVar[bool] = True

    def items(self, split: str) -> Iterator[Item]:
        rows = self._splits[split]
        features = rows.features or rows._resolve_features().features
        column = pick_column(features, self.text_column, TEXT_NAMES, "--text-column", str(self.source))
        if not column:
            raise MostError("--text-column", list(features), f"name the column of text; {nearest('text', features)}")
        for number, row in enumerate(rows.select_columns([column])):
            text = row[column]
            problem = None if text is None or isinstance(text, str) else (BAD_ROW, f"row {number} is not text")
            yield Item(id=f"{split}-{number:08d}", text=None if problem else text, problem=problem)
