"""What a step will roughly make and cost, said before it is made: from its settings and from what lies there or will.

Rates are work on one core of a recent x86 server, measured with the shipped parts; they are for choosing between a
coffee and a night, not for planning a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from most.data.build import settings as of
from most.data.build.recipe import Step
from most.data.dialogue.sources import ASSETS, SHIPPED
from most.data.dialogue.voice.recipe import SpeakRecipe, VoiceRecipe
from most.data.dialogue.voice.size import WORDS_PER_SECOND
from most.data.facts.settings import FactsStep, MannersStep
from most.data.facts.table import chosen
from most.data.pseudo_label.recipe import PseudoLabelRecipe
from most.data.pseudo_label.source import read_recordings, roughly
from most.data.read_aloud.recipe import ReadAloudRecipe
from most.data.stand_ins.recipe import SBlimpRecipe, SpokenQaRecipe, StandInRecipe, StoryClozeRecipe, SWuggyRecipe

VOICE_SECONDS = {"flite": 0.02, "piper": 0.2, "kokoro": 0.6, "parler": 20.0}
"""Work a second of speech; an endpoint's work is done elsewhere."""
JUDGE_SECONDS = {"faster-whisper": 0.35, "pocketsphinx-digits": 0.1}
ENCODE_SECONDS = 0.03
TEXT_SECONDS = 0.002
"""Work a sentence or turn: its spoken form, comparisons, writing."""
_BYTES_PER_WORD = {".txt": 5.7, ".jsonl": 8.0}
_DIGITS_SECONDS = 2.6
_WORDS_A_QUESTION = 14.0
"""Of the closed facts, with its answer."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much there is or will be, as far as it is known, and the work it takes in seconds of one core."""

    items: float | None = None
    words: float | None = None
    hours: float | None = None
    work: float | None = None

    def __str__(self) -> str:
        parts = [] if self.items is None else [f"{self.items:.0f} items"]
        parts += [] if not self.hours else [f"{self.hours:.2f} h of speech"]
        parts += ["time not known"] if self.work is None else [_duration(self.work)]
        return "about " + ", ".join(parts) if self.items is not None or self.work is not None else "size not known"

    def part(self, share: float, limit: float | None = None) -> Amount:
        """A share of it, of at most `limit` items; costs nothing yet."""
        items = None if self.items is None else self.items * share
        kept = share if items is None or limit is None or items <= limit else share * limit / items
        return Amount(**{k: None if v is None else v * kept for k, v in vars(self).items() if k != "work"})


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, seconds):.0f} s of work"
    return f"{seconds / 60:.0f} min of work" if seconds < 5400 else f"{seconds / 3600:.1f} h of work"


