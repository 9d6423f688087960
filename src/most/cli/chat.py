"""The verb `chat`: talk with a model, typing or speaking; at a terminal, or line by line from a script."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from most.cli.chat_lines import HELP, Asked, all_asked, recorded, typed, understood
from most.cli.speech import CodecDir, Device, Model, Seed, Speaker, Temperature, load_engine
from most.errors import MostError

if TYPE_CHECKING:
    from most.generate.chat import Chat, Said
    from most.generate.stream import Said as Sound
    from most.speech.devices import Player


def chat(
    files: Annotated[list[Path] | None, typer.Argument(help="Spoken turns that come first.")] = None,
    model: Model = None,
    codec: CodecDir = None,
    once: Annotated[str | None, typer.Option(help="One turn, a text or an audio file, and no more.")] = None,
    mic: Annotated[bool, typer.Option("--mic", help="An empty line records a turn from the microphone.")] = False,
    voice: Annotated[bool | None, typer.Option(help="Also say answers; default: with --out or --play.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for spoken answers: turn-01.wav and so on.")] = None,
    play: Annotated[bool, typer.Option("--play", help="Play spoken answers.")] = False,
    speaker: Speaker = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a turn.")] = False,
    max_seconds: Annotated[float, typer.Option(help="Of a spoken answer.")] = 20.0,
    temperature: Temperature = 0.4,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Talk with a model: type, or speak by files or microphone; it answers in writing and, if wanted, aloud."""
    from most.generate.chat import Chat
    from most.generate.engine import SpeakSettings

    aloud = bool(out or play) if voice is None else voice
    if aloud and not (out or play):
        raise MostError("voice", True, "has nowhere to go; name a folder with --out, or --play")
    if not aloud and (out or play):
        raise MostError("voice", False, "leaves nothing to write or play; leave out --out and --play")
    if out is not None and any(out.glob("turn-*.wav")):
        raise MostError("out", out, "holds the answers of a talk already; name another folder")
    devices = ["input"] * mic + ["output"] * play
    if devices:
        from most.speech.devices import require_devices

        require_devices(*devices)
    settings = SpeakSettings(max_seconds=max_seconds, temperature=temperature, seed=seed)
    talk = Chat(load_engine(model, codec, device), speaker=speaker, settings=settings)
    session = _Session(talk, aloud, out, play, json)
    if once is not None:
        if files:
            raise MostError("once", once, "is the only turn; leave out the files")
        if not isinstance(asked := understood(once, mic), Asked):
            raise MostError("once", once, "is a command; give a text or an audio file")
        session.turn(asked)
        return
    terminal = sys.stdin.isatty()
    lines = typed() if terminal else sys.stdin
    if terminal:
        print("/help says what can be typed", file=sys.stderr)
    if session.run([str(f) for f in files or ()], lines, mic) and not terminal:
        raise typer.Exit(1)


class _Session:
    """Prints, writes and plays what a Chat answers."""

    def __init__(self, chat: Chat, aloud: bool, out: Path | None, play: bool, json: bool) -> None:
        self.chat, self.aloud, self.out, self.play, self.json = chat, aloud, out, play, json
        self.n_turns = 0

    def run(self, first: Iterable[str], lines: Iterable[str], mic: bool) -> bool:
        """Turns from files, then from lines, until they end. Returns whether any of them failed."""
        failed = False
        for asked in all_asked(first, lines, mic):
            try:
                if isinstance(asked, MostError):
                    raise asked
                if isinstance(asked, Asked):
                    self.turn(asked)
                elif asked.name == "quit":
                    break
                elif asked.name == "reset":
                    self.chat.reset()
                else:
                    print(HELP, file=sys.stderr)
            except MostError as e:
                failed = True
                if self.json:
                    print(jsonlib.dumps({"error": str(e)}, ensure_ascii=False), flush=True)
                else:
                    print(f"most: error: {e}", file=sys.stderr, flush=True)
        return failed

    def turn(self, asked: Asked) -> None:
        """One turn: ask, and print, write and play what comes."""
        try:
            said = asked.file or asked.text if asked.mic_seconds is None else recorded(asked.mic_seconds)
            answer = self._answer(said)
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            print(flush=True)
            _note("stopped; this turn is forgotten")
            return
        self.n_turns += 1
        if answer.forgotten:
            _note(f"forgot the oldest {answer.forgotten} turns: they no longer fit in the model's context")
        row: dict[str, object] = {"turn": self.n_turns}
        row |= {"asked": asked.text} if asked.text else {"heard": str(asked.file or "microphone")}
        row |= {"text": answer.text, "forgotten_turns": answer.forgotten}
        if self.aloud:
            row |= self._speech(answer)
        if answer.heard is not None:
            row["heard_text"] = answer.heard
            _note(f"stopped; heard: {answer.heard}")
        if self.json:
            print(jsonlib.dumps(row, ensure_ascii=False), flush=True)

    def _answer(self, said: Said) -> _Answer:
        """Asks; prints what is written and plays what is said as it comes."""
        from most.generate.chat import Answer, heard_text, spoken_seconds
        from most.generate.stream import Written

        answer, whole, player = _Answer(), False, self._player()
        try:
            with player or nullcontext():
                for event in self.chat.stream(said, voice=self.aloud):
                    if isinstance(event, Answer):
                        answer.text, answer.forgotten, whole = event.text, event.forgotten, True
                        answer.truncated = event.speech is not None and event.speech.truncated
                        self._print("\n" if event.text else "(nothing)\n")
                    elif isinstance(event, Written):
                        answer.text += event.text
                        self._print(event.text)
                    else:
                        answer.sound.append(event)
                        if player is not None:
                            player.play(event.waveform)
        except KeyboardInterrupt:
            if player is None or not (whole or player.heard_seconds):
                raise
            self._print("" if whole else "\n")
            share = min(1.0, player.heard_seconds / spoken_seconds(answer.text, answer.seconds, whole=whole))
            answer.heard = heard_text(answer.text, share)
            if whole:
                self.chat.heard(share)
            else:
                self.chat.broken_off(said, answer.heard)
        return answer

    def _player(self) -> Player | None:
        codec = self.chat.engine.codec
        if not self.play or codec is None:
            return None
        from most.speech.devices import Player

        return Player(codec.sample_rate)

    def _print(self, text: str) -> None:
        if not self.json:
            print(text, end="", flush=True)

    def _speech(self, answer: _Answer) -> dict[str, object]:
        if not answer.sound:
            _note("the model said nothing aloud; it may need more training or another seed")
            return {"seconds": 0.0}
        row: dict[str, object] = {"seconds": round(answer.seconds, 3), "truncated": answer.truncated}
        if answer.truncated:
            _note("speech cut at the longest allowed length")
        if self.out is not None:
            import numpy as np

            from most.speech.audio import write_audio

            wav = np.concatenate([s.waveform for s in answer.sound])
            path = write_audio(self.out / f"turn-{self.n_turns:02d}.wav", wav, answer.sound[0].sample_rate)
            row["speech"] = str(path)
            if not self.json:
                _note(f"{path}: {row['seconds']:.2f} s")
        return row


@dataclass
class _Answer:
    """An answer as far as it came. `heard`: what was heard of it before it was stopped."""

    text: str = ""
    sound: list[Sound] = field(default_factory=list)
    truncated: bool = False
    forgotten: int = 0
    heard: str | None = None

    @property
    def seconds(self) -> float:
        return sum(len(s.waveform) / s.sample_rate for s in self.sound)


def _note(text: str) -> None:
    print(f"({text})", file=sys.stderr, flush=True)


VERBS = (chat,)
