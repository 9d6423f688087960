"""The one exception for anything a user can get wrong: it names the field, the value and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MostError(ValueError):
    """Bad input from a user. `assert` is for our own invariants; this is for theirs.

    Args:
        field: what was wrong, as the user knows it (a file, a recipe key, an argument).
        value: the offending value; shown with `repr`, shortened.
        remedy: what is wrong with it and what to do about it.
    """

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field, self.value, self.remedy = field, value, remedy
        shown = repr(value) if not hasattr(value, "__fspath__") else repr(str(value))
        if len(shown) > 200:
            shown = shown[:197] + "..."
        super().__init__(f"{field}: {shown}: {remedy}")


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...` for a misspelt name, or the list of known ones."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