class Estimates:
    """Amounts of the steps of a build, each estimated from those before."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.of_step: dict[str, dict[str, Amount]] = {}

    def of_path(self, path: str | Path) -> Amount:
        """What lies at a path or a step will have put there."""
        path = Path(path)
        if path.is_relative_to(self.root) and (parts := path.relative_to(self.root).parts):
            files = self.of_step.get(parts[0], {})
            name = parts[1].removesuffix(".jsonl") if len(parts) > 1 else ""
            return files.get(name, files.get("", Amount()))
        return _count(path)

    def see(self, step: Step) -> Amount:
        """Estimate a step; it is remembered for those that read it."""
        files = _ESTIMATES.get(type(step.settings), _unknown)(step.settings, self.of_path)
        self.of_step[step.name] = files
        return files[""]


def _count(path: Path) -> Amount:
    files = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
    items, words = 0, 0.0
    for file in files:
        if file.suffix in _BYTES_PER_WORD:
            with file.open("rb") as f:
                items += sum(block.count(b"\n") for block in iter(lambda: f.read(1 << 20), b""))
            words += file.stat().st_size / _BYTES_PER_WORD[file.suffix]
    return Amount(items=items, words=words) if items else Amount()


Of = Callable[[str | Path], Amount]


def _sum(amounts: list[Amount]) -> Amount:
    def total(name: str) -> float | None:
        values = [getattr(a, name) for a in amounts]
        return None if None in values else sum(values)

    return Amount(items=total("items"), words=total("words"), hours=total("hours"))


def _texts(amount: Amount) -> dict[str, Amount]:
    return {"": replace(amount, work=None if amount.items is None else amount.items * TEXT_SECONDS)}


def _sentences(s: of.SentencesStep, at: Of) -> dict[str, Amount]:
    read = _sum([at(p) for p in s.sources])
    if read.items and read.words and read.words > s.max_words * read.items:  # dialogues, which are cut into sentences
        read = replace(read, items=read.words / (0.6 * s.max_words))
    files = {"train": read.part(1 - s.test_share, s.limit), "test": read.part(s.test_share, s.test_limit)}
    whole = _sum(list(files.values()))
    return {"": replace(whole, work=None if read.items is None else read.items * TEXT_SECONDS), **files}


def _hold_out(s: of.HoldOutStep, at: Of) -> dict[str, Amount]:
    read = at(s.dialogues)
    files = {"train": read.part(1 - s.test_share), "test": read.part(s.test_share)}
    return _texts(read) | files


def _collect(s: of.CollectStep, at: Of) -> dict[str, Amount]:
    source = ASSETS / f"{SHIPPED}.jsonl" if s.source == SHIPPED else Path(s.source)
    return _texts(at(source).part(1, s.limit))


def _dialogues(s: Any, at: Of) -> dict[str, Amount]:
    return _texts(at(s.dialogues))


def _voices(s: VoiceRecipe, read: Amount) -> dict[str, Amount]:
    read = read.part(1, s.limit)
    if read.words is None:
        return {"": read}
    speech = read.words / WORDS_PER_SECOND
    weights = [(v.weight * max(1, len(v.names)), VOICE_SECONDS.get(v.kind, 0.0)) for v in s.voices]
    voice = sum(w * cost for w, cost in weights) / sum(w for w, _ in weights)
    work = speech * (voice + JUDGE_SECONDS.get(s.gate.judge, 0.0))
    return {"": replace(read, hours=speech / 3600, work=work)}


def _read_aloud(s: ReadAloudRecipe, at: Of) -> dict[str, Amount]:
    return _voices(s, _sum([at(p) for p in s.sentences]))


def _pseudo_label(s: PseudoLabelRecipe, at: Of) -> dict[str, Amount]:
    read = at(s.source).part(1, s.limit)
    if read.hours is None and s.source.exists():
        recordings = read_recordings(s.source, limit=s.limit)
        seconds, mean = roughly(recordings)
        items = len(recordings) * max(1.0, mean / (0.75 * s.max_seconds) if mean > s.max_seconds else 1.0)
        read = Amount(items=items, words=seconds * WORDS_PER_SECOND, hours=seconds / 3600)
    rates = [JUDGE_SECONDS.get(j.name) for j in s.judges]
    known = [r for r in rates if r is not None]
    work = None if read.hours is None or len(known) < len(rates) else read.hours * 3600 * sum(known)
    return {"": replace(read, work=work)}


def _speak(s: SpeakRecipe, at: Of) -> dict[str, Amount]:
    return _voices(s, at(s.dialogues).part(1 if s.assistant == "speech" else 0.5))


def _stand_in(s: StandInRecipe, at: Of) -> dict[str, Amount]:
    items = s.limit or at(s.source).items
    if items is None:
        return {"": Amount()}
    # With every voice, each item is said by all that are named; a group without names is counted as one.
    times = sum(max(1, len(v.names)) for v in s.voices) if s.every_voice else 1
    amount = _voices(replace(s, limit=None), Amount(items=items, words=items * s.words_an_item))[""]
    return {"": Amount(**{k: None if v is None else v * times for k, v in vars(amount).items()})}


def _encode(s: of.EncodeStep | of.UnitsStep | of.AlignStep, at: Of) -> dict[str, Amount]:
    read = _sum([at(p) for p in s.manifests])
    return {"": replace(read, work=None if read.hours is None else read.hours * 3600 * ENCODE_SECONDS)}


def _digits(s: of.DigitsStep, at: Of) -> dict[str, Amount]:
    n = s.n_train + s.n_tts + 3 * s.n_test
    hours = n * _DIGITS_SECONDS / 3600
    return {"": Amount(items=n, words=4.5 * n, hours=hours, work=0.003 * n)}


def _facts(s: FactsStep, at: Of) -> dict[str, Amount]:
    facts = {r.name: len(r.facts) for r in chosen(s.relations)}
    asked, tested = (
        sum(n * per(name) for name, n in facts.items()) for per in (s.wordings_for, lambda _: s.test_wordings)
    )
    train = Amount(items=asked / (1 + 1.1 * s.multi_turn), words=_WORDS_A_QUESTION * asked).part(1, s.limit)
    test = Amount(items=tested, words=_WORDS_A_QUESTION / 2 * tested).part(1, s.test_limit)
    return _texts(_sum([train, test])) | {"train": train, "test": test}


def _manners(s: MannersStep, at: Of) -> dict[str, Amount]:
    parts = {
        "train": Amount(items=s.limit, words=30.0 * s.limit),
        "test": Amount(items=s.test_limit, words=30.0 * s.test_limit),
    }
    return _texts(_sum(list(parts.values()))) | parts


def _unknown(s: Any, at: Of) -> dict[str, Amount]:
    return {"": Amount()}


_ESTIMATES: dict[type, Callable[[Any, Of], dict[str, Amount]]] = {
    of.SentencesStep: _sentences, of.HoldOutStep: _hold_out, of.CollectStep: _collect, of.InterruptStep: _dialogues,
    of.SpeakableStep: _dialogues, of.BalanceStep: _dialogues, of.BiasStep: _dialogues,
    of.TextDialoguesStep: _dialogues, ReadAloudRecipe: _read_aloud, PseudoLabelRecipe: _pseudo_label,
    SpeakRecipe: _speak, of.EncodeStep: _encode, of.UnitsStep: _encode, of.AlignStep: _encode, of.DigitsStep: _digits,
    SBlimpRecipe: _stand_in, SWuggyRecipe: _stand_in, StoryClozeRecipe: _stand_in, SpokenQaRecipe: _stand_in,
    FactsStep: _facts, MannersStep: _manners,
}  # fmt: skip
