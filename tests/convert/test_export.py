"""Export: one modality as a plain checkpoint that transformers loads with nothing of ours."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from most.convert.convert import ORIGINAL_ROWS, REPORT
from most.convert.export import export
from most.errors import MostError
from most.model.families import FAMILIES
from most.model.load import load_most

PLAIN = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
for line in sys.stdin:
    folder, out = line.split()
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    ids = torch.arange(20, 24)[None]
    with torch.no_grad():
        logits = model.eval()(ids).logits
    torch.save({"logits": logits, "tokens": len(AutoTokenizer.from_pretrained(folder)),
                "experts": max(getattr(model.config, k, 0) for k in ("num_experts", "num_local_experts")),
                "ours": [m for m in sys.modules if m.split(".")[0] == "most"]}, out)
    print(flush=True)
"""


def exported(most_folder, out, modality):
    return export(most_folder, out, modality, progress=False, echo=lambda _: None)


@pytest.fixture(scope="module")
def plainly_loaded(tmp_path_factory):
    """What a process that never imports MoST makes of a folder; one process for all, it takes seconds to start."""
    out = tmp_path_factory.mktemp("plain") / "found.pt"
    with subprocess.Popen([sys.executable, "-c", PLAIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdin is not None
        assert p.stdout is not None

        def load(folder):
            print(folder, out, file=p.stdin, flush=True)
            assert p.stdout.readline() == "\n"
            found = torch.load(out, weights_only=True)
            assert found["ours"] == []
            return found

        yield load
        p.stdin.close()


@pytest.mark.parametrize("rows", [320, 400])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_text_after_expand_is_the_source_bit_for_bit(family, rows, source, converted, tmp_path):
    """With 320 rows units take over spare ones and the rest is added, with 400 all fit into spare ones."""
    folder = source(family, vocab_size=rows)
    out = exported(converted(folder, partition="expand"), tmp_path / "text", "text")
    theirs, ours = (load_file(f / "model.safetensors") for f in (folder, out))
    assert set(theirs) == set(ours)
    assert all(torch.equal(t, ours[name]) for name, t in theirs.items())
    before, after = (json.loads((f / "config.json").read_text()) for f in (folder, out))
    assert {k: v for k, v in after.items() if before.get(k) != v} == {}
    ids = [AutoTokenizer.from_pretrained(f)("one two three")["input_ids"] for f in (folder, out)]
    assert ids[0] == ids[1]
    assert len(AutoTokenizer.from_pretrained(folder)) == len(AutoTokenizer.from_pretrained(out))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_split_half_loads_alone_and_computes_what_the_most_does(family, source, converted, tmp_path, plainly_loaded):
    most_folder = converted(source(family), scores_over="own")
    out = exported(most_folder, tmp_path / "text", "text")
    found = plainly_loaded(out)
    assert found["experts"] == 2
    model, _ = load_most(most_folder)
    ids = torch.arange(20, 24)[None]
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits[..., : found["tokens"]]
    torch.testing.assert_close(found["logits"][..., : found["tokens"]], expected, atol=1e-5, rtol=1e-5)
    assert json.loads((out / "export.json").read_text())["same_outputs"]


@pytest.mark.parametrize("family", ["deepseek_v2", "granitemoe"])
def test_audio_speaks_units_alone(family, source, converted, tmp_path, plainly_loaded):
    most_folder = converted(source(family), partition="expand", audio_experts=3)
    model, _ = load_most(most_folder)
    vocab = model.vocab
    out = exported(most_folder, tmp_path / "audio", "audio")
    found = plainly_loaded(out)
    assert found["experts"] == 3
    assert found["tokens"] == vocab.n_audio
    with torch.no_grad():
        expected = model.eval()(input_ids=torch.arange(20, 24)[None] + vocab.text_size).logits
    units = slice(vocab.text_size, vocab.audio_stop)
    torch.testing.assert_close(found["logits"], expected[..., units], atol=1e-5, rtol=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("<|audio_begin|><|unit_3|><|unit_19|><|audio_end|>")["input_ids"] == [20, 3, 19, 21]
    plain = AutoModelForCausalLM.from_pretrained(out)
    assert plain.config.eos_token_id == plain.generation_config.eos_token_id == 21


def test_upcycled_text_is_the_mixture(source, converted, tmp_path, plainly_loaded):
    folder = source("llama")
    out = exported(converted(folder), tmp_path / "text", "text")
    found = plainly_loaded(out)
    assert found["experts"] == 4
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(folder)(torch.arange(20, 24)[None]).logits
    torch.testing.assert_close(found["logits"], expected, atol=1e-5, rtol=1e-5)


def test_scores_over_all_without_renormalising_say_that_outputs_differ(source, converted, tmp_path):
    said: list[str] = []
    export(converted(source("deepseek_v2")), tmp_path / "text", "text", progress=False, echo=said.append)
    assert any("outputs differ" in line for line in said)
    assert not json.loads((tmp_path / "text" / "export.json").read_text())["same_outputs"]
    export(converted(source("mixtral"), "m"), tmp_path / "mixtral", "text", progress=False)
    assert json.loads((tmp_path / "mixtral" / "export.json").read_text())["same_outputs"]


def test_without_the_original_rows_the_vocabulary_is_the_tokenizers(source, converted, tmp_path, plainly_loaded):
    most_folder = converted(source("olmoe"))
    (most_folder / ORIGINAL_ROWS).unlink()
    (most_folder / REPORT).unlink()
    assert plainly_loaded(exported(most_folder, tmp_path / "text", "text"))["logits"].shape[-1] == 280


def test_what_cannot_be_exported(source, converted, tmp_path):
    most_folder = converted(source("olmoe"))
    with pytest.raises(MostError, match="text"):
        exported(most_folder, tmp_path / "out", "txt")
    with pytest.raises(MostError, match="plain olmoe"):
        exported(source("olmoe"), tmp_path / "out", "text")
    with pytest.raises(MostError, match="exists"):
        exported(most_folder, most_folder, "text")
    with pytest.raises(MostError, match="no group of experts"):
        exported(converted(source("olmoe"), "plain", modality_routing=False), tmp_path / "out", "text")
    assert not (tmp_path / "out").exists()
