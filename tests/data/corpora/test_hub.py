"""Hugging Face datasets: parquet with audio inside, saved datasets, paths only, text; nothing is decoded or fetched."""

from __future__ import annotations

import pytest

from most.data.corpora.table import open_corpus
from most.errors import MostError

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def rows(tmp_path, lay):
    paths = [lay.tone(tmp_path / f"in/{k}.{kind}", pitch=150 + k) for k, kind in enumerate(("wav", "flac", "mp3"))]
    audio = [{"bytes": p.read_bytes(), "path": p.name} for p in paths] + [{"bytes": b"junk", "path": "x"}, None]
    return {"audio": audio, "text": ["one", "two", "three", "four", "five"], "speaker_id": [7, 8, None, 9, 9]}


def test_parquet_with_audio_inside(tmp_path, rows, look):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Audio, Features, Value

    # As the hub has it: the schema's metadata declares the column as audio.
    kinds = Features({"audio": Audio(sampling_rate=16000), "text": Value("string"), "speaker_id": Value("int64")})
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(pa.table(rows, schema=kinds.arrow_schema), folder / "train-00000-of-00001.parquet")
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        counts = look.prepare("hf", folder, out, max_rejected=0.5)
        assert (counts["train"].items, counts["train"].kept) == (5, 3)
    assert look.tree(outs[0]) == look.tree(outs[1])
    utterances = look.lines(outs[0] / "utterances_train.jsonl")
    assert [u["audio"]["path"] for u in utterances] == [
        "audio/train/00000/00000000.wav", "audio/train/00000/00000001.flac", "audio/train/00000/00000002.mp3",
    ]  # fmt: skip
    assert [u.get("speaker") for u in utterances] == ["7", "8", None]
    assert (outs[0] / utterances[0]["audio"]["path"]).read_bytes() == rows["audio"][0]["bytes"]
    assert [r["reason"] for r in look.lines(outs[0] / "rejected.jsonl")] == ["unreadable", "bad row"]


def test_saved_dataset_of_paths(tmp_path, lay, look):
    from datasets import Dataset, DatasetDict

    path = lay.tone(tmp_path / "x.wav")
    saved = Dataset.from_dict({"path": [str(path)], "transcript": ["hello"], "id": ["u1"]})
    DatasetDict({"validation": saved}).save_to_disk(tmp_path / "saved")
    counts = look.prepare("hf", tmp_path / "saved", tmp_path / "out")
    assert counts["validation"].kept == 1
    assert look.lines(tmp_path / "out/utterances_validation.jsonl")[0] == {
        "id": "u1", "audio": {"path": "../x.wav"}, "text": "hello",
    }  # fmt: skip


def test_folder_of_audio_needs_no_torchcodec(tmp_path, lay, look):
    lay.tone(tmp_path / "in/x.wav")
    (tmp_path / "in/metadata.csv").write_text("file_name,transcription\nx.wav,hello\n")
    assert look.prepare("hf", tmp_path / "in", tmp_path / "out")["train"].kept == 1
    assert look.lines(tmp_path / "out/utterances_train.jsonl")[0]["audio"] == {"path": "../in/x.wav"}


def test_text_and_what_cannot_be_read(tmp_path, look):
    from datasets import Dataset

    Dataset.from_dict({"content": ["A story.", "", None, "Another."], "n": [1, 2, 3, 4]}).save_to_disk(tmp_path / "s")
    with pytest.raises(MostError, match="--text-column"):
        look.prepare("hf-text", tmp_path / "s", tmp_path / "no")
    options = {"text_column": "content"}
    counts = look.prepare("hf-text", tmp_path / "s", tmp_path / "out", options=options, max_rejected=0.5)
    assert counts["train"].kept == 2
    assert look.lines(tmp_path / "out/train.jsonl")[0]["turns"] == [{"role": "document", "text": "A story."}]
    with pytest.raises(MostError, match="cannot be read by datasets"):
        open_corpus("hf", tmp_path / "absent", tmp_path / "out").splits()
