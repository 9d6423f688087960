"""Text to measure a language model on: documents, and multiple-choice questions in their published layouts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from most.data.corpora.hub import load_splits
from most.data.stand_ins.recipe import ASSETS, SHIPPED, TRIVIA
from most.data.stand_ins.shipped import QUESTIONS
from most.errors import MostError, nearest
from most.evaluate.sets.base import SetInfo, SetSettings
from most.manifest import json_rows, read_examples
from most.settings import build

QUESTION_PROMPT = "Question: {question}\nAnswer:"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text whose likelihood is measured."""

    id: str
    text: str

    @property
    def n_bytes(self) -> int:
        return len(self.text.encode())


@dataclass(frozen=True, kw_only=True)
class Choices:
    """A question with several answers, one of them right.

    Args:
        context: all that the model reads before an answer; answers follow behind a space.
        answer: index of the right one.
    """

    id: str
    context: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True, kw_only=True)
class PerplexityOptions:
    """What a report says of the file."""

    name: str | None = None
    source: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ChoicesOptions:
    """Where questions come from.

    Args:
        layout: `jsonl` (`question`, `choices`, `answer`), or as published: `arc`, `piqa`, `hellaswag`.
        config, split, revision: of a dataset read by name or folder through `datasets`.
        prompt: for `jsonl`, with `{question}` in it.
        name, source, licence: for `jsonl`, what a report says of the file.
    """

    layout: Literal["jsonl", "arc", "piqa", "hellaswag"] = "jsonl"
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    prompt: str = QUESTION_PROMPT
    name: str | None = None
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if "{question}" not in self.prompt:
            raise MostError("set.options.prompt", self.prompt, "must hold {question}")


def read_documents(settings: SetSettings) -> tuple[list[Document], SetInfo]:
    """JSONL with `text`, or the text documents of a manifest of examples.

    Raises:
        MostError: no such file, a line of another form, an empty text, or no document at all.
    """
    options = build(PerplexityOptions, settings.options, "set.options")
    path = _file(settings)
    first = next(iter(json_rows(path, "set")), None)
    documents = list(_of_manifest(path) if first is not None and "turns" in first[1] else _of_lines(path))
    if not documents:
        raise MostError("set.path", path, "holds no text document")
    return documents, SetInfo(
        name=options.name or path.stem, source=options.source or path.name, licence=options.licence
    )


def read_choices(settings: SetSettings) -> tuple[list[Choices], SetInfo]:
    """A file of JSON lines, a dataset by hub name or folder, or `shipped`: a few trivia questions in the package.

    Prompts are those of lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness).

    Raises:
        MostError: no such file or dataset, a field missing, or an answer that is none of the choices.
    """
    options = build(ChoicesOptions, settings.options, "set.options")
    if settings.path == SHIPPED:
        settings = replace(settings, path=str(ASSETS / TRIVIA))
        options = replace(
            options, name=f"OpenTriviaQA, {QUESTIONS} questions", source="github.com/uberspot/OpenTriviaQA",
            licence="CC BY-SA 4.0",
        )  # fmt: skip
    layout = LAYOUTS[options.layout]
    if settings.folder.is_file():
        rows = ((f"{settings.path}:{n}", row) for n, row in json_rows(settings.folder, "set"))
        if options.layout == "piqa":
            rows = _with_labels(rows, settings.folder)
    elif options.layout == "jsonl":
        raise MostError("set.path", settings.path, "no such file; a dataset by name needs options.layout")
    else:
        rows = _hub_rows(settings.path, options, layout)
    items = []
    for number, (where, row) in enumerate(rows):
        try:
            question, choices, answer = layout.read(row)
        except (KeyError, TypeError, ValueError, IndexError) as e:
            raise MostError("set", where, f"is no question of the layout {options.layout!r} ({e!r})") from e
        if len(choices) < 2 or not all(choices) or not 0 <= answer < len(choices):
            raise MostError("set", where, f"must have two choices or more and an answer among them, not {answer}")
        context = options.prompt.format(question=question) if layout.own_prompt else question
        identity = str(row.get("id") or row.get("ind") or number)
        items.append(Choices(id=identity, context=context, choices=tuple(choices), answer=answer))
    if not items:
        raise MostError("set.path", settings.path, "holds no question")
    if len({item.id for item in items}) < len(items):
        items = [Choices(**{**vars(item), "id": f"{k}-{item.id}"}) for k, item in enumerate(items)]
    name = options.name or layout.name or settings.folder.stem
    return items, SetInfo(name=name, source=options.source or layout.source or settings.path, licence=options.licence)


