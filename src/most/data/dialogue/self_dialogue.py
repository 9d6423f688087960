"""Builds the dialogues that ship with the package from the Self-Dialogue corpus (BSD-3), reproducibly.

    git clone https://github.com/jfainberg/self_dialogue_corpus
    python -m most.data.dialogue.self_dialogue self_dialogue_corpus OUT.jsonl

One crowd worker wrote both sides of each dialogue, turn by turn: the turns become the user's and the assistant's
alternately; where a turn was left empty, its neighbours are one speaker's and are merged. Kept are clean dialogues
with an assistant's turn long enough to be interrupted, evenly by topic. The same corpus gives the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from most.data.dialogue.dialogue import Dialogue, Turn, write_dialogues
from most.data.dialogue.filters import SpeechLimits, reasons_against
from most.errors import MostError

SOURCE = "jfainberg/self_dialogue_corpus"
LICENCE = "BSD-3-Clause"
TOPICS = {
    "action": "action films", "baseball": "baseball", "basketball": "basketball", "beatles": "the Beatles",
    "comedy": "comedies", "disney": "Disney films", "fashion": "fashion", "fast_furious": "Fast and Furious",
    "harry_potter": "Harry Potter", "horror": "horror films", "icehockey": "ice hockey", "lady_gaga": "Lady Gaga",
    "movies": "films", "music": "music", "music_and_movies": "music and films", "nfl_football": "football",
    "pop": "pop", "rap_hiphop": "rap", "rock": "rock", "star_wars": "Star Wars", "superhero": "superheroes",
    "thriller": "thrillers", "transition_music_movies": "from music to films",
}  # fmt: skip
_COARSE = (
    "ass asses bitch bitches bastard bloody boob boobs bullshit cock coke "
    "crap crappy cunt damn damned dick dicks "  # codespell:ignore
    "drug drugs drunk dumbass dyke fag faggot fuck fucked fucking goddamn hell hooker horny hump jackass kill "
    "killed killing kills murder murdered naked nazi nazis nigga nigger nude orgasm penis piss pissed porn "
    "prostitute pussy rape raped rapist retard retarded screw sex sexual sexually sexy shit shitty slut slutty "
    "stoned strip stripper suck sucked sucks suicide tits turd vagina weed whore wtf gay lesbian muslim jew "
    "jewish racist racism abortion trump obama hillary terrorist slave slavery cocaine heroin cancer pervert "
    "perverted molest abuse abused "
)
_COARSE_WORDS = frozenset(_COARSE.split())
_PERSONAL = re.compile(
    r"\b(?:my name is|my (?:wife|husband|boyfriend|girlfriend|address|phone|email|boss)|"
    r"i live (?:in|at)|call me|facebook|twitter|"
    r"instagram|snapchat|mturk|turk|hit|sentence|dialog|dialogue|worker)\b|@|https?:|www\.|\d{5,}|#",
    re.IGNORECASE,
)
_SLIPS = re.compile(
    r"\bi\b|\b(?:im|ive|dont|didnt|doesnt|cant|wont|isnt|thats|whats)\b|"  # codespell:ignore
    r"\b(?:lets|hes|shes|theyre|youre|u|ur)\b|"  # codespell:ignore
    r"\b(?:lol|gonna|wanna|kinda)\b|\b(?:[aA]lot|[tT]ho|[yY]ea|[yY]a|[wW]ierd|[bB]eleive|[cC]uz|[pP]rolly)\b|"
    r"\b[dD]efin[ai]t[a-z]*(?<!definitely)(?<!Definitely)\b|"
    r"[A-Z]{5,}|([a-zA-Z])\1\1|[^\x20-\x7e’“”é]|\s[,.!?]|[,.!?][A-Za-z]|\.\.|[*_<>\[\]{}|~^=\\]|--"
)
_TURN = re.compile(r"[A-Z\"“].*[.!?][\"”]?", re.DOTALL)
_WORD = re.compile(r"[A-Za-z']+")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is kept.

    Args:
        per_topic: dialogues of each topic, at most.
        turns: fewest and most, after merging; dialogues are cut to the most.
        longest_words: of any turn.
        interruptible_words: words of the longest assistant turn behind the first, at least.
        mean_words: of all turns, at least; shorter ones are small talk without content.
        common_in: dialogues in which a lower-case word must occur, else it counts as a misspelling.
        share_of_repeats: turns also seen in other dialogues, at most.
    """

    per_topic: int = 18
    turns: tuple[int, int] = (6, 12)
    longest_words: int = 60
    interruptible_words: int = 14
    mean_words: float = 8.0
    common_in: int = 12
    share_of_repeats: float = 0.2


