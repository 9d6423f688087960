"""The little grammar that filling templates needs: articles, plurals of animals, capitals."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_PLURALS = {
    "sheep": "sheep", "fish": "fish", "salmon": "salmon", "trout": "trout", "deer": "deer", "mouse": "mice",
    "goose": "geese", "wolf": "wolves",
}  # fmt: skip
_SENTENCE = re.compile(r"(^|[.!?] )([a-z])")


def with_article(noun: str) -> str:
    """The noun with a or an; by its first letter, which is enough for the nouns of the table (a test looks them up)."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    before, _, last = noun.rpartition(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    elif last.endswith("o"):
        last += "es" if last.endswith("to") else "s"
    else:
        last += "s"
    return f"{before} {last}".strip()


def sentence(text: str) -> str:
    """A capital at the beginning of every sentence."""
    return _SENTENCE.sub(lambda m: m[1] + m[2].upper(), text)


_FORMS: dict[str, Callable[[str], str]] = {"a": with_article, "many": plural}


class Slots(dict[str, str]):
    """What fills a template: `{animal}`, `{a animal}` with its article, `{many animal}` in the plural."""

    def __missing__(self, key: str) -> str:
        form, _, name = key.partition(" ")
        if form not in _FORMS or name not in self:
            raise KeyError(key)
        return _FORMS[form](self[name])


def fill(template: str, slots: Mapping[str, str]) -> str:
    """A template with its slots filled, as sentences.

    Raises:
        KeyError: the template names a slot that is not there.
    """
    return sentence(template.format_map(Slots(slots)))
