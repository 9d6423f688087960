"""A recipe's examples, each checked once before the first step: the mixture's keys, arrays, vocabulary, lengths.

Lengths are kept in the run's output, so that a run that goes on does not read everything again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from most.data.arrays import ArrayStore
from most.data.dataset import ExampleEncoder, MixtureDataset, Sourced
from most.data.mixture import Mixture, TokenMixture
from most.data.words import WORDS, WordStarts
from most.errors import MostError, nearest
from most.files import write_text
from most.manifest import TASKS, read_examples
from most.train.recipe import Arrays, Manifests, TrainRecipe

LENGTHS = "lengths.npz"
LEFT_OUT = "left_out.jsonl"
_NAMED = 5
"""Examples that an error names; all are in the file or the count."""


class Reads(Protocol):
    """What both `data` and `held_out` of a recipe say."""

    @property
    def manifests(self) -> Manifests: ...

    @property
    def arrays(self) -> Arrays: ...

    @property
    def words(self) -> Arrays: ...


@dataclass(frozen=True)
class Source:
    """One manifest, its arrays, its words, and the group it is in ("" where manifests are not grouped)."""

    group: str
    manifest: Path
    arrays: Path | None
    words: Path | None = None


def sources_of(data: Reads, field: str = "data") -> list[Source]:
    """Manifests with their arrays and words.

    Raises:
        MostError: arrays or words that do not match the manifests.
    """
    groups = data.manifests if isinstance(data.manifests, dict) else {"": data.manifests}
    grouped = isinstance(data.manifests, dict)
    arrays = _by_group(data.arrays, groups, grouped, f"{field}.arrays")
    words = _by_group(data.words, groups, grouped, f"{field}.words")
    return [
        Source(group, manifest, *beside)
        for group, manifests in groups.items()
        for manifest, *beside in zip(manifests, arrays[group], words[group], strict=True)
    ]


def _by_group(
    folders: Arrays, groups: Mapping[str, tuple[Path, ...]], grouped: bool, field: str
) -> dict[str, tuple[Path | None, ...]]:
    """A folder, or none, for each manifest of each group."""
    if isinstance(folders, dict) and not grouped:
        remedy = "are by group, the manifests are not; name one folder, or one for each manifest"
        raise MostError(field, sorted(folders), remedy)
    if isinstance(folders, tuple) and grouped:
        raise MostError(field, [str(f) for f in folders], "name one folder, or folders by group")
    by_group: dict[str, Any] = folders if isinstance(folders, dict) else dict.fromkeys(groups, folders)
    if unknown := sorted(set(by_group) - set(groups)):
        raise MostError(field, unknown[0], f"is no group; {nearest(unknown[0], groups)}")
    out: dict[str, tuple[Path | None, ...]] = {}
    for group, manifests in groups.items():
        own = by_group.get(group)
        out[group] = own if isinstance(own, tuple) else (own,) * len(manifests)
        if len(out[group]) != len(manifests):
            remedy = f"name one folder for all, or one for each of the {len(manifests)} manifests"
            raise MostError(field, [str(f) for f in out[group]], remedy)
    return out


def read_sources(
    sources: Sequence[Source], processor: Any, keys: Sequence[str], max_length: int | None
) -> dict[str, list[Sourced]]:
    """Examples by key of the mixture; without `keys` by task, or by `group/task` where manifests are grouped.

    Raises:
        MostError: a manifest that cannot be read, or a key that names no group and no task.
    """
    groups = sorted({s.group for s in sources if s.group})
    for key in keys:
        if key.partition("/")[0] not in (*groups, *TASKS):
            raise MostError(f"mixture.{key}", key, f"names no task or group; {nearest(key, [*groups, *TASKS])}")
    encoders: dict[tuple[Path, Path | None, Path | None], ExampleEncoder] = {}
    out: dict[str, list[Sourced]] = {}
    for source in sources:
        place = (source.manifest.parent, source.arrays, source.words)
        if place not in encoders:
            encoders[place] = ExampleEncoder(
                processor.builder,
                source.manifest.parent,
                frames=ArrayStore(source.arrays / "frames") if source.arrays else None,
                units=ArrayStore(source.arrays / "units") if source.arrays else None,
                stack=processor.audio_stack,
                max_length=max_length,
                words=WordStarts(source.words) if getattr(processor, "guided_speech", False) else None,
            )
        for example in read_examples(source.manifest):
            narrow = f"{source.group}/{example.task}" if source.group else example.task
            names = {source.group, narrow} | ({example.task} - set(groups))  # a group hides a task of its name
            for key in [k for k in keys if k in names] if keys else [narrow]:
                out.setdefault(key, []).append((encoders[place], example))
    return out


def build_dataset(recipe: TrainRecipe, processor: Any, *, echo: Callable[[str], Any] = print) -> MixtureDataset:
    """The recipe's examples in the order in which the run will read them, every one of them checked.

    Raises:
        MostError: a key of the mixture without examples; examples without arrays, with units outside the vocabulary,
            or too long where that is refused.
    """
    data = recipe.data
    keys = [key for key, share in data.mixture.items() if share]
    sources = sources_of(data)
    examples = read_sources(sources, processor, keys, data.max_length)
    Mixture(
        {key: len(rows) for key, rows in examples.items()}, data.mixture, recipe.seed
    )  # raises, before the long part
    lengths = _lengths(examples, recipe.output, _state(sources, processor), echo)
    examples, lengths = _fitting(examples, lengths, recipe, echo)
    counts: dict[str, Any] = lengths  # arrays serve as sequences
    if data.mixture_unit == "tokens":
        mixture: Mixture | TokenMixture = TokenMixture(counts, data.mixture, recipe.seed)
    else:
        mixture = Mixture({key: len(rows) for key, rows in examples.items()}, data.mixture, recipe.seed)
    return MixtureDataset(examples, mixture, recipe.steps * recipe.batch_size, counts)


def _lengths(
    examples: Mapping[str, Sequence[Sourced]], output: Path, state: str, echo: Callable[[str], Any]
) -> dict[str, np.ndarray]:
    """Tokens of each example, by making each sequence once, which is also what checks it."""
    path = output / LENGTHS
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["state"]) == state and all(len(kept[f"of {k}"]) == len(r) for k, r in examples.items()):
                    return {key: kept[f"of {key}"] for key in examples}
        except (OSError, ValueError, KeyError, BadZipFile):
            pass  # torn by a kill: made again
    lengths = {key: np.zeros(len(rows), np.int32) for key, rows in examples.items()}
    wrong: list[str] = []
    total = sum(map(len, examples.values()))
    with tqdm(total=total, desc="check examples", disable=total < 20_000) as bar:
        for key, rows in examples.items():
            for n, (encode, example) in enumerate(rows):
                try:
                    lengths[key][n] = len(encode.encode(example))
                except MostError as e:
                    wrong.append(f"{example.id} ({e})")
                bar.update()
    if wrong:
        remedy = f"{len(wrong)} of {total} examples cannot be used, such as {'; '.join(wrong[:_NAMED])}"
        raise MostError("data", len(wrong), remedy)
    if output.is_dir():
        part = path.with_name(path.name + ".part")
        with part.open("wb") as f:
            arrays: dict[str, Any] = {f"of {key}": rows for key, rows in lengths.items()}
            np.savez(f, state=np.array(state), **arrays)
        part.replace(path)
    return lengths


def _state(sources: Sequence[Source], processor: Any) -> str:
    """Changes whenever a length might."""
    digest = hashlib.sha256()
    for source in sources:
        stat = source.manifest.stat()
        digest.update(f"{source.group} {source.manifest} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        for kind in ("frames", "units") if source.arrays else ():
            for path in sorted((source.arrays / kind).glob("part-*.json")):  # type: ignore[operator]
                digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
        if source.words is not None and (words := source.words / WORDS).is_file():
            digest.update(f"{words} {words.stat().st_size} {words.stat().st_mtime_ns}\n".encode())
    tokenizer = processor.tokenizer
    vocabulary = (
        len(tokenizer),
        processor.text_size,
        processor.n_units,
        processor.audio_stack,
        tokenizer.chat_template,
        getattr(processor, "guided_speech", False),
    )
    digest.update(repr(vocabulary).encode())
    return digest.hexdigest()


def _fitting(
    examples: dict[str, list[Sourced]], lengths: dict[str, np.ndarray], recipe: TrainRecipe, echo: Callable[[str], Any]
) -> tuple[dict[str, list[Sourced]], dict[str, np.ndarray]]:
    """The examples that are not too long."""
    limit = recipe.data.max_length
    long = [
        {"id": example.id, "key": key, "tokens": int(lengths[key][n])}
        for key, rows in examples.items()
        for n, (_, example) in enumerate(rows)
        if lengths[key][n] > limit
    ]
    if not long:
        return examples, lengths
    worst = max(long, key=lambda row: row["tokens"])
    said = (
        f"{len(long)} examples are longer than max_length {limit}, {worst['id']} the longest ({worst['tokens']} tokens)"
    )
    if recipe.data.too_long == "refuse":
        names = ", ".join(row["id"] for row in long[:_NAMED])
        remedy = f"{said}; raise it (max_length is {limit}) or set data.too_long: leave_out. First: {names}"
        raise MostError("data.max_length", limit, remedy)
    kept = {key: lengths[key] <= limit for key in examples}
    examples = {key: [row for row, keep in zip(rows, kept[key], strict=True) if keep] for key, rows in examples.items()}
    if recipe.output.is_dir():
        write_text(recipe.output / LEFT_OUT, "".join(json.dumps(row) + "\n" for row in long))
    echo(f"  leaves out: {said}; all are listed in {recipe.output / LEFT_OUT}")
    return examples, {key: lengths[key][kept[key]] for key in lengths}
