"""Spoken questions as Hugging Face datasets, by name or from a folder of parquet files.

Known to have these columns: fixie-ai/llama-questions (`question`, `answer`, `audio`), TwinkStart/llama-questions
(`Questions`, `Answer`), fixie-ai/spoken-web-questions (`question`, `answers`), fixie-ai/trivia_qa-audio (`question`,
`question_audio`, `answer` with `value` and `aliases`), TwinkStart/speech-triavia-qa and speech-web-questions. Others
name theirs by `question`, `answers` and `audio`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from most.data.corpora.base import pick_column
from most.data.corpora.hub import load_splits
from most.errors import MostError, nearest
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.questions import Question
from most.manifest import AudioRef

SPLITS = ("test", "validation", "train")
"""Which split is taken where none is named: the first of these that is there."""
PUBLISHED = {
    "llama": "Llama Questions", "triviaqa": "TriviaQA", "triaviaqa": "TriviaQA", "webquestions": "WebQuestions"
}  # fmt: skip


def read_hub(settings: SetSettings) -> tuple[SetInfo, Iterator[Question]]:
    """The set's description and its questions; ids are row numbers unless there is a column `id`.

    Raises:
        MostError: `datasets` is missing or cannot read the source, no such split, or columns that cannot be told.
    """
    options = settings.options
    splits = load_splits(settings.path, options.get("config"), options.get("revision"))
    split = options.get("split") or next((s for s in SPLITS if s in splits), next(iter(splits), ""))
    if split not in splits:
        raise MostError("set.options.split", split, nearest(str(split), splits))
    known = "".join(c for c in settings.path.lower() if c.isalnum())
    title = next((t for key, t in PUBLISHED.items() if key in known), settings.path)
    info = SetInfo(
        name=options.get("name", title), source=f"{settings.path}, split {split}", licence=options.get("licence", "")
    )
    return info, _questions(splits[split], settings, split)


def _questions(rows: Any, settings: SetSettings, split: str) -> Iterator[Question]:
    import datasets

    features = rows.features or rows._resolve_features().features
    options, where = settings.options, settings.path
    declared = [name for name, kind in features.items() if isinstance(kind, datasets.Audio)]
    asked = pick_column(features, options.get("question"), ("question", "questions"), "set.options.question", where)
    answered = pick_column(features, options.get("answers"), ("answer", "answers"), "set.options.answers", where)
    audio = options.get("audio") or (declared[0] if len(declared) == 1 else None)
    heard = pick_column(features, audio, ("audio", "question_audio"), "set.options.audio", where)
    for option, column in (("question", asked), ("answers", answered)):
        if not column:
            raise MostError(f"set.options.{option}", list(features), f"name the column of {where} that holds it")
    if heard in declared:
        rows = rows.cast_column(heard, datasets.Audio(decode=False))
    for number, row in enumerate(rows):
        answers, aliases = _answers(row[answered])
        yield Question(
            id=str(row["id"]) if "id" in features else f"{split}-{number:05d}",
            question=str(row[asked]).strip(), answers=answers, aliases=aliases,
            audio=_audio(row[heard], Path(where)) if heard else None,
        )  # fmt: skip


def _answers(value: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Answers and aliases of a string, a list of strings, or a mapping as TriviaQA's."""
    if isinstance(value, Mapping):
        first = str(value.get("value", ""))
        others = [*(value.get("aliases") or ()), *(value.get("normalized_aliases") or ())]
        return (first,), tuple(dict.fromkeys(str(a) for a in others if a and a != first))
    if isinstance(value, list | tuple):
        return tuple(str(a) for a in value), ()
    return ((str(value).strip(),) if value is not None else ()), ()


def _audio(value: Any, folder: Path) -> AudioRef | bytes | None:
    if isinstance(value, Mapping):
        if value.get("bytes"):
            return value["bytes"]
        value = value.get("path")
    if not value:
        return None
    inside = folder / str(value)
    return AudioRef(path=inside if inside.is_file() else Path(str(value)))
