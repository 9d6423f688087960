"""fairseq HuBERT: the same frames as the model it was made from, and every refusal before anything is written."""

import json

import pytest
import torch
from transformers import HubertModel

from most.errors import MostError
from most.speech.encoder import load_encoder
from most.speech.foreign.hubert import conv_layers, import_hubert, name_table
from most.speech.foreign.inert import plain
from most.speech.foreign.reader import read_torch

WAV = torch.sin(torch.arange(9000) / 9).mul(0.3)[None]


def frames(folder, layer=None):
    encoder = load_encoder(folder)
    return encoder(WAV, torch.tensor([9000]), layer=layer)[0]


@pytest.mark.parametrize("form", ["cfg", "args", "legacy"])
def test_base_gives_the_same_frames(form, tiny_hubert, save_hubert, tmp_path):
    model = tiny_hubert()
    file = save_hubert(model, form="args" if form == "args" else "cfg", legacy=form == "legacy")
    said = str(import_hubert(file, tmp_path / "out"))
    with torch.no_grad():
        want = model(WAV, output_hidden_states=True)
    torch.testing.assert_close(frames(tmp_path / "out"), want.last_hidden_state, rtol=0, atol=0)
    torch.testing.assert_close(frames(tmp_path / "out", 2), want.hidden_states[2], rtol=0, atol=0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    assert "final_proj.weight, final_proj.bias: head of pretraining" in said
    assert "mask_emb: stands for masked frames" in said
    assert "50 frames a second" in said
    # The folder is transformers' own, too.
    torch.testing.assert_close(HubertModel.from_pretrained(tmp_path / "out")(WAV)[0], want[0], rtol=0, atol=0)


def test_large_normalizes_and_norms_first(tiny_hubert, save_hubert, tmp_path):
    model = tiny_hubert(layer_first=True)
    import_hubert(save_hubert(model, normalize=True), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["do_stable_layer_norm"], config["feat_extract_norm"], config["conv_bias"]) == (True, "layer", True)
    assert json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())["do_normalize"] is True
    with torch.no_grad():
        want = model((WAV - WAV.mean()) / torch.sqrt(WAV.var(correction=0) + 1e-7), output_hidden_states=True)
    torch.testing.assert_close(frames(tmp_path / "out"), want.last_hidden_state, rtol=0, atol=1e-6)
    torch.testing.assert_close(frames(tmp_path / "out", 1), want.hidden_states[1], rtol=0, atol=1e-6)
    # fairseq's last `output_layer` comes before the encoder's own norm, which makes the final output of it.
    last = frames(tmp_path / "out", 3)
    torch.testing.assert_close(model.encoder.layer_norm(last), want.last_hidden_state, rtol=0, atol=1e-5)


def test_25_hz(tiny_hubert, save_hubert, tmp_path):
    model = tiny_hubert(strides=(5, 2, 2, 2, 2, 2, 2, 2), kernels=(10, 3, 3, 3, 3, 2, 2, 2))
    import_hubert(save_hubert(model, convs="[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 3"), tmp_path / "out")
    assert load_encoder(tmp_path / "out").frame_rate_hz == 25
    torch.testing.assert_close(frames(tmp_path / "out"), model(WAV)[0].detach(), rtol=0, atol=0)


@pytest.mark.parametrize("form", ["cfg", "w2v_args"])
def test_a_fine_tuned_one_loses_its_head(form, tiny_hubert, save_hubert, tmp_path):
    model = tiny_hubert()
    report = import_hubert(save_hubert(model, prefix="w2v_encoder.w2v_model.", form=form), tmp_path / "out")
    assert set(report.dropped) == {
        "w2v_encoder.proj.weight", "w2v_encoder.proj.bias", "w2v_encoder.w2v_model.mask_emb",
    }  # fmt: skip
    torch.testing.assert_close(frames(tmp_path / "out"), model(WAV)[0].detach(), rtol=0, atol=0)


def test_no_projection_is_an_identity(tiny_hubert, save_hubert, tmp_path):
    model = tiny_hubert(conv=16)
    with torch.no_grad():
        model.feature_projection.projection.weight.copy_(torch.eye(16))
        model.feature_projection.projection.bias.zero_()
    file = save_hubert(model, convs="[(16,10,5)] + [(16,3,2)] * 4 + [(16,2,2)] * 2")
    whole = read_torch(file)
    for part in ("weight", "bias"):
        del whole["model"][f"post_extract_proj.{part}"]
    torch.save({"model": whole["model"], "cfg": plain(whole["cfg"])}, file)
    assert "identity" in str(import_hubert(file, tmp_path / "out"))
    torch.testing.assert_close(frames(tmp_path / "out"), model(WAV)[0].detach(), rtol=0, atol=0)


