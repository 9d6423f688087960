"""The command line: every verb is there, one bad file never stops the rest, mistakes end with one line and code 2."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from most.cli import main
from most.generate.engine import Engine
from most.generate.hearing import Hearing
from most.manifest import read_examples
from most.speech.audio import read_audio, write_audio


def call(*args, monkeypatch, capsys):
    """Run `most ARGS` in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["most", *map(str, args)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        main()
    captured = capsys.readouterr()
    return exit_.value.code or 0, captured.out, captured.err


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_corpus):
    folder = tmp_path_factory.mktemp("files")
    wav = read_audio(tiny_corpus / "0.wav")
    write_audio(folder / "good.wav", wav, 16000)
    write_audio(folder / "good.flac", wav, 16000)
    whole = (folder / "good.wav").read_bytes()
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not audio")
    write_audio(folder / "silent.wav", np.zeros(16000, np.float32), 16000)
    write_audio(folder / "long.wav", np.tile(wav, 48), 16000)
    return folder


def test_transcribe_reports_each_file_and_never_stops(files, tiny_most, tiny_codec, monkeypatch, capsys):
    names = ["empty.wav", "good.wav", "truncated.wav", "text.wav", "good.flac", "silent.wav", "long.wav", "none.wav"]
    args = ("transcribe", *[files / n for n in names], "--model", tiny_most, "--codec", tiny_codec, "--json")
    code, out, _ = call(*args, monkeypatch=monkeypatch, capsys=capsys)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [Path(r["file"]).name for r in rows] == names
    assert code == 1
    for row in rows:
        if Path(row["file"]).stem == "good":
            assert set(row) == {"file", "text", "seconds"}
            assert row["seconds"] == 0.25
        elif Path(row["file"]).stem == "long":
            assert set(row) == {"file", "text", "seconds", "pieces", "silent_pieces", "cut_in_speech"}
            assert (row["seconds"], row["silent_pieces"]) == (12.0, 0)
            assert row["pieces"] == 2
        else:
            assert set(row) == {"file", "error"}
            assert Path(row["file"]).name in row["error"]


def test_beams_are_for_models_that_have_a_ctc_term(files, tiny_most, tiny_codec, tmp_path, monkeypatch, capsys):
    args = ("transcribe", files / "good.wav", "--codec", tiny_codec, "--beams", "3", "--model")
    code, _, err = call(*args, tiny_most, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, "beams=3" in err, "CTC term" in err) == (2, True, True)
    model = shutil.copytree(tiny_most, tmp_path / "ctc")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"ctc_loss_weight": 1.0}))
    code, out, _ = call(*args, model, monkeypatch=monkeypatch, capsys=capsys)
    engine = Engine.load(model, tiny_codec)
    engine.hearing = Hearing(beams=3)
    assert (code, out.rstrip("\n")) == (0, f"{files / 'good.wav'}\t{engine.transcribe([files / 'good.wav'])[0]}")


