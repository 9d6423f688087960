"""`most release`: two lines before, one after; what it writes is what the other verbs take."""

import sys
from pathlib import Path

import pytest

from most.cli import main


def call(*args: object, monkeypatch, capsys) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["most", *map(str, args)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main()
    captured = capsys.readouterr()
    return int(exit_.value.code or 0), captured.out, captured.err


def test_it_writes_what_info_reads(tmp_path: Path, tiny_most: Path, tiny_codec: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "small"
    args = ("release", tiny_most, "--codec", tiny_codec, "--out", out)
    code, said, _ = call(*args, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == ["reads", "writes", "largest", "released:"]
    code, said, _ = call("info", out, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0
    assert "I8" in said
    code, _, err = call(*args, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "is there already" in err
