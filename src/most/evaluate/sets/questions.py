"""Sets of questions with their answers, spoken or only written, in the layouts in which they are published.

Audio is referenced or kept as the file's bytes, never decoded here. Addresses of the layouts stand at each reader.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from most.data.corpora.base import read_jsonl, read_table
from most.errors import MostError, nearest
from most.evaluate.sets.base import SetInfo, SetSettings, read_info
from most.manifest import AudioRef, Turn

QA_FILE = "qa.jsonl"
"""In the folder of a built set: `id`, `question`, `audio`, `voice`, `answers`, perhaps `aliases` a line."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Args:
        answers: what the set gives as the answer; several where any of them is one.
        aliases: other names of the answer.
        audio: the spoken question: a file, or a file's bytes; None where it is only written.
        history: the turns before, each with its text and those of the user's perhaps with audio.
        scene: what kind of question it is, where the set has several; scores are also given by it.
        thread: words by which a response shows that it takes up what the question broke off.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    audio: AudioRef | bytes | None = None
    history: tuple[Turn, ...] = ()
    scene: str = ""
    thread: str = ""

    def __post_init__(self) -> None:
        if not self.question.strip() or not any(a.strip() for a in self.answers):
            raise MostError("question", self.id, "has no question or no answer; the set's file is damaged")


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    info: SetInfo
    questions: tuple[Question, ...]


def load_questions(settings: SetSettings, *, limit: int | None = None, spoken: bool = True) -> QuestionSet:
    """Read a set; `limit` takes the first so many, in the published order.

    Args:
        spoken: refuse a set that has no audio.

    Raises:
        MostError: an unknown kind or option, a layout that is not the published one, missing audio, no question at all.
    """
    if settings.kind not in KINDS:
        raise MostError("set.kind", settings.kind, nearest(settings.kind, KINDS))
    read, options = KINDS[settings.kind]
    for key, value in settings.options.items():
        if key not in options:
            raise MostError(f"set.options.{key}", value, nearest(key, options) if options else "takes no options")
    info, questions = read(settings)
    found = tuple(islice(questions, limit))
    if not found:
        raise MostError("set.path", settings.path, "holds no question")
    if spoken:
        _require_audio(settings, found)
    if len({q.id for q in found}) < len(found):
        raise MostError("set.path", settings.path, "names a question twice; ids must be unique")
    return QuestionSet(info=info, questions=found)


def _require_audio(settings: SetSettings, questions: Iterable[Question]) -> None:
    for q in questions:
        heard = [t.audio for t in q.history if t.role == "user"] + [q.audio]
        if None in heard:
            raise MostError(
                "set", settings.path,
                f"question {q.id} is only written; build the spoken version of the set (docs/evaluation.md) and give "
                "that (kind: built), or ask in writing (ask: text)",
            )  # fmt: skip
        for audio in heard:
            if isinstance(audio, AudioRef) and not Path(audio.path).is_file():
                raise MostError("set.path", audio.path, f"the audio of question {q.id} is not there")


Read = tuple[SetInfo, Iterator[Question]]


def _llama_questions(settings: SetSettings) -> Read:
    """https://github.com/google-research-datasets/LLAMA1-Test-Set: 300 wavs and a table that names them."""
    table = _file(settings.folder, "llama_questions_300.tsv", "the repository google-research-datasets/LLAMA1-Test-Set")
    info = SetInfo(
        name="Llama Questions", licence="none stated",
        source="https://github.com/google-research-datasets/LLAMA1-Test-Set (arXiv 2305.15255)",
    )  # fmt: skip

    def questions() -> Iterator[Question]:
        for row in _rows(table, "\t", ("Questions", "Answer", "Wav Filename")):
            wav = row["Wav Filename"].strip()
            yield Question(
                id=Path(wav).stem, question=row["Questions"].strip(), answers=(row["Answer"].strip(),),
                audio=AudioRef(path=table.parent / wav),
            )  # fmt: skip

    return info, questions()


def _trivia_qa(settings: SetSettings) -> Read:
    """https://nlp.cs.washington.edu/triviaqa: a JSON file with `Data`, an answer with its aliases each; no audio."""
    path = settings.folder
    tree = _json(path)
    if not isinstance(tree, dict) or "Data" not in tree:
        raise MostError("set.path", path, "is not a file of TriviaQA (a mapping with the key Data)")
    info = SetInfo(
        name="TriviaQA", source="https://nlp.cs.washington.edu/triviaqa (arXiv 1705.03551)",
        licence="none stated for the questions",
    )  # fmt: skip

    def questions() -> Iterator[Question]:
        for row in tree["Data"]:
            if "Answer" not in row:
                raise MostError(
                    "set.path", path, f"gives no answer to {row.get('QuestionId')}; take a file with answers"
                )
            answer = row["Answer"]
            others = [*answer.get("Aliases", ()), *answer.get("HumanAnswers", ()), *answer.get("NormalizedAliases", ())]
            yield Question(
                id=row["QuestionId"], question=row["Question"], answers=(answer["Value"],),
                aliases=_distinct(others, answer["Value"]), audio=_beside(settings, row["QuestionId"]),
            )  # fmt: skip

    return info, questions()


