"""Where dialogues come from: chat JSONL, a Hugging Face data set by name (SmolTalk), or the set in the package.

What cannot be spoken is left out, counted by reason and listed beside the result.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from most.data.dialogue.collected import Collected, Rejection, write_collected
from most.data.dialogue.dialogue import Dialogue, dialogue_from_row, from_messages, read_dialogues
from most.data.dialogue.filters import SpeechLimits, reasons_against
from most.errors import MostError, nearest
from most.manifest import json_rows

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "dialogues"
SHIPPED = "self-dialogue"
SMOLTALK = "HuggingFaceTB/smoltalk"
NAMED_DATASETS = {"smoltalk": (SMOLTALK, "all", "Apache-2.0")}
"""Short name: repository, configuration, licence."""
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(?<!\.jsonl)(?<!\.json)")
_ROLE_OF = {
    "human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "assistant": "assistant",
    "chatgpt": "assistant", "bot": "assistant", "system": "system",
}  # fmt: skip


def messages_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The chat of a row as `role`, `content`: from `messages`, or from `conversations` in either wording.

    Raises:
        MostError: neither key, or a message of another form.
    """
    for key in ("messages", "conversations", "conversation"):
        if key in row:
            break
    else:
        raise MostError("chat", sorted(row), "has neither 'messages' nor 'conversations'")
    if not isinstance(row[key], list):
        raise MostError(f"chat.{key}", row[key], "must be a list of messages")
    out = []
    for message in row[key]:
        if not isinstance(message, dict):
            raise MostError(f"chat.{key}", message, "a message must be an object of role and content")
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        if not isinstance(role, str) or role.lower() not in _ROLE_OF:
            raise MostError(f"chat.{key}", role, f"is no role; {nearest(str(role), _ROLE_OF)}")
        if isinstance(content, list):  # OpenAI's parts
            content = " ".join(p.get("text", "") for p in content if isinstance(p, dict) and p.get("type") == "text")
        out.append({"role": _ROLE_OF[role.lower()], "content": content})
    if out and out[-1]["role"] == "user":
        out.pop()  # a question that was never answered
    return out


def dialogue_of(row: dict[str, Any], *, id: str, source: str, licence: str) -> Dialogue:
    """A row as a dialogue: chat in any form, or a dialogue as `write_dialogues` writes it.

    Raises:
        MostError: neither, or turns that are no dialogue.
    """
    if "turns" in row:
        return dialogue_from_row({"id": id, "source": source, "licence": licence, **row})
    own = row.get("id") or row.get("conversation_id") or row.get("prompt_id")
    return from_messages(
        str(own or id), messages_of(row), source=str(row.get("source") or source),
        licence=str(row.get("licence") or row.get("license") or licence),
        topic=str(row.get("topic") or row.get("category") or ""),
    )  # fmt: skip


