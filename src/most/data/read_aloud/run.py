"""`most data read-aloud`: each sentence said once by a voice of the pool, judged, and written as a prepared set.

Utterances are named by their texts and every draw by its utterance, so any number of workers, in any order, makes the
same files. A journal holds what was made and judged; the manifests are written from it, the card last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.data.corpora import state, write
from most.data.corpora.base import Item
from most.data.corpora.card import SplitCounts, data_card
from most.data.corpora.check import Limits, Record, check
from most.data.corpora.journal import Journal
from most.data.dialogue.dialogue import Turn
from most.data.dialogue.voice import augment as augmenting
from most.data.dialogue.voice.babble import babble_bank
from most.data.dialogue.voice.pool import Voices
from most.data.dialogue.voice.recipe import digest
from most.data.dialogue.voice.render import write_channels
from most.data.dialogue.voice.seam import generator
from most.data.dialogue.voice.size import room_for
from most.data.dialogue.voice.speak import sped
from most.data.dialogue.voice.speaker import Speaker
from most.data.dialogue.voice.watch import Watch
from most.data.dialogue.voice.work import Work, make_voices, outcomes
from most.data.read_aloud.card import kept_rule, voice_lines
from most.data.read_aloud.recipe import ReadAloudRecipe
from most.data.read_aloud.sentences import Sentence, read_sentences
from most.errors import MostError
from most.files import write_text
from most.manifest import AudioRef

FORMAT = 1
NAME = "read-aloud"
REASONS = {"quality": "not understood", "text": "cannot be said", "voice": "voice failed"}


def read_aloud(
    recipe: ReadAloudRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True, dry_run: bool = False
) -> SplitCounts:
    """Run a recipe; the same command goes on where an earlier run stopped, and leaves a finished set as it is.

    Returns:
        What the set holds and what was left out.

    Raises:
        MostError: wrong settings, a folder that holds something else, or more left out than the recipe allows.
    """
    sentences = read_sentences(recipe.sentences, recipe.chunk_words, recipe.limit, recipe.skip)
    if not sentences:
        raise MostError("sentences", [str(s) for s in recipe.sentences], "hold no sentence")
    synthesizers, pool = make_voices(recipe)
    _announce(recipe, sentences, pool, echo)
    if dry_run:
        return SplitCounts(items=len(sentences))
    out = recipe.output
    settings = {"format": FORMAT, "corpus": NAME, "sentences": digest([[s.id, s.text] for s in sentences])}
    settings |= json.loads(json.dumps(recipe.of_content()))
    if state.is_complete(out, settings):
        echo(f"{out} holds this set already; nothing to do")
        shutil.rmtree(out / ".journal", ignore_errors=True)
        return state.finished_counts(out)[recipe.split]
    state.write_state(out, {"settings": settings})
    journal = Journal(out / ".journal" / f"{recipe.split}.jsonl")
    # A voice that failed may be well again; anything else would end the same way.
    done = {r["id"]: r for r in journal.records() if r.get("reason") != REASONS["voice"]}
    todo = [s for s in sentences if s.id not in done]
    if done:
        echo(f"goes on: {len(done)} sentences are done already, {len(todo)} are left")
    texts = (s.spoken[0] for s in sorted(sentences, key=_id) if s.spoken)
    bank = babble_bank(recipe, texts, synthesizers, pool) if todo else ()
    bar = tqdm(total=len(sentences), initial=len(done), unit="sentence", desc=recipe.split, disable=not progress)
    with journal.writer() as writer, bar:
        watch = Watch(recipe, len(todo), "sentences", bar.write if echo is print else echo)
        for outcome in outcomes(SENTENCES, recipe, todo, synthesizers, pool, bank):
            done[outcome.id] = outcome.row
            writer.write(outcome.row)
            bar.update()
            watch.see(outcome)
        writer.end(len(sentences))
    records = [done[s.id] for s in sentences]
    counts = {recipe.split: SplitCounts.of(records)}
    state.refuse_too_many(counts, recipe.max_rejected_share, out)
    _write_set(recipe, records, counts)
    state.write_state(out, {"settings": settings, "counts": {s: c.plain() for s, c in counts.items()}})
    shutil.rmtree(out / ".journal")
    echo(state.summary(counts, out))
    return counts[recipe.split]


def _write_set(recipe: ReadAloudRecipe, records: Sequence[Record], counts: dict[str, SplitCounts]) -> None:
    out, split = recipe.output, recipe.split

    def kept() -> Iterator[Record]:
        return (r for r in records if "reason" not in r)

    write.write_split(out, split, kept, recipe.tasks, NAME, recipe.licence, speech=True)
    write.write_rejected(out / "rejected.jsonl", ({"split": split} | r for r in records if "reason" in r))
    card = data_card(
        title="Sentences read aloud by synthetic voices", source=NAME, url="", licence=recipe.licence,
        tasks=recipe.tasks, counts=counts, kept_rule=kept_rule(recipe), speech=True,
        more=voice_lines(recipe, list(kept())),
    )  # fmt: skip
    write_text(out / "README.md", card)


def _announce(recipe: ReadAloudRecipe, sentences: Sequence[Sentence], pool: Voices, echo: Callable[[str], Any]) -> None:
    words = sum(len(s.said.split()) for s in sentences)
    echo(
        f"read-aloud: reads {len(sentences)} sentences, {words} words, from "
        f"{', '.join(str(s) for s in recipe.sentences)}; writes {room_for(recipe, words)}\n"
        f"voices: {', '.join(v.label for v in pool.voices)}; judge: {recipe.gate.judge}, limit "
        f"{recipe.gate.max_wer:g}; {recipe.workers} worker(s); how long it takes is said after a few"
    )


def _id(sentence: Sentence) -> str:
    return sentence.id


def _audio(sentence: Sentence, recipe: ReadAloudRecipe) -> Path:
    # Two letters of the name make folders that stay small.
    return recipe.output / "audio" / recipe.split / sentence.id[:2] / f"{sentence.id}.{recipe.audio.format}"


def _item(sentence: Sentence, recipe: ReadAloudRecipe, **more: Any) -> Item:
    text = sentence.said if recipe.transcript == "spoken" else sentence.text
    return Item(id=sentence.id, audio=AudioRef(path=_audio(sentence, recipe)), text=text, **more)


def _say(sentence: Sentence, speaker: Speaker[ReadAloudRecipe, Voices]) -> Record:
    recipe, name = speaker.recipe, (speaker.recipe.seed, sentence.id)
    rate = recipe.audio.sample_rate
    voice = speaker.pool.draw(sentence.id, recipe.seed)
    passed = speaker.turn(Turn(role="user", text=sentence.text, spoken=sentence.spoken), voice, name)
    take, changes = sped(passed.take, recipe.augment, "user", generator(*name, "speed"))
    rng = generator(*name, "augment")
    wav, more = augmenting.augment(take.wav, rate, recipe.augment, "user", rng, speaker.babble)
    path = _audio(sentence, recipe)
    write_channels(path, wav, rate)
    speaker.counts.speech_seconds += len(wav) / rate
    record = check(_item(sentence, recipe, speaker=voice.label), recipe.output, Limits())
    if "reason" in record:
        path.unlink()
        return record
    verdict = passed.verdict
    record |= {"voice_licence": voice.licence, "takes": passed.takes, "words": verdict.words}
    record |= {"word_errors": verdict.errors} if verdict.wer is not None else {}
    record |= {"called": recipe.called} if recipe.called else {}
    augmentation = changes | more
    # What is to be said is learnt from clean speech.
    return record | ({"augmentation": augmentation, "tasks": ["asr"]} if augmentation else {})


def _reject(sentence: Sentence, speaker: Speaker[ReadAloudRecipe, Voices], kind: str, reason: str) -> Record:
    return check(_item(sentence, speaker.recipe, problem=(REASONS[kind], reason)), speaker.recipe.output, Limits())


SENTENCES = Work(id=_id, make=_say, reject=_reject)