def _web_questions(settings: SetSettings) -> Read:
    """https://nlp.stanford.edu/software/sempre (`utterance`, `targetValue`), or as
    https://github.com/brmson/dataset-factoid-webquestions has it (`qId`, `qText`, `answers`); no audio."""
    path = settings.folder
    rows = _json(path)
    if not isinstance(rows, list):
        raise MostError("set.path", path, "is not a file of WebQuestions (a list of questions)")
    info = SetInfo(
        name="WebQuestions", source="https://nlp.stanford.edu/software/sempre (Berant et al., EMNLP 2013)",
        licence="CC BY 4.0",
    )  # fmt: skip

    def questions() -> Iterator[Question]:
        for number, row in enumerate(rows):
            if "targetValue" in row:
                name, text, answers = f"webq-{number:04d}", row["utterance"], _described(row["targetValue"])
            elif "qText" in row:
                name, text, answers = row["qId"], row["qText"], tuple(row["answers"])
            else:
                raise MostError(
                    "set.path", path, f"item {number} has neither targetValue nor qText; is it WebQuestions?"
                )
            yield Question(id=name, question=text, answers=answers, audio=_beside(settings, name))

    return info, questions()


_DESCRIPTION = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()]*))\)')


def _described(value: str) -> tuple[str, ...]:
    """The answers of `(list (description "Jaxon Bieber") (description Rome))`."""
    found = [quoted or bare for quoted, bare in _DESCRIPTION.findall(value)]
    return tuple(re.sub(r"\\(.)", r"\1", a).strip() for a in found)


def _open_audio_bench(settings: SetSettings) -> Read:
    """https://huggingface.co/datasets/baichuan-inc/OpenAudioBench, a folder of `eval_datas` (a CSV and `audios/`)."""
    folder = settings.folder
    names = {
        "llama_questions": ("Llama Questions", "Questions", "Answer", None),
        "trivia_qa": ("TriviaQA", "question", "answer_normalized_value", "answer_normalized_aliases"),
        "web_questions": ("WebQuestions", "question", "answers", None),
    }
    if folder.name not in names:
        raise MostError("set.path", folder, f"must end in one of {', '.join(names)}, as in OpenAudioBench/eval_datas")
    title, asked, answered, others = names[folder.name]
    table = _file(folder, f"{folder.name}.csv", "a folder of OpenAudioBench's eval_datas")
    info = SetInfo(
        name=title, source="https://huggingface.co/datasets/baichuan-inc/OpenAudioBench", licence="as published there"
    )

    def questions() -> Iterator[Question]:
        needed = ("audio_filename", asked, answered, *([others] if others else []))
        for row in _rows(table, ",", needed):
            split = title == "WebQuestions"
            found = row[answered].split(";") if split else [row[answered]]
            answers = tuple(a.strip() for a in found if a.strip()) or ("",)
            yield Question(
                id=Path(row["audio_filename"]).stem, question=row[asked].strip(), answers=answers,
                aliases=_distinct(row[others].split(","), answers[0]) if others else (),
                audio=AudioRef(path=folder / "audios" / row["audio_filename"]),
            )  # fmt: skip

    return info, questions()


def _built(settings: SetSettings) -> Read:
    folder = settings.folder
    info = read_info(folder)
    path = _file(folder, QA_FILE, "the folder of a built set")

    def questions() -> Iterator[Question]:
        for number, row in read_jsonl(path):
            if row is None or not {"id", "question", "answers"} <= set(row):
                raise MostError("set.path", path, f"line {number} is not a question; build the set again")
            yield Question(
                id=row["id"], question=row["question"], answers=tuple(row["answers"]),
                aliases=tuple(row.get("aliases", ())),
                audio=AudioRef(path=folder / row["audio"]) if row.get("audio") else None,
            )  # fmt: skip

    return info, questions()


def _hub(settings: SetSettings) -> Read:
    from most.evaluate.sets.question_hub import read_hub

    return read_hub(settings)


def _dialogues(settings: SetSettings) -> Read:
    from most.evaluate.sets.dialogues import read_dialogues

    return read_dialogues(settings)


def _beside(settings: SetSettings, name: str) -> AudioRef | None:
    folder = settings.options.get("audio")
    return None if folder is None else AudioRef(path=Path(folder) / f"{name}.wav")


def _distinct(names: Iterable[str], known: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n.strip() for n in names if n.strip() and n != known))


def _file(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise MostError("set.path", folder, f"holds no {name}; give {what}")
    return path


def _json(path: Path) -> Any:
    if not path.is_file():
        raise MostError("set.path", path, "no such file; give the JSON file of the set")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise MostError("set.path", path, f"is not JSON ({e}); unpack it, or fetch it again") from e


def _rows(path: Path, delimiter: str, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    for number, row in read_table(path, delimiter, quoted=delimiter == ","):
        if row is None or not set(needed) <= set(row):
            raise MostError("set.path", path, f"row {number} has not the columns {', '.join(needed)}")
        yield row


KINDS: Mapping[str, tuple[Callable[[SetSettings], Read], tuple[str, ...]]] = {
    "llama_questions": (_llama_questions, ()),
    "trivia_qa": (_trivia_qa, ("audio",)),
    "web_questions": (_web_questions, ("audio",)),
    "open_audio_bench": (_open_audio_bench, ()),
    "hub": (_hub, ("name", "config", "split", "revision", "question", "answers", "audio", "licence")),
    "built": (_built, ()),
    "dialogues": (_dialogues, ("name",)),
}
"""Layout -> its reader and the options it takes; `audio` of a written set is a folder of `<id>.wav`."""
