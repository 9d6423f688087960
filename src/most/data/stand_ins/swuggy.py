"""`swuggy`: words of CMUdict beside pseudo-words that sound as likely, both said by their phones.

sWUGGY of ZeroSpeech 2021 (Nguyen et al. 2020, arXiv 2011.11588) took its pseudo-words from Wuggy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from most.data.stand_ins.build import Kind, build_set
from most.data.stand_ins.card import Card
from most.data.stand_ins.info import SetInfo
from most.data.stand_ins.items import Chosen, Said, pair
from most.data.stand_ins.phonotactics import Phones, Phonotactics, heard, plain
from most.data.stand_ins.pseudo_words import Balance, candidates_for
from most.data.stand_ins.recipe import SWuggyRecipe
from most.data.stand_ins.words import choose_words, count_words, read_dictionary

KIND = Kind(
    verb="swuggy",
    file="pairs.jsonl",
    takes_phones=True,
    card=Card(
        title="words and pseudo-words",
        stand_in_for="sWUGGY (ZeroSpeech 2021)",
        source="CMUdict and pseudo-words made from it in the manner of Wuggy (doi 10.3758/BRM.42.3.627)",
        differs=(
            "sWUGGY's pseudo-words come from Wuggy; these are made in its manner, of phones instead of letters: a "
            "third of a word's onsets, nuclei and codas are changed for others of the same length and stress.",
            "sWUGGY's words are of LibriSpeech's vocabulary; here they are of the dictionary and the texts named "
            "below, and bands are of how often a word stands in those.",
            "Word and pseudo-word are both said by their phones, so that no reading of a spelling tells them apart.",
        ),
    ),
)


def choose(recipe: SWuggyRecipe, *, progress: bool = False) -> Chosen:
    """Pairs of a word and a pseudo-word that is in no dictionary entry and in no other pair.

    Raises:
        MostError: no such source, or one that is no dictionary.
    """
    words = read_dictionary(recipe.source)
    counts = count_words(recipe.texts) if recipe.texts else None
    sounds = Phonotactics(dict.fromkeys(plain(p) for listed in words.values() for p in listed))
    taken = {heard(p) for listed in words.values() for p in listed}
    found = choose_words(
        words, counts, phones=recipe.phones, min_count=recipe.min_count, bands=recipe.bands, limit=recipe.limit
    )
    chosen, pairs, even = Chosen(), list[tuple[Phones, Phones]](), Balance()
    for word, band in tqdm(list(found), unit="word", desc="pseudo-words", disable=not progress):
        phones = plain(words[word][0])
        candidates = candidates_for(phones, sounds, taken, n=recipe.candidates, seed=recipe.seed)
        if not candidates:
            chosen.leave_out(word, "no pseudo-word", f"none of {recipe.candidates} candidates will do")
            continue
        made = even.choose(candidates)
        taken.add(heard(made))
        pairs.append((phones, made))
        good, bad = Said(text=word, phones=phones), Said(text=f"[{' '.join(made)}]", phones=made)
        chosen.items.append(pair(word, band, good, bad, phones={"good": " ".join(phones), "bad": " ".join(made)}))
    if pairs:
        chosen.notes = told(pairs, sounds)
    return chosen


def told(pairs: Sequence[tuple[Phones, Phones]], sounds: Phonotactics) -> list[str]:
    """Lines for the card: what phone n-grams alone tell, which should be nothing."""
    rows = ["## What phone n-grams tell", "", "Counted in the dictionary; 50 % would be nothing.", ""]
    rows += ["| model | mean log probability a phone, words | pseudo-words | finds the word |", "|---|---|---|---|"]
    good = np.array([sounds.scores(g) for g, _ in pairs])
    bad = np.array([sounds.scores(b) for _, b in pairs])
    for k, name in enumerate(("unigram", "bigram", "trigram")):
        right = 100 * float(np.mean((good[:, k] > bad[:, k]) + 0.5 * (good[:, k] == bad[:, k])))
        rows.append(f"| {name} | {good[:, k].mean():.3f} | {bad[:, k].mean():.3f} | {right:.1f} % |")
    lengths = defaultdict[int, int](int)
    for word, _ in pairs:
        lengths[len(word)] += 1
    spread = ", ".join(f"{n} of {k}" for k, n in sorted(lengths.items()))
    return [*rows, "", f"Phones, the same in both words of a pair: {spread}."]


def swuggy(recipe: SWuggyRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True) -> SetInfo:
    """Build the set; see `build_set`."""
    return build_set(KIND, recipe, choose(recipe, progress=progress), echo=echo, progress=progress)
