"""`most chat` from scripts and at a stand-in for a terminal: turns, commands, files, speech, errors."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from most.cli import main
from most.cli.chat_lines import Asked, Command, understood
from most.errors import MostError
from most.speech import devices
from most.speech.audio import read_audio, write_audio


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def talk(tiny_most, tiny_codec, monkeypatch, capsys):
    """Run `most chat ARGS` with lines on its input: exit code, stdout lines, stderr."""

    def run(*args, lines="", terminal=False):
        argv = ["most", "chat", "--model", tiny_most, "--codec", tiny_codec, "--max-seconds", "0.5", *args]
        monkeypatch.setattr(sys, "argv", [str(a) for a in argv])
        monkeypatch.setattr(sys, "stdin", (Terminal if terminal else io.StringIO)(lines))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        out = capsys.readouterr()
        return exit_.value.code or 0, out.out.splitlines(), out.err

    return run


@pytest.fixture
def question(tiny_corpus):
    return tiny_corpus / "0.wav"


def test_one_turn_by_text_and_by_speech(talk, question):
    code, (row,), err = talk("--once", "one two", "--json")
    assert code == 0, err
    row = json.loads(row)
    assert (row.pop("turn"), row.pop("asked"), row.pop("forgotten_turns"), set(row)) == (1, "one two", 0, {"text"})
    code, out, _ = talk("--once", "one two")
    assert (code, "\n".join(out)) == (0, row["text"] or "(nothing)")
    heard = json.loads(talk("--once", question, "--json")[1][0])
    assert heard["heard"] == str(question)


def test_a_script_of_turns(talk, question, tiny_most, tiny_codec):
    """The turns of a talk are the session's own, commands act, an error ends nothing and sets the exit code."""
    from most.generate.chat import Chat
    from most.generate.engine import Engine, SpeakSettings

    lines = f"one two\n\n{question}\n/say none.wav\n/nonsense\n/reset\none two\n/quit\nnever asked\n"
    code, out, err = talk(question, "--json", lines=lines)
    rows = [json.loads(line) for line in out]
    assert code == 1
    chat = Chat(Engine.load(tiny_most, tiny_codec), settings=SpeakSettings(max_seconds=0.5))
    wanted = [chat.ask(s).text for s in (question, "one two", question)]
    chat.reset()
    wanted.append(chat.ask("one two").text)
    assert [r["text"] for r in rows if "text" in r] == wanted
    assert [r["turn"] for r in rows if "turn" in r] == [1, 2, 3, 4]
    errors = [r["error"] for r in rows if "error" in r]
    assert "none.wav" in errors[0]
    assert "/nonsense" in errors[1]
    assert "error" not in err, "in one place only"


def test_answers_are_written_as_audio_and_never_over_old_ones(talk, tmp_path):
    out = tmp_path / "said"
    code, rows, _ = talk("--out", out, "--json", "--seed", "1", lines="one\ntwo three\n")
    assert code == 0
    for k, row in enumerate(map(json.loads, rows), 1):
        assert row["speech"] == str(out / f"turn-{k:02d}.wav")
        assert len(read_audio(row["speech"])) / 16000 == pytest.approx(row["seconds"], abs=0.001)
        assert row["seconds"] <= 0.5
    code, _, err = talk("--out", out, "--once", "one")
    assert code == 2
    assert "another folder" in err


class Loudspeaker:
    """A stand-in for `devices.Player` at which Ctrl-C is pressed: while speech comes, at its end, or never."""

    def __init__(self, rate):
        self.rate, self.n = rate, 0

    heard_seconds = 0.02
    stop_at = ""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None and self.stop_at == "end":
            raise KeyboardInterrupt

    def play(self, wav):
        self.n += len(wav)
        if self.stop_at == "begin":
            raise KeyboardInterrupt


