"""What the README says works: its Python runs, its commands exist, its folders are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from most.cli import build_app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_python_runs(tiny_most, tiny_corpus, capsys):
    (code,) = [block for language, block in BLOCKS if language == "python"]
    code = code.replace("runs/demo/stage1/final", str(tiny_most)).replace("a.wav", str(tiny_corpus / "0.wav"))
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.endswith("\n")


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    for language, block in BLOCKS:
        for line in block.splitlines() if not language else ():
            if line.startswith("most "):
                yield shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_its_commands_parse(words):
    command, rest = get_command(build_app()), list(words)
    while hasattr(command, "commands"):
        assert rest, words
        if rest[0] == "--help":
            return
        command = command.commands[rest.pop(0)]
    command.make_context("most", rest)


def test_its_map_is_the_tree():
    (block,) = [b for _, b in BLOCKS if b.startswith("src/most/")]
    named = {line.split()[0] for line in block.splitlines() if line.startswith("  ")}
    there = {
        p.name + ("/" if p.is_dir() else "")
        for p in (ROOT / "src" / "most").iterdir()
        if not p.name.startswith("_") and p.name != "errors.py"
    }
    assert named == there


def test_its_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
