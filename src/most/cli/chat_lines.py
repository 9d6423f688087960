"""What is typed into `most chat`, and what it asks for: a text, a file, the microphone, a command."""

from __future__ import annotations

import select
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from most.data.corpora.base import AUDIO_SUFFIXES
from most.errors import MostError, nearest

if TYPE_CHECKING:
    import numpy as np

HELP = """\
A line is a turn in text; the path of an audio file is a spoken turn.
/say FILE      a spoken turn from a file
/mic [SECONDS] a spoken turn from the microphone, until a pause or Enter
/reset         forget everything
/help          this
/quit          end (as Ctrl-D)
Ctrl-C         stops an answer; it goes on as if only what you heard had been said. At the prompt it ends."""
COMMANDS = ("/say", "/mic", "/reset", "/help", "/quit")
_MIC_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A user's turn: a text, an audio file, or seconds at most of the microphone."""

    text: str = ""
    file: Path | None = None
    mic_seconds: float | None = None


@dataclass(frozen=True)
class Command:
    """`reset`, `help` or `quit`."""

    name: str


def understood(line: str, mic: bool = False) -> Asked | Command | None:
    """What a line asks for; None where it is empty.

    Args:
        mic: whether an empty line records.

    Raises:
        MostError: an unknown command, or one whose argument is wrong.
    """
    line = line.strip()
    if not line:
        return Asked(mic_seconds=_MIC_SECONDS) if mic else None
    command, _, argument = line.partition(" ")
    if command == "/say":
        return Asked(file=_one_file(argument))
    if command == "/mic":
        try:
            return Asked(mic_seconds=float(argument) if argument.strip() else _MIC_SECONDS)
        except ValueError:
            raise MostError("/mic", argument, "takes a number of seconds") from None
    if line in COMMANDS:
        return Command(line[1:])
    path = Path(line).expanduser()
    if path.suffix.lower() in AUDIO_SUFFIXES and (line.startswith("/") or _is_file(path)):
        return Asked(file=path)
    if line.startswith("/"):
        raise MostError("command", command, nearest(command, COMMANDS))
    return Asked(text=line)


def _one_file(argument: str) -> Path:
    try:
        (name,) = shlex.split(argument)
    except ValueError:  # none, several, or a quotation that does not end
        raise MostError("/say", argument, "takes one audio file; put quotes around a name with spaces") from None
    return Path(name).expanduser()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a long sentence is no file name
        return False


def all_asked(first: Iterable[str], lines: Iterable[str], mic: bool) -> Iterator[Asked | Command | MostError]:
    """What files and then lines ask for; a line that is a mistake is its error, so that those behind it still come."""
    yield from (Asked(file=Path(name)) for name in first)
    for line in lines:
        try:
            if (asked := understood(line, mic)) is not None:
                yield asked
        except MostError as e:
            yield e


def typed() -> Iterator[str]:
    """Lines typed at a terminal, until Ctrl-D or Ctrl-C."""
    import readline  # noqa: F401  # lines can then be edited and called up again

    while True:
        try:
            yield input("> ")
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return


def recorded(seconds: float) -> np.ndarray:
    """A turn from the microphone; see `most.speech.devices.record`."""
    from most.speech.devices import record

    print(f"(listening, {seconds:g} s at most; a pause or Enter ends it)", file=sys.stderr, flush=True)
    return record(seconds, _enter_pressed if sys.stdin.isatty() else lambda: False)


def _enter_pressed() -> bool:
    if select.select([sys.stdin], [], [], 0)[0]:
        sys.stdin.readline()
        return True
    return False
