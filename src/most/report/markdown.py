"""Tables of Markdown reports."""

from __future__ import annotations

from collections.abc import Sequence


def plain(value: object) -> str:
    """Text that stands in a table's cell or in a line: no bars, no tags, no line breaks."""
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table."""
    body = ["| " + " | ".join(plain(c) for c in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body]