def _file(settings: SetSettings) -> Path:
    if not settings.folder.is_file():
        raise MostError("set.path", settings.path, "no such file; give a file of JSON lines")
    return settings.folder


def _of_lines(path: Path) -> Iterator[Document]:
    for number, row in json_rows(path, "set"):
        text = row.get("text")
        if not isinstance(text, str) or not text.strip():
            raise MostError("set", f"{path}:{number}", "has no text under 'text'; mend or remove the line")
        yield Document(id=str(number), text=text)


def _of_manifest(path: Path) -> Iterator[Document]:
    for example in read_examples(path):
        text = "\n".join(t.text for t in example.turns if t.role == "document" and t.text)
        if text.strip():
            yield Document(id=example.id, text=text)


def _hub_rows(source: str, options: ChoicesOptions, layout: _Layout) -> Iterator[tuple[str, dict[str, Any]]]:
    splits = load_splits(source, options.config or layout.config, options.revision)
    split = options.split or layout.split
    if split not in splits:
        raise MostError("set.options.split", split, nearest(split, splits))
    yield from ((f"{source} {split}, row {n}", row) for n, row in enumerate(splits[split]))


def _with_labels(rows: Iterator[tuple[str, Any]], path: Path) -> Iterator[tuple[str, Any]]:
    """PIQA's own release keeps the labels of `valid.jsonl` in `valid-labels.lst`, a line each."""
    labels = path.with_name(f"{path.stem}-labels.lst")
    if not labels.is_file():
        yield from rows
        return
    lines = labels.read_text(encoding="utf-8").split()
    found = list(rows)
    if len(lines) != len(found):
        raise MostError("set", labels, f"has {len(lines)} labels for {len(found)} questions")
    yield from ((where, {**row, "label": label}) for (where, row), label in zip(found, lines, strict=True))


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """`read` gives question or context, choices, and the index of the right one."""

    read: Callable[[dict[str, Any]], tuple[str, list[str], int]]
    name: str = ""
    source: str = ""
    config: str | None = None
    split: str = "validation"
    own_prompt: bool = False


def _jsonl(row: dict[str, Any]) -> tuple[str, list[str], int]:
    choices, answer = [str(c) for c in row["choices"]], row["answer"]
    return str(row["question"]), choices, choices.index(answer) if isinstance(answer, str) else int(answer)


def _arc(row: dict[str, Any]) -> tuple[str, list[str], int]:
    question = row["question"]
    if isinstance(question, dict):  # AI2's own files; the hub's have question and choices side by side
        texts, labels = ([c[key] for c in question["choices"]] for key in ("text", "label"))
        question = question["stem"]
    else:
        texts, labels = row["choices"]["text"], row["choices"]["label"]
    return QUESTION_PROMPT.format(question=question), list(texts), labels.index(row["answerKey"])


def _piqa(row: dict[str, Any]) -> tuple[str, list[str], int]:
    return QUESTION_PROMPT.format(question=row["goal"]), [row["sol1"], row["sol2"]], int(row["label"])


def _hellaswag(row: dict[str, Any]) -> tuple[str, list[str], int]:
    context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return _wikihow(context), [_wikihow(e) for e in row["endings"]], int(row["label"])


def _wikihow(text: str) -> str:
    """WikiHow's markup out, as all who evaluate on HellaSwag do."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


LAYOUTS: Mapping[str, _Layout] = {
    "jsonl": _Layout(read=_jsonl, own_prompt=True),
    "arc": _Layout(
        read=_arc, name="ARC-Easy", source="arXiv 1803.05457, https://huggingface.co/datasets/allenai/ai2_arc",
        config="ARC-Easy", split="test",
    ),
    "piqa": _Layout(read=_piqa, name="PIQA", source="arXiv 1911.11641, https://yonatanbisk.com/piqa"),
    "hellaswag": _Layout(
        read=_hellaswag, name="HellaSwag", source="arXiv 1905.07830, https://huggingface.co/datasets/Rowan/hellaswag"
    ),
}  # fmt: skip
