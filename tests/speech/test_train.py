"""Training units and vocoders: it learns, it resumes to the same weights, it refuses what does not fit."""

import json
from dataclasses import replace

import pytest
import torch

from most.errors import MostError
from most.manifest import read_utterances
from most.speech.codec import Codec
from most.speech.settings import UnitSettings, VocoderSettings, read_settings
from most.speech.train_units import choose, train_units
from most.speech.train_vocoder import adopt, train_vocoder
from most.speech.vocoder import load_vocoder
from most.speech.vocoder.base import build_vocoder
from most.speech.vocoder.data import draw, prepare

CONVNEXT = dict(width=8, unit_blocks=1, frame_blocks=1, pitch_width=8, pitch_dilations=(1,), expansion=1)
HIFIGAN = dict(unit_width=8, speaker_width=4, channels=32, resblock_kernels=(3,), resblock_dilations=((1, 3),))


def settings(kind="convnext", **changes):
    row = dict(
        kind=kind, model=CONVNEXT if kind == "convnext" else HIFIGAN, speakers={"ann": 2.0, "bob": 1.0}, batch_size=2,
        segment_seconds=0.2, steps=6, save_every=3, warmup_steps=1, decay_steps=1, band_limited_share=0.5,
    )  # fmt: skip
    return VocoderSettings(**row | changes)


def unit_settings(folder, **changes):
    return UnitSettings(**dict(encoder=str(folder), layer=1, n_units=6, iterations=5, band_limited_share=0.5) | changes)


@pytest.fixture
def encoder(codec, tmp_path):
    codec.encoder.save(tmp_path / "enc")
    return tmp_path / "enc"


def test_train_units_resumes_and_makes_a_codec(encoder, manifest, tmp_path):
    rows = read_utterances(manifest)
    codec = train_units(rows, unit_settings(encoder), tmp_path / "units")
    assert codec.n_units == 6
    # Frames that are there already are not made again: without the audio the same units come out.
    for path in (manifest.parent / "audio").iterdir():
        path.rename(path.with_suffix(".gone"))
    monkey = [replace(r, audio=replace(r.audio, path=r.audio.path.with_suffix(".gone"))) for r in rows]
    again = train_units(monkey, unit_settings(encoder), tmp_path / "units")
    assert torch.equal(again.quantizer.centroids, codec.quantizer.centroids)
    with pytest.raises(MostError, match="layer = 1, now None"):
        train_units(monkey, unit_settings(encoder, layer=None), tmp_path / "units")


def test_choice_bounds_each_speaker(encoder, manifest):
    rows = read_utterances(manifest)
    chosen = choose(rows, unit_settings(encoder, minutes_per_speaker=0.01, main_speaker="bob", main_minutes=9.0))
    wide = [u.speaker for u, narrow, _ in chosen if not narrow]
    assert (wide.count("ann"), wide.count("bob")) == (1, 3)
    assert chosen == choose(
        rows, unit_settings(encoder, minutes_per_speaker=0.01, main_speaker="bob", main_minutes=9.0)
    )


@pytest.mark.parametrize("kind", ["convnext", "hifigan"])
def test_a_stopped_vocoder_run_equals_an_unbroken_one(codec, manifest, tmp_path, kind):
    rows = read_utterances(manifest)
    adversarial = dict(adversarial_from=2, discriminator_width=4)
    train_vocoder(rows, codec, settings(kind, **adversarial), tmp_path / "whole")
    train_vocoder(rows, codec, settings(kind, **adversarial, steps=3, decay_steps=0), tmp_path / "parts")
    train_vocoder(rows, codec, settings(kind, **adversarial), tmp_path / "parts")
    last = json.loads((tmp_path / "whole" / "log.jsonl").read_text().splitlines()[-1])
    assert {"adversarial", "features"} <= set(last)
    a, b = load_vocoder(tmp_path / "whole" / "vocoder"), load_vocoder(tmp_path / "parts" / "vocoder")
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize("kind", ["convnext", "hifigan"])
def test_a_vocoder_learns(codec, manifest, tmp_path, kind):
    quick = settings(kind, steps=40, learning_rate=5e-3, save_every=40, segment_seconds=0.2, ema=0.9)
    rows = read_utterances(manifest)
    trained = train_vocoder(rows, codec, quick, tmp_path / "v")
    streams = prepare(rows, codec, list(quick.speakers), trained.f0_rate_hz, tmp_path / "v" / "streams")
    torch.manual_seed(0)
    blank = type(trained)(trained.config)
    batch = draw(streams, [1, 1], 10, 8, 0.0, seed=5)
    with torch.no_grad():
        before, after = blank.losses(batch)[1], trained.losses(batch)[1]
    assert float(after["mel"]) < 0.8 * float(before["mel"])
    assert float(after["stft"]) < float(before["stft"])


def test_vocoder_training_refuses(codec, manifest, tmp_path):
    rows = read_utterances(manifest)
    with pytest.raises(MostError, match="speaks no utterance"):
        train_vocoder(rows, codec, settings(speakers={"zoe": 1.0}), tmp_path / "a")
    with pytest.raises(MostError, match="shorten it"):
        train_vocoder(rows, codec, settings(segment_seconds=60.0), tmp_path / "b")
    train_vocoder(rows, codec, settings(steps=1), tmp_path / "c")
    with pytest.raises(MostError, match="batch_size = 2, now 3"):
        train_vocoder(rows, codec, settings(batch_size=3), tmp_path / "c")


def test_a_vocoder_starts_from_another(codec, manifest, tmp_path):
    rows = read_utterances(manifest)
    train_vocoder(rows, codec, settings(speakers={"bob": 1.0}, steps=1), tmp_path / "a")
    start = str(tmp_path / "a" / "vocoder")
    old = load_vocoder(start)
    new = build_vocoder("convnext", dict(n_units=12, speakers=("ann", "bob"), **CONVNEXT))
    adopt(new, old)
    assert torch.equal(new.head.weight, old.head.weight)
    assert torch.equal(new.speaker.weight, old.speaker.weight.expand(2, -1))
    train_vocoder(rows, codec, settings(start_from=start, steps=1), tmp_path / "b")
    with pytest.raises(MostError, match="must have shape"):
        train_vocoder(rows, codec, settings(model=CONVNEXT | {"width": 4}, start_from=start, steps=1), tmp_path / "c")
    with pytest.raises(MostError, match="another kind"):
        train_vocoder(rows, codec, settings("hifigan", start_from=start, steps=1), tmp_path / "d")


def test_trained_parts_make_a_codec(codec, manifest, tmp_path):
    vocoder = train_vocoder(read_utterances(manifest), codec, settings(steps=1), tmp_path / "v")
    whole = Codec(codec.encoder, codec.quantizer, vocoder, codec.settings)
    assert whole.speakers == ("ann", "bob")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"units": {"encoder": "x", "layr": 2}}, "did you mean 'layer'"),
        ({"units": {}}, "encoder"),
        ({"units": {"encoder": "x", "n_units": 1}}, r"units\.n_units"),
        ({"units": {"encoder": "x", "band_limited_share": 2}}, "band_limited_share"),
        ({}, "no section 'units'"),
    ],
)
def test_recipe_mistakes(row, match):
    with pytest.raises(MostError, match=match):
        read_settings(UnitSettings, row, "units")


def test_the_recipe_of_the_shipped_codec_is_read(request):
    path = request.config.rootpath / "recipes" / "nano" / "codec.yaml"
    assert read_settings(UnitSettings, path, "units").n_units == 500
    assert read_settings(VocoderSettings, path, "vocoder").kind == "convnext"
