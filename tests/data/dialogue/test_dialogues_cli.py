"""`most data dialogues`: the verbs one after another over the shipped set, and mistakes that end with one line."""

import json
import sys

import pytest

from most.cli import main
from most.data.dialogue.dialogue import read_dialogues

for _extra in ("num2words", "datasketch", "matplotlib"):
    pytest.importorskip(_extra)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["most", "data", "dialogues", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run


def test_from_chats_to_a_balanced_set_and_its_report(call, tmp_path):
    code, out, _ = call("collect", "self-dialogue", "--out", "chats.jsonl", "--limit", "40")
    assert (code, out.splitlines()) == (0, ["collect: reads self-dialogue, writes chats.jsonl", "kept 40, left out 0"])
    code, out, _ = call("interrupt", "chats.jsonl", "--out", "cut.jsonl", "--seed", "1")
    assert code == 0
    assert out.startswith("interrupt: reads chats.jsonl, writes cut.jsonl by rules, 1 at once\nkept ")
    code, out, _ = call("speakable", "cut.jsonl", "--out", "said.jsonl", "--max-words", "12")
    assert code == 0
    said = list(read_dialogues("said.jsonl"))
    assert len(said) >= 30
    assert all(t.spoken for d in said for t in d.turns)
    assert all(any(t.interrupts for t in d.turns) for d in said)
    (tmp_path / "even.yaml").write_text("distribution:\n  topic: even\nseed: 3\n")
    code, out, _ = call("balance", "said.jsonl", "--recipe", "even.yaml", "--out", "even.jsonl")
    assert (code, f"of {len(said)}" in out, "asked" in out) == (0, True, True)
    code, out, _ = call("bias", "even.jsonl", "--out", "report.html")
    assert code == 0
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["n_dialogues"] == len(list(read_dialogues("even.jsonl")))
    assert len(set(figures["topics"].values())) == 1
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_limits_are_passed_on(call, tmp_path):
    code, out, _ = call("collect", "self-dialogue", "--out", "c.jsonl", "--limit", "30", "--max-words", "12")
    assert code == 0
    assert "turn too long; see c.rejected.jsonl" in out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("collect", "none.jsonl", "--out", "o.jsonl"), "no such file"),
        (("interrupt", "none.jsonl", "--out", "o.jsonl"), "no such file"),
        (("interrupt", "none.jsonl", "--out", "o.jsonl", "--writer", "rule"), "did you mean 'rules'"),
        (("interrupt", "none.jsonl", "--out", "o.jsonl", "--writer", "endpoint"), "endpoint.base_url"),
        (("speakable", "none.jsonl", "--out", "o.jsonl", "--locale", "FR"), "known: GB, US"),
        (("bias", "none"), "neither a JSONL file nor a folder"),
        (("balance", "none.jsonl", "--recipe", "none.yaml", "--out", "o.jsonl"), "none.yaml"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(call, args, says):
    code, _, err = call(*args)
    assert code == 2
    assert says in err
    assert "Traceback" not in err
