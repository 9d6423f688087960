"""Examples of a manifest as training sequences, in the order of a mixture, and batches of them.

Audio comes as arrays made beforehand (`most data encode`): encoder frames for what is heard, units for what is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from most.data.arrays import ArrayStore, audio_key
from most.data.mixture import Mixture, TokenMixture
from most.data.packing import pack
from most.data.words import WordStarts
from most.errors import MostError
from most.manifest import Example, Turn
from most.sequence import IGNORE, Encoded, Message, SequenceBuilder, Units, Wave


@dataclass(frozen=True)
class Item:
    """One training sequence with the frames of its waves, each (F, H) float16 or float32.

    `transcribed`: what is learned is the transcript of its one clip.
    """

    id: str
    task: str
    encoded: Encoded
    frames: tuple[np.ndarray, ...]
    transcribed: bool = False


class ExampleEncoder:
    """Turns examples into sequences.

    Args:
        folder: the folder that the arrays' keys are relative to (the manifest's).
        frames: encoder frames of what is heard; None when no example holds any.
        units: unit ids of what is said; None when no example holds any.
        stack: encoder frames per position, as in `MostConfig.audio_stack`.
        max_length: longer sequences are refused; None takes any.
        words: where the words of what is said begin, of guided speech; None where speech is not guided.
    """

    def __init__(
        self,
        builder: SequenceBuilder,
        folder: Path,
        *,
        frames: ArrayStore | None,
        units: ArrayStore | None,
        stack: int,
        max_length: int | None,
        words: WordStarts | None = None,
    ) -> None:
        self.builder, self.folder, self.words = builder, folder, words
        self.frames, self.units = frames, units
        self.stack, self.max_length = stack, max_length

    def __call__(self, example: Example) -> Item:
        """Raises MostError when arrays are missing or the sequence is longer than `max_length`."""
        encoded = self.encode(example)
        if self.max_length is not None and len(encoded) > self.max_length:
            raise MostError(
                "example",
                example.id,
                f"is {len(encoded)} tokens long, max_length is {self.max_length}; raise it or leave it out",
            )
        frames = tuple(self.frames[str(w.ref)] for w in encoded.waves) if self.frames is not None else ()
        return Item(example.id, example.task, encoded, frames, transcribed=example.task == "asr")

    def encode(self, example: Example) -> Encoded:
        """The sequence alone, of any length, without the frames of what is heard."""
        messages = [Message(t.role, self._parts(t, example)) for t in example.turns]
        if messages[0].role == "document":
            return self.builder.document(*(p for m in messages for p in m.parts))
        return self.builder.dialogue(messages)

    def _parts(self, turn: Turn, example: Example) -> tuple[str | Wave | Units, ...]:
        parts: list[str | Wave | Units] = []
        if turn.audio is not None:
            key = audio_key(turn.audio, self.folder)
            heard = turn.role in ("user", "system")
            store = self.frames if heard else self.units
            if store is None:
                kind = "frames" if heard else "units"
                raise MostError(
                    "example", example.id, f"needs {kind}; run `most data encode`, name its folder as arrays"
                )
            parts.append(
                Wave(-(-store.length(key) // self.stack), key)
                if heard
                else Units(store[key], () if self.words is None else self.words.of(key, turn, example))
            )
        if turn.text is not None:
            # What is said is written first; what is heard comes before the instruction.
            parts.insert(0 if turn.role == "assistant" else len(parts), turn.text)
        return tuple(parts)


Sourced = tuple[ExampleEncoder, Example]
"""An example and what knows its manifest's folder and arrays."""


