"""The whole way by the command line: three foreign files become one codec, which encodes and decodes."""

import json

import joblib
import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch.nn.utils.parametrizations import weight_norm
from typer.main import get_command
from typer.testing import CliRunner

from most.cli import build_app
from most.errors import MostError
from most.speech.codec import Codec
from most.speech.foreign.hifigan import name_table
from most.speech.vocoder.base import build_vocoder


def run(*arguments):
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def save_generator(tmp_path):
    """A vocoder of ours under their names, with weight normalisation on its convolutions as they save it."""
    sizes = dict(unit_width=8, speaker_width=0, channels=32, resblock_kernels=(3,), resblock_dilations=((1, 3, 5),))
    vocoder = build_vocoder("hifigan", dict(n_units=6, speakers=("one",), durations=False, **sizes))
    state = vocoder.state_dict()
    theirs = {name: state[ours] for name, ours in name_table(vocoder.config).items()}
    conv = weight_norm(torch.nn.Conv1d(8, 32, 7))
    conv.weight = theirs.pop("conv_pre.weight")
    theirs |= {f"conv_pre.{k}": v for k, v in conv.state_dict().items() if k != "bias"}
    torch.save({"generator": theirs, "steps": 400000}, tmp_path / "g_00400000")
    config = dict(
        resblock="1", upsample_rates=[5, 4, 4, 2, 2], upsample_kernel_sizes=[11, 8, 8, 4, 4],
        upsample_initial_channel=32, resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3, 5]], num_embeddings=6,
        embedding_dim=8, model_in_dim=8, code_hop_size=320, sampling_rate=16000,
    )  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    return vocoder


def test_from_three_files_to_a_codec(tiny_hubert, save_hubert, tmp_path):
    hubert, vocoder = tiny_hubert(), save_generator(tmp_path)
    wav = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32).clip(-1, 1)
    with torch.no_grad():
        frames = hubert(torch.from_numpy(wav)[None], output_hidden_states=True).hidden_states[2][0].numpy()
    km = MiniBatchKMeans(6, n_init=1, random_state=0, batch_size=64).fit(frames)
    joblib.dump(km, tmp_path / "km.bin", compress=3)
    enc, units, voc, whole = (tmp_path / name for name in ("enc", "units", "voc", "whole"))
    said = run("import", "hubert", save_hubert(hubert), "--out", enc)
    assert all(word in said for word in ("read ", "used ", "dropped ", "wrote "))
    run("import", "units", tmp_path / "km.bin", "--encoder", enc, "--layer", 2, "--out", units)
    run("import", "vocoder", tmp_path / "g_00400000", "--config", tmp_path / "config.json", "--out", voc)
    said = run("codec", "assemble", "--units", units, "--vocoder", voc, "--out", whole, "--full")
    assert "6 units at 50 Hz, voices speaker-0" in said
    codec = Codec.load(whole)
    got = codec.encode(wav)
    np.testing.assert_array_equal(got, km.predict(frames))
    assert len(set(got.tolist())) > 1
    sound, rate = codec.decode(got)
    assert (sound.shape, rate) == ((len(got) * 320,), 16000)
    np.testing.assert_allclose(sound, vocoder.synthesize(got, "one"), atol=1e-5)
    assert not list(tmp_path.glob(".*"))


def test_a_mistake_is_one_error(tmp_path):
    result = CliRunner().invoke(
        build_app(), ["import", "hubert", str(tmp_path / "no.pt"), "--out", str(tmp_path / "o")]
    )
    assert isinstance(result.exception, MostError)
    assert "no such file" in str(result.exception)
    assert set(get_command(build_app()).commands["import"].commands) == {"hubert", "units", "vocoder"}
