"""What is not said is taken away: markup, emoji, quotation marks. Web addresses and single symbols become words."""

from __future__ import annotations

import re
import unicodedata

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), by)
    for pattern, by in (
        (r"```.*?```|~~~.*?~~~", " "),
        (r"!\[([^\]\n]*)\]\([^)\s]*\)", r"\1"), (r"\[([^\]\n]+)\]\([^)\s]*\)", r"\1"),
        (r"</?[a-zA-Z][^<>\n]{0,80}>", " "),
        (r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$", r"\1."), (r"^\s*>(?![=\d$£€]|\s\d)\s?", ""), (r"^\s*(?:[-*_]\s?){3,}$", ""),
        (r"^\s*[-*+•‣▪]\s+", ""), (r"^\s*\d{1,2}[.)]\s+(?=[A-Z])", ""),
        (r"(\*{1,3}|~~)(?=\S)([^*~\n]*?[^\s*~])\1", r"\2"), (r"(?<![\w])(_{1,2})(?=\S)([^_\n]+?)\1(?![\w])", r"\2"),
        (r"`+", ""),
        (r"(?<!\w)[:;=8][-o^]?[)(DPp|\]\[/](?!\w)|<3|\^_\^", " "),
    )
)  # fmt: skip
_FRACTIONS = re.compile(r"(\d?)([¼½¾⅐-⅞])")
_SUPERSCRIPTS = re.compile(r"(?<=\w)([⁰¹⁴-⁹⁻]+)|(?<=\w)([²³])(?![²³])")
_QUOTES = re.compile(r"[\"“”„«»]|''|``")
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_URL = re.compile(
    r"\b(?:https?://|www\.)[^\s<>()]*[\w/]|\b(?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|co\.uk|tv|ai)\b(?:/[\w./?=&%#-]*\w)?",
    re.IGNORECASE,
)
_ADDRESS = {".": " dot ", "/": " slash ", "@": " at ", "-": " dash ", "_": " underscore ", "?": " question mark ",
            "=": " equals ", "&": " and ", "%": " percent ", "#": " hash ", "+": " plus ", ":": " colon ",
            "~": " tilde "}  # fmt: skip
_SYMBOLS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\s*&\s*", " and "), (r"@\s?(?=\w)", " at "), (r"#(?=\w)", "hashtag "), (r"%", " percent "),
        (r"\s*°\s*", " degrees "),
        (r"[$]", " dollars "), (r"£", " pounds "), (r"€", " euros "), (r"©|®|™", " "), (r"\s*\+\s*(?=\w)", " plus "),
        (r"\band/or\b", "and or"), (r"(?<=[A-Za-z])\s*/\s*(?=[A-Za-z])", " or "),
    )
)  # fmt: skip
_TIDY: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"’|‘|`|´|ʼ", "'"), (r"\.{2,}\s*$|…\s*$", "."), (r"\s*(?:\.{2,}|…)\s*(?=[A-Z])", ". "),
        (r"\s*(?:\.{2,}|…)\s*", ", "),
        (r"\s+[-–—−]+\s+|\s*[–—−]+\s*|\s*-{2,}\s*", ", "), (r"\s*[()\[\]{}]+\s*", ", "),
        (r"[^\w\s.,!?;:'-]|_", " "),
        (r"(?<![^\W\d_])'|'(?![^\W\d_])", ""), (r"(?<!\w)-+|-+(?!\w)", " "), (r"([!?])[!?.]*", r"\1"),
        (r"\s+", " "), (r"\s+(?=[.,!?;:])", ""), (r"[,;:]+(?=[.!?])", ""), (r"([.!?])[,;:.]+", r"\1"),
        (r"([,;:])[,;:]+", r"\1"),
        (r"(?<=[.,!?;:])(?=[^\W\d_])", " "), (r"^[\s.,;:!?-]+", ""), (r"[\s,;:]+$", ""),
    )
)  # fmt: skip


def strip_markup(text: str) -> str:
    """Without markdown, HTML tags, emoji, emoticons and characters that only format; digits and symbols are plain."""
    text = text.replace("\u00ad", "").replace("\u200b", "")
    for pattern, by in _MARKUP:
        text = pattern.sub(by, text)
    text = re.sub(r"([^.!?:;,\s])[ \t]*\n\s*(?=\S)", r"\1. ", text)
    text = _FRACTIONS.sub(
        lambda m: (m[1] + " " if m[1] else "") + unicodedata.normalize("NFKC", m[2]).replace("⁄", "/"), text
    )
    text = _SUPERSCRIPTS.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]).replace("−", "-"), text)
    text = unicodedata.normalize("NFKC", text)
    return "".join(_plain(c) for c in text)


def _plain(c: str) -> str:
    """One character: other scripts' digits as ASCII, numerals as numbers, emoji and control characters as a space."""
    if c.isascii() or c.isalpha():
        return c
    if c.isdecimal():
        return str(unicodedata.decimal(c))
    kind = unicodedata.category(c)
    if kind in ("No", "Nl"):
        value = unicodedata.numeric(c, 0.0)
        return f" {int(value)} " if value == int(value) else " "
    keep = "°£€¥₹₩₽¢µ′″‰√π∞≈≅≠≤≥±×÷⋅−–—…‘’“”„«»©®™½²³€·"
    return c if c in keep else ("" if kind in ("Mn", "Me", "Cf") else " ")


def say_addresses(text: str) -> str:
    """Web and e-mail addresses: `john.doe@mail.com` -> "john dot doe at mail dot com"."""

    def say(m: re.Match[str]) -> str:
        bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", m[0], flags=re.IGNORECASE).rstrip("/")
        spaced = re.sub(r"(?<=[a-zA-Z])(?=\d)|(?<=\d)(?=[a-zA-Z])", " ", bare)
        return re.sub(r"[^\w\s]|_", lambda c: _ADDRESS.get(c[0], " "), spaced)

    return _URL.sub(say, _EMAIL.sub(say, text))


def drop_quotes(text: str) -> str:
    """Without double quotation marks; those that mean inches are read before."""
    return _QUOTES.sub(" ", text)


def say_symbols(text: str) -> str:
    """Symbols that stand alone."""
    for pattern, by in _SYMBOLS:
        text = pattern.sub(by, text)
    return text


def tidy(text: str) -> str:
    """Letters, spaces, apostrophes, hyphens within words and `. , ! ? ; :` are left, each once."""
    for pattern, by in _TIDY:
        text = pattern.sub(by, text)
    return text