def read_chat_jsonl(path: str | os.PathLike[str], *, licence: str = "") -> Iterator[Dialogue | Rejection]:
    """Dialogues of a chat JSONL file; a chat that is no dialogue (two users in turn, an empty turn) is a `Rejection`.

    Raises:
        MostError: no such file, or a line that is not JSON; names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise MostError("source", path, f"no such file; or give {SHIPPED!r}, 'smoltalk', or a data set as OWNER/NAME")
    return _read_chat(path, licence)


def _read_chat(path: Path, licence: str) -> Iterator[Dialogue | Rejection]:
    for number, row in json_rows(path, "source"):
        yield _try(row, id=f"{path.stem}-{number:07d}", source=path.stem, licence=licence)


def read_dataset(
    name: str, *, config: str | None = None, split: str = "train", licence: str = "", limit: int | None = None
) -> Iterator[Dialogue | Rejection]:
    """Dialogues of a Hugging Face data set, streamed: nothing is downloaded beyond what is read.

    Args:
        name: `smoltalk`, or any data set as OWNER/NAME whose rows hold chats.
        limit: rows to read at most.

    Raises:
        MostError: `datasets` is missing, or the data set cannot be reached.
    """
    try:
        from datasets import load_dataset
    except ImportError as e:
        raise MostError("datasets", "not installed", "install the extra: pip install 'most-speech[dialogue]'") from e
    repository, default, known_licence = NAMED_DATASETS.get(name, (name, None, ""))
    config = config or default
    try:
        rows: Iterable[Any] = load_dataset(repository, config, split=split, streaming=True)
    except Exception as e:  # the hub's many exceptions: unknown name, no network, gated, bad configuration
        raise MostError("source", repository, f"could not be opened ({type(e).__name__}: {e})") from e
    stem = f"{repository.rsplit('/', 1)[-1]}-{config or 'default'}-{split}"
    for number, found in enumerate(_opened(rows, repository)):
        if limit is not None and number >= limit:
            return
        row = dict(found)
        if "turns" not in row and row.get("source"):  # SmolTalk names the part of itself
            row["source"] = f"{repository}/{row['source']}"
        yield _try(row, id=f"{stem}-{number:07d}", source=repository, licence=licence or known_licence)


def _opened(rows: Iterable[Any], repository: str) -> Iterator[Any]:
    try:
        yield from rows
    except Exception as e:  # of a stream any file may fail to open, in as many ways
        raise MostError("source", repository, f"broke off ({type(e).__name__}: {e}); run the command again") from e


def read_shipped() -> Iterator[Dialogue]:
    """The dialogues in the package, from the Self-Dialogue corpus (BSD-3; see `assets/dialogues/SOURCE.md`)."""
    return read_dialogues(ASSETS / f"{SHIPPED}.jsonl")


def open_source(
    source: str, *, config: str | None = None, split: str = "train", licence: str = "", limit: int | None = None
) -> Iterator[Dialogue | Rejection]:
    """Whatever a user names: a JSONL file, `self-dialogue`, `smoltalk` or OWNER/NAME.

    Raises:
        MostError: no such file and no such name.
    """
    if source == SHIPPED:
        rows: Iterator[Dialogue | Rejection] = read_shipped()
    elif source in NAMED_DATASETS or (not Path(source).exists() and _REPOSITORY.fullmatch(source)):
        return read_dataset(source, config=config, split=split, licence=licence, limit=limit)
    else:
        rows = read_chat_jsonl(source, licence=licence)
    return rows if limit is None else (row for row, _ in zip(rows, range(limit), strict=False))


def collect(
    rows: Iterable[Dialogue | Rejection], out: str | os.PathLike[str], limits: SpeechLimits | None = None
) -> Collected:
    """Write the dialogues that can be spoken; those left out are listed beside `out`, with reasons.

    Nothing is kept in memory but a hash of each text: a chat that was there already is left out, and so is an id.
    """
    return write_collected(out, _chosen(rows, limits or SpeechLimits()))


def _chosen(rows: Iterable[Dialogue | Rejection], limits: SpeechLimits) -> Iterator[Dialogue | Rejection]:
    seen: set[bytes] = set()
    ids: set[str] = set()
    for row in rows:
        if isinstance(row, Rejection):
            yield row
            continue
        reasons = reasons_against(row, limits)
        digest = hashlib.blake2b("\n".join(t.text for t in row.turns).encode(), digest_size=8).digest()
        if not reasons and digest in seen:
            reasons = ["seen already"]
        elif not reasons and row.id in ids:
            reasons = ["an id used already"]
        if reasons:
            yield Rejection(id=row.id, reasons=tuple(reasons))
            continue
        seen.add(digest)
        ids.add(row.id)
        yield row


def _try(row: dict[str, Any], *, id: str, source: str, licence: str) -> Dialogue | Rejection:
    try:
        return dialogue_of(row, id=id, source=source, licence=licence)
    except MostError as e:
        return Rejection(id=str(row.get("id") or id), reasons=(f"no dialogue: {e.field}",))
