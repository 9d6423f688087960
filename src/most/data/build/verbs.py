"""The verbs that a step of a build may have: the settings each takes, what it writes, and the function that does it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from most.data.build import settings as of
from most.data.dialogue.voice.recipe import SpeakRecipe
from most.data.facts.settings import FactsStep, MannersStep
from most.data.pseudo_label.recipe import PseudoLabelRecipe
from most.data.read_aloud.recipe import ReadAloudRecipe
from most.data.stand_ins.recipe import SBlimpRecipe, SpokenQaRecipe, StoryClozeRecipe, SWuggyRecipe

Echo = Callable[[str], Any]
DIALOGUES = "dialogues.jsonl"


@dataclass(frozen=True, kw_only=True)
class Verb:
    """What a step does.

    Args:
        settings: the kind its settings are read into.
        run: does it, into a folder; called again after an interruption it goes on.
        writes: what it writes, in words.
        writes_output: the settings themselves say where to write.
    """

    settings: type
    run: Callable[[Any, Path, Echo, bool], None]
    writes: str
    writes_output: bool = False


def _prepare(s: of.PrepareStep, out: Path, echo: Echo, progress: bool) -> None:
    if s.corpus == "release":
        from most.data.corpora.release import prepare_release

        prepare_release(Path(s.source), out, max_rejected=s.max_rejected, **s.options)
        return
    from most.data.corpora.prepare import prepare

    prepare(
        s.corpus, s.source, out, options=s.options, splits=s.splits, tasks=s.tasks, limits=s.limits,
        max_rejected=s.max_rejected, workers=s.workers, echo=echo, progress=progress,
    )  # fmt: skip


def _digits(s: of.DigitsStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.digits import build_digits

    build_digits(out, **{f.name: getattr(s, f.name) for f in dataclasses.fields(s)})


def _sentences(s: of.SentencesStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.build.held_out import write_sentences

    write_sentences(
        s.sources, out, min_words=s.min_words, max_words=s.max_words, test_share=s.test_share, limit=s.limit,
        test_limit=s.test_limit,
    )  # fmt: skip


def _hold_out(s: of.HoldOutStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.build.held_out import split_dialogues

    split_dialogues(s.dialogues, out, s.test_share)


def _read_aloud(s: ReadAloudRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.read_aloud.run import read_aloud

    read_aloud(s, echo=echo, progress=progress)


def _pseudo_label(s: PseudoLabelRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.pseudo_label.run import pseudo_label

    pseudo_label(s, echo=echo, progress=progress)


def _collect(s: of.CollectStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.dialogue.sources import collect, open_source

    rows = open_source(s.source, config=s.config, split=s.split, licence=s.licence, limit=s.limit)
    collect(rows, out / DIALOGUES, s.limits)


def _interrupt(s: of.InterruptStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.dialogue.interruptions.base import make_writer
    from most.data.dialogue.interruptions.run import interrupt_file

    interrupt_file(s.dialogues, out / DIALOGUES, make_writer(s.writer, **s.settings), seed=s.seed)


def _speakable(s: of.SpeakableStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.dialogue.speakable import speak_file

    speak_file(s.dialogues, out / DIALOGUES, max_words=s.max_words, locale=s.locale)


def _speak(s: SpeakRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.dialogue.voice.pipeline import speak

    speak(s, echo=echo, progress=progress)


def _balance(s: of.BalanceStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.dialogue.balance import balance_file

    out.mkdir(parents=True, exist_ok=True)
    for line in balance_file(s.dialogues, out / DIALOGUES, s).short:
        echo(f"not reached: {line}")


def _bias(s: of.BiasStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.dialogue.bias_page import write_bias_report

    out.mkdir(parents=True, exist_ok=True)
    write_bias_report(s.dialogues, out / "bias.html")


def _text_dialogues(s: of.TextDialoguesStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.build.text_dialogues import write_text_dialogues

    write_text_dialogues(s.dialogues, out / "train.jsonl", s.tasks, spoken=s.spoken)


def _encode(s: of.EncodeStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.encode import encode_manifests
    from most.speech.codec import Codec, default_codec_dir

    codec = Codec.load(s.codec or default_codec_dir())
    encode_manifests(s.manifests, out, codec, layer=s.layer, workers=s.workers, echo=echo, progress=progress)


def _align(s: of.AlignStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.align import align_manifests

    align_manifests(s.manifests, s.arrays, out, s.model, echo=echo, progress=progress)


def _units(s: of.UnitsStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.encode import encode_units
    from most.data.units.run import Engine
    from most.speech.codec import Codec, default_codec_dir

    engine = Engine(
        workers=s.workers, threads=s.threads, kind=s.engine, max_rejected=s.max_rejected, progress=progress
    )  # fmt: skip
    codec = Codec.load(s.codec or default_codec_dir())
    encode_units(s.manifests, out, codec, engine, shard_size=s.shard_size, max_seconds=s.max_seconds, echo=echo)


def _sblimp(s: SBlimpRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.stand_ins.blimp import sblimp

    sblimp(s, echo=echo, progress=progress)


def _swuggy(s: SWuggyRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.stand_ins.swuggy import swuggy

    swuggy(s, echo=echo, progress=progress)


def _story_cloze(s: StoryClozeRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.stand_ins.stories import story_cloze

    story_cloze(s, echo=echo, progress=progress)


def _spoken_qa(s: SpokenQaRecipe, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.stand_ins.questions import spoken_qa

    spoken_qa(s, echo=echo, progress=progress)


def _facts(s: FactsStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.facts.build import write_facts

    write_facts(s, out)


def _manners(s: MannersStep, out: Path, echo: Echo, progress: bool) -> None:
    from most.data.facts.manners import write_manners

    write_manners(s, out)


_PAIRS = "spoken pairs, set.json"
VERBS: dict[str, Verb] = {
    "prepare": Verb(settings=of.PrepareStep, run=_prepare, writes="a prepared set"),
    "digits": Verb(settings=of.DigitsStep, run=_digits, writes="digits by recorded people"),
    "sentences": Verb(settings=of.SentencesStep, run=_sentences, writes="train.jsonl, test.jsonl"),
    "hold-out": Verb(settings=of.HoldOutStep, run=_hold_out, writes="train.jsonl, test.jsonl"),
    "read-aloud": Verb(settings=ReadAloudRecipe, run=_read_aloud, writes="a prepared set", writes_output=True),
    "pseudo-label": Verb(
        settings=PseudoLabelRecipe, run=_pseudo_label, writes="a prepared set, pseudo-labelled", writes_output=True
    ),
    "collect": Verb(settings=of.CollectStep, run=_collect, writes=DIALOGUES),
    "interrupt": Verb(settings=of.InterruptStep, run=_interrupt, writes=DIALOGUES),
    "speakable": Verb(settings=of.SpeakableStep, run=_speakable, writes=DIALOGUES),
    "speak": Verb(settings=SpeakRecipe, run=_speak, writes="spoken dialogues, train.jsonl", writes_output=True),
    "balance": Verb(settings=of.BalanceStep, run=_balance, writes=DIALOGUES),
    "bias": Verb(settings=of.BiasStep, run=_bias, writes="bias.html"),
    "text-dialogues": Verb(settings=of.TextDialoguesStep, run=_text_dialogues, writes="train.jsonl"),
    "encode": Verb(settings=of.EncodeStep, run=_encode, writes="frames/ and units/"),
    "align": Verb(settings=of.AlignStep, run=_align, writes="words.jsonl"),
    "units": Verb(settings=of.UnitsStep, run=_units, writes="units"),
    "facts": Verb(settings=FactsStep, run=_facts, writes="train/dialogues.jsonl, test/questions.jsonl, table.jsonl"),
    "manners": Verb(settings=MannersStep, run=_manners, writes="train/ and test/dialogues.jsonl, test/questions.jsonl"),
    "sblimp": Verb(settings=SBlimpRecipe, run=_sblimp, writes=_PAIRS, writes_output=True),
    "swuggy": Verb(settings=SWuggyRecipe, run=_swuggy, writes=_PAIRS, writes_output=True),
    "story-cloze": Verb(settings=StoryClozeRecipe, run=_story_cloze, writes=_PAIRS, writes_output=True),
    "spoken-qa": Verb(settings=SpokenQaRecipe, run=_spoken_qa, writes="spoken questions, set.json", writes_output=True),
}