class MixtureDataset(Dataset[Item]):
    """The i-th item of a run: map-style, so any sampler, worker or resumed run finds it by index alone.

    Args:
        examples: by key of the mixture, which becomes the items' task.
        length: items of the run.
        lengths: tokens of each example, where they are known.
    """

    def __init__(
        self,
        examples: Mapping[str, Sequence[Sourced]],
        mixture: Mixture | TokenMixture,
        length: int,
        lengths: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.examples, self.mixture, self.length, self.lengths = examples, mixture, length, lengths

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Item:
        task, n = self.mixture[i]
        encode, example = self.examples[task][n]
        return replace(encode(example), task=task)

    def n_tokens(self, i: int) -> int:
        """Length of the i-th item."""
        task, n = self.mixture[i]
        return int(self.lengths[task][n]) if self.lengths is not None else len(self[i].encoded)


class StepOrder(Sampler[int]):
    """The dataset's own order, except that the examples of one optimizer step go from short to long.

    Micro-batches then hold examples of like length and little padding; the step's gradient is the same sum.

    Args:
        step_size: examples per optimizer step (over all micro-batches and ranks).
        passed: steps that a resumed run's loader drops: they keep their number of indices, and cost no sorting.
    """

    def __init__(self, dataset: MixtureDataset, step_size: int, passed: int = 0) -> None:
        self.dataset, self.step_size, self.passed = dataset, step_size, passed

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self.dataset), self.step_size):
            window = range(start, min(start + self.step_size, len(self.dataset)))
            if start < self.passed * self.step_size:
                yield from window
            else:
                yield from sorted(window, key=lambda i: (self.dataset.n_tokens(i), i))


@dataclass(frozen=True)
class Collator:
    """Lays items out as a batch the model takes.

    Args:
        pad_id: what fills the right of a row.
        packing: several items may share a row (`most.data.packing`); otherwise each has its own.
        named: also say which example is where, for training's statistics: `ids` and `tasks` of the N items, and
            `sequence_ids` (B, T), -1 where padded, and `transcribed`, the same but -1 also where an item's labels are
            not the transcript of its clip. No model takes these but the last.

    Returns from a call: `input_ids`, `labels` (B, T); `attention_mask` (B, T), or, packed, `position_ids` and
    `token_mask` (B, T); with speech heard `audio_features` (N, F, H) float32 and `audio_feature_lengths` (N,), in the
    order of their placeholders.
    """

    pad_id: int
    packing: bool = False
    named: bool = False

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        lengths = [len(i.encoded) for i in items]
        rows = pack(lengths) if self.packing else [[i] for i in range(len(items))]
        shape = (len(rows), max(sum(lengths[i] for i in row) for row in rows))
        ids = torch.full(shape, self.pad_id, dtype=torch.long)
        labels = torch.full(shape, IGNORE, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        positions = torch.zeros(shape, dtype=torch.long)
        sequences = torch.full(shape, -1, dtype=torch.long)
        for r, row in enumerate(rows):
            start = 0
            for i in row:
                stop = start + lengths[i]
                ids[r, start:stop] = torch.from_numpy(items[i].encoded.ids)
                # Nothing predicts an item's first token; in a shared row the item before it must not.
                labels[r, start + 1 : stop] = torch.from_numpy(items[i].encoded.labels[1:])
                mask[r, start:stop] = 1
                sequences[r, start:stop] = i
                positions[r, start:stop] = torch.arange(lengths[i])
                start = stop
            positions[r, start:] = torch.arange(shape[1] - start)
        batch: dict[str, Any] = {"input_ids": ids, "labels": labels}
        batch |= {"position_ids": positions, "token_mask": mask} if self.packing else {"attention_mask": mask}
        if self.named:
            batch |= {"ids": [i.id for i in items], "tasks": [i.task for i in items], "sequence_ids": sequences}
            heard = torch.tensor([i.transcribed for i in items])
            batch["transcribed"] = torch.where((sequences >= 0) & heard[sequences], sequences, -1)
        frames = [f for row in rows for i in row for f in items[i].frames]
        if frames:
            counts = [len(f) for f in frames]
            batch["audio_features"] = torch.zeros(len(frames), max(counts), frames[0].shape[1])
            for i, f in enumerate(frames):
                batch["audio_features"][i, : len(f)] = torch.from_numpy(f.astype(np.float32))
            batch["audio_feature_lengths"] = torch.tensor(counts)
        return batch
