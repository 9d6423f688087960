"""`most data align`: where each word of speech begins, by the CTC of a model that has learned to hear.

The text is forced through the model's CTC (`most.model.losses.ctc_loss`): of all paths through the positions of a clip
that spell it, the likeliest says at which positions each token is heard. A word begins midway between the last token
before it and its own first one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from most.data.arrays import ArrayStore, audio_key
from most.data.prompts import ASR_PROMPTS
from most.data.words import WORDS, read_starts, said_text
from most.errors import MostError
from most.files import append_lines
from most.manifest import AudioRef, read_examples
from most.model.load import load_most
from most.model.losses import ctc_scores
from most.sequence import Message, Wave

_WORD = re.compile(r"\S+")


def align_manifests(
    manifests: Sequence[Path],
    arrays: Path,
    out: Path,
    model: str | Path,
    *,
    batch_size: int = 16,
    echo: Callable[[str], Any] = print,
    progress: bool = True,
) -> dict[str, int]:
    """Write where the words of all that manifests say begin into `<out>/words.jsonl`; what is there already stays.

    Args:
        arrays: what `most data encode` wrote for these manifests.
        model: folder or hub id of a MoST that was trained with a CTC term.

    Returns:
        How many audios were `aligned`, were `kept`, and were `spread`: their text does not fit through the positions of
        the clip, so its words are spread over it evenly by their letters.

    Raises:
        MostError: a model without CTC, arrays or texts that are missing, or audio that cannot be heard.
    """
    hearing, processor = load_most(model)
    if not hearing.config.ctc_loss_weight > 0:
        raise MostError("model", model, "was not trained with a CTC term (ctc_loss_weight), so it aligns nothing")
    path, units = out / WORDS, ArrayStore(arrays / "units")
    out.mkdir(parents=True, exist_ok=True)
    known = read_starts(path) if path.is_file() else {}
    said = dict(_said(manifests))
    todo = [(key, *what) for key, what in said.items() if key not in known]
    echo(f"align   {len(todo)} of {len(said)} audios, by {model}; writes {path}")
    n_spread = 0
    with tqdm(total=len(todo), desc="align", unit="audio", disable=not progress) as bar:
        rows = iter(todo)
        while batch := list(islice(rows, batch_size)):
            found = _aligned(hearing.eval(), processor, units, batch)
            lines = [{"audio": key, "starts": starts} for (key, *_), (starts, _) in zip(batch, found, strict=True)]
            if not append_lines(path, lines):
                raise MostError("out", path, "the disk is full; make room and run the same command: it goes on")
            n_spread += sum(spread for _, spread in found)
            bar.update(len(batch))
    if n_spread:
        echo(f"align   {n_spread} have more letters than the clip has room for: their words are spread evenly")
    return {"aligned": len(todo), "kept": len(said) - len(todo), "spread": n_spread}


def _said(manifests: Iterable[Path]) -> Iterator[tuple[str, tuple[AudioRef, str]]]:
    for manifest in manifests:
        for example in read_examples(manifest):
            for turn in example.turns:
                if turn.role == "assistant" and turn.audio is not None:
                    yield audio_key(turn.audio, manifest.parent), (turn.audio, said_text(turn, example))


@torch.inference_mode()
def _aligned(
    model: Any, processor: Any, units: ArrayStore, batch: Sequence[tuple[str, AudioRef, str]]
) -> list[tuple[list[int], bool]]:
    """Starts of each, and whether they are spread."""
    vocab, rows = processor.vocab, []
    for _, ref, _ in batch:
        wav = processor.read(ref)
        wave = Wave(processor.num_positions(len(wav)), wav)
        rows.append(processor.builder.prompt([Message("user", (wave, ASR_PROMPTS[0]))], "text"))
    logits = model(**processor.collate(rows).to(model.device)).logits.float().cpu()
    out = []
    for (key, _, text), row, own in zip(batch, rows, logits, strict=True):
        scores = ctc_scores(own[-len(row) :][torch.from_numpy(row.ids) == vocab.wave], vocab)
        out.append(word_starts(scores.numpy(), text, processor.tokenizer, units.length(key)))
    return out


def word_starts(scores: np.ndarray, text: str, tokenizer: Any, n_units: int) -> tuple[list[int], bool]:
    """Units before each word of a text.

    Args:
        scores: (T, V + 1) log-probabilities of CTC, the blank last.
        n_units: that the same T positions are as units.

    Returns:
        The starts, and whether they had to be spread, for want of positions.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    spans = [m.span() for m in _WORD.finditer(text)]
    word_of = [next(k for k, (_, b) in enumerate(spans) if end <= b) for _, end in encoded["offset_mapping"]]
    places = forced(scores, encoded["input_ids"])
    if places is None:
        return [round(a / len(text) * n_units) for a, _ in spans], True
    starts = [0]
    for k in range(1, len(spans)):
        before = max(p for p, w in zip(places, word_of, strict=True) if w < k)
        first = min((p for p, w in zip(places, word_of, strict=True) if w == k), default=before)
        starts.append(max(starts[-1], min(n_units, round((before + first + 1) / 2 / len(scores) * n_units))))
    return starts, False


def forced(scores: np.ndarray, tokens: Sequence[int]) -> list[int] | None:
    """The position of each token on the likeliest path that spells them all; None where there is no such path.

    Of a token that stays for several positions it is the one where it is likeliest.

    Args:
        scores: (T, V + 1) log-probabilities of CTC, the blank last.
    """
    blank = scores.shape[1] - 1
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    may_skip = np.zeros(len(states), dtype=bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    own = scores[:, states].astype(np.float64)
    best = np.full(len(states), -np.inf)
    best[:2] = own[0, :2]
    came = np.zeros(own.shape, dtype=np.int8)
    for t in range(1, len(own)):
        one = np.concatenate([[-np.inf], best[:-1]])
        two = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], best[:-2]]), -np.inf)
        from_ = np.stack([best, one, two])
        came[t] = from_.argmax(axis=0)
        best = from_.max(axis=0) + own[t]
    state = len(states) - 1 - int(best[-1] < best[-2]) if len(states) > 1 else 0
    if not np.isfinite(best[state]):
        return None
    path = [state]
    for t in range(len(own) - 1, 0, -1):
        state -= int(came[t, state])
        path.append(state)
    path.reverse()
    places: list[int] = []
    for k in range(len(tokens)):
        there = [t for t, s in enumerate(path) if s == 2 * k + 1]
        places.append(max(there, key=lambda t: own[t, 2 * k + 1]))
    return places
