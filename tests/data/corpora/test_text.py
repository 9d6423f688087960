"""Text corpora: lines, paragraphs, files, JSONL; what is left out."""

from __future__ import annotations

import gzip
import json

import pytest

from most.data.corpora.check import Limits
from most.errors import MostError
from most.manifest import read_examples


@pytest.mark.parametrize(
    ("document", "texts"),
    [
        ("line", ["One.", "Two.", "Three.", "Four."]),
        ("paragraph", ["One.\nTwo.", "Three.\nFour."]),
        ("file", ["One.\nTwo.\n\n\nThree.\nFour."]),
    ],
)
def test_documents_of_a_plain_file(tmp_path, look, document, texts):
    (tmp_path / "a.txt").write_text("One.\nTwo.\n\n\nThree.\nFour.\n")
    look.prepare("text", tmp_path / "a.txt", tmp_path / "out", options={"document": document})
    examples = read_examples(tmp_path / "out/train.jsonl")
    assert [e.turns[0].text for e in examples] == texts
    assert {(e.task, e.turns[0].role) for e in examples} == {("text", "document")}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "README.md", "prepare.json", "rejected.jsonl", "train.jsonl",
    ]  # fmt: skip


def test_folder_of_jsonl_and_text_with_what_is_left_out(tmp_path, look):
    folder = tmp_path / "in"
    folder.mkdir()
    with gzip.open(folder / "b.jsonl.gz", "wt") as f:
        f.write(json.dumps({"text": "Kept."}) + "\n{torn\n" + json.dumps({"body": "x"}) + "\n")
        f.write(json.dumps({"text": "  "}) + "\n" + json.dumps({"text": "x" * 50}) + "\n")
    (folder / "a.txt").write_bytes(b"First.\nnot \xff text\n")
    outs = [tmp_path / "x", tmp_path / "y"]
    for out in outs:
        look.prepare("text", folder, out, max_rejected=0.9, limits=Limits(max_chars=40), options={"licence": "cc0-1.0"})
    assert look.tree(outs[0]) == look.tree(outs[1])
    assert [e["id"] for e in look.lines(outs[0] / "train.jsonl")] == ["text-a.txt:1", "text-b.jsonl.gz:1"]
    reasons = [r["reason"] for r in look.lines(outs[0] / "rejected.jsonl")]
    assert reasons == ["not unicode", "bad row", "bad row", "empty", "too long"]
    card = (outs[0] / "README.md").read_text()
    assert "license: cc0-1.0" in card
    assert "| train | 7 | 2 | 5 | 11 |" in card


def test_datasets_reads_it(tmp_path, look):
    from datasets import load_dataset

    (tmp_path / "a.txt").write_text("One.\nTwo.\n")
    look.prepare("text", tmp_path / "a.txt", tmp_path / "out")
    assert load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"].num_rows == 2


def test_an_unknown_kind_of_document_is_refused(tmp_path, look):
    (tmp_path / "a.txt").write_text("One.\n")
    with pytest.raises(MostError, match="did you mean 'paragraph'"):
        look.prepare("text", tmp_path / "a.txt", tmp_path / "out", options={"document": "paragraphs"})
