"""What the data card of a pseudo-labelled set says beyond that of any prepared set: that no person wrote it, and who
did.
"""

from __future__ import annotations

from collections.abc import Sequence

from most.data.corpora.check import Record
from most.data.corpora.write import PSEUDO_LABEL
from most.data.pseudo_label.recipe import PseudoLabelRecipe


def kept_rule(recipe: PseudoLabelRecipe) -> str:
    """What was kept, in a sentence."""
    if recipe.second_judge is not None:
        return (
            f"Kept: what both recognisers wrote alike, with a word error rate of at most "
            f"{100 * recipe.max_disagreement:g} % of the second against the first."
        )
    sure = recipe.sure
    return (
        f"Kept: what the recogniser was sure of: mean log-probability at least {sure.min_logprob:g}, probability of no "
        f"speech at most {sure.max_no_speech:g}, compression ratio at most {sure.max_compression:g}."
    )


def mark_lines(recipe: PseudoLabelRecipe, kept: Sequence[Record], opened: Sequence[Record]) -> list[str]:
    """That the set is pseudo-labelled, by whom, how well the judges agreed, and what was cut."""
    first = kept[0]["meta"]
    judges = f"`{first[PSEUDO_LABEL]}`" + (f", checked by `{first['agrees']}`" if "agrees" in first else "")
    if recipe.transcript == "plain":
        how = "Transcripts are lower case, numbers as words, without punctuation."
    else:
        how = "Transcripts are as the recogniser writes them."
    lines = [
        f"**Pseudo-labelled: no person wrote these transcripts. They were written by {judges}, and hold its mistakes. "
        f"Do not report word error rates on them.** Each example says so in `meta.{PSEUDO_LABEL}`, each cut in "
        f"`custom.{PSEUDO_LABEL}`; utterances carry no text.",
        "",
        how,
        "",
    ]
    if "disagreement" in first:
        same = sum(r["meta"]["disagreement"] == 0 for r in kept)
        mean = sum(r["meta"]["disagreement"] for r in kept) / len(kept)
        lines += [f"Of what was kept, both wrote the same of {same} in {len(kept)}; mean disagreement {mean:.1%}.", ""]
    else:
        mean = sum(r["meta"]["logprob"] for r in kept) / len(kept)
        lines += [f"Mean log-probability of what was kept: {mean:.2f}.", ""]
    cut = cut_line(recipe, opened)
    return [*lines, f"{cut[0].upper()}{cut[1:]}.", ""]


def cut_line(recipe: PseudoLabelRecipe, opened: Sequence[Record]) -> str:
    """How many recordings were cut, into what, and how well."""
    cut = [r for r in opened if "bounds" in r]
    if not cut:
        return f"no recording was longer than {recipe.max_seconds:g} s"
    pieces, in_speech = sum(len(r["bounds"]) for r in cut), sum(r["in_speech"] for r in cut)
    return (
        f"{len(cut)} of {len(opened)} recordings were longer than {recipe.max_seconds:g} s and cut into {pieces} "
        f"pieces; {in_speech} of {pieces - len(cut)} cuts found no silence and may lie in a word"
    )
