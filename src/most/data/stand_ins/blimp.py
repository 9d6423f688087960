"""`sblimp`: minimal pairs of BLiMP (Warstadt et al. 2020, arXiv 1912.00582), spoken.

sBLIMP of ZeroSpeech 2021 (Nguyen et al. 2020, arXiv 2011.11588) came about in the same way, from sentences of BLiMP's
grammars; see `CARD` for what it did beyond.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from most.data.dialogue.spoken import to_spoken
from most.data.read_aloud.sentences import text_digest
from most.data.stand_ins.build import Kind, build_set
from most.data.stand_ins.card import Card
from most.data.stand_ins.files import read_rows
from most.data.stand_ins.info import SetInfo
from most.data.stand_ins.items import Chosen, Said, pair
from most.data.stand_ins.recipe import SBlimpRecipe

KIND = Kind(
    verb="sblimp",
    file="pairs.jsonl",
    card=Card(
        title="spoken BLiMP",
        stand_in_for="sBLIMP (ZeroSpeech 2021)",
        source="BLiMP, arXiv 1912.00582",
        differs=(
            "sBLIMP's words are of LibriSpeech's vocabulary; here any word of BLiMP may stand.",
            "sBLIMP was sampled so that n-gram scores do not tell the good sentence; these are BLiMP's own pairs, "
            "as many of each paradigm.",
            "Other voices say it; both sentences of a pair are said by the same voice at the same speed and loudness.",
        ),
    ),
)


def choose(recipe: SBlimpRecipe) -> Chosen:
    """Pairs, equally many of each paradigm (to one); under a limit those of the lowest digests, so a larger only adds.

    Their groups are the phenomena that paradigms belong to (`linguistics_term`), as BLiMP's paper sums up.

    Raises:
        MostError: no such source.
    """
    chosen, of_paradigm = Chosen(), defaultdict[str, list[tuple[bytes, str, list[str], str]]](list)
    seen: set[bytes] = set()
    for where, row in read_rows(recipe.source):
        texts = [str(row.get(k) or "").strip() for k in ("sentence_good", "sentence_bad")] if row else ["", ""]
        key = text_digest("\n".join(texts))
        if row is None or not all(texts) or not row.get("UID"):
            chosen.leave_out(where, "no minimal pair", "lacks sentence_good, sentence_bad or UID")
        elif key in seen:
            chosen.leave_out(where, "seen already", texts[0])
        else:
            seen.add(key)
            paradigm, number = str(row["UID"]), str(row.get("pairID", where.rsplit(":", 1)[-1]))
            of_paradigm[paradigm].append((key, number, texts, str(row.get("linguistics_term") or paradigm)))
    ranked = [(paradigm, sorted(rows)) for paradigm, rows in sorted(of_paradigm.items())]
    most = max((len(rows) for _, rows in ranked), default=0)
    turns = [(paradigm, *rows[k][1:]) for k in range(most) for paradigm, rows in ranked if k < len(rows)]
    for paradigm, number, texts, phenomenon in sorted(turns[: recipe.limit]):
        good, bad = (Said(text=t, spoken=(to_spoken(t),)) for t in texts)
        chosen.items.append(pair(f"{paradigm}-{number}", phenomenon, good, bad, paradigm=paradigm))
    return chosen


def sblimp(recipe: SBlimpRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True) -> SetInfo:
    """Build the set; see `build_set`."""
    return build_set(KIND, recipe, choose(recipe), echo=echo, progress=progress)