def test_the_command_is_installed_and_prints_transcripts(files, tiny_most, tiny_codec):
    args = ["transcribe", files / "good.wav", "--model", tiny_most, "--codec", tiny_codec]
    done = subprocess.run([sys.executable, "-m", "most", *map(str, args)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0
    assert done.stdout.startswith(str(files / "good.wav"))


def test_the_shipped_model_and_its_own_codec_are_the_default(
    files, tiny_most, tiny_codec, tmp_path, monkeypatch, capsys
):
    import most.model.load

    shutil.copytree(tiny_most, tmp_path / "nano")
    shutil.copytree(tiny_codec, tmp_path / "nano" / "codec")
    monkeypatch.setattr(most.model.load, "default_model_dir", lambda: tmp_path / "nano")
    named = ("--model", tiny_most, "--codec", tiny_codec)
    long = ("transcribe", files / "long.wav", "--max-piece-seconds", 5)
    by_name = call(*long, *named, monkeypatch=monkeypatch, capsys=capsys)
    assert call(*long, monkeypatch=monkeypatch, capsys=capsys)[:2] == by_name[:2]
    assert by_name[0] == 0
    assert "12.0 s in 3 pieces" in by_name[2]
    said = {}
    for key, options in (("named", named), ("default", ())):
        out = tmp_path / f"{key}.wav"
        code, _, err = call("speak", "one", "--out", out, *options, monkeypatch=monkeypatch, capsys=capsys)
        assert code == 0, err
        said[key] = out.read_bytes()
    assert said["named"] == said["default"]


def test_without_a_shipped_model_one_must_be_named(files, monkeypatch, capsys):
    import most.model.load

    monkeypatch.setattr(most.model.load, "__file__", "/nowhere/most/model/load.py")
    code, _, err = call("transcribe", files / "good.wav", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert "--model" in err


def test_speak_writes_audio(tmp_path, tiny_most, tiny_codec, monkeypatch, capsys):
    out = tmp_path / "said.wav"
    args = ("speak", "one two", "--model", tiny_most, "--codec", tiny_codec, "--out", out, "--seed", 1)
    code, _, err = call(*args, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0, err
    assert len(read_audio(out)) > 0


def test_info_counts_what_the_model_has(tiny_most, monkeypatch, capsys):
    from most.model import MostForConditionalGeneration

    facts = json.loads(call("info", tiny_most, "--json", monkeypatch=monkeypatch, capsys=capsys)[1])
    model = MostForConditionalGeneration.from_pretrained(tiny_most)
    parameters = facts["parameters"]
    assert parameters["total"] == sum(p.numel() for p in model.parameters())
    encoder = sum(p.numel() for p in model.audio_encoder.parameters())
    assert parameters["parts"]["audio_encoder"]["total"] == encoder
    assert (facts["partition"]["text"], facts["partition"]["audio"], facts["vocabulary"]["units"]) == ([2], [2], 20)
    expert = model.language_model.model.layers[1].mlp.experts
    idle = encoder + sum(p.numel() for p in expert.parameters()) // 2 + model.get_input_embeddings().weight.numel()
    assert parameters["active_audio"] == parameters["total"] - idle
    assert "text experts" in call("info", tiny_most, monkeypatch=monkeypatch, capsys=capsys)[1]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("train", "none.yaml"), "none.yaml"),
        (("info", "nowhere"), "nowhere"),
        (("convert", "nowhere", "--out", "x"), "nowhere"),
        (("speak", "hi", "--model", "nowhere"), "nowhere"),
        (("speak", "hi", "--device", "abacus"), "device: 'abacus': cannot be used here"),
        (("transcribe", "a.wav", "--device", "cuda:99"), "use cpu"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*args, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 2
    assert err.strip().splitlines()[-1].startswith("most: error: ")
    assert message in err
    assert not any(tmp_path.iterdir())


def test_the_pipeline_by_commands(tmp_path, tiny_codec, tiny_corpus, monkeypatch, capsys):
    """encode, convert and train as a user types them, on the tiny corpus."""
    manifest = tiny_corpus / "train.jsonl"
    backbone = tmp_path / "backbone.yaml"
    backbone.write_text(
        f"output: {tmp_path}/backbone\nmanifests: [{manifest}]\nvocab_size: 280\n"
        "config: {model_type: deepseek_v2, hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, "
        "num_key_value_heads: 2, intermediate_size: 48, first_k_dense_replace: 1, n_routed_experts: 4, "
        "num_experts_per_tok: 2, moe_intermediate_size: 16, q_lora_rank: null, kv_lora_rank: 16, "
        "qk_nope_head_dim: 8, qk_rope_head_dim: 8, v_head_dim: 16}\n"
    )
    recipe = tmp_path / "stage1.yaml"
    recipe.write_text(
        f"model: {tmp_path}/most\noutput: {tmp_path}/run\nsteps: 2\nbatch_size: 5\nlearning_rate: 1e-3\n"
        f"data: {{manifests: [{manifest}], arrays: {tmp_path}/arrays}}\n"
    )
    for args in (
        ("data", "encode", manifest, "--out", tmp_path / "arrays", "--codec", tiny_codec),
        ("init", backbone),
        ("convert", tmp_path / "backbone", "--out", tmp_path / "most", "--codec", tiny_codec),
        ("train", recipe, "log_every=1"),
    ):
        code, _, err = call(*args, monkeypatch=monkeypatch, capsys=capsys)
        assert code == 0, err
    assert len(read_examples(manifest)) == 18
    assert (tmp_path / "run" / "final" / "model.safetensors").is_file()


def test_speech_is_drawn_alike_by_every_way_in():
    import inspect

    from most.cli import chat, speech
    from most.evaluate.most_subject import MostSubject
    from most.evaluate.recipe import EvalRecipe
    from most.generate.engine import SpeakSettings

    ways = [inspect.signature(f).parameters["temperature"].default for f in (speech.speak, chat.chat, MostSubject)]
    assert {*ways, EvalRecipe.temperature} == {SpeakSettings.temperature}