def test_stopping_an_answer_leaves_what_was_heard(talk, monkeypatch, tmp_path, tiny_most, tiny_codec):
    """Stopped while it is made, and while it is played: the next answer knows what was heard, as if that were all."""
    from most.generate.chat import Chat, heard_text
    from most.generate.engine import Engine, SpeakSettings

    monkeypatch.setattr(devices, "require_devices", lambda *kinds: None)
    monkeypatch.setattr(devices, "Player", Loudspeaker)
    lines = "one two three\nafter three comes four\n"
    code, rows, err = talk("--play", "--json", "--seed", "1", lines=lines)
    assert code == 0, err
    unstopped = [json.loads(r) for r in rows]
    assert not any("heard_text" in r for r in unstopped)
    for when in ("begin", "end"):
        monkeypatch.setattr(Loudspeaker, "stop_at", when)
        code, rows, err = talk("--play", "--json", "--seed", "1", "--out", tmp_path / when, lines=lines)
        first, second = map(json.loads, rows)
        assert code == 0
        assert first["text"] == unstopped[0]["text"]
        total = first["seconds"] if when == "end" else max(first["seconds"], len(first["text"]) / 15)
        assert first["heard_text"] == heard_text(first["text"], 0.02 / total)
        assert (tmp_path / when / "turn-01.wav").is_file()
        assert "stopped; heard" in err
        chat = Chat(Engine.load(tiny_most, tiny_codec), settings=SpeakSettings(max_seconds=0.5, seed=1))
        chat.broken_off("one two three", first["heard_text"])
        assert second["text"] == chat.ask("after three comes four", voice=True).text
    monkeypatch.setattr(Loudspeaker, "heard_seconds", 0.0)
    monkeypatch.setattr(Loudspeaker, "stop_at", "begin")
    assert talk("--play", "--json", "--seed", "1", lines=lines)[:2] == (130, []), "nothing was heard yet: the end"


def test_the_microphone_is_a_turn(talk, monkeypatch, question):
    asked = []

    def record(seconds, stop):
        asked.append(seconds)
        return read_audio(question)

    monkeypatch.setattr(devices, "require_devices", lambda *kinds: None)
    monkeypatch.setattr(devices, "record", record)
    code, rows, err = talk("--mic", "--json", lines="\n/mic 4\n")
    same = talk(question, question, "--json")[1]
    assert code == 0
    assert [json.loads(r)["text"] for r in rows] == [json.loads(r)["text"] for r in same]
    assert asked == [30.0, 4.0]
    assert "listening" in err


def test_at_a_terminal_interrupts_end_a_turn_and_then_the_talk(talk, monkeypatch):
    from most.generate.engine import Engine

    write, said = Engine.to_write, iter(["one", "two", "three", KeyboardInterrupt()])

    def typed(_prompt):
        line = next(said)
        if isinstance(line, BaseException):
            raise line
        return line

    def interrupted(self, conversation, max_new_tokens):
        if conversation[-1]["content"][0]["text"] == "two":
            raise KeyboardInterrupt
        seen.append([m["role"] for m in conversation])
        return write(self, conversation, max_new_tokens)

    seen = []
    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr(Engine, "to_write", interrupted)
    code, _, err = talk(terminal=True)
    assert code == 0
    assert "this turn is forgotten" in err
    assert seen == [["user"], ["user", "assistant", "user"]], "the interrupted turn is in no history"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--voice",), "--out"),
        (("--no-voice", "--out", "x"), "--out"),
        (("--once", "/reset"), "command"),
        (("--once", ""), "once"),
        (("a.wav", "--once", "one"), "leave out the files"),
        (("--once", "/say none.wav"), "none.wav"),
    ],
)
def test_mistakes(talk, args, message):
    code, out, err = talk(*args)
    assert (code, out) == (2, [])
    assert message in err.splitlines()[-1]


def test_lines_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b c.flac", "notes.txt"):
        Path(name).write_bytes(b"")
    assert understood("a.wav") == Asked(file=Path("a.wav"))
    assert understood("b c.flac") == understood("/say 'b c.flac'") == Asked(file=Path("b c.flac"))
    assert understood(f"{tmp_path}/none.wav") == Asked(file=tmp_path / "none.wav")
    assert understood("notes.txt") == Asked(text="notes.txt")
    assert understood("play none.wav") == Asked(text="play none.wav")
    assert understood("x" * 5000 + ".wav") == Asked(text="x" * 5000 + ".wav")
    assert (understood("  "), understood("", mic=True)) == (None, Asked(mic_seconds=30.0))
    assert understood("/mic 2.5") == Asked(mic_seconds=2.5)
    assert understood(" /quit ") == Command("quit")
    for line in ("/say", "/say a b", "/say 'a", "/mic x", "/rest"):
        with pytest.raises(MostError, match=line.split()[0]):
            understood(line)


def test_a_long_file_is_refused_as_a_turn(talk, tmp_path):
    write_audio(tmp_path / "long.wav", 0.1 * np.ones(40 * 16000, np.float32), 16000)
    code, _, err = talk("--once", tmp_path / "long.wav")
    assert code == 2
    assert "long.wav" in err
