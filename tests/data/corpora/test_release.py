"""The released instruction format: unit strings become arrays under the keys that the turns refer to."""

from __future__ import annotations

import json

import numpy as np
import pytest

from most.data.arrays import ArrayStore, audio_key
from most.data.corpora import release
from most.data.corpora.release import prepare_release
from most.errors import MostError
from most.manifest import read_examples

ASR = {"id": "common_voice_train_ab", "instruction": "Transcribe the following speech into text.",
       "input": "[Hu7][Hu90][Hu481]", "output": "Hello there.", "metadata": {"client_id": "ab"}}  # fmt: skip
TTS = {"id": "tts_x", "instruction": "Convert the following text into speech.", "input": "Hello there.",
       "output": "[Hu7][Hu90]"}  # fmt: skip
TALK = {"instruction": "Answer.", "input": "[Hu1]", "output": "[Hu2]"}
BAD = [{**ASR, "input": "[Hu500]"}, {**ASR, "input": "[Hu12][Hu"}, {**TTS, "output": ""}, {"instruction": "x"}, 5,
       {**ASR, "input": "[Hu" + "9" * 30 + "]"}]  # fmt: skip


def quiet(*args, **kwargs):
    return prepare_release(*args, echo=lambda _: None, progress=False, **kwargs)


def test_import(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "_CHUNK_CHARS", 50)  # members then lie across chunks
    source = tmp_path / "train_instructions.json"
    source.write_text(json.dumps([ASR, ASR, TTS, TALK, *BAD], indent=2))
    out = tmp_path / "out"
    counts = quiet(source, out, max_rejected=0.7)
    assert (counts["train"].items, counts["train"].kept) == (10, 4)
    examples = read_examples(out / "train.jsonl")
    assert [e.task for e in examples] == ["asr", "asr", "tts", "dialogue"]
    assert len({e.id for e in examples}) == 4
    assert examples[0].turns[0].text == "Transcribe the following speech into text."
    assert examples[0].turns[1].text == "Hello there."
    assert examples[2].turns[0].text == "Convert the following text into speech.\n\nHello there."
    store = ArrayStore(out / "arrays" / "units")
    said = examples[2].turns[1].audio
    np.testing.assert_array_equal(store[audio_key(said, out)], [7, 90])
    np.testing.assert_array_equal(store[audio_key(examples[0].turns[0].audio, out)], [7, 90, 481])
    assert len(store) == 5
    reasons = [json.loads(line)["reason"] for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert reasons == ["unit out of range", "unreadable units", "empty", "bad row", "bad row", "unreadable units"]
    assert "| train | unit out of range | 1 |" in (out / "README.md").read_text()


def test_forms_and_repeats(tmp_path, look, monkeypatch):
    monkeypatch.setattr(release, "_PART_SIZE", 2)
    rows = [ASR, TTS, TALK]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "b.json").write_text(json.dumps({"data": rows}))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    for kind in ("a.json", "b.json", "c.jsonl"):
        quiet(tmp_path / kind, tmp_path / f"out-{kind}")
    lines = [look.lines(tmp_path / f"out-{kind}" / "train.jsonl") for kind in ("a.json", "b.json", "c.jsonl")]
    assert [[r["turns"] for r in one] for one in lines] == [[r["turns"] for r in lines[0]]] * 3
    before = look.tree(tmp_path / "out-a.json")
    # Interrupted before its card, with a torn part beside the others.
    (tmp_path / "out-a.json/README.md").unlink()
    state = json.loads((tmp_path / "out-a.json/prepare.json").read_text())
    (tmp_path / "out-a.json/prepare.json").write_text(json.dumps({"settings": state["settings"]}))
    (tmp_path / "out-a.json/arrays/units/part-00000.npy.host-1.part").write_bytes(b"torn")
    quiet(tmp_path / "a.json", tmp_path / "out-a.json")
    assert look.tree(tmp_path / "out-a.json") == before


def test_refusals(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([ASR, TTS])[:-40])
    with pytest.raises(MostError, match="ends inside its list"):
        quiet(tmp_path / "a.json", tmp_path / "out")
    (tmp_path / "b.json").write_text(json.dumps([ASR, *BAD]))
    with pytest.raises(MostError, match="6 of 7 items were rejected"):
        quiet(tmp_path / "b.json", tmp_path / "out-b")
    assert (tmp_path / "out-b/.journal/rejected.jsonl").is_file()
    (tmp_path / "out-b/.journal/none").mkdir()
    with pytest.raises(MostError, match=r"no \.json"):
        quiet(tmp_path / "out-b/.journal/none", tmp_path / "out-c")
