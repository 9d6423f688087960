"""`story-cloze`: stories with their own ending and another's, spoken.

Spoken StoryCloze of TWIST (Hassid et al. 2023, arXiv 2305.13009) is the Story Cloze Test (Mostafazadeh et al. 2016,
arXiv 1604.01696) said by one synthetic voice: sStoryCloze with its written wrong endings, tStoryCloze with random ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from most.data.corpora.text import TextFiles
from most.data.dialogue.spoken import to_spoken
from most.data.read_aloud.sentences import text_digest
from most.data.stand_ins.build import Kind, build_set
from most.data.stand_ins.card import Card
from most.data.stand_ins.endings import random_endings, similar_endings
from most.data.stand_ins.files import Row, read_rows
from most.data.stand_ins.info import SetInfo
from most.data.stand_ins.items import NOT_IN_NAMES, Chosen, Said, pair
from most.data.stand_ins.recipe import StoryClozeRecipe
from most.errors import MostError

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_COMMON = (
    "The texts are not the Story Cloze Test's: they are cut from the source named above and need not be stories at "
    "all; of dialogues one voice says both sides.",
    "Each ending stands once as the right one and once as a wrong one, so endings by themselves tell nothing.",
    "What precedes the ending is said once: the two sides of a pair are the same samples up to there.",
)


def kind(recipe: StoryClozeRecipe) -> Kind:
    """What is made, by the wrong endings."""
    if recipe.endings == "random":
        title, stands_for = "story endings, random", "Topic-StoryCloze (TWIST)"
        more = "The wrong ending is that of a random other story, as there."
    else:
        title, stands_for = "story endings, similar", "Spoken StoryCloze (TWIST)"
        more = (
            "There a person wrote the wrong ending; here it is the right one of a story of like words (TF-IDF): as "
            "near in topic as another story is, and looser in sense."
        )
    source = f"stories of {recipe.source.stem}"
    about = Card(title=title, stand_in_for=stands_for, source=source, differs=(*_COMMON, more))
    return Kind(verb="story-cloze", file="pairs.jsonl", card=about)


def choose(recipe: StoryClozeRecipe) -> Chosen:
    """Stories, under a limit those of the lowest digests, and their wrong endings.

    Raises:
        MostError: no such source, or fewer than two stories in it.
    """
    chosen = Chosen()
    stories: dict[bytes, tuple[str, list[str]]] = {}
    for id, sentences in _texts(recipe.source):
        if sentences is None:
            chosen.leave_out(id, "no story", "has neither sentences, text nor turns")
        elif reason := _unfit(cut := _cut(sentences, recipe), recipe):
            chosen.leave_out(id, reason, " ".join(sentences))
        elif text_digest(" ".join(cut)) in stories:
            chosen.leave_out(id, "seen already", " ".join(sentences))
        else:
            stories[text_digest(" ".join(cut))] = id, cut
    kept = sorted([stories[k] for k in sorted(stories)[: recipe.limit]])
    if len(kept) < 2:
        raise MostError("source", recipe.source, f"holds {len(kept)} stories of {recipe.sentences} sentences; give two")
    if recipe.endings == "random":
        others = random_endings([id for id, _ in kept], recipe.seed)
    else:
        others = similar_endings([" ".join(s[:-1]) for _, s in kept])
    for (id, story), other in zip(kept, others, strict=True):
        good, bad = (Said(text=s[-1], spoken=(s[-1],)) for s in (story, kept[other][1]))
        chosen.items.append(pair(NOT_IN_NAMES.sub("-", id), "all", good, bad, story[:-1]))
    return chosen


def _cut(sentences: list[str], recipe: StoryClozeRecipe) -> list[str]:
    """The first run of so many sentences whose last is an ending; as they are said."""
    said: list[str] = []
    for sentence in sentences:
        spoken = to_spoken(sentence)
        if any(c.isalpha() for c in spoken):
            said.append(spoken)
            if len(said) >= recipe.sentences and len(spoken.split()) >= recipe.min_ending_words:
                return said[-recipe.sentences :]
    return []


def _unfit(story: list[str], recipe: StoryClozeRecipe) -> str:
    if not story:
        return "too short"
    return "a sentence too long" if any(len(s.split()) > recipe.max_words for s in story) else ""


def _texts(source: Path) -> Iterator[tuple[str, list[str] | None]]:
    """Texts by name, in sentences."""
    name = source.name
    if source.is_file() and ".jsonl" not in name and not name.endswith(".json"):
        for item in TextFiles(source=source, document="paragraph").items("train"):
            yield item.id, _SENTENCE_END.split(" ".join((item.text or "").split()))
        return
    for number, (_, row) in enumerate(read_rows(source), 1):
        id = str((row or {}).get("id") or f"{source.stem}-{number:06d}")
        yield id, _sentences(row) if row is not None else None


def _sentences(row: Row) -> list[str] | None:
    if isinstance(row.get("sentences"), list):
        return [str(s) for s in row["sentences"]]
    turns = row.get("turns")
    if isinstance(turns, list):
        text = " ".join(str(t.get("text") or "") for t in turns if isinstance(t, dict))
    else:
        text = row.get("text")
    return _SENTENCE_END.split(" ".join(text.split())) if isinstance(text, str) else None


def story_cloze(recipe: StoryClozeRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True) -> SetInfo:
    """Build the set; see `build_set`."""
    return build_set(kind(recipe), recipe, choose(recipe), echo=echo, progress=progress)