def test_names_by_hand(tiny_hubert):
    """Written from fairseq's classes, not from the table."""
    base, large = name_table(tiny_hubert().config), name_table(tiny_hubert(layer_first=True).config)
    for theirs, ours in {
        "feature_extractor.conv_layers.0.0.weight": "feature_extractor.conv_layers.0.conv.weight",
        "feature_extractor.conv_layers.0.2.weight": "feature_extractor.conv_layers.0.layer_norm.weight",
        "layer_norm.bias": "feature_projection.layer_norm.bias",
        "post_extract_proj.weight": "feature_projection.projection.weight",
        "encoder.pos_conv.0.weight_v": "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
        "encoder.pos_conv.0.bias": "encoder.pos_conv_embed.conv.bias",
        "encoder.layers.2.self_attn.q_proj.weight": "encoder.layers.2.attention.q_proj.weight",
        "encoder.layers.2.self_attn.out_proj.bias": "encoder.layers.2.attention.out_proj.bias",
        "encoder.layers.1.self_attn_layer_norm.weight": "encoder.layers.1.layer_norm.weight",
        "encoder.layers.1.fc1.weight": "encoder.layers.1.feed_forward.intermediate_dense.weight",
        "encoder.layers.1.fc2.bias": "encoder.layers.1.feed_forward.output_dense.bias",
        "encoder.layers.0.final_layer_norm.weight": "encoder.layers.0.final_layer_norm.weight",
        "encoder.layer_norm.weight": "encoder.layer_norm.weight",
    }.items():
        assert base[theirs] == ours
    assert "feature_extractor.conv_layers.1.2.weight" not in base
    assert large["feature_extractor.conv_layers.3.2.1.bias"] == "feature_extractor.conv_layers.3.layer_norm.bias"
    assert large["feature_extractor.conv_layers.3.0.bias"] == "feature_extractor.conv_layers.3.conv.bias"
    for table, model in ((base, tiny_hubert()), (large, tiny_hubert(layer_first=True))):
        assert sorted(table.values()) == sorted(model.state_dict())


def test_newer_names_of_weight_norm(tiny_hubert, save_hubert, tmp_path):
    model = tiny_hubert()
    file = save_hubert(model)
    whole = read_torch(file)
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        tensor = whole["model"].pop(f"encoder.pos_conv.0.{old}")
        whole["model"][f"encoder.pos_conv.0.parametrizations.weight.{new}"] = tensor
    torch.save({"model": whole["model"], "cfg": plain(whole["cfg"])}, file)
    import_hubert(file, tmp_path / "out")
    torch.testing.assert_close(frames(tmp_path / "out"), model(WAV)[0].detach(), rtol=0, atol=0)


def refused(file, out, match):
    with pytest.raises(MostError, match=match):
        import_hubert(file, out)
    assert sorted(p.name for p in out.parent.iterdir()) == [file.name]


def test_refusals_leave_nothing(tiny_hubert, save_hubert, evil, tmp_path):
    model, out = tiny_hubert(), tmp_path / "out"

    def check(match, **changes):
        refused(save_hubert(model, **changes), out, match)

    check("posix.system", extra={"optimizer": evil(tmp_path / "ran")})
    check("is not HuBERT", settings={"_name": "wav2vec2"})
    check(r"channels and kernels \[\(8, 10\)", convs="[(8,10,5)] + [(9,3,2)] * 6")
    check("must read like", convs="__import__('os').system('true')")
    check("encoder_attention_heads.*must divide", settings={"encoder_attention_heads": 3})
    check("layer_norm_first.*is missing", settings={"layer_norm_first": None})
    check("no such HuBERT", settings={"conv_pos_batch_norm": True})
    check("activation_fn.*gelu, relu", settings={"activation_fn": "swish"})
    check("holds no cfg or args", extra={"cfg": None})
    check("holds no 'model'", extra={"model": None})
    tensors = model.state_dict()
    wrong = {theirs: tensors[ours] for theirs, ours in name_table(model.config).items()}
    wrong["encoder.layers.0.fc2.weight"] = torch.rand(16, 23)
    wrong["encoder.layers.0.adapter"] = torch.rand(2)
    del wrong["encoder.layer_norm.bias"]
    check(
        r"adapter \(2,\) has no place, encoder.layer_norm.bias is missing, .*\(16, 23\), needs \(16, 24\)",
        extra={"model": wrong},
    )
    file = save_hubert(model)
    file.write_bytes(file.read_bytes()[:9000])
    refused(file, out, "cut short")
    out.mkdir()
    with pytest.raises(MostError, match="is there already"):
        import_hubert(file, out)


def test_conv_layers():
    assert conv_layers("[(512,10,5)] + [(512,3,2)] * 4 + [(512,2,2)] * 2") == (
        (512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2,
    )  # fmt: skip
    assert conv_layers([[8, 10, 5]]) == ((8, 10, 5),)
    for bad in ("[(1,2,3)] * 9999999999", "[(1,2)]", "[]", "[(1,2,0)]", "f()", "[x for x in y]", "(" * 999, None, 3):
        with pytest.raises(MostError, match="conv_feature_layers"):
            conv_layers(bad)