def read_corpus(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Topic and turns of every accepted dialogue, in the order of file names and rows.

    Raises:
        MostError: the folder is not a checkout of the corpus.
    """
    files = sorted((folder / "corpus").glob("*/*.csv"))
    if not files:
        raise MostError("corpus", folder, f"holds no corpus/TOPIC/*.csv; give a checkout of github.com/{SOURCE}")
    blocked_file = folder / "blocked_workers.txt"
    blocked = set(blocked_file.read_text(encoding="utf-8").split()) if blocked_file.is_file() else set()
    csv.field_size_limit(10**7)
    for path in files:
        with path.open(encoding="utf-8", errors="replace", newline="") as f:
            for row in csv.DictReader(f):
                if row.get("Reject") or row.get("WorkerId") in blocked:
                    continue
                n = sum(1 for key in row if key and key.startswith("Answer.sentence"))
                turns = [row.get(f"Answer.sentence{k}") or "" for k in range(1, n + 1)]
                yield path.parent.name, turns


def merged(turns: Iterable[str]) -> list[str]:
    """Turns alternately; an empty one (`{}` in the corpus) makes its neighbours one turn of one speaker."""
    out: list[str] = []
    skipped = False
    for text in turns:
        text = re.sub(r"\s+", " ", text).strip()
        if text in ("", "{}"):
            skipped = not skipped
            continue
        if skipped and out:
            out[-1] += " " + text
        else:
            out.append(text)
        skipped = False
    return out


def reason_against(turns: list[str], recipe: Recipe, seen_in: Counter[str], repeated: Counter[str]) -> str:
    """Why a dialogue is not shipped; empty if it is."""
    text = " ".join(turns)
    if len(turns) < recipe.turns[0]:
        return "too few turns"
    if any(word in _COARSE_WORDS for word in _WORD.findall(text.lower())):
        return "coarse or delicate words"
    if _PERSONAL.search(text):
        return "personal, or about the task"
    if any(_SLIPS.search(t) or not _TURN.fullmatch(t) for t in turns):
        return "careless writing"
    if any(seen_in[w] < recipe.common_in for t in turns for w in re.findall(r"\b[a-z']+\b", t)):
        return "a rare word, perhaps misspelt"
    if max(len(t.split()) for t in turns) > recipe.longest_words or len(text.split()) < recipe.mean_words * len(turns):
        return "turns too long or too short"
    if max((len(t.split()) for t in turns[1::2]), default=0) < recipe.interruptible_words:
        return "no turn to interrupt"
    if sum(repeated[t.lower()] > 1 for t in turns) > recipe.share_of_repeats * len(turns) or len(set(turns)) < len(
        turns
    ):
        return "repeats itself or others"
    return ""


def build(folder: Path, out: Path, recipe: Recipe | None = None) -> Counter[str]:
    """Write the set; returns how many dialogues were kept, and left out for each reason.

    Raises:
        MostError: the folder is not a checkout of the corpus.
    """
    recipe = recipe or Recipe()
    corpus = [(topic, merged(turns)) for topic, turns in read_corpus(folder)]
    seen_in: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for _, turns in corpus:
        seen_in.update({w for t in turns for w in re.findall(r"\b[a-z']+\b", t)})
        repeated.update({t.lower() for t in turns})
    counts: Counter[str] = Counter()
    of_topic: dict[str, list[tuple[str, Dialogue]]] = defaultdict(list)
    for topic, turns in corpus:
        turns = turns[: recipe.turns[1] - recipe.turns[1] % 2]
        turns = turns[: len(turns) - len(turns) % 2]
        if reason := reason_against(turns, recipe, seen_in, repeated):
            counts[reason] += 1
            continue
        digest = hashlib.sha256("\n".join(turns).encode()).hexdigest()
        roles = ("user", "assistant")
        dialogue = Dialogue(
            id=f"self-dialogue-{digest[:12]}", source=SOURCE, licence=LICENCE, topic=TOPICS.get(topic, topic),
            turns=tuple(Turn(role=roles[k % 2], text=t) for k, t in enumerate(turns)),
        )  # fmt: skip
        if reasons := reasons_against(dialogue, SpeechLimits()):
            counts[reasons[0]] += 1
        else:
            of_topic[topic].append((digest, dialogue))
    kept: list[Dialogue] = []
    taken: set[str] = set()
    for topic in sorted(of_topic):
        for digest, dialogue in sorted(of_topic[topic], key=lambda pair: pair[0])[: recipe.per_topic]:
            if digest not in taken:
                taken.add(digest)
                kept.append(dialogue)
        counts["enough of the topic"] += max(0, len(of_topic[topic]) - recipe.per_topic)
    counts["kept"] = write_dialogues(out, kept)
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m most.data.dialogue.self_dialogue CORPUS_FOLDER OUT.jsonl")
    for what, count in build(Path(sys.argv[1]), Path(sys.argv[2])).most_common():
        print(f"{count:6d} {what}")
